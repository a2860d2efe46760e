"""Limits of teams and tenants hold over all workers; who is over one takes no place, and comes when there is room."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from signoff.checkpoints.jobs import Job, NewJob, Which, make_tables
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.process_identity import current_owner
from signoff.errors import QueueFull

JOB = NewJob(id="a-1", team="office", goal="pay", options={})


@pytest.fixture
def fleet(database: str, ledger: Ledger) -> Ledger:
    make_tables(ledger, database)
    return ledger


def some(number: int, **changes: str) -> list[NewJob]:
    return [replace(JOB, id=f"{changes.get('tenant', 'a')}-{place}", **changes) for place in range(number)]  # type: ignore[arg-type]


def take(ledger: Ledger, job: NewJob) -> tuple[str, Job | None]:
    known = ledger.jobs.get(job.run_id)
    assert known is not None
    found = ledger.jobs.turns.take(job.run_id, known.turn, f"{current_owner()}/{job.id}", worker="host/1")
    return found.how, found.job


def in_queue(ledger: Ledger, job: NewJob) -> bool:
    known = ledger.jobs.get(job.run_id)
    assert known is not None
    with ledger.read() as connection:
        where = "workflow_status" if connection.dialect.name == "sqlite" else "dbos.workflow_status"
        query = text(f"SELECT status FROM {where} WHERE workflow_uuid = :row")
        return connection.execute(query, {"row": f"{job.run_id}:{known.turn}"}).scalar() == "ENQUEUED"


def test_a_job_over_its_teams_limit_leaves_the_queue_and_comes_back_when_one_of_the_team_ends(fleet: Ledger) -> None:
    first, second, third, other = *some(3), replace(JOB, id="b", team="shop")
    fleet.jobs.submit([first, second, third, other], by="joe")
    fleet.jobs.limits.set("team", "office", 1, by="joe")
    how, job = take(fleet, first)
    assert (how, take(fleet, second)[0], take(fleet, third)[0], take(fleet, other)[0]) == (
        "mine",
        "back",
        "back",
        "mine",
    )
    assert (in_queue(fleet, second), in_queue(fleet, third)) == (False, False)
    assert job is not None
    fleet.jobs.turns.finish(job, "done")
    assert (in_queue(fleet, second), in_queue(fleet, third)) == (True, False)
    assert take(fleet, second)[0] == "mine"


def test_a_tenant_at_its_limit_leaves_room_for_others_and_a_job_that_waits_takes_none(fleet: Ledger) -> None:
    mine, theirs = some(2, tenant="acme"), some(1, tenant="bolt")
    fleet.jobs.submit([*mine, *theirs], by="joe")
    fleet.jobs.limits.set("tenant", "acme", 1, by="joe")
    how, job = take(fleet, mine[0])
    assert (how, take(fleet, mine[1])[0], take(fleet, theirs[0])[0]) == ("mine", "back", "mine")
    assert job is not None
    fleet.jobs.turns.wait(job, "")
    assert in_queue(fleet, mine[1])
    fleet.jobs.limits.set("tenant", "acme", None, by="joe")
    assert fleet.jobs.limits.all() == {}


def test_no_more_is_submitted_than_may_be_queued_and_what_is_there_counts_once(fleet: Ledger) -> None:
    fleet.jobs.limits.set("queued", "", 2, by="joe")
    fleet.jobs.submit(some(2), by="joe")
    fleet.jobs.check(some(2))
    with pytest.raises(QueueFull, match="2 jobs are queued, and 2 may be"):
        fleet.jobs.check(some(3))
    with pytest.raises(QueueFull):
        fleet.jobs.submit(some(3), by="joe")
    assert fleet.jobs.counts(Which()) == {"queued": 2}
