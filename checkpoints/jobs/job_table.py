"""Jobs, as people have them in hand: submitted, listed, cancelled, retried, held and resumed.

It is longer than most: what people ask of them all is a query each, and what it gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    CompoundSelect,
    Connection,
    Select,
    Table,
    Text,
    bindparam,
    case,
    cast,
    delete,
    func,
    insert,
    literal,
    select,
    true,
    union_all,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, read_json
from signoff.checkpoints.db.prepared import Prepared
from signoff.checkpoints.errors import JobChanged
from signoff.checkpoints.jobs.job import DEFAULT_TENANT, RUN_ID_LENGTH, Job, JobStatus, NewJob, Which, read_job
from signoff.checkpoints.jobs.limits import JobLimits
from signoff.checkpoints.jobs.queue import TurnQueue
from signoff.checkpoints.jobs.turns import Turns
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.budgets.amounts import NANO
from signoff.checkpoints.ledger.run_path import is_below, is_within
from signoff.checkpoints.ledger.runs import Runs
from signoff.checkpoints.ledger.schema import RUN_TENANT, approvals, effects, jobs, runs, usage
from signoff.checkpoints.ledger.session import Transactions

_DROPPED: Final = ("done", "stopped", "cancelled")
_AT_ONCE = 500
"""Ids in one statement; databases take only so many."""
_REASONS: Final = 3
_DAY: Final = 86_400.0
HOURS: Final = 24
"""So many hours back it is told what ended in each."""


@dataclass(frozen=True)
class Submitted:
    """What came of submitting jobs."""

    new: tuple[str, ...]
    """Ids of those that were not there before."""
    known: tuple[str, ...]
    """Ids of those that were, with the same input: nothing is done anew."""


@dataclass(frozen=True)
class Hour:
    """What became of the jobs that ended in one hour."""

    at: str
    """Its beginning, UTC, as `2026-11-30T15`."""
    done: int = 0
    parked: int = 0
    """Given up."""
    others: int = 0
    """Stopped or cancelled."""

    @property
    def total(self) -> int:
        return self.done + self.parked + self.others


@dataclass(frozen=True)
class Figures:
    """What some jobs come to."""

    ended_hour: int
    ended_day: int
    oldest_queued: str
    """Since when the one that has been queued longest is; empty if none is."""
    calls: int
    usd: float
    hours: tuple[Hour, ...]
    """The last `HOURS` until now, the oldest first."""


@dataclass(frozen=True)
class Questions:
    """What some jobs ask people, and what nobody knows of them."""

    open: int
    oldest: str
    next_expiry: str
    unknown: int
    """Effects of which it is not known whether they happened."""
    are_all: bool = True
    """Whether all of the jobs were looked at."""


@dataclass(frozen=True)
class Quality:
    """What people made of the work of some jobs, and what went wrong in it."""

    decided: dict[str, int]
    """Proposals by what became of them."""
    reasons: tuple[str, ...]
    """Why they rejected what they did, the newest first."""
    failed_calls: int
    """Calls of models that went wrong."""


@dataclass(frozen=True)
class Asked:
    """What came of a wish about several jobs."""

    at_once: tuple[Job, ...]
    """Those for which it is done."""
    soon: tuple[Job, ...]
    """Those whose worker does it at the next boundary of a step."""
    begun: tuple[Job, ...] = ()
    """Those that nobody is at work on, but that have begun: what their runs have open is to be closed."""


_FLAGGED: Final = Prepared(
    select(jobs.c.run_id, jobs.c.wanted, jobs.c.deadline).where(
        jobs.c.worker == bindparam("worker"),
        jobs.c.status == "running",
        (jobs.c.wanted != "") | (jobs.c.deadline != ""),
    )
)


class EndedJobs:
    """Those of the jobs table that are over and done with; what is parked is not, until somebody settles it."""

    def __init__(self, ledger: Transactions, audit: AuditLog) -> None:
        self._ledger, self._audit = ledger, audit

    def count(self, before: str) -> int:
        """How many ended before this moment."""
        with self._ledger.read() as connection:
            return int(connection.execute(select(func.count()).where(_over(before))).scalar_one())

    def drop(self, before: str, *, by: str) -> int:
        """Delete the rows of some of them at once; how many there were.

        Their runs stay: submitted again they are known, and not done anew.
        """
        query = select(jobs.c.run_id, jobs.c.tenant).where(_over(before)).limit(_AT_ONCE)
        with self._ledger.write() as connection:
            whose = {str(row.run_id): str(row.tenant) for row in connection.execute(query)}
            for run_id, tenant in whose.items():
                if tenant != DEFAULT_TENANT:
                    self._note_tenant(connection, run_id, tenant)
                self._audit.append(connection, run_id, "dropped", by=by)
            connection.execute(delete(jobs).where(jobs.c.run_id.in_(list(whose))))
        return len(whose)

    def _note_tenant(self, connection: Connection, run_id: str, tenant: str) -> None:
        """Have the run, and those below it, say whose they are, as nothing else does once the row is gone."""
        those = (runs.c.id == run_id) | is_below(runs.c.id, run_id)
        for row in connection.execute(select(runs).where(those)).all():
            options = {**read_json(row.options, dict, f"Run {row.id}"), RUN_TENANT: tenant}
            told = {"options": options, "updated_at": row.updated_at}
            kept = canonical_json(options)
            if kept != row.options:
                connection.execute(update(runs).where(runs.c.id == row.id).values(options=kept))
                self._audit.append(connection, row.id, "changed", **told)


def _over(before: str) -> ColumnElement[bool]:
    return jobs.c.status.in_(_DROPPED) & (jobs.c.ended_at < before)


class Jobs:
    """The jobs table. Of each wish of a person the audit log tells."""

    def __init__(self, ledger: Transactions, audit: AuditLog, runs: Runs) -> None:
        self._ledger, self._audit, self._queue = ledger, audit, TurnQueue()
        self.limits, self.ended = JobLimits(ledger, audit), EndedJobs(ledger, audit)
        self.turns = Turns(ledger, audit, runs, self._queue, self.limits)

    def submit(self, new: Sequence[NewJob], *, by: str) -> Submitted:
        """Write down these jobs and have them done: all of them, or none.

        A job that is there is not submitted again; JobChanged if it is there with another input.
        """
        made, known = list[str](), list[str]()
        with self._ledger.write() as connection:
            for job in new:
                (made if self.add(connection, job, by) else known).append(job.id)
            self.limits.check_queued(connection, 0)
        return Submitted(tuple(made), tuple(known))

    def check(self, new: Sequence[NewJob]) -> None:
        """JobChanged if one of these is there with another input; QueueFull if they are too many."""
        told, there = {job.run_id: job for job in new}, 0
        with self._ledger.read() as connection:
            for start in range(0, len(new), _AT_ONCE):
                some = jobs.c.run_id.in_(list(told)[start : start + _AT_ONCE])
                for row in connection.execute(select(jobs).where(some)):
                    there += 1
                    if row.input_sha256 != told[row.run_id].input_sha256:
                        raise JobChanged(str(row.id), str(row.tenant), str(row.submitted_at))
            self.limits.check_queued(connection, len(told) - there)

    def unmoved(self, seconds: float) -> list[Job]:
        """The oldest of those that are queued, or under way, for longer than so many seconds."""
        moment = canonical.later(-seconds)
        queued = (jobs.c.status == "queued") & (jobs.c.queued_at < moment)
        taken = (jobs.c.status == "running") & (jobs.c.claimed_at < moment)
        query = select(jobs).where(queued | taken).order_by(jobs.c.queued_at).limit(_AT_ONCE)
        with self._ledger.read() as connection:
            return [read_job(row) for row in connection.execute(query)]

    def flagged(self) -> list[Job]:
        """Those that are to be cancelled and that nobody has."""
        late = (jobs.c.deadline != "") & (jobs.c.deadline <= canonical.now())
        query = select(jobs).where(jobs.c.status.in_(("queued", "waiting")), (jobs.c.wanted == "cancel") | late)
        with self._ledger.read() as connection:
            return [read_job(row) for row in connection.execute(query)]

    def get(self, run_id: str) -> Job | None:
        """The job that this run does; None if it does none."""
        with self._ledger.read() as connection:
            row = connection.execute(select(jobs).where(jobs.c.run_id == run_id)).first()
        return read_job(row) if row is not None else None

    def is_at_work(self, run_id: str) -> bool:
        """Whether this run is the work of a job that has not ended: a worker goes on with it, and nobody else need."""
        job = self.get(run_id)
        return job is not None and not job.is_over

    def list(self, which: Which, limit: int | None = None) -> list[Job]:
        """These jobs, in the order in which they were submitted."""
        query = select(jobs).where(which.clause).order_by(jobs.c.submitted_at, jobs.c.id).limit(limit)
        with self._ledger.read() as connection:
            return [read_job(row) for row in connection.execute(query)]

    def newest(self, which: Which, number: int) -> tuple[Job, ...]:
        """The last so many of these, the newest last."""
        query = select(jobs).where(which.clause).order_by(jobs.c.submitted_at.desc(), jobs.c.id.desc()).limit(number)
        with self._ledger.read() as connection:
            return tuple(read_job(row) for row in connection.execute(query))[::-1]

    def stuck(self, which: Which, number: int) -> tuple[tuple[Job, ...], tuple[Job, ...]]:
        """The last so many of these that were given up, and that rest because something went wrong; the newest last."""
        with self._ledger.read() as connection:
            rows = connection.execute(_stuck(which, number)).all()
        found = sorted(map(read_job, rows), key=lambda job: (job.submitted_at, job.id))
        return tuple(job for job in found if job.status == "parked"), tuple(
            job for job in found if job.status == "held"
        )

    def counts(self, which: Which) -> dict[JobStatus, int]:
        """How many of these jobs stand how; those of which there are any."""
        query = select(jobs.c.status, func.count()).where(which.clause).group_by(jobs.c.status)
        with self._ledger.read() as connection:
            return {row[0]: int(row[1]) for row in connection.execute(query)}

    def counts_by_tenant(self) -> dict[str, dict[JobStatus, int]]:
        """The same for each tenant, by name."""
        query = select(jobs.c.tenant, jobs.c.status, func.count()).group_by(jobs.c.tenant, jobs.c.status)
        found: dict[str, dict[JobStatus, int]] = {}
        with self._ledger.read() as connection:
            for tenant, status, number in connection.execute(query.order_by(jobs.c.tenant)):
                found.setdefault(tenant, {})[status] = int(number)
        return found

    def figures(self, which: Which, *, hour: float, day: float, spent: float = 0.0) -> Figures:
        """What these jobs come to; `hour` and `day` are seconds back from now, `spent` too, if not all calls count."""
        within, since = (canonical.later(-seconds) for seconds in (hour, day))
        last = [func.sum(case((jobs.c.ended_at >= within, 1), else_=0)), func.count()]
        ended = select(*last).where(which.clause, jobs.c.ended_at >= since)
        oldest = select(func.min(jobs.c.queued_at)).where(which.clause, jobs.c.status == "queued")
        calls = select(func.count(), func.sum(usage.c.nusd)).where(_root(usage.c.run_id).in_(_runs(which)))
        calls = calls.where(_called_since(canonical.later(-spent))) if spent else calls
        names = [_hour_of(canonical.later(-3_600.0 * back)) for back in reversed(range(HOURS))]
        with self._ledger.read() as connection:
            row = connection.execute(_together(ended, oldest, calls, _by_hour(which, names[0]))).one()
        hours = {name: Hour(name) for name in names} | {hour.at: hour for hour in _read_hours(str(row[5] or ""))}
        told = (int(row[0] or 0), int(row[1] or 0), str(row[2] or ""), int(row[3]), int(row[4] or 0) / NANO)
        return Figures(*told, hours=tuple(hours[name] for name in names))

    def questions(self, which: Which, most: int = 0) -> Questions:
        """What these jobs ask people; with `most`, of so many that wait, those that did something first."""
        if most:
            first = _waiting(which, most).cte("first")
            is_open, is_lost = (_is_of(table, first.c.run_id) for table in (approvals, effects))
            looked = select(func.count()).select_from(first)
        else:
            is_open, is_lost = (_root(table.c.run_id).in_(_runs(which)) for table in (approvals, effects))
            looked = select(literal(0))
        expiry = func.min(case((approvals.c.expires_at != "", approvals.c.expires_at)))
        asked = select(func.count(), func.min(approvals.c.requested_at), expiry)
        asked = asked.where(_standing(approvals, "pending", by_run=bool(most)), is_open)
        lost = select(func.count()).where(_standing(effects, "unknown", by_run=bool(most)), is_lost)
        with self._ledger.read() as connection:
            row = connection.execute(_together(asked, lost, looked)).one()
        told = (int(row[0]), str(row[1] or ""), str(row[2] or ""), int(row[3]))
        return Questions(*told, are_all=not most or int(row[4]) < most)

    def quality(self, which: Which, *, seconds: float) -> Quality:
        """What people decided of these jobs' proposals in the time until now, and what went wrong."""
        with self._ledger.read() as connection:
            rows = connection.execute(_quality(which, canonical.later(-seconds))).all()
        decided = {str(word): int(number) for kind, word, number in rows if kind == "decided"}
        reasons = tuple(str(word) for kind, word, _ in rows if kind == "reason")
        return Quality(dict(sorted(decided.items())), reasons, sum(row[2] for row in rows if row[0] == "failed"))

    def heard(self, run_id: str) -> float | None:
        """Seconds since a call of a model, or an effect, last ended or began in this run; None if none ever did."""
        calls = select(func.max(usage.c.at)).where(_root(usage.c.run_id) == run_id)
        acts = select(func.max(effects.c.claimed_at), func.max(effects.c.finished_at)).where(
            _root(effects.c.run_id) == run_id
        )
        with self._ledger.read() as connection:
            found = [*connection.execute(calls).one(), *connection.execute(acts).one()]
        last = max((str(moment) for moment in found if moment), default="")
        return canonical.seconds_since(last) if last else None

    def wanted(self, worker: str) -> dict[str, str]:
        """What is to become of the jobs, by run, that this worker has and that are not simply to go on."""
        with self._ledger.read() as connection:
            rows = _FLAGGED.run(connection, worker=worker).fetchall()
        now = canonical.now()
        told = {str(run_id): str(wanted or ("cancel" if deadline <= now else "")) for run_id, wanted, deadline in rows}
        return {run_id: wanted for run_id, wanted in told.items() if wanted}

    def cancel(self, which: Which, *, by: str) -> Asked:
        """Have these jobs end without being done. Those that a worker has end at the next boundary of a step."""

        def cancel(connection: Connection, job: Job) -> str:
            if job.is_over:
                return ""
            self._audit.append(connection, job.run_id, "cancel asked", job=job.id, by=by)
            if job.started_at:
                self._set(connection, job, wanted="cancel", wanted_by=by)
                if job.status == "held":
                    self.turns.put_again(connection, job)
                return "soon" if job.status == "running" else "begun"
            over = {"status": "cancelled", "wanted_by": by, "error": f"cancelled by {by}"}
            self._set(connection, job, **over, ended_at=canonical.now(), turn=job.turn + 1)
            return "done"

        return self._each(which, cancel)

    def hold(self, which: Which, *, by: str) -> Asked:
        """Have these jobs rest until they are resumed; those that wait for a person rest anyway."""

        def hold(connection: Connection, job: Job) -> str:
            if job.status not in ("queued", "running") or job.wanted:
                return ""
            self._audit.append(connection, job.run_id, "hold asked", job=job.id, by=by)
            if job.status == "running":
                self._set(connection, job, wanted="hold", wanted_by=by)
                return "soon"
            self._set(connection, job, status="held", turn=job.turn + 1)
            return "done"

        return self._each(which, hold)

    def resume(self, which: Which, *, by: str) -> Asked:
        """Have held jobs go on."""
        return self._again(which, "held", "resumed", by)

    def retry(self, which: Which, *, by: str) -> Asked:
        """Have parked jobs go on from where they stand, with as many attempts as a new one."""
        return self._again(which, "parked", "retried", by)

    def refit(self, worker: str) -> Asked:
        """Have a worker that has just begun try those that did not fit the teams as others had them."""
        return self._again(Which(status=("parked",)), "parked", "retried", worker, misfits=True)

    def _again(self, which: Which, status: JobStatus, event: str, by: str, *, misfits: bool = False) -> Asked:
        def again(connection: Connection, job: Job) -> str:
            if job.status != status or (misfits and not job.misfit):
                return ""
            self._audit.append(connection, job.run_id, event, job=job.id, by=by)
            self.turns.put_again(connection, job, attempts=0, ended_at="", wanted="", misfit=False)
            return "done"

        return self._each(which, again)

    def _each(self, which: Which, change: Callable[[Connection, Job], str]) -> Asked:
        found: dict[str, list[Job]] = {"done": [], "soon": [], "begun": [], "": []}
        with self._ledger.write() as connection:
            rows = connection.execute(select(jobs).where(which.clause).order_by(jobs.c.submitted_at, jobs.c.id)).all()
            for job in map(read_job, rows):
                found[change(connection, job)].append(job)
        return Asked(tuple(found["done"]), tuple(found["soon"]), tuple(found["begun"]))

    def add(self, connection: Connection, new: NewJob, by: str) -> bool:
        """Submit one within this transaction; False if it was there before. JobChanged if that has another input."""
        row = connection.execute(select(jobs).where(jobs.c.run_id == new.run_id)).first()
        if row is None:
            if connection.execute(select(runs.c.id).where(runs.c.id == new.run_id)).first() is not None:
                return False  # it was done, and its row was dropped
            self._add(connection, new, by)
        elif row.input_sha256 != new.input_sha256:
            raise JobChanged(new.id, new.tenant, str(row.submitted_at))
        return row is None

    def _add(self, connection: Connection, new: NewJob, by: str) -> None:
        at, options = canonical.now(), dict(new.options)
        said = {"tenant": new.tenant, "id": new.id, "team": new.team, "goal": new.goal, "priority": new.priority}
        said |= {"input_sha256": new.input_sha256, "deadline": new.deadline, "submitted_by": by, "submitted_at": at}
        first = {"status": "queued", "turn": 1, "queued_at": at, "options": canonical_json(options)}
        connection.execute(insert(jobs).values(run_id=new.run_id, **said, **first))
        self._audit.append(connection, new.run_id, "submitted", options=options, **said)
        row = connection.execute(select(jobs).where(jobs.c.run_id == new.run_id)).one()
        self._queue.put(connection, read_job(row))

    def _set(self, connection: Connection, job: Job, **values: object) -> None:
        connection.execute(update(jobs).where(jobs.c.run_id == job.run_id).values(**values))


