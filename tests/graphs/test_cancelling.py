""" "Mark as resolved" in chat clients ends the thread around the graph: nothing is executed then or later."""

from typing import Any

import pytest
from langgraph.types import Command

from signoff import Policy


def go_to_end(office: Any) -> None:
    office.run(Command(goto="__end__"))  # agent-chat-ui


def update_as_end(office: Any) -> None:
    graph = office.team.compile(checkpointer=office.saver)
    graph.update_state(office.config, None, as_node="__end__")  # agent-inbox


@pytest.mark.parametrize("resolve", [go_to_end, update_as_end])
def test_a_thread_marked_as_resolved_executes_nothing(office: Any, resolve: Any) -> None:
    office.start()
    resolve(office)
    office.run(None)
    assert office.paid == []


def test_an_ended_thread_executes_nothing_even_if_somebody_approves_it(office: Any) -> None:
    question = office.question(office.start())
    office.ledger.approvals.approve(question["approval_id"], by="ann")
    update_as_end(office)
    office.run(None)
    assert office.paid == []


def test_langgraph_passes_over_going_to_the_end_and_the_question_stays_open(office: Any) -> None:
    question = office.question(office.start())
    go_to_end(office)
    assert office.ledger.approvals.get(question["approval_id"]).status == "pending"
    office.answer({"type": "reject", "approval_id": question["approval_id"]})
    assert (office.paid, office.ledger.runs.get("r-1").status) == ([], "stopped")


@pytest.mark.parametrize("resolve", [go_to_end, update_as_end])
def test_its_question_is_closed_when_the_thread_gets_another_goal(office: Any, resolve: Any) -> None:
    question = office.question(office.start())
    resolve(office)
    office.policy = Policy({"pay": "deny"})
    office.run({"goal": "something else"})
    assert office.ledger.approvals.get(question["approval_id"]).status == "rejected"
    assert office.ledger.runs.get("r-1").status == "stopped"
    assert office.paid == []
