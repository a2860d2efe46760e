"""What a person said of a call that broke off can be taken back until something follows from it, and is asked again."""

from collections.abc import Callable
from typing import Any

import pytest

from signoff.checkpoints.ledger import Approval
from signoff.errors import AlreadyDecided, NotAllowed
from signoff.graphs.nodes.act import perform

APPROVE = {"decisions": [{"type": "approve"}]}


@pytest.fixture
def doubt(in_doubt: Any) -> Approval:
    """The question whether a payment was made that broke off; it was not."""
    (asked,) = in_doubt.ledger.approvals.pending("r-1")
    found: Approval = asked
    return found


def say_it_happened(office: Any, asked: Approval) -> None:
    office.ledger.approvals.approve(asked.id, by="ann")


def say_it_did_not(office: Any, asked: Approval) -> None:
    office.ledger.approvals.approve(asked.id, by="ann", args={**asked.shown, "happened": "no"})


def say_it_failed(office: Any, asked: Approval) -> None:
    office.ledger.approvals.approve(asked.id, by="ann", args={**asked.shown, "happened": "no", "retry": False})


def give_it_up(office: Any, asked: Approval) -> None:
    office.ledger.approvals.reject(asked.id, by="ann", reason="no idea")


ANSWERS = [say_it_happened, say_it_did_not, say_it_failed, give_it_up]
Say = Callable[[Any, Approval], None]


def statuses(office: Any) -> list[str]:
    return [effect.status for effect in office.ledger.effects.of_run("r-1")]


@pytest.mark.parametrize("say", ANSWERS)
def test_an_answer_that_nothing_followed_from_is_taken_back_and_asked_again(
    office: Any, doubt: Approval, say: Say
) -> None:
    say(office, doubt)
    again = office.ledger.approvals.revoke(doubt.id, by="ann", reason="the wrong line")
    assert (again.status, again.decided_by, again.args, again.shown) == ("pending", "", {}, doubt.shown)
    office.run(None)
    assert (office.paid, statuses(office)) == ([], ["unknown"])
    (asked,) = office.ledger.approvals.pending("r-1")
    assert asked.id == doubt.id
    say_it_did_not(office, asked)
    result = office.run(None)
    assert (len(office.paid), statuses(office), result["run"]["ended"]) == (1, ["done"], "done")
    assert office.ledger.audit.verify().problems == ()
    (taken,) = [entry.body for entry in office.ledger.audit.entries("r-1") if entry.event == "taken back"]
    assert (taken["approval"], taken["by"], taken["reason"]) == (doubt.id, "ann", "the wrong line")


@pytest.mark.parametrize("say", ANSWERS)
def test_an_answer_that_the_thread_went_on_from_is_not_taken_back_and_it_is_said_why(
    office: Any, doubt: Approval, say: Say
) -> None:
    say(office, doubt)
    office.run(None)
    before = (len(office.paid), statuses(office))
    with pytest.raises(AlreadyDecided, match="cannot be taken back") as told:
        office.ledger.approvals.revoke(doubt.id, by="ann")
    assert ("was called again" in str(told.value)) == (say is say_it_did_not)
    office.run(None)
    assert (len(office.paid), statuses(office)) == before
    assert office.ledger.audit.verify().problems == ()


def test_somebody_who_could_not_say_it_cannot_take_it_back(office: Any) -> None:
    from signoff import Ask, Policy

    office.policy = Policy({"pay": Ask(role="finance")})
    office.ledger.people.give("bea", "finance", by="admin")
    office.before_paying = office.drop_the_line
    office.start()
    (asked,) = office.ledger.approvals.pending("r-1")
    office.ledger.approvals.approve(asked.id, by="bea")
    office.run(None)
    (doubt,) = office.ledger.approvals.pending("r-1")
    office.ledger.approvals.reject(doubt.id, by="bea")
    with pytest.raises(NotAllowed):
        office.ledger.approvals.revoke(doubt.id, by="eve")
    assert office.ledger.approvals.revoke(doubt.id, by="bea").status == "pending"


