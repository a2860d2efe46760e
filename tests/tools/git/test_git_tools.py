"""The tools for git on the run's copy: what they say, what they commit, and that nothing in a repository can run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from signoff.errors import GitFailed, ProjectUnusable, TeamError
from signoff.tools.action import Action
from signoff.tools.files.project import Project
from signoff.tools.git.command import run_git
from signoff.tools.git.pull_requests import GitHub
from signoff.tools.git.push import Remote
from signoff.tools.git.repository import Repository, check_branch
from signoff.tools.git.tools import git_tools


def test_only_what_leaves_the_copy_is_an_action(project: Project, remote: Path) -> None:
    assert not any(isinstance(tool, Action) for tool in git_tools(project))
    found = {tool.name: tool.risk for tool in git_tools(project, remote="origin")}
    assert found == {
        "git_status": "read",
        "git_diff": "read",
        "git_log": "read",
        "git_branch": "sandboxed",
        "git_commit": "sandboxed",
        "push_branch": "external",
        "open_pull_request": "external",
    }


def test_what_was_changed_is_told_shown_and_committed(
    use: Callable[..., str], project: Project, as_person: Callable[..., str], folder: Path
) -> None:
    copy = project.copy()
    place = copy.workspace / "tin"
    assert "Nothing differs" in use("git_status")
    (place / "README.md").write_text("# Can\n")
    (place / "new.py").write_text("print()\n")
    (place / "new.py").chmod(0o755)
    (place / "run.sh").unlink()
    assert use("git_status").splitlines()[1:] == ["M README.md", "A new.py", "D run.sh"]
    assert "-# Tin\n+# Can" in use("git_diff")
    assert "new.py" not in use("git_diff", paths=("README.md",))
    assert "'fix'" in use("git_branch", name="fix")
    made = use("git_commit", message="Call it a can", paths=("README.md",)).split()[1]
    assert use("git_status").splitlines()[1:] == ["A new.py", "D run.sh"]
    use("git_commit", message="The rest")
    assert "2 commits since" in use("git_status")
    assert "Nothing differs" in use("git_diff")
    assert "+print()" in use("git_diff", since="base")
    assert made[:7] in use("git_log")
    assert use("git_branch").splitlines()[0].startswith("* fix")
    repository = copy.repository
    assert repository is not None
    assert repository.run("show", "-s", "--format=%an <%ae>", "HEAD").strip() == "signoff agent <agent@signoff.invalid>"
    tree = {entry.path: entry.mode for entry in repository.tree("HEAD")}
    assert tree == {
        ".env": "100644",
        ".gitignore": "100644",
        "README.md": "100644",
        "link": "120000",
        "new.py": "100755",
    }
    assert as_person(folder, "log", "--format=%s") == "first"
    assert as_person(folder, "status", "--porcelain") == ""


def test_what_is_ignored_or_holds_secrets_is_not_committed(use: Callable[..., str], project: Project) -> None:
    place = project.copy().workspace / "tin"
    for name in ("build/x", "y.log", "node_modules/z", "deploy.key", "sub/.gitignore", "sub/own", ":odd"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text("own\n")
    assert use("git_status").splitlines()[1:] == ["A :odd", "A sub/.gitignore"]


def test_no_commit_makes_a_repository_within_the_project(use: Callable[..., str], project: Project) -> None:
    """Whoever fetched it and asked git for anything in there would run what its config names."""
    place = project.copy().workspace / "tin" / "docs"
    for name in ("config", "refs/a", "HEAD"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("x\n")
    use("git_commit", message="one")
    (place / "objects").mkdir()
    (place / "objects" / "b").write_text("x\n")
    assert "'docs' is or would be a git repository's own folder" in use("git_commit", message="two")


def test_what_was_left_out_stays_in_commits_whatever_stands_in_its_place(
    use: Callable[..., str], project: Project, folder: Path, as_person: Callable[..., str]
) -> None:
    (folder / "deep").mkdir()
    (folder / "deep" / "secret.key").write_text("planted")
    as_person(folder, "add", "-f", ".")
    commit = as_person(folder, "rev-parse", "HEAD")
    as_person(folder, "update-index", "--add", "--cacheinfo", f"160000,{commit},module")
    as_person(folder, "commit", "-qm", "more")
    place = project.copy().workspace / "tin"
    (place / "link").unlink()
    for name in ("link", ".env", "module"):
        (place / name).mkdir(exist_ok=True)
        (place / name / "new").write_text("x")
    (place / "deep").write_text("a file")
    assert "Nothing differs" in use("git_status")
    (place / "README.md").write_text("x")
    use("git_branch", name="fix")
    made = use("git_commit", message="x").split()[1]
    kept = project.copy().repository
    assert kept is not None
    assert [path for _, path in kept.status("HEAD~1", made)] == ["README.md"]


def test_secrets_of_the_history_are_not_shown(
    use: Callable[..., str], folder: Path, as_person: Callable[..., str]
) -> None:
    (folder / ".env").write_text("TOKEN=another-planted\n")
    (folder / "README.md").write_text("# Can\n")
    as_person(folder, "commit", "-qam", "second")
    shown = use("git_diff", since="HEAD~1")
    assert "+# Can" in shown
    assert "planted" not in shown


def test_problems_come_back_as_text(use: Callable[..., str]) -> None:
    assert "nothing differs" in use("git_commit", message="x")
    assert "message is empty" in use("git_commit", message=" ")
    assert "there is no commit" in use("git_diff", since="nowhere")
    assert "there is no commit" in use("git_diff", since="--output=/tmp/x")
    assert "cannot be the name" in use("git_branch", name="a..b")
    assert "cannot be the name" in use("git_branch", name="-d")
    use("git_branch", name="fix")
    assert "git update-ref" in use("git_branch", name="fix")


@settings(max_examples=40, deadline=None)
@given(st.text(st.sampled_from("ab-./~^:@{\\ \n\t*[é\0"), max_size=12))
def test_a_name_of_a_branch_is_one_that_git_cannot_read_otherwise(name: str) -> None:
    try:
        check_branch(name)
    except GitFailed:
        return
    assert name
    assert not name.startswith("-")
    assert not set(name) & set("~^: \n\t*[\\\0")
    assert ".." not in name
    assert "@{" not in name


def test_a_folder_that_is_no_repository_says_so(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    from signoff.tools.storage.workspaces import Workspaces

    tools = {
        tool.name: tool for tool in git_tools(Project(tmp_path / "plain", workspaces=Workspaces(tmp_path / "kept")))
    }
    assert "no git repository" in tools["git_status"].invoke({})  # type: ignore[union-attr]  # it is a tool


@pytest.fixture
def trap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that leaves a mark when it is started; the mark is named like it, with `.sprung`."""
    program = tmp_path / "trap"
    program.write_text(f"#!/bin/sh\ntouch {program}.sprung\ncat\n")
    program.chmod(0o755)
    return program


