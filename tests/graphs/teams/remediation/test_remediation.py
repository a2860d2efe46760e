"""The remediation team on one repository: patches, a release's own tests, and evidence against an advisory."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from crates import (
    CHECK,
    KNOT,
    KNOT_RECORDS,
    asks,
    make_crate,
    record,
    write_knots,
    write_pytest,
    write_records,
    write_sdist,
    write_wheel,
)
from stand_in import git

from signoff import Run
from signoff.agents import Cases, Draft, pull_text
from signoff.errors import BadInput
from signoff.graphs.teams.remediation import remediation_team

TIES = """\
import knot


def test_tie():
    assert knot.tie("a") == "<a>"


def test_odd():
    assert knot.tie("<a") == "<<a>"


def test_loose():
    assert knot.loose("a") == "a"
"""
"""A suite whose `test_odd` is the fault itself."""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pytest(write_knots(tmp_path_factory.mktemp("wheels")))


def start(
    tmp_path: Path,
    folders: Sequence[Path],
    repo: Path,
    records: Sequence[Mapping[str, Any]] = KNOT_RECORDS,
    **given: Any,
) -> Run:
    """A run without a second judge and without network."""
    asked = asks([repo], write_records(tmp_path / "advisories", records), folders, tmp_path / "out.md") | given
    return Run.start(remediation_team(model="offline"), asked)


def case_of(run: Run) -> Any:
    return run.artifact(Cases).rows[0]


def test_a_mended_pin_is_proposed_as_a_patch_with_its_evidence_and_the_summary_after_it(
    tmp_path: Path, wheels: Path
) -> None:
    repo = make_crate(tmp_path / "crate")
    run = start(tmp_path, [wheels], repo)
    assert run.approval is not None
    assert run.approval.action == "apply_to_project"
    assert "exit code 0, 2 tests executed" in run.approval.reason
    assert "Scanned again by signoff: 0 findings" in run.approval.reason
    assert (repo / "requirements.txt").read_text() == "knot==1.0\n"
    run.approve()
    assert git(repo, "diff", "-U0").splitlines()[-2:] == ["-knot==1.0", "+knot==1.1"]
    run.approve()
    assert run.status == "done"
    assert "1 repository: 1 fixed." in (tmp_path / "out.md").read_text()
    (evidence,) = json.loads((tmp_path / "out-evidence.json").read_text())["rows"]
    assert evidence["fix"]["attempts"][0]["wheels"][0]["file"] == "knot-1.1-py3-none-any.whl"


def test_what_a_person_rejects_changes_nothing_and_the_summary_says_so(tmp_path: Path, wheels: Path) -> None:
    repo = make_crate(tmp_path / "crate")
    run = start(tmp_path, [wheels], repo)
    run.reject("not now")
    assert git(repo, "status", "--porcelain") == ""
    assert "| rejected |" in run.artifact(Draft).markdown


def test_files_that_are_not_committed_are_not_scanned(tmp_path: Path, wheels: Path) -> None:
    repo = make_crate(tmp_path / "crate")
    (repo / "requirements.txt").write_text("knot==1.1\n")
    run = start(tmp_path, [wheels], repo)
    assert case_of(run).outcome == "not scanned"
    assert "not committed (requirements.txt)" in run.artifact(Draft).markdown


def test_the_tests_of_the_release_show_what_fails_before_and_passes_after(tmp_path: Path, wheels: Path) -> None:
    theirs = TIES.replace('"<<a>"', '"<a>"').replace("test_odd", "test_no_way_in")
    sources = tmp_path / "sources"
    write_sdist(sources, "knot", "1.1", {"knot.py": KNOT["1.1"], "tests/test_ties.py": theirs})
    run = start(tmp_path, [wheels, sources], make_crate(tmp_path / "crate"), tool=["pytest"])
    regression = case_of(run).fix.taken[0].regression
    assert (regression.fail_to_pass, regression.executed) == (("tests.test_ties::test_no_way_in",), 3)
    assert case_of(run).outcome == "fixed"


def test_tests_that_the_release_itself_changed_go_to_a_person(tmp_path: Path, wheels: Path) -> None:
    sources = tmp_path / "sources"
    theirs = TIES.replace('"<<a>"', '"<a>"')
    write_sdist(sources, "knot", "1.1", {"knot.py": KNOT["1.1"], "tests/test_ties.py": theirs})
    repo = make_crate(tmp_path / "crate", {"tests/test_knots.py": "", "tests/test_ties.py": TIES})
    run = start(tmp_path, [wheels, sources], repo)
    case = case_of(run)
    assert case.outcome == "fixed, tests changed their meaning"
    assert case.fix.taken[0].changed_tests == ("tests.test_ties::test_odd",)
    run.approve()
    assert "Tests that changed their meaning: `tests.test_ties::test_odd`" in run.artifact(Draft).markdown


@pytest.mark.hunt
def test_tests_that_fail_are_no_such_change_where_the_release_has_another_file(tmp_path: Path, wheels: Path) -> None:
    sources = tmp_path / "sources"
    write_sdist(
        sources, "knot", "1.1", {"knot.py": KNOT["1.1"], "tests/test_other.py": TIES.replace('"<<a>"', '"<a>"')}
    )
    repo = make_crate(tmp_path / "crate", {"tests/test_knots.py": "", "tests/test_ties.py": TIES})
    assert case_of(start(tmp_path, [wheels, sources], repo)).outcome == "not fixed"


@pytest.mark.hunt
def test_an_advisory_that_a_changelog_contradicts_is_said_and_the_later_release_taken(
    tmp_path: Path, wheels: Path
) -> None:
    """The record calls 1.1 fixed; the release after it lists the advisory, and its tests fail with 1.1."""
    more = tmp_path / "more"
    write_wheel(more, "knot", "1.1", {"knot.py": KNOT["1.0"]})
    write_wheel(more, "knot", "1.2", {"knot.py": KNOT["1.1"]})
    theirs = TIES.replace('"<<a>"', '"<a>"')
    changes = (
        "Changes\n=======\n\n1.2 (2024-02-02)\n----------------\n\n* CVE-1: nobody comes in.\n\n1.1\n---\n\n* Faster.\n"
    )
    write_sdist(more, "knot", "1.2", {"knot.py": KNOT["1.1"], "tests/test_ties.py": theirs, "CHANGES.rst": changes})
    write_pytest(more)
    write_wheel(more, "knot", "1.0", {"knot.py": KNOT["1.0"]})
    run = start(tmp_path, [more], make_crate(tmp_path / "crate"), tool=["pytest"])
    first, second = case_of(run).fix.attempts
    assert (first.new, second.new, second.problem) == ("1.1", "1.2", "")
    assert "lists CVE-1 under 1.2" in first.problem
    assert "1 fail with 1.1 and pass with 1.2, such as tests.test_ties::test_odd" in second.contradicts


def test_a_repository_that_pins_what_no_advisory_names_is_clean(tmp_path: Path, wheels: Path) -> None:
    other = [record("PYSEC-1", "sail", {"introduced": "0"})]
    run = start(tmp_path, [wheels], make_crate(tmp_path / "crate"), records=other)
    assert case_of(run).outcome == "no finding"


def test_what_has_no_tests_is_mended_by_a_command_that_shows_that_it_works(tmp_path: Path, wheels: Path) -> None:
    none = {"tests/__init__.py": "", "tests/test_knots.py": ""}
    repo = make_crate(tmp_path / "crate", none)
    loose = start(tmp_path, [wheels], repo, check=["python3 -c 'import knot; knot.loose'"])
    assert (case_of(loose).outcome, case_of(loose).fix.taken[0].new) == ("fixed", "1.1")
    assert "It counts no tests" in pull_text(case_of(loose))
    assert "Every test" not in pull_text(case_of(loose))
    broken = start(tmp_path, [wheels], repo, check=["python3 -c 'import knot; knot.tighten'"])
    assert "executes no test before any edit, with exit code 1" in case_of(broken).left[0][1]


def test_tests_that_end_before_they_are_counted_show_nothing(tmp_path: Path, wheels: Path) -> None:
    repo = make_crate(tmp_path / "crate", {"tests/test_knots.py": "import os\n\nos._exit(0)\n"})
    case = case_of(start(tmp_path, [wheels], repo, check=[CHECK]))
    assert case.outcome == "not fixed"
    assert "executes no test before any edit, with exit code 0" in case.left[0][1]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"repos": ["/nowhere"]}, "is not a git repository"),
        ({"advisories": "/nowhere"}, "there is no folder '/nowhere'"),
        ({"judge": "no-such-judge"}, "pip install pip-audit"),
        ({"tool": ["=="]}, "is not as pip takes it"),
    ],
)
def test_what_cannot_be_used_is_said_before_anything_begins(
    tmp_path: Path, wheels: Path, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(BadInput, match=told):
        start(tmp_path, [wheels], make_crate(tmp_path / "crate"), check=[CHECK], **given)
