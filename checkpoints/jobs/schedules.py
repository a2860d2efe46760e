"""Schedules: jobs that are submitted by the clock, each firing once, whichever worker looks at it.

What is due is found and submitted in one transaction, and the moment of the next firing moves on in it. A job's id is
the schedule's name and the moment of the firing: submitted by hand again it is the same job. A clock that is set back
finds nothing due until it has caught up; one that is set forward finds what it passed over, and policy says what of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, from_row, plain_text, read_json, read_moment
from signoff.checkpoints.errors import BadSchedule, Tampered, UnknownSchedule
from signoff.checkpoints.jobs.job import ENDED, NewJob
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.schema import jobs, schedules
from signoff.checkpoints.ledger.session import Transactions, clock
from signoff.error_base import MissingExtra

if TYPE_CHECKING:
    from signoff.checkpoints.jobs.job_table import Jobs

Overlap = Literal["skip", "queue-one", "allow"]
"""What becomes of a firing while a job of an earlier one has not ended: it is left out; it is submitted, and further
ones are left out; it is submitted."""
CATCH_UP_SECONDS: Final = 3_600
_MOST_MISSED: Final = 1_000
"""Of more missed firings, the newest are looked at; of those that are too old as many are counted."""
_YEAR: Final = 366 * 86_400
"""Seconds back that missed firings are made up for at most."""


@dataclass(frozen=True)
class Schedule:
    """What is submitted when."""

    name: str
    cron: str
    zone: str
    overlap: Overlap
    catch_up: int
    newest_only: bool
    tenant: str
    team: str
    goal: str
    options: dict[str, Any]
    given: dict[str, Any]
    priority: int
    made_by: str
    made_at: str
    paused_by: str
    next_at: str
    last_at: str
    told: str

    def firings(self, since: datetime) -> Iterator[datetime]:
        """Its moments after this one, in UTC."""
        return firings(self.cron, self.zone, since)

    def job(self, at: datetime) -> NewJob:
        """What the firing of this moment submits."""
        name = f"{self.name}@{at.strftime('%Y-%m-%dT%H:%MZ')}"
        options = {key: value.replace("{id}", name) if key == "out" else value for key, value in self.options.items()}
        return NewJob(
            id=name,
            tenant=self.tenant,
            team=self.team,
            goal=self.goal,
            given=self.given,
            options=options,
            priority=self.priority,
        )


def firings(cron: str, zone: str, since: datetime) -> Iterator[datetime]:
    """The moments of a cron expression after this one, in UTC; BadSchedule if there is no such expression or zone.

    In the hour that comes twice as clocks are set back, what names its hours comes once, and every hour means both.
    """
    try:
        from croniter import croniter
    except ImportError as error:
        raise MissingExtra("Schedules", "fleet") from error
    if len(cron.split()) != 5 or not croniter.is_valid(cron):
        raise BadSchedule(f"{cron!r} is no five fields of cron, such as '0 8 * * 1' for Mondays at eight")
    try:
        place = ZoneInfo(zone)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise BadSchedule(f"{zone!r} is no time zone, such as Europe/Berlin") from None
    found, names_hours = croniter(cron, since.astimezone(place)), not cron.split()[1].startswith("*")

    def moments() -> Iterator[datetime]:
        while True:
            at = found.get_next(datetime).astimezone(UTC)
            if not (names_hours and at.astimezone(place).fold):
                yield at

    return moments()


class Schedules:
    """The schedules table."""

    def __init__(self, ledger: Transactions, audit: AuditLog, jobs: Jobs) -> None:
        self._ledger, self._audit, self._jobs = ledger, audit, jobs

    def add(
        self,
        name: str,
        cron: str,
        job: NewJob,
        *,
        by: str,
        zone: str = "UTC",
        overlap: Overlap = "skip",
        catch_up: int = CATCH_UP_SECONDS,
        newest_only: bool = True,
    ) -> Schedule:
        """Have what `job` says submitted by this clock; one of the same name and tenant is replaced."""
        with self._ledger.write() as connection:
            whose = connection.execute(select(schedules.c.tenant).where(schedules.c.name == name)).scalar()
            if whose not in (None, job.tenant):
                raise BadSchedule(f"{name!r} is one of tenant {whose!r}, which would be gone: take another name")
            now = read_moment(clock(connection))
            first = canonical.moment_of(next(firings(cron, zone, now)))
            how = {"cron": cron, "zone": zone, "overlap": overlap, "catch_up": catch_up, "newest_only": newest_only}
            what = {"tenant": job.tenant, "team": job.team, "goal": job.goal, "priority": job.priority}
            kept = {"options": canonical_json(dict(job.options)), "given": canonical_json(dict(job.given))}
            made = {"made_by": by, "made_at": canonical.now(), "next_at": first}
            connection.execute(delete(schedules).where(schedules.c.name == name))
            connection.execute(insert(schedules).values(name=name, **how, **what, **kept, **made))
            self._audit.append(connection, "", "schedule", name=name, change="added", by=by, **how, **what)
            return self._get(connection, name)

    def remove(self, name: str, *, by: str) -> None:
        """Submit nothing more by it; UnknownSchedule if there is none of this name."""
        with self._ledger.write() as connection:
            self._get(connection, name)
            connection.execute(delete(schedules).where(schedules.c.name == name))
            self._audit.append(connection, "", "schedule", name=name, change="removed", by=by)

    def pause(self, name: str, *, by: str) -> None:
        """Let its firings pass until it goes on."""
        self._set(name, "paused", by, paused_by=by)

    def go_on(self, name: str, *, by: str) -> None:
        """Submit by it again, from its next firing on."""
        with self._ledger.read() as connection:
            now = read_moment(clock(connection))
            first = next(self._get(connection, name).firings(now))
        self._set(name, "resumed", by, paused_by="", next_at=canonical.moment_of(first))

    def run_now(self, name: str, *, by: str) -> str:
        """Submit its job now, whatever the clock says; the job's id."""
        with self._ledger.write() as connection:
            schedule = self._get(connection, name)
            job = schedule.job(read_moment(clock(connection)))
            self._jobs.add(connection, job, by)
        return job.id

    def backfill(self, name: str, since: datetime, until: datetime, *, by: str) -> list[str]:
        """Submit what it would have submitted in this span, without what was; the ids of the jobs."""
        made = []
        with self._ledger.write() as connection:
            schedule = self._get(connection, name)
            for at in _between(schedule, since - timedelta(seconds=1), until):
                job = schedule.job(at)
                if self._jobs.add(connection, job, by):
                    made.append(job.id)
        return made

    def all(self) -> list[Schedule]:
        """All schedules, by name."""
        with self._ledger.read() as connection:
            return [_read(row) for row in connection.execute(select(schedules).order_by(schedules.c.name))]

    def fire(self) -> list[str]:
        """Submit what is due, by the policy of each schedule; the ids of the jobs.

        Tampered, once all others were looked at, if there is one that cannot be read.
        """
        now = canonical.now()
        due = (schedules.c.paused_by == "") & (schedules.c.next_at <= now)
        with self._ledger.read() as connection:
            if connection.execute(select(schedules.c.name).where(due).limit(1)).first() is None:
                return []
        made, wrong = list[str](), list[Tampered]()
        with self._ledger.write() as connection:
            now = clock(connection)
            found = connection.execute(select(schedules).where(due)).all()  # as they stand, now that nobody else writes
            for row in found:
                try:
                    made += self._fire(connection, _read(row), read_moment(now))
                except Tampered as error:  # the others are submitted all the same
                    wrong.append(error)
        if wrong:
            raise wrong[0]
        return made

    def _fire(self, connection: Connection, schedule: Schedule, now: datetime) -> list[str]:
        before, second = read_moment(schedule.next_at) - timedelta(seconds=1), timedelta(seconds=1)
        since = max(before, now - timedelta(seconds=min(schedule.catch_up, _YEAR)) - second)
        older = list(
            islice(_between(schedule, before, since), _MOST_MISSED)
        )  # nobody is to wait while a year is counted
        recent = list(_between(schedule, since, now))[-_MOST_MISSED:]
        wanted = [at for at in recent if (now - at).total_seconds() <= schedule.catch_up]
        missed, wanted = [*older, *recent], wanted[-1:] if schedule.newest_only else wanted
        made = list[str]()
        for at in wanted:
            if self._may(connection, schedule):
                job = schedule.job(at)
                if self._jobs.add(connection, job, f"schedule {schedule.name}"):
                    made.append(job.id)
        left = len(missed) - len(made)
        more = "more than " if len(older) == _MOST_MISSED else ""
        told = f"{len(made)} submitted" + (f", {more}{left} left out" if left else "")
        last = canonical.moment_of(missed[-1]) if missed else schedule.last_at
        moved = {"next_at": canonical.moment_of(next(schedule.firings(now))), "last_at": last, "told": told}
        connection.execute(update(schedules).where(schedules.c.name == schedule.name).values(**moved))
        return made

    def _may(self, connection: Connection, schedule: Schedule) -> bool:
        """Whether one more may be submitted while those before it have not ended."""
        if schedule.overlap == "allow":
            return True
        mine = jobs.c.id.startswith(f"{plain_text(schedule.name)}@", autoescape=True) & (
            jobs.c.tenant == schedule.tenant
        )
        query = select(func.count()).where(mine, jobs.c.status.not_in(ENDED))
        return int(connection.execute(query).scalar_one()) < (1 if schedule.overlap == "skip" else 2)

    def _set(self, name: str, change: str, by: str, **values: Any) -> None:
        with self._ledger.write() as connection:
            self._get(connection, name)
            connection.execute(update(schedules).where(schedules.c.name == name).values(**values))
            self._audit.append(connection, "", "schedule", name=name, change=change, by=by)

    def _get(self, connection: Connection, name: str) -> Schedule:
        row = connection.execute(select(schedules).where(schedules.c.name == name)).first()
        if row is None:
            raise UnknownSchedule(name)
        return _read(row)


def _between(schedule: Schedule, since: datetime, until: datetime) -> Iterator[datetime]:
    for at in schedule.firings(since):
        if at > until:
            return
        yield at


def _read(row: Row[Any]) -> Schedule:
    kept: Mapping[str, Any] = {name: read_json(getattr(row, name), dict, "A schedule") for name in ("options", "given")}
    return from_row(Schedule, row, **kept)
