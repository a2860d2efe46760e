from collections.abc import Callable, Iterator, Sequence
from itertools import cycle, repeat
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from signoff import Agent, Artifact, Ledger, Limits, Supervisor, Task, Team, Verdict
from signoff.errors import WorkFailed
from signoff.graphs.routing.assigning import (
    IDLE_CALLS,
    IDLE_TURNS,
    find_circle,
    find_idleness,
    followed_by,
    turn_failed,
    turn_given,
)
from signoff.graphs.state import Turn
from signoff.testing import ScriptedModel, gives

pytestmark = pytest.mark.usefixtures("at_once")

APPROVE = {"decisions": [{"type": "approve"}]}


class Draft(Artifact):
    text: str


class Opinion(Verdict):
    pass


def writer(texts: Iterator[str]) -> Agent[Draft]:
    return Agent(role="writer", gives=Draft, function=lambda task: Draft(text=next(texts)))


def critic(accepts: Callable[[str], bool], notes: Iterator[str]) -> Agent[Opinion]:
    def judge(task: Task) -> Opinion:
        accepted = accepts(task.need(Draft).text)
        return Opinion(accepted=accepted, about="Draft", notes=() if accepted else (next(notes),))

    return Agent(role="critic", needs=(Draft,), gives=Opinion, function=judge)


class Desk:
    """One thread of a team whose limits on turns and rounds are out of reach."""

    def __init__(self, home: Path, *agents: Agent[Any], **supervisor: Any) -> None:
        self.ledger = Ledger(home / "signoff.db")
        limits = {"max_turns": 500, "max_rounds": 500, **supervisor}
        team = Team(agents=agents, supervisor=Supervisor(**limits), ledger=self.ledger)
        self.graph = team.compile(checkpointer=InMemorySaver())

    def __call__(self, given: Any) -> dict[str, Any]:
        config: RunnableConfig = {"configurable": {"thread_id": "r-1"}, "recursion_limit": 2000}
        result: dict[str, Any] = self.graph.invoke(given, config)
        return result

    def start(self) -> dict[str, Any]:
        return self({"goal": "write"})


def why(result: dict[str, Any]) -> str:
    (interrupt,) = result["__interrupt__"]
    request = interrupt.value["action_requests"][0]
    assert request["name"] == "continue_run"
    return str(request["description"])


def never(_text: str) -> bool:
    return False


def numbers() -> Iterator[str]:
    return (f"note {'x' * number}" for number in range(10_000))


def test_a_draft_that_comes_back_the_same_pauses_the_run_whatever_the_limits(tmp_path: Path) -> None:
    result = Desk(tmp_path, writer(repeat("same")), critic(never, numbers())).start()
    assert "Draft came back unchanged, 2 times" in why(result)
    assert result["turns"] == 6


def test_a_draft_that_goes_to_and_fro_pauses_the_run(tmp_path: Path) -> None:
    result = Desk(tmp_path, writer(cycle(["a", "b"])), critic(never, numbers())).start()
    assert "Draft goes to and fro" in why(result)


def test_a_review_that_always_says_the_same_pauses_the_run(tmp_path: Path) -> None:
    result = Desk(tmp_path, writer(numbers()), critic(never, repeat("longer"))).start()
    assert "the notes on Draft are the same as before" in why(result)


def test_work_that_gets_on_is_never_stopped(tmp_path: Path) -> None:
    drafts = (f"draft {'x' * number}" for number in range(40))
    result = Desk(tmp_path, writer(drafts), critic(lambda text: len(text) > 36, numbers())).start()
    assert result["run"]["ended"] == "done"
    assert result["turns"] > 60


def test_after_a_person_lets_it_go_on_the_counters_start_afresh(tmp_path: Path) -> None:
    desk = Desk(tmp_path, writer(repeat("same")), critic(never, numbers()))
    first = desk.start()
    second = desk(Command(resume=APPROVE))
    assert "Draft came back unchanged" in why(second)
    assert second["turns"] >= first["turns"] + 5


def test_a_paused_loop_goes_on_to_its_end_once_it_is_mended(tmp_path: Path) -> None:
    texts = iter(["same"] * 3 + ["new"])
    desk = Desk(tmp_path, writer(texts), critic(lambda text: text == "new", numbers()))
    why(desk.start())
    assert desk(Command(resume=APPROVE))["run"]["ended"] == "done"


