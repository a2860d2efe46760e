"""Several proposals at once: each can be decided at any time, and deciding one disturbs nobody."""

from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel, field_validator

from signoff import Above, Action, Agent, Artifact, Below, Ledger, Policy, Team, When

APPROVE = {"decisions": [{"type": "approve"}]}


@pytest.fixture
def three(office: Any) -> Any:
    office.amounts = (1, 2, 3)
    return office


def waiting(office: Any) -> dict[int, str]:
    """The open approvals by amount."""
    return {approval.shown["euros"]: approval.id for approval in office.ledger.approvals.pending("r-1")}


def paid(office: Any) -> list[int]:
    return [euros for _, euros, _ in office.paid]


def test_all_proposals_of_a_step_wait_for_a_decision_together(three: Any) -> None:
    three.start()
    assert sorted(waiting(three)) == [1, 2, 3]


@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 3, 1)])
def test_they_can_be_decided_in_any_order_at_the_desk(three: Any, order: tuple[int, ...]) -> None:
    three.start()
    ids = waiting(three)
    for euros in order:
        three.ledger.approvals.approve(ids[euros], by="ann")
        result = three.run(None)
    assert paid(three) == list(order)
    assert result["run"]["ended"] == "done"
    assert len(three.worked) == 1


def test_a_client_that_gives_one_answer_at_a_time_answers_them_one_by_one(three: Any) -> None:
    three.start()
    for _ in range(3):
        three.answer(APPROVE)
    assert paid(three) == [1, 2, 3]
    assert len(three.worked) == 1


def test_all_can_be_decided_before_the_run_goes_on(three: Any) -> None:
    three.start()
    ids = waiting(three)
    three.ledger.approvals.approve(ids[3], by="ann")
    three.ledger.approvals.reject(ids[2], by="ann")
    three.ledger.approvals.approve(ids[1], by="ann")
    result = three.run(None)
    assert paid(three) == [1, 3]
    assert len(result["outcomes"]) == 3


def test_an_answer_is_not_lost_because_another_question_was_decided_meanwhile(three: Any) -> None:
    three.start()
    three.ledger.approvals.approve(waiting(three)[3], by="ann")
    three.answer(APPROVE)
    assert paid(three) == [1, 3]


def test_each_outcome_answers_a_call_in_the_conversation(three: Any) -> None:
    three.start()
    three.ledger.approvals.approve(waiting(three)[3], by="ann")
    three.run(None)
    three.answer(APPROVE)
    messages = three.answer(APPROVE)["messages"]
    calls: list[str] = []
    for message in messages:
        calls += [call["id"] for call in getattr(message, "tool_calls", ())]
        if message.type == "tool":
            assert message.tool_call_id in calls


def test_an_allowed_action_waits_for_its_turn(three: Any) -> None:
    three.policy = Policy({"pay": [When("ask", euros=Below(2)), When("allow", euros=Above(1))]})
    three.start()
    assert paid(three) == []
    three.answer(APPROVE)
    assert paid(three) == [1, 2, 3]


def test_an_unknown_outcome_is_settled_before_the_rest_goes_on(three: Any) -> None:
    def break_off() -> None:
        three.after_paying = lambda: None
        raise ConnectionError("the line dropped")

    three.after_paying = break_off
    three.start()
    ids = waiting(three)
    question = three.question(three.answer(APPROVE))
    assert question["action_requests"][0]["name"] == "settle_outcome"
    three.ledger.approvals.approve(ids[2], by="ann")
    three.run(None)
    assert paid(three) == [1, 2]
    three.ledger.approvals.approve(question["approval_id"], by="ann")
    three.ledger.approvals.reject(ids[3], by="ann")
    result = three.run(None)
    assert paid(three) == [1, 2]
    assert result["run"]["ended"] == "stopped"


def looks(ledger: Ledger, count: int) -> int:
    """How often the arguments of a proposal are read on the way to its outcome, on average."""
    seen: list[str] = []

    class Title(BaseModel):
        title: str

        @field_validator("title")
        @classmethod
        def _look(cls, title: str) -> str:
            seen.append(title)
            return title

    action = Action(name="file", description="Files.", arguments=Title, call=lambda given, key: {})
    agent = Agent(
        role="clerk",
        gives=Done,
        function=lambda task: Done(),
        actions=(action,),
        propose=lambda done, task: [action.propose({"title": str(number)}) for number in range(count)],
    )
    graph = Team(agents=[agent], policy=Policy({"file": "allow"}), ledger=ledger).compile(checkpointer=InMemorySaver())
    config = RunnableConfig(configurable={"thread_id": f"r-{count}"}, recursion_limit=200)
    assert len(graph.invoke({"goal": "file"}, config)["outcomes"]) == count
    return len(seen) // count


class Done(Artifact):
    pass


def test_what_policy_allows_is_looked_at_no_more_often_however_many_wait_behind_it(ledger: Ledger) -> None:
    assert looks(ledger, 12) == looks(ledger, 3)
