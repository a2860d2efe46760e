"""The fleet on the page: what people ask of it, its jobs, schedules and workers; who may change them, and see them."""

import re
from pathlib import Path
from typing import Any

import pytest
from desk_pages import Office, Page, text_of

from signoff.checkpoints.jobs import NewJob, Which
from signoff.fleet.queue import Fleet
from signoff.settings import load_settings


def job(name: str, **others: Any) -> NewJob:
    return NewJob(id=name, **{"team": "report", "goal": f"goal of {name}", "options": {}, **others})


@pytest.fixture
def jobs(desk: Office) -> Fleet:
    pytest.importorskip("dbos")
    fleet = Fleet(desk.ledger, load_settings())
    fleet.submit([job("a-1"), job("a-2"), job("b-1", tenant="acme"), job("b-2", tenant="zeta")])
    return fleet


@pytest.fixture
def root(desk: Office) -> Page:
    return desk.visit("root", "admin", "tenant:*")


def test_without_jobs_schedules_and_workers_each_screen_says_how_there_come_some(ann: Any) -> None:
    for path, how in (
        ("/fleet", "signoff fleet submit"),
        ("/fleet/schedules", "signoff schedule add"),
        ("/fleet/workers", "signoff fleet work"),
        ("/memory", "memory_tools"),
    ):
        assert how in ann.shows(path), path


def test_the_five_questions_are_answered_and_the_jobs_listed_with_the_newest_first(
    desk: Any, ann: Any, jobs: Fleet
) -> None:
    chief = desk.visit("chief", "tenant:*")
    html = chief.get("/fleet").text
    shown = text_of(html)
    for part in ("Needs you", "Is it moving?", "What does it cost?", "Is it good?", "What will happen?"):
        assert part in shown
    assert "4 jobs: 4 queued." in shown
    assert shown.index("b-2") < shown.index("a-1")
    assert "b-1" not in chief.shows("/fleet?tenant=zeta")
    assert "2 jobs: 2 queued." in ann.shows("/fleet?tenant=zeta"), "the others are of tenants"
    assert "No jobs here." in chief.shows("/fleet?status=parked")
    assert "cancel" not in shown.replace("cancelled", ""), "for those who run the page alone"


def test_what_ended_hour_by_hour_is_drawn_and_told_as_a_table(desk: Any, jobs: Fleet) -> None:
    from sqlalchemy import update

    from signoff.checkpoints import later
    from signoff.checkpoints.ledger.schema import jobs as table

    chief = desk.visit("chief", "tenant:*")
    assert "Ended in the last 24 hours" not in chief.shows("/fleet")
    ended = {"a-1": ("done", -60), "a-2": ("parked", -60), "b-1": ("done", -5 * 3_600), "b-2": ("done", -90_000)}
    with desk.ledger.write() as connection:
        for name, (status, seconds) in ended.items():
            values = {"status": status, "ended_at": later(seconds)}
            connection.execute(update(table).where(table.c.id == name).values(values))
    html = chief.get("/fleet").text
    shown = text_of(html)
    assert "2 done 1 given up 0 stopped or cancelled most in one hour:" in shown
    assert sorted(re.findall(r'<rect class="(\w+)"', html)) == ["done", "done", "parked"]
    for name in ("a-1", "b-1"):
        at = later(ended[name][1])[:13].replace("T", " ")
        assert f"{at}:00 1 " in shown
    assert later(-90_000)[:13].replace("T", " ") not in shown, "it is over a day ago"
    assert "1 done 0 given up" in chief.shows("/fleet?tenant=acme")


