"""Evals as jobs of the fleet: workers do them, one that was killed goes on where it was, and all of it has a limit."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from signoff import Agent, Artifact, Task, Team
from signoff.errors import SettingsError
from signoff.fleet import replay
from signoff.fleet.evals import CaseResult, How, evals_settings, evaluate
from signoff.fleet.evals.cost_limit import CostLimit
from signoff.fleet.queue import Worker
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

TEAM = '''
from pathlib import Path

from signoff import Agent, Artifact, Policy, Task, Team, tool

HERE = Path(__file__).parent


class Note(Artifact):
    text: str


class Ticket(Artifact):
    number: str


class Letter(Artifact):
    text: str


def told(name, text):
    with open(HERE / name, "a") as file:
        file.write(f"{text}\\n")


@tool(risk="external", gives=Ticket)
def file_ticket(title: str) -> dict[str, str]:
    """File a ticket."""
    told("called.txt", title)
    return {"number": "real"}


def note(task: Task) -> Note:
    told("begun.txt", task.goal)
    return Note(text=task.goal)


team = Team(
    name="notes",
    policy=Policy({"file_ticket": "ask"}),
    agents=[
        Agent(role="clerk", gives=Note, function=note, actions=(file_ticket,),
              propose=lambda made, _: [file_ticket.propose({"title": made.text})]),
        Agent(role="writer", needs=(Ticket,), gives=Letter,
              function=lambda task: Letter(text=task.need(Ticket).number)),
    ],
)
'''
CASES = [
    {
        "id": name,
        "goal": name,
        "results": {"file_ticket": {"number": f"T-{name}"}},
        "expect": {"args": {"file_ticket": {"title": name}}, "equals": {"Letter.text": f"T-{name}"}},
    }
    for name in ("ann", "bob", "cleo")
] + [{"id": "asks", "goal": "asks", "decide": "wait", "expect": {"status": "waiting", "actions": ["file_ticket"]}}]


@pytest.fixture
def worker(home: Path) -> Iterator[None]:
    """A worker of the evals, at work."""
    (home / "notes.py").write_text(TEAM)
    (home / ".signoff").mkdir()
    works = Worker(evals_settings(load_settings()), 4)
    thread = threading.Thread(target=works.run)
    thread.start()
    yield
    works.stop()
    thread.join()


def test_workers_do_it_and_what_they_did_while_nobody_looked_is_not_done_again(worker: None, home: Path) -> None:
    team = load_team("notes.py:team", load_settings()).team

    def leave(_result: CaseResult, done: int, _total: int) -> None:
        if done == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(team, CASES, How(fleet=True, told=leave))
    done = evaluate(team, CASES, How(resume=True))
    assert done.fleet, "it goes on as it began"
    assert {result.case: result.why for result in done.results} == dict.fromkeys(("ann", "bob", "cleo", "asks"), "")
    assert sorted((home / "begun.txt").read_text().split()) == ["ann", "asks", "bob", "cleo"]
    assert not (home / "called.txt").exists(), "what an action returns is given, and it is not called"
    recorded = next(Path(result.recording) for result in done.results if result.case == "asks")
    now, then = replay(recorded, home / "played", team=team)
    assert now == then
    assert now.status == "waiting"


def test_a_team_that_no_worker_finds_again_is_refused_before_anything_is_submitted(home: Path) -> None:
    with pytest.raises(SettingsError, match="no worker finds the team of 'notes' again"):
        evaluate(Team(name="notes", agents=[AGENT]), [{"goal": "ann"}], How(fleet=True))
    assert not (home / ".signoff").exists()


class Draft(Artifact):
    text: str


class Copy(Artifact):
    text: str


AGENT = Agent(role="drafter", gives=Draft, function=lambda task: Draft(text=task.goal))


def test_a_case_that_was_under_way_goes_on_from_its_last_step() -> None:
    drafted, under_way, free = list[str](), threading.Event(), threading.Event()

    def draft(task: Task) -> Draft:
        drafted.append(task.goal)
        if task.goal == "quick":
            under_way.wait()
        return Draft(text=task.goal)

    def copy(task: Task) -> Copy:
        if task.goal == "slow":
            under_way.set()
            free.wait()
        return Copy(text=task.need(Draft).text)

    agents: list[Agent[Any]] = [
        Agent(role="drafter", gives=Draft, function=draft),
        Agent(role="copyist", needs=(Draft,), gives=Copy, function=copy),
    ]
    team, cases = Team(name="two", agents=agents), [{"id": "quick", "goal": "quick"}, {"id": "slow", "goal": "slow"}]

    def leave(_result: CaseResult, _done: int, _total: int) -> None:
        threading.Timer(0.2, free.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(team, cases, How(told=leave, concurrency=2))
    done = evaluate(team, cases, How(resume=True))
    assert done.passed
    assert sorted(drafted) == ["quick", "slow"], "the step that had ended is not done again"


def test_what_runs_cost_together_stays_within_the_limit_and_the_rest_is_left() -> None:
    async def spend() -> tuple[list[bool], float]:
        limit, most = CostLimit(usd=1.0, each=0.3), 0.0

        async def one() -> bool:
            nonlocal most
            if not await limit.set_aside():
                return False
            most = max(most, limit.spent + limit.begun * limit.each)
            await asyncio.sleep(0)
            await limit.settle(1, 0.2)
            return True

        begun = await asyncio.gather(*(one() for _ in range(9)))
        return list(begun), most

    begun, most = asyncio.run(spend())
    assert begun.count(True) == 4, "after 4 of $0.20, $0.20 are left, and one may cost $0.30"
    assert most <= 1.0


def test_a_limit_on_all_needs_one_on_each_that_fits_in_it(home: Path) -> None:
    with pytest.raises(SettingsError, match=r"all may cost \$1, and one run \$5.*--budget"):
        evaluate(Team(name="notes", agents=[AGENT]), [{"goal": "ann"}], How(total="$1"))
    with pytest.raises(SettingsError, match="'steps=3' is no sum of money"):
        How(total="steps=3")
    assert evaluate(Team(name="notes", agents=[AGENT]), [{"goal": "ann"}], How(total="$1", budget="$0.5")).passed
