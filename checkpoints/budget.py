"""Budgets: hard limits in dollars, tokens, steps and seconds, and what is counted against them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from signoff.checkpoints import clock

NANO: Final = 1_000_000_000
"""Nano-dollars in a dollar: the ledger counts money in whole ones, rounded up."""


class Budget(BaseModel):
    """A hard limit; what is None is not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    usd: float | None = Field(None, ge=0, le=1_000_000, description="US dollars")
    tokens: int | None = Field(None, ge=0, le=10**15, description="Tokens, in and out")
    steps: int | None = Field(None, ge=0, le=10**12, description="Calls of a model, tries included")
    seconds: float | None = Field(None, ge=0, le=10**9, description="Seconds that calls of a model took, added up")

    @classmethod
    def read(cls, text: str) -> Budget:
        """Read `$2`, or words such as `usd=2 tokens=100000`; ValueError if it says anything else."""
        values: dict[str, Any] = {}
        for word in text.replace(",", " ").split():
            name, equals, value = ("usd", "=", word[1:]) if word.startswith("$") else word.partition("=")
            if name not in cls.model_fields or not equals or name in values:
                raise ValueError(f"{word!r} is not $AMOUNT, or one of usd, tokens, steps, seconds with =NUMBER, once")
            values[name] = value.replace("_", "")
        return cls.model_validate(values)

    @property
    def amount(self) -> Amount:
        """The limits in the ledger's units; what is not limited is 0."""
        return Amount(
            nusd=nano_dollars(self.usd or 0), tokens=self.tokens or 0, steps=self.steps or 0, ms=_ms(self.seconds or 0)
        )

    @property
    def is_limited(self) -> bool:
        """Whether anything is limited at all."""
        return any(value is not None for value in (self.usd, self.tokens, self.steps, self.seconds))

    def __str__(self) -> str:
        words = {"usd": "$", "tokens": " tokens", "steps": " steps", "seconds": " s"}
        said = [
            f"${value:,.9g}" if name == "usd" else f"{value:,}{words[name]}"
            for name, value in self.model_dump().items()
            if value is not None
        ]
        return ", ".join(said) or "no limit"


NO_LIMIT: Final = Budget()
"""Limits nothing."""


@dataclass(frozen=True, kw_only=True)
class Amount:
    """What one or more calls may use or have used, in the ledger's units."""

    nusd: int = 0
    tokens: int = 0
    steps: int = 0
    ms: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(
            nusd=self.nusd + other.nusd,
            tokens=self.tokens + other.tokens,
            steps=self.steps + other.steps,
            ms=self.ms + other.ms,
        )


@dataclass(frozen=True)
class Scope:
    """Something that has a budget: its name in the ledger, and its limit."""

    name: str
    limit: Budget


def scopes_of(*, run_id: str, role: str, team: str, limits: dict[str, Budget]) -> tuple[Scope, ...]:
    """The scopes that a call is charged to, innermost first: agent, run, team and day; only those that are limited.

    `limits` has the budgets by those four words. A team's budget is for one day, and days are those of UTC.
    """
    day = clock.now()[:10]
    names = {
        "agent": f"agent:{run_id}/{role}",
        "run": f"run:{run_id}",
        "team": f"team:{team}@{day}",
        "day": f"day:{day}",
    }
    return tuple(
        Scope(name, limits[level]) for level, name in names.items() if level in limits and limits[level].is_limited
    )


def nano_dollars(usd: float | Decimal) -> int:
    """Whole nano-dollars, rounded up."""
    return math.ceil(Decimal(str(usd)) * NANO)


def _ms(seconds: float) -> int:
    return math.ceil(seconds * 1000)
