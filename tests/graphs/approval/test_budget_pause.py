import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from signoff import Agent, Artifact, Ledger, Limits, Run, Supervisor, Task, Team
from signoff.checkpoints.canonical import today
from signoff.checkpoints.ledger.budgets.amounts import Budget
from signoff.errors import AlreadyDecided, SettingsError, TeamError
from signoff.testing import ScriptedModel, calls, gives
from signoff.tools.tool import tool

APPROVE = {"decisions": [{"type": "approve"}]}
REJECT = {"decisions": [{"type": "reject", "message": "enough"}]}


class Facts(Artifact):
    text: str


class Story(Artifact):
    text: str


LOOKED: list[str] = []


@tool(risk="read")
def look(where: str) -> str:
    """Look somewhere."""
    LOOKED.append(where)
    return f"nothing {where}"


def story_of(task: Task) -> Story:
    return Story(text=task.need(Facts).text)


@dataclass
class Expedition:
    """A scout that calls its model three times for one step, and a teller that needs none."""

    ledger: Ledger
    budget: Budget | str | None = None
    limits: Limits = field(default_factory=Limits)
    model: ScriptedModel = field(
        default_factory=lambda: ScriptedModel(
            [calls("look", where="left"), calls("look", where="right"), gives(Facts(text="seen"))]
        )
    )
    saver: InMemorySaver = field(default_factory=InMemorySaver)
    config: RunnableConfig = field(default_factory=lambda: RunnableConfig(configurable={"thread_id": "r-1"}))

    @property
    def team(self) -> Team:
        scout = Agent(role="scout", gives=Facts, model=self.model, tools=(look,), limits=self.limits)
        teller = Agent(role="teller", needs=(Facts,), gives=Story, function=story_of)
        return Team(agents=[scout, teller], ledger=self.ledger, budget=self.budget, name="expedition")

    def run(self, given: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.team.compile(checkpointer=self.saver).invoke(given, self.config)
        return result

    def start(self) -> dict[str, Any]:
        return self.run({"goal": "look around"})

    def answer(self, answer: Any) -> dict[str, Any]:
        return self.run(Command(resume=answer))


@pytest.fixture(autouse=True)
def nothing_looked_at(at_once: None) -> None:
    LOOKED.clear()


def asked(result: dict[str, Any]) -> dict[str, Any]:
    (interrupt,) = result["__interrupt__"]
    request: dict[str, Any] = interrupt.value["action_requests"][0]
    assert request["name"] == "raise_budget"
    return request


def test_a_run_whose_budget_ends_asks_and_goes_on_just_where_it_was(ledger: Ledger) -> None:
    trip = Expedition(ledger, budget=Budget(steps=2))
    question = asked(trip.start())
    assert question["args"] == {"scope": "run:r-1", "usd": None, "tokens": None, "steps": 2, "seconds": None}
    assert "The budget of this run does not cover the next call: 2 steps of 2 steps is spent" in question["description"]
    assert "scout was at work: Facts is missing" in question["description"]
    assert ledger.runs.get("r-1").status == "waiting"
    result = trip.answer(APPROVE)
    assert result["run"]["ended"] == "done"
    assert result["artifacts"]["Story"]["value"] == {"text": "seen"}
    assert (LOOKED, len(trip.model.calls)) == (["left", "right"], 3)
    assert [message.type for message in trip.model.calls[2].messages][-4:] == ["ai", "tool", "ai", "tool"]
    assert (result["turns"], result["held"]) == (2, {})
    assert result["usage"]["calls"] == 3
    assert ledger.budgets.standing("run:r-1").raised.steps == 2


def test_rejecting_stops_the_run(ledger: Ledger) -> None:
    trip = Expedition(ledger, budget=Budget(steps=1))
    asked(trip.start())
    result = trip.answer(REJECT)
    assert (result["run"]["ended"], ledger.runs.get("r-1").status) == ("stopped", "stopped")
    assert "enough" in result["messages"][-1].text
    assert (len(trip.model.calls), result["held"]) == (1, {})


def test_an_edit_raises_it_by_what_the_person_says_but_not_another_scope(ledger: Ledger) -> None:
    trip = Expedition(ledger, budget=Budget(steps=1))
    args = asked(trip.start())["args"]
    elsewhere = {"name": "raise_budget", "args": {**args, "scope": "day:2030-01-01"}}
    again = asked(trip.answer({"decisions": [{"type": "edit", "edited_action": elsewhere}]}))
    assert "'scope' cannot be edited" in again["description"]
    edited = {"name": "raise_budget", "args": {**args, "steps": 9}}
    assert trip.answer({"decisions": [{"type": "edit", "edited_action": edited}]})["run"]["ended"] == "done"
    assert ledger.budgets.standing("run:r-1").raised.steps == 9


def test_a_raise_that_adds_nothing_decides_nothing(ledger: Ledger) -> None:
    trip = Expedition(ledger, budget=Budget(steps=1))
    edited = {"name": "raise_budget", "args": {**asked(trip.start())["args"], "steps": 0}}
    assert (
        "adds nothing" in asked(trip.answer({"decisions": [{"type": "edit", "edited_action": edited}]}))["description"]
    )
    assert ledger.budgets.standing("run:r-1").raised.steps == 0


def test_each_level_that_is_used_up_asks_for_itself(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_DAY_BUDGET", "steps=2")
    trip = Expedition(ledger, budget=Budget(steps=1))
    assert asked(trip.start())["args"]["scope"] == "run:r-1"
    edited = {"name": "raise_budget", "args": {"scope": "run:r-1", "steps": 5}}
    question = asked(trip.answer({"decisions": [{"type": "edit", "edited_action": edited}]}))
    assert question["args"]["scope"] == f"day:{today()}"
    assert "everything together" in question["description"]
    assert trip.answer(APPROVE)["run"]["ended"] == "done"


def test_an_agent_may_have_a_budget_of_its_own(ledger: Ledger) -> None:
    trip = Expedition(ledger, limits=Limits(budget=Budget(steps=2)))
    question = asked(trip.start())
    assert question["args"]["scope"] == "agent:r-1/scout"
    assert "scout in this run" in question["description"]
    assert trip.answer(APPROVE)["run"]["ended"] == "done"


def test_money_runs_out_to_the_cent(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": {"input": 0, "output": 1000000}}')  # a dollar a token
    trip = Expedition(ledger, budget=Budget(usd=20), limits=Limits(output_tokens=16))
    question = asked(trip.start())
    assert question["args"]["usd"] == 20
    assert "$" in question["description"]
    spent = ledger.budgets.standing("run:r-1").spent.nusd
    assert 4 * 10**9 < spent <= 20 * 10**9
    while "__interrupt__" in (result := trip.answer(APPROVE)):
        asked(result)
    assert result["run"]["ended"] == "done"
    assert len(trip.model.calls) == 3


def test_the_decision_may_be_made_at_the_desk_and_counts_once(ledger: Ledger) -> None:
    trip = Expedition(ledger, budget=Budget(steps=2))
    (interrupt,) = trip.start()["__interrupt__"]
    ledger.approvals.approve(interrupt.value["approval_id"], by="ann")
    with pytest.raises(AlreadyDecided):
        ledger.approvals.approve(interrupt.value["approval_id"], by="bob")
    assert trip.run(None)["run"]["ended"] == "done"
    assert ledger.budgets.standing("run:r-1").raised.steps == 2


def test_a_replay_of_the_question_raises_nothing_twice(ledger: Ledger) -> None:
    trip = Expedition(ledger, budget=Budget(steps=2))
    trip.start()
    graph = trip.team.compile(checkpointer=trip.saver)
    before = graph.get_state(trip.config).config
    assert trip.answer(APPROVE)["run"]["ended"] == "done"
    trip.model = ScriptedModel([gives(Facts(text="seen again"))])
    again = trip.team.compile(checkpointer=trip.saver).invoke(None, before)
    assert again["run"]["ended"] == "done"
    assert ledger.budgets.standing("run:r-1").raised.steps == 2


def test_a_crash_between_the_raise_and_its_checkpoint_raises_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    trip = Expedition(ledger, budget=Budget(steps=2))
    trip.start()
    raise_limit = ledger.budgets.raise_limit

    def die_after(*args: Any, **options: Any) -> bool:
        raise_limit(*args, **options)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(ledger.budgets, "raise_limit", die_after)
        with pytest.raises(KeyboardInterrupt):
            trip.answer(APPROVE)
    assert trip.run(None)["run"]["ended"] == "done"
    assert ledger.budgets.standing("run:r-1").raised.steps == 2


def test_an_edited_state_cannot_raise_the_budget_of_another_run(ledger: Ledger) -> None:
    ledger.runs.begin("r-2", 1, team="other", goal="other")
    trip = Expedition(ledger, budget=Budget(steps=1))
    trip.start()
    graph = trip.team.compile(checkpointer=trip.saver)
    (question,) = graph.get_state(trip.config).values["proposals"]
    forged = {**question, "args": {**question["args"], "scope": "run:r-2"}}
    graph.update_state(trip.config, {"proposals": [forged]}, as_node="supervisor")
    result = trip.run(Command(goto="gate"))
    assert result["outcomes"][-1]["status"] == "denied"
    assert ledger.budgets.standing("run:r-2").raised.steps == 0


def test_the_supervisors_own_model_is_charged_and_held(ledger: Ledger) -> None:
    choice = {"next": "second", "reason": "It knows.", "instructions": ""}
    model = ScriptedModel([gives(choice)])
    function: Callable[[Task], Facts] = lambda task: Facts(text="seen")  # noqa: E731  # one line is enough
    agents = [Agent(role=role, gives=Facts, function=function) for role in ("first", "second")]
    team = Team(agents=agents, supervisor=Supervisor(model=model), ledger=ledger, budget=Budget(steps=0))
    graph = team.compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "r-1"}}
    question = asked(graph.invoke({"goal": "x"}, config))
    assert "The supervisor was choosing who works next" in question["description"]
    result = graph.invoke(Command(resume=APPROVE), config)
    assert result["artifacts"]["Facts"]["by"] == "second"
    (spent,) = ledger.spending.by("agent", run_id="r-1")
    assert spent.name == "supervisor"


def test_an_async_graph_is_held_and_goes_on_as_well(ledger: Ledger) -> None:
    trip = Expedition(ledger, budget=Budget(steps=2))
    graph = trip.team.compile(checkpointer=trip.saver)
    asked(asyncio.run(graph.ainvoke({"goal": "look"}, trip.config)))
    result = asyncio.run(graph.ainvoke(Command(resume=APPROVE), trip.config))
    assert (result["run"]["ended"], len(trip.model.calls)) == ("done", 3)


def test_a_run_keeps_the_budget_it_was_started_with_whoever_resumes_it() -> None:
    trip = Expedition(Ledger(".signoff/signoff.db"))
    run = Run.start(trip.team, "look", budget=Budget(steps=1))
    assert run.approval is not None
    assert run.approval.action == "raise_budget"
    again = Run.open(run.id, team=trip.team)
    assert again.budget == Budget(steps=1)
    asking = again.approve(args={**again.approvals[0].shown, "steps": 1})
    assert asking.approval is not None
    assert asking.approval.shown["scope"] == f"run:{run.id}"
    assert asking.approve().status == "done"


def test_a_run_has_the_budget_of_the_settings_unless_it_is_given_one(monkeypatch: pytest.MonkeyPatch) -> None:
    trip = Expedition(Ledger(".signoff/signoff.db"))
    monkeypatch.setenv("SIGNOFF_RUN_BUDGET", "steps=1")
    held = Run.start(trip.team, "look")
    assert (held.status, held.budget) == ("waiting", Budget(steps=1))
    free = replace(trip, budget=Budget(), model=ScriptedModel([gives(Facts(text="seen"))]))
    assert Run.start(free.team, "look").status == "done"


def test_a_budget_in_the_settings_that_makes_no_sense_is_one_clear_error(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_RUN_BUDGET", "two dollars")
    with pytest.raises(SettingsError, match="SIGNOFF_RUN_BUDGET"):
        Expedition(ledger).start()


def test_budgets_may_be_given_as_texts(ledger: Ledger) -> None:
    trip = Expedition(ledger, budget="steps=1")
    assert "1 step of 1 step is spent" in asked(trip.start())["description"]
    agent = Expedition(ledger, limits=Limits(budget="steps=1"))
    held = Run.start(agent.team, "look")
    assert held.approval is not None
    assert held.approval.shown["scope"] == f"agent:{held.id}/scout"
    mine = Run.start(Expedition(ledger, budget="none").team, "look", budget="steps=2")
    assert (mine.status, mine.budget) == ("waiting", Budget(steps=2))


@pytest.mark.parametrize("budget", ["five", "$-1", "steps=1.5", 5])
def test_a_budget_that_cannot_be_read_is_refused_when_it_is_given(ledger: Ledger, budget: Any) -> None:
    with pytest.raises(TeamError, match=r"^Limits: the budget"):
        Limits(budget=budget)
    with pytest.raises(TeamError, match=r"^Team 'expedition': the budget"):
        _ = Expedition(ledger, budget=budget).team
    with pytest.raises(TeamError, match=r"^Run\.start: the budget"):
        Run.start(Expedition(ledger).team, "look", budget=budget)
    assert ledger.runs.list() == []


@pytest.mark.parametrize("name", ["model_calls", "attempts", "output_tokens"])
@pytest.mark.parametrize("number", [0, -1, 1.5, None])
def test_limits_under_which_no_step_could_be_done_are_refused(database: str, name: str, number: Any) -> None:
    with pytest.raises(TeamError, match=name):
        Limits(**{name: number})
