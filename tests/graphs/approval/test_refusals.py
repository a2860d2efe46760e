"""What an agent hears when a person says no, and what it can do then."""

from typing import Any

import pytest

APPROVE = {"decisions": [{"type": "approve"}]}


def reject(reason: str) -> dict[str, Any]:
    return {"decisions": [{"type": "reject", "message": reason}]}


def test_an_agent_hears_why_and_may_propose_otherwise(office: Any) -> None:
    office.learn = lambda notes: (4,) if "too much" in notes[0] else None
    office.start()
    asked = office.question(office.answer(reject("too much")))
    assert office.worked == [(), ("pay was rejected by whoever resumed the thread: too much",)]
    assert asked["action_requests"][0]["args"]["euros"] == 4
    result = office.answer(APPROVE)
    assert [euros for _, euros, _ in office.paid] == [4]
    assert result["run"]["ended"] == "done"


def test_what_was_rejected_is_not_asked_again(office: Any) -> None:
    office.start()
    result = office.answer(reject("never"))
    assert "__interrupt__" not in result
    assert [outcome["status"] for outcome in result["outcomes"]] == ["rejected", "denied"]
    assert "rejected before by whoever resumed the thread: never" in result["outcomes"][1]["detail"]
    assert (office.paid, result["run"]["ended"]) == ([], "stopped")


def test_an_agent_that_fails_when_it_hears_why_is_named_by_the_run_that_stops(office: Any) -> None:
    office.learn = lambda _notes: (1 // 0,)
    office.start()
    result = office.answer(reject("too much"))
    assert (office.paid, result["run"]["ended"]) == ([], "stopped")
    told = result["messages"][-1].content
    assert told.startswith("pay rejected by whoever resumed the thread: too much"), told
    assert "clerk failed: ZeroDivisionError" in told


def test_without_a_reason_there_is_nothing_to_hear(office: Any) -> None:
    office.start()
    result = office.answer({"decisions": [{"type": "reject"}]})
    assert (office.worked, result["run"]["ended"]) == ([()], "stopped")


def test_each_refusal_is_heard_once(office: Any) -> None:
    amounts = iter([(4,), (3,)])
    office.learn = lambda notes: next(amounts, None)
    office.start()
    office.answer(reject("less"))
    office.answer(reject("still less"))
    office.answer({"decisions": [{"type": "reject"}]})
    assert [len(notes) for notes in office.worked] == [0, 1, 1]
    assert "still less" in office.worked[2][0]


def test_a_response_in_words_is_heard_and_the_same_may_be_asked_again(office: Any) -> None:
    office.start()
    result = office.answer({"decisions": [{"type": "respond", "message": "is it due?"}]})
    assert "answered by whoever resumed the thread: is it due?" in office.worked[1][0]
    assert office.question(result)["action_requests"][0]["args"]["euros"] == 5
    assert office.paid == []
    office.answer(APPROVE)
    assert len(office.paid) == 1


def test_endless_refusals_end_at_the_turn_limit(office: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_MAX_TURNS", "4")
    office.learn = lambda notes: (len(office.worked) + 10,)
    office.start()
    for _ in range(6):
        result = office.answer(reject("other"))
        if "__interrupt__" not in result:
            break
    assert len(office.worked) == 4
    assert result["run"]["ended"] == "stopped"


def test_the_teams_own_questions_are_not_answered_with_words(office: Any) -> None:
    def break_off() -> None:
        raise ConnectionError("the line dropped")

    office.after_paying = break_off
    office.start()
    office.answer(APPROVE)
    again = office.question(office.answer({"decisions": [{"type": "respond", "message": "no idea"}]}))
    assert "Words do not answer this" in again["action_requests"][0]["description"]


def test_what_did_not_happen_need_not_be_called_again(office: Any) -> None:
    def break_off() -> None:
        raise ConnectionError("the line dropped")

    office.before_paying = break_off
    office.start()
    question = office.question(office.answer(APPROVE))
    args = {**question["action_requests"][0]["args"], "happened": "no", "retry": False}
    edit = {"type": "edit", "edited_action": {"name": "settle_outcome", "args": args}}
    result = office.answer({"decisions": [edit]})
    assert [outcome["status"] for outcome in result["outcomes"] if outcome["action"] == "pay"] == ["failed"]
    assert office.paid == []


def test_what_nobody_settled_is_given_up_when_another_goal_comes(office: Any) -> None:
    def break_off() -> None:
        raise ConnectionError("the line dropped")

    office.after_paying = break_off
    office.start()
    office.answer(APPROVE)
    office.amounts = ()
    office.run({"goal": "something else"})
    (effect,) = office.ledger.effects.of_run("r-1")
    assert (effect.status, office.ledger.approvals.pending("r-1")) == ("abandoned", [])
    assert "another goal" in effect.error
