import json
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import BaseModel

from signoff import Action
from signoff.checkpoints.ledger.approval import Approval, Authority
from signoff.errors import BadAnswer
from signoff.graphs.approval.answers import Decision, read_answer


class Payment(BaseModel):
    to: str
    euros: int
    tags: list[str] = []


PAY = Action(name="pay", description="Pays.", arguments=Payment, call=lambda payment, key: {})
SHOWN: dict[str, Any] = {"to": "ann", "euros": 5, "tags": ["x"]}
EDITED: dict[str, Any] = {"to": "ann", "euros": 7, "tags": ["x"]}
APPROVAL = Approval(
    id="a-123",
    proposal_id="p-123",
    run_id="r-1",
    team="t",
    goal="g",
    action="pay",
    risk="external",
    reason="due",
    proposed_by="clerk",
    requested_by="",
    dry_run=False,
    proposed=SHOWN,
    proposed_sha256="0" * 64,
    authority=Authority(),
    votes=(),
    escalated_at="",
    answering="",
    shown=SHOWN,
    shown_sha256="0" * 64,
    status="pending",
    requested_at="",
    expires_at="",
    decided_by="",
    decided_at="",
    decision_reason="",
    args={},
    args_sha256="",
)
INTERRUPT_ID = "281666f46cca87d2762242455ee592d6"


def read(answer: Any) -> Decision:
    return read_answer(answer, APPROVAL, PAY, INTERRUPT_ID)


@pytest.mark.parametrize(
    "answer",
    [
        {"decisions": [{"type": "approve"}]},  # agent-chat-ui, deep-agents-ui, HumanInTheLoopMiddleware
        [{"type": "accept", "args": None}],  # agent-inbox
        [{"type": "accept", "args": {"action": "pay", "args": SHOWN}}],  # agent-inbox with the request echoed
        [{"type": "accept", "args": {"action": "pay", "args": {"to": "ann", "euros": "5", "tags": '["x"]'}}}],
        {"type": "approve"},
        {INTERRUPT_ID: {"decisions": [{"type": "approve"}]}},
        {"a-123": {"type": "approve"}},
        {"type": "approve", "approval_id": "a-123", "args_sha256": "0" * 64},
        '{"decisions": [{"type": "approve"}]}',  # typed into Studio
        "approve",
        " Approve ",
    ],
)
def test_every_clients_approval_is_understood(answer: Any) -> None:
    decision = read(answer)
    assert (decision.kind, decision.args) == ("approve", SHOWN)


@pytest.mark.parametrize(
    "answer",
    [
        {"decisions": [{"type": "edit", "edited_action": {"name": "pay", "args": EDITED}}]},
        [{"type": "edit", "args": {"action": "pay", "args": EDITED}}],
        [{"type": "edit", "args": {"action": "pay", "args": {"to": "ann", "euros": "7", "tags": '["x"]'}}}],  # all text
        {"type": "edit", "args": {"name": "pay", "args": EDITED}},
    ],
)
def test_every_clients_edit_is_understood(answer: Any) -> None:
    assert (read(answer).kind, read(answer).args) == ("approve", EDITED)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"decisions": [{"type": "reject", "message": "too much"}]}, "too much"),
        ({"decisions": [{"type": "reject"}]}, ""),
        ([{"type": "ignore", "args": None}], ""),
        ([{"type": "response", "args": "ask bob first"}], "ask bob first"),
        ("reject", ""),
    ],
)
def test_every_clients_refusal_is_a_rejection(answer: Any, reason: str) -> None:
    assert read(answer) == Decision("reject", {}, reason)


def test_a_response_in_words_is_no_decision_about_the_action() -> None:
    assert read({"decisions": [{"type": "respond", "message": "later"}]}) == Decision("respond", {}, "later")


@pytest.mark.parametrize("answer", [{"type": "respond"}, {"type": "respond", "message": " "}])
def test_a_response_that_says_nothing_is_refused(answer: Any) -> None:
    with pytest.raises(BadAnswer, match="says nothing"):
        read(answer)


@pytest.mark.parametrize(
    ("answer", "names"),
    [
        ("approve", ""),
        ({"decisions": [{"type": "approve"}]}, ""),
        ([{"type": "accept", "args": None}], ""),
        ([{"type": "accept", "args": {"action": "pay", "args": SHOWN}}], "arguments"),
        ({"type": "edit", "args": {"name": "pay", "args": EDITED}}, "arguments"),
        ({"type": "approve", "approval_id": "a-123"}, "question"),
        ({"args_sha256": "0" * 64, "decisions": [{"type": "approve"}]}, "arguments"),
        ({INTERRUPT_ID: "approve"}, "question"),
        ({"a-123": "approve"}, "question"),
    ],
)
def test_an_answer_says_how_exactly_it_names_its_question(answer: Any, names: str) -> None:
    assert read(answer).names == names


def test_an_edit_with_an_argument_that_there_is_not_is_refused() -> None:
    with pytest.raises(BadAnswer, match="'euro' is no argument"):
        read({"type": "edit", "args": {"name": "pay", "args": {**SHOWN, "euro": 1}}})


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "",
        "no",
        "yes",
        "maybe",
        "not good, do not approve",
        True,
        1,
        0,
        [],
        {},
        {"decisions": []},
        {"decisions": [{"type": "approve"}, {"type": "approve"}]},
        {"decisions": {"type": "approve"}},
        '{"type": "reject", "type": "approve"}',
        [{"type": "accept"}, {"type": "accept"}],
        {"type": "maybe"},
        {"type": None},
        {"approved": True},
        {"type": "approve", "approval_id": "a-999"},
        {"a-999": {"type": "approve"}},
        {"0" * 32: {"type": "approve"}},
        {"type": "reject", "message": "\ud800"},
        {"type": "edit", "args": {"name": "pay", "args": {**SHOWN, "euros": 10**30}}},
        {"type": "edit", "args": {"name": "pay", "args": {**SHOWN, "to": "\ud800"}}},
        {"type": "approve", "args_sha256": "1" * 64},
        {"approval_id": "a-999", "decisions": [{"type": "approve"}]},
        [{"type": "accept", "args": {"action": "pay", "args": EDITED}}],
        [{"type": "accept", "args": {"action": "refund", "args": SHOWN}}],
        {"type": "edit"},
        {"type": "edit", "edited_action": {"name": "refund", "args": EDITED}},
        {"type": "edit", "edited_action": {"name": "pay", "args": {"to": "ann"}}},
        {"type": "edit", "edited_action": {"name": "pay", "args": {**SHOWN, "euros": "many"}}},
        {"type": "edit", "edited_action": {"name": "pay", "args": None}},
        {"type": "edit", "args": "pay bob instead"},
        "[" * 5000,
    ],
)
def test_what_is_not_surely_a_decision_decides_nothing(answer: Any) -> None:
    with pytest.raises(BadAnswer, match=r"Nothing was decided\.$"):
        read(answer)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "decisions", "args", "action", "name", "message", "a-123"]) | st.text(), inner
        )
    ),
    max_leaves=12,
)


@given(_json)
def test_no_random_answer_raises_anything_else_or_approves(answer: Any) -> None:
    try:
        decision = read(answer)
    except BadAnswer:
        return
    found = json.dumps(answer).lower()
    assert decision.kind == "reject" or "approve" in found or "accept" in found or "edit" in found