def _quality(which: Which, since: str) -> CompoundSelect[Any]:
    """Rows of a kind, a word and a number: what was decided how often, why, and how many calls failed."""
    mine = (approvals.c.decided_at >= since) & (approvals.c.decided_by != "policy")
    mine &= _root(approvals.c.run_id).in_(_runs(which))
    status = approvals.c.status.concat("")  # so that rows are found by their time, not by how they stand
    counts = select(literal("decided"), status, func.count()).where(mine).group_by(status)
    said = select(literal("reason"), approvals.c.reason, literal(0)).where(mine, status == "rejected")
    said = said.where(approvals.c.reason != "").order_by(approvals.c.decided_at.desc()).limit(_REASONS)
    wrong = _called_since(since) & (usage.c.outcome != "ok") & _root(usage.c.run_id).in_(_runs(which))
    failed = select(literal("failed"), literal(""), func.count()).where(wrong)
    return union_all(counts, select(said.subquery()), failed)


def _stuck(which: Which, number: int) -> CompoundSelect[Any]:
    kinds = [jobs.c.status == "parked", (jobs.c.status == "held") & (jobs.c.error != "")]
    newest = (jobs.c.submitted_at.desc(), jobs.c.id.desc())
    parts = [select(jobs).where(which.clause, kind).order_by(*newest).limit(number).subquery() for kind in kinds]
    return union_all(*map(select, parts))


