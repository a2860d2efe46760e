"""The second judge: what it skips was not scanned, and where it disagrees nothing is clean."""

from __future__ import annotations

import json
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from crates import KNOT_RECORDS

from signoff.errors import JudgeFailed, JudgeMissing
from signoff.tools.advisories import AdvisorySet, audit, disagreements

REAL = Path(__file__).parents[2] / "graphs" / "teams" / "remediation" / "advisories"
FETCHED = os.environ.get("REAL_INPUTS", "")
ADVISORIES = AdvisorySet.made_of(KNOT_RECORDS)
PINS = [("knot", "1.0"), ("sail", "2.0")]


def says(folder: Path, report: Any, code: int = 0) -> str:
    """A program that prints this report, whatever it is asked."""
    place = folder / "judge.py"
    text = report if isinstance(report, str) else json.dumps(report)
    place.write_text(f"import sys\nprint({text!r})\nsys.exit({code})\n")
    return f"{sys.executable} {place}"


def knows(*dependencies: Any) -> Any:
    return {"dependencies": list(dependencies), "fixes": []}


KNOT = {"name": "Knot", "version": "1.0", "vulns": [{"id": "GHSA-1", "aliases": ["CVE-1"], "fix_versions": []}]}
SAIL: dict[str, Any] = {"name": "sail", "version": "2.0", "vulns": []}


def test_what_it_finds_by_any_name_is_the_same_finding(tmp_path: Path) -> None:
    known = audit(says(tmp_path, knows(KNOT, SAIL), 1), PINS, ADVISORIES)
    assert disagreements(ADVISORIES.find("knot", "1.0"), known) == ()


@pytest.mark.parametrize(
    ("report", "code", "told"),
    [
        (knows(KNOT), 1, "audited 1 of 2 packages; not sail 2.0"),
        (knows(), 0, "audited 0 of 2"),
        (knows(KNOT, {"name": "sail", "skip_reason": "not found on PyPI"}), 0, "skipped sail: not found on PyPI"),
        (knows(KNOT, {**SAIL, "version": "2.1"}), 1, "not sail 2.0"),
        ("No known vulnerabilities found", 0, "no report"),
        (knows(KNOT, SAIL), 2, "exit code 2"),
        ({"dependencies": [{"name": "knot"}]}, 0, "not what is expected"),
    ],
)
def test_a_report_that_lacks_a_package_is_not_scanned_whatever_its_exit_code(
    tmp_path: Path, report: Any, code: int, told: str
) -> None:
    with pytest.raises(JudgeFailed, match=told):
        audit(says(tmp_path, report, code), PINS, ADVISORIES)


def test_what_only_one_of_the_two_finds_is_told(tmp_path: Path) -> None:
    other = {**SAIL, "vulns": [{"id": "PYSEC-9", "aliases": [], "fix_versions": []}]}
    known = audit(says(tmp_path, knows({**KNOT, "vulns": []}, other), 1), PINS, ADVISORIES)
    told = disagreements(ADVISORIES.find("knot", "1.0"), known)
    assert told == (
        "pip-audit does not find PYSEC-1 (GHSA-1, CVE-1) in knot 1.0",
        "pip-audit alone finds PYSEC-9 in sail 2.0",
    )


def test_a_judge_that_is_not_installed_says_how_to_install_it() -> None:
    with pytest.raises(JudgeMissing, match=r"Install it: pip install pip-audit; or .*--judge none"):
        audit("no-such-judge", PINS, ADVISORIES)


@pytest.mark.real
@pytest.mark.skipif(not FETCHED and find_spec("pip_audit") is None, reason="pip-audit is not installed")
def test_pip_audit_itself_agrees_finding_for_finding() -> None:
    command = str(Path(FETCHED, "tools", "bin", "pip-audit")) if FETCHED else "pip-audit"
    advisories = AdvisorySet.read(REAL)
    pins = [
        ("werkzeug", "2.2.2"),
        ("werkzeug", "2.2.3"),
        ("idna", "3.4"),
        ("oauthlib", "3.2.1"),
        ("cryptography", "40.0.2"),
    ]
    known = audit(command, pins, advisories)
    findings = [one for name, version in pins for one in advisories.find(name, version)]
    assert disagreements(findings, known) == ()
    assert [len(known[pin]) > 0 for pin in pins] == [True, True, True, False, True]
