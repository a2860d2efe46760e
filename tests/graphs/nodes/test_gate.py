from typing import Any

import pytest
from langgraph.types import Command

from signoff import Ask, Policy, SignoffError

pytestmark = pytest.mark.smoke

APPROVE = {"decisions": [{"type": "approve"}]}


def test_an_approved_action_is_called_once_with_what_was_shown(office: Any) -> None:
    question = office.question(office.start())
    assert office.paid == []
    assert question["action_requests"][0]["args"] == {"to": "ann", "euros": 5}
    result = office.answer(APPROVE)
    assert [(to, euros) for to, euros, _ in office.paid] == [("ann", 5)]
    assert result["outcomes"][0]["status"] == "done"
    assert result["outcomes"][0]["result"] == {"receipt": 1}
    assert office.ledger.runs.get("r-1").status == "done"


def test_the_question_has_the_fields_that_clients_read(office: Any) -> None:
    result = office.start()
    question = office.question(result)
    (request,) = question["action_requests"]
    assert request["args"] == request["arguments"]
    assert "due today" in request["description"]
    ways = ["approve", "edit", "reject"]
    (review,) = question["review_configs"]
    assert review == {
        "action_name": "pay", "allowed_decisions": ways, "actionName": "pay", "allowedDecisions": ways
    }  # fmt: skip
    approval = office.ledger.approvals.get(question["approval_id"])
    assert question["args_sha256"] == approval.shown_sha256
    assert question["expires_at"] == approval.expires_at != ""
    assert (question["run_id"], question["risk"]) == ("r-1", "external")
    last = result["messages"][-1]
    assert [call["name"] for call in last.tool_calls] == ["pay"]
    assert office.ledger.runs.get("r-1").status == "waiting"


def test_a_rejected_action_is_never_called(office: Any) -> None:
    office.start()
    result = office.answer({"decisions": [{"type": "reject", "message": "too early"}]})
    assert office.paid == []
    assert (result["outcomes"][0]["status"], result["outcomes"][0]["detail"]) == ("rejected", "too early")
    assert result["run"]["ended"] == "stopped"
    told = {message.tool_call_id for message in result["messages"] if message.type == "tool"}
    assert result["outcomes"][0]["proposal"] in told


def test_edited_arguments_are_what_runs(office: Any) -> None:
    office.start()
    office.answer(
        {"decisions": [{"type": "edit", "edited_action": {"name": "pay", "args": {"to": "ann", "euros": 3}}}]}
    )
    assert [(to, euros) for to, euros, _ in office.paid] == [("ann", 3)]


@pytest.mark.parametrize("answer", ["maybe", "", {"approved": True}, [{"type": "accept"}, {"type": "accept"}]])
def test_a_bad_answer_asks_again_with_the_reason_and_a_good_one_still_works(office: Any, answer: Any) -> None:
    first = office.question(office.start())
    again = office.question(office.answer(answer))
    assert again["approval_id"] == first["approval_id"]
    assert "did not count" in again["action_requests"][0]["description"]
    assert office.paid == []
    office.answer(APPROVE)
    assert len(office.paid) == 1


def test_a_decision_in_the_ledger_needs_no_answer(office: Any) -> None:
    question = office.question(office.start())
    office.ledger.approvals.approve(question["approval_id"], by="bob")
    result = office.run(None)
    assert len(office.paid) == 1
    assert result["outcomes"][0]["by"] == "bob"


def test_a_decision_in_the_ledger_wins_over_the_answer_that_arrives(office: Any) -> None:
    question = office.question(office.start())
    office.ledger.approvals.reject(question["approval_id"], by="bob")
    result = office.answer(APPROVE)
    assert office.paid == []
    assert result["outcomes"][0]["status"] == "rejected"


def test_an_approval_delivered_late_does_not_approve_the_next_question(office: Any) -> None:
    office.amounts = (5, 1_000_000)
    first = office.question(office.start())
    stale = {"type": "approve", "approval_id": first["approval_id"]}
    second = office.question(office.answer(stale))
    assert second["approval_id"] != first["approval_id"]
    third = office.question(office.answer(stale))
    assert "another question" in third["action_requests"][0]["description"]
    assert [euros for _, euros, _ in office.paid] == [5]


def test_silence_until_the_deadline_is_a_refusal(office: Any) -> None:
    office.policy = Policy({"pay": Ask(hours=1e-9)})
    result = office.run(None) if "__interrupt__" in (result := office.start()) else result
    assert "__interrupt__" not in result
    assert office.paid == []
    assert result["outcomes"][0]["status"] == "expired"


def test_policy_may_allow_and_the_ledger_says_so(office: Any) -> None:
    office.policy = Policy({"pay": "allow"})
    result = office.start()
    assert len(office.paid) == 1
    assert result["outcomes"][0]["by"] == "policy"


@pytest.mark.parametrize("policy", [Policy({"pay": "deny"}), Policy()])
def test_what_policy_denies_or_does_not_name_is_never_called(office: Any, policy: Policy) -> None:
    office.policy = policy
    result = office.start()
    assert office.paid == []
    assert result["outcomes"][0]["status"] == "denied"
    assert office.ledger.approvals.pending() == []


def test_replaying_an_old_checkpoint_calls_nothing_again(office: Any) -> None:
    office.start()
    office.answer(APPROVE)
    graph = office.team.compile(checkpointer=office.saver)
    for snapshot in list(graph.get_state_history(office.config)):
        if snapshot.next and snapshot.next[0] in ("gate", "act", "supervisor"):
            graph.invoke(None, snapshot.config)
    assert len(office.paid) == 1


def test_marking_as_resolved_cancels_and_calls_nothing(office: Any) -> None:
    office.start()
    office.run(Command(goto="__end__"))
    graph = office.team.compile(checkpointer=office.saver)
    graph.update_state(office.config, None, as_node="__end__")
    assert office.paid == []


def test_reaching_the_act_node_without_an_approval_calls_nothing(office: Any) -> None:
    office.start()
    office.run(Command(goto="act"))
    assert office.paid == []


def test_a_policy_that_is_no_rule_is_refused() -> None:
    with pytest.raises(SignoffError, match="is not 'allow', 'ask', 'deny'"):
        Policy({"pay": "sometimes"})  # type: ignore[dict-item]  # what a user may write
