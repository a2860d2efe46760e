"""Who may decide: roles, several people, somebody else than the requester, another role after a while."""

from typing import Any

import pytest

from signoff import Ask, Policy, Rate
from signoff.errors import AlreadyDecided, BadName, NotAllowed

APPROVE = {"decisions": [{"type": "approve"}]}


def asked(office: Any, rule: Any) -> str:
    """Id of the approval that the office waits for under this rule."""
    office.policy = Policy({"pay": rule})
    question = office.question(office.start())
    return str(question["approval_id"])


def with_caller(office: Any, name: str | None, *permissions: str, given: Any = APPROVE) -> dict[str, Any]:
    """An answer that LangGraph Server passes on for somebody it has authenticated; None: it asked nobody."""
    office.config["configurable"] |= {
        "langgraph_auth_user": None if name is None else {"identity": name},
        "langgraph_auth_user_id": name or "",
        "langgraph_auth_permissions": list(permissions),
    }
    result: dict[str, Any] = office.answer(given)
    return result


def test_only_somebody_with_the_role_may_approve_or_reject(office: Any) -> None:
    approval = asked(office, Ask(role="finance"))
    office.ledger.people.give("bea", "finance", by="admin")
    for decide in (office.ledger.approvals.approve, office.ledger.approvals.reject):
        with pytest.raises(NotAllowed, match="role finance is asked for, and ann has no role"):
            decide(approval, by="ann")
    assert office.ledger.approvals.get(approval).status == "pending"
    office.ledger.approvals.approve(approval, by="bea")
    office.run(None)
    assert len(office.paid) == 1


def test_whom_the_server_calls_the_user_decides_whatever_a_client_says_of_itself(office: Any) -> None:
    class User:
        identity, permissions = "mallory", ("guest",)

    approval = asked(office, Ask(role="finance"))
    for user in ({"identity": "mallory", "permissions": []}, User()):
        office.config["configurable"] |= {"langgraph_auth_user": user}  # Aegra lets its clients say the other two
        office.config["configurable"] |= {"langgraph_auth_user_id": "bea", "langgraph_auth_permissions": ["finance"]}
        again = office.question(office.answer(APPROVE))
        assert "mallory" in again["action_requests"][0]["description"]
    assert office.ledger.approvals.get(approval).status == "pending"
    office.config["configurable"] |= {"langgraph_auth_user": {"identity": "bea", "permissions": ["finance"]}}
    office.answer(APPROVE)
    assert len(office.paid) == 1


def test_a_refused_decision_is_in_the_audit_log(office: Any) -> None:
    approval = asked(office, Ask(role="finance"))
    with pytest.raises(NotAllowed):
        office.ledger.approvals.approve(approval, by="eve")
    (entry,) = [entry for entry in office.ledger.audit.entries("r-1") if entry.event == "refused"]
    assert (entry.body["approval"], entry.body["by"]) == (approval, "eve")


def test_a_role_that_was_taken_away_decides_nothing_any_more(office: Any) -> None:
    office.ledger.people.give("bea", "finance", by="admin")
    approval = asked(office, Ask(role="finance"))
    office.ledger.people.take("bea", "finance", by="admin")
    with pytest.raises(NotAllowed):
        office.ledger.approvals.approve(approval, by="bea")


def test_an_answer_from_nobody_knows_who_never_stands_for_a_role(office: Any) -> None:
    asked(office, Ask(role="finance"))
    again = office.question(office.answer(APPROVE))
    assert "nobody knows who answered" in again["action_requests"][0]["description"]
    again = office.question(with_caller(office, None, "finance"))
    assert "nobody knows who answered" in again["action_requests"][0]["description"]
    assert office.paid == []


def test_the_permissions_that_a_server_vouches_for_are_roles(office: Any) -> None:
    asked(office, Ask(role="finance"))
    again = office.question(with_caller(office, "ann", "sales"))
    assert "ann has sales" in again["action_requests"][0]["description"]
    result = with_caller(office, "bea", "finance")
    assert result["outcomes"][0]["by"] == "bea"
    assert len(office.paid) == 1


def test_two_people_must_agree_where_two_are_asked_for(office: Any) -> None:
    approval = asked(office, Ask(quorum=2))
    first = office.ledger.approvals.approve(approval, by="ann")
    assert (first.status, [vote.name for vote in first.votes]) == ("pending", ["ann"])
    assert office.ledger.approvals.approve(approval, by="ann").status == "pending"
    assert office.ledger.approvals.approve(approval, by="bea").decided_by == "ann, bea"
    office.run(None)
    assert len(office.paid) == 1


def test_two_answers_through_the_graph_are_two_votes(office: Any) -> None:
    asked(office, Ask(quorum=2))
    again = office.question(with_caller(office, "ann"))
    assert again["agreed"] == ["ann"]
    assert "Agreed so far: ann" in again["action_requests"][0]["description"]
    again = office.question(with_caller(office, "ann"))
    assert again["agreed"] == ["ann"]
    assert office.paid == []
    with_caller(office, "bea")
    assert len(office.paid) == 1


