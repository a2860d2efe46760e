"""What the calls of models add up to: by run, agent, model, tier, team or day."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from sqlalchemy import BigInteger, case, cast, func, select

from signoff.checkpoints.canonical import from_row
from signoff.checkpoints.ledger.budgets.accounts import lost_calls
from signoff.checkpoints.ledger.budgets.amounts import NANO, CallRecord
from signoff.checkpoints.ledger.schema import usage
from signoff.checkpoints.ledger.session import Transactions
from signoff.checkpoints.process_identity import current_owner

Kind = Literal["run", "agent", "model", "tier", "team", "day"]
"""What spending is added up by."""


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
    """Calls that were charged their worst case: no usage was told, or nobody was left to hear it."""
    usd_assumed: float
    """What those were charged."""
    seconds: float
    """How long the calls took, added up."""


_TOKENS: Final = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


class Spending:
    """The usage table, and what will be written there of calls whose process is gone."""

    def __init__(self, ledger: Transactions) -> None:
        self._ledger = ledger

    def by(self, kind: Kind, run_id: str | None = None) -> list[Spent]:
        """What was spent, of all runs or of one: the dearest first, days in their order."""
        name, columns = usage.c[{"run": "run_id", "agent": "role"}.get(kind, kind)], usage.c
        query = select(
            name.label("name"),
            func.count().label("calls"),
            _sum(case((columns.outcome == "ok", 0), else_=1)).label("failed"),
            *(_sum(columns[what]).label(what) for what in _TOKENS),
            _sum(columns.nusd).label("nusd"),
            _sum(case((columns.dearest_nusd > 0, columns.dearest_nusd - columns.nusd), else_=0)).label("saved"),
            _sum(case((columns.assumed, 1), else_=0)).label("assumed"),
            _sum(case((columns.assumed, columns.nusd), else_=0)).label("nusd_assumed"),
            _sum(columns.ms).label("ms"),
        ).group_by(name)
        if run_id is not None:
            query = query.where(columns.run_id == run_id)
        with self._ledger.read() as connection:
            rows = connection.execute(query).all()
            lost = [call for call in lost_calls(connection, current_owner()) if run_id in (None, call.run_id)]
        found = {
            row.name: from_row(
                Spent,
                row,
                usd=(row.nusd or 0) / NANO,
                usd_saved=(row.saved or 0) / NANO,
                usd_assumed=(row.nusd_assumed or 0) / NANO,
                seconds=(row.ms or 0) / 1e3,
            )
            for row in rows
        }
        for call in lost:
            spent = getattr(call, name.name)
            found[spent] = _with_lost(found.get(spent) or Spent(name=spent, **_NOTHING), call)
        by_name = sorted(found.values(), key=lambda spent: spent.name)
        return by_name if kind == "day" else sorted(by_name, key=lambda spent: spent.usd, reverse=True)


_NOTHING: Final[dict[str, Any]] = {each.name: 0 for each in fields(Spent) if each.name != "name"}


def _with_lost(spent: Spent, call: CallRecord) -> Spent:
    usd = call.nusd / NANO
    return replace(
        spent,
        calls=spent.calls + 1,
        failed=spent.failed + 1,
        assumed=spent.assumed + 1,
        output_tokens=spent.output_tokens + call.output_tokens,
        usd=spent.usd + usd,
        usd_assumed=spent.usd_assumed + usd,
        seconds=spent.seconds + call.ms / 1e3,
    )


def _sum(amounts: Any) -> Any:
    """Their sum; PostgreSQL's own is a decimal number."""
    return cast(func.sum(amounts), BigInteger)
