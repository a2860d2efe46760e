"""Workers do jobs: to their end, to a question, and after other workers died or were told to stop."""

import asyncio
import json
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import warm
from sqlalchemy import Engine, MetaData, Table, event, insert, select

from signoff.checkpoints import working
from signoff.checkpoints.jobs import JobStatus, Which
from signoff.checkpoints.process_identity import KeepAlive
from signoff.fleet.driver import Driver
from signoff.fleet.events import Event
from signoff.fleet.queue import Fleet, Submission, Worker, overview_of, read_jobs
from signoff.fleet.queue.turn import Turner, Underway
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

PROGRAMS = Path(__file__).parent / "programs"
WORK = [sys.executable, "-m", "signoff", "fleet", "work", "--concurrency", "4"]


@pytest.fixture
def shop(home: Path) -> Path:
    """A project with the team, whose files tell what was begun and sent."""
    (home / ".signoff").mkdir()
    shutil.copy(PROGRAMS / "shop.py", home / "shop.py")
    return home


@pytest.fixture
def fleet(shop: Path) -> Iterator[Fleet]:
    opened = Fleet.open(load_settings())
    yield opened
    opened.ledger.close()


def submit(fleet: Fleet, team: str, *orders: tuple[str, str]) -> Submission:
    lines = [json.dumps({"id": item, "item": item, "mode": mode}) for item, mode in orders]
    found = read_jobs(load_team(f"shop.py:{team}", fleet.settings).team, lines, fleet.settings)
    fleet.submit(found.jobs)
    return found


def told(shop: Path, name: str) -> list[str]:
    file = shop / name
    return sorted(file.read_text().split()) if file.exists() else []


def counts(fleet: Fleet) -> dict[JobStatus, int]:
    return fleet.ledger.jobs.counts(Which())


def work(fleet: Fleet) -> int:
    """Do what there is to do, in this process."""
    return Worker(fleet.settings, 4, until_idle=True).run()


