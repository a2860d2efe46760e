"""An approval that names no question may have been meant for the one before."""

from typing import Any

import pytest

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
