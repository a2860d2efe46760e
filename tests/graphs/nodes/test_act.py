import threading
from typing import Any

import pytest

from signoff.errors import ActionFailed, RunBusy
from signoff.tools.action import ToolLimits, Touches

APPROVE = {"decisions": [{"type": "approve"}]}


def _raise(error: BaseException) -> None:
    raise error


def test_the_idempotency_key_is_the_effects_key(office: Any) -> None:
    office.start()
    office.answer(APPROVE)
    (effect,) = office.ledger.effects.of_run("r-1")
    assert office.paid[0][2] == effect.key


def test_an_action_that_says_it_failed_is_failed_and_not_asked_about(office: Any) -> None:
    office.before_paying = lambda: _raise(ActionFailed("pay", "no money"))
    office.start()
    result = office.answer(APPROVE)
    assert (result["outcomes"][0]["status"], result["outcomes"][0]["detail"]) == ("failed", "no money")


def unknown(office: Any) -> dict[str, Any]:
    """A payment that broke off after it took effect."""
    office.after_paying = lambda: _raise(ConnectionError("the line dropped"))
    office.start()
    question: dict[str, Any] = office.question(office.answer(APPROVE))
    office.after_paying = lambda: None
    assert question["action_requests"][0]["name"] == "settle_outcome"
    assert "the line dropped" in question["action_requests"][0]["description"]
    return question


def test_an_unknown_outcome_goes_to_a_person_who_says_it_happened(office: Any) -> None:
    unknown(office)
    result = office.answer(APPROVE)
    assert len(office.paid) == 1
    assert [outcome["status"] for outcome in result["outcomes"] if outcome["action"] == "pay"] == ["done"]
    assert result["run"]["ended"] == "done"


def test_an_unknown_outcome_that_did_not_happen_is_called_again_with_the_same_key(office: Any) -> None:
    question = unknown(office)
    args = {**question["action_requests"][0]["args"], "happened": "no"}
    office.answer({"decisions": [{"type": "edit", "edited_action": {"name": "settle_outcome", "args": args}}]})
    assert len(office.paid) == 2
    assert len({key for _, _, key in office.paid}) == 1


def test_an_unknown_outcome_may_be_left_as_it_is(office: Any) -> None:
    unknown(office)
    result = office.answer({"decisions": [{"type": "reject"}]})
    assert len(office.paid) == 1
    assert [outcome["status"] for outcome in result["outcomes"] if outcome["action"] == "pay"] == ["abandoned"]


def test_an_unknown_outcome_is_settled_by_the_actions_own_read_back(office: Any) -> None:
    office.change(reconcile=lambda payment, key: {"receipt": "found"} if office.paid else None)
    office.after_paying = lambda: _raise(ConnectionError("the line dropped"))
    office.start()
    result = office.answer(APPROVE)
    assert len(office.paid) == 1
    assert result["outcomes"][0]["result"] == {"receipt": "found"}


def test_an_interrupted_call_is_looked_up_before_anything_is_called_again(office: Any) -> None:
    office.change(reconcile=lambda payment, key: {"receipt": "found"} if office.paid else None)
    office.after_paying = lambda: _raise(KeyboardInterrupt())
    office.start()
    with pytest.raises(KeyboardInterrupt):
        office.answer(APPROVE)
    office.after_paying = lambda: None
    result = office.run(None)
    assert len(office.paid) == 1
    assert result["outcomes"][0]["status"] == "done"


def test_an_interrupted_call_that_did_nothing_is_called_again_once(office: Any) -> None:
    office.change(reconcile=lambda payment, key: {"receipt": "found"} if office.paid else None)
    office.before_paying = lambda: _raise(KeyboardInterrupt())
    office.start()
    with pytest.raises(KeyboardInterrupt):
        office.answer(APPROVE)
    office.before_paying = lambda: None
    office.run(None)
    assert len(office.paid) == 1


def test_while_the_read_back_fails_a_person_is_asked(office: Any) -> None:
    office.change(reconcile=lambda payment, key: _raise(OSError("bank is closed")))
    office.after_paying = lambda: _raise(ConnectionError("the line dropped"))
    office.start()
    question = office.question(office.answer(APPROVE))
    assert "bank is closed" in question["action_requests"][0]["description"]
    assert len(office.paid) == 1


