"""A team that is changed while its run waits: policy counts as it stands when the action would be called."""

from typing import Any

import pytest

from signoff import Action, Ask, Policy

APPROVE = {"decisions": [{"type": "approve"}]}


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (Policy({"pay": "deny"}), "rule 1 of pay"),
        (Policy(), "does not name"),
        (Policy({"pay": Ask(role="finance")}), "needs another decision now: role finance"),
        (Policy({"pay": Ask(quorum=2)}), "needs another decision now: 2 people"),
    ],
)
def test_an_approval_under_a_weaker_policy_is_not_enough(office: Any, now: Policy, why: str) -> None:
    question = office.question(office.start())
    office.ledger.approvals.approve(question["approval_id"], by="ann")
    office.policy = now
    result = office.run(None)
    assert (office.paid, result["outcomes"][0]["status"]) == ([], "denied")
    assert why in result["outcomes"][0]["detail"]


def test_an_approval_under_a_stricter_policy_is_enough(office: Any) -> None:
    office.policy = Policy({"pay": Ask(quorum=2)})
    question = office.question(office.start())
    office.ledger.approvals.approve(question["approval_id"], by="ann")
    office.ledger.approvals.approve(question["approval_id"], by="bea")
    office.policy = Policy({"pay": "ask"})
    office.run(None)
    assert len(office.paid) == 1


def test_what_was_done_stays_done_whatever_policy_says_later(office: Any) -> None:
    def cut_off() -> None:
        raise KeyboardInterrupt

    office.change(reconcile=lambda payment, key: {"receipt": "found"} if office.paid else None)
    office.after_paying = cut_off
    office.start()
    with pytest.raises(KeyboardInterrupt):
        office.answer(APPROVE)
    office.policy = Policy({"pay": "deny"})
    result = office.run(None)
    assert (len(office.paid), result["outcomes"][0]["status"]) == (1, "done")


@pytest.mark.parametrize("approved", [False, True])
def test_an_action_that_is_gone_is_denied_and_its_question_closed(office: Any, approved: bool) -> None:
    question = office.question(office.start())
    if approved:
        office.ledger.approvals.approve(question["approval_id"], by="ann")
    arguments = office.action.arguments
    office.action = Action(name="transfer", description="Pays.", arguments=arguments, call=lambda payment, key: {})
    office.policy = Policy({"transfer": "ask"})
    result = office.run(None)
    assert (office.paid, result["outcomes"][0]["status"]) == ([], "denied")
    assert "no agent of the team has this action" in result["outcomes"][0]["detail"]
    assert office.ledger.approvals.pending() == []
