"""What model calls used: counts of calls and tokens, and their price where it is known."""

from __future__ import annotations

from typing import TypedDict

from signoff.checkpoints.ledger.budgets.model import NANO


class Usage(TypedDict):
    """Sums over model calls."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    unpriced: int
    """Calls whose price is not known; `cost_usd` leaves them out."""


NO_USAGE = Usage(calls=0, input_tokens=0, output_tokens=0, cost_usd=0.0, unpriced=0)


def add_usage(first: Usage, second: Usage) -> Usage:
    """The sum of both."""
    return Usage(
        calls=first["calls"] + second["calls"],
        input_tokens=first["input_tokens"] + second["input_tokens"],
        output_tokens=first["output_tokens"] + second["output_tokens"],
        cost_usd=first["cost_usd"] + second["cost_usd"],
        unpriced=first["unpriced"] + second["unpriced"],
    )


def call_usage(answer: object) -> Usage:
    """Usage of one call, from the message it was answered with; the guard wrote its price there."""
    tokens = getattr(answer, "usage_metadata", None) or {}
    nusd = (getattr(answer, "response_metadata", None) or {}).get("cost_nusd")
    return Usage(
        calls=1,
        input_tokens=tokens.get("input_tokens", 0),
        output_tokens=tokens.get("output_tokens", 0),
        cost_usd=(nusd or 0) / NANO,
        unpriced=int(nusd is None),
    )
