"""A turn of a job is one row of the queue and one claim; each step of it is whole or was not."""

import subprocess
import sys
from contextlib import ExitStack, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import warm
from sqlalchemy import text

from signoff.checkpoints.jobs import Job, NewJob, Which, make_tables, run_id_of_job
from signoff.checkpoints.jobs.turns import MOST_ATTEMPTS
from signoff.checkpoints.ledger.approval import Question
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.process_identity import current_owner, end_work, working
from signoff.errors import ForeignQueue, JobChanged, RunCancelled

JOB = NewJob(id="a-1", team="office", goal="pay", options={})
RUN = JOB.run_id


@pytest.fixture
def fleet(database: str, ledger: Ledger) -> Ledger:
    make_tables(ledger, database)
    return ledger


def rows(ledger: Ledger) -> dict[str, str]:
    """The rows of the queue, and how each stands."""
    with ledger.read() as connection:
        where = "workflow_status" if connection.dialect.name == "sqlite" else "dbos.workflow_status"
        found = connection.execute(text(f"SELECT workflow_uuid, status FROM {where}")).all()
    return {row[0].partition(":")[2]: row[1] for row in found}


def dead(number: int) -> str:
    """A process of this machine that has ended."""
    return f"{current_owner()}/dead{number}"


def taken(ledger: Ledger, turn: int = 1, owner: str = "") -> Job:
    """The job, with this turn of it taken, and its run held by whoever took it."""
    owner = owner or dead(1)
    found = ledger.jobs.turns.take(RUN, turn, owner, worker="host/1")
    assert found.how == "mine", found
    assert found.job is not None
    return found.job


def now(ledger: Ledger) -> Job:
    found = ledger.jobs.get(RUN)
    assert found is not None
    return found


def ask(ledger: Ledger, expires_in: float | None = 3600.0) -> str:
    question = Question("p-1", RUN, "pay", {"to": "ann"}, "due", "external", "clerk")
    return ledger.approvals.ask(question, expires_in=expires_in).id


def test_a_job_submitted_twice_is_one_and_with_another_input_it_is_refused_and_nothing_of_it_is_kept(
    fleet: Ledger,
) -> None:
    assert fleet.jobs.submit([JOB], by="joe").new == ("a-1",)
    assert fleet.jobs.submit([JOB], by="ann").known == ("a-1",)
    with pytest.raises(JobChanged, match="another input"):
        fleet.jobs.submit([replace(JOB, id="a-2"), replace(JOB, goal="do not pay")], by="joe")
    assert [(job.id, job.goal, job.submitted_by) for job in fleet.jobs.list(Which())] == [("a-1", "pay", "joe")]
    assert rows(fleet) == {"1": "ENQUEUED"}


def test_a_job_and_its_row_in_the_queue_are_one_transaction(fleet: Ledger) -> None:
    with suppress(KeyError), fleet.write() as connection:
        fleet.jobs._add(connection, JOB, "joe")
        raise KeyError
    assert (fleet.jobs.get(RUN), rows(fleet)) == (None, {})


def test_two_tenants_may_have_jobs_of_one_id_and_neither_finds_the_others(fleet: Ledger) -> None:
    mine, theirs = (replace(JOB, tenant=tenant) for tenant in ("acme", "bolt"))
    fleet.jobs.submit([mine, replace(theirs, goal="another")], by="joe")
    assert mine.run_id != theirs.run_id == run_id_of_job("bolt", "a-1")
    assert [job.goal for job in fleet.jobs.list(Which(tenant="acme"))] == ["pay"]
    assert fleet.jobs.list(Which(tenant="acme", ids=[theirs.run_id])) == []
    assert fleet.jobs.cancel(Which(tenant="acme", ids=["a-1"]), by="joe").at_once[0].tenant == "acme"
    assert fleet.jobs.counts(Which(tenant="bolt")) == {"queued": 1}


def test_a_turn_is_taken_once_while_who_has_it_works_and_again_once_that_has_ended(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB], by="joe")
    with working() as owner:
        first = taken(fleet, owner=owner)
        fleet.runs.claim(RUN, owner, seconds=60)
        assert fleet.jobs.turns.take(RUN, 1, dead(2), worker="host/1").how == "busy"
        fleet.runs.release(RUN, owner)
    second = taken(fleet, owner=dead(2))
    assert (second.attempts, second.error, second.claim) == (2, "host/1 ended amid its turn", dead(2))
    assert fleet.jobs.turns.finish(first, "done") is None
    assert fleet.jobs.turns.wait(first, "") is None
    assert fleet.jobs.turns.leave(first) is None
    assert now(fleet).status == "running"
    assert fleet.jobs.turns.finish(second, "done") is not None
    assert now(fleet).status == "done"
    assert fleet.jobs.turns.take(RUN, 1, dead(3), worker="host/1").how == "stale"


