"""LangGraph keeps an answer until the gate has returned, and forgets whose it was: nobody else's name goes under it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from signoff import Ask, Ledger, Policy

APPROVE = {"decisions": [{"type": "approve"}]}
REJECT = {"decisions": [{"type": "reject"}]}


def answer_as(office: Any, name: str, given: Any) -> Any:
    office.config["configurable"]["langgraph_auth_user_id"] = name
    return office.run(None) if given is None else office.answer(given)


@pytest.fixture
def guarded(office: Any) -> Any:
    """An office where only the boss may approve."""
    office.ledger.people.give("boss", "head", by="admin")
    office.policy = Policy({"pay": Ask(role="head")})
    office.start()
    return office


@contextmanager
def dying_as_it_decides(office: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Whoever decides is cut off, as a killed process is: nothing more of the node runs."""

    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(office.ledger.approvals, "approve", die)
        patch.setattr(office.ledger.approvals, "end_answer", die)
        with pytest.raises(Killed):
            yield


@pytest.mark.parametrize("given", [None, APPROVE])
def test_an_answer_of_a_process_that_died_is_not_read_as_somebody_elses(
    guarded: Any, monkeypatch: pytest.MonkeyPatch, given: Any
) -> None:
    with dying_as_it_decides(guarded, monkeypatch):
        answer_as(guarded, "mallory", APPROVE)
    again = guarded.question(answer_as(guarded, "boss", given))
    assert "an answer of mallory" in again["action_requests"][0]["description"].replace("\\", "")
    assert guarded.paid == []
    answer_as(guarded, "boss", APPROVE)
    assert len(guarded.paid) == 1


def test_a_rejection_after_such_an_answer_is_no_approval(guarded: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with dying_as_it_decides(guarded, monkeypatch):
        answer_as(guarded, "mallory", APPROVE)
    answer_as(guarded, "boss", REJECT)
    answer_as(guarded, "boss", REJECT)
    assert guarded.paid == []
    assert guarded.ledger.approvals.pending() == []


def test_a_name_that_is_none_gets_its_answer_asked_again(guarded: Any) -> None:
    again = guarded.question(answer_as(guarded, "policy", APPROVE))
    assert "is no name of a person" in again["action_requests"][0]["description"]
    answer_as(guarded, "boss", REJECT)
    assert (guarded.paid, guarded.ledger.approvals.pending()) == ([], [])


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_answer_that_cannot_be_written_down_is_asked_again(
    office: Any, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    office.ledger = Ledger(database, busy_seconds=0.05)
    office.start()
    decide = office.ledger.approvals.approve

    def locked(*given: Any, **named: Any) -> Any:
        other = sqlite3.connect(database, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        try:
            return decide(*given, **named)
        finally:
            other.rollback()
            other.close()

    with monkeypatch.context() as patch:
        patch.setattr(office.ledger.approvals, "approve", locked)
        again = office.question(office.answer(APPROVE))
    assert "locked" in again["action_requests"][0]["description"]
    office.answer(REJECT)
    assert office.paid == []
