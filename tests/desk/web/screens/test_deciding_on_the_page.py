"""Deciding on the page: approve, edit, reject, answer, put off, several at once, and two people at once."""

import re
from pathlib import Path
from typing import Any

import pytest
from desk_pages import text_of


def sent() -> list[str]:
    return Path("sent.txt").read_text().splitlines() if Path("sent.txt").exists() else []


def test_what_is_approved_is_done_once_and_the_next_is_shown(desk: Any, ann: Any) -> None:
    run, (bob, cy) = desk.asked("write bob cy")
    said = ann.decide(bob.id, "approve")
    assert said.status_code == 303
    assert said.headers["location"] == f"/approvals/{cy.id}?done={bob.id}"
    assert "Approved by ann" in ann.shows(said.headers["location"])
    desk.context.background.wait(run.id, 60)
    assert sent() == ["bob: hello (1)"]
    assert ann.decide(cy.id, "approve").headers["location"] == f"/?done={cy.id}"
    assert ann.settle(run) == "done"
    assert sorted(sent()) == ["bob: hello (1)", "cy: hello (1)"]


def test_of_two_who_decide_the_first_counts_and_the_second_is_told_who_it_was(desk: Any, ann: Any) -> None:
    run, (asked,) = desk.asked("write bob")
    bea = desk.visit("bea")
    both = [(page, page.fields(f"/approvals/{asked.id}", "approve")) for page in (ann, bea)]
    codes = [page.post(f"/approvals/{asked.id}", **fields) for page, fields in both]
    assert [said.status_code for said in codes] == [303, 409]
    assert "already decided: approved by ann" in text_of(codes[1].text)
    assert "It was approved by ann" in text_of(codes[1].text)
    ann.settle(run)
    assert sent() == ["bob: hello (1)"]


def test_an_edit_changes_what_was_typed_and_nothing_else(desk: Any, ann: Any, home: Path) -> None:
    (home / "text.txt").write_text("one\r\ntwo\u200b\n\n")
    run, (asked,) = desk.asked("write bob")
    said = ann.decide(asked.id, "edit", **{"arg.copies": "3"})
    assert said.status_code == 303, text_of(said.text)
    now = desk.ledger.approvals.get(asked.id)
    assert now.args == {**asked.shown, "copies": 3}
    assert now.edited
    assert ann.settle(run) == "done"
    assert "Approved were other arguments than the proposed ones" in ann.shows(f"/approvals/{asked.id}")


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ({"arg.copies": "many"}, "copies"),
        ({"arg.copies": "[" * 9999}, "copies"),
        ({"arg.stamp": "red"}, "Nothing was changed"),
        ({}, "Nothing was changed"),
    ],
)
def test_an_edit_that_does_not_fit_decides_nothing_and_keeps_what_was_typed(
    desk: Any, ann: Any, typed: dict[str, str], why: str
) -> None:
    _, (asked,) = desk.asked("write bob")
    said = ann.decide(asked.id, "edit", **typed)
    assert said.status_code == 422
    assert why in text_of(said.text)
    assert all(value in said.text for name, value in typed.items() if name != "arg.stamp")
    assert desk.ledger.approvals.get(asked.id).status == "pending"


def test_a_reject_says_why(desk: Any, ann: Any) -> None:
    run, (asked,) = desk.asked("write bob")
    assert "Say why you reject it" in text_of(ann.decide(asked.id, "reject").text)
    assert desk.ledger.approvals.get(asked.id).status == "pending"
    assert ann.decide(asked.id, "reject", reason="not him").status_code == 303
    now = desk.ledger.approvals.get(asked.id)
    assert (now.status, now.decided_by, now.decision_reason) == ("rejected", "ann", "not him")
    ann.settle(run)
    assert sent() == []


def test_words_instead_of_a_decision_reach_the_agent(desk: Any, ann: Any) -> None:
    _, (asked,) = desk.asked("write bob")
    assert "Say what the agent is told" in text_of(ann.decide(asked.id, "respond").text)
    assert ann.decide(asked.id, "respond", reason="write to cy").status_code == 303
    assert desk.ledger.approvals.get(asked.id).status == "answered"


def test_a_question_is_answered_in_its_form_and_nobody_can_approve_it(desk: Any, ann: Any) -> None:
    run = desk.run("door", "asks")
    asked = run.asked
    path = f"/approvals/{asked.id}"
    fields = ann.fields(path, "respond")
    assert 'value="approve"' not in ann.get(path).text
    assert ann.post(path, **{**fields, "verb": "approve"}).status_code == 422
    assert ann.post(path, **fields).status_code == 422
    assert ann.post(path, **{**fields, "arg.answer": "the front door"}).status_code == 303
    now = desk.ledger.approvals.get(asked.id)
    assert (now.status, now.decision_reason) == ("answered", "the front door")