def _hour_of(moment: str) -> str:
    return moment[:13]


def _together(*queries: Any) -> Any:
    """Queries that give a row each as one."""
    first, *others = parts = [query.subquery() for query in queries]
    return select(*parts).select_from(reduce(lambda joined, other: joined.join(other, true()), others, first))


def _by_hour(which: Which, since: str) -> Select[Any]:
    """What became of those that ended since then, hour by hour: a row for all, as `HOUR DONE PARKED ALL,…`."""
    sums = [func.sum(case((jobs.c.status == status, 1), else_=0)) for status in ("done", "parked")]
    at = func.substr(jobs.c.ended_at, 1, len(since))
    ended = which.clause & (jobs.c.ended_at >= since)
    each = select(at.label("at"), *sums, func.count()).where(ended).group_by(at).subquery()
    texts: list[ColumnElement[str]] = [cast(column, Text) for column in each.c]
    line = reduce(lambda before, text: before + " " + text, texts)
    return select(func.aggregate_strings(line, ",").label("hours"))


def _read_hours(told: str) -> Iterator[Hour]:
    for one in filter(None, told.split(",")):
        at, done, parked, total = one.split()
        yield Hour(at, int(done), int(parked), int(total) - int(done) - int(parked))


def _called_since(moment: str) -> ColumnElement[bool]:
    """Calls that ended since then; found by their day, which may be the one before where one began."""
    day = canonical.after(moment, -_DAY)[: len("2026-11-30")]
    return (usage.c.day >= day) & (usage.c.at >= moment)


