"""Spending: one row for every call of a model, and what they add up to."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy import Connection, bindparam, case, func, insert, select

from signoff.checkpoints import clock
from signoff.checkpoints.ledger.schema import usage

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.ledger import Ledger

Kind = Literal["run", "agent", "model", "tier", "team", "day"]
"""What spending is added up by."""

_NAMES: Final[dict[str, str]] = {
    "run": "run_id",
    "agent": "role",
    "model": "model",
    "tier": "tier",
    "team": "team",
    "day": "day",
}
_AT_ONCE: Final = 500

# Built once, as in books.py.
_ADD: Final = insert(usage)
_KNOWN: Final = select(usage.c.id).where(usage.c.id.in_(bindparam("ids", expanding=True)))
_TOTALS: Final = (
    func.sum(usage.c.nusd),
    func.sum(usage.c.input_tokens + usage.c.output_tokens),
    func.count(),
    func.sum(usage.c.ms),
)
_SUMS: Final = {
    first.name: select(first, second, *_TOTALS)
    .where(first.in_(bindparam("values", expanding=True)))
    .group_by(first, second)
    for first, second in ((usage.c.run_id, usage.c.role), (usage.c.day, usage.c.team))
}


@dataclass(frozen=True, kw_only=True)
class CallRecord:
    """One call of a model: who paid, what was used, what it cost. Money is in nano-dollars."""

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
    """The endpoint told no usage: the worst case was charged."""
    ms: int = 0
    id: str = field(default_factory=lambda: secrets.token_hex(16))
    """The same record is written once, however often it is given."""
    at: str = field(default_factory=clock.now)
    day: str = field(default_factory=clock.today)
    """Of UTC: the day whose budget it is charged to."""


@dataclass(frozen=True, kw_only=True)
class Spent:
    """What the calls of one run, agent, model … add up to."""

    name: str
    calls: int
    failed: int
    """Calls that did not end well; they may have cost something all the same."""
    input_tokens: int
    cached_tokens: int
    output_tokens: int
    reasoning_tokens: int
    usd: float
    usd_saved: float
    """Less than the strongest tier would have cost, where that is known."""
    assumed: int
    """Calls that were charged their worst case, because the endpoint told no usage."""
    usd_assumed: float
    """What those were charged."""
    seconds: float
    """How long the calls took, added up."""


class Spending:
    """The usage table."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def by(self, kind: Kind, run_id: str | None = None) -> list[Spent]:
        """What was spent, of all runs or of one: the dearest first, days in their order."""
        name, columns = usage.c[_NAMES[kind]], usage.c
        saved = case((columns.dearest_nusd > 0, columns.dearest_nusd - columns.nusd), else_=0)
        query = select(
            name.label("name"),
            func.count().label("calls"),
            func.sum(case((columns.outcome == "ok", 0), else_=1)).label("failed"),
            *(func.sum(columns[f"{what}_tokens"]).label(what) for what in ("input", "cached", "output", "reasoning")),
            func.sum(columns.nusd).label("nusd"),
            func.sum(saved).label("saved"),
            func.sum(case((columns.assumed, 1), else_=0)).label("assumed"),
            func.sum(case((columns.assumed, columns.nusd), else_=0)).label("nusd_assumed"),
            func.sum(columns.ms).label("ms"),
        ).group_by(name)
        if run_id is not None:
            query = query.where(columns.run_id == run_id)
        query = query.order_by(name) if kind == "day" else query.order_by(func.sum(columns.nusd).desc(), name)
        with self._ledger.read() as connection:
            rows = connection.execute(query).all()
        return [
            Spent(
                name=row.name,
                calls=int(row.calls),
                failed=int(row.failed),
                input_tokens=int(row.input),
                cached_tokens=int(row.cached),
                output_tokens=int(row.output),
                reasoning_tokens=int(row.reasoning),
                usd=int(row.nusd) / 1e9,
                usd_saved=int(row.saved) / 1e9,
                assumed=int(row.assumed),
                usd_assumed=int(row.nusd_assumed) / 1e9,
                seconds=int(row.ms) / 1e3,
            )
            for row in rows
        ]

    def add(self, connection: Connection, records: Sequence[CallRecord]) -> None:
        """Write records that are not written yet, within this transaction."""
        if records:
            connection.execute(_ADD, [dict(vars(record)) for record in records])

    def known(self, connection: Connection, ids: Sequence[str]) -> set[str]:
        """Those of these records that are written."""
        found: set[str] = set()
        for start in range(0, len(ids), _AT_ONCE):
            some = ids[start : start + _AT_ONCE]
            found.update(connection.execute(_KNOWN, {"ids": some}).scalars())
        return found

    def sums(self, connection: Connection, column: Literal["run_id", "day"], values: Sequence[str]) -> list[Any]:
        """Rows of (value, role or team, nusd, tokens, steps, ms): by run and role, or by day and team."""
        found: list[Any] = []
        for start in range(0, len(values), _AT_ONCE):
            some = values[start : start + _AT_ONCE]
            found += connection.execute(_SUMS[column], {"values": some}).all()
        return found
