"""A batch: proposals of one kind are one question; each is decided, called and written down by itself."""

import threading
from contextlib import suppress
from dataclasses import fields
from typing import Any

import pytest
from langgraph.types import Command
from pydantic import BaseModel

from signoff import Above, Action, Ask, Policy, When
from signoff.checkpoints import digest
from signoff.checkpoints.errors import AlreadyDecided
from signoff.checkpoints.ledger import Approval, Authority
from signoff.graphs.approval import batch_sha256
from signoff.graphs.approval.answers import read_answer
from signoff.graphs.approval.batch import read_batch
from signoff.graphs.errors import BadAnswer
from signoff.tools.errors import ActionFailed

APPROVE, REJECT = {"type": "approve"}, {"type": "reject"}


class Payment(BaseModel):
    to: str
    euros: int


def approval(euros: int) -> Approval:
    args = {"to": "ann", "euros": euros}
    texts: dict[str, Any] = dict.fromkeys((each.name for each in fields(Approval)), "")
    texts |= {
        "id": f"a-{euros}",
        "action": "pay",
        "status": "pending",
        "authority": Authority(),
        "votes": (),
        "flags": (),
    }
    shown = {"proposed": args, "shown": args, "proposed_sha256": digest(args), "shown_sha256": digest(args)}
    return Approval(**(texts | shown))


FOUR = tuple(map(approval, (1, 2, 3, 4)))
PAY = Action(name="pay", description="Pays.", arguments=Payment, call=lambda payment, key: {})


def kind_of(said: Any, one: Approval) -> str:
    """What an answer to one says: approve, reject, or edit."""
    decision = read_answer(said, one, PAY, "0" * 32)
    return "e" if decision.kind == "approve" and decision.args != one.shown else decision.kind[0]


@pytest.fixture
def four(office: Any) -> Any:
    office.amounts = (1, 2, 3, 4)
    return office


def paid(office: Any) -> list[int]:
    return [euros for _, euros, _ in office.paid]


def waiting(office: Any) -> dict[int, Approval]:
    """The open approvals by amount."""
    return {approval.shown["euros"]: approval for approval in office.ledger.approvals.pending("r-1")}


def edit(euros: int) -> dict[str, Any]:
    return {"type": "edit", "edited_action": {"name": "pay", "args": {"to": "ann", "euros": euros}}}


def asked(question: dict[str, Any]) -> list[int]:
    return [request["args"]["euros"] for request in question["action_requests"]]


def test_proposals_of_one_kind_are_one_question(four: Any) -> None:
    question = four.question(four.start())
    assert asked(question) == [1, 2, 3, 4]
    assert len(question["review_configs"]) == 4
    assert [part["approval_id"] for part in question["batch"]] == [one.id for one in waiting(four).values()]
    assert question["approval_id"] == question["batch"][0]["approval_id"]
    assert "one of 4 of its kind" in question["action_requests"][2]["description"]


def test_all_are_approved_at_once_and_each_has_its_own_digest_effect_and_entries(four: Any) -> None:
    four.start()
    result = four.answer({"decisions": [APPROVE] * 4})
    assert paid(four) == [1, 2, 3, 4]
    assert len({key for _, _, key in four.paid}) == 4
    assert [outcome["status"] for outcome in result["outcomes"]] == ["done"] * 4
    events = [entry.event for entry in four.ledger.audit.entries("r-1")]
    assert (events.count("approved"), events.count("claimed")) == (4, 4)
    assert four.ledger.audit.verify().entries


def test_some_are_approved_some_edited_some_rejected_and_the_rest_waits(four: Any) -> None:
    four.start()
    ids = {euros: one.id for euros, one in waiting(four).items()}
    left = four.question(four.answer({ids[1]: "approve", ids[2]: edit(20), ids[4]: REJECT}))
    assert paid(four) == [1, 20]
    assert asked(left) == [3]
    statuses = {euros: four.ledger.approvals.get(one).status for euros, one in ids.items()}
    assert statuses == {1: "approved", 2: "approved", 3: "pending", 4: "rejected"}
    assert len(four.worked) == 1


