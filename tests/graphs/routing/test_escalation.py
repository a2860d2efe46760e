from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from signoff import Agent, Artifact, Ledger, Task, Team, Verdict
from signoff.agents.models.guarded import guard
from signoff.agents.models.registry import Tiers
from signoff.errors import WorkFailed
from signoff.testing import ScriptedModel, gives

APPROVE = {"decisions": [{"type": "approve"}]}


class Draft(Artifact):
    text: str


class Page(Artifact):
    text: str


class Opinion(Verdict):
    pass


def says(word: str) -> ScriptedModel:
    return ScriptedModel(lambda call: gives({"text": word}), model_name=word)


def tiers(*words: str) -> Tiers:
    return Tiers({word: guard(says(word), tier=word) for word in words})


def critic(wanted: str) -> Agent[Opinion]:
    rounds: list[str] = []

    def judge(task: Task) -> Opinion:
        text = task.need(Draft).text
        rounds.append(text)
        return Opinion(
            accepted=text == wanted, about="Draft", notes=() if text == wanted else (f"no {len(rounds) * 'x'}",)
        )

    return Agent(role="critic", needs=(Draft,), gives=Opinion, function=judge)


def demanding(wanted: str) -> Any:
    def check(draft: Draft, task: Task) -> Draft:
        if draft.text != wanted:
            raise WorkFailed("writer", f"{draft.text} is not {wanted}")
        return draft

    return check


def play(home: Path, *agents: Agent[Any]) -> tuple[Any, Any]:
    team = Team(agents=agents, ledger=Ledger(home / "signoff.db"))
    return team.compile(checkpointer=InMemorySaver()), {"configurable": {"thread_id": "r-1"}}


def drafts(result: dict[str, Any], role: str = "writer") -> list[str]:
    return [step["note"] for step in result["plan"] if step["agent"] == role]


def test_a_rejected_draft_is_mended_by_a_stronger_model(tmp_path: Path) -> None:
    writer = Agent(role="writer", gives=Draft, model=tiers("fast", "smart"), tier="fast")
    graph, config = play(tmp_path, writer, critic("smart"))
    events = [part for part in graph.stream({"goal": "write"}, config, stream_mode="custom") if "turn" in part]
    result = graph.get_state(config).values
    assert result["run"]["ended"] == "done"
    assert result["artifacts"]["Draft"]["value"] == {"text": "smart"}
    reasons = [event["reason"] for event in events if event["agent"] == "writer"]
    assert ["A stronger model does this step." in reason for reason in reasons] == [False, True]
    assert "by a stronger model" in drafts(result)[-1]


def test_each_rejection_is_one_tier_more_as_far_as_there_are_any(tmp_path: Path) -> None:
    writer = Agent(role="writer", gives=Draft, model=tiers("fast", "smart", "best"), tier="fast")
    graph, config = play(tmp_path, writer, critic("best"))
    result = graph.invoke({"goal": "write"}, config)
    assert result["run"]["ended"] == "done"
    assert [note[-3:] for note in drafts(result)] == ["dy.", "+1)", "+2)"]


def test_a_step_that_keeps_failing_is_tried_by_a_stronger_model_before_a_person_is_asked(tmp_path: Path) -> None:
    writer = Agent(role="writer", gives=Draft, model=tiers("fast", "smart"), tier="fast", check=demanding("smart"))
    graph, config = play(tmp_path, writer)
    result = graph.invoke({"goal": "write"}, config)
    assert result["run"]["ended"] == "done"
    assert [step["status"] for step in result["plan"]] == ["failed", "failed", "completed"]


def test_only_that_step_is_done_by_the_stronger_model(tmp_path: Path) -> None:
    models = tiers("fast", "smart")
    writer = Agent(role="writer", gives=Draft, model=models, tier="fast", check=demanding("smart"))
    printer = Agent(role="printer", needs=(Draft,), gives=Page, model=models, tier="fast")
    graph, config = play(tmp_path, writer, printer)
    result = graph.invoke({"goal": "write"}, config)
    assert result["artifacts"]["Draft"]["value"] == {"text": "smart"}
    assert result["artifacts"]["Page"]["value"] == {"text": "fast"}


def test_when_the_strongest_fails_too_a_person_is_asked_and_then_it_starts_with_its_own_tier(tmp_path: Path) -> None:
    writer = Agent(role="writer", gives=Draft, model=tiers("fast", "smart"), tier="fast", check=demanding("best"))
    graph, config = play(tmp_path, writer)
    first = graph.invoke({"goal": "write"}, config)
    (interrupt,) = first["__interrupt__"]
    assert "smart is not best" in interrupt.value["action_requests"][0]["description"]
    result = graph.invoke(Command(resume=APPROVE), config)
    after = [step["note"] for step in result["plan"][result["plan"].index(person(result)) + 1 :]]
    assert after[0].startswith("fast is not best")


def person(result: dict[str, Any]) -> Any:
    return next(step for step in result["plan"] if step["agent"] == "person")


@pytest.mark.parametrize("tier", ["smart", "best"])
def test_an_agent_of_the_strongest_tier_asks_a_person_after_its_attempts(tmp_path: Path, tier: str) -> None:
    models = tiers("fast", tier)
    writer = Agent(role="writer", gives=Draft, model=models, tier=tier, check=demanding("nothing"))
    graph, config = play(tmp_path, writer)
    result = graph.invoke({"goal": "write"}, config)
    assert "__interrupt__" in result
    assert len(drafts(result)) - 1 == writer.limits.attempts  # and what is still to do