def test_what_people_made_of_the_work_of_jobs_is_told(desk: Any, ann: Any, jobs: Fleet) -> None:
    from sqlalchemy import insert, update

    from signoff.checkpoints.ledger.budgets.amounts import CallRecord
    from signoff.checkpoints.ledger.schema import approvals, proposals, runs, usage

    _, (asked,) = desk.asked("write bob")
    run = jobs.ledger.jobs.list(Which())[0].run_id
    desk.ledger.approvals.reject(asked.id, by="ann", reason="he has moved")
    assert "he has moved" not in ann.shows("/fleet"), "it is no job's"
    with desk.ledger.write() as connection:
        row = connection.execute(runs.select().where(runs.c.id == asked.run_id)).mappings().one()
        connection.execute(insert(runs).values(**{**row, "id": run}))
        for table in (approvals, proposals):
            connection.execute(update(table).where(table.c.run_id == asked.run_id).values(run_id=run))
        connection.execute(insert(usage).values(**vars(CallRecord(run_id=run, outcome="timeout"))))
    shown = ann.shows("/fleet")
    for part in ("1 rejected", "Rejected: he has moved", "1 call of models went wrong in the last day."):
        assert part in shown


def test_who_runs_the_page_cancels_holds_and_resumes_a_job_and_nobody_else_does(
    desk: Any, ann: Any, root: Page, jobs: Fleet
) -> None:
    one = next(found for found in jobs.ledger.jobs.list(Which()) if found.id == "a-1")
    path = f"/fleet/jobs/{one.run_id}"
    said = ann.post(path, csrf=ann.csrf, verb="cancel")
    assert said.status_code == 403
    assert "NAME=admin" in text_of(said.text)
    for verb, status in (("drain", "held"), ("resume", "queued"), ("cancel", "cancelled")):
        assert root.post(path, csrf=root.csrf, verb=verb).status_code == 303
        now = jobs.ledger.jobs.get(one.run_id)
        assert now is not None
        assert now.status == status
    assert root.post(path, csrf=root.csrf, verb="cancel").status_code == 422
    assert root.post(path, csrf=root.csrf, verb="burn").status_code == 422
    assert root.post("/fleet/jobs/j-0", csrf=root.csrf, verb="cancel").status_code == 404
    assert root.post(path, csrf="0" * 64, verb="cancel").status_code == 403
    others = [found.status for found in jobs.ledger.jobs.list(Which()) if found.id != "a-1"]
    assert others == ["queued"] * 3


def test_schedules_stand_with_their_next_firings_and_are_paused_and_submitted_now(
    desk: Any, ann: Any, root: Page, jobs: Fleet
) -> None:
    known = desk.ledger.schedules
    known.add("monday", "0 8 * * 1", job("any"), by="root", zone="Europe/Berlin")
    known.add("two words", "30 2 * * *", job("any"), by="root", overlap="allow")
    shown = ann.shows("/fleet/schedules")
    assert shown.count("Mon 20") == 5
    assert "08:00" in shown
    assert "monday in" in ann.shows("/fleet")
    assert ann.post("/fleet/schedules/monday", csrf=ann.csrf, verb="pause").status_code == 403
    assert root.post("/fleet/schedules/monday", csrf=root.csrf, verb="pause").status_code == 303
    assert "paused by root" in ann.shows("/fleet/schedules")
    assert ann.shows("/fleet/schedules").count("Mon 20") < 5
    assert "monday in" not in ann.shows("/fleet")
    assert root.post("/fleet/schedules/monday", csrf=root.csrf, verb="resume").status_code == 303
    assert ann.shows("/fleet/schedules").count("Mon 20") >= 5
    assert root.post("/fleet/schedules/two%20words", csrf=root.csrf, verb="run").status_code == 303
    assert "two words@" in ann.shows("/fleet")
    assert root.post("/fleet/schedules/none", csrf=root.csrf, verb="run").status_code == 404


def test_workers_stand_with_their_places_and_those_that_fell_silent(desk: Any, ann: Any, jobs: Fleet) -> None:
    from signoff.checkpoints import working

    assert "4 jobs wait for one." in ann.shows("/fleet/workers")
    with working() as owner:
        desk.ledger.workers.join(owner, places=8)
        shown = ann.shows("/fleet/workers")
        assert "working" in shown
        assert "8" in shown
        desk.ledger.jobs.limits.set("team", "report", 3, by="root")
        desk.ledger.workers.join(owner, places=2, seconds=-60)
        shown = ann.shows("/fleet/workers")
    assert "no sign of life" in shown
    assert "team report, at once 3" in shown


