"""Limits of teams and tenants hold over all workers; who is over one takes no place, and comes when there is room."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

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


def test_those_that_are_set_back_are_found_by_their_index_however_many_are_queued(tmp_path: Path) -> None:
    ledger, plans = Ledger(tmp_path / "signoff.db"), list[str]()
    make_tables(ledger, str(tmp_path / "signoff.db"))
    first, second = some(2)
    ledger.jobs.submit([first, second], by="joe")
    ledger.jobs.limits.set("team", first.team, 1, by="joe")
    assert [take(ledger, job)[0] for job in (first, second)] == ["mine", "back"]

    def explain(connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "ORDER BY jobs.priority" in statement and not statement.startswith("EXPLAIN"):
            found = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters).all()
            plans.extend(row[3] for row in found)

    event.listen(Engine, "before_cursor_execute", explain)
    try:
        job = ledger.jobs.get(first.run_id)
        assert job is not None
        ledger.jobs.turns.finish(job, "done")
    finally:
        event.remove(Engine, "before_cursor_execute", explain)
        ledger.close()
    assert plans == ["SEARCH jobs USING INDEX jobs_by_worker (worker=?)"]
