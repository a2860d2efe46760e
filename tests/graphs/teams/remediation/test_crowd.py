"""Twenty repositories at once: each has its outcome with its reason, and none has another's."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from crates import asks, crowd, make_crowd, write_crowd
from stand_in import git

from signoff import Run, Settings
from signoff.agents import Cases, Draft
from signoff.graphs.teams.remediation import remediation_team


@dataclass
class Crowd:
    """A run that ended, and where it worked."""

    run: Run
    folder: Path
    asked: int
    """How many questions a person answered."""

    def case(self, name: str) -> Any:
        cases = {Path(one.repo).name: one for one in self.run.artifact(Cases).rows}
        return cases[name]

    def pinned(self, name: str, path: str = "requirements.txt") -> str:
        """The file on the branch that was pushed; what is on main where none was."""
        remote = self.folder / f"{name}.git"
        (branch,) = [
            one for one in git(remote, "for-each-ref", "--format=%(refname)", "refs/heads").split() if "main" not in one
        ] or ["main"]
        return git(remote, "show", f"{branch}:{path}")


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crowd]:
    folder = tmp_path_factory.mktemp("crowd")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(0)
        files = crowd(folder / "outside", listening.getsockname()[1])
        repos = make_crowd(folder, files)
        wheels, advisories = write_crowd(folder)
        settings = Settings(home=folder / "home", database=str(folder / "signoff.db"))
        asked = asks(repos, advisories, [wheels], folder / "out.md", pr="bare")
        run, count = Run.start(remediation_team(model="offline", settings=settings), asked, settings=settings), 0
        while run.approval is not None:
            run.approve(approval=run.alike())
            count += 1
        with pytest.raises(BlockingIOError):
            listening.accept()  # nothing in a sandbox came so far
        yield Crowd(run, folder, count)


OUTCOMES = {
    "plain": "fixed", "plain-again": "fixed", "later": "fixed", "hashed": "fixed", "moved": "fixed",
    "reaches": "fixed", "steals": "fixed", "two-manifests": "fixed", "elsewhere": "fixed",
    "partly": "partly fixed", "pyproject": "partly fixed", "garbage": "partly fixed",
    "strict": "not fixed", "locked": "not fixed", "untested": "not fixed", "kills": "not fixed",
    "no-fix": "not fixed", "no-wheel": "not fixed", "unpinned": "not scanned", "clean": "no finding",
}  # fmt: skip


@pytest.mark.parametrize("name", OUTCOMES)
def test_each_repository_has_its_own_outcome(ended: Crowd, name: str) -> None:
    assert ended.case(name).outcome == OUTCOMES[name], ended.case(name).left


def test_there_are_twenty_of_them_and_a_person_is_asked_twice(ended: Crowd) -> None:
    assert len(OUTCOMES) == len(ended.run.artifact(Cases).rows) == 20
    assert (ended.run.status, ended.asked) == ("done", 2)  # all pull requests together, and the summary


def test_only_the_version_of_a_pin_changes_on_the_branch(ended: Crowd) -> None:
    assert ended.pinned("plain") == "# pinned\nknot == 1.1  # ties"
    assert ended.pinned("pyproject", "pyproject.toml").splitlines()[-1] == 'dependencies = ["knot[x] == 1.1", "rope"]'
    assert ended.pinned("two-manifests", "requirements/docs.txt") == "Knot==1.1"
    assert ended.pinned("strict") == "knot==1.0"
    assert git(ended.folder / "plain", "status", "--porcelain") == ""


def test_a_pull_request_stands_once_in_each_remote_where_something_was_mended(ended: Crowd) -> None:
    for name, outcome in OUTCOMES.items():
        records = git(ended.folder / f"{name}.git", "for-each-ref", "--format=%(refname)", "refs/signoff/pulls").split()
        assert len(records) == int(outcome in ("fixed", "partly fixed")), name


def test_all_names_of_a_vulnerability_are_one_finding_and_a_withdrawn_record_is_none(ended: Crowd) -> None:
    (finding,) = ended.case("plain").before.findings
    assert finding.ids == ("PYSEC-1", "GHSA-1", "CVE-1")
    assert (finding.fixed, finding.severity) == (("1.1",), 8.0)


def test_a_version_that_breaks_tests_is_not_taken_and_a_later_one_is(ended: Crowd) -> None:
    first, second = ended.case("later").fix.attempts
    assert (first.new, second.new, second.problem) == ("1.1", "1.2", "")
    assert "test_loose" in first.problem


def test_what_no_version_mends_is_left_with_the_tests_that_are_against_it(ended: Crowd) -> None:
    case = ended.case("partly")
    ((left, why),) = case.left
    assert ([one.id for one in case.gone], left.id) == (["PYSEC-B1"], "PYSEC-B2")
    assert "2.0: 'python -m unittest -q' fails" in why
    assert "test_loose" in why
    assert ended.pinned("partly") == "bend==1.1"


def test_hashes_of_a_pin_become_those_of_the_wheel_that_was_tested(ended: Crowd) -> None:
    (wheel,) = ended.case("hashed").fix.taken[0].wheels
    assert ended.pinned("hashed") == f"knot==1.1 \\\n    --hash=sha256:{wheel.sha256}\n    # via nobody"


def test_what_the_resolver_has_to_move_is_moved_along_and_listed(ended: Crowd) -> None:
    (taken,) = ended.case("moved").fix.taken
    assert taken.moved == {"rope": ("1.0", "1.5")}
    assert ended.pinned("moved") == "knot==1.1\nrope==1.5"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("locked", "uv lock --upgrade-package knot==1.1"),
        ("untested", "executes no test before any edit"),
        ("kills", "executes no test before any edit, with exit code 137"),
        ("no-fix", "the records name no fixed version"),
        ("no-wheel", "There is no wheel of lost 1.0"),
        ("strict", "test_tie"),
    ],
)
def test_what_is_not_fixed_says_why(ended: Crowd, name: str, why: str) -> None:
    assert why in ended.case(name).left[0][1]
    assert why.split(" (")[0] in ended.run.artifact(Draft).markdown.replace("\\", "")


def test_what_is_not_scanned_says_why_and_is_never_clean(ended: Crowd) -> None:
    assert "no exact version is pinned" in ended.case("unpinned").before.problem
    gaps = " ".join(ended.case("garbage").before.gaps)
    assert "missing.txt: requirements.txt names it" in gaps
    assert "uv.lock: TOMLDecodeError" in gaps


def test_hostile_repositories_harm_nothing(ended: Crowd) -> None:
    """Tests that write outside and connect, a setup.py and a conftest.py that write: nothing of it is there."""
    assert not (ended.folder / "outside").exists()
    assert not Path("/etc/signoff-was-here").exists()
    assert not Path("/usr/signoff-was-here").exists()


def test_what_the_tests_do_not_install_is_said_to_be_untested(ended: Crowd) -> None:
    assert not ended.case("elsewhere").fix.taken[0].exercised
    assert "The tests do not install it: they show nothing of it." in git(
        ended.folder / "elsewhere.git", "for-each-ref", "--format=%(contents)", "refs/signoff/pulls"
    )


def test_the_text_of_a_pull_request_is_the_evidence(ended: Crowd) -> None:
    case = ended.case("plain")
    told = git(ended.folder / "plain.git", "for-each-ref", "--format=%(contents)", "refs/signoff/pulls")
    assert told.startswith("Update knot 1.0 to 1.1 (1 finding)\n")
    for shown in (case.fix.taken[0].wheels[0].sha256, case.after.advisories, str(case.verified.proof)[:40], "PYSEC-1"):
        assert shown in told
    (evidence,) = [
        one
        for one in json.loads((ended.folder / "out-evidence.json").read_text())["rows"]
        if one["repo"].endswith("/plain")
    ]
    assert evidence["after"]["advisories"] == case.after.advisories


def test_the_summary_has_those_first_that_need_a_person(ended: Crowd) -> None:
    rows = re.findall(r"^\| \S*?/([^/ ]+) \| ([^|]+) \|", (ended.folder / "out.md").read_text(), re.MULTILINE)
    outcomes = [outcome for _, outcome in rows]
    assert len(rows) == 20
    assert (
        outcomes.index("partly fixed")
        < outcomes.index("not fixed")
        < outcomes.index("not scanned")
        < outcomes.index("fixed")
    )
    assert outcomes[-1] == "no finding"
