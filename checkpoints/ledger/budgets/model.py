"""Budgets: hard limits in dollars, tokens, steps and seconds, and what is counted against them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signoff.checkpoints import clock
from signoff.errors import TeamError

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
        """Read `$2`, words such as `usd=2 tokens=100000`, or `none`; ValueError says what else it says."""
        if text.strip().lower() == "none":
            return cls()
        values: dict[str, Any] = {}
        for word in text.replace(",", " ").split():
            name, equals, value = ("usd", "=", word[1:]) if word.startswith("$") else word.partition("=")
            if name not in cls.model_fields or not equals or name in values:
                raise ValueError(f"{word!r} is not $AMOUNT, or one of usd, tokens, steps, seconds with =NUMBER, once")
            values[name] = value.replace("_", "")
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise ValueError(_reason(error)) from None

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
        return ", ".join(_said(name, value) for name, value in self if value is not None) or "no limit"


NO_LIMIT: Final = Budget()
"""Limits nothing."""


def budget_of(given: Budget | str, whose: str) -> Budget:
    """The budget that a program gives, as such or as a text; TeamError says whose it is if it cannot be read."""
    if isinstance(given, Budget):
        return given
    try:
        if isinstance(given, str):
            return Budget.read(given)
        problem = "it is neither a Budget nor a text"
    except ValueError as error:
        problem = str(error)
    raise TeamError(f"{whose}: the budget {given!r} is not usable ({problem}). Write it as '$2 tokens=100000'.")


def _reason(error: ValidationError) -> str:
    """Why a number is no limit."""
    first = error.errors()[0]
    name, found = first["loc"][0], first.get("ctx", {})
    match first["type"]:
        case "greater_than_equal":
            return f"{name} must be 0 or more"
        case "less_than_equal":
            return f"{name} must be {found['le']:,} or less"
        case _:
            return f"{name} must be a {'whole ' if name in ('tokens', 'steps') else ''}number"


def _said(name: str, value: float) -> str:
    """A limit with its unit."""
    match name:
        case "usd":
            return f"${value:,.9g}"
        case "seconds":
            return f"{value:,} s"
        case _:
            return f"{value:,} {name.removesuffix('s') if value == 1 else name}"


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
