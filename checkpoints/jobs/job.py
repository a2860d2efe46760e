"""One job: what it is given, how it stands, and which jobs somebody means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, get_args

from sqlalchemy import ColumnElement, Row, and_, true

from signoff.checkpoints.canonical import digest, from_row, plain_text, read_json
from signoff.checkpoints.ledger.schema import jobs

JobStatus = Literal["queued", "running", "waiting", "held", "done", "stopped", "cancelled", "parked"]
"""queued: for a worker; running: a worker has its turn; waiting: for a person; held: until somebody resumes it;
stopped: by a person or a rule of its run; parked: given up after several attempts, until somebody retries it."""
STATUSES: Final[tuple[JobStatus, ...]] = get_args(JobStatus)
ENDED: Final[tuple[JobStatus, ...]] = ("done", "stopped", "cancelled", "parked")
DEFAULT_TENANT: Final = "default"
JOB_RUN: Final = "j-"
"""How the id of a run begins that does a job."""
RUN_ID_LENGTH: Final = 18


def run_id_of_job(tenant: str, job_id: str) -> str:
    """The id of the run that does a job: two tenants may have jobs of one id, and never each other's."""
    return f"{JOB_RUN}{digest([tenant, plain_text(job_id)])}"[:RUN_ID_LENGTH]


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job as it is submitted, checked."""

    id: str
    """The same id of the same tenant is the same job: submitted twice it is done once."""
    team: str
    goal: str
    options: Mapping[str, Any]
    """JSON, as a run's: what the team is built again from, and what the run is given."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """The input beside the goal."""
    tenant: str = DEFAULT_TENANT
    priority: int = 5
    deadline: str = ""
    """A moment after which nothing more is done; empty: none."""

    @property
    def run_id(self) -> str:
        return run_id_of_job(self.tenant, self.id)

    @property
    def input_sha256(self) -> str:
        """What tells it from another job of the same id."""
        return digest([self.team, plain_text(self.goal), dict(self.given)])


@dataclass(frozen=True)
class Job:
    """A job as the ledger has it."""

    run_id: str
    tenant: str
    id: str
    team: str
    goal: str
    options: dict[str, Any]
    input_sha256: str
    priority: int
    deadline: str
    status: JobStatus
    turn: int
    answers: int
    attempts: int
    """How many attempts in a row did not end as they should."""
    claim: str
    """The owner of its run while a worker has its turn (process_identity.py); another with each claim."""
    worker: str
    claimed_at: str
    wanted: Literal["", "cancel", "hold"]
    """What is to become of it at the next boundary of a step; empty: it goes on."""
    wanted_by: str
    error: str
    """What went wrong last; empty if nothing has."""
    submitted_by: str
    misfit: bool
    """Whether it is parked as its run does not fit its team, as a worker had that: one that starts tries it again."""
    submitted_at: str
    queued_at: str
    started_at: str
    ended_at: str

    @property
    def is_over(self) -> bool:
        return self.status in ENDED

    @property
    def turn_id(self) -> str:
        """The id of its turn in the queue."""
        return f"{self.run_id}:{self.turn}"

    @property
    def name(self) -> str:
        """Its id, with whose it is if that is not the usual tenant."""
        return self.id if self.tenant == DEFAULT_TENANT else f"{self.tenant}/{self.id}"


def read_job(row: Row[Any]) -> Job:
    return from_row(Job, row, options=read_json(row.options, dict, f"Job {row.id}"))


@dataclass(frozen=True, kw_only=True)
class Which:
    """Which jobs are meant: those of which all of this is true. The one place where a query is kept to a tenant."""

    tenant: str = ""
    """Empty: of all tenants."""
    ids: Sequence[str] = ()
    """Ids of jobs, or of their runs; empty: any."""
    team: str = ""
    status: Sequence[JobStatus] = ()
    error: str = ""
    """A part of what went wrong."""

    @property
    def clause(self) -> ColumnElement[bool]:
        wanted: list[ColumnElement[bool]] = []
        if self.tenant:
            wanted.append(jobs.c.tenant == self.tenant)
        if self.ids:
            named = [plain_text(each) for each in self.ids]
            wanted.append(jobs.c.id.in_(named) | jobs.c.run_id.in_(named))
        if self.team:
            wanted.append(jobs.c.team == self.team)
        if self.status:
            wanted.append(jobs.c.status.in_(self.status))
        if self.error:
            wanted.append(jobs.c.error.contains(self.error, autoescape=True))
        return and_(true(), *wanted)