def test_an_approval_is_of_just_what_was_shown(desk: Any, ann: Any) -> None:
    _, (asked,) = desk.asked("write bob", "two")
    bea, cy = desk.visit("bea", "finance"), desk.visit("cy", "finance")
    path = f"/approvals/{asked.id}"
    seen = {verb: cy.fields(path, verb) for verb in ("approve", "edit", "reject")}
    assert bea.decide(asked.id, "edit", **{"arg.text": "dear Bob"}).status_code == 303
    for verb, fields in seen.items():
        said = cy.post(path, **{**fields, "reason": "no", "arg.copies": "2"})
        assert said.status_code == 409, verb
        assert "dear Bob" in said.text
    for digest in ("", "5"):
        assert cy.post(path, **{**cy.fields(path, "approve"), "sha256": digest}).status_code in (409, 422)
    assert [vote.name for vote in desk.ledger.approvals.get(asked.id).votes] == ["bea"]


def test_who_may_not_decide_is_told_why_before_and_after(desk: Any, ann: Any) -> None:
    _, (asked,) = desk.asked("write bob", "two")
    shown = ann.get(f"/approvals/{asked.id}")
    assert "disabled" in shown.text
    assert "You cannot approve it: role finance is asked for, and ann has no role." in text_of(shown.text)
    said = ann.decide(asked.id, "approve")
    assert said.status_code == 403
    assert desk.ledger.approvals.get(asked.id).votes == ()


def test_what_expired_is_refused_and_says_so(desk: Any, ann: Any) -> None:
    _, (asked,) = desk.asked("write bob")
    fields = ann.fields(f"/approvals/{asked.id}", "approve")
    with desk.ledger.write() as connection:
        from sqlalchemy import update

        from signoff.checkpoints.ledger.schema import approvals

        over = "2026-01-01T00:00:00.000000Z"
        connection.execute(update(approvals).where(approvals.c.id == asked.id).values(expires_at=over))
    assert "Nothing waits for you." in ann.shows("/")
    said = ann.post(f"/approvals/{asked.id}", **fields)
    assert said.status_code == 409
    assert "Nobody decided it in time. That counts as a refusal" in text_of(said.text)
    assert "expired" in ann.shows("/?tab=decided")
    assert sent() == []


def test_what_is_put_off_is_gone_from_mine_alone_and_decided_all_the_same(desk: Any, ann: Any) -> None:
    _, (asked,) = desk.asked("write bob")
    bea = desk.visit("bea")
    path = f"/approvals/{asked.id}/snooze"
    assert ann.post(path, csrf=ann.csrf, hours="2").status_code == 422
    assert ann.post(path, csrf=ann.csrf, hours="24").headers["location"] == "/"
    assert "Nothing waits for you." in ann.shows("/")
    assert "put off until" in ann.shows("/?tab=snoozed")
    assert "Post letter" in bea.shows("/")
    ann.post(path, csrf=ann.csrf, hours="")
    assert "Post letter" in ann.shows("/")
    assert desk.ledger.approvals.get(asked.id).status == "pending"


def test_several_of_one_kind_are_decided_item_by_item(desk: Any, ann: Any) -> None:
    run, (bob, cy, dee, eve) = desk.asked("write bob cy dee eve")
    path = f"/batches/{bob.id}"
    assert "It is one of 4 of its kind that wait together." in ann.shows(f"/approvals/{bob.id}")
    assert "Choose some of them" in text_of(ann.post(path, csrf=ann.csrf, verb="approve").text)
    ann.context.ledger.approvals.reject(cy.id, by="bea", reason="no")
    chosen = {f"item.{one.id}": one.shown_sha256 for one in (bob, cy)} | {f"item.{dee.id}": "0" * 64}
    said = text_of(ann.post(path, csrf=ann.csrf, verb="approve", **chosen).text)
    for part in ("approved", "already decided: rejected by bea", "is not about what you saw"):
        assert part in said
    assert [desk.ledger.approvals.get(one.id).status for one in (bob, cy, dee, eve)] == [
        "approved",
        "rejected",
        "pending",
        "pending",
    ]
    ann.settle(run)
    rest = {f"item.{one.id}": one.shown_sha256 for one in (dee, eve)}
    assert ann.post(f"/batches/{dee.id}", csrf=ann.csrf, verb="reject", **rest).status_code == 422
    assert "rejected" in text_of(ann.post(f"/batches/{dee.id}", csrf=ann.csrf, verb="reject", reason="no", **rest).text)
    ann.settle(run)
    assert sent() == ["bob: hello (1)"]


