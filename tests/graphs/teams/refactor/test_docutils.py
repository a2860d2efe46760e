"""The real case: docutils 0.20.1, 85,000 lines, by three codemods; `python3 make.py real -- -k docutils -s` runs it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest

from signoff import Run
from signoff.graphs.teams import refactor_team
from signoff.graphs.teams.refactor import CodeMap, Refactoring, Units

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif("REAL_INPUTS" not in os.environ, reason="python3 make.py real fetches docutils first"),
]

SUITE = "python test/alltests.py"
LEFT = "ruff check --isolated --select UP031 --output-format concise docutils tools | grep -c UP031"
FEWER = f"test $({LEFT}) -lt 220"
"""Of 656 places flynt leaves 206, which it cannot do."""
LIBCST = (
    "python -m libcst.tool codemod --no-format -x "
    "libcst.codemod.commands.convert_percent_format_to_fstring.ConvertPercentFormatStringCommand"
)


@pytest.fixture
def docutils(tmp_path: Path) -> Path:
    with tarfile.open(Path(os.environ["REAL_INPUTS"], "docutils-0.20.1.tar.gz")) as archive:
        archive.extractall(tmp_path, filter="data")
    folder = tmp_path / "docutils-0.20.1"
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org")
    for words in (("init", "-q", "-b", "main"), ("add", "-A", "-f"), ("commit", "-qm", "0.20.1")):
        subprocess.run(["git", *who, *words], cwd=folder, check=True)
    return folder


def start(docutils: Path, *codemods: str, **given: Any) -> Run:
    def tell(event: Any) -> None:
        if event.kind == "says":
            sys.stderr.write(f"{event.agent}: {event.text[:200]}\n")

    asked = {
        "goal": "Use f-strings",
        "repo": str(docutils),
        "env": str(Path(os.environ["REAL_INPUTS"], "tools")),
        "check": [SUITE],
        "codemod": codemods,
        "files": ["docutils/*.py", "tools/*.py"],
        **given,
    }
    run = Run.start(refactor_team(model="offline"), asked, watch=tell)
    sys.stderr.write(f"{run.status}: {run.record.note}\n{run.approval.reason if run.approval else ''}\n")
    return run


def test_flynt_over_its_units_passes_in_bounded_memory(docutils: Path) -> None:
    run = start(docutils, "flynt -f -ll 9999 {files}", goal_check=[FEWER], lines=8_000)
    parts = run.artifact(CodeMap).parts
    assert [len(cycle) for cycle in parts.cycles] == [5, 2]
    assert run.approval is not None
    assert "1,601 tests executed, 2 skipped" in run.approval.reason
    found = run.artifact(Refactoring)
    assert len(found.files) == 47
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 700_000  # kB
    run.approve()
    left = subprocess.run(
        ["git", "status", "--porcelain"], cwd=docutils, check=True, capture_output=True, text=True
    ).stdout
    assert len(left.splitlines()) == 47


def test_the_codemod_of_libcst_loses_tests_and_is_refused_with_the_reason(docutils: Path) -> None:
    run = start(docutils, f"{LIBCST} docutils tools")
    assert (run.approval, run.status) == (None, "stopped")
    assert "executes fewer tests:" in run.record.note
    assert "and 1,601 before any edit" in run.record.note


def test_flynt_and_pyupgrade_conflict_and_the_second_is_applied_on_the_first(docutils: Path) -> None:
    flynt = "flynt -f -ll 9999 docutils tools"
    run = start(docutils, flynt, "pyupgrade --py38-plus $(find docutils tools -name '*.py')")
    assert run.approval is not None
    assert [one.status for one in run.artifact(Units).results] == ["done", "applied again"]
