"""Competitors compared, then leads found among them: two teams as the agents of a third, each a run of its own."""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from signoff import Run, Task, Team
from signoff.agents import Limits
from signoff.agents.roles.tables.table_researcher import Answers
from signoff.checkpoints.opening import configured_ledger
from signoff.graphs.teams.competitors import Comparison, competitors_team
from signoff.graphs.teams.leads import Rows, leads_team
from signoff.settings import load_settings
from signoff.testing import ScriptedModel, gives

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _files(home: Path) -> None:
    shutil.copytree(HERE / "packages", home / "packages")
    shutil.copy(HERE / "packages.toml", home / "packages.toml")


def compared(_task: Task) -> dict[str, Any]:
    names = ["otterdb", "sealframe", "puffindb", "gannet"]
    return {"goal": "databases", "companies": names, "categories": ["version", "licence"], "sources": "packages"}


def sold_to(task: Task) -> dict[str, Any]:
    """Those whose version the comparison has."""
    table = task.need(Comparison)
    names = [row for row in table.rows if table.cell(row, "version").state == "found" and row != "gannet"]
    return {"rubric": "packages.toml", "sources": "packages", "companies": names, "crm": "crm.db"}


def office(model: ScriptedModel | str = "offline") -> Team:
    market = competitors_team(model="offline").as_agent(gives=Comparison, goal=compared)
    leads = leads_team(model=model).as_agent(
        gives=Rows, needs=(Comparison,), goal=sold_to, limits=Limits(budget="steps=1")
    )
    return Team(name="office", agents=[market, leads])


def at_leads(team: Team) -> Run:
    """The run where the comparison is published and the candidates are confirmed."""
    run = Run.start(team, "Compare the market, and sell to it")
    (market,) = run.children
    assert (run.status, market.status, market.team) == ("waiting", "waiting", "competitors")
    assert [(one.action, one.run_id == market.id) for one in run.approvals] == [("publish_report", True)]
    run.approve()
    leads = run.children[-1]
    assert [child.status for child in run.children] == ["done", "waiting"]
    assert {(one.action, one.run_id == leads.id) for one in run.approvals} == {("confirm_lead", True)}
    assert sorted(str(one.shown["name"]) for one in run.approvals) == ["otterdb", "puffindb", "sealframe"]
    return run.approve(approval=run.alike())


def test_each_team_asks_for_itself_and_the_comparison_says_who_may_be_a_lead(home: Path) -> None:
    run = at_leads(office())
    assert run.asked.action == "write_lead"
    while run.approval is not None:
        run.approve(approval=run.alike())
    assert (run.status, [child.status for child in run.children]) == ("done", ["done", "done"])
    with sqlite3.connect(home / "crm.db") as crm:
        written = [name for (name,) in crm.execute("SELECT name FROM leads ORDER BY id")]
    assert written == [row.name for row in run.artifact(Rows).rows]
    assert sorted(written) == ["otterdb", "sealframe"]
    assert (home / "report.md").exists()


def test_who_rejects_what_one_proposes_stops_both_and_the_next_never_begins(home: Path) -> None:
    run = Run.start(office(), "Compare the market, and sell to it")
    asked = []
    while run.approval is not None:
        asked.append(run.approval.action)
        run.reject()
    assert asked == ["publish_report", "continue_run"]
    assert (run.status, [child.status for child in run.children]) == ("stopped", ["stopped"])
    assert [name for name in ("crm.db", "report.md") if (home / name).exists()] == []


def test_a_team_that_has_used_its_share_asks_wherever_the_run_around_it_asks(home: Path) -> None:
    model = ScriptedModel([gives(Answers(answers=[]))])
    run = at_leads(office(model))
    scope = f"agent:{run.id}/leads"
    assert (run.asked.action, run.asked.shown["scope"]) == ("raise_budget", scope)
    run.reject()
    assert (run.status, [child.status for child in run.children]) == ("stopped", ["done", "stopped"])
    assert configured_ledger(load_settings()).budgets.standing(scope).spent.steps == 1
    assert not (home / "crm.db").exists()
