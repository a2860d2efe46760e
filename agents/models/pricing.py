"""Prices: what a call costs, from the settings or from genai-prices' table, in whole nano-dollars, rounded up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from ipaddress import ip_address
from typing import Protocol

from signoff.checkpoints.ledger.budgets.model import nano_dollars
from signoff.settings import DollarsPerMillion


class Price(Protocol):
    """What the tokens of one call cost."""

    def cost(self, *, input_tokens: int, cached_tokens: int = 0, output_tokens: int) -> int:
        """Nano-dollars; the cached tokens are part of the input, and reasoning is part of the output."""


@dataclass(frozen=True)
class SetPrice:
    """A price that somebody set, in dollars for a million tokens."""

    input: Decimal
    cached: Decimal
    output: Decimal

    def cost(self, *, input_tokens: int, cached_tokens: int = 0, output_tokens: int) -> int:
        """Nano-dollars."""
        fresh = max(input_tokens - cached_tokens, 0)
        total = fresh * self.input + cached_tokens * self.cached + output_tokens * self.output
        return nano_dollars(total / 1_000_000)


@dataclass(frozen=True)
class TablePrice:
    """The price in genai-prices' table, which knows tiers by length and times of change."""

    model: str
    endpoint: str

    def cost(self, *, input_tokens: int, cached_tokens: int = 0, output_tokens: int) -> int:
        """Nano-dollars; LookupError if the table has no such model."""
        from genai_prices import Usage, calc_price  # 0.3 s to import, and only needed where a model is called

        tokens = Usage(input_tokens=input_tokens, cache_read_tokens=cached_tokens, output_tokens=output_tokens)
        try:
            found = (
                calc_price(tokens, self.model, provider_api_url=f"https://{self.endpoint}") if self.endpoint else None
            )
        except LookupError:
            found = None  # a gateway to a known model: its name is what is left
        return nano_dollars((found or calc_price(tokens, self.model)).total_price)


FREE = SetPrice(Decimal(0), Decimal(0), Decimal(0))


def price_of(model: str, endpoint: str, prices: Mapping[str, DollarsPerMillion]) -> Price | None:
    """The price of a model behind an endpoint (`host:port`): as set, nothing on this machine, else the table's.

    None if nobody knows it.
    """
    if model in prices:
        return _as_set(prices[model])
    if _is_here(endpoint):
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
    if isinstance(said, dict):
        fresh = said.get("input", 0.0)
        values = (fresh, said.get("cached", fresh), said.get("output", 0.0))
    else:
        values = (said, said, said)
    return SetPrice(*(Decimal(str(value)) for value in values))


def _is_here(endpoint: str) -> bool:
    """Whether the endpoint is on this machine."""
    host = endpoint.rpartition(":")[0].strip("[]") or endpoint
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
