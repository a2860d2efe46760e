"""The plan at the command line: seen with --plan, changed with `edit --set`, refused with a reason, in depth too."""

import json
from pathlib import Path
from typing import Any

import pytest
from harbour import PARTS, QUESTIONS, answering, goal_of, role_of, write_documents

from signoff.testing import ScriptedServer

GOAL = " ".join(QUESTIONS[2])
ASK = ("run", "report", "Why does the tide rise and fall?", "--sources", "docs")


@pytest.fixture
def asked(signoff: Any, documents: Path) -> str:
    """A run whose plan is asked about: the approval's id."""
    said = signoff(*ASK, "--plan", "--json")
    assert said.code == 3, said.err
    assert said.json["outcomes"] == []
    return str(said.json["approval"])


def test_the_plan_is_shown_with_the_commands_that_answer_it(signoff: Any, asked: str) -> None:
    said = signoff("show", asked)
    for part in (
        "1. researcher (gives Evidence)",
        "3. writer (needs Evidence, Analysis, gives Draft)",
        "signoff edit",
        "told why, whoever made it makes it anew; otherwise the run stops",
    ):
        assert part in said.out
    (known,) = signoff("approvals", "--json").json
    assert known["action"] == "follow_plan"
    listed = signoff("approvals").out
    assert "  1. researcher (gives Evidence)\n  2. analyst (needs Evidence, gives Analysis)\n" in listed
    assert "agents:" not in listed


def test_part_of_the_plan_is_changed_by_its_name_and_the_run_goes_on(signoff: Any, asked: str) -> None:
    said = signoff(
        "edit", asked, "--set", "steps.writer.goal=Three sentences.", "--set", 'steps.writer.parts=["tides"]'
    )
    assert said.code == 3, said.err  # the report waits to be published
    assert (
        "writer: has a goal of its own in the plan, but works without a model, so that this changes nothing" in said.err
    )
    (known,) = signoff("approvals", "--json").json
    assert known["action"] == "publish_report"
    shown = signoff("show", known["run_id"]).out
    assert "the plan was changed" in shown
    (plan,) = signoff("show", asked, "--json").json
    assert plan["args"]["steps"][2] == {"agent": "writer", "goal": "Three sentences.", "parts": ["tides"]}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ("steps.wirter.goal=x", "there is no 'wirter'; there is researcher, analyst, writer, reviewer. Nothing"),
        ("steps.writer.gaol=x", "there is no 'gaol'; there is agent, goal, parts. Nothing was decided."),
        ('steps=[{"agent": "writer"}]', "'researcher' is left out, and 'writer' needs its Evidence"),
        ("step.writer.goal=x", "with NAME one of steps."),
        ('steps.writer.parts="tides"', 'steps, item 3, parts: Input should be a list, such as ["one", "two"]'),
    ],
)
def test_a_change_that_cannot_be_is_refused_in_one_line(signoff: Any, asked: str, change: str, problem: str) -> None:
    said = signoff("edit", asked, "--set", change)
    assert said.code not in (0, 3)
    assert problem in said.err
    assert signoff("approvals", "--json").json[0]["id"] == asked


def test_rejecting_the_plan_of_a_team_without_a_planner_stops_the_run(signoff: Any, asked: str) -> None:
    assert signoff("reject", asked, "--why", "too long").code == 0
    (run,) = signoff("runs", "--json").json
    assert (run["status"], "too long" in run["note"]) == ("stopped", True)


def test_a_person_who_says_yes_to_all_says_yes_to_the_plan(signoff: Any, documents: Path) -> None:
    said = signoff(*ASK, "--plan", "--yes")
    assert said.code == 0, said.err
    assert Path("report.md").exists()


def test_a_recorded_run_with_a_changed_plan_is_played_again_as_it_went(signoff: Any, documents: Path) -> None:
    said = signoff(*ASK, "--plan", "--json", "--record", "run.jsonl")
    assert said.code == 3, said.err
    edited = signoff("edit", said.json["approval"], "--set", "steps.writer.goal=Short.", "--no-resume")
    assert edited.code == 0, edited.err
    went = signoff("resume", said.json["run"], "--yes", "--record", "run.jsonl")
    assert went.code == 0, went.err
    from signoff.fleet import replay

    now, then = replay(Path("run.jsonl"), Path("again"))
    assert then is not None
    assert (now.route, now.artifacts["WorkPlan"], now.status) == (then.route, then.artifacts["WorkPlan"], "done")
    assert now.artifacts["WorkPlan"]["steps"][2]["goal"] == "Short."


def test_the_plan_of_a_deep_report_is_shown_edited_and_followed_by_another_command(
    signoff: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_documents(home / "docs")
    with ScriptedServer(answering(QUESTIONS[2])) as server:
        monkeypatch.setenv("SIGNOFF_BASE_URL", server.url)
        monkeypatch.setenv("SIGNOFF_API_KEY", "test")
        asked = signoff("run", "report", GOAL, "--sources", "docs", "--depth", "2", "--plan")
        assert asked.code == 3, asked.err
        for part in QUESTIONS[2]:
            assert f"Part: {part}" in asked.err
        [approval] = signoff("approvals", "--json").json
        assert f"signoff edit {approval['id']} --set steps.researcher.parts='[\"…\"]'" in asked.err
        boat = "Which boat does the museum show?"
        done = signoff("edit", approval["id"], "--set", f"steps.researcher.parts={json.dumps([boat])}")
        assert done.code == 3, done.err
        assert {goal_of(call) for call in server.calls if role_of(call) == "researcher"} == {boat}
    assert f"researcher: {boat}: round 1 of 2: reads 1 passage" in done.err
    assert f"│ │ ## {boat}" in done.err
    assert list(PARTS)[3] not in done.err


def test_a_depth_that_there_is_not_and_one_without_a_model_are_told(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ("run", "report", "Why does the tide rise and fall?", "--sources", "docs", "--model", "offline")
    assert "--depth" in signoff(*run, "--depth", "9").err
    assert signoff(*run, "--depth", "9").code == 2
    assert "--depth is for models, and changes nothing here." in signoff(*run, "--depth", "3").err.splitlines()[0]
    monkeypatch.setenv("SIGNOFF_DEPTH", "3")
    assert "--depth is for models" not in signoff(*run, "--depth", "0").err
