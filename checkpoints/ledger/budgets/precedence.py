"""Who goes first where runs share a budget: those that have begun, in the order in which they began.

What a run is still going to take is promised to it, and left to it by all who began later: as much as runs of its team
took that came to their end, or all that it may take as long as none did. Only runs that are at work count.
"""

from __future__ import annotations

import statistics
import time
from typing import Any, Final, NamedTuple, Protocol, TypeVar

from sqlalchemy import Connection, bindparam, func, select

from signoff.checkpoints import canonical
from signoff.checkpoints.db.prepared import Lookup
from signoff.checkpoints.errors import BudgetExhausted
from signoff.checkpoints.ledger.budgets.accounts import TOTALS, Accounts, exhausted
from signoff.checkpoints.ledger.budgets.amounts import NOTHING, Amount, Limits
from signoff.checkpoints.ledger.schema import approvals, proposals, runs, usage
from signoff.checkpoints.process_identity import is_gone

SILENT_SECONDS: Final = 120.0
"""A run at work beats every 15 seconds; one that was silent for so long is at work no more."""
IDLE_SECONDS: Final = 900.0
"""A run that called no model for so long is promised nothing."""
_NEWER: Final = 0.5
"""Seconds after which it is looked again who is at work."""
_SAMPLE: Final = 30
"""Of how many ended runs of a team it is known what a run takes."""

_AT_WORK: Final = select(
    runs.c.id, runs.c.team, runs.c.owner, runs.c.created_at, runs.c.updated_at, runs.c.beat_at
).where(runs.c.status == "running")
_SOME_AT_WORK: Final = Lookup(select(runs.c.id, runs.c.team).where(runs.c.status == "running"), runs.c.id)
_USED: Final = Lookup(
    select(usage.c.run_id, func.min(usage.c.at), func.max(usage.c.at), *TOTALS).group_by(usage.c.run_id),
    usage.c.run_id,
)
_WAITS_FOR_MORE: Final = (
    select(proposals.c.id)
    .join(approvals, approvals.c.proposal_id == proposals.c.id)
    .where(proposals.c.run_id == runs.c.id, proposals.c.action == "raise_budget", approvals.c.status == "pending")
)
_ENDED: Final = (
    select(runs.c.id)
    .where(runs.c.team == bindparam("of_team"), runs.c.status.in_(("done", "waiting")), ~_WAITS_FOR_MORE.exists())
    .order_by(runs.c.updated_at.desc())
    .limit(_SAMPLE)
)


class Asking(Protocol):
    """A call that is to be made: for a run, or for none; of what, and from which scopes."""

    run: str
    worst: Amount
    scopes: dict[str, Limits]
    shared: dict[str, Limits]


AskingT = TypeVar("AskingT", bound=Asking)


class Promised(NamedTuple):
    """What is promised to runs that go before another, of one unit, and to how many."""

    amount: int
    runs: int


