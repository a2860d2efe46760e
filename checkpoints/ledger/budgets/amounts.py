"""Hard limits in dollars, tokens, steps and seconds, what is counted against them, and the record of one call."""

from __future__ import annotations

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property, partial
from typing import Any, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from signoff.checkpoints import canonical
from signoff.error_base import TeamError

NANO: Final = 1_000_000_000
"""Nano-dollars in a dollar: the ledger counts money in whole ones, rounded up."""

Limits = tuple[tuple[int, int], ...]
"""Of what is limited: its place in an Amount, and how much."""


class Budget(BaseModel):
    """A hard limit; what is None is not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    usd: float | None = Field(default=None, ge=0, le=1_000_000, description="US dollars")
    tokens: int | None = Field(default=None, ge=0, le=10**15, description="Tokens, in and out")
    steps: int | None = Field(default=None, ge=0, le=10**12, description="Calls of a model, tries included")
    seconds: float | None = Field(
        default=None, ge=0, le=10**9, description="Seconds that calls of a model took, added up"
    )

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

    def shared_by(self, number: int) -> Budget:
        """The part of it that each of so many has; of what comes in whole numbers at least one."""
        return Budget(
            usd=None if self.usd is None else self.usd / number,
            tokens=None if self.tokens is None else max(1, self.tokens // number),
            steps=None if self.steps is None else max(1, self.steps // number),
            seconds=None if self.seconds is None else self.seconds / number,
        )

    @cached_property
    def amount(self) -> Amount:
        """The limits in the ledger's units; what is not limited is 0."""
        ms = math.ceil((self.seconds or 0) * 1000)
        return Amount(nusd=nano_dollars(self.usd or 0), tokens=self.tokens or 0, steps=self.steps or 0, ms=ms)

    @cached_property
    def limits(self) -> Limits:
        return tuple((unit, self.amount[unit]) for unit, (_, limit) in enumerate(self._said) if limit is not None)

    @property
    def is_limited(self) -> bool:
        return bool(self.limits)

    def __str__(self) -> str:
        return ", ".join(_said(name, value) for name, value in self._said if value is not None) or "no limit"

    @property
    def _said(self) -> list[tuple[str, float | None]]:
        """Each limit by name: an iteration of the model gives what was computed of it as well."""
        return [(name, getattr(self, name)) for name in type(self).model_fields]


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
    match name:
        case "usd":
            return f"${value:,.9g}"
        case "seconds":
            return f"{value:,} s"
        case _:
            return f"{value:,} {name.removesuffix('s') if value == 1 else name}"


class Amount(NamedTuple):
    """What one or more calls may use or have used, in the ledger's units."""

    nusd: int = 0
    tokens: int = 0
    steps: int = 0
    ms: int = 0

    def __add__(self, other: Amount) -> Amount:  # type: ignore[override]  # of numbers, not of tuples
        return Amount(self[0] + other[0], self[1] + other[1], self[2] + other[2], self[3] + other[3])

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self[0] - other[0], self[1] - other[1], self[2] - other[2], self[3] - other[3])


NOTHING: Final = Amount()

LOST: Final = "lost"
"""The outcome of a call whose process was gone before it was settled."""


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """One call of a model, and a row of `usage`: who paid, what was used, what it cost. Money is in nano-dollars."""

    id: str = field(default_factory=partial(secrets.token_hex, 16))
    """The same record is written once, however often it is given."""
    at: str = field(default_factory=canonical.now)
    day: str = field(default_factory=canonical.today)
    """Of UTC: the day whose budget it is charged to."""
    run_id: str = ""
    """Empty outside a run."""
    team: str = ""
    role: str = ""
    tier: str = ""
    model: str = ""
    endpoint: str = ""
    """Host and port; empty if the model has none."""
    outcome: str = "ok"
    """What went wrong, in one word, if it is not ok."""
    input_tokens: int = 0
    cached_tokens: int = 0
    """Part of the input."""
    output_tokens: int = 0
    reasoning_tokens: int = 0
    """Part of the output."""
    nusd: int = 0
    dearest_nusd: int = 0
    """What the strongest tier would have cost; 0 if nobody knows."""
    assumed: bool = False
    """Nobody knows what it used: the worst case was charged."""
    ms: int = 0


@dataclass(frozen=True)
class Scope:
    """Something that has a budget: its name in the ledger, and its limit."""

    name: str
    limit: Budget


def scopes_of(*, run_id: str, role: str, team: str, limits: Mapping[str, Budget], item: str = "") -> tuple[Scope, ...]:
    """The scopes that a call is charged to, innermost first: item, agent, run, team and day; only those with a limit.

    The run also if what it shares with others is. `limits` has the budgets by those words. A team's budget is for
    one day, and days are those of UTC.
    """
    limited = {level for level, limit in limits.items() if limit.is_limited}
    is_shared = not limited.isdisjoint({"team", "day"})
    if run_id and is_shared:
        limited.add("run")
    day = canonical.today() if is_shared else ""
    names = {
        "item": f"item:{run_id}/{role}/{canonical.digest_text(item)[:12] if 'item' in limited else ''}",
        "agent": f"agent:{run_id}/{role}",
        "run": f"run:{run_id}",
        "team": f"team:{team}@{day}",
        "day": f"day:{day}",
    }
    return tuple(Scope(name, limits.get(level, NO_LIMIT)) for level, name in names.items() if level in limited)


def names_of(call: CallRecord) -> tuple[str, ...]:
    """The scopes of a call that adds up, whether they are limited or not."""
    names = [f"day:{call.day}", f"team:{call.team}@{call.day}"]
    if call.run_id:
        names += [f"agent:{call.run_id}/{call.role}", f"run:{call.run_id}"]
    return tuple(map(canonical.plain_text, names))


def nano_dollars(usd: float | Decimal) -> int:
    """Whole nano-dollars, rounded up."""
    return math.ceil(Decimal(str(usd)) * NANO)
