"""A bench runs a repository's own code where it harms nothing, and binds what it showed to the tree that it ran on."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from stand_in import CALC, CHECK, FILES, FIX, git, make_repository

from signoff.errors import FileRefused, GitFailed, SandboxMissing
from signoff.tools.files import Project
from signoff.tools.git import branch_of, uncommitted
from signoff.tools.sandbox.bench import Bench, find_environment, installed
from signoff.tools.sandbox.sandbox import SandboxLimits
from signoff.tools.storage import Workspaces

Make = Callable[..., Bench]

STEALS = """
import os, pathlib, socket, sys
for place in ("/root/.ssh", os.path.expanduser("~/.aws"), "{secret}", "/etc/shadow", "/proc/1/environ"):
    try:
        found = pathlib.Path(place).read_text()
        if "planted" in found:
            print("STOLEN", found)
    except OSError:
        pass
if "planted" in str(dict(os.environ)):
    print("STOLEN environment")
try:
    socket.create_connection(("127.0.0.1", {port}), 1)
    print("REACHED")
except OSError:
    pass
for place in ("{outside}", "/tmp/escaped", "../../escaped", "../escaped"):
    try:
        pathlib.Path(place).write_text("escaped")
    except OSError:
        pass
"""
"""What a setup.py, a test or a conftest of somebody else may try."""
KILLS = "import os\nfor one in range(1, 400):\n    try: os.kill(one, 9)\n    except OSError: pass\n"


@pytest.fixture
def bench(tmp_path: Path) -> Make:
    """Makes a bench over a new repository of these files."""

    def make(files: dict[str, str] | None = None, **options: object) -> Bench:
        repo = make_repository(tmp_path / "tin", {**FILES, **(files or {})})
        return Bench(**{"project": Project(repo), "checks": (CHECK,), **options})  # type: ignore[arg-type]

    return make


def test_a_proof_is_of_the_tree_as_it_is_and_no_other(bench: Make) -> None:
    made = bench()
    before = made.baseline()
    assert (before.tree, before.checks[0].exit_code, before.checks[0].executed) == (made.base_tree, 1, 2)
    assert before.checks[0].failed == ("test_add (tests.test_calc.Arithmetic.test_add)",)
    assert made.run(FIX).exit_code == 0
    after = made.prove()
    assert after.tree == made.tree != before.tree
    assert (after.checks[0].passes, made.problems()) == (True, ())
    made.run("echo >> README.md")
    assert made.tree != after.tree


def test_the_packages_of_all_projects_in_a_repository_are_found(bench: Make) -> None:
    files = {
        "packages/one/pyproject.toml": "",
        "packages/one/src/one/__init__.py": "",
        "packages/two/setup.py": "",
        "packages/two/two.py": "",
        "tests/sample/setup.py": "",
        "tests/sample/three.py": "",
    }
    made = bench(files, checks=("python3 -c 'import one, two, calc'",))
    assert made.baseline().checks[0].exit_code == 0
    assert made.run("python3 -c 'import three'").exit_code == 1  # what is made for tests is none of them


def test_what_was_shown_of_a_tree_is_kept_and_not_found_out_again(bench: Make) -> None:
    made, told = bench(), list[str]()
    made.baseline(told.append)
    replace(made).baseline(told.append)
    assert [line for line in told if line.startswith("runs")] == [f"runs {CHECK}"]
    other = replace(made, checks=("true",))
    other.baseline(told.append)
    assert told[-2] == "runs true"


def test_checks_do_not_see_what_is_not_proposed_and_leave_nothing_behind(bench: Make) -> None:
    """An ignored file would make the check pass here and nowhere else."""
    made = bench(checks=("test -e build/done; found=$?; mkdir -p build; touch build/done left.py; exit $found",))
    made.run("mkdir build; touch build/done; echo >> README.md")
    assert made.prove().checks[0].exit_code == 1
    assert "left.py" not in made.files()


def test_a_hostile_repository_harms_nothing(
    bench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serving: Callable[..., object]
) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer

    secret, outside = tmp_path / "secret", tmp_path / "outside"
    secret.write_text("planted")
    monkeypatch.setenv("SERVICE_TOKEN", "planted")
    with serving(HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)) as port:  # type: ignore[attr-defined]
        steals = STEALS.format(secret=secret, outside=outside, port=port)
        files = {
            "setup.py": steals,
            "tests/test_steals.py": f"{steals}\nimport unittest\n",
            "sitecustomize.py": steals,
            "tests/conftest.py": "import os, signal\nos.kill(-1, signal.SIGKILL)\n",
            "kill.py": KILLS,
        }
        made = bench(files, checks=("python3 setup.py", CHECK, "python3 kill.py", "python3 tests/conftest.py"))
        (made.project.folder / "out").symlink_to(secret)
        (made.project.folder / "up").symlink_to("..")
        git(made.project.folder, "add", "out", "up")
        git(made.project.folder, "commit", "-qm", "links")
        before = sorted(path.as_posix() for path in tmp_path.rglob("*") if ".signoff" not in path.parts)
        proof = made.baseline()
        made.run("cat out up/secret; ln -s /etc/shadow leak; ln -s ../../../.. above; touch up/escaped; rm -rf ../*")
    printed = "".join(run.output for run in proof.checks)
    assert "STOLEN" not in printed
    assert "REACHED" not in printed
    assert sorted(path.as_posix() for path in tmp_path.rglob("*") if ".signoff" not in path.parts) == before
    assert (secret.read_text(), outside.exists(), Path("/tmp/escaped").exists()) == ("planted", False, False)


def test_a_job_that_never_ends_is_stopped_and_is_no_evidence(bench: Make) -> None:
    limits = SandboxLimits(seconds=1, memory_mb=200, disk_mb=16)
    made = bench(checks=("while :; do :; done",), limits=limits)
    made.run("echo >> README.md")
    (problem,) = made.problems()
    assert "was stopped at its limit (time)" in problem


def test_read_only_files_are_put_back_with_those_that_are_gone(bench: Make) -> None:
    made = bench()
    made.run("rm -r tests; mkdir tests; echo > tests/test_new.py; echo > uv.lock; echo >> .github/workflows/test.yml")
    assert made.problems()[0].startswith("it changes what is read-only unless the task names it: .github/")
    assert made.put_back() == (
        ".github/workflows/test.yml", "tests/__init__.py", "tests/test_calc.py", "tests/test_new.py", "uv.lock"
    )  # fmt: skip
    assert made.tree == made.base_tree


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("tests/helpers/data.json", "a test"),
        ("src/pkg/test_it.py", "a test"),
        ("pkg/conftest.py", "a test"),
        ("web/cart.spec.ts", "a test"),
        ("TESTS/Thing.py", "a test"),
        ("src/test/java/App.java", "a test"),
        ("poetry.lock", "a lock file"),
        ("web/package-lock.json", "a lock file"),
        (".gitlab-ci.yml", "part of the CI"),
        ("src/testing/tools.py", ""),
        ("src/latest.py", ""),
        ("contest.py", ""),
        ("pyproject.toml", ""),
        ("docs/tests.md", ""),
    ],
)
def test_what_decides_whether_work_is_accepted_is_read_only(bench: Make, path: str, kind: str) -> None:
    made = bench()
    assert made.protected(path) == kind
    if kind:
        with pytest.raises(FileRefused, match=kind):
            made.check_writable(path)
        assert replace(made, may_edit=(path,)).protected(path) == ""
        assert replace(made, may_edit=("other/*",)).protected(path) == kind


def test_a_folder_may_be_named_whole(bench: Make) -> None:
    made = bench(may_edit=("tests/",))
    assert (made.protected("tests/test_calc.py"), made.protected("more/tests/test_calc.py")) == ("", "a test")


def test_several_copies_of_one_repository_do_not_reach_each_other(bench: Make, tmp_path: Path) -> None:
    """One for each item that is worked on at the same time."""
    first = bench()
    second = replace(first, project=Project(first.project.folder, workspaces=Workspaces(part="second")))
    assert first.copy.workspace != second.copy.workspace
    second.run(f"{FIX}; find /work -name calc.py | grep -c . > count.txt")
    assert second.copy.read("count.txt").raw == b"1\n"  # type: ignore[union-attr]
    assert first.tree == first.base_tree == second.base_tree != second.tree
    second.project.workspaces.remove("nobody")
    assert second.copy.workspace.exists()


def test_a_copy_is_made_what_it_was(bench: Make) -> None:
    made = bench()
    made.run("rm calc.py; echo > new.py; chmod +x README.md; echo more >> .gitignore")
    made.reset()
    assert made.tree == made.base_tree


@pytest.mark.parametrize(
    "command",
    [
        "rm -rf tests; ln -s . tests",
        "rm -rf tests; echo > tests",
        "rm -rf .github; mkdir -p .github/workflows/test.yml/x; echo > .github/workflows/test.yml/x/y",
        "rm calc.py; mkdir calc.py; echo > calc.py/a",
        "rm calc.py; ln -s README.md calc.py",
        "rm -rf tests; mkdir real; ln -s real tests; echo > real/test_calc.py",
        "chmod 000 tests/test_calc.py; chmod 000 tests",
    ],
)
def test_whatever_stands_in_the_place_of_a_file_it_is_made_what_it_was(bench: Make, command: str) -> None:
    made = bench()
    made.run(command)
    made.put_back()
    assert made.protected_changes() == ()
    made.reset()
    assert made.tree == made.base_tree


def test_a_virtual_environment_is_found_and_its_programs_run_under_another_name(bench: Make, tmp_path: Path) -> None:
    place = tmp_path / "tin" / ".venv"
    made = bench()
    assert find_environment(tmp_path / "tin") == Path(os.environ.get("VIRTUAL_ENV") or sys.prefix)
    (place / "bin").mkdir(parents=True)
    (place / "pyvenv.cfg").write_text(f"home = {Path(sys.base_prefix, 'bin')}\n")
    (place / "bin/python").symlink_to(Path(sys.base_prefix, "bin", "python3"))
    (place / "bin/greet").write_text(f"#!{place}/bin/python\nimport sys\nprint('hello', sys.argv[1], sys.prefix)\n")
    (place / "bin/greet").chmod(0o755)
    assert find_environment(tmp_path / "tin") == place
    given, folders = installed(place, "/env", tmp_path / "programs")
    assert (given["/env"], folders) == (place, ["/env-programs", "/env/bin"])
    assert replace(made, environment=place).run("greet Ann").stdout == "hello Ann /env\n"


def test_no_backend_of_a_name_is_an_error_and_never_the_host(bench: Make) -> None:
    with pytest.raises(SandboxMissing, match="nothing runs without one"):
        _ = bench(sandbox="monty").backend


def test_uncommitted_changes_are_found_without_git_looking_at_files(bench: Make) -> None:
    repo = bench().project.folder
    (repo / "new.py").write_text("")
    assert uncommitted(repo) == []
    (repo / "calc.py").write_text(CALC + "\n")
    (repo / "README.md").unlink()
    assert uncommitted(repo) == ["README.md", "calc.py"]


def test_a_branch_of_the_same_changes_is_made_once(bench: Make) -> None:
    made = bench()
    made.run(FIX)
    first = branch_of(made.project, "mend", "Let add() add")
    assert branch_of(made.project, "mend", "Let add() add") == first
    assert (first.remote, len(first.commit)) == (str(made.project.folder), 40)
    made.run("echo >> README.md")
    with pytest.raises(GitFailed, match="another branch 'mend'"):
        branch_of(made.project, "mend", "Let add() add")


def test_what_the_work_begins_with_is_not_read_again_to_judge_a_tree(
    bench: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = bench()
    made.baseline()
    called, program = tmp_path / "called", tmp_path / "bin" / "git"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {called}\nexec {shutil.which("git")} "$@"\n')
    program.chmod(0o755)
    called.touch()
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    assert made.run(FIX).exit_code == 0
    assert made.problems() == ()
    assert "cat-file --batch" not in called.read_text()
    made.base_files()
    assert "cat-file --batch" in called.read_text()