def test_a_call_that_takes_longer_than_its_action_may_is_left_and_a_person_is_asked(office: Any) -> None:
    gone_on, paid = threading.Event(), threading.Event()
    looked: list[str] = []
    office.change(limits=ToolLimits(seconds=0.05), reconcile=lambda payment, key: looked.append(key))
    office.before_paying = lambda: gone_on.wait(60)
    office.after_paying = paid.set
    office.start()
    question = office.question(office.answer(APPROVE))
    assert question["action_requests"][0]["name"] == "settle_outcome"
    assert "did not return within 0.05 seconds" in question["action_requests"][0]["description"]
    assert (looked, office.paid) == ([], [])
    gone_on.set()
    assert paid.wait(60)
    result = office.answer(APPROVE)
    assert [outcome["status"] for outcome in result["outcomes"] if outcome["action"] == "pay"] == ["done"]
    assert len(office.paid) == 1


def left(office: Any) -> tuple[threading.Event, dict[str, Any]]:
    """A payment that takes too long, and goes on until it is let; and what a person is asked of it."""
    gone_on = threading.Event()
    office.change(limits=ToolLimits(seconds=0.05))
    office.before_paying = lambda: gone_on.wait(60)
    office.start()
    return gone_on, office.question(office.answer(APPROVE))


def let_it_end(gone_on: threading.Event) -> None:
    gone_on.set()
    for thread in threading.enumerate():
        if thread.name == "signoff call":
            thread.join(60)


def test_an_action_is_not_called_again_while_its_call_goes_on_whatever_a_person_says(office: Any) -> None:
    gone_on, question = left(office)
    args = {**question["action_requests"][0]["args"], "happened": "no"}
    with pytest.raises(RunBusy, match="still calls pay for run"):
        office.answer({"decisions": [{"type": "edit", "edited_action": {"name": "settle_outcome", "args": args}}]})
    with pytest.raises(RunBusy, match="still calls pay for run"):
        office.run(None)
    let_it_end(gone_on)
    result = office.run(None)
    assert len(office.paid) == 1
    (outcome,) = [outcome for outcome in result["outcomes"] if outcome["action"] == "pay"]
    assert (outcome["status"], outcome["result"]) == ("done", {"receipt": 1})
    assert office.ledger.audit.verify().problems == ()


def test_a_call_that_fails_after_its_time_has_failed(office: Any) -> None:
    gone_on, _ = left(office)
    office.after_paying = lambda: _raise(ActionFailed("pay", "no money"))
    let_it_end(gone_on)
    result = office.answer(APPROVE)
    (outcome,) = [outcome for outcome in result["outcomes"] if outcome["action"] == "pay"]
    assert (outcome["status"], outcome["detail"]) == ("failed", "no money")


def test_a_call_that_breaks_off_after_its_time_may_be_called_again_if_a_person_says_so(office: Any) -> None:
    gone_on, question = left(office)
    office.after_paying = lambda: _raise(ConnectionError("the line dropped"))
    let_it_end(gone_on)
    office.after_paying = lambda: None
    args = {**question["action_requests"][0]["args"], "happened": "no"}
    office.answer({"decisions": [{"type": "edit", "edited_action": {"name": "settle_outcome", "args": args}}]})
    assert len(office.paid) == 2


def test_what_happens_after_a_person_has_given_up_is_noted(office: Any) -> None:
    gone_on, _ = left(office)
    result = office.answer({"decisions": [{"type": "reject"}]})
    let_it_end(gone_on)
    assert [outcome["status"] for outcome in result["outcomes"] if outcome["action"] == "pay"] == ["abandoned"]
    (late,) = [entry.body for entry in office.ledger.audit.entries("r-1") if entry.event == "ended late"]
    assert (late["claim"], late["status"], late["result"]) == (1, "done", {"receipt": 1})
    (effect,) = office.ledger.effects.of_run("r-1")
    assert (effect.status, "was done too" in effect.earlier) == ("abandoned", True)
    assert office.ledger.audit.verify().problems == ()


def test_a_call_within_its_time_is_like_any_other(office: Any) -> None:
    office.change(limits=ToolLimits(seconds=60), touches=Touches(hosts=("bank.example.org",)))
    question = office.question(office.start())
    assert "It may touch: hosts: bank.example.org." in question["action_requests"][0]["description"]
    result = office.answer(APPROVE)
    assert [outcome["status"] for outcome in result["outcomes"]] == ["done"]
    assert len(office.paid) == 1


def test_an_error_within_its_time_is_what_it_is(office: Any) -> None:
    office.change(limits=ToolLimits(seconds=60))
    office.before_paying = lambda: _raise(ActionFailed("pay", "no money"))
    office.start()
    assert office.answer(APPROVE)["outcomes"][0]["detail"] == "no money"