def test_one_of_two_can_reject(office: Any) -> None:
    approval = asked(office, Ask(quorum=2))
    office.ledger.approvals.approve(approval, by="ann")
    office.ledger.approvals.reject(approval, by="bea", reason="no")
    office.run(None)
    assert office.paid == []


def test_who_agreed_to_other_arguments_does_not_count(office: Any) -> None:
    approval = asked(office, Ask(quorum=2))
    office.ledger.approvals.approve(approval, by="ann")
    edited = office.ledger.approvals.approve(approval, by="bea", args={"to": "ann", "euros": 3})
    assert (edited.status, [vote.name for vote in edited.votes], edited.shown["euros"]) == ("pending", ["bea"], 3)
    office.ledger.approvals.approve(approval, by="ann")
    office.run(None)
    assert [euros for _, euros, _ in office.paid] == [3]


def test_an_answer_to_what_was_shown_before_an_edit_does_not_count(office: Any) -> None:
    approval = asked(office, Ask(quorum=2))
    office.ledger.approvals.approve(approval, by="bea", args={"to": "eve", "euros": 3})
    again = office.question(with_caller(office, "ann"))
    assert "were edited" in again["action_requests"][0]["description"]
    assert again["action_requests"][0]["args"] == {"to": "eve", "euros": 3}
    assert office.paid == []
    with_caller(office, "ann")
    assert [(to, euros) for to, euros, _ in office.paid] == [("eve", 3)]


def test_the_requester_may_not_approve_where_four_eyes_are_asked_for(office: Any) -> None:
    office.config["configurable"]["langgraph_auth_user_id"] = "ann"
    approval = asked(office, Ask(four_eyes=True))
    with pytest.raises(NotAllowed, match="ann is the requester"):
        office.ledger.approvals.approve(approval, by="ann")
    with pytest.raises(NotAllowed, match="ann is the requester"):
        office.ledger.approvals.approve(approval, by=" ann ")
    office.ledger.approvals.approve(approval, by="bea")


def test_the_requester_may_reject_where_four_eyes_are_asked_for(office: Any) -> None:
    office.config["configurable"]["langgraph_auth_user_id"] = "ann"
    office.ledger.approvals.reject(asked(office, Ask(four_eyes=True)), by="ann")


def test_where_nobody_knows_the_requester_four_eyes_are_a_denial(office: Any) -> None:
    office.policy = Policy({"pay": Ask(four_eyes=True)})
    result = office.start()
    assert (result["outcomes"][0]["status"], office.paid) == ("denied", [])
    assert "nobody knows who asked for this run" in result["outcomes"][0]["detail"]


def test_whose_a_run_is_the_ledger_says_where_a_server_tells_the_name_alone(office: Any) -> None:
    office.ledger.people.give("zed", "tenant:zeta", by="admin")
    office.policy = Policy({"pay": "ask"})
    office.config["configurable"] |= {"langgraph_auth_user": {"identity": "zed"}, "langgraph_auth_permissions": []}
    office.start()
    run = office.ledger.runs.get("r-1")
    assert (run.requested_by, run.tenant) == ("zed", "zeta")


def test_another_role_may_decide_once_it_has_waited_long_enough(office: Any) -> None:
    office.ledger.people.give("dan", "director", by="admin")
    late = asked(office, Ask(role="finance", escalate_to="director", escalate_hours=1e-9))
    assert office.ledger.approvals.approve(late, by="dan").status == "approved"
    events = [entry.event for entry in office.ledger.audit.entries("r-1")]
    assert events.index("escalated") < events.index("approved")


def test_another_role_may_not_decide_before(office: Any) -> None:
    office.ledger.people.give("dan", "director", by="admin")
    early = asked(office, Ask(role="finance", escalate_to="director", escalate_hours=5))
    with pytest.raises(NotAllowed, match="or director after 5 h"):
        office.ledger.approvals.approve(early, by="dan")
    assert "escalated" not in [entry.event for entry in office.ledger.audit.entries("r-1")]


def test_an_approval_can_be_taken_back_until_its_action_is_called(office: Any) -> None:
    approval = asked(office, "ask")
    office.ledger.approvals.approve(approval, by="ann")
    office.ledger.approvals.revoke(approval, by="ann", reason="wrong account")
    result = office.run(None)
    assert (office.paid, result["outcomes"][0]["status"]) == ([], "revoked")
    with pytest.raises(AlreadyDecided, match="revoked by ann"):
        office.ledger.approvals.approve(approval, by="bea")


