"""Stopping a run on its page, and forking it: what happened is not repeated, and nobody does either who may not."""

import re
from pathlib import Path
from typing import Any

import pytest
from desk_pages import Office, Page, text_of
from sqlalchemy import update

from signoff import Run
from signoff.checkpoints.ledger.schema import effects, runs
from signoff.fleet import forked_from


def sent() -> list[str]:
    return Path("sent.txt").read_text().splitlines() if Path("sent.txt").exists() else []


def steps(page: Page, run: str) -> dict[str, str]:
    """The checkpoints that a fork of this run can begin at, by what comes next; of several the earliest."""
    html = page.get(f"/runs/{run}/fork").text
    return dict(re.findall(r'name="at" value="([^"]+)".*?class="what">([^<]*)<', html, re.DOTALL))


def at(page: Page, run: str, following: str) -> str:
    return [moment for moment, told in steps(page, run).items() if told == following][-1]


def fork(page: Page, run: str, following: str, **fields: str) -> str:
    found = page.post(f"/runs/{run}/fork", csrf=page.csrf, at=at(page, run, following), **fields)
    assert found.status_code == 303, text_of(found.text)
    new = str(found.headers["location"].removeprefix("/runs/"))
    page.context.background.wait(new, 600)
    return new


def asked_in(desk: Office, run: str) -> Any:
    (asked,) = desk.ledger.approvals.pending(run)
    return asked


@pytest.fixture
def posted(desk: Office, ann: Page) -> Run:
    """A run whose one letter was approved and posted."""
    run, (asked,) = desk.asked("write bob")
    ann.decide(asked.id, "approve")
    assert (ann.settle(run), sent()) == ("done", ["bob: hello (1)"])
    return run


@pytest.mark.parametrize("following", ["clerk", "gate", "act"])
def test_a_fork_is_a_run_of_its_own_and_what_happened_is_not_repeated(
    desk: Office, ann: Page, posted: Run, following: str
) -> None:
    before = [entry.body for entry in desk.ledger.audit.entries(posted.id)]
    new = fork(ann, posted.id, following)
    record = desk.ledger.runs.get(new)
    assert (record.status, record.goal, record.requested_by) == ("waiting", "write bob", "ann")
    assert list(forked_from(record)) == [posted.id]
    assert f'forked from <a href="/runs/{posted.id}">' in ann.get(f"/runs/{new}").text
    ann.decide(asked_in(desk, new).id, "approve")
    ann.context.background.wait(new, 600)
    assert desk.ledger.runs.get(new).status == "done"
    assert sent() == ["bob: hello (1)"]
    assert f"not called again: run {posted.id}" in ann.shows(f"/runs/{new}")
    assert [entry.body for entry in desk.ledger.audit.entries(posted.id)] == before
    again = fork(ann, new, "gate")  # a fork of the fork knows the first
    ann.decide(asked_in(desk, again).id, "approve")
    ann.context.background.wait(again, 600)
    assert (desk.ledger.runs.get(again).status, sent()) == ("done", ["bob: hello (1)"])
    assert desk.ledger.audit.verify().ok


def test_a_run_is_gone_through_again_step_by_step_and_nothing_is_done(desk: Office, ann: Page, posted: Run) -> None:
    entries, at = len(desk.ledger.audit.entries()), "first"
    seen, before, here = list[str](), list[str](), f"/runs/{posted.id}"
    assert f'href="{here}?at=first">Replay it step by step' in ann.get(here).text
    while at:
        html = ann.get(f"{here}?at={at}").text
        seen.append(text_of(html))
        assert not re.search(r"Stop it|Timeline|hx-get=.[^>]*every", html)
        before += re.findall(r'\?at=([^"]+)">Step before', html)
        (this,) = set(re.findall(r'name="at" value="([^"]+)"', html)) or {at}
        at = "".join(re.findall(r'\?at=([^"]+)">Next step', html))
        assert ann.get(f"{here}/artifacts/Post?at={this}").status_code == (200 if "made" in seen[-1] else 404)
        again = ann.get(f"{here}?at={before[-1]}").text if before else ""
        assert not before or f'?at={this}">Next step' in again
    assert [f"As it stood after step {step}" in text for step, text in enumerate(seen)] == [True] * len(seen)
    assert ("made" in seen[0], "post letter done" in seen[-2], "post letter done" in seen[-1]) == (False, True, True)
    assert any("Proposed by clerk, and not settled by then: post letter" in text for text in seen)
    assert "Play it again" not in seen[-1]
    assert (sent(), len(desk.ledger.audit.entries())) == (["bob: hello (1)"], entries)
    for strange in ("1", "x" * 99, "\0"):
        assert ann.client.get(here, params={"at": strange}).status_code == 422
    new = fork(ann, posted.id, "clerk", dry_run="yes")
    html = ann.get(f"/runs/{new}?at=first").text  # what it was forked from
    fields = dict(re.findall(r'name="(csrf|once|at)" value="([^"]+)"', html.partition("Play it again")[2]))
    played = ann.post(f"/runs/{new}/fork", **fields, dry_run="yes").headers["location"].removeprefix("/runs/")
    ann.context.background.wait(played, 600)
    ann.decide(asked_in(desk, played).id, "approve")
    ann.context.background.wait(played, 600)
    assert (desk.ledger.runs.get(played).status, sent()) == ("done", ["bob: hello (1)"])


