"""Real releases with real advisories, and the pins of a real repository; `python3 make.py real` fetches and runs."""

from __future__ import annotations

import os
import tarfile
import tomllib
from pathlib import Path
from typing import Any

import pytest
from stand_in import make_repository

from signoff import Run
from signoff.agents import Cases
from signoff.graphs.teams.remediation import remediation_team

HERE = Path(__file__).parent
REAL = tomllib.loads((HERE / "real.toml").read_text("utf-8"))
FETCHED = os.environ.get("REAL_INPUTS", "")
KEPT = ("tests", "test", "setup.cfg", "tox.ini", "pyproject.toml", "conftest.py")
"""What of a source distribution its tests need, beside the package."""

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not FETCHED, reason="its inputs are fetched and it is run by: python3 make.py real"),
]


def unpacked(name: str, kept: tuple[str, ...] = ()) -> dict[str, str]:
    """The text files of a source distribution, by path."""
    found = {}
    with tarfile.open(Path(FETCHED, name)) as archive:
        for member in archive:
            path = member.name.partition("/")[2]
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None and (not kept or path.split("/")[0] in kept):
                raw = file.read()
                try:
                    found[path] = raw.decode()
                except UnicodeDecodeError:
                    continue
    return found


def start(tmp_path: Path, repo: Path, **given: Any) -> Any:
    """The one case of a run with both judges, without network."""
    judge = Path(FETCHED, "tools", "bin", "pip-audit")
    asked = {"repos": [str(repo)], "wheels": [FETCHED], "offline": True, "judge": str(judge), **given}
    run = Run.start(remediation_team(model="offline"), {"out": str(tmp_path / "out.md"), **asked})
    (case,) = run.artifact(Cases).rows
    results = Path(FETCHED, "results")  # of which docs/remediation.md shows some
    results.mkdir(exist_ok=True)
    (results / f"{repo.name}.json").write_text(case.model_dump_json(indent=1))
    return case


def source_of(package: str, version: str) -> str:
    sources: dict[str, str] = REAL["sources"]
    return next(name for name in sources if name.lower() == f"{package}-{version}.tar.gz")


@pytest.mark.parametrize("known", REAL["case"], ids=lambda case: f"{case['package']}-{case['old']}")
def test_a_real_release_is_mended_as_it_was_upstream(tmp_path: Path, known: dict[str, Any]) -> None:
    files = unpacked(source_of(known["package"], known["old"]), KEPT)
    files["requirements.txt"] = f"{known['package']}=={known['old']}\n"
    records = tmp_path / "advisories"
    records.mkdir()
    for name in known["records"]:
        (records / f"{name}.yaml").write_bytes((HERE / "advisories" / f"{name}.yaml").read_bytes())
    check = [known["check"]] if "check" in known else []
    repo = make_repository(tmp_path / known["package"], files)
    case = start(tmp_path, repo, advisories=str(records), tool=known["tool"], check=check)
    assert case.outcome == known["outcome"], (case.left, case.refused)
    assert case.fix.taken[0].new == known["new"]
    assert case.after.findings == ()
    assert bool(case.fix.taken[0].contradicts) == known.get("contradicts", False)
    shown = case.fix.taken[0].regression
    assert bool(shown.fail_to_pass) == known.get("shown", True), shown


def test_the_pins_of_flask_2_2_4_are_mended_as_far_as_its_own_tests_allow(tmp_path: Path) -> None:
    """Werkzeug goes to 2.2.3, and of its third advisory it is said which tests are against 2.3.8."""
    known = REAL["consumer"]
    repo = make_repository(tmp_path / "flask", unpacked(known["source"]))
    case = start(
        tmp_path,
        repo,
        advisories=str(HERE / "advisories"),
        install=known["install"],
        tool=known["tool"],
    )
    assert case.outcome == "partly fixed"
    assert len(case.before.findings) == 12
    assert {one.ids[0] for one, _ in case.left} == {"PYSEC-2023-221"}
    assert {one.package: one.new for one in case.fix.taken}["werkzeug"] == "2.2.3"
    why = next(why for one, why in case.left if one.version == "2.2.2")
    for name in ("test_flash_signal", "test_session_transactions", "test_session_transactions_keep_context"):
        assert name in why.partition(";")[0]
