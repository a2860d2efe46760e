from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from signoff import Agent, Artifact, Ledger, Supervisor, Task, Team, Verdict
from signoff.errors import WorkFailed
from signoff.testing import ScriptedModel, gives

APPROVE = {"decisions": [{"type": "approve"}]}
REJECT = {"decisions": [{"type": "reject"}]}


class Facts(Artifact):
    text: str


class Story(Artifact):
    text: str


class Opinion(Verdict):
    pass


def tell(task: Task) -> Story:
    return Story(text=f"{task.need(Facts).text} {' '.join(task.notes)} {task.instructions}".strip())


def scout(function: Callable[[Task], Facts] = lambda task: Facts(text="seen"), role: str = "scout") -> Agent[Facts]:
    return Agent(role=role, gives=Facts, function=function)


TELLER = Agent(role="teller", needs=(Facts,), gives=Story, function=tell)


def critic(accepts: Callable[[Story], bool], about: str = "Story") -> Agent[Opinion]:
    def judge(task: Task) -> Opinion:
        accepted = accepts(task.need(Story))
        return Opinion(accepted=accepted, about=about, notes=() if accepted else ("shorter",))

    return Agent(role="critic", needs=(Facts, Story), gives=Opinion, function=judge)


class Play:
    """One thread of a team."""

    def __init__(self, home: Path, *agents: Agent[Any], **supervisor: Any) -> None:
        self.ledger = Ledger(home / "signoff.db")
        team = Team(agents=agents, supervisor=Supervisor(**supervisor), ledger=self.ledger)
        self.graph = team.compile(checkpointer=InMemorySaver())

    def __call__(self, given: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.graph.invoke(given, {"configurable": {"thread_id": "r-1"}})
        return result

    def start(self) -> dict[str, Any]:
        return self({"goal": "tell"})


def turns(result: dict[str, Any]) -> list[tuple[str, str]]:
    return [(step["agent"], step["status"]) for step in result["plan"]]


def asked(result: dict[str, Any]) -> str:
    (interrupt,) = result["__interrupt__"]
    request = interrupt.value["action_requests"][0]
    assert request["name"] == "continue_run"
    return str(request["description"])


def test_agents_work_in_the_order_of_what_they_need_whatever_order_they_are_listed_in(tmp_path: Path) -> None:
    result = Play(tmp_path, critic(lambda story: True), TELLER, scout()).start()
    assert turns(result) == [("scout", "completed"), ("teller", "completed"), ("critic", "completed")]
    assert result["run"]["ended"] == "done"


def test_rejected_work_goes_back_to_its_giver_with_the_notes(tmp_path: Path) -> None:
    result = Play(tmp_path, scout(), TELLER, critic(lambda story: "shorter" in story.text)).start()
    assert [agent for agent, _ in turns(result)] == ["scout", "teller", "critic", "teller", "critic"]
    assert result["artifacts"]["Story"]["value"] == {"text": "seen shorter"}
    assert result["artifacts"]["Story"]["version"] == 2


def test_work_built_on_rejected_work_is_done_again(tmp_path: Path) -> None:
    seen: list[int] = []

    def look(task: Task) -> Facts:
        seen.append(1)
        return Facts(text=f"seen {len(seen)}")

    result = Play(tmp_path, scout(look), TELLER, critic(lambda story: "2" in story.text, about="Facts")).start()
    assert [agent for agent, _ in turns(result)] == ["scout", "teller", "critic", "scout", "teller", "critic"]
    assert result["artifacts"]["Story"]["value"]["text"] == "seen 2"


def test_the_plan_shows_what_is_done_and_what_is_to_come(tmp_path: Path) -> None:
    play = Play(tmp_path, scout(), TELLER, critic(lambda story: True))
    plans = [
        part["supervisor"]["plan"]
        for part in play.graph.stream({"goal": "tell"}, {"configurable": {"thread_id": "r"}})
        if "supervisor" in part
    ]
    assert [[step["status"] for step in plan] for plan in plans] == [
        ["in_progress", "pending", "pending"],
        ["completed", "in_progress", "pending"],
        ["completed", "completed", "in_progress"],
        ["completed", "completed", "completed"],
    ]


def failing(times: int, *, final: bool = False) -> Callable[[Task], Facts]:
    tries: list[int] = []

    def look(task: Task) -> Facts:
        tries.append(1)
        if len(tries) <= times:
            raise WorkFailed("scout", f"fog {len(tries)}", final=final)
        return Facts(text="seen")

    return look


def test_a_failed_step_is_tried_again_and_the_plan_says_why(tmp_path: Path) -> None:
    result = Play(tmp_path, scout(failing(1)), TELLER).start()
    assert turns(result) == [("scout", "failed"), ("scout", "completed"), ("teller", "completed")]
    assert result["plan"][0]["note"] == "fog 1"


def test_another_agent_that_gives_the_same_takes_over_from_one_that_fails(tmp_path: Path) -> None:
    result = Play(tmp_path, scout(failing(99)), scout(role="helper"), TELLER).start()
    assert [step for step in turns(result) if step[0] == "helper"] == [("helper", "completed")]
    assert result["run"]["ended"] == "done"


def test_any_error_of_a_body_is_a_failed_step_not_a_failed_run(tmp_path: Path) -> None:
    def broken(task: Task) -> Facts:
        raise ZeroDivisionError("by zero")

    assert "ZeroDivisionError: by zero" in asked(Play(tmp_path, scout(broken), TELLER).start())


def test_a_body_that_gives_something_else_is_a_failed_step(tmp_path: Path) -> None:
    wrong: Any = lambda task: Story(text="not facts")  # noqa: E731  # a wrongly typed body
    assert "gave a Story, not the Facts it promised" in asked(Play(tmp_path, scout(wrong), TELLER).start())


def test_a_step_that_keeps_failing_pauses_for_a_person_and_goes_on_when_told(tmp_path: Path) -> None:
    play = Play(tmp_path, scout(failing(2)), TELLER)
    assert "fog 2" in asked(play.start())
    assert play.ledger.runs.get("r-1").status == "waiting"
    result = play(Command(resume=APPROVE))
    assert result["run"]["ended"] == "done"


def test_a_failure_that_trying_again_cannot_help_is_not_tried_again(tmp_path: Path) -> None:
    result = Play(tmp_path, scout(failing(99, final=True)), TELLER).start()
    assert [step for step in turns(result) if step[1] == "failed"] == [("scout", "failed")]
    assert "fog 1" in asked(result)


def test_a_person_who_says_no_stops_the_run(tmp_path: Path) -> None:
    play = Play(tmp_path, scout(failing(99)), TELLER)
    play.start()
    result = play(Command(resume=REJECT))
    assert result["run"]["ended"] == "stopped"
    assert play.ledger.runs.get("r-1").status == "stopped"
    assert "Stopped by" in result["messages"][-1].text


def test_a_person_may_add_instructions_for_the_next_step(tmp_path: Path) -> None:
    play = Play(tmp_path, scout(), TELLER, critic(lambda story: "briefly" in story.text), max_rounds=1)
    assert "Story was rejected 1 times" in asked(play.start())
    edit = {"name": "continue_run", "args": {"turns": 9, "instructions": "say it briefly"}}
    result = play(Command(resume={"decisions": [{"type": "edit", "edited_action": edit}]}))
    assert result["artifacts"]["Story"]["value"]["text"] == "seen shorter say it briefly"
    assert result["run"]["ended"] == "done"


def test_the_limit_on_turns_pauses_and_so_does_the_raised_one(tmp_path: Path) -> None:
    play = Play(tmp_path, scout(), TELLER, critic(lambda story: False), max_turns=4, max_rounds=99)
    result = play.start()
    assert "taken 4 turns" in asked(result)
    result = play(Command(resume=APPROVE))
    assert "taken 8 turns" in asked(result)
    assert result["turns"] == 8


def test_the_limit_on_rounds_pauses(tmp_path: Path) -> None:
    result = Play(tmp_path, scout(), TELLER, critic(lambda story: False), max_rounds=2).start()
    assert "Story was rejected 2 times" in asked(result)


def test_the_model_is_not_asked_where_the_rules_decide(tmp_path: Path) -> None:
    model = ScriptedModel([])
    assert Play(tmp_path, scout(), TELLER, model=model).start()["run"]["ended"] == "done"
    assert not model.calls


def test_the_model_chooses_between_agents_that_give_the_same(tmp_path: Path) -> None:
    choice = {"next": "helper", "reason": "It knows the place.", "instructions": "look left"}
    model = ScriptedModel([gives(choice)])

    def look(task: Task) -> Facts:
        return Facts(text=task.instructions)

    result = Play(tmp_path, scout(), scout(look, role="helper"), TELLER, model=model).start()
    assert result["artifacts"]["Facts"]["by"] == "helper"
    assert result["artifacts"]["Facts"]["value"] == {"text": "look left"}
    assert len(model.calls) == 1
    assert result["usage"]["calls"] == 1


def test_without_a_model_the_first_in_order_is_chosen(tmp_path: Path) -> None:
    result = Play(tmp_path, scout(role="first"), scout(role="second"), TELLER).start()
    assert result["artifacts"]["Facts"]["by"] == "first"
    assert "second" not in [agent for agent, _ in turns(result)]


def test_the_model_is_asked_when_the_team_stalls_and_may_send_for_a_person(tmp_path: Path) -> None:
    model = ScriptedModel([gives({"next": "person", "reason": "The fog will not lift.", "instructions": ""})])
    assert "The fog will not lift." in asked(Play(tmp_path, scout(failing(99)), TELLER, model=model).start())


def test_a_supervisors_model_that_fails_is_a_pause_not_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_MODEL_RETRIES", "0")
    model = ScriptedModel([ConnectionError("no line")])
    assert "no line" in asked(Play(tmp_path, scout(failing(99)), TELLER, model=model).start())


@pytest.mark.parametrize("limits", [{"max_turns": 1}, {"max_rounds": 1}])
def test_no_limit_raises_or_ends_silently(tmp_path: Path, limits: dict[str, int]) -> None:
    result = Play(tmp_path, scout(), TELLER, critic(lambda story: False), **limits).start()
    assert asked(result)
    assert result["run"]["ended"] == ""