def test_of_many_of_one_kind_as_many_stand_side_by_side_as_a_page_reads_and_then_the_rest(desk: Any, ann: Any) -> None:
    run, (first, *_) = desk.asked("write " + " ".join(f"person{number}" for number in range(22)))
    path = f"/batches/{first.id}"
    html = ann.get(path).text
    assert html.count("data-item") == 20
    assert "More of its kind wait." in html
    chosen = dict(re.findall(r'name="(item\.[^"]+)" value="([^"]+)"', html))
    said = ann.post(path, csrf=ann.csrf, verb="reject", reason="no", **chosen).text
    assert (said.count(": rejected</li>"), said.count("data-item"), "More of its kind" in said) == (20, 2, False)
    assert len(desk.ledger.approvals.pending(run.id)) == 2


def test_what_carries_a_warning_is_not_decided_among_others_whatever_a_form_says(desk: Any, ann: Any) -> None:
    run, asked = desk.asked("write bob cy p\u0430ypal.com")
    (odd,) = [one for one in asked if one.shown["to"] not in ("bob", "cy")]
    bob, cy = (one for one in asked if one != odd)
    for first, beside in ((bob, odd), (odd, cy)):
        chosen = {f"item.{one.id}": one.shown_sha256 for one in (first, beside)}
        said = ann.post(f"/batches/{first.id}", csrf=ann.csrf, verb="approve", **chosen)
        assert f"{odd.id} is not one question with the others" in text_of(said.text)
    ann.settle(run)
    assert [desk.ledger.approvals.get(one.id).status for one in (bob, cy, odd)] == ["approved", "approved", "pending"]


def test_a_batch_takes_in_nothing_of_another_run(desk: Any, ann: Any) -> None:
    _, (bob, _) = desk.asked("write bob cy")
    _, (other,) = desk.asked("write dee")
    said = ann.post(f"/batches/{bob.id}", csrf=ann.csrf, verb="approve", **{f"item.{other.id}": other.shown_sha256})
    assert "is of another run" in text_of(said.text)
    assert desk.ledger.approvals.get(other.id).status == "pending"


def test_an_approval_that_is_not_there_keeps_no_other_of_a_batch_from_being_told(desk: Any, ann: Any) -> None:
    run, (bob, _) = desk.asked("write bob cy")
    chosen = {"item.a-none": "0" * 64, f"item.{bob.id}": bob.shown_sha256}
    said = ann.post(f"/batches/{bob.id}", csrf=ann.csrf, verb="approve", **chosen)
    assert said.status_code == 200
    assert "a-none" in text_of(said.text)
    assert desk.ledger.approvals.get(bob.id).status == "approved"
    desk.context.background.wait(run.id, 60)
    assert sent() == ["bob: hello (1)"]


def test_an_approval_is_taken_back_until_it_is_called(desk: Any, ann: Any) -> None:
    _, (asked,) = desk.asked("write bob")
    desk.ledger.approvals.approve(asked.id, by="ann", sha256=asked.shown_sha256)
    assert ann.decide(asked.id, "revoke", reason="a mistake").status_code == 303
    assert desk.ledger.approvals.get(asked.id).status == "revoked"


def test_a_run_of_another_program_is_decided_and_left_to_it(desk: Any, ann: Any) -> None:
    from signoff import Run
    from signoff.graphs.teams import load_team
    from signoff.settings import load_settings

    team = load_team("office.py:team", load_settings()).team
    from dataclasses import replace

    run = Run.start(replace(team, options={}), "write bob", settings=load_settings())
    asked = run.asked
    assert "Shown without what its team would add" in ann.shows(f"/approvals/{asked.id}")
    assert ann.decide(asked.id, "approve").status_code == 303
    assert desk.ledger.approvals.get(asked.id).status == "approved"
    assert (run.status, sent()) == ("waiting", [])


def test_the_page_decides_by_the_same_function_as_the_command_line() -> None:
    from signoff.desk import deciding
    from signoff.desk.cli import decide
    from signoff.desk.web.screens import approval_pages

    found = [getattr(module, "record_verdict", None) for module in (deciding, decide, approval_pages)]
    assert found == [deciding.record_verdict] * 3
