"""Projects: a folder that agents work on, each run in a copy of its own that nobody needs to trust."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Final

from signoff.tools.errors import FileRefused, ProjectUnusable
from signoff.tools.files.apply import Change, Version
from signoff.tools.files.copying import Base, ProjectLimits, copy_commit, copy_folder, is_made
from signoff.tools.files.patch import check_name, is_name
from signoff.tools.git.repository import Repository
from signoff.tools.storage.atomic import explain, write_whole
from signoff.tools.storage.confined_folder import ConfinedFolder, Entry, is_part
from signoff.tools.storage.workspaces import Workspaces

_LISTED: Final = 200_000
_NO_FOLDER: Final = "there is no such folder. Name one that exists."
_LOCKS: Final[dict[tuple[Path, str], AbstractContextManager[object]]] = {}


@dataclass(frozen=True)
class WorkCopy:
    """One run's copy of a project: a folder in its workspace, and beside it what no sandboxed job can reach."""

    project: Path
    workspace: Path
    name: str
    """Of its folder in the workspace."""
    kept: Path
    limits: ProjectLimits

    @cached_property
    def base(self) -> Base:
        """What the copy was at the beginning."""
        return Base(**json.loads((self.kept / "base.json").read_text("utf-8")))

    @property
    def _inside(self) -> ConfinedFolder:
        return ConfinedFolder(self.workspace)

    @property
    def repository(self) -> Repository | None:
        return Repository(self.kept / "git") if (self.kept / "git" / "HEAD").exists() else None

    def files(self) -> tuple[Entry, ...]:
        """The files that are part of the project: those copied, and new ones that git does not ignore."""
        start = f"{self.name}/"
        found = [
            replace(entry, path=entry.path.removeprefix(start))
            for entry in self._inside.list(most=_LISTED)
            if entry.path.startswith(start) and entry.kind == "file"
        ]
        known = self.base.files
        paths = (entry.path for entry in found)
        new = [path for path in paths if path not in known and not is_made(path) and not is_part(path)]
        kept = {path for path in set(new).difference(self._ignored(new, found)) if not self.base.keeps(path)}
        return tuple(entry for entry in found if entry.path in known or (entry.path in kept and is_name(entry.path)))

    def read(self, path: str) -> Version | None:
        """A file of the copy, not too large to be shown and changed; None if there is none."""
        return read_version(self._inside, f"{self.name}/{check_name(path)}", self.limits.file_megabytes)

    def read_any(self, path: str) -> Version | None:
        return read_version(self._inside, f"{self.name}/{path}", self.limits.megabytes)

    def write(self, path: str, version: Version | None) -> None:
        """Put a file into the copy, or take it away."""
        path = check_name(path)
        if why := self.base.keeps(path):
            raise FileRefused(path, f"it was left out of the copy ({why}), and stays as it is.")
        write_version(self._inside, f"{self.name}/{path}", version, self.limits.file_megabytes, above=1)

    def changes(self) -> tuple[Change, ...]:
        """What was changed since it was copied; FileRefused where the project itself was changed meanwhile."""
        now = {entry.path: entry for entry in self.files()}
        changed: list[Change] = []
        for path in sorted({*now, *self.base.files}):
            known = self.base.files.get(path)
            after = self.read_any(path) if path in now else None
            if (after and after.digest) == (known and known[0]):
                continue
            before = read_version(ConfinedFolder(self.project), path, self.limits.file_megabytes)
            if before == after:
                continue  # taken out already
            if (before and before.digest) != (known and known[0]) and not self._was_proposed(before):
                raise FileRefused(
                    path, "in the project it is not what was copied: it was changed since, or is not committed there."
                )
            if after and len(after.raw) > self.limits.file_megabytes * 1e6:
                raise FileRefused(path, f"it has more than {self.limits.file_megabytes:g} MB, too much to be shown.")
            changed.append(Change(path, before, after))
        return tuple(changed)

    def note_proposed(self, changes: Iterable[Change]) -> None:
        """Remember what is proposed for the project: found there later, it is no change by somebody else."""
        folder = self.kept / "taken"
        folder.mkdir(exist_ok=True)
        for change in changes:
            if change.after:
                (folder / change.after.digest).touch()

    def _was_proposed(self, version: Version | None) -> bool:
        return version is not None and (self.kept / "taken" / version.digest).exists()

    def _ignored(self, paths: list[str], found: list[Entry]) -> frozenset[str]:
        rules = [entry.path for entry in found if os.path.basename(entry.path) == ".gitignore" and entry.size < 100_000]
        if self.repository is None or not rules or not paths:
            return frozenset()
        read = {path: self.read(path) for path in rules if not is_made(path) and is_name(path)}
        return self.repository.ignored(paths, {path: version.raw for path, version in read.items() if version})


