"""No tool writes to what version control keeps, by whatever name a file system would take for it."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path
from typing import Any

import pytest

from signoff.errors import ActionFailed, FileRefused
from signoff.tools import Attachment
from signoff.tools.files.patch import check_name
from signoff.tools.publishing import Publication, publish_report
from signoff.tools.sandbox.save_action import save_from_workspace
from signoff.tools.storage.blobs import Blobs
from signoff.tools.storage.confined_folder import ConfinedFolder
from signoff.tools.storage.file_names import check_places
from signoff.tools.storage.workspaces import Workspaces

OWN = (
    ".git/config",
    "lib/.git",
    ".GIT/hooks/pre-commit",
    ".git./config",
    ".git /config",
    ".git . . /config",
    ".git::$INDEX_ALLOCATION/config",
    ".git:x",
    "git~1/config",
    "GIT~2/config",
    "gi7eb0~1/config",
    ".g\u200cit/config",
    "\ufeff.git/config",
    ".gi\u034ft/config",
    ".\uff47\uff49\uff54/config",
    unicodedata.normalize("NFD", ".git\u0301/config"),
    "./.git/config",
    "sub//.git/./config",
    "sub\\.git\\config",
    "vendor/lib/.git/modules/x/config",
    ".git/modules/lib/hooks/post-checkout",
    ".hg/hgrc",
    ".Hg/hgrc",
    "hg~1/hgrc",
    ".svn/wc.db",
    ".\u017fvn/wc.db",
    ".jj/repo/config.toml",
    ".bzr/branch/branch.conf",
)
FINE = (
    ".gitignore", ".github/CODEOWNERS", "git/config", "a.git", ".gitx/a", "config", "git~x", "hgrc", "HEAD", "refs/a",
    "objects/b", ".git-notes/c", "Übersicht/größe.md",
)  # fmt: skip


@pytest.fixture
def workspaces(home: Path) -> Workspaces:
    workspaces = Workspaces(home / ".signoff")
    ConfinedFolder(workspaces.current()).write("a", b"[core]\nfsmonitor = touch trap\n")
    return workspaces


def save(workspaces: Workspaces, home: Path, folder: Path, destination: str) -> str:
    action: Any = save_from_workspace(workspaces, Blobs(home / ".signoff"), folder)
    saved = action.arguments.model_validate({"path": "a", "destination": destination})
    with pytest.raises(ActionFailed) as caught:
        action.call(saved, "key")
    assert "cannot be saved" in action.preview(saved)
    return str(caught.value)


def publish(home: Path, folder: Path | None, path: str, *names: str) -> str:
    blobs = Blobs(home / ".signoff")
    attachments = tuple(Attachment(name=name, sha256=blobs.keep(b"x"), bytes=1) for name in names)
    action: Any = publish_report(folder, blobs=blobs)
    publication = Publication(path=path, content="x", attachments=attachments)
    with pytest.raises(ActionFailed) as caught:
        action.call(publication, "key")
    assert "cannot be written" in action.preview(publication)
    return str(caught.value)


def everything(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.rglob("*"))


@pytest.mark.parametrize("path", OWN)
def test_no_tool_writes_to_it(workspaces: Workspaces, home: Path, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    before = everything(folder)
    assert "version control runs" in save(workspaces, home, folder, path)
    assert "version control runs" in publish(home, folder, path)
    assert "version control runs" in publish(home, None, str(folder / path))
    with pytest.raises(FileRefused, match="version control runs"):
        check_name(path)
    assert everything(folder) == before


@pytest.mark.parametrize("path", FINE)
def test_other_names_are_fine(tmp_path: Path, path: str) -> None:
    check_places(tmp_path, [path])
    assert check_name(path) == path
    publish_report(tmp_path).call(Publication(path=path, content="x"), "key")


@pytest.mark.parametrize(
    "path", ["gitdir/config", "gitdir/hooks/post-commit", "gitdir/modules/lib/config", "sub/worktree/config.worktree"]
)
def test_a_repository_of_any_name_is_left_alone(workspaces: Workspaces, home: Path, tmp_path: Path, path: str) -> None:
    """As `git init --separate-git-dir` makes it, a submodule has it, or a bare one is."""
    folder = tmp_path / "project"
    for made in ("gitdir/objects", "gitdir/refs", "gitdir/hooks", "gitdir/modules/lib", "sub/worktree"):
        (folder / made).mkdir(parents=True)
    for made in ("gitdir/HEAD", "sub/worktree/HEAD", "sub/worktree/commondir"):
        (folder / made).touch()
    assert "git repository's own folder" in save(workspaces, home, folder, path)
    assert "git repository's own folder" in publish(home, folder, path)


def test_no_repository_is_made_file_by_file(workspaces: Workspaces, home: Path, tmp_path: Path) -> None:
    action = publish_report(tmp_path)
    for path in ("x/config", "x/refs/a", "x/Objects/b"):
        action.call(Publication(path=path, content="x"), "key")
    if os.path.exists(tmp_path / "x" / "objects"):  # no case is told apart here
        assert "git repository's own folder" in save(workspaces, home, tmp_path, "x/HEAD")
    action.call(Publication(path="x/objects/b", content="x"), "key")
    for name in ("HEAD", "head", "HEAD."):
        assert "git repository's own folder" in save(workspaces, home, tmp_path, f"x/{name}")
    assert "git repository's own folder" in publish(home, tmp_path, "x/report.md", "HEAD")
    with pytest.raises(FileRefused, match="git repository's own folder"):
        check_places(tmp_path, ["y/HEAD", "y/config", "Y/objects/a", "y/Refs/b"])


def test_another_name_that_the_file_system_has_for_it_is_found(tmp_path: Path) -> None:
    (tmp_path / ".hg").mkdir()
    (tmp_path / "SHORT~NAME").symlink_to(".hg")  # as good as one: it is the same folder
    with pytest.raises(FileRefused, match=r"'\.hg' is not read or changed"):
        check_places(tmp_path, ["SHORT~NAME/hgrc"])


def test_a_link_to_it_does_not_help(workspaces: Workspaces, home: Path, tmp_path: Path) -> None:
    (tmp_path / ".git" / "hooks").mkdir(parents=True)
    (tmp_path / "notes").symlink_to(".git")
    (tmp_path / "report.md").symlink_to(".git/hooks/post-commit")
    for path in ("notes/config", "report.md"):
        assert "version control runs" in publish(home, tmp_path, path)
    assert "version control runs" in save(workspaces, home, tmp_path, "notes/config")
    assert everything(tmp_path / ".git") == [str(tmp_path / ".git" / "hooks")]


def test_what_signoff_keeps_is_not_published_over(home: Path) -> None:
    assert "keeps its own files" in publish(home, home, ".signoff/signoff.db")
    assert "keeps its own files" in publish(home, None, str(home / ".signoff" / "blobs" / "x"))
    assert "keeps its own files" in publish(home, home / ".signoff", "blobs/x")
    publish_report(home / ".signoff", blobs=Blobs(home / ".signoff")).call(Publication(path="a.md", content="x"), "key")