def set_traps(git_dir: Path, trap: Path) -> None:
    """Every way that a repository's own folder has to name a program."""
    config = git_dir / "config"
    config.write_text(
        f"{config.read_text()}\n[core]\n fsmonitor = {trap}\n sshCommand = {trap}\n pager = {trap}\n editor = {trap}\n"
        f" askPass = {trap}\n hooksPath = {git_dir}/hooks\n[pager]\n log = {trap}\n diff = {trap}\n"
        f'[filter "trap"]\n clean = {trap}\n smudge = {trap}\n process = {trap}\n required = true\n'
        f'[diff "trap"]\n textconv = {trap}\n command = {trap}\n[diff]\n external = {trap}\n'
        f"[credential]\n helper = {trap}\n[uploadpack]\n packObjectsHook = {trap}\n"
        f"[gpg]\n program = {trap}\n[commit]\n gpgSign = true\n[alias]\n log = !{trap}\n"
    )
    (git_dir / "hooks").mkdir(exist_ok=True)
    for name in (
        "pre-commit",
        "post-commit",
        "post-checkout",
        "reference-transaction",
        "post-index-change",
        "pre-push",
    ):
        (git_dir / "hooks" / name).write_bytes(trap.read_bytes())
        (git_dir / "hooks" / name).chmod(0o755)


def work(use: Callable[..., str], project: Project) -> None:
    """Whatever the tools do."""
    place = project.copy().workspace / "tin"
    (place / "README.md").write_text("# Other\n")
    (place / "more.txt").write_text("x\n")
    for name, arguments in (
        ("git_status", {}),
        ("git_diff", {}),
        ("git_branch", {"name": "fix"}),
        ("git_commit", {"message": "x"}),
        ("git_log", {}),
    ):
        said = use(name, **arguments)
        assert not said.startswith("git "), said
    assert "no commit" not in use("git_diff", since="base")


def test_nothing_that_a_hostile_repository_names_is_run(
    use: Callable[..., str], project: Project, folder: Path, trap: Path, as_person: Callable[..., str]
) -> None:
    (folder / ".gitattributes").write_text("* filter=trap diff=trap\n")
    (folder / ".gitmodules").write_text(f'[submodule "s"]\n path = s\n url = ext::{trap}\n update = !{trap}\n')
    as_person(folder, "add", "-A")
    as_person(folder, "commit", "-qm", "traps")
    set_traps(folder / ".git", trap)
    work(use, project)
    assert not Path(f"{trap}.sprung").exists()
    subprocess.run(["git", "status"], cwd=folder, capture_output=True, check=False)
    assert Path(f"{trap}.sprung").exists()  # it does spring where git is called as usual


def test_nothing_that_a_job_leaves_in_the_workspace_is_run(
    use: Callable[..., str], project: Project, trap: Path, as_person: Callable[..., str]
) -> None:
    place = project.copy().workspace / "tin"
    for nested in (place, place / "sub"):
        nested.mkdir(exist_ok=True)
        as_person(nested, "init", "-q")
        as_person(nested, "commit", "-q", "--allow-empty", "-m", "x")
        set_traps(nested / ".git", trap)
    (place / ".gitattributes").write_text("* filter=trap diff=trap\n")
    work(use, project)
    assert not Path(f"{trap}.sprung").exists()
    assert "sub" not in use("git_diff", since="base")


