"""Projects: what is copied for a run, what is left out, and that no path leads out of the copy."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import warm
from hypothesis import HealthCheck, given, settings, strategies as st

from signoff.errors import FileRefused, ProjectUnusable
from signoff.tools.files.apply import Version
from signoff.tools.files.copying import ProjectLimits, is_secret, leads_out
from signoff.tools.files.patch import check_name
from signoff.tools.files.project import Project, WorkCopy
from signoff.tools.storage.workspaces import Workspaces


def below(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def git(folder: Path, *arguments: str) -> str:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main")
    return subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_a_folder_is_copied_without_secrets_and_what_programs_made(project: Project, folder: Path) -> None:
    copy = project.copy()
    kept = below(folder)
    del kept[".env"], kept["node_modules/left/pad.js"]
    assert below(copy.workspace / "tin") == kept
    assert "secrets" in copy.base.left_out[".env"]
    assert (copy.workspace / "tin/run.sh").stat().st_mode & 0o100


def test_links_that_lead_out_are_not_copied_and_those_within_are_not_followed(project: Project, folder: Path) -> None:
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("../..")
    (folder / "in").symlink_to("src")
    os.mkfifo(folder / "pipe")
    copy = project.copy()
    assert sorted(set(copy.base.left_out) - {".env"}) == ["in", "out", "pipe", "up"]
    place = copy.workspace / "tin"
    assert os.readlink(place / "in") == "src"
    assert not any((place / name).is_symlink() or (place / name).exists() for name in ("out", "up", "pipe"))


def test_of_a_git_repository_only_what_is_committed_is_copied(project: Project, folder: Path) -> None:
    git(folder, "init", "-q")
    git(folder, "add", "-f", "README.md", ".env", "src")
    git(folder, "commit", "-qm", "first")
    (folder / "README.md").write_text("not committed")
    copy = project.copy()
    assert copy.read("README.md") == Version(b"# Tin\n\nA can of things.\n")
    assert {entry.path for entry in copy.files()} == {"README.md", "src/old.txt", "src/tin.py", "src/windows.txt"}
    assert not (copy.workspace / "tin" / ".git").exists()
    assert not (copy.workspace / "tin" / ".env").exists()


def test_a_git_repository_without_a_commit_says_so(project: Project, folder: Path) -> None:
    git(folder, "init", "-q")
    with pytest.raises(ProjectUnusable, match="no commit yet"):
        project.copy()


def test_a_project_that_is_too_large_is_refused(folder: Path, tmp_path: Path) -> None:
    for limits in (ProjectLimits(files=2), ProjectLimits(megabytes=0.00001)):
        with pytest.raises(ProjectUnusable, match="more than"):
            Project(folder, workspaces=Workspaces(tmp_path / "kept"), limits=limits).copy()


def test_the_same_run_finds_its_copy_again_and_another_run_has_its_own(folder: Path, tmp_path: Path) -> None:
    from langchain_core.runnables import RunnableLambda

    def edit(thread: str, text: str) -> bytes:
        def step(_: str) -> bytes:
            copy = Project(folder, workspaces=Workspaces(tmp_path / "kept")).copy()
            version = copy.read("README.md")
            assert version is not None
            copy.write("README.md", Version(version.raw + text.encode()))
            return version.raw

        found: bytes = RunnableLambda(step).invoke("", {"configurable": {"thread_id": thread}})
        return found

    first = edit("one", "+")
    assert edit("one", "+") == first + b"+"
    assert edit("two", "+") == first


def test_a_copy_that_was_killed_while_it_was_made_is_made_again(folder: Path, tmp_path: Path) -> None:
    program = (
        "import os, sys\n"
        "from signoff.tools.files.project import Project\n"
        "from signoff.tools.storage.workspaces import Workspaces\n"
        "from langchain_core.runnables import RunnableLambda\n"
        "def stop(event, args):\n"
        "    if event == 'os.rename': os.kill(os.getpid(), 9)\n"
        "sys.addaudithook(stop)\n"
        "project = Project(sys.argv[1], workspaces=Workspaces(sys.argv[2]))\n"
        "RunnableLambda(lambda _: project.copy()).invoke(None, {'configurable': {'thread_id': 't'}})\n"
    )
    done = warm.run([sys.executable, "-c", program, str(folder), str(tmp_path / "kept")], check=False)
    assert done.returncode == -9
    workspaces = Workspaces(tmp_path / "kept")
    assert list(workspaces.of("t").iterdir()) == []

    from langchain_core.runnables import RunnableLambda

    project = Project(folder, workspaces=workspaces)

    def find(_: str) -> WorkCopy:
        return project.copy()

    copy = RunnableLambda(find).invoke("", {"configurable": {"thread_id": "t"}})
    assert copy.read("README.md") is not None


def test_what_was_kept_for_a_workspace_that_is_gone_goes_as_well(folder: Path, tmp_path: Path) -> None:
    project = Project(folder, workspaces=Workspaces(tmp_path / "kept"))
    copy = project.copy()
    assert copy.kept.exists()
    copy.workspace.rename(tmp_path / "away")
    Project(folder, workspaces=Workspaces(tmp_path / "kept")).copy()
    assert not copy.kept.exists()


paths = st.lists(
    st.sampled_from(
        ["..", ".", "", "a", "src", "link", "out", "~", ".git", ".GIT ", "C:", "\0", "tin.py", "é", "\udc80"]
    ),
    max_size=6,
).map("/".join) | st.text(max_size=30)


@settings(max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(paths)
def test_whatever_the_path_nothing_outside_of_the_copy_is_read_or_written(
    project: Project, tmp_path: Path, path: str
) -> None:
    copy = project.copy()
    outside = tmp_path / "outside"
    if not outside.exists():
        outside.mkdir()
        (outside / "secret").write_text("secret")
        (copy.workspace / "tin/link").symlink_to(outside)
        (copy.workspace / "tin/out").symlink_to(outside / "secret")
    before = below(tmp_path / "tin"), below(outside), below(copy.kept)
    for each in (path, f"link/{path}", f"{path}/secret"):
        try:
            version = copy.read(each)
            assert version is None or version.raw != b"secret"
            copy.write(each, Version(b"written"))
        except FileRefused:
            continue
        name = check_name(each)
        assert check_name(name) == name
        assert (copy.workspace / "tin" / name).resolve().is_relative_to(copy.workspace / "tin")
        if name not in copy.base.files:
            copy.write(name, None)
    assert (below(tmp_path / "tin"), below(outside), below(copy.kept)) == before
    assert {entry.name for entry in copy.workspace.iterdir()} == {"tin"}


def test_a_copy_that_a_job_swapped_for_a_link_is_not_followed(project: Project, tmp_path: Path) -> None:
    copy = project.copy()
    (copy.workspace / "tin").rename(copy.workspace / "moved")
    (copy.workspace / "tin").symlink_to("/etc")
    with pytest.raises(FileRefused):
        copy.read("passwd")
    with pytest.raises(FileRefused):
        copy.write("planted", Version(b"x"))
    assert copy.files() == ()


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        (".env", True),
        ("deep/.env.local", True),
        ("prod.env", True),
        (".env.example", False),
        ("server.key", True),
        ("cert.pem", True),
        ("id_ed25519", True),
        ("credentials.json", True),
        ("secrets.yaml", True),
        ("tokens.py", False),
        ("keyboard.txt", False),
        ("README.md", False),
        (".npmrc", True),
    ],
)
def test_files_that_hold_secrets_are_told_by_their_names(name: str, secret: bool) -> None:
    assert is_secret(name) is secret


@pytest.mark.parametrize(
    ("path", "target", "out"),
    [
        ("a", "b", False),
        ("a/b", "../c", False),
        ("a", "../c", True),
        ("a", "/etc", True),
        ("a/b", "../.git/x", True),
        ("a", "b/../c", True),
        ("a/b/c", "d/../../e", True),
        ("a/b", ".", False),
    ],
)
def test_where_a_link_leads_is_told_by_its_text(path: str, target: str, out: bool) -> None:
    assert leads_out(path, target) is out


@pytest.mark.parametrize("name", [".GIT", "git~1", "~home", "\udcff"])
def test_rules_in_folders_that_no_tool_reads_keep_no_tool_from_working(folder: Path, tmp_path: Path, name: str) -> None:
    """A job may have made them, where the names are allowed."""
    for arguments in (["init", "-q"], ["add", "README.md"], ["commit", "-qm", "first"]):
        git(folder, *arguments)
    project = Project(folder, workspaces=Workspaces(tmp_path / "kept"))
    copy = project.copy()
    (copy.workspace / "tin" / name).mkdir()
    (copy.workspace / "tin" / name / ".gitignore").write_text("*\n")
    (copy.workspace / "tin" / "new").write_text("x")
    assert [entry.path for entry in copy.files()] == ["README.md", "new"]


def test_two_projects_of_one_name_are_not_taken_for_each_other(project: Project, tmp_path: Path) -> None:
    project.copy()
    (tmp_path / "other" / "tin").mkdir(parents=True)
    with pytest.raises(ProjectUnusable, match="Give another name="):
        Project(tmp_path / "other" / "tin", workspaces=project.workspaces).copy()
    named = Project(tmp_path / "other" / "tin", workspaces=project.workspaces, name="second")
    assert named.copy().files() == ()


def test_tools_of_several_objects_for_one_project_make_one_copy(folder: Path, tmp_path: Path) -> None:
    workspaces = Workspaces(tmp_path / "kept")
    workspaces.current()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: Project(folder, workspaces=workspaces).copy(), range(8)))
    assert {copy.read("README.md") for copy in made} == {made[0].read("README.md")}
    assert made[0].read("README.md") is not None


def test_a_name_that_is_too_long_for_a_file_comes_back_as_text(use: Callable[..., str]) -> None:
    assert "name too long" in use("write_file", path="x" * 300, text="x")
    assert "name too long" in use("read_file", path="é" * 140)


def test_what_was_left_out_stays_out(use: Callable[..., str]) -> None:
    assert "left out of the copy" in use("read_file", path=".env")
    assert "left out of the copy" in use("write_file", path=".env", text="x")
    assert "planted-secret" not in use("search_files", pattern="planted")


def test_a_folder_that_is_not_there_is_told_when_the_team_is_built(tmp_path: Path) -> None:
    with pytest.raises(ProjectUnusable, match="there is no such folder"):
        Project(tmp_path / "nowhere")
