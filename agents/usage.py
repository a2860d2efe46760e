"""What model calls used: counts of calls and tokens, and their price where it is known."""

from __future__ import annotations

from typing import TypedDict


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


def call_usage(model: str, answer: object) -> Usage:
    """Usage of one call, from the message it was answered with; prices come from genai-prices, by the model's name."""
    from genai_prices import Usage as Tokens  # 0.3 s to import, and only needed where a model is called
    from genai_prices import calc_price

    tokens = getattr(answer, "usage_metadata", None) or {}
    input_tokens, output_tokens = tokens.get("input_tokens", 0), tokens.get("output_tokens", 0)
    cost, unpriced = 0.0, 0
    try:
        cost = float(calc_price(Tokens(input_tokens=input_tokens, output_tokens=output_tokens), model).total_price)
    except LookupError:
        unpriced = 1
    return Usage(calls=1, input_tokens=input_tokens, output_tokens=output_tokens, cost_usd=cost, unpriced=unpriced)
