"""Workers do jobs: to their end, to a question, and after other workers died or were told to stop."""

import json
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import warm

from signoff.checkpoints.jobs import JobStatus, Which
from signoff.fleet.queue import Fleet, Submission, Worker, overview_of, read_jobs
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


def start() -> Any:
    return warm.start(WORK)


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