class Project:
    """A folder whose files agents may read and change, in a copy; what they changed is taken out at the gate only.

    Of a git repository the copy is the last commit: what is not committed is not copied. Any other folder is copied as
    it is. Secrets, what programs made and links that lead out are left out.
    """

    def __init__(
        self,
        folder: Path | str,
        *,
        workspaces: Workspaces | None = None,
        name: str = "",
        limits: ProjectLimits | None = None,
    ) -> None:
        self.folder = Path(folder).expanduser().resolve()
        if not self.folder.is_dir():
            raise ProjectUnusable(self.folder, _NO_FOLDER)
        self.workspaces = workspaces or Workspaces()
        self.limits = limits or ProjectLimits()
        self.name = re.sub(r"[^A-Za-z0-9_.-]+", "-", name or self.folder.name).strip(".-") or "project"
        self.alone = _LOCKS.setdefault((self.home, self.workspaces.part + self.name), threading.RLock())
        """Held while a tool works on a copy, whichever object for this project the tool was made of."""

    @property
    def home(self) -> Path:
        """Where all of this is kept."""
        return self.workspaces.folder.parent

    @property
    def is_git(self) -> bool:
        return (self.folder / ".git").exists()

    def copy(self) -> WorkCopy:
        """The copy of the run that asks, made on first use; ProjectUnusable if it cannot be made."""
        workspace = self.workspaces.current()
        kept = self.home / "copies" / workspace.name / self.name
        copy = WorkCopy(self.folder, workspace, self.name, kept, self.limits)
        with self.alone:
            if not (kept / "base.json").exists():
                self._make(copy)
            elif copy.base.folder != str(self.folder):
                raise ProjectUnusable(
                    self.folder, f"in this run {self.name!r} is the name of {copy.base.folder!r}. Give another name=."
                )
        return copy

    def _make(self, copy: WorkCopy) -> None:
        """Made beside and moved in whole; what a process that died left is thrown away."""
        if not self.folder.is_dir():
            raise ProjectUnusable(self.folder, _NO_FOLDER)
        self._forget_removed()
        target, staging = copy.workspace / self.name, copy.kept / "staging"
        with suppress(FileNotFoundError):
            shutil.rmtree(copy.kept)
        staging.mkdir(parents=True, mode=0o700)
        try:
            if self.is_git and shutil.which("git"):
                repository = Repository.copy_of(self.folder, copy.kept / "git")
                base = copy_commit(repository, staging, self.limits, self.folder)
            elif self.is_git:
                raise ProjectUnusable(self.folder, "it is a git repository, and there is no git program. Install git.")
            else:
                base = copy_folder(self.folder, staging, self.limits)
            if target.is_symlink() or target.is_file():
                target.unlink()
            elif target.exists():
                shutil.rmtree(target)
            staging.rename(target)
        except OSError as error:
            raise ProjectUnusable(self.folder, f"{explain(error)}. Put it right.") from error
        write_whole(copy.kept / "base.json", json.dumps(asdict(base)).encode())

    def _forget_removed(self) -> None:
        with suppress(FileNotFoundError):
            for kept in (self.home / "copies").iterdir():
                if not (self.workspaces.folder / kept.name).exists():
                    shutil.rmtree(kept, ignore_errors=True)


def read_version(inside: ConfinedFolder, path: str, megabytes: float) -> Version | None:
    """A file, or None if there is none; FileRefused if it is something else or too large."""
    entry = look_up(inside, path)
    if entry is None:
        return None
    return Version(inside.read(path, largest=int(megabytes * 1e6)), entry)


def look_up(inside: ConfinedFolder, path: str) -> bool | None:
    """Whether the file is executable; None if there is none. FileRefused if a link is on the way to it."""
    here = inside.root
    parts = path.split("/")
    for place, part in enumerate(parts, 1):
        here = here / part
        try:
            found = here.lstat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:  # such as a name that is longer than the system takes
            raise FileRefused(path, f"{explain(error)}.") from error
        if place == len(parts):
            return None if stat.S_ISDIR(found.st_mode) else bool(found.st_mode & 0o100)
        if stat.S_ISLNK(found.st_mode):
            raise FileRefused(path, "it leads through a link, and links are not followed.")
    return None


def write_version(
    inside: ConfinedFolder,
    path: str,
    version: Version | None,
    megabytes: float,
    *,
    above: int = 0,
    lasting: bool = False,
) -> None:
    """Write a file at once, or remove it with the folders that are empty then, but for so many `above`."""
    if version is None:
        if look_up(inside, path) is not None:
            inside.remove(path)
            for end in range(path.count("/"), above, -1):
                with suppress(FileRefused):
                    inside.remove("/".join(path.split("/")[:end]))
        return
    if len(version.raw) > megabytes * 1e6:
        raise FileRefused(path, f"it would have {len(version.raw):,} bytes; {megabytes:g} MB are allowed.")
    inside.write(path, version.raw, executable=version.executable, lasting=lasting)
