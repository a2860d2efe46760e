"""Which files of a folder are documents, and their bytes."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from signoff.tools.errors import Unreadable
from signoff.tools.storage.atomic import explain

_NOT_ENTERED = frozenset({"node_modules", "__pycache__"})
_SPECIAL = (errno.ENXIO, errno.EOPNOTSUPP, errno.EISDIR)
"""What opening says of what is no ordinary file."""


@dataclass(frozen=True)
class Skipped:
    """A file that was not indexed."""

    path: str
    reason: str
    """Why, in words a person understands."""
    sha256: str = field(default="", compare=False, repr=False)
    """Of its content, if that is the reason."""


@dataclass(frozen=True)
class Found:
    """A file that may be a document."""

    name: str
    """Relative to the folder, with '/'; bytes that are not UTF-8 are written as \\xNN."""
    path: Path


def list_files(folder: Path) -> tuple[list[Found], list[Skipped]]:
    """Every file below the folder in the order of its name, and what cannot be entered or followed.

    Hidden files, caches, virtual environments and links that leave the folder are left out. A link within the folder
    is followed only to what is not listed anyway, so no file is listed twice and no loop is entered.
    """
    root = folder.resolve()
    files, links, skipped = _walk(root, root)
    found = {os.path.realpath(path): path for path in files}
    entered = {root, *(parent for path in files for parent in path.parents)}
    while links:
        waiting, links = sorted(links), []
        for link in waiting:
            target = Path(os.path.realpath(link))
            if not target.exists():
                skipped.append(Skipped(_name(link, root), "a link to nothing"))
            elif not target.is_relative_to(root):
                skipped.append(Skipped(_name(link, root), "a link that leads out of the folder"))
            elif not target.is_dir():
                found.setdefault(str(target), link)
            elif target not in entered:
                entered.add(target)
                more, further, unopened = _walk(link, root)
                links += further
                skipped += unopened
                for path in more:
                    found.setdefault(os.path.realpath(path), path)
    names = {_name(path, root): path for path in found.values()}
    return [Found(name, names[name]) for name in sorted(names)], sorted(skipped, key=lambda skip: skip.path)


def _walk(top: Path, root: Path) -> tuple[list[Path], list[Path], list[Skipped]]:
    """The files and the links below `top`, and the folders that cannot be opened."""
    files: list[Path] = []
    links: list[Path] = []
    unopened: list[Skipped] = []

    def skip(error: OSError) -> None:
        unopened.append(Skipped(_name(Path(error.filename), root), f"the folder cannot be opened: {explain(error)}"))

    for here, folders, names in os.walk(top, onerror=skip):
        if here != str(root) and "pyvenv.cfg" in names:
            folders.clear()
            continue
        folders[:] = [name for name in folders if _is_looked_at(name)]
        inside = [Path(here, name) for name in (*folders, *filter(_is_looked_at, names))]
        linked = {path for path in inside if path.is_symlink()}
        links += linked
        files += [path for path in inside[len(folders) :] if path not in linked]
    return files, links, unopened


def _is_looked_at(name: str) -> bool:
    return not name.startswith(".") and name not in _NOT_ENTERED


def _name(path: Path, root: Path) -> str:
    relative = path.relative_to(root) if path.is_relative_to(root) else path
    return os.fsencode(relative.as_posix()).decode("utf-8", "backslashreplace")


def read_bytes(path: Path, limit: int) -> bytes:
    """The file's bytes; Unreadable if it is no ordinary file, may not be read, or has more than `limit` bytes."""
    try:
        with open(path, "rb", opener=_open_at_once) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise Unreadable("not an ordinary file")
            raw = file.read(limit + 1)
    except OSError as error:
        raise Unreadable("not an ordinary file" if error.errno in _SPECIAL else explain(error)) from error
    if len(raw) > limit:
        size = max(len(raw), status.st_size) / 1e6
        raise Unreadable(f"{size:,.1f} MB is more than the limit of {limit / 1e6:,.1f} MB")
    return raw


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))  # a pipe nobody writes to would be waited for for ever