def test_settings_and_variables_of_the_user_change_nothing(
    use: Callable[..., str], project: Project, tmp_path: Path, trap: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "user"
    (home / ".config/git").mkdir(parents=True)
    (home / ".config/git/attributes").write_text("* filter=trap diff=trap\n")
    (home / ".gitconfig").write_text("")
    set_traps_in = home / "fake"
    set_traps_in.mkdir()
    (set_traps_in / "config").write_text("")
    set_traps(set_traps_in, trap)
    (home / ".gitconfig").write_text((set_traps_in / "config").read_text())
    monkeypatch.setenv("HOME", str(home))
    for name in ("GIT_EDITOR", "GIT_PAGER", "GIT_EXTERNAL_DIFF", "GIT_SSH_COMMAND", "GIT_ASKPASS", "GIT_PROXY_COMMAND"):
        monkeypatch.setenv(name, str(trap))
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "core.fsmonitor")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", str(trap))
    work(use, project)
    assert not Path(f"{trap}.sprung").exists()


def test_a_partial_clone_is_refused_because_it_would_fetch(
    project: Project, folder: Path, as_person: Callable[..., str]
) -> None:
    as_person(folder, "config", "core.repositoryFormatVersion", "1")
    as_person(folder, "config", "extensions.partialClone", "origin")
    with pytest.raises(ProjectUnusable, match="partial clone"):
        project.copy()


def test_git_is_stopped_when_it_takes_too_long_or_prints_too_much(tmp_path: Path, trap: Path) -> None:
    repository = Repository.make(tmp_path / "own.git")
    big = repository.keep_blob(b"x" * 100_000)
    with pytest.raises(GitFailed, match="more than 1,000 bytes"):
        repository.run("cat-file", "-p", big, most=1000)
    trap.write_text("#!/bin/sh\nsleep 60\n")
    with pytest.raises(GitFailed, match=r"longer than 0\.3 seconds"):
        run_git(
            *("-c", f"uploadpack.packObjectsHook={trap}", "fetch", "--upload-pack", str(trap)),
            *("--", tmp_path.as_uri(), "HEAD"),
            git_dir=tmp_path / "own.git",
            protocols=("file",),
            seconds=0.3,
        )


def test_no_address_makes_git_start_a_program(tmp_path: Path, trap: Path) -> None:
    for address in (f"ext::{trap}", "ssh://host/x", "git@host:x", "-x", "", "relative/path", "http://example.org/x"):
        with pytest.raises(TeamError):
            Remote(address)
    with pytest.raises(TeamError, match="reached by SSH"):
        Remote("git@host:x")
    with pytest.raises(TeamError, match="password"):
        Remote("https://user:word@example.org/x")
    with pytest.raises(GitFailed):
        run_git("ls-remote", "--", f"ext::{trap} x", protocols=("file", "https"))
    assert not Path(f"{trap}.sprung").exists()


def test_github_needs_a_broker_and_an_owner(project: Project) -> None:
    with pytest.raises(TeamError, match="broker"):
        git_tools(project, remote="https://github.com/ann/tin")
    with pytest.raises(TeamError, match="owner/name"):
        GitHub("tin", lambda: None)  # type: ignore[arg-type,return-value]  # never called


def test_a_repository_of_sha256_works_as_well(tmp_path: Path, as_person: Callable[..., str]) -> None:
    from signoff.tools.storage.workspaces import Workspaces

    place = tmp_path / "new"
    place.mkdir()
    as_person(place, "init", "-q", "--object-format=sha256")
    (place / "a").write_text("a\n")
    as_person(place, "add", "a")
    as_person(place, "commit", "-qm", "x")
    project = Project(place, workspaces=Workspaces(tmp_path / "kept"))
    tools = {tool.name: tool for tool in git_tools(project)}
    (project.copy().workspace / "new/a").write_text("b\n")
    made = tools["git_commit"].invoke({"message": "b"}).split()[1]  # type: ignore[union-attr]  # it is a tool
    assert len(made) == 64


def test_no_file_of_the_copy_is_open_to_others(project: Project) -> None:
    copy = project.copy()
    assert os.stat(copy.kept / "git").st_mode & 0o077 == 0 or sys.platform == "win32"


def test_git_itself_is_started_without_hooks_monitors_pagers_and_helpers(
    folder: Path, trap: Path, as_person: Callable[..., str]
) -> None:
    set_traps(folder / ".git", trap)
    who = {f"GIT_{role}_{part}": "a" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    for arguments in (("status",), ("commit", "--allow-empty", "-m", "x"), ("log",), ("branch", "new")):
        run_git("-C", str(folder), *arguments, env=who)
        assert not Path(f"{trap}.sprung").exists(), arguments
    subprocess.run(["git", "branch", "newer"], cwd=folder, capture_output=True, check=False)
    assert Path(f"{trap}.sprung").exists()
