import asyncio
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from signoff import Agent, Artifact, Ledger, Run, Task, Team
from signoff.checkpoints import canonical
from signoff.checkpoints.ledger.schema import runs
from signoff.checkpoints.process_identity import KeepAlive
from signoff.desk.cli import lists
from signoff.fleet import standings


class Facts(Artifact):
    text: str


def standing(ledger: Ledger, run_id: str) -> str:
    return str(standings(ledger, [ledger.runs.get(run_id)])[0])


def wait_for(holds: Callable[[], bool]) -> None:
    """Wait until this holds: the beats come from a thread of their own."""
    for _ in range(2_000):
        if holds():
            return
        threading.Event().wait(0.005)
    raise AssertionError("it never held")


def beating(keep_alive: KeepAlive, ledger: Ledger, run_id: str) -> AbstractContextManager[None]:
    """As an agent's node gives signs of life."""
    return keep_alive.renewing(ledger.runs.beat, run_id, soon=True)


@pytest.fixture
def running(ledger: Ledger) -> Ledger:
    for number in range(3):
        ledger.runs.begin(f"r-{number}", 1, team="t", goal="g")
    return ledger


def silence(ledger: Ledger, run_id: str, seconds: float) -> None:
    """As if nothing had been heard of the run for so long."""
    moment = canonical.later(-seconds)
    with ledger.write() as connection:
        connection.execute(
            update(runs).where(runs.c.id == run_id).values(created_at=moment, updated_at=moment, beat_at=moment)
        )


def test_a_run_beats_as_soon_as_a_step_begins_and_again_while_it_lasts(running: Ledger) -> None:
    keep_alive = KeepAlive(seconds=0.01)
    with beating(keep_alive, running, "r-0"):
        wait_for(lambda: running.runs.get("r-0").beat_at != "")
        first = running.runs.get("r-0").beat_at
        wait_for(lambda: running.runs.get("r-0").beat_at > first)
    assert running.runs.get("r-1").beat_at == ""


def test_runs_that_work_at_once_all_beat(running: Ledger) -> None:
    keep_alive = KeepAlive(seconds=0.01)
    with beating(keep_alive, running, "r-0"), beating(keep_alive, running, "r-1"), beating(keep_alive, running, "r-2"):
        wait_for(lambda: all(running.runs.get(f"r-{number}").beat_at for number in range(3)))


def test_many_short_steps_write_one_beat(running: Ledger) -> None:
    keep_alive = KeepAlive(seconds=60)
    with beating(keep_alive, running, "r-0"):
        wait_for(lambda: running.runs.get("r-0").beat_at != "")
    first = running.runs.get("r-0").beat_at
    for _ in range(1_000):
        with beating(keep_alive, running, "r-0"):
            pass
    with beating(keep_alive, running, "r-1"):
        wait_for(lambda: running.runs.get("r-1").beat_at != "")  # whatever was due before is written by then
    assert running.runs.get("r-0").beat_at == first


def test_the_thread_stops_when_nothing_works_and_starts_again(running: Ledger) -> None:
    keep_alive = KeepAlive(seconds=0.01)
    for run_id in ("r-0", "r-1"):
        with beating(keep_alive, running, run_id):
            wait_for(lambda run_id=run_id: running.runs.get(run_id).beat_at != "")  # type: ignore[misc]  # bound at once
        wait_for(lambda: not keep_alive.is_running)


def test_a_database_that_is_gone_does_not_end_the_step(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "no" / "such")
    (tmp_path / "no").write_text("a file")
    keep_alive = KeepAlive(seconds=0.01)
    with beating(keep_alive, ledger, "r-0"):
        threading.Event().wait(0.05)
        assert keep_alive.is_running


def test_a_step_gives_signs_of_life_whoever_drives_the_graph(ledger: Ledger) -> None:
    seen: list[str] = []

    def look(task: Task) -> Facts:
        wait_for(lambda: ledger.runs.get("r-7").beat_at != "")
        seen.append(ledger.runs.get("r-7").beat_at)
        return Facts(text="seen")

    graph = Team(agents=[Agent(role="scout", gives=Facts, function=look)], ledger=ledger).compile()
    asyncio.run(graph.ainvoke({"goal": "x"}, {"configurable": {"thread_id": "r-7"}}))
    assert len(seen) == 1


def test_a_run_of_which_nothing_was_heard_is_told_as_silent(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    del home
    ledger = Ledger(".signoff/signoff.db")
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    assert standing(ledger, "r-1") == "running"
    silence(ledger, "r-1", 100)
    assert standing(ledger, "r-1") == "running"
    silence(ledger, "r-1", 121)
    assert standing(ledger, "r-1") == "silent"
    lists.runs(5, json=False)
    lists.show("r-1", json=False)
    told = capsys.readouterr().out
    assert "silent" in told
    assert f"No sign of life since {ledger.runs.get('r-1').beat_at[:16].replace('T', ' ')}" in told
    ledger.runs.beat("r-1")
    assert standing(ledger, "r-1") == "running"


def test_a_silent_run_of_ours_says_how_to_resume_it(capsys: pytest.CaptureFixture[str]) -> None:
    ledger = Ledger(".signoff/signoff.db")
    team: Any = Team(agents=[Agent(role="scout", gives=Facts, function=lambda task: Facts(text="x"))])
    run = Run.start(team, "x", drive=False)
    silence(ledger, run.id, 121)
    assert standing(ledger, run.id) == "cut off"
    lists.show(run.id, json=False)
    assert f"resume {run.id}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("status", ["waiting", "done", "stopped", "failed"])
def test_only_a_run_at_work_can_be_silent(ledger: Ledger, status: Any) -> None:
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    ledger.runs.set_status("r-1", status)
    silence(ledger, "r-1", 9_999)
    assert standing(ledger, "r-1") == status