@pytest.mark.parametrize(
    ("answer", "done"),
    [
        ("Approve all.", "aaaa"),
        ("reject all", "rrrr"),
        ([APPROVE, REJECT, edit(30), APPROVE], "area"),
        ('{"decisions": [{"type": "approve"}, {"type": "ignore"}, {"type": "reject"}, {"type": "accept"}]}', "arra"),
        ({"decisions": [APPROVE, APPROVE, REJECT, APPROVE]}, "aara"),
        ({"0" * 32: {"decisions": [APPROVE] * 4}}, "aaaa"),
        ({"a-2": "approve", "a-4": REJECT}, " a r"),
        ([{**APPROVE, "approval_id": "a-4"}, {"a-1": "reject"}], "r  a"),
        ([{**APPROVE, "approval_id": "a-4"}, APPROVE], "   a"),
        ({"decisions": [APPROVE]}, "a   "),
        ([{"type": "accept", "args": None}], "a   "),
        ([{"type": "accept", "args": {"action": "pay", "args": {"to": "ann", "euros": 1}}}], "a   "),
        ("approve", "a   "),
        ({"type": "reject", "approval_id": "a-3"}, "  r "),
        ({"decisions": [REJECT], "approval_id": "a-3"}, "  r "),
    ],
)
def test_an_answer_is_about_those_of_whom_it_says_something(answer: Any, done: str) -> None:
    read = read_batch(answer, FOUR, "0" * 32)
    assert "".join(kind_of(read.said[one.id], one) if one.id in read.said else " " for one in FOUR) == done


@pytest.mark.parametrize("answer", [{"decisions": [APPROVE]}, [{"type": "accept", "args": None}], "approve"])
def test_a_client_that_knows_one_answer_answers_the_one_it_shows(four: Any, answer: Any) -> None:
    four.start()
    left = four.question(four.answer(answer))
    assert (paid(four), asked(left)) == ([1], [2, 3, 4])


@pytest.mark.parametrize(
    "answer",
    [
        {"decisions": [APPROVE, APPROVE]},
        {"decisions": [APPROVE] * 5},
        [APPROVE, APPROVE, APPROVE],
        "approve some",
        "all",
        "approve all but the last",
        {"type": "approve", "batch_sha256": "0" * 64},
        {"type": "approve", "batch_sha256": None},
        {"type": "edit", "args": {"name": "pay", "args": {}}, "batch_sha256": batch_sha256(FOUR)},
        {"type": "approve", "args": {"name": "pay", "args": {}}, "batch_sha256": batch_sha256(FOUR)},
        {"type": "approve", "approval_id": "a-5"},
        {"type": "approve", "args_sha256": "0" * 64},
        {"a-000000000000": "approve"},
        {},
        True,
        None,
        4,
        {"approval_id": "a-1", "decisions": [APPROVE] * 4},
        [[APPROVE, APPROVE], [APPROVE, APPROVE]],
        [[[[[[[[APPROVE]]]]]]]],
        {"decisions": [APPROVE, {**APPROVE, "approval_id": "a-9"}, APPROVE, APPROVE]},
    ],
)
def test_what_is_not_clear_decides_nothing(answer: Any) -> None:
    try:
        read = read_batch(answer, FOUR)
    except BadAnswer:
        return
    for one in FOUR:  # what is left to be read of a single answer is none either
        if one.id in read.said:
            with pytest.raises(BadAnswer):
                read_answer(read.said[one.id], one, PAY)


def test_an_answer_that_is_not_clear_is_asked_again_and_says_why(four: Any) -> None:
    four.start()
    question = four.question(four.answer([APPROVE, APPROVE]))
    assert (paid(four), asked(question)) == ([], [1, 2, 3, 4])
    assert "2 decisions, where 4" in question["action_requests"][0]["description"]


def test_one_that_is_not_clear_waits_and_says_why_while_the_others_go_on(four: Any) -> None:
    four.start()
    left = four.question(four.answer([APPROVE, {"type": "perhaps"}, edit(-1) | {"edited_action": 5}, APPROVE]))
    assert (paid(four), asked(left)) == ([1, 4], [2, 3])
    assert "'perhaps'" in left["action_requests"][0]["description"]
    assert "not an object" in left["action_requests"][1]["description"]
    assert "did not count" in left["action_requests"][0]["description"]


