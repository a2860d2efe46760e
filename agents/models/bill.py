"""The bill: what one call used, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from signoff.agents.models.pricing import FREE, Price
from signoff.agents.run_context import Payer
from signoff.checkpoints.ledger.budgets.model import Amount
from signoff.checkpoints.ledger.budgets.usage_log import CallRecord

NAMES_OF_MAX: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""What providers call the bound of an answer."""


def worst_case(price: Price | None, *, size: int, most: int, seconds: float) -> Amount:
    """What a call may use at most; a prompt has no more tokens than bytes, and its answer no more than `most`."""
    nusd = (price or FREE).cost(input_tokens=size, output_tokens=most)
    return Amount(nusd=nusd, tokens=size + most, steps=1, ms=int(seconds * 1000))


_MOST_TOKENS: Final = 10**8
"""Tokens that no call has."""


def credible_usage(told: Mapping[str, Any] | None) -> dict[str, Any]:
    """The usage that an endpoint tells; nothing, if it cannot be: then nobody knows it."""
    usage = dict(told or {})
    for name in ("input_tokens", "output_tokens"):
        value = usage.get(name, 0)
        if not isinstance(value, int) or not 0 <= value <= _MOST_TOKENS:
            return {}
    if usage and not usage.get("input_tokens"):
        return {}  # every prompt has tokens
    for name, part, whole in (
        ("input_token_details", "cache_read", "input_tokens"),
        ("output_token_details", "reasoning", "output_tokens"),
    ):
        value = (usage.get(name) or {}).get(part) or 0
        if not isinstance(value, int) or not 0 <= value <= usage.get(whole, 0):
            usage.pop(name)
    return usage


def make_bill(
    payer: Payer,
    *,
    model: str,
    endpoint: str = "",
    tier: str = "",
    outcome: str,
    usage: Mapping[str, Any],
    price: Price | None,
    dearest: Price | None = None,
    assumed: Amount | None,
    ms: int,
) -> tuple[Amount, CallRecord]:
    """What to charge, and the record of it. `usage` is LangChain's; `assumed` is charged where nobody knows it."""
    read, written = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    cached = (usage.get("input_token_details") or {}).get("cache_read", 0) or 0
    reasoning = (usage.get("output_token_details") or {}).get("reasoning", 0) or 0
    if assumed is not None:
        spent = Amount(nusd=assumed.nusd, tokens=assumed.tokens, steps=1, ms=ms)
    else:
        nusd = (price or FREE).cost(input_tokens=read, cached_tokens=cached, output_tokens=written)
        spent = Amount(nusd=nusd, tokens=read + written, steps=1, ms=ms)
    dear = 0 if dearest is None else dearest.cost(input_tokens=read, cached_tokens=cached, output_tokens=written)
    record = CallRecord(
        run_id=payer.run_id,
        team=payer.team,
        role=payer.role,
        tier=tier,
        model=model,
        endpoint=endpoint,
        outcome=outcome,
        input_tokens=read,
        cached_tokens=cached,
        output_tokens=written,
        reasoning_tokens=reasoning,
        nusd=spent.nusd,
        dearest_nusd=0 if assumed is not None else dear,
        assumed=assumed is not None,
        ms=ms,
    )
    return spent, record
