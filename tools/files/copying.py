"""Copying a project for a run: what is committed of a git repository, or a folder as it is."""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from signoff.checkpoints import covers
from signoff.tools.errors import FileRefused, ProjectUnusable
from signoff.tools.files.apply import Version
from signoff.tools.files.patch import is_name
from signoff.tools.git.repository import BASE, Repository, Tracked
from signoff.tools.storage.confined_folder import ConfinedFolder, stays_inside
from signoff.tools.storage.file_names import fold_name, own_name

MADE: Final = frozenset(
    ".git .hg .svn .signoff node_modules __pycache__ .venv .tox .nox .mypy_cache .ruff_cache .pytest_cache "
    ".hypothesis .gradle .terraform".split()
)
"""Folders that are not entered, unless git keeps files in them."""

_SECRET: Final = re.compile(
    r"\.env(?:\..+)?|.+\.env|\.netrc|_netrc|\.pypirc|\.npmrc|\.pgpass|\.htpasswd|\.git-credentials|\.dockercfg|kubeconfig"
    r"|id_(?:rsa|dsa|ecdsa|ed25519)(?:_.*)?|.+\.(?:pem|key|p12|pfx|jks|keystore|kdbx|ppk|tfstate)",
    re.IGNORECASE,
)
_EXAMPLE: Final = re.compile(r".*\.(?:example|sample|template|dist|tmpl)", re.IGNORECASE)
_FORMS: Final = frozenset(
    ("", ".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".txt", ".properties", ".xml")
)
"""Files of values, which are secret if their name says so; `tokens.py` is a program."""


@dataclass(frozen=True, kw_only=True)
class ProjectLimits:
    """How much of a project is copied."""

    megabytes: float = 200.0
    files: int = 20_000
    file_megabytes: float = 2.0
    """Of one file that is shown or changed."""


@dataclass(frozen=True)
class Base:
    """What was copied, and what was not."""

    files: Mapping[str, Sequence[str | bool]]
    """By path: digest (`Version.digest`) and whether it is executable."""
    left_out: Mapping[str, str]
    """By path: why it was not copied."""
    folder: str
    """The project's."""

    @cached_property
    def _folders(self) -> frozenset[str]:
        return frozenset(folder for path in self.left_out for folder in _above(path))

    def keeps(self, path: str) -> str:
        """Why nothing can be put there: it, a folder it is in, or something in it was left out; empty if it can."""
        found = next((one for one in (path, *_above(path)) if one in self.left_out), "")
        if found:
            return self.left_out[found]
        return "something in it" if path in self._folders else ""


def copy_commit(repository: Repository, target: Path, limits: ProjectLimits, project: Path) -> Base:
    """Write out the commit that the repository was made of, byte by byte as git keeps it: no filter is applied."""
    files: dict[str, tuple[str, bool]] = {}
    left_out: dict[str, str] = {}
    links: list[Tracked] = []
    wanted: list[Tracked] = []
    for entry in repository.tree(BASE):
        if entry.mode == "120000":
            links.append(entry)
        elif why := "a submodule" if entry.mode == "160000" else _why_not(entry.path):
            left_out[entry.path] = why
        else:
            wanted.append(entry)
    _check_size(project, len(wanted), sum(entry.size for entry in wanted), limits)
    for entry, raw in zip(wanted, repository.blobs(wanted), strict=True):
        files[entry.path] = _write(target / entry.path, Version(raw, entry.mode == "100755"))
    for entry, text in zip(links, repository.blobs(links), strict=True):
        left_out[entry.path] = _link(target, entry.path, os.fsdecode(text))
    return Base(files, left_out, str(project))


def copy_folder(folder: Path, target: Path, limits: ProjectLimits) -> Base:
    """Copy a folder's files without following any link."""
    files: dict[str, tuple[str, bool]] = {}
    left_out: dict[str, str] = {}
    found: list[tuple[str, os.stat_result]] = []
    links: dict[str, str] = {}
    size = 0
    for path, seen in _walk(folder):
        if stat.S_ISLNK(seen.st_mode):
            links[path] = os.readlink(folder / path)
        elif why := _why_not(path) or ("" if stat.S_ISREG(seen.st_mode) else "not an ordinary file"):
            left_out[path] = why
        else:
            found.append((path, seen))
            size += seen.st_size
            _check_size(folder, len(found), size, limits)
    source = ConfinedFolder(folder)
    for path, seen in found:
        try:
            raw = source.read(path, largest=int(limits.megabytes * 1e6))
        except FileRefused as error:
            left_out[path] = error.problem
            continue
        files[path] = _write(target / path, Version(raw, bool(seen.st_mode & 0o100)))
    left_out.update((path, _link(target, path, place)) for path, place in links.items())
    return Base(files, left_out, str(folder))


def _above(path: str) -> Iterator[str]:
    """The folders that a path is in."""
    return (path[:at] for at, sign in enumerate(path) if sign == "/")


def _why_not(path: str) -> str:
    if is_secret(path):
        return "its name says that it holds secrets"
    return "" if is_name(path) else "its name is odd"


def _check_size(project: Path, files: int, size: int, limits: ProjectLimits) -> None:
    if files > limits.files or size > limits.megabytes * 1e6:
        raise ProjectUnusable(
            project,
            f"it has more than {limits.files:,} files or {limits.megabytes:g} MB. Name a folder of it, or raise "
            "ProjectLimits.",
        )


def _walk(folder: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Every file, link and other thing below, but for what programs made."""
    waiting = [folder]
    while waiting:
        here = waiting.pop()
        with os.scandir(here) as inside:
            entries = sorted(inside, key=lambda entry: entry.name)
        if here != folder and any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in MADE:
                    waiting.append(Path(entry.path))
            elif entry.name not in MADE:
                yield Path(entry.path).relative_to(folder).as_posix(), entry.stat(follow_symlinks=False)


def _link(target: Path, path: str, place: str) -> str:
    """Make a link that stays in the project, after all files, so that none is written through it; why it is no file."""
    why = _why_not(path)
    if why or leads_out(path, place):
        return why or "a link that leads out"
    (target / path).parent.mkdir(parents=True, exist_ok=True)
    (target / path).symlink_to(place)
    return "a link, which no tool changes"


def _write(place: Path, version: Version) -> tuple[str, bool]:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(version.raw)
    place.chmod(0o755 if version.executable else 0o644)
    return version.digest, version.executable


def is_secret(path: str) -> bool:
    """Whether the name of a file says that there are secrets in it."""
    name = posixpath.basename(path)
    if _EXAMPLE.fullmatch(name):
        return False
    stem, form = posixpath.splitext(name)
    return bool(_SECRET.fullmatch(name)) or (form.lower() in _FORMS and covers(stem) == "everything")


def is_made(path: str) -> bool:
    return not MADE.isdisjoint(map(fold_name, path.split("/")[:-1]))


def leads_out(path: str, target: str) -> bool:
    """Whether a link at this path may lead out of the project, or into what git keeps there."""
    if "\0" in target or not stays_inside(path, target):
        return True
    return bool(own_name(posixpath.normpath(posixpath.join(posixpath.dirname(path), target))))