def test_two_things_said_of_one_decide_nothing_of_it(four: Any) -> None:
    four.start()
    ids = [one.id for one in waiting(four).values()]
    named = [{**APPROVE, "approval_id": ids[1]}, {**REJECT, "approval_id": ids[1]}, {**APPROVE, "approval_id": ids[2]}]
    left = four.question(four.answer(named))
    assert (paid(four), asked(left)) == ([3], [1, 2, 4])
    assert "two things" in left["action_requests"][1]["description"]


def test_named_decisions_count_in_any_order_and_unnamed_ones_among_them_do_not(four: Any) -> None:
    four.start()
    ids = [one.id for one in waiting(four).values()]
    left = four.question(four.answer([{**APPROVE, "approval_id": ids[3]}, APPROVE, {ids[0]: "approve"}]))
    assert (paid(four), asked(left)) == ([1, 4], [2, 3])


def test_all_can_be_named_by_one_digest_which_counts_at_once(four: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "3600")
    four.start()
    left = four.question(four.answer(APPROVE))
    again = four.question(four.answer({"decisions": [APPROVE] * 3}))
    assert paid(four) == [1]  # it may have been meant for what was asked a moment ago
    assert "may have been meant for that" in again["action_requests"][0]["description"]
    four.answer({"type": "approve", "batch_sha256": left["batch_sha256"]})
    assert paid(four) == [1, 2, 3, 4]


def test_answers_in_order_are_about_what_was_shown_even_if_the_desk_decided_one_meanwhile(four: Any) -> None:
    four.start()
    four.ledger.approvals.reject(waiting(four)[2].id, by="ann")
    four.answer([APPROVE, APPROVE, REJECT, APPROVE])
    assert paid(four) == [1, 4]


def test_what_was_edited_since_is_shown_again_before_any_answer_counts(four: Any) -> None:
    four.policy = Policy({"pay": Ask(quorum=2)})
    four.start()
    third = waiting(four)[3]
    four.ledger.approvals.approve(third.id, by="ann", args={"to": "ann", "euros": 300})
    question = four.question(four.answer({"decisions": [APPROVE] * 4}))
    assert (asked(question), paid(four)) == ([1, 2, 300, 4], [])
    assert "were edited" in question["action_requests"][2]["description"]
    assert len(four.ledger.approvals.get(third.id).votes) == 1


def test_a_quorum_is_counted_for_each(four: Any) -> None:
    four.policy = Policy({"pay": [When(Ask(quorum=2), euros=Above(2)), "ask"]})
    four.start()
    for one in waiting(four).values():
        four.ledger.approvals.approve(one.id, by="ann")
    left = four.question(four.run(None))
    assert (paid(four), asked(left)) == ([1, 2], [3, 4])
    assert [part["agreed"] for part in left["batch"]] == [["ann"], ["ann"]]
    for one in waiting(four).values():
        four.ledger.approvals.approve(one.id, by="bob")
    four.run(None)
    assert paid(four) == [1, 2, 3, 4]


def test_a_role_is_asked_for_each_and_who_lacks_it_decides_the_others(four: Any) -> None:
    four.policy = Policy({"pay": [When(Ask(role="finance"), euros=Above(3)), "ask"]})
    four.start()
    left = four.question(four.answer({"decisions": [APPROVE] * 4}))
    assert (paid(four), asked(left)) == ([1, 2, 3], [4])
    assert "role finance" in left["action_requests"][0]["description"]


def test_one_that_expired_is_not_done_and_the_others_are(four: Any) -> None:
    four.policy = Policy({"pay": [When(Ask(hours=1e-9), euros=Above(3)), "ask"]})
    result = four.start()
    assert asked(four.question(result)) == [1, 2, 3]
    result = four.answer({"decisions": [APPROVE] * 3})
    assert paid(four) == [1, 2, 3]
    assert sorted(outcome["status"] for outcome in result["outcomes"]) == ["done", "done", "done", "expired"]


def test_what_cannot_be_undone_is_asked_one_by_one_unless_policy_says_otherwise(four: Any) -> None:
    four.change(risk="irreversible")
    assert asked(four.question(four.start())) == [1]


@pytest.mark.parametrize(("risk", "batch", "shown"), [("irreversible", True, 4), ("write", False, 1)])
def test_policy_says_whether_a_kind_is_asked_together(four: Any, risk: str, batch: bool, shown: int) -> None:
    four.change(risk=risk)
    four.policy = Policy({"pay": Ask(batch=batch)})
    assert len(asked(four.question(four.start()))) == shown


