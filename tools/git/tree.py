"""The files of a workspace copy as a tree of git, made without git ever looking at them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from signoff.tools.errors import ProjectUnusable
from signoff.tools.files.copying import is_secret
from signoff.tools.files.patch import check_name
from signoff.tools.files.project import Project, WorkCopy
from signoff.tools.git.repository import Repository, is_blob

_LINKS: Final = ("120000", "160000")


def repository_of(project: Project) -> tuple[WorkCopy, Repository]:
    """The run's copy and its git folder; ProjectUnusable if the project is no git repository."""
    copy = project.copy()
    if copy.repository is None:
        raise ProjectUnusable(project.folder, "it is no git repository. Make it one, or use the tools for files.")
    return copy, copy.repository


def make_snapshot(copy: WorkCopy, repository: Repository, paths: Sequence[str] = ()) -> str:
    """The tree of the head with what was changed in the copy, in these files and folders if some are named; its id.

    Links, submodules and what was left out of the copy stay as they are in the head; new files that hold secrets by
    their name are not taken.
    """
    head = {entry.path: entry for entry in repository.tree("HEAD")}
    wanted = tuple(check_name(path) for path in paths)
    entries: dict[str, tuple[str, str] | None] = {}
    seen = set()
    for entry in copy.files():
        seen.add(entry.path)
        old = head.get(entry.path)
        if not _is_in(entry.path, wanted) or (old and old.mode in _LINKS) or (old is None and is_secret(entry.path)):
            continue
        version = copy.read_any(entry.path)
        if version is None:
            continue
        mode = "100755" if version.executable else "100644"
        if old is None or old.mode != mode or not is_blob(version.raw, old.id):
            entries[entry.path] = mode, repository.keep_blob(version.raw)
    for path, old in head.items():
        gone = path not in seen and path not in copy.base.left_out and old.mode not in _LINKS
        if gone and _is_in(path, wanted):
            entries[path] = None
    return repository.make_tree("HEAD", entries)


def without_secrets(repository: Repository, old: str, new: str) -> tuple[str, str]:
    """The same two trees without the files that hold secrets by their names: the project's history may have some."""

    def cleaned(tree: str) -> str:
        secrets = [entry.path for entry in repository.tree(tree) if is_secret(entry.path)]
        return repository.make_tree(tree, dict.fromkeys(secrets)) if secrets else tree

    return cleaned(old), cleaned(new)


def _is_in(path: str, wanted: Sequence[str]) -> bool:
    return not wanted or any(path == one or path.startswith(f"{one}/") for one in wanted)
