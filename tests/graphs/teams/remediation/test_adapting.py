"""Where only tests are against a version, a model adapts the code to it; what the checks do not accept is put back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from crates import KNOT, asks, make_crate, record, write_knots, write_records
from stand_in import digest_of, git

from signoff import Run
from signoff.agents import Cases
from signoff.agents.roles.coder import Done
from signoff.graphs.teams.remediation import remediation_team
from signoff.settings import Settings
from signoff.testing import ScriptedServer, calls, gives

APP = "import knot\n\n\ndef hold(text):\n    return knot.loose(knot.tie(text))\n"
ADAPTED = "import knot\n\n\ndef hold(text):\n    return knot.tie(text)\n"
TEST = """\
import unittest

from app import hold


class Holds(unittest.TestCase):
    def test_hold(self):
        self.assertEqual(hold("a"), "<a>")
"""
RECORDS = [
    record("PYSEC-1", "knot", {"introduced": "0"}, {"fixed": "1.1"}),
    record("PYSEC-2", "knot", {"introduced": "0"}, {"fixed": "2.0"}),
]
EDIT = calls("replace", path="app.py", old="knot.loose(knot.tie(text))", new="knot.tie(text)", digest=digest_of(APP))
DONE = gives(Done(summary="hold() ties alone."))


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    return make_crate(tmp_path / "crate", {"app.py": APP, "tests/test_knots.py": TEST})


def start(tmp_path: Path, repo: Path, *replies: Any) -> tuple[Run, list[str]]:
    """A run with a model that gives these replies, and what it was sent, call by call."""
    with ScriptedServer({"coder": list(replies)}) as server:
        known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        advisories, wheels = write_records(tmp_path / "advisories", RECORDS), write_knots(tmp_path / "wheels")
        asked = asks([repo], advisories, [wheels], tmp_path / "out.md")
        run = Run.start(remediation_team(settings=known), asked, settings=known)
        return run, [json.dumps(request.body) for request in server.requests]


def case_of(run: Run) -> Any:
    return run.artifact(Cases).rows[0]


def test_code_is_adapted_to_the_version_that_mends_all_and_proposed_with_it(tmp_path: Path, repo: Path) -> None:
    run, sent = start(tmp_path, repo, EDIT, DONE)
    assert "knot is at 2.0 now, for its security; it was at 1.0" in sent[0]
    assert "test_hold" in sent[0]
    case = case_of(run)
    assert (case.outcome, case.adapted) == ("fixed", ("app.py",))
    assert [(one.new, one.problem) for one in case.fix.taken] == [("2.0", "")]
    run.approve()
    assert ((repo / "app.py").read_text(), (repo / "requirements.txt").read_text()) == (ADAPTED, "knot==2.0\n")
    assert KNOT["2.0"] not in git(repo, "diff")


def test_where_the_model_gives_up_what_the_ladder_mended_is_proposed(tmp_path: Path, repo: Path) -> None:
    run, _ = start(tmp_path, repo, EDIT, gives(Done(summary="", cannot="I do not see how")))
    case = case_of(run)
    assert (case.outcome, case.adapted) == ("partly fixed", ())
    assert [one.new for one in case.fix.taken] == ["1.1"]
    run.approve()
    assert ((repo / "app.py").read_text(), (repo / "requirements.txt").read_text()) == (APP, "knot==1.1\n")


def test_a_model_that_takes_the_version_back_and_touches_a_test_is_not_believed(tmp_path: Path, repo: Path) -> None:
    back = calls("run", command="echo 'knot==1.0' > requirements.txt; echo > tests/test_knots.py")
    run, sent = start(tmp_path, repo, back, EDIT, DONE)
    case = case_of(run)
    assert len(sent) == 3
    assert (case.outcome, case.adapted) == ("partly fixed", ())
    run.approve()
    assert ((repo / "app.py").read_text(), (repo / "requirements.txt").read_text()) == (APP, "knot==1.1\n")
    assert (repo / "tests/test_knots.py").read_text() == TEST