def test_an_agent_with_a_model_is_told_what_repeats(tmp_path: Path) -> None:
    model = ScriptedModel([gives(Draft(text="same"))] * 2 + [gives(Draft(text="new"))])
    agent = Agent(role="writer", gives=Draft, model=model)
    result = Desk(tmp_path, agent, critic(lambda text: text == "new", numbers())).start()
    assert result["run"]["ended"] == "done"
    prompts = ["\n".join(str(message.content) for message in call.messages) for call in model.calls]
    assert ["You go in circles: Draft came back unchanged" in prompt for prompt in prompts] == [False, False, True]


def test_a_model_is_told_why_its_last_try_failed(tmp_path: Path) -> None:
    model = ScriptedModel([gives(Draft(text="")), gives(Draft(text="better"))])

    def check(draft: Draft, task: Task) -> Draft:
        if not draft.text:
            raise WorkFailed("writer", "the draft is empty")
        return draft

    agent = Agent(role="writer", gives=Draft, model=model, check=check)
    assert Desk(tmp_path, agent).start()["run"]["ended"] == "done"
    assert "Your last try failed: the draft is empty" in str(model.calls[1].messages[-1].content)


def test_what_a_person_says_is_no_loop(office: Any) -> None:
    office.learn = lambda notes: (6 + len(office.worked),)
    office.start()
    for _ in range(6):
        result = office.answer({"decisions": [{"type": "reject", "message": "less"}]})
        assert office.question(result)["action_requests"][0]["name"] == "pay"
        assert len(result["trail"]) == 1


def trail_of(*turns: Turn) -> Sequence[Turn]:
    trail: list[Turn] = []
    for turn in turns:
        trail = followed_by(trail, turn)
    return trail


def given(text: str, calls: int = 1) -> Turn:
    return turn_given("writer", Draft(text=text), {"text": text}, calls)


def test_the_same_failure_counts_whatever_its_numbers_are() -> None:
    failures = [turn_failed("writer", "Draft", f"time-out after {number} s", 1) for number in (3, 40, 5)]
    assert find_circle(trail_of(*failures), "Draft").times == 2
    assert find_circle(trail_of(*failures), "Opinion").times == 0


def test_a_failure_again_and_again_between_successes_is_a_circle() -> None:
    failed = turn_failed("writer", "Draft", "no line", 1)
    trail = trail_of(failed, given("a"), failed, given("b"), failed)
    assert (find_circle(trail, "Draft").times, find_circle(trail, "Draft").what[:11]) == (2, "Draft fails")


def test_something_new_ends_a_circle() -> None:
    assert find_circle(trail_of(given("a"), given("a"), given("a")), "Draft").times == 2
    assert find_circle(trail_of(given("a"), given("a"), given("a"), given("b")), "Draft").times == 0


def test_turns_without_anything_new_are_counted_over_the_whole_team() -> None:
    others = [turn_failed(f"agent {letter}", f"Work {letter}", "fog", 0) for letter in "abcdefghij"]
    assert find_idleness(others[: IDLE_TURNS - 1]) == ""
    assert "changed nothing" in find_idleness(others[:IDLE_TURNS])
    assert find_idleness([*others, given("a")]) == ""


def test_many_small_calls_without_anything_new_are_counted() -> None:
    small = [given("a"), *(turn_failed("writer", "Draft", "fog", IDLE_CALLS // 3) for _ in range(3))]
    assert find_idleness(small[:3]) == ""
    assert "calls of models" in find_idleness(small)


def test_the_trail_does_not_grow_for_ever() -> None:
    trail = trail_of(*(given(str(number)) for number in range(500)))
    assert len(trail) == 200
    assert trail[-1] == given("499")


def test_turns_that_fail_in_ever_new_ways_ask_a_person_in_the_end(tmp_path: Path) -> None:
    ways = numbers()

    def fail(task: Task) -> Draft:
        raise WorkFailed("writer", next(ways))

    result = Desk(tmp_path, Agent(role="writer", gives=Draft, function=fail, limits=Limits(attempts=99))).start()
    assert f"The last {IDLE_TURNS} turns changed nothing" in why(result)


def test_a_tired_team_that_only_fails_asks_a_person(tmp_path: Path) -> None:
    def fail(task: Task) -> Draft:
        raise WorkFailed("any", "fog")

    agents = [Agent(role=f"writer{place}", gives=Draft, function=fail, limits=Limits(attempts=9)) for place in range(3)]
    result = Desk(tmp_path, *agents).start()
    assert "Draft fails in the same way again and again" in why(result)
    assert result["turns"] < 9
