"""What the screens show: of whom, how much, and what stands there when there is nothing."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from desk_pages import EVIL, text_of
from sqlalchemy import insert, text

from signoff import Run
from signoff.checkpoints.ledger import Person
from signoff.checkpoints.ledger.schema import approvals, proposals, runs
from signoff.settings import load_settings


def test_the_inbox_says_what_is_asked_in_words_by_whom_and_since_when(desk: Any, ann: Any) -> None:
    assert "Nothing waits for you." in ann.shows("/")
    run, (asked, *_) = desk.asked("write bob")
    shown = ann.shows("/")
    for part in ("external", "Post letter to bob, stamp blue", "clerk for: write bob", run.id, "anybody"):
        assert part in shown
    assert f'href="/approvals/{asked.id}"' in ann.get("/").text
    ann.decide(asked.id, "reject", reason="no")
    desk.context.background.wait(run.id, 60)
    assert "The last decision: Post letter to bob, stamp blue , rejected by ann" in ann.shows("/")
    assert "rejected" in ann.shows("/?tab=decided")


def test_mine_is_what_a_person_may_decide_and_has_not_agreed_to(desk: Any, ann: Any) -> None:
    _, (asked, *_) = desk.asked("write bob", "two")
    bea, cy = desk.visit("bea", "finance"), desk.visit("cy", "finance")
    assert "Nothing waits for you." in ann.shows("/")
    assert "not you: role finance is asked for, and ann has no role" in ann.shows("/?tab=all")
    assert "0 of 2 role finance" in bea.shows("/")
    assert bea.decide(asked.id, "approve").headers["location"] == f"/?done={asked.id}"
    assert "Nothing waits for you." in bea.shows("/")
    assert "1 of 2" in cy.shows("/")
    assert "agreed: bea" in cy.shows(f"/approvals/{asked.id}")


def test_one_approval_shows_all_that_is_decided_about_with_hidden_characters_written_out(
    desk: Any, ann: Any, home: Path
) -> None:
    (home / "text.txt").write_text("pay\u200b \u202eann")
    _, (asked, *_) = desk.asked("write bob")
    html = ann.get(f"/approvals/{asked.id}").text
    assert html.count('<mark class="unseen">&lt;U+200B&gt;</mark>') >= 2
    assert not re.search("[\u200b\u202e]", html)
    shown = text_of(html)
    for part in (
        "clerk proposes post_letter.",
        "they asked for it",
        "Posts a letter.",
        asked.shown_sha256,
        "It is called once, with exactly these arguments.",
        "policy",
        "asked",
        "expires",
        "put it off",
    ):
        assert part in shown


def test_a_text_of_several_lines_is_shown_in_lines_and_exactly_as_well(desk: Any, ann: Any, home: Path) -> None:
    (home / "text.txt").write_text("dear Bob,\n\n- no *markup*\n")
    _, (asked, *_) = desk.asked("write bob")
    for path in (f"/approvals/{asked.id}", f"/batches/{asked.id}"):
        html = ann.get(path).text
        assert "<dt>text</dt><dd>dear Bob,\n\n- no *markup*\n</dd>" in html, path
        assert "Posts a letter." in html, path
    assert '"text": "dear Bob,\\n\\n- no *markup*\\n"' in unescape(ann.get(f"/approvals/{asked.id}").text)


def test_what_agents_say_is_never_markup(desk: Any, ann: Any, home: Path) -> None:
    (home / "text.txt").write_text(EVIL)
    run, (asked, *_) = desk.asked(f"write {EVIL.replace(' ', '/')}")
    for path in ("/", f"/approvals/{asked.id}", f"/batches/{asked.id}", "/runs", f"/runs/{run.id}"):
        html = ann.get(path).text
        assert "evil" in html, path
        assert not re.search(r"<(b|img|script)[^>]*evil", html), path
        assert all("hx-nonce=" in tag for tag in re.findall(r"<[^>]*\shx-[a-z:-]+=[^>]*>", html)), path


def test_a_page_says_when_somebody_else_decided_and_when_its_question_was_edited(desk: Any, ann: Any) -> None:
    _, (asked, *_) = desk.asked("write bob", "two")
    path, part = f"/approvals/{asked.id}", {"hx-request": "true"}
    before = ann.get(path, **part)
    assert before.status_code == 200
    assert ann.get(path, **part, **{"hx-ptag": before.headers["hx-ptag"]}).status_code == 304
    bea = desk.visit("bea", "finance")
    bea.decide(asked.id, "edit", **{"arg.text": "dear Bob"})
    now = ann.get(path, **part, **{"hx-ptag": before.headers["hx-ptag"]})
    assert now.status_code == 200
    assert asked.shown_sha256 not in now.text
    assert "What was edited since it was proposed" in ann.shows(path)
    assert '<span class="added">+text: dear Bob</span>' in ann.get(path).text
    desk.visit("cy", "finance").decide(asked.id, "reject", reason="no")
    assert "data-over" in ann.get(path, **part).text
    assert "It was rejected by cy : no" in ann.shows(path)


def test_a_list_that_did_not_change_is_not_sent_again(desk: Any, ann: Any) -> None:
    desk.asked("write bob")
    for path in ("/", "/runs"):
        first = ann.get(path, **{"hx-request": "true"})
        assert "<html" not in first.text
        assert ann.get(path, **{"hx-request": "true", "hx-ptag": first.headers["hx-ptag"]}).status_code == 304
    desk.asked("write cy")
    assert ann.get("/", **{"hx-request": "true", "hx-ptag": first.headers["hx-ptag"]}).status_code == 200


def test_lists_are_filtered_by_what_stands_in_them_and_by_what_does_not(desk: Any, ann: Any) -> None:
    desk.asked("write bob")
    desk.run("door", "asks")
    assert "Post letter" in ann.shows("/?team=post")
    assert "Which door?" not in ann.shows("/?team=post")
    assert "Post letter" not in ann.shows("/?team=!post")
    assert "Which door?" in ann.shows("/?risk=question")
    assert "No runs here." in ann.shows("/runs?status=failed")


def test_what_is_not_there_says_so(ann: Any) -> None:
    for path in ("/nowhere", "/approvals/a-0000000000", "/runs/r-00000000", "/approvals/r-1", "/batches/a-00000000"):
        found = ann.get(path)
        assert found.status_code == 404, path
        assert "That did not work" in found.text
        assert 'href="/runs"' in found.text, "whoever is signed in finds the way back"


def test_an_error_that_nobody_expected_has_a_number_and_the_log_has_it(
    desk: Any, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with desk.ledger.write() as connection:
        connection.execute(text("ALTER TABLE snoozes RENAME TO gone"))
    found = ann.get("/")
    assert found.status_code == 503
    number = re.search("has the number <code>([0-9a-f]{8})</code>", found.text)
    assert number
    assert number[1] in caplog.text


def test_one_run_shows_its_plan_its_draft_and_quotes_amid_their_documents(desk: Any, ann: Any, home: Path) -> None:
    (home / "docs").mkdir()
    (home / "docs" / "tides.md").write_text("# Tides\n\nThe tide rises and falls twice a day because of the moon.\n")
    from signoff.graphs.teams import report_team

    team = report_team(sources=home / "docs")
    run = Run.start(team, "Why does the tide rise and fall?", settings=load_settings())
    html = ann.get(f"/runs/{run.id}").text
    for part in (
        "researcher",
        "completed",
        "Draft accepted",
        "Waits for a decision",
        'href="#quote-1"',
        'id="quote-1"',
    ):
        assert part in html
    amid = text_of(ann.get(f"/runs/{run.id}/quotes/1").text)
    assert "The tide rises and falls twice a day" in amid
    (home / "docs" / "tides.md").write_text("# Tides\n\nOtherwise.\n")
    assert "tide rises" in text_of(ann.get(f"/approvals/{run.asked.id}").text)


def many(ledger: Any, number: int) -> None:
    """So many runs, each with an approval that waits and one that was decided."""
    with ledger.write() as connection:
        for place in range(number):
            at = f"2026-01-01T{place // 3600:02}:{place // 60 % 60:02}:{place % 60:02}.000000Z"
            run = {"id": f"r-m{place}", "team": "post", "goal": f"goal {place}", "options": "{}", "status": "waiting"}
            run |= {"driver": "graph", "created_at": at, "updated_at": at, "requested_by": "joe"}
            connection.execute(insert(runs).values(**run))
            for kind, status in (("w", "pending"), ("d", "approved")):
                name = f"m{place}{kind}"
                asked = {"action": "post_letter", "args": "{}", "args_sha256": "0", "reason": "", "risk": "external"}
                connection.execute(
                    insert(proposals).values(
                        id=f"p-{name}", run_id=run["id"], proposed_by="clerk", created_at=at, **asked
                    )
                )
                row = {"id": f"a-{name}", "proposal_id": f"p-{name}", "run_id": run["id"], "shown": "{}"}
                row |= {"shown_sha256": "0", "status": status, "requested_at": at, "expires_at": ""}
                row |= {"decided_by": "joe", "decided_at": at, "args": "{}"} if status == "approved" else {}
                connection.execute(insert(approvals).values(**row))


def test_a_list_goes_on_where_the_part_before_ended(desk: Any, ann: Any) -> None:
    many(desk.ledger, 50)
    found, path = [], "/?tab=all"
    while path:
        html = ann.get(path).text
        found += re.findall(r'id="row-(a-m\d+w)"', html)
        more = re.search(r'role="button" class="secondary" href="([^"]+)"', html)
        path = more[1].replace("&amp;", "&") if more else ""
    assert found == [f"a-m{place}w" for place in range(50)]
    assert desk.ledger.inbox.counts(Person("ann")).all == 50
