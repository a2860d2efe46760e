"""The state can be edited and clients send anything: the ledger decides, and no thread is wedged."""

from typing import Any

import pytest
from langgraph.types import Command

from signoff.errors import TeamError, WorkFailed

APPROVE = {"decisions": [{"type": "approve"}]}


def test_an_answer_keyed_by_another_questions_id_decides_nothing(office: Any) -> None:
    office.amounts = (5, 1_000_000)
    (first,) = office.start()["__interrupt__"]
    office.answer(APPROVE)
    again = office.question(office.answer([{first.id: "approve"}]))
    assert "is asked about" in again["action_requests"][0]["description"]
    assert [euros for _, euros, _ in office.paid] == [5]


def test_an_answer_keyed_by_this_questions_id_decides_it(office: Any) -> None:
    (asked,) = office.start()["__interrupt__"]
    office.answer([{asked.id: "approve"}])
    assert len(office.paid) == 1


def change_state(office: Any, node: str, change: dict[str, Any]) -> dict[str, Any]:
    """The run after somebody with access to the state changed the proposal at the gate."""
    graph = office.team.compile(checkpointer=office.saver)
    proposals = graph.get_state(office.config).values["proposals"]
    graph.update_state(office.config, {"proposals": [{**proposals[0], **change}]}, as_node=node)
    after: dict[str, Any] = office.run(Command(goto="act" if node == "gate" else "gate"))
    return after


def test_a_proposal_made_another_action_in_the_state_is_refused(office: Any) -> None:
    office.start()
    after = change_state(office, "supervisor", {"action": "settle_outcome"})
    assert office.paid == []
    assert after["outcomes"][0]["status"] == "denied"


@pytest.mark.parametrize("decided", [False, True])
def test_a_proposal_changed_in_the_state_needs_its_own_approval(office: Any, decided: bool) -> None:
    question = office.question(office.start())
    if decided:
        office.ledger.approvals.approve(question["approval_id"], by="ann")
    after = change_state(office, "gate" if decided else "supervisor", {"args": {"to": "eve", "euros": 9}})
    assert office.paid == []
    asked = office.question(after)
    assert asked["approval_id"] != question["approval_id"]
    assert asked["action_requests"][0]["args"] == {"to": "eve", "euros": 9}
    late = office.question(office.answer({"type": "approve", "approval_id": question["approval_id"]}))
    assert "another question" in late["action_requests"][0]["description"]
    office.answer({"type": "approve", "approval_id": asked["approval_id"]})
    assert [(to, euros) for to, euros, _ in office.paid] == [("eve", 9)]


@pytest.mark.parametrize(
    "answer",
    [
        {"type": "edit", "args": {"name": "pay", "args": {"to": "ann", "euros": float("nan")}}},
        {"type": "edit", "args": {"name": "pay", "args": {"to": "ann", "euros": "9" * 5000}}},
        f'{{"type": "edit", "args": {{"name": "pay", "args": {{"to": "ann", "euros": {10**30}}}}}}}',
        '{"type": "reject", "message": "\\ud800"}',
        '{"type": "approve", "args_sha256": "\\ud800"}',
    ],
)
def test_an_answer_that_cannot_be_kept_asks_again_and_a_good_one_still_works(office: Any, answer: Any) -> None:
    office.start()
    again = office.question(office.answer(answer))
    assert "did not count" in again["action_requests"][0]["description"]
    office.answer(APPROVE)
    assert len(office.paid) == 1


@pytest.mark.parametrize("result", [None, "done", b"done", {"n": float("nan")}, {"o": object()}, {"n": 10**30}, {1: 2}])
def test_an_action_that_returns_what_cannot_be_kept_is_done_all_the_same(office: Any, result: Any) -> None:
    office.change(call=lambda payment, key: office.paid.append((payment.to, payment.euros, key)) or result)
    office.start()
    after = office.answer(APPROVE)
    assert after["outcomes"][0]["status"] == "done"
    assert "unreadable" in after["outcomes"][0]["result"]
    assert len(office.paid) == 1


def test_an_error_text_that_cannot_be_kept_is_kept_as_escapes(office: Any) -> None:
    def fail() -> None:
        raise OSError("\ud800")

    office.after_paying = fail
    office.start()
    question = office.question(office.answer(APPROVE))
    assert "\\ud800" in question["action_requests"][0]["description"]


@pytest.mark.parametrize("found", ["yes", True, b"x", [1]])
def test_a_read_back_that_gives_no_result_leaves_the_outcome_unknown(office: Any, found: Any) -> None:
    def fail() -> None:
        raise OSError("the line dropped")

    office.change(reconcile=lambda payment, key: found)
    office.after_paying = fail
    office.start()
    question = office.question(office.answer(APPROVE))
    assert question["action_requests"][0]["name"] == "settle_outcome"


def test_which_effect_is_settled_cannot_be_edited(office: Any) -> None:
    def fail() -> None:
        raise OSError("the line dropped")

    office.after_paying = fail
    office.start()
    office.answer(APPROVE)
    edit = {"name": "settle_outcome", "args": {"effect": "another", "claim": 1, "happened": "yes"}}
    again = office.question(office.answer({"decisions": [{"type": "edit", "edited_action": edit}]}))
    assert "'effect' cannot be edited" in again["action_requests"][0]["description"]


def test_an_action_whose_arguments_hold_a_secret_is_refused() -> None:
    from pydantic import BaseModel, SecretStr

    from signoff import Action

    class Login(BaseModel):
        password: SecretStr

    with pytest.raises(TeamError, match="is a secret"):
        Action(name="log_in", description="Logs in.", arguments=Login, call=lambda login, key: {})


def test_work_that_cannot_be_kept_and_a_verdict_on_nothing_are_failed_steps() -> None:
    from signoff import Agent, Artifact, Task, Verdict
    from signoff.agents.runner import StepFailed, do_work

    class Facts(Artifact):
        number: float

    class Opinion(Verdict):
        pass

    wrong: list[Agent[Any]] = [
        Agent(role="a", gives=Facts, function=lambda task: Facts(number=float("nan"))),
        Agent(role="a", gives=Facts, function=lambda task: Facts.model_construct(number=float("inf"))),
        Agent(role="a", gives=Opinion, function=lambda task: Opinion(accepted=False, about="facts")),
    ]
    for agent in wrong:
        with pytest.raises(StepFailed) as failed:
            do_work(agent, Task(goal="g"))
        assert isinstance(failed.value.failure, WorkFailed)
