"""Starting a run on the page, by the form of what its team takes."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from desk_pages import Page, text_of

TEAM = '''
from pathlib import Path
from typing import Literal
from pydantic import BaseModel, Field

from signoff import Agent, Artifact, Policy, Team


class Trip(BaseModel):
    """A trip to plan."""

    to: str = Field(min_length=2, description="Where it goes")
    days: int = Field(3, ge=1, description="How long")
    stops: tuple[str, ...] = ()
    by: Literal["rail", "ship"] = "rail"
    quiet: bool = False


class Plan(Artifact):
    text: str


def plan(task) -> Plan:
    given = task.input
    return Plan(text=f"{task.goal}: {given.to}, {given.days}, {given.stops}, {given.by}, {given.quiet}")


team = Team(name="trips", agents=[Agent(role="planner", gives=Plan, function=plan)], policy=Policy({}), input=Trip)
'''


@pytest.fixture
def cy(desk: Any, home: Path) -> Page:
    (home / "trips.py").write_text(TEAM)
    desk.context = replace(desk.context, teams_offered=("trips.py:team", "office.py:team", "report", "gone.py:team"))
    visitor: Page = desk.visit("cy")
    return visitor


def test_teams_that_are_served_stand_in_a_list_and_others_cannot_be_started(cy: Page) -> None:
    shown = cy.shows("/start")
    assert "A trip to plan." in shown
    assert "gone.py" in shown
    for path in ("/start/code", "/start/trips.py:other"):
        assert cy.get(path).status_code == 404
        assert cy.post(path, csrf=cy.csrf, **{"arg.goal": "go"}).status_code == 404


def test_a_form_has_the_fields_of_the_input_and_a_run_is_given_what_they_say(desk: Any, cy: Page) -> None:
    html = cy.get("/start/trips.py:team").text
    for part in ("Where it goes", "(needed)", 'value="3"', '<option value="ship"', "One in each line."):
        assert part in html
    fields = {"arg.goal": "plan it", "arg.to": "Oslo", "arg.days": "5", "arg.stops": "Kiel\nBergen, old town\n"}
    said = cy.post("/start/trips.py:team", csrf=cy.csrf, **fields, **{"arg.by": "ship", "arg.quiet": "true"})
    assert said.status_code == 303, text_of(said.text)
    run = said.headers["location"].removeprefix("/runs/")
    desk.context.background.wait(run, 60)
    record = desk.ledger.runs.get(run)
    assert (record.status, record.requested_by, record.goal) == ("done", "cy", "plan it")
    assert record.input == {"to": "Oslo", "days": 5, "stops": ["Kiel", "Bergen, old town"], "by": "ship", "quiet": True}
    assert "plan it: Oslo, 5" in cy.shows(f"/runs/{run}")


@pytest.mark.parametrize(
    ("typed", "field"),
    [({"arg.to": "O"}, "to"), ({"arg.to": "Oslo", "arg.days": "soon"}, "days"), ({"arg.days": "2"}, "to")],
)
def test_what_does_not_fit_names_the_field_keeps_what_was_typed_and_begins_no_run(
    desk: Any, cy: Page, typed: dict[str, str], field: str
) -> None:
    said = cy.post("/start/trips.py:team", csrf=cy.csrf, **{"arg.goal": "plan it"}, **typed)
    assert said.status_code == 422
    assert f'name="arg.{field}" aria-invalid="true"' in said.text
    assert all(value in said.text for value in typed.values())
    assert desk.ledger.runs.list() == []


def test_a_team_without_an_input_takes_a_goal_and_what_it_proposes_waits_in_the_inbox(desk: Any, cy: Page) -> None:
    assert cy.post("/start/office.py:team", csrf=cy.csrf, **{"arg.goal": ""}).status_code == 422
    said = cy.post("/start/office.py:team", csrf=cy.csrf, dry_run="yes", **{"arg.goal": "write bob"})
    run = said.headers["location"].removeprefix("/runs/")
    desk.context.background.wait(run, 60)
    assert "Post letter to bob" in cy.shows("/")
    assert "dry run" in cy.shows("/")


def test_a_report_is_started_with_a_question_and_a_folder(desk: Any, cy: Page, home: Path) -> None:
    (home / "docs").mkdir()
    (home / "docs" / "tides.md").write_text("# Tides\n\nThe tide rises and falls twice a day because of the moon.\n")
    fields = {"arg.goal": "Why does the tide rise?", "arg.sources": "nowhere", "arg.out": "r.md"}
    said = cy.post("/start/report", csrf=cy.csrf, **fields)
    assert said.status_code == 422
    assert "there is no such folder" in text_of(said.text)
    said = cy.post("/start/report", csrf=cy.csrf, **{**fields, "arg.sources": "docs"})
    assert said.status_code == 303, text_of(said.text)
    run = said.headers["location"].removeprefix("/runs/")
    desk.context.background.wait(run, 60)
    assert desk.ledger.runs.get(run).status == "waiting"
    assert "Publish report" in cy.shows("/")


def test_a_form_that_comes_twice_starts_one_run(desk: Any, cy: Page) -> None:
    path = "/start/office.py:team"
    once = re.findall(r'name="once" value="([^"]+)"', cy.get(path).text + cy.get(path).text)
    forms = [{"csrf": cy.csrf, "once": one, "arg.goal": "write bob"} for one in (once[0], once[0], once[1])]
    first, again, other = (cy.post(path, **form).headers["location"] for form in forms)
    assert first == again != other
    assert len(desk.ledger.runs.list()) == 2


def test_a_form_of_another_session_starts_nothing(desk: Any, cy: Page) -> None:
    assert cy.post("/start/office.py:team", csrf="0" * 64, **{"arg.goal": "write bob"}).status_code == 403
    assert desk.ledger.runs.list() == []


def test_what_people_of_a_tenant_start_is_their_tenants_alone(desk: Any, cy: Page) -> None:
    bea, zed = desk.visit("bea", "tenant:acme"), desk.visit("zed", "tenant:zeta")
    both, form = desk.visit("two", "tenant:acme", "tenant:zeta"), {"arg.goal": "write bob"}
    assert "A trip to plan." in bea.shows("/start")
    assert 'href="/start"' in bea.get("/").text
    run = bea.post("/start/office.py:team", csrf=bea.csrf, **form).headers["location"].removeprefix("/runs/")
    desk.context.background.wait(run, 60)
    assert (desk.ledger.runs.get(run).tenant, desk.ledger.runs.get(run).requested_by) == ("acme", "bea")
    for other in (zed, cy):
        assert "Post letter" not in other.shows("/?tab=all")
        assert "write bob" not in other.shows("/runs")
        assert [other.get(f"/runs/{run}{at}").status_code for at in ("", "?at=first", "/fork")] == [404, 404, 404]
    (asked,) = desk.ledger.approvals.pending(run)
    assert "Post letter to bob" in bea.shows("/")
    assert bea.decide(asked.id, "approve").status_code == 303
    desk.context.background.wait(run, 60)
    assert desk.ledger.runs.get(run).status == "done"
    for said in ({}, {"tenant": "omega"}):
        refused = both.post("/start/office.py:team", csrf=both.csrf, **form, **said)
        assert (refused.status_code, "of several tenants" in refused.text) == (422, True)
    chosen = both.post("/start/office.py:team", csrf=both.csrf, tenant="zeta", **form).headers["location"][6:]
    desk.context.background.wait(chosen, 60)
    assert desk.ledger.runs.get(chosen).tenant == "zeta"
    assert (zed.get(f"/runs/{chosen}").status_code, bea.get(f"/runs/{chosen}").status_code) == (200, 404)
