"""What is known of an interrupted call may be out of date: a look or an answer from before another call is refused."""

from contextlib import suppress
from typing import Any

import pytest

from signoff.errors import RunBusy
from signoff.graphs.nodes.act import perform

APPROVE = {"decisions": [{"type": "approve"}]}


def break_off() -> None:
    raise KeyboardInterrupt


def not_yet(office: Any, *, retry: bool = True) -> dict[str, Any]:
    """The answer that it did not happen."""
    asked = office.ledger.approvals.pending("r-1")[0]
    args = {**asked.shown, "happened": "no", "retry": retry}
    return {"decisions": [{"type": "edit", "edited_action": {"name": "settle_outcome", "args": args}}]}


def before_settling(office: Any) -> Any:
    """The checkpoint from which the act node writes what the person found out."""
    graph = office.team.compile(checkpointer=office.saver)
    history = graph.get_state_history(office.config)
    return next(past.config for past in history if past.next == ("act",) and past.values["proposals"][0]["by"] == "act")


def replay(office: Any, config: Any) -> Any:
    return office.team.compile(checkpointer=office.saver).invoke(None, config)


def test_an_answer_that_it_did_not_happen_does_not_count_while_it_is_called_again(in_doubt: Any) -> None:
    tried = []

    def meanwhile() -> None:
        """Somebody else resumes from where the answer was given."""
        in_doubt.before_paying = lambda: None
        with pytest.raises(RunBusy):
            replay(in_doubt, before_settling(in_doubt))
        tried.append(len(in_doubt.paid))

    in_doubt.before_paying = meanwhile
    in_doubt.answer(not_yet(in_doubt))
    assert tried == [0]
    assert len(in_doubt.paid) == 1


def test_an_answer_that_it_did_not_happen_counts_for_one_more_call(in_doubt: Any) -> None:
    in_doubt.after_paying = break_off
    with pytest.raises(KeyboardInterrupt):
        in_doubt.answer(not_yet(in_doubt))
    in_doubt.after_paying = lambda: None
    assert len(in_doubt.paid) == 1
    replay(in_doubt, before_settling(in_doubt))
    assert len(in_doubt.paid) == 1
    assert [asked.action for asked in in_doubt.ledger.approvals.pending("r-1")] == ["settle_outcome"]


def test_a_payment_that_is_not_to_be_tried_again_never_is(in_doubt: Any) -> None:
    in_doubt.answer(not_yet(in_doubt, retry=False))
    config = before_settling(in_doubt)
    for _ in range(3):
        replay(in_doubt, config)
    assert in_doubt.paid == []
    assert [effect.status for effect in in_doubt.ledger.effects.of_run("r-1")] == ["failed"]


def test_a_look_from_before_another_call_does_not_have_it_called_again(in_doubt: Any) -> None:
    (effect,) = in_doubt.ledger.effects.of_run("r-1")
    approval = in_doubt.ledger.approvals.get(effect.approval_id)
    looks = []

    def look(payment: Any, key: str) -> Any:
        """The first finds nothing; before it says so, somebody else looks, pays, and cannot tell."""
        looks.append(len(in_doubt.paid))
        if looks == [0]:
            perform(in_doubt.ledger, approval, in_doubt.action)
            return None
        if len(looks) == 2:
            return None
        raise ConnectionError("the bank is closed")

    in_doubt.change(reconcile=look)
    in_doubt.after_paying = in_doubt.drop_the_line
    with suppress(RunBusy):  # it may be told that somebody was faster
        perform(in_doubt.ledger, approval, in_doubt.action)
    assert looks[:2] == [0, 0]
    assert len(in_doubt.paid) == 1
    assert [effect.status for effect in in_doubt.ledger.effects.of_run("r-1")] == ["unknown"]


def test_a_look_that_fails_does_not_take_away_the_claim_of_a_call_that_goes_on(in_doubt: Any) -> None:
    (effect,) = in_doubt.ledger.effects.of_run("r-1")
    approval = in_doubt.ledger.approvals.get(effect.approval_id)
    refused = []

    def meanwhile() -> None:
        in_doubt.before_paying = lambda: None
        raise_later.append(True)
        with pytest.raises(RunBusy):
            perform(in_doubt.ledger, approval, in_doubt.action)
        refused.append(True)

    raise_later: list[bool] = []

    def look(payment: Any, key: str) -> Any:
        if raise_later:
            raise ConnectionError("the bank is closed")
        return None

    in_doubt.change(reconcile=look)
    in_doubt.before_paying = meanwhile
    perform(in_doubt.ledger, approval, in_doubt.action)
    assert refused == [True]
    assert len(in_doubt.paid) == 1
