"""A dry run does everything but the effects."""

from typing import Any

import pytest

from signoff import Policy
from signoff.checkpoints.process_identity import current_owner
from signoff.errors import DryRun

APPROVE = {"decisions": [{"type": "approve"}]}


def test_a_dry_run_asks_and_calls_nothing(office: Any) -> None:
    office.dry_run = True
    question = office.question(office.start())
    assert question["dry_run"] is True
    assert "Dry run: nothing is called" in question["action_requests"][0]["description"]
    result = office.answer(APPROVE)
    (outcome,) = result["outcomes"]
    assert (outcome["status"], outcome["result"]) == ("skipped", {"to": "ann", "euros": 5})
    assert (office.paid, office.ledger.effects.of_run("r-1")) == ([], [])
    assert result["run"]["ended"] == "done"
    assert "skipped" in [entry.event for entry in office.ledger.audit.entries("r-1")]


def test_one_run_can_be_a_dry_one(office: Any) -> None:
    office.policy = Policy({"pay": "allow"})
    office.run({"goal": "pay ann", "dry_run": True})
    assert (office.paid, office.ledger.runs.get("r-1").dry_run) == ([], True)
    office.run({"goal": "pay ann again"})
    assert (len(office.paid), office.ledger.runs.get("r-1~2").dry_run) == (1, False)


@pytest.mark.parametrize("given", [1, "yes", "no", None, 0, []])
def test_what_is_not_clearly_a_real_run_is_a_dry_one(office: Any, given: Any) -> None:
    office.policy = Policy({"pay": "allow"})
    office.run({"goal": "pay ann", "dry_run": given})
    assert office.paid == []


def test_editing_the_state_does_not_make_a_dry_run_real(office: Any) -> None:
    office.dry_run = True
    office.start()
    graph = office.team.compile(checkpointer=office.saver)
    graph.update_state(office.config, {"dry_run": False}, as_node="supervisor")
    office.dry_run = False
    office.answer(APPROVE)
    office.run(None)
    assert office.paid == []


def test_the_ledger_refuses_to_claim_in_a_dry_run(office: Any) -> None:
    office.dry_run = True
    question = office.question(office.start())
    approval = office.ledger.approvals.approve(question["approval_id"], by="ann")
    with pytest.raises(DryRun):
        office.ledger.effects.claim(approval, owner=current_owner())


def test_asking_for_a_dry_run_while_a_real_one_waits_is_another_run(office: Any) -> None:
    office.start()
    question = office.question(office.run({"goal": "pay ann", "dry_run": True}))
    assert question["dry_run"] is True
    office.answer({"type": "approve", "approval_id": question["approval_id"]})
    assert office.paid == []
    assert office.ledger.approvals.pending() == []


def test_a_team_made_dry_calls_nothing_in_a_run_begun_for_real(office: Any) -> None:
    office.start()
    office.dry_run = True
    office.answer(APPROVE)
    assert office.paid == []