def test_who_agreed_before_must_agree_anew(office: Any) -> None:
    from signoff import Ask, Policy

    office.policy = Policy({"pay": Ask(quorum=2)})
    office.before_paying = office.drop_the_line
    office.start()
    for person in ("ann", "bea"):
        office.ledger.approvals.approve(office.ledger.approvals.pending("r-1")[0].id, by=person)
    office.run(None)
    (doubt,) = office.ledger.approvals.pending("r-1")
    for person in ("ann", "bea"):
        office.ledger.approvals.approve(doubt.id, by=person)
    assert office.ledger.approvals.revoke(doubt.id, by="bea").votes == ()
    assert office.ledger.approvals.approve(doubt.id, by="ann").status == "pending"
    assert office.ledger.audit.verify().problems == ()


def test_an_answer_that_is_taken_back_while_it_is_followed_has_no_effect(office: Any, doubt: Approval) -> None:
    from signoff.errors import SignoffError

    say_it_happened(office, doubt)
    answer = office.ledger.approvals.get(doubt.id)
    office.ledger.approvals.revoke(doubt.id, by="ann")
    with pytest.raises(AlreadyDecided):
        office.ledger.effects.settle(doubt.shown["effect"], "done", claim=1, answer=answer)
    assert issubclass(AlreadyDecided, SignoffError)
    assert statuses(office) == ["unknown"]


def test_what_has_ended_by_itself_meanwhile_stays_what_it_is(office: Any, doubt: Approval) -> None:
    give_it_up(office, doubt)
    (effect,) = office.ledger.effects.of_run("r-1")
    office.change(reconcile=lambda payment, key: {"receipt": "found"})
    perform(office.ledger, office.ledger.approvals.get(effect.approval_id), office.action)
    assert statuses(office) == ["done"]
    with pytest.raises(AlreadyDecided, match="by now it is known"):
        office.ledger.approvals.revoke(doubt.id, by="ann")
    assert statuses(office) == ["done"]


def test_a_question_that_nobody_has_answered_is_not_taken_back(office: Any, doubt: Approval) -> None:
    with pytest.raises(AlreadyDecided):
        office.ledger.approvals.revoke(doubt.id, by="ann")
    assert office.ledger.approvals.get(doubt.id).status == "pending"


class Killed(BaseException):
    """As a killed process: nothing more of the node runs."""


@pytest.mark.parametrize("given", [None, APPROVE])
def test_an_answer_that_langgraph_still_keeps_is_not_read_again_once_it_was_taken_back(
    office: Any, doubt: Approval, monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    go_on = office.ledger.runs.set_status

    def die(run_id: str, status: str, note: str = "") -> None:
        """The gate says that the run goes on once it has decided."""
        if status == "running":
            raise Killed
        go_on(run_id, status, note)

    with monkeypatch.context() as patch:
        patch.setattr(office.ledger.runs, "set_status", die)
        with pytest.raises(Killed):
            office.answer(APPROVE)
    assert office.ledger.approvals.get(doubt.id).status == "approved"
    office.ledger.approvals.revoke(doubt.id, by="ann")
    again = office.question(office.run(None) if given is None else office.answer(given))
    assert again["approval_id"] == doubt.id
    assert (statuses(office), office.ledger.approvals.get(doubt.id).status) == (["unknown"], "pending")
    office.answer(APPROVE)
    assert (office.paid, statuses(office)) == ([], ["done"])


def test_what_was_closed_with_its_run_is_no_answer_to_take_back(office: Any, doubt: Approval) -> None:
    office.amounts = ()
    office.run({"goal": "something else"})
    with pytest.raises(AlreadyDecided, match="nobody has answered it"):
        office.ledger.approvals.revoke(doubt.id, by="ann")
    assert statuses(office) == ["abandoned"]


def test_a_call_that_is_about_to_be_made_again_is_not_made_once_the_answer_was_taken_back(
    office: Any, doubt: Approval
) -> None:
    say_it_did_not(office, doubt)
    answer = office.ledger.approvals.get(doubt.id)
    seen = office.ledger.effects.settle(doubt.shown["effect"], "released", claim=1, answer=answer)
    assert seen.status == "released"
    assert office.ledger.approvals.revoke(doubt.id, by="ann").status == "pending"
    assert office.ledger.effects.reclaim(seen, owner="somebody") == 0
    office.run(None)
    assert (office.paid, statuses(office)) == ([], ["unknown"])
