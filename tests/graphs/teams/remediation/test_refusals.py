"""What must be refused: whoever of the team says otherwise, only what holds against the tree itself is proposed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from crates import asks, make_crate, write_knots, write_records
from stand_in import git

from signoff import Run
from signoff.agents import Cases, Draft, Fix, Scan, Task
from signoff.graphs.team import Team
from signoff.graphs.teams.remediation import remediation_team

Lie = Callable[[Any, Task], Any]
"""What an agent gives in place of what its own function gave."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_knots(tmp_path_factory.mktemp("wheels"))


def lying(role: str, lie: Lie) -> Team:
    """The team, in which one agent's work is followed by something else."""
    team = remediation_team(model="offline")

    def with_lie(agent: Any) -> Any:
        if agent.role != role:
            return agent
        work = agent.each.function
        return replace(agent, each=replace(agent.each, function=lambda task: lie(work(task), task)))

    return team.with_agents(with_lie)


def start(tmp_path: Path, wheels: Path, repo: Path, team: Team | None = None, **given: Any) -> Run:
    asked = asks([repo], write_records(tmp_path / "advisories"), [wheels], tmp_path / "out.md") | given
    return Run.start(team or remediation_team(model="offline"), asked)


def in_copy(task: Task, path: str) -> Path:
    """A file of the copy that a step works on."""
    (place,) = Path(".signoff/workspaces").glob(f"*/{Path(task.item).name}/{path}")
    return place


def clean(found: Scan, _task: Task) -> Scan:
    return found.model_copy(update={"findings": ()})


def other_records(found: Scan, _task: Task) -> Scan:
    return found.model_copy(update={"advisories": "0" * 64})


def skipped(found: Scan, _task: Task) -> Scan:
    return found.model_copy(update={"problem": "no network", "findings": ()})


def nothing_scanned(found: Scan, _task: Task) -> Scan:
    return found.model_copy(update={"manifests": (), "findings": ()})


def edits_a_test(fix: Fix, task: Task) -> Fix:
    in_copy(task, "tests/test_knots.py").write_text("import unittest\n")
    return fix


def edits_the_code(fix: Fix, task: Task) -> Fix:
    in_copy(task, "README.md").write_text("# Mine\n")
    return fix


def does_nothing(fix: Fix, task: Task) -> Fix:
    in_copy(task, "requirements.txt").write_text("knot==1.0\n")
    return fix


def takes_what_breaks(fix: Fix, task: Task) -> Fix:
    """A version that loses a function, as if its tests had passed."""
    in_copy(task, "requirements.txt").write_text("knot==2.0\n")
    taken = fix.attempts[0].model_copy(update={"new": "2.0"})
    return fix.model_copy(update={"attempts": (taken,)})


@pytest.mark.parametrize(
    ("role", "lie", "told"),
    [
        ("rescanner", other_records, "compared with different advisories"),
        ("rescanner", skipped, "it was not scanned again: no network"),
        ("rescanner", nothing_scanned, "not what a scan of that tree gives"),
        ("fixer", edits_a_test, "tests/test_knots.py (a test)"),
        ("fixer", edits_the_code, "README.md, which it did not name"),
        ("fixer", does_nothing, "not of the tree that would be proposed"),
        ("fixer", takes_what_breaks, "not of the tree that would be proposed"),
    ],
)
def test_what_the_tree_does_not_bear_out_is_not_proposed(
    tmp_path: Path, wheels: Path, role: str, lie: Lie, told: str
) -> None:
    repo = make_crate(tmp_path / "crate")
    run = start(tmp_path, wheels, repo, lying(role, lie))
    (case,) = run.artifact(Cases).rows
    assert any(told in one for one in case.refused), case.refused
    assert case.outcome == "not fixed"
    assert run.approval is not None
    assert run.approval.action == "publish_report"
    assert told in run.artifact(Draft).markdown.replace("\\", "")
    assert git(repo, "status", "--porcelain") == ""


def test_a_scan_that_says_clean_of_what_is_not_is_refused(tmp_path: Path, wheels: Path) -> None:
    """The fix is undone and the second scan made up: the tree is looked at, not the scan."""

    def undone(found: Scan, task: Task) -> Scan:
        in_copy(task, "requirements.txt").write_text("knot==1.0\n")
        return clean(found, task)

    run = start(tmp_path, wheels, make_crate(tmp_path / "crate"), lying("rescanner", undone))
    (case,) = run.artifact(Cases).rows
    assert "the second scan is not what a scan of that tree gives" in case.refused
    assert case.outcome == "not fixed"


def test_a_judge_that_skips_everything_makes_it_not_scanned(tmp_path: Path, wheels: Path) -> None:
    """As pip-audit does without network: nothing known, exit code 0."""
    judge = tmp_path / "judge.py"
    judge.write_text(
        "import json\nprint(json.dumps({'dependencies': [{'name': 'knot', 'skip_reason': 'not found on PyPI'}]}))\n"
    )
    run = start(tmp_path, wheels, make_crate(tmp_path / "crate"), judge=f"{sys.executable} {judge}")
    (case,) = run.artifact(Cases).rows
    assert case.outcome == "not scanned"
    assert "it skipped knot: not found on PyPI" in run.artifact(Draft).markdown


def test_what_was_changed_in_the_repository_meanwhile_is_a_conflict_and_nothing_is_written(
    tmp_path: Path, wheels: Path
) -> None:
    repo = make_crate(tmp_path / "crate")
    run = start(tmp_path, wheels, repo)
    (repo / "requirements.txt").write_text("knot==1.0\nsail==3.0\n")
    git(repo, "commit", "-qam", "meanwhile")
    run.approve()
    assert (repo / "requirements.txt").read_text() == "knot==1.0\nsail==3.0\n"
    assert "| failed |" in run.artifact(Draft).markdown