def start(*options: str) -> Any:
    return warm.start([*WORK, *options])


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until this is so, as long as the test may take."""
    while not holds():
        time.sleep(0.05)


@pytest.fixture
def both(database: str, shop: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """The same in both kinds of database in turn."""
    if "://" in database:
        monkeypatch.setenv("SIGNOFF_DATABASE", database)
    opened = Fleet.open(load_settings())
    yield opened
    opened.ledger.close()


def test_jobs_are_done_once_those_that_ask_wait_and_go_on_once_they_are_answered(both: Fleet, shop: Path) -> None:
    fleet = both
    submit(fleet, "auto", ("a", ""), ("b", ""))
    submit(fleet, "asked", ("yes", ""), ("no", ""), ("dropped", ""))
    assert work(fleet) == 5
    assert counts(fleet) == {"done": 2, "waiting": 3}
    assert told(shop, "sent.txt") == ["a", "b"]
    asked = {one.args["to"] if one.args else one.shown["to"]: one.id for one in fleet.ledger.approvals.pending()}
    fleet.ledger.approvals.approve(asked["yes"], by="ann")
    fleet.ledger.approvals.reject(asked["no"], by="ann")
    assert counts(fleet) == {"done": 2, "waiting": 1, "queued": 2}
    assert len(fleet.cancel(Which(ids=["dropped"])).begun) == 1
    assert fleet.ledger.approvals.pending() == []
    work(fleet)
    assert counts(fleet) == {"done": 3, "stopped": 1, "cancelled": 1}
    assert told(shop, "sent.txt") == ["a", "b", "yes"]
    found = {line["id"]: line for line in fleet.results(Which())}
    assert found["a"]["artifacts"]["Draft"]["markdown"] == "# a"
    assert [one["status"] for one in found["yes"]["outcomes"]] == ["done"]
    assert (found["dropped"]["status"], "cancelled by" in found["dropped"]["error"]) == ("cancelled", True)
    assert fleet.ledger.audit.verify().problems == ()
    assert fleet.ledger.workers.all() == []


def test_a_worker_that_dies_leaves_nothing_undone(fleet: Fleet, shop: Path) -> None:
    submit(fleet, "auto", ("a", "die once"), ("b", ""), ("c", ""))
    with start() as worker:
        assert worker.wait() == -signal.SIGKILL
    work(fleet)
    found = counts(fleet)
    assert sum(found.values()) == 3
    assert found.keys() <= {"done", "waiting"}  # one that was amid its call asks whether it happened
    assert told(shop, "begun.txt").count("a") == 2
    assert len(set(told(shop, "sent.txt"))) == len(told(shop, "sent.txt"))


@pytest.mark.hunt
def test_what_killed_its_worker_three_times_is_parked_and_takes_nothing_along(fleet: Fleet, shop: Path) -> None:
    submit(fleet, "auto", ("poison", "die"), *((f"a-{number}", "") for number in range(3)))
    for _ in range(3):
        with start() as worker:
            assert worker.wait() == -signal.SIGKILL
    work(fleet)
    assert counts(fleet)["parked"] == 1
    assert counts(fleet).keys() <= {"done", "waiting", "parked"}
    assert told(shop, "begun.txt").count("poison") == 3
    assert len(set(told(shop, "sent.txt"))) == len(told(shop, "sent.txt"))
    lines = "\n".join(overview_of(fleet.ledger, Which()).lines())
    assert "Parked: poison: " in lines
    assert "ended amid its turn" in lines


def test_a_worker_that_is_told_to_stop_puts_back_what_it_has_without_an_attempt(fleet: Fleet, shop: Path) -> None:
    submit(fleet, "auto", ("slow", "rest"))
    with start() as worker:
        wait_for(lambda: "slow" in told(shop, "begun.txt"))
        worker.send_signal(signal.SIGTERM)
        (shop / "rested").touch()
        assert worker.wait() == 0
    (job,) = fleet.ledger.jobs.list(Which())
    assert (job.status, job.attempts, told(shop, "sent.txt")) in (("queued", 0, []), ("done", 1, ["slow"]))
    work(fleet)
    assert (counts(fleet), told(shop, "sent.txt")) == ({"done": 1}, ["slow"])


def test_jobs_that_make_no_progress_are_stopped_and_say_what_they_were_doing_and_go_on_once_resumed(
    fleet: Fleet, shop: Path
) -> None:
    submit(fleet, "auto", ("mute", "rest"), ("mumbles", "mumble"))
    submit(fleet, "awaited", ("mires", "rest"))  # its function blocks the loop that it is awaited in
    with start("--patience", "900", "--patience", "shop=1") as worker:
        wait_for(lambda: counts(fleet) == {"held": 3})
        assert len([line for line in overview_of(fleet.ledger, Which()).lines() if line.startswith("Held: m")]) == 3
        errors = {job.id: job.error for job in fleet.ledger.jobs.list(Which(status=["held"]))}
        assert errors["mute"].startswith("no step, call of a model or effect ended for 1 s; last heard: ")
        assert errors["mumbles"].startswith(
            ("it came to no other step for 4 s; last heard: ", "no step, call of a model")
        )
        (shop / "rested").touch()
        worker.terminate()
        assert worker.wait() == 0
    assert [job.attempts for job in fleet.ledger.jobs.list(Which(status=["held"]))] == [0, 0, 0]
    assert len(fleet.resume(Which()).at_once) == 3
    work(fleet)
    assert (counts(fleet), told(shop, "sent.txt")) == ({"done": 3}, ["mires", "mumbles", "mute"])


def test_what_makes_no_progress_is_told_with_what_was_last_heard_of_it(fleet: Fleet) -> None:
    submit(fleet, "auto", ("a", ""))
    turn, moved = Underway(fleet.ledger.jobs.list(Which())[0]), 0.0
    for number in range(3):
        turn.hear(Event("turn" if not number else "says", "clerk", f"mends {number}"))
        moved = moved or turn.moved_at
    assert (turn.moved_at, turn.heard_at >= moved) == (moved, True)  # the same again is no other step
    turn.stall("no other step")
    assert (turn.stalled, turn.because) == ("no other step; last heard: clerk: mends 2", "it makes no progress")


def test_a_worker_that_is_stopped_is_ended_by_another_which_does_its_jobs(
    fleet: Fleet, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signoff.fleet.queue.worker._SWEEP", 0.0)
    submit(fleet, "auto", ("slow", "rest"))
    other = Worker(fleet.settings, 4, until_idle=True)
    other._ledger.keep_alive = KeepAlive(seconds=0.05)
    with start() as stopped:
        wait_for(lambda: "slow" in told(shop, "begun.txt"))
        stopped.send_signal(signal.SIGSTOP)
        (shop / "rested").touch()
        assert other.run() == 1
        assert stopped.wait() == -signal.SIGKILL
    assert (counts(fleet), told(shop, "sent.txt")) == ({"done": 1}, ["slow"])
    assert fleet.ledger.workers.all() == []


def test_a_worker_stopped_under_load_ends_in_order_and_no_attempt_is_counted(fleet: Fleet, shop: Path) -> None:
    submit(fleet, "auto", *((f"a-{number}", "rest" if number < 4 else "") for number in range(30)))
    with start() as worker:
        wait_for(lambda: len(told(shop, "begun.txt")) >= 4)
        worker.terminate()
        (shop / "rested").touch()
        assert worker.wait() == 0
    left = [job for job in fleet.ledger.jobs.list(Which()) if job.status != "done"]
    assert {(job.status, job.attempts) for job in left} == {("queued", 0)}
    work(fleet)
    assert counts(fleet) == {"done": 30}
    assert told(shop, "sent.txt") == sorted(f"a-{number}" for number in range(30))


def test_a_clock_that_jumps_is_told_in_the_log_and_ends_no_worker(
    fleet: Fleet, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signoff.fleet.queue.worker._FIRE", 0.0)
    submit(fleet, "auto", ("a", ""))
    worker, real = Worker(fleet.settings, 4, until_idle=True), time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3_600)
    assert worker.run() == 1
    (jumped,) = [entry for entry in fleet.ledger.audit.entries() if entry.event == "clock jumped"]
    assert 3_590 < jumped.body["seconds"] < 3_610
    assert told(shop, "sent.txt") == ["a"]


def test_what_is_to_be_tried_again_is_so_at_once_when_the_clock_is_set_back(
    fleet: Fleet, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("signoff.fleet.queue.worker._FIRE", 0.0)
    submit(fleet, "auto", ("a", ""))
    (job,) = fleet.ledger.jobs.list(Which())
    with working() as owner:
        taken = fleet.ledger.jobs.turns.take(job.run_id, job.turn, owner, worker="host/1").job
        assert taken is not None
        fleet.ledger.jobs.turns.leave(taken, error="busy", pause=3_600.0)  # a minute's, by the clock before
    worker, real = Worker(fleet.settings, 4, until_idle=True), time.time
    monkeypatch.setattr(time, "time", lambda: real() - 3_600)
    assert worker.run() == 1
    assert (counts(fleet), told(shop, "sent.txt")) == ({"done": 1}, ["a"])


def asked_idle(fleet: Fleet, rounds: int) -> Counter[str]:
    """What a worker that finds nothing to do asks of the ledger in so many rounds of looking."""
    asked, worker = Counter[str](), Worker(fleet.settings, 4)

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        asked[statement] += 1
        if sum(number for text, number in asked.items() if "FROM schedules" in text) > rounds:
            worker.stop()

    event.listen(Engine, "before_cursor_execute", count)
    try:
        worker.run()
    finally:
        event.remove(Engine, "before_cursor_execute", count)
    return Counter({text: number for text, number in asked.items() if "FROM jobs" in text or "FROM sched" in text})


def test_ten_thousand_jobs_that_wait_are_rows_alone_and_an_idle_worker_asks_no_more_than_beside_none(
    fleet: Fleet, shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("_LOOK", "_FIRE", "_SWEEP"):
        monkeypatch.setattr(f"signoff.fleet.queue.worker.{pause}", 0.0)
    submit(fleet, "asked", ("a", ""))
    work(fleet)
    beside_one = asked_idle(fleet, 5)
    with fleet.ledger.write() as connection:
        for name, key in (("jobs", "run_id"), ("workflow_status", "workflow_uuid")):
            table = Table(name, MetaData(), autoload_with=connection)
            waits = table.c.status.in_(("waiting", "DELAYED"))
            one = dict(connection.execute(select(table).where(waits)).mappings().one())
            more = [{**one, key: f"{one[key]}-{number}"} for number in range(10_000)]
            connection.execute(insert(table), more)
    assert counts(fleet) == {"waiting": 10_001}
    beside_many = asked_idle(fleet, 5)
    assert beside_many == beside_one
    assert max(beside_many.values()) <= 7  # each is asked once a round, however many there are
    assert counts(fleet) == {"waiting": 10_001}


def test_turns_at_once_share_connections_for_their_checkpoints_and_the_last_closes_them(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE", address)
    driver = Driver.open(load_settings())

    async def go() -> None:
        savers = Turner(driver, "host/1")._savers
        async with AsyncExitStack() as held:
            found = [await held.enter_async_context(savers.one()) for _ in range(17)]
            assert len({id(saver) for saver in found}) == 3
            assert await found[0].aget_tuple({"configurable": {"thread_id": "none"}}) is None
        assert savers._opened == []

    asyncio.run(go())
    driver.ledger.close()