def test_who_is_of_a_tenant_sees_and_decides_what_is_of_it_and_finds_nothing_else(
    desk: Any, ann: Any, jobs: Fleet
) -> None:
    from sqlalchemy import delete, insert, update

    from signoff.checkpoints.ledger.schema import approvals, proposals, runs

    asked = {}
    for one in jobs.ledger.jobs.list(Which()):
        if one.tenant == "default":
            continue
        _, (approval,) = desk.asked(f"write {one.tenant}")
        with desk.ledger.write() as connection:
            row = connection.execute(runs.select().where(runs.c.id == approval.run_id)).mappings().one()
            connection.execute(insert(runs).values(**{**row, "id": one.run_id, "driver": "graph"}))
            for table in (approvals, proposals):
                connection.execute(update(table).where(table.c.run_id == approval.run_id).values(run_id=one.run_id))
            connection.execute(delete(runs).where(runs.c.id == approval.run_id))
        asked[one.tenant] = (approval.id, one.run_id)
    bea = desk.visit("bea", "tenant:acme")
    assert "to acme" in bea.shows("/")
    for path in (
        "/",
        "/?tab=all",
        "/runs",
        "/runs?tenant=zeta",
        "/fleet",
        "/fleet?tenant=zeta",
        f"/?done={asked['zeta'][0]}",
    ):
        shown = bea.get(path).text
        assert "zeta" not in text_of(shown), path
        assert asked["zeta"][1] not in shown, path
    approval, run = asked["zeta"]
    theirs = bea.fields(f"/approvals/{asked['acme'][0]}", "reject")
    for path in (f"/approvals/{approval}", f"/batches/{approval}", f"/runs/{run}", f"/runs/{run}/quotes/1"):
        assert bea.get(path).status_code == 404, path
        assert text_of(bea.get(path).text).replace(approval, "").replace(run, "") == text_of(
            bea.get(path.replace(approval, "a-000000000000").replace(run, "j-0000000000000000")).text
        ).replace("a-000000000000", "").replace("j-0000000000000000", ""), "as if there were none"
    for path in (f"/approvals/{approval}", f"/approvals/{approval}/snooze", f"/batches/{approval}", f"/runs/{run}"):
        said = bea.post(path, **{**theirs, "reason": "mine", f"item.{approval}": "x"})
        assert said.status_code == 404, path
    mixed = {f"item.{approval}": "0", "csrf": bea.csrf, "verb": "reject", "reason": "mine"}
    assert "zeta" not in text_of(bea.post(f"/batches/{asked['acme'][0]}", **mixed).text)
    assert desk.ledger.approvals.get(approval).status == "pending"
    for path in ("/audit", "/people", "/budgets", "/memory", "/fleet/workers"):
        said = bea.get(path)
        assert said.status_code == 403, path
        assert "tells of all tenants" in text_of(said.text)
        assert f'href="{path}"' not in bea.get("/").text
    assert bea.decide(asked["acme"][0], "reject", reason="no").status_code == 303
    chief = desk.visit("chief", "tenant:*")
    assert "to zeta" in chief.shows("/")
    only = chief.get("/runs?tenant=zeta").text.partition('id="list"')[2]
    assert ("write zeta" in only, "write acme" in only) == (True, False)
    for path in ("/", "/runs", "/fleet"):
        assert not {"zeta", "acme"} & set(re.findall(r"\w+", ann.shows(path))), "who has no tenant sees nobody's"
    assert run not in ann.get("/audit").text


