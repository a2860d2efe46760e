"""Turns: what a worker takes from the queue, and how it leaves it; each way is one transaction, by compare-and-set.

A turn is a stretch of a job's run: from where it stands until it ends, waits for a person, or is told to leave off.
Whoever takes one writes down the owner under which it drives the run. At the end that must still stand there: what
comes late, of a turn that was taken by another meanwhile, changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final, Literal

from sqlalchemy import Connection, Row, select, update

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import readable_text
from signoff.checkpoints.jobs.job import ENDED, Job, JobStatus, read_job
from signoff.checkpoints.jobs.limits import SET_BACK, JobLimits
from signoff.checkpoints.jobs.queue import TurnQueue
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.run_path import root_of
from signoff.checkpoints.ledger.runs import RUN_DRY, Runs
from signoff.checkpoints.ledger.schema import jobs, runs
from signoff.checkpoints.ledger.session import Transactions, clock
from signoff.checkpoints.process_identity import holds
from signoff.checkpoints.redaction import redact_text

MOST_ATTEMPTS: Final = 3
"""After so many in a row that did not end as they should, a job is parked."""
_PAUSES: Final = (2.0, 15.0, 60.0)
"""Seconds before each further attempt."""
_LATE: Final = 0.5
"""Seconds after an expiry that its turn comes: clocks differ."""


@dataclass(frozen=True)
class Taken:
    """What came of taking a turn."""

    how: Literal["mine", "stale", "busy", "suspect", "back", "over"]
    """mine: to be done now; stale: it is no turn of the job any more; busy: whoever has it is at work on it; suspect: a
    worker ended amid it, so that it is to be taken alone; back: it is over a limit, and comes again once there is room;
    over: the job is to end, which it does once its run is closed, or has."""
    job: Job | None = None


class Turns:
    """The worker's side of the jobs table."""

    def __init__(self, ledger: Transactions, audit: AuditLog, runs: Runs, queue: TurnQueue, limits: JobLimits) -> None:
        self._ledger, self._audit, self._runs, self._queue, self._limits = ledger, audit, runs, queue, limits

    def take(self, run_id: str, turn: int, owner: str, *, worker: str, alone: bool = True) -> Taken:
        """Take a turn of the job of this run, as this owner; its run begins with the first.

        `alone`: nothing else that a worker ended amid is done beside it; otherwise such a turn is not taken.
        """
        with self._ledger.write() as connection:
            row = self._row(connection, run_id)
            if row is None or row.turn != turn or row.status not in ("queued", "running", "waiting"):
                return Taken("stale")
            job, now = read_job(row), clock(connection)
            if job.status == "running":
                if self._is_driven(connection, run_id, now):
                    return Taken("busy", job)
                if not alone and job.attempts:
                    return Taken("suspect", job)
                job = self._change(connection, job, error=f"{job.worker} ended amid its turn")
            if job.deadline and job.deadline <= now and not job.wanted:
                job = self._change(connection, job, wanted="cancel", wanted_by="its deadline")
            if job.wanted == "cancel" and not job.started_at:
                return Taken("over", self._end(connection, job, "cancelled"))
            if job.wanted == "hold":
                return Taken("over", self._hold(connection, job))
            if job.attempts >= MOST_ATTEMPTS and not job.wanted:
                return Taken("over", self._end(connection, job, "parked"))
            if not job.wanted and not self._limits.has_room(connection, job):
                job = self._next(connection, job, is_put=False)
                return Taken("back", self._change(connection, job, worker=SET_BACK))
            if not job.started_at:
                dry = bool(job.options.get(RUN_DRY))
                told = {"requested_by": job.submitted_by, "dry_run": dry, "driver": "local"}
                self._runs.add(connection, run_id, job.options, team=job.team, goal=job.goal, **told)
            taken = {"status": "running", "claim": owner, "worker": worker, "claimed_at": now}
            counted = {"attempts": job.attempts + 1, "started_at": job.started_at or now}
            job = self._change(connection, job, **taken, **counted)
            return Taken("over" if job.wanted else "mine", job)

    def leave(
        self,
        job: Job,
        *,
        error: str = "",
        counts: bool = False,
        pause: float = 0.0,
        rests: bool = False,
        misfit: bool = False,
    ) -> Job | None:
        """Put the job's next turn into the queue; None if this turn is not its any more.

        `counts`: this was an attempt that failed, with this error; after the last one it is parked. Others come after
        as many seconds as `pause` says, or, if it `rests`, once somebody resumes it. A `misfit` is parked at once.
        """
        with self._ledger.write() as connection:
            now = self._mine(connection, job)
            if now is None:
                return None
            now = self._change(connection, now, error=_told(error) if error else now.error)
            if now.wanted == "hold" or (rests and not now.wanted):
                return self._hold(connection, now)
            if (misfit or (counts and now.attempts >= MOST_ATTEMPTS)) and not now.wanted:
                return self._end(connection, self._change(connection, now, misfit=misfit), "parked")
            pause = _PAUSES[min(now.attempts, len(_PAUSES)) - 1] if counts else pause
            return self._next(connection, now, delay=pause, attempts=now.attempts - (0 if counts else 1))

    def wait(self, job: Job, until: str) -> Job | None:
        """Note that the run waits for a person; it goes on at that moment if nobody says anything, empty: never.

        It goes on at once if something was decided since the turn was taken.
        """
        with self._ledger.write() as connection:
            now = self._mine(connection, job)
            if now is None:
                return None
            if now.answers != job.answers or now.wanted:
                return self._next(connection, now, attempts=0, error="")
            delay = max(-canonical.seconds_since(until), 0.0) + _LATE if until else 0.0
            return self._next(connection, now, "waiting", delay=delay, is_put=bool(until), attempts=0, error="")

    def finish(self, job: Job, status: Literal["done", "stopped", "cancelled"], error: str = "") -> Job | None:
        """Note that the job has ended."""
        with self._ledger.write() as connection:
            now = self._mine(connection, job)
            return None if now is None else self._end(connection, now, status, error=_told(error))

    def restore(self, job: Job) -> bool:
        """Put the job into the queue, where its turn is not; False if it has moved, or somebody is at work on it."""
        with self._ledger.write() as connection:
            row = self._row(connection, job.run_id)
            if row is None or (row.turn, row.status) != (job.turn, job.status):
                return False
            if self._is_driven(connection, job.run_id, clock(connection)):
                return False
            self._next(connection, read_job(row))
        return True

    def wake(self, connection: Connection, run_id: str) -> None:
        """Something of the run was decided, within this transaction: its job goes on, if it waits for that."""
        root = root_of(run_id)
        row = self._row(connection, root)
        if row is None or row.status in ENDED:
            return
        job = self._change(connection, read_job(row), answers=row.answers + 1)
        if job.status == "waiting":  # without the packages of the queue a worker finds that it is to be put there
            self._next(connection, job, is_put=self._queue.is_there)

    def wait_again(self, connection: Connection, run_id: str) -> None:
        """A question of the run is open again, be it that its job had ended; within this transaction."""
        row = self._row(connection, root_of(run_id))
        if row is not None and row.status in ("done", "stopped"):
            self._next(connection, read_job(row), "waiting", is_put=False, ended_at="")

    def put_again(self, connection: Connection, job: Job, **changes: Any) -> Job:
        """Have the job done, from wherever it stands, by somebody's wish; within this transaction."""
        return self._next(connection, job, **changes)

    def _row(self, connection: Connection, run_id: str) -> Row[Any] | None:
        return connection.execute(select(jobs).where(jobs.c.run_id == run_id)).first()

    def _is_driven(self, connection: Connection, run_id: str, now: str) -> bool:
        row = connection.execute(select(runs.c.owner, runs.c.owner_until).where(runs.c.id == run_id)).first()
        return row is not None and holds(row.owner, row.owner_until, now)

    def _mine(self, connection: Connection, job: Job) -> Job | None:
        """The job as it stands, if this turn of it is still the one that was taken."""
        row = self._row(connection, job.run_id)
        same = row is not None and (row.turn, row.claim, row.status) == (job.turn, job.claim, "running")
        return read_job(row) if same and row is not None else None

    def _next(
        self,
        connection: Connection,
        job: Job,
        status: JobStatus = "queued",
        *,
        delay: float = 0.0,
        is_put: bool = True,
        **changes: Any,
    ) -> Job:
        told = {"status": status, "turn": job.turn + 1, "claim": "", "worker": "", "queued_at": canonical.now()}
        before, job = job, self._change(connection, job, **told, **changes)
        if is_put:
            self._queue.put(connection, job, delay=delay)
        self._make_room(connection, before)
        return job

    def _make_room(self, connection: Connection, before: Job) -> None:
        """If a job has left the running ones, the first that waits for its room has it."""
        if before.status == "running" and (first := self._limits.first_with_room(connection, before)) is not None:
            self._next(connection, first)

    def _hold(self, connection: Connection, job: Job) -> Job:
        self._audit.append(connection, job.run_id, "held", job=job.id, by=job.wanted_by or "its worker")
        return self._next(connection, job, "held", is_put=False, wanted="", attempts=0)

    def _end(self, connection: Connection, job: Job, status: JobStatus, error: str = "") -> Job:
        if status in ("cancelled", "parked"):
            by = {"by": job.wanted_by} if status == "cancelled" else {"error": job.error}
            self._audit.append(connection, job.run_id, status, job=job.id, **by)
        if status == "cancelled" and not error:
            error = f"cancelled by {job.wanted_by}"
        ended = {"status": status, "claim": "", "worker": "", "wanted": "", "ended_at": canonical.now()}
        over = self._change(connection, job, **ended, error=error or ("" if status == "done" else job.error))
        self._make_room(connection, job)
        return over

    def _change(self, connection: Connection, job: Job, **values: Any) -> Job:
        connection.execute(update(jobs).where(jobs.c.run_id == job.run_id).values(**values))
        return replace(job, **values)  # it was read in this transaction, and nobody else writes


def _told(error: str) -> str:
    return redact_text(readable_text(error))
