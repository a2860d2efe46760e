"""What a call costs, at most and in fact: prices from the settings or from genai-prices' table.

Money is counted in whole nano-dollars, rounded up.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from signoff.agents.run_context import Payer
from signoff.checkpoints import canonical
from signoff.checkpoints.errors import BudgetExhausted
from signoff.checkpoints.ledger.budgets import Amount, CallRecord, Scope, nano_dollars
from signoff.settings import DollarsPerMillion
from signoff.tools.web import is_loopback


@dataclass(frozen=True)
class SetPrice:
    """A price that somebody set, in dollars for a million tokens."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def cost(self, *, input_tokens: int, cached_tokens: int = 0, output_tokens: int) -> int:
        """Nano-dollars; the cached tokens are part of the input, and reasoning is part of the output."""
        fresh = max(input_tokens - cached_tokens, 0)
        total = fresh * self.input + cached_tokens * self.cached + output_tokens * self.output
        return math.ceil(total * 1000)  # a dollar for a million tokens is a thousand nano-dollars for one


@dataclass(frozen=True)
class TablePrice:
    """The price in genai-prices' table, which knows tiers by length and times of change."""

    model: str
    endpoint: str

    def cost(self, *, input_tokens: int, cached_tokens: int = 0, output_tokens: int) -> int:
        """Nano-dollars; LookupError if the table has no such model."""
        from genai_prices import Usage, calc_price  # 0.3 s to import, and only needed where a model is called

        tokens = Usage(input_tokens=input_tokens, cache_read_tokens=cached_tokens, output_tokens=output_tokens)
        if self.endpoint:
            with suppress(LookupError):  # a gateway to a known model: its name is what is left
                found = calc_price(tokens, self.model, provider_api_url=f"https://{self.endpoint}")
                return nano_dollars(found.total_price)
        return nano_dollars(calc_price(tokens, self.model).total_price)


Price = SetPrice | TablePrice
FREE = SetPrice(Decimal(0), Decimal(0), Decimal(0))


def price_of(model: str, endpoint: str, prices: Mapping[str, DollarsPerMillion]) -> Price | None:
    """The price of a model behind an endpoint (`host:port`): as set, nothing on this machine, else the table's.

    None if nobody knows it.
    """
    if model in prices:
        return _as_set(prices[model])
    if is_loopback(endpoint.rpartition(":")[0].strip("[]") or endpoint):
        return FREE
    return _in_table(model, endpoint)


@lru_cache(maxsize=256)
def _in_table(model: str, endpoint: str) -> Price | None:
    price = TablePrice(model, endpoint)
    try:
        price.cost(input_tokens=1, output_tokens=1)
    except LookupError:
        return None
    return price


def _as_set(said: DollarsPerMillion) -> SetPrice:
    given = said if isinstance(said, dict) else {"input": said, "output": said}
    fresh = given.get("input", 0.0)
    values = (fresh, given.get("cached", fresh), given.get("output", 0.0))
    return SetPrice(*(Decimal(str(value)) for value in values))


NAMES_OF_MAX: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens")
"""What providers call the bound of an answer."""


def worst_case(price: Price | None, *, size: int, most: int, seconds: float) -> Amount:
    """What a call may use at most: a prompt of so many bytes, and an answer of so many tokens."""
    nusd = (price or FREE).cost(input_tokens=size, output_tokens=most)
    return Amount(nusd=nusd, tokens=size + most, steps=1, ms=int(seconds * 1000))


def fit_into(
    scope: Scope, raised: Amount, price: Price | None, *, size: int, most: int, seconds: float
) -> tuple[int, float]:
    """The longest answer, in tokens, and the most seconds that the budget of one call allows; BudgetExhausted if none.

    `raised` is what people added to the budget's limit.
    """
    limit = scope.limit
    if limit.steps is not None and limit.steps + raised.steps < 1:
        raise BudgetExhausted(scope.name, "steps", limit.steps, 0, 1)
    if limit.seconds is not None and limit.seconds + raised.ms / 1000 <= 0:
        raise BudgetExhausted(scope.name, "seconds", limit.seconds, 0, seconds)
    if limit.seconds is not None:
        seconds = min(seconds, limit.seconds + raised.ms / 1000)
    least = min(most, 16)
    while True:
        worst = worst_case(price, size=size, most=most, seconds=seconds)
        usd_short = limit.usd is not None and limit.amount.nusd + raised.nusd < worst.nusd
        if not usd_short and (limit.tokens is None or limit.tokens + raised.tokens >= worst.tokens):
            return most, seconds
        if most // 2 < least:
            break
        most //= 2
    if usd_short:
        raise BudgetExhausted(scope.name, "usd", (limit.usd or 0) + raised.nusd / 1e9, 0, worst.nusd / 1e9)
    raise BudgetExhausted(scope.name, "tokens", (limit.tokens or 0) + raised.tokens, 0, worst.tokens)


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
    told: Mapping[str, Any] | None,
    price: Price | None,
    dearest: Price | None = None,
    worst: Amount,
    is_assumed: bool,
    ms: int,
) -> tuple[Amount, CallRecord]:
    """What to charge, and the record of it.

    `told` is LangChain's usage; where that is nothing, or cannot be, `is_assumed` charges the worst case.
    """
    usage = credible_usage(told)
    read, written = usage.get("input_tokens", 0), usage.get("output_tokens", 0)
    cached = (usage.get("input_token_details") or {}).get("cache_read", 0) or 0
    reasoning = (usage.get("output_token_details") or {}).get("reasoning", 0) or 0
    nusd, tokens, dear = 0, 0, 0
    if is_assumed := is_assumed and not usage:
        nusd, tokens = worst.nusd, worst.tokens
    elif usage:
        used = {"input_tokens": read, "cached_tokens": cached, "output_tokens": written}
        nusd, tokens = (price or FREE).cost(**used), read + written
        dear = 0 if dearest is None else dearest.cost(**used)
    at, account = canonical.now(), payer.account
    record = CallRecord(
        run_id=account.run_id,
        team=account.team,
        role=account.role,
        tier=tier,
        model=model,
        endpoint=endpoint,
        outcome=outcome,
        input_tokens=read,
        cached_tokens=cached,
        output_tokens=written,
        reasoning_tokens=reasoning,
        nusd=nusd,
        dearest_nusd=dear,
        assumed=is_assumed,
        ms=ms,
        at=at,
        day=at[:10],
    )
    return Amount(nusd=nusd, tokens=tokens, steps=1, ms=ms), record