def test_roles_and_tokens_are_given_and_taken_on_the_page_by_those_who_run_it(desk: Any, ann: Any, root: Page) -> None:
    assert ann.post("/people", csrf=ann.csrf, verb="give", name="ann", role="admin").status_code == 403
    assert 'value="take"' not in ann.get("/people").text
    said = root.post("/people", csrf=root.csrf, verb="give", name="cy", role="finance")
    assert "cy has the role finance." in text_of(said.text)
    assert desk.ledger.people.list()["cy"] == {"finance"}
    made = root.post("/people", csrf=root.csrf, verb="token", name="cy").text
    token = made.partition('<code class="token">')[2].partition("</code>")[0]
    holder = desk.ledger.people.holder(token, "token")
    assert holder is not None
    assert holder.name == "cy"
    assert token not in root.get("/people").text
    root.post("/people", csrf=root.csrf, verb="take tokens", name="cy")
    assert desk.ledger.people.holder(token, "token") is None
    root.post("/people", csrf=root.csrf, verb="take", name="cy", role="finance")
    assert "cy" not in desk.ledger.people.list()
    for wrong in ({"verb": "give", "name": "a,b", "role": "x"}, {"verb": "token", "name": ""}, {"verb": "rob"}):
        assert root.post("/people", csrf=root.csrf, **wrong).status_code == 422, wrong
    changed = [entry.body["by"] for entry in desk.ledger.audit.entries("") if entry.event == "people"]
    assert changed.count("root") >= 2


def test_memories_stand_with_where_they_came_from_and_are_deleted_for_good(
    desk: Any, ann: Any, root: Page, home: Path
) -> None:
    pytest.importorskip("langgraph.store.sqlite")
    from signoff.checkpoints.canonical import now
    from signoff.checkpoints.ledger import RUN_TENANT
    from signoff.tools.memory import Memory, Remembered
    from signoff.tools.memory.item import Origin

    run, _ = desk.asked("write bob")
    told = {"agent": "clerk", "goal": "g", "approval_id": "a-1", "approved_by": "bea", "at": now()}
    origin = Origin(run_id=run.id, team="post", sources=("tides.md",), flags=("reads like an order",), **told)
    memory = Memory.open(load_settings())
    for number in range(22):
        said = {"subject": f"subject {number}", "text": "dear\u00adBob\nhello", "kind": "fact", "expires_at": ""}
        memory.keep(Remembered(id=f"m-{number:03}abcdef", team="post", origin=origin, **said))
    theirs, _ = desk.ledger.runs.begin("r-acme", 1, team="post", goal="g", options={RUN_TENANT: "acme"})
    said = {"subject": "acme's own", "text": "acme pays late", "kind": "fact", "expires_at": ""}
    of_acme = Remembered(id="m-acmeabcdef", team="post", origin=origin.model_copy(update={"run_id": theirs}), **said)
    memory.keep(of_acme)
    boss = desk.visit("boss", "admin")
    assert boss.post("/memory/m-acmeabcdef", csrf=boss.csrf).status_code == 404, "as if there were none"
    assert "acme" not in ann.shows("/memory")
    assert "acme pays late" in desk.visit("chief", "tenant:*").shows("/memory")
    memory.forget([of_acme], by="joe")
    html = ann.get("/memory").text
    assert "&lt;U+00AD&gt;" in html
    for part in ("subject 21", "allowed by bea", "tides.md", "texts with orders in them", run.id):
        assert part in text_of(html)
    assert "subject 1 " not in text_of(html), "page by page"
    assert "subject 1 " in ann.shows("/memory?after=m-002abcdef")
    assert "Nothing is remembered." in ann.shows("/memory?team=other")
    assert ann.post("/memory/m-021abcdef", csrf=ann.csrf).status_code == 403
    assert root.post("/memory/m-021abcdef", csrf=root.csrf, reason="wrong").status_code == 303
    assert root.post("/memory/m-021abcdef", csrf=root.csrf).status_code == 404
    assert len(memory.list()) == 21
    gone = [entry.body for entry in desk.ledger.audit.entries(run.id) if entry.event == "memory forgotten"]
    assert [(body["by"], body["why"]) for body in gone] == [("root", "wrong")]