def test_a_job_that_ended_its_worker_three_times_is_parked_with_what_went_wrong_and_can_be_retried(
    fleet: Ledger,
) -> None:
    fleet.jobs.submit([JOB], by="joe")
    for number in range(MOST_ATTEMPTS):
        taken(fleet, owner=dead(number))
    assert fleet.jobs.turns.take(RUN, 1, dead(9), worker="host/1").how == "over"
    assert (now(fleet).status, now(fleet).error) == ("parked", "host/1 ended amid its turn")
    assert fleet.jobs.retry(Which(ids=[RUN]), by="ann").at_once
    assert (now(fleet).status, now(fleet).attempts, rows(fleet)) == ("queued", 0, {"1": "ENQUEUED", "2": "ENQUEUED"})
    assert taken(fleet, 2).attempts == 1


def test_attempts_that_fail_come_later_each_time_and_the_third_parks_the_job(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB], by="joe")
    for turn in range(1, MOST_ATTEMPTS):
        fleet.jobs.turns.leave(taken(fleet, turn), error="no stock", counts=True)
        assert (now(fleet).status, rows(fleet)[str(turn + 1)]) == ("queued", "DELAYED")
    fleet.jobs.turns.leave(taken(fleet, MOST_ATTEMPTS), error="no stock, password=hunter2", counts=True)
    assert now(fleet).status == "parked"
    assert now(fleet).error.startswith("no stock")
    assert "hunter2" not in now(fleet).error


def test_a_turn_that_was_told_to_leave_off_is_no_attempt(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB], by="joe")
    for turn in range(1, 6):
        fleet.jobs.turns.leave(taken(fleet, turn))
        assert (now(fleet).status, now(fleet).attempts, rows(fleet)[str(turn + 1)]) == ("queued", 0, "ENQUEUED")


def test_a_job_that_waits_has_a_row_that_comes_with_the_expiry_and_a_decision_brings_another_at_once(
    fleet: Ledger,
) -> None:
    fleet.jobs.submit([JOB], by="joe")
    job, approval = taken(fleet), ask(fleet)
    fleet.jobs.turns.wait(job, fleet.approvals.get(approval).expires_at)
    assert (now(fleet).status, rows(fleet)["2"]) == ("waiting", "DELAYED")
    fleet.approvals.approve(approval, by="ann")
    assert (now(fleet).status, now(fleet).turn, rows(fleet)["3"]) == ("queued", 3, "ENQUEUED")
    assert fleet.jobs.turns.take(RUN, 2, dead(2), worker="host/1").how == "stale"


def test_a_decision_that_is_not_committed_brings_no_turn(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB], by="joe")
    job, approval = taken(fleet), ask(fleet, None)
    fleet.jobs.turns.wait(job, "")
    assert (now(fleet).status, set(rows(fleet))) == ("waiting", {"1"})
    with suppress(KeyError), fleet.write() as connection:
        fleet.jobs.turns.wake(connection, RUN)
        raise KeyError
    assert (now(fleet).status, set(rows(fleet)), fleet.approvals.get(approval).status) == ("waiting", {"1"}, "pending")


def test_what_is_decided_while_the_turn_comes_to_its_end_is_not_waited_for(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB], by="joe")
    job, approval = taken(fleet), ask(fleet)
    fleet.approvals.reject(approval, by="ann")
    fleet.jobs.turns.wait(job, "")
    assert (now(fleet).status, rows(fleet)["2"]) == ("queued", "ENQUEUED")


def test_a_job_that_is_cancelled_while_it_is_done_calls_nothing_any_more_and_ends_at_its_boundary(
    fleet: Ledger,
) -> None:
    fleet.jobs.submit([JOB], by="joe")
    with working() as owner:
        job = taken(fleet, owner=owner)
        approval = fleet.approvals.allow(Question("p-1", RUN, "pay", {"to": "ann"}, "due", "external", "clerk"))
        assert fleet.jobs.cancel(Which(ids=["a-1"]), by="ann").soon
        with pytest.raises(RunCancelled, match="cancelled by ann"):
            fleet.effects.claim(approval, owner=owner)
        assert fleet.jobs.wanted(job.worker) == {RUN: "cancel"}
        fleet.jobs.turns.finish(job, "cancelled")
    assert (now(fleet).status, now(fleet).error) == ("cancelled", "cancelled by ann")
    with pytest.raises(RunCancelled):
        fleet.effects.claim(approval, owner=dead(2))


def test_a_job_that_has_not_begun_is_cancelled_at_once_and_no_worker_takes_it(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB], by="joe")
    assert fleet.jobs.cancel(Which(), by="ann").at_once
    assert fleet.jobs.turns.take(RUN, 1, dead(1), worker="host/1").how == "stale"
    assert now(fleet).status == "cancelled"