def test_an_approval_cannot_be_taken_back_once_its_action_was_called(office: Any) -> None:
    approval = asked(office, "ask")
    office.answer(APPROVE)
    with pytest.raises(AlreadyDecided, match="was called"):
        office.ledger.approvals.revoke(approval, by="ann")


def test_who_could_not_decide_it_cannot_take_it_back(office: Any) -> None:
    office.ledger.people.give("bea", "finance", by="admin")
    approval = asked(office, Ask(role="finance"))
    office.ledger.approvals.approve(approval, by="bea")
    with pytest.raises(NotAllowed):
        office.ledger.approvals.revoke(approval, by="eve")
    assert office.ledger.approvals.get(approval).status == "approved"


def test_nobody_can_call_themselves_policy(office: Any) -> None:
    approval = asked(office, "ask")
    with pytest.raises(BadName):
        office.ledger.approvals.approve(approval, by="policy")


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 201])
def test_a_role_goes_to_somebody_with_a_name(office: Any, name: str) -> None:
    with pytest.raises(BadName):
        office.ledger.people.give(name, "finance", by="admin")
    assert office.ledger.people.list() == {}


def test_what_happened_is_for_those_to_say_who_could_approve_it(office: Any) -> None:
    office.ledger.people.give("bea", "finance", by="admin")
    approval = asked(office, Ask(role="finance"))
    office.ledger.approvals.approve(approval, by="bea")

    def break_off() -> None:
        raise ConnectionError("the line dropped")

    office.after_paying = break_off
    question = office.question(office.run(None))
    assert question["action_requests"][0]["name"] == "settle_outcome"
    with pytest.raises(NotAllowed, match="role finance"):
        office.ledger.approvals.approve(question["approval_id"], by="eve")


@pytest.mark.parametrize("requester", ["ann", " ann", "ANN", "a\u0301nn"])
def test_a_requester_under_another_spelling_is_the_requester(office: Any, requester: str) -> None:
    office.config["configurable"]["langgraph_auth_user_id"] = requester
    approval = asked(office, Ask(four_eyes=True))
    with pytest.raises(NotAllowed, match="is the requester"):
        office.ledger.approvals.approve(approval, by="\u00e1nn" if "\u0301" in requester else "Ann ")


@pytest.mark.parametrize("name", ["ann\0", "ann\u200b", "ann\n  goal: nothing", "x, ann", "\ud800", "x" * 201])
def test_a_name_that_could_pass_for_another_is_none(office: Any, name: str) -> None:
    approval = asked(office, Ask(quorum=2))
    with pytest.raises(BadName):
        office.ledger.approvals.approve(approval, by=name)


def test_somebody_who_lost_the_role_no_longer_counts(office: Any) -> None:
    for name in ("ann", "bob", "cid"):
        office.ledger.people.give(name, "finance", by="admin")
    approval = asked(office, Ask(role="finance", quorum=2))
    office.ledger.approvals.approve(approval, by="ann")
    office.ledger.people.take("ann", "finance", by="admin")
    assert office.ledger.approvals.approve(approval, by="bob").status == "pending"
    assert office.ledger.approvals.approve(approval, by="cid").decided_by == "bob, cid"


def test_who_voted_in_other_capitals_is_one_person(office: Any) -> None:
    approval = asked(office, Ask(quorum=2))
    office.ledger.approvals.approve(approval, by="ann")
    assert office.ledger.approvals.approve(approval, by="Ann").status == "pending"


def test_an_approval_taken_back_at_the_last_moment_is_not_carried_out(
    office: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = office.ledger.effects.claim

    def revoke_first(approval: Any, *, owner: str) -> Any:
        office.ledger.approvals.revoke(approval.id, by="ann")
        return claim(approval, owner=owner)

    approval = asked(office, "ask")
    office.ledger.approvals.approve(approval, by="ann")
    monkeypatch.setattr(office.ledger.effects, "claim", revoke_first)
    result = office.run(None)
    assert (office.paid, result["outcomes"][0]["status"]) == ([], "revoked")


def test_a_cap_holds_for_what_was_asked_about_side_by_side(office: Any) -> None:
    office.amounts = (1, 2)
    office.policy = Policy({"pay": "ask"}, rate=Rate(1, then="deny"))
    office.start()
    first = office.ledger.approvals.pending("r-1")
    for approval in first:
        office.ledger.approvals.approve(approval.id, by="ann")
    result = office.run(None)
    assert len(office.paid) == 1
    assert [outcome["status"] for outcome in result["outcomes"]] == ["done", "denied"]


@pytest.mark.parametrize("then", ["ask", "deny"])
def test_actions_beyond_the_rate_are_not_just_allowed(office: Any, then: Any) -> None:
    office.amounts = (1, 2, 3)
    office.policy = Policy({"pay": "allow"}, rate=Rate(2, then=then))
    result = office.start()
    assert len(office.paid) == 2
    assert ("__interrupt__" in result) == (then == "ask")
