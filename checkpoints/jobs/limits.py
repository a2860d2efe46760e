"""How many jobs of a team, or of a tenant, are done at once by all workers together; and how many may be queued.

A job that is over its limit is set back: it leaves the queue, and the next of its team or tenant that makes room puts
the first of those there again. So nobody polls, and what is over one limit takes no place of what is not.
"""

from __future__ import annotations

from typing import Final, Literal

from sqlalchemy import Connection, and_, delete, func, insert, or_, select

from signoff.checkpoints.db.prepared import Prepared
from signoff.checkpoints.errors import QueueFull
from signoff.checkpoints.jobs.job import Job, read_job
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.schema import job_limits, jobs
from signoff.checkpoints.ledger.session import Transactions

LimitKind = Literal["team", "tenant", "queued"]
SET_BACK: Final = "over its limit"
"""Where a job's worker is named: that it is out of the queue until there is room."""
_LOOKED_AT: Final = 50
_LIMITS: Final = Prepared(select(job_limits.c.kind, job_limits.c.name, job_limits.c.most))
_ANY_SET_BACK: Final = Prepared(
    select(jobs.c.run_id).where(jobs.c.worker == SET_BACK, jobs.c.status == "queued").limit(1)
)


class JobLimits:
    """The job_limits table."""

    def __init__(self, ledger: Transactions, audit: AuditLog) -> None:
        self._ledger, self._audit = ledger, audit

    def set(self, kind: LimitKind, name: str, most: int | None, *, by: str) -> None:
        """Have at most so many of them; None: no limit. It holds from the next turn on that is taken."""
        with self._ledger.write() as connection:
            this = and_(job_limits.c.kind == kind, job_limits.c.name == name)
            connection.execute(delete(job_limits).where(this))
            if most is not None:
                connection.execute(insert(job_limits).values(kind=kind, name=name, most=most))
            self._audit.append(connection, "", "job limit", kind=kind, name=name, most=most, by=by)

    def all(self) -> dict[tuple[str, str], int]:
        """Each limit, by kind and name."""
        with self._ledger.read() as connection:
            return self._known(connection)

    def has_room(self, connection: Connection, job: Job) -> bool:
        """Whether one more job of its team and of its tenant may be done now."""
        known = self._known(connection)
        for kind, name, column in (("team", job.team, jobs.c.team), ("tenant", job.tenant, jobs.c.tenant)):
            most = known.get((kind, name))
            if most is not None:
                mine = (jobs.c.status == "running") & (column == name) & (jobs.c.run_id != job.run_id)
                if connection.execute(select(func.count()).where(mine)).scalar_one() >= most:
                    return False
        return True

    def first_with_room(self, connection: Connection, left: Job) -> Job | None:
        """The first of those that were set back for which there is room, now that this one has left."""
        if not _ANY_SET_BACK.run(connection).fetchall():
            return None
        near = or_(jobs.c.team == left.team, jobs.c.tenant == left.tenant)
        mine = (jobs.c.status == "queued") & (jobs.c.worker == SET_BACK) & near
        query = select(jobs).where(mine).order_by(jobs.c.priority, jobs.c.submitted_at, jobs.c.id).limit(_LOOKED_AT)
        found = map(read_job, connection.execute(query).all())
        return next((job for job in found if self.has_room(connection, job)), None)

    def check_queued(self, connection: Connection, more: int) -> None:
        """QueueFull if so many more would be too many in the queue."""
        most = self._known(connection).get(("queued", ""))
        if most is not None:
            queued = connection.execute(select(func.count()).where(jobs.c.status == "queued")).scalar_one()
            if queued + more > most:
                raise QueueFull(int(queued), more, most)

    def _known(self, connection: Connection) -> dict[tuple[str, str], int]:
        rows = _LIMITS.run(connection).fetchall()  # asked for each turn
        return {(str(kind), str(name)): int(most) for kind, name, most in rows}