class _Unsought(FunctionElement[str]):
    """A column by which SQLite looks for nothing, as there are few rows where another leads; servers know that."""

    type, inherit_cache = Text(), True


@compiles(_Unsought)
def _compile(element: _Unsought, compiler: Any, **options: Any) -> str:
    bare = str(compiler.process(element.clauses, **options))
    return f"+{bare}" if compiler.dialect.name == "sqlite" else bare


def _standing(table: Table, status: str, *, by_run: bool) -> ColumnElement[bool]:
    """Whether a row stands so; `by_run`: among those of few runs."""
    return (_Unsought(table.c.status) if by_run else table.c.status) == status


def _waiting(which: Which, most: int) -> Select[Any]:
    """So many of those that wait for a person, of each tenant first what was queued first."""
    waits = select(jobs.c.run_id).where(which.clause, jobs.c.status == "waiting")
    return waits.order_by(jobs.c.tenant, jobs.c.queued_at).limit(most)


def _is_of(table: Table, run_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether a row is of the run of this job, or of one below it."""
    return (_root(table.c.run_id) == run_id) & is_within(table.c.run_id, run_id)


def _runs(which: Which) -> Select[Any]:
    return select(jobs.c.run_id).where(which.clause)


def _root(run_id: Column[Any]) -> ColumnElement[str]:
    """The run itself, or the outermost around a child: that of a job has a name of fixed length."""
    return func.substr(run_id, 1, RUN_ID_LENGTH)
