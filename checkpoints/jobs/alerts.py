"""Alerts: what somebody should look at in the fleet as a whole; each is told once, and once more when it is over.

What holds is found anew at each look. That it was told is a row, which is written in one transaction with the notice:
so that of several workers, monitors and commands that look, one tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, get_args

from sqlalchemy import Connection, delete, func, insert, select

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import from_row
from signoff.checkpoints.jobs.limits import SET_BACK
from signoff.checkpoints.ledger.budgets.amounts import Amount, Budget, budget_of
from signoff.checkpoints.ledger.notifications.outbox import Notices
from signoff.checkpoints.ledger.schema import alerts, approvals, budgets, jobs, workers
from signoff.checkpoints.ledger.session import Transactions, clock
from signoff.settings import Settings, load_settings
from signoff.wording import counted, span

AlertName = Literal["failures", "queue_age", "no_worker", "approval_age", "budget_share"]
"""failures: so many jobs were parked within a while; queue_age: a job is queued for too long; no_worker: there are jobs
to do, and no worker has lived for a while; approval_age: a question waits for too long; budget_share: so much of the
budget of the day, or of a team's day, is used up."""
ALERTS: Final[tuple[AlertName, ...]] = get_args(AlertName)
_COUNTED: Final = 100
"""So far questions are counted."""


@dataclass(frozen=True)
class Alert:
    """One that holds."""

    name: AlertName
    says: str
    """What is wrong, and what to do, in a sentence."""
    since: str
    """When it was told; empty: it was not yet."""


class Alerts:
    """The alerts table."""

    def __init__(self, ledger: Transactions, notices: Notices, *, is_seen: bool = True) -> None:
        """`is_seen`: whether all of the fleet is, and not one tenant's jobs alone."""
        self._ledger, self._notices, self._is_seen = ledger, notices, is_seen

    def now(self, settings: Settings | None = None) -> tuple[Alert, ...]:
        """Those that hold, by the settings; None: those of the environment. Nothing is written and nobody told."""
        settings = settings or load_settings()
        with self._ledger.read() as connection:
            return self._found(connection, settings) if self._is_seen else ()

    def look(self, settings: Settings | None = None) -> tuple[Alert, ...]:
        """The same, and have everybody told of those that are new, and of those that are over."""
        settings = settings or load_settings()
        if not self._is_seen:
            return ()
        with self._ledger.read() as connection:
            found, told = self._found(connection, settings), _told(connection)
        if {alert.name for alert in found} == told.keys():
            return found
        with self._ledger.write() as connection:
            found, told = self._found(connection, settings), _told(connection)
            for alert in found:
                if alert.name not in told:
                    row = {"name": alert.name, "says": alert.says, "since": canonical.now()}
                    connection.execute(insert(alerts).values(**row))
                    self._notices.add(connection, "alert", "", alert=row)
            for name in told.keys() - {alert.name for alert in found}:
                connection.execute(delete(alerts).where(alerts.c.name == name))
                over = {"name": name, "says": told[name].says, "since": told[name].since}
                self._notices.add(connection, "cleared", "", alert=over)
            return self._found(connection, settings)

    def _found(self, connection: Connection, settings: Settings) -> tuple[Alert, ...]:
        limits: Mapping[str, float] = settings.alert_limits
        told = _told(connection)
        looks = {
            "failures": _failures(connection, limits["failures"], limits["failures_within"]),
            "queue_age": _queue_age(connection, limits["queue_age"]),
            "no_worker": _no_worker(connection, limits["no_worker"]),
            "approval_age": _approval_age(connection, limits["approval_age"]),
            "budget_share": _budget_share(connection, limits["budget_share"], settings),
        }
        since = {name: told[name].since if name in told else "" for name in ALERTS}
        return tuple(Alert(name, says, since[name]) for name in ALERTS if limits[name] and (says := looks[name]))


def _told(connection: Connection) -> dict[str, Alert]:
    return {row.name: from_row(Alert, row) for row in connection.execute(select(alerts))}


def _failures(connection: Connection, most: float, within: float) -> str:
    recent = (jobs.c.status == "parked") & (jobs.c.ended_at >= canonical.later(-within))
    number = int(connection.execute(select(func.count()).where(recent)).scalar_one())
    if number < most:
        return ""
    return f"{counted(number, 'job')} were parked in the last {span(within)}: `signoff fleet jobs --status parked`."


def _queue_age(connection: Connection, most: float) -> str:
    """What is out of the queue by a limit that somebody set waits as it should."""
    free = (jobs.c.status == "queued") & (jobs.c.worker != SET_BACK)
    oldest = connection.execute(select(func.min(jobs.c.queued_at)).where(free)).scalar_one()
    age = canonical.seconds_since(str(oldest)) if oldest else 0.0
    return "" if age <= most else f"A job is queued for {span(age)}: start more workers, or look at the limits."


def _no_worker(connection: Connection, most: float) -> str:
    left = jobs.c.status.in_(("queued", "running"))
    oldest = connection.execute(select(func.min(jobs.c.queued_at)).where(left)).scalar_one()
    if not oldest:
        return ""
    alive = workers.c.until > clock(connection)
    if connection.execute(select(workers.c.slot).where(alive, workers.c.status != "lost").limit(1)).first():
        return ""
    last = connection.execute(select(func.max(workers.c.until))).scalar_one()
    age = canonical.seconds_since(max(str(oldest), str(last or "")))
    return "" if age <= most else f"No worker has lived for {span(age)}, and there are jobs: `signoff fleet work`."


def _approval_age(connection: Connection, most: float) -> str:
    waits = approvals.c.status == "pending"
    oldest = connection.execute(select(func.min(approvals.c.requested_at)).where(waits)).scalar_one()
    age = canonical.seconds_since(str(oldest)) if oldest else 0.0
    if age <= most:
        return ""
    some = select(approvals.c.id).where(waits).limit(_COUNTED).subquery()
    number = int(connection.execute(select(func.count()).select_from(some)).scalar_one())
    told = counted(number, "question") if number < _COUNTED else f"{_COUNTED} questions or more"
    return f"A question waits for {span(age)}, and {told} in all: `signoff approvals`."


def _budget_share(connection: Connection, most: float, settings: Settings) -> str:
    """The day's budget, and each team's of the day: the one of which the greatest share is used up."""
    today = canonical.today()
    limits = {level: budget_of(getattr(settings, f"{level}_budget") or "none", level) for level in ("day", "team")}
    if not any(budget.is_limited for budget in limits.values()):
        return ""
    mine = (budgets.c.scope == f"day:{today}") | (
        budgets.c.scope.startswith("team:") & budgets.c.scope.endswith(f"@{today}")
    )
    shares = []
    for row in connection.execute(select(budgets).where(mine)):
        level, _, name = str(row.scope).partition(":")
        spent = Amount(*(int(getattr(row, unit)) for unit in Amount._fields))
        share = max(_shares(spent, limits[level]), default=0.0)
        whose = "the day" if level == "day" else f"team {name.removesuffix(f'@{today}')}"
        shares.append((share, f"{share:.0%} of the budget of {whose} is used up: {limits[level]}."))
    share, says = max(shares, default=(0.0, ""))
    return says if share >= most else ""


def _shares(spent: Amount, limit: Budget) -> Iterator[float]:
    for unit, most in limit.limits:
        yield spent[unit] / most if most else 1.0