def test_a_deadline_that_is_over_ends_the_job_before_it_begins(fleet: Ledger) -> None:
    fleet.jobs.submit([replace(JOB, deadline="2026-01-31T09:30:00.000000Z")], by="joe")
    assert fleet.jobs.turns.take(RUN, 1, dead(1), worker="host/1").how == "over"
    assert (now(fleet).status, now(fleet).error) == ("cancelled", "cancelled by its deadline")


def test_held_jobs_rest_and_go_on_when_they_are_resumed(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB, replace(JOB, id="a-2")], by="joe")
    job = taken(fleet)
    asked = fleet.jobs.hold(Which(), by="ann")
    assert ([one.id for one in asked.at_once], [one.id for one in asked.soon]) == (["a-2"], ["a-1"])
    fleet.jobs.turns.leave(job)
    assert fleet.jobs.counts(Which()) == {"held": 2}
    assert len(fleet.jobs.resume(Which(), by="ann").at_once) == 2
    assert fleet.jobs.counts(Which()) == {"queued": 2}
    assert taken(fleet, now(fleet).turn).attempts == 1


def test_what_has_begun_goes_before_what_has_not_of_the_same_priority(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB, replace(JOB, id="a-2"), replace(JOB, id="a-3", priority=1)], by="joe")
    fleet.jobs.turns.leave(taken(fleet))
    with fleet.read() as connection:
        where = "workflow_status" if connection.dialect.name == "sqlite" else "dbos.workflow_status"
        query = text(f"SELECT workflow_uuid FROM {where} WHERE workflow_uuid <> :own ORDER BY priority, created_at")
        order: list[Any] = [row[0] for row in connection.execute(query, {"own": f"{RUN}:1"})]
    assert order == [f"{run_id_of_job('default', 'a-3')}:1", f"{RUN}:2", f"{run_id_of_job('default', 'a-2')}:1"]


def test_a_job_whose_turn_is_not_in_the_queue_is_put_there_unless_somebody_is_at_work_on_it(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB], by="joe")
    assert [job.id for job in fleet.jobs.unmoved(-1.0)] == ["a-1"]
    assert fleet.jobs.unmoved(60.0) == []
    with working() as owner:
        job = taken(fleet, owner=owner)
        fleet.runs.claim(RUN, owner, seconds=60)
        assert not fleet.jobs.turns.restore(job)
        end_work(owner)
        assert fleet.jobs.turns.restore(job)
    assert rows(fleet)["2"] == "ENQUEUED"


def test_what_is_done_to_jobs_is_in_the_log_which_agrees_with_their_rows(fleet: Ledger) -> None:
    fleet.jobs.submit([JOB, replace(JOB, id="a-2", options={"token": "sk-live-0123456789abcdef0123"})], by="joe")
    fleet.jobs.hold(Which(), by="ann")
    fleet.jobs.resume(Which(), by="ann")
    fleet.jobs.turns.finish(taken(fleet, 3), "done")
    assert fleet.audit.verify().problems == ()
    with fleet.write() as connection:
        connection.execute(text("UPDATE jobs SET goal = 'pay me' WHERE id = 'a-2'"))
    assert [problem.what.partition(":")[0] for problem in fleet.audit.verify().problems] == [
        f"job {run_id_of_job('default', 'a-2')}"
    ]


def test_rows_of_an_older_queue_are_foreign_and_tables_without_rows_are_not(database: str, ledger: Ledger) -> None:
    with ledger.write() as connection:
        is_sqlite = connection.dialect.name == "sqlite"
        where = "workflow_status" if is_sqlite else "dbos.workflow_status"
        if not is_sqlite:
            connection.execute(text("CREATE SCHEMA dbos"))
        connection.execute(text(f"CREATE TABLE {where} (workflow_uuid TEXT PRIMARY KEY, status TEXT)"))
        connection.execute(text(f"INSERT INTO {where} VALUES ('theirs', 'PENDING')"))
    with pytest.raises(ForeignQueue, match="theirs"):
        make_tables(ledger, database)
    with ledger.write() as connection:
        connection.execute(text(f"DROP TABLE {where}"))
    make_tables(ledger, database)


def test_workers_that_start_at_once_make_the_tables_of_the_queue_together(database: str, tmp_path: Path) -> None:
    program = (
        "import sys; from signoff.checkpoints.jobs import make_tables; from signoff.checkpoints.ledger import Ledger; "
    )
    program += "make_tables(Ledger(sys.argv[1]), sys.argv[1])"
    command = [sys.executable, "-c", program, database]
    with ExitStack() as held:
        started = [held.enter_context(warm.start(command, stderr=subprocess.PIPE, text=True)) for _ in range(3)]
        assert [(one.communicate()[1], one.wait()) for one in started] == [("", 0)] * 3