def test_the_policy_of_a_role_can_only_turn_it_off(four: Any) -> None:
    four.policies = {"clerk": Policy({"pay": Ask(batch=False)})}
    assert asked(four.question(four.start())) == [1]


def test_a_question_holds_so_many_at_most_and_the_others_wait(four: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signoff.graphs.approval.batch.MOST", 4)
    four.amounts = (1, 2, 3, 4, 5, 6)
    assert asked(four.question(four.start())) == [1, 2, 3, 4]
    assert asked(four.question(four.answer("approve all"))) == [5, 6]
    four.answer("approve all")
    assert four.ledger.runs.get("r-1").note == "pay done by whoever resumed the thread, 6 times"


def test_two_people_who_answer_at_once_decide_each_question_once(four: Any) -> None:
    four.amounts = tuple(range(1, 6))
    four.start()
    both = threading.Barrier(2)
    found = list(waiting(four).values())

    def decide(by: str, how: Any) -> None:
        both.wait()
        for one in found:
            with suppress(AlreadyDecided):  # the other one was faster
                how(one.id, by=by)

    threads = [
        threading.Thread(target=decide, args=("ann", four.ledger.approvals.approve)),
        threading.Thread(target=decide, args=("bob", four.ledger.approvals.reject)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    four.run(None)
    approved = [one.shown["euros"] for one in map(four.ledger.approvals.get, (one.id for one in found)) if one.args]
    assert sorted(paid(four)) == sorted(approved)
    assert four.ledger.audit.verify().entries


@pytest.mark.parametrize("after", [0, 2])
def test_a_process_that_dies_between_two_decisions_of_an_answer_loses_none_and_does_none_twice(
    four: Any, after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    four.start()
    approve, done = four.ledger.approvals.approve, list[str]()

    def die_after(approval_id: str, **how: Any) -> Approval:
        if len(done) == after:
            raise KeyboardInterrupt
        done.append(approval_id)
        decided: Approval = approve(approval_id, **how)
        return decided

    with monkeypatch.context() as patched:
        patched.setattr(four.ledger.approvals, "approve", die_after)
        with pytest.raises(KeyboardInterrupt):
            four.answer({"decisions": [APPROVE] * 4})
    assert len(done) == after
    four.run(None)
    assert paid(four) == [1, 2, 3, 4]


@pytest.mark.parametrize("after", [0, 2])
def test_a_process_that_dies_between_two_calls_of_a_batch_calls_none_twice(four: Any, after: int) -> None:
    def die() -> None:
        if len(four.paid) == after:
            four.before_paying = lambda: None
            raise KeyboardInterrupt

    four.before_paying = die
    four.change(idempotent=True)
    four.start()
    with pytest.raises(KeyboardInterrupt):
        four.answer("approve all")
    four.run(None)
    assert paid(four) == [1, 2, 3, 4]


def test_many_that_were_approved_are_called_a_few_for_each_step_and_each_once(office: Any) -> None:
    office.amounts = tuple(range(1, 41))
    office.start()
    graph = office.team.compile(checkpointer=office.saver)
    answer: Command[Any] = Command(resume={"decisions": [APPROVE] * 40})
    steps = [event["act"] for event in graph.stream(answer, office.config, stream_mode="updates") if "act" in event]
    assert paid(office) == list(range(1, 41))
    assert len(steps) < 20
    state = graph.get_state(office.config).values
    assert [one["status"] for one in state["outcomes"]] == ["done"] * 40
    assert len([message for message in state["messages"] if message.type == "tool"]) == 40


def test_one_that_fails_amid_many_is_told_and_the_others_are_called(office: Any) -> None:
    office.amounts = (1, 2, 3, 4, 5)
    office.start()

    def refuse() -> None:
        if len(office.paid) == 2 and not refused:
            refused.append(3)
            raise ActionFailed("pay", "the bank says no")

    refused: list[int] = []
    office.before_paying = refuse
    state = office.answer({"decisions": [APPROVE] * 5})
    assert paid(office) == [1, 2, 4, 5]
    assert [one["status"] for one in state["outcomes"]] == ["done", "done", "failed", "done", "done"]