def test_a_form_that_comes_twice_begins_one_fork(desk: Office, ann: Page) -> None:
    run, _ = desk.asked("write bob")
    path, moment = f"/runs/{run.id}/fork", at(ann, run.id, "gate")
    (once,) = re.findall(r'name="once" value="([^"]+)"', ann.get(path).text)
    first, again = (ann.post(path, csrf=ann.csrf, at=moment, once=once).headers["location"] for _ in range(2))
    ann.context.background.wait(first.removeprefix("/runs/"), 600)
    assert first == again == ann.post(path, csrf=ann.csrf, at=moment, once=once).headers["location"]
    assert len(desk.ledger.runs.list()) == 2


def test_a_fork_that_goes_another_way_does_what_was_approved_in_it(desk: Office, ann: Page, posted: Run) -> None:
    new = fork(ann, posted.id, "gate")
    asked = asked_in(desk, new)
    fields = {**ann.fields(f"/approvals/{asked.id}", "edit"), "arg.text": "once more"}
    assert ann.post(f"/approvals/{asked.id}", **fields).status_code == 303
    ann.context.background.wait(new, 600)
    assert sent() == ["bob: hello (1)", "bob: once more (1)"]


def test_a_dry_fork_calls_nothing_whatever_is_approved(desk: Office, ann: Page, home: Path) -> None:
    run, _ = desk.asked("write bob")
    new = fork(ann, run.id, "gate", dry_run="yes")
    ann.decide(asked_in(desk, new).id, "approve")
    ann.context.background.wait(new, 600)
    assert (desk.ledger.runs.get(new).status, sent()) == ("done", [])
    assert desk.ledger.runs.get(run.id).status == "waiting"


def test_a_fork_calls_nothing_while_nobody_knows_whether_it_was_done(desk: Office, ann: Page, posted: Run) -> None:
    with desk.ledger.write() as connection:
        connection.execute(update(effects).where(effects.c.run_id == posted.id).values(status="unknown"))
    new = fork(ann, posted.id, "gate")
    ann.decide(asked_in(desk, new).id, "approve")
    ann.context.background.wait(new, 600)
    assert (desk.ledger.runs.get(new).status, sent()) == ("failed", ["bob: hello (1)"])
    assert f"Settle that there (`signoff show {posted.id}`)" in ann.shows(f"/runs/{new}")
    with desk.ledger.write() as connection:
        connection.execute(update(effects).where(effects.c.run_id == posted.id).values(status="failed"))
    assert ann.post(f"/runs/{new}", csrf=ann.csrf).status_code == 303
    ann.context.background.wait(new, 600)
    assert (desk.ledger.runs.get(new).status, sent()) == ("done", 2 * ["bob: hello (1)"])


def test_before_a_fork_it_is_told_what_will_happen_and_a_step_that_there_is_not_is_refused(
    desk: Office, ann: Page, posted: Run
) -> None:
    path = f"/runs/{posted.id}/fork"
    shown = ann.shows(path)
    for part in ("A fork is a new run.", "is not called again with the same arguments", "post letter done"):
        assert part in shown
    assert "stop it first" not in shown
    running, _ = desk.asked("write cy")
    assert "stop it first" in ann.shows(f"/runs/{running.id}/fork")
    for moment in ("", "0", "1f0", at(ann, running.id, "gate")):
        refused = ann.post(path, csrf=ann.csrf, at=moment)
        assert (refused.status_code, "has no step" in text_of(refused.text)) == (422, True)
    assert len(desk.ledger.runs.list()) == 2
    assert len(steps(ann, posted.id)) > 3


def test_a_run_is_stopped_once_and_what_it_asked_is_closed(desk: Office, ann: Page) -> None:
    run, (asked,) = desk.asked("write bob")
    assert "what it asks is closed as refused" in ann.shows(f"/runs/{run.id}")
    assert ann.post(f"/runs/{run.id}/cancel", csrf=ann.csrf).status_code == 303
    assert desk.ledger.runs.get(run.id).status == "stopped"
    assert desk.ledger.approvals.get(asked.id).status == "rejected"
    assert "cancelled by ann" in ann.shows(f"/runs/{run.id}")
    assert "End the run" not in ann.shows(f"/runs/{run.id}")
    again = ann.post(f"/runs/{run.id}/cancel", csrf=ann.csrf)
    assert (again.status_code, "has ended: it is stopped" in text_of(again.text)) == (422, True)
    assert sent() == []


def test_who_does_not_see_a_run_or_sends_no_form_of_the_page_neither_stops_nor_forks_it(
    desk: Office, ann: Page
) -> None:
    run, _ = desk.asked("write bob")
    moment, zed = at(ann, run.id, "gate"), desk.visit("zed", "tenant:zeta")
    for path in (f"/runs/{run.id}/cancel", f"/runs/{run.id}/fork"):
        assert zed.post(path, csrf=zed.csrf, at=moment).status_code == 404
        assert ann.post(path, csrf="0", at=moment).status_code == 403
    assert zed.get(f"/runs/{run.id}/fork").status_code == 404
    assert (desk.ledger.runs.get(run.id).status, len(desk.ledger.runs.list())) == ("waiting", 1)


def test_the_work_of_a_job_is_stopped_by_those_who_run_the_page_alone(desk: Office, ann: Page) -> None:
    run, _ = desk.asked("write bob")
    with desk.ledger.write() as connection:
        row = connection.execute(runs.select().where(runs.c.id == run.id)).mappings().one()
        connection.execute(runs.insert().values(**{**row, "id": "j-0123456789abcdef"}))
    path = "/runs/j-0123456789abcdef"
    assert "End the run" not in ann.shows(path)
    assert ann.post(f"{path}/cancel", csrf=ann.csrf).status_code == 403
    root = desk.visit("root", "admin")
    assert "End the run" in root.shows(path)
    assert root.post(f"{path}/cancel", csrf=root.csrf).status_code == 303
    assert desk.ledger.runs.get("j-0123456789abcdef").status == "stopped"