class Precedence:
    """The runs that have begun, as far as this process knows; looked up when it matters."""

    def __init__(self) -> None:
        self._teams: dict[str, str] = {}
        """Of the runs at work."""
        self._begun: dict[str, Amount] = {}
        """What the runs that have begun have used, in the order in which they began."""
        self._spent = NOTHING
        """The same of all of them."""
        self._typical: dict[str, Amount | None] = {}
        """What a run of a team takes; None if nobody knows."""
        self._seen_at = float("-inf")
        self._ahead: dict[tuple[Any, ...], tuple[dict[str, Promised], Promised]] = {}

    def order(self, connection: Connection, accounts: Accounts, queue: list[AskingT], *, again: bool) -> list[AskingT]:
        """Those who reserve: runs that have begun in the order in which they did, then who came first.

        `again`: what is known is not of this moment.
        """
        wanted = {job.run for job in queue if job.run}
        if not wanted:
            return queue
        if again or not wanted <= self._teams.keys():
            holding = accounts.runs_that_hold()
            now = time.monotonic()
            if again and now - self._seen_at > _NEWER:
                self._seen_at = now
                self._look(connection, holding)
            self._meet(connection, wanted | holding)
            for run in sorted(holding):
                self.begin(run)
        if len(queue) == 1:
            return queue
        places = {run: place for place, run in enumerate(self._begun)}
        return sorted(queue, key=lambda job: places.get(job.run, len(places)))

    def in_the_way(self, accounts: Accounts, job: Asking) -> BudgetExhausted | None:
        """What keeps a call waiting since others began before its run."""
        if job.run not in self._teams:
            return None
        own = dict(job.scopes.get(f"run:{job.run}", ()))
        for name, limits in job.shared.items():
            for room in accounts.room(name, limits, job.worst):
                most = min(own.get(room.unit, room.limit), room.limit)
                if self._at_most(room.unit, most) <= room.left:
                    continue
                ahead, needed = self._promised(job.run, name, room.unit, most)
                if ahead.runs and ahead.amount + needed > room.left:
                    promised = {"promised": ahead.amount, "runs": ahead.runs}
                    return exhausted(name, room.unit, room.limit, room.spent, room.wanted, room.held, **promised)
        return None

    def _look(self, connection: Connection, holding: set[str]) -> None:
        """Look who is at work, who of them has begun, and what such runs take; `holding`: who has a call under way."""
        self._teams = {row.id: row.team for row in connection.execute(_AT_WORK) if _is_alive(row)}
        used = {}
        for run, first, last, *sums in _USED.rows(connection, list(self._teams)):
            if run in holding or canonical.seconds_since(last) < IDLE_SECONDS:
                used[run] = (first, run), Amount(*map(int, sums))
        unsettled = [run for run in self._begun if run in self._teams and run in holding and run not in used]
        self._begun = {run: used[run][1] for run in sorted(used, key=lambda run: used[run][0])}
        self._begun |= dict.fromkeys(unsettled, NOTHING)
        self._spent = sum(self._begun.values(), NOTHING)
        for team in set(self._teams.values()):
            begun = [amount for run, amount in self._begun.items() if self._teams[run] == team]
            self._typical[team] = _typical(_taken(connection, team), begun)
        self._ahead.clear()

    def _meet(self, connection: Connection, found: set[str]) -> None:
        """Look up those of these runs that were not at work before."""
        for run, team in _SOME_AT_WORK.rows(connection, sorted(found - self._teams.keys())):
            self._teams[run] = team
            if team not in self._typical:
                self._typical[team] = _typical(_taken(connection, team), [])

    def begin(self, run: str) -> None:
        """Its first call may be made."""
        if run in self._teams and run not in self._begun:
            self._begun[run] = NOTHING
            self._ahead.clear()

    def charge(self, run: str, spent: Amount) -> None:
        """It has used this."""
        if run in self._begun:
            self._begun[run] += spent
            self._spent += spent
            self._ahead.clear()

    def _at_most(self, unit: int, most: int) -> int:
        """What all that have begun and one more can still take at most, without a look at each of them.

        `most`: as for `_promised`, to which it comes down only where a budget is about to run short.
        """
        expected = max((most if typical is None else typical[unit] for typical in self._typical.values()), default=most)
        return (len(self._begun) + 1) * expected + self._spent[unit]

    def _promised(self, run: str, scope: str, unit: int, most: int) -> tuple[Promised, int]:
        """What goes before this run in a scope, and what it is going to take itself.

        `most`: what a run takes at most, where nothing is known of its team.
        """
        team = scope.removeprefix("team:").rpartition("@")[0] if scope.startswith("team:") else None
        key = team, unit, most
        if key not in self._ahead:
            ahead, total = {}, Promised(0, 0)
            for each, spent in self._begun.items():
                if team is None or self._teams[each] == team:
                    ahead[each] = total
                    total = Promised(total.amount + self._left(each, spent[unit], unit, most), total.runs + 1)
            self._ahead[key] = ahead, total
        ahead, total = self._ahead[key]
        own = self._left(run, self._begun.get(run, NOTHING)[unit], unit, most)
        return ahead.get(run, total), own

    def _left(self, run: str, spent: int, unit: int, most: int) -> int:
        """What a run will still take; one that took more than others do goes on for as long as it has gone beyond."""
        typical = self._typical.get(self._teams[run])
        expected = most if typical is None else typical[unit]
        return abs(expected - spent)


def _is_alive(row: Any) -> bool:
    heard = max(row.created_at, row.updated_at, row.beat_at)
    return canonical.seconds_since(heard) < SILENT_SECONDS and not (row.owner and is_gone(row.owner))


def _taken(connection: Connection, team: str) -> list[Amount]:
    """What the runs of this team took that ended last."""
    ended = [row.id for row in connection.execute(_ENDED, {"of_team": team})]
    return [Amount(*map(int, sums)) for _, _, _, *sums in _USED.rows(connection, ended)]


def _typical(ended: list[Amount], begun: list[Amount]) -> Amount | None:
    """What a run takes: more than most did that ended, and the more so the fewer those are; None if there are none.

    Those that have begun and took more than others did are known to take as much at least: short runs end first.
    """
    if not ended:
        return None
    numbers = []
    for unit in range(len(NOTHING)):
        taken = [amount[unit] for amount in ended]
        taken += [amount[unit] for amount in begun if amount[unit] > statistics.fmean(taken)]
        mean = statistics.fmean(taken)
        numbers.append(int(mean + statistics.pstdev(taken) + 4 * mean / len(taken)))
    return Amount(*numbers)
