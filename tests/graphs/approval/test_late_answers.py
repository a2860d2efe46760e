"""An approval that names no question may have been meant for the one before."""

from typing import Any

import pytest

from signoff import Ask, Policy

APPROVE = {"decisions": [{"type": "approve"}]}


@pytest.fixture
def two(office: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "3600")
    office.amounts = (5, 1_000_000)
    office.start()
    return office


def paid(office: Any) -> list[int]:
    return [euros for _, euros, _ in office.paid]


def test_an_approval_delivered_many_times_approves_one_question(two: Any) -> None:
    for _ in range(5):
        again = two.question(two.answer(APPROVE))
    assert paid(two) == [5]
    assert "may have been meant for that" in again["action_requests"][0]["description"]


def test_an_approval_overtaken_by_the_desk_does_not_approve_the_next_question(two: Any) -> None:
    first = two.ledger.approvals.pending("r-1")[0]
    two.ledger.approvals.reject(first.id, by="ann")
    two.run(None)
    two.answer(APPROVE)
    assert paid(two) == []


@pytest.mark.parametrize("name", ["approval_id", "args_sha256"])
def test_an_approval_that_names_its_question_counts_at_once(two: Any, name: str) -> None:
    question = two.question(two.answer(APPROVE))
    two.answer({"type": "approve", name: question[name]})
    assert paid(two) == [5, 1_000_000]


def test_given_twice_it_counts(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    two.answer(APPROVE)
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "0.9")  # a thirtieth of which passes between two answers
    again = two.answer(APPROVE)
    while "__interrupt__" in again:
        again = two.answer(APPROVE)
    assert paid(two) == [5, 1_000_000]


def test_after_a_while_it_counts_at_once(two: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    two.answer(APPROVE)
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "0.000001")
    two.answer(APPROVE)
    assert paid(two) == [5, 1_000_000]


def test_a_rejection_needs_no_name(two: Any) -> None:
    two.answer(APPROVE)
    result = two.answer({"decisions": [{"type": "reject"}]})
    assert "__interrupt__" not in result
    assert paid(two) == [5]


def test_the_first_question_of_a_thread_has_none_before_it(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "3600")
    office.start()
    office.answer(APPROVE)
    assert paid(office) == [5]


def test_a_question_of_the_next_run_on_the_thread_has_one_before_it(two: Any) -> None:
    question = two.question(two.answer(APPROVE))
    two.answer({"type": "reject", "approval_id": question["approval_id"]})
    two.run({"goal": "pay ann again"})
    two.answer(APPROVE)
    assert paid(two) == [5]


def test_an_approval_of_what_another_goal_replaced_does_not_approve_its_successor(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "3600")
    office.start()
    office.amounts = (1_000_000,)
    office.run({"goal": "pay ann more"})
    office.answer(APPROVE)
    assert paid(office) == []


def test_an_approval_of_what_stood_there_before_an_edit_is_asked_again(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "3600")
    office.policy = Policy({"pay": Ask(quorum=2)})
    office.start()
    edit = {"type": "edit", "edited_action": {"name": "pay", "args": {"to": "mallory", "euros": 1_000_000}}}
    office.config["configurable"]["langgraph_auth_user_id"] = "mallory"
    office.answer({"decisions": [edit]})
    office.config["configurable"]["langgraph_auth_user_id"] = "bob"
    again = office.question(office.answer(APPROVE))
    assert "may have been meant for that" in again["action_requests"][0]["description"]
    assert paid(office) == []


@pytest.mark.parametrize("how", ["echoed", "digest", "edited"])
def test_arguments_name_no_question_if_another_has_the_same(
    office: Any, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "3600")
    office.amounts = (5, 5) if how != "edited" else (5, 7)
    question = office.question(office.start())
    answers: dict[str, Any] = {
        "echoed": [{"type": "accept", "args": {"action": "pay", "args": {"to": "ann", "euros": 5}}}],
        "digest": {"type": "approve", "args_sha256": question["args_sha256"]},
        "edited": {"type": "edit", "args": {"name": "pay", "args": {"to": "ann", "euros": 3}}},
    }
    for _ in range(3):
        office.answer(answers[how])
    assert len(paid(office)) == 1
