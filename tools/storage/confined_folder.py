"""A folder whose content nobody vouches for: read and written without ever being led out of it."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal

from signoff.tools.errors import FileRefused
from signoff.tools.storage.atomic import beside, explain

DEEPEST = 64
"""Folders within folders that are looked into."""
LARGEST = 50_000_000

Kind = Literal["file", "folder", "link", "other"]
_KINDS: dict[int, Kind] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}

_FILE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
_ROOT = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_FOLDER = _ROOT | _FILE
_PART = re.compile(r"\.signoff-[0-9a-f]{16}\.part")


@dataclass(frozen=True)
class Entry:
    """Something in the folder, not followed if it is a link."""

    path: str
    """From the folder, with `/`."""
    kind: Kind
    size: int
    stamp: tuple[int, ...]
    """Differs whenever the content was written, whatever its time says."""
    executable: bool


class ConfinedFolder:
    """Files by their path from `root`. No path leads out: not by `..`, not by links, not by what is swapped meanwhile.

    Every folder on the way is opened from the one before, links are refused, and so is what is no regular file. What
    cannot be done is a FileRefused.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root).absolute()

    def read(self, path: str, *, largest: int = LARGEST) -> bytes:
        """The content of a file; a larger one is refused."""
        with self._parent(path) as (parent, name):
            # A named pipe would keep whoever opens it waiting.
            handle = os.open(name, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | _FILE, dir_fd=parent)
            with os.fdopen(handle, "rb") as file:
                found = os.fstat(handle)
                if not stat.S_ISREG(found.st_mode):
                    raise FileRefused(path, "it is no regular file")
                if found.st_size > largest:
                    raise FileRefused(path, f"it has {found.st_size:,} bytes, and {largest:,} are allowed")
                raw = file.read(largest + 1)
        if len(raw) > largest:
            raise FileRefused(path, f"it grows beyond the {largest:,} bytes that are allowed")
        return raw

    def write(
        self,
        path: str,
        raw: bytes,
        *,
        executable: bool | None = None,
        modified_ns: int | None = None,
        lasting: bool = False,
    ) -> None:
        """Make or replace a file at once, with the folders on the way; links and other things are not replaced.

        `executable`: what it becomes; None keeps what it is. `lasting`: on return it would be there after a power cut.
        """
        with self._parent(path, make=True) as (parent, name):
            old = _look(name, parent)
            if old is not None and not stat.S_ISREG(old.st_mode):
                raise FileRefused(path, "it is there and is no regular file")
            mode = (0o755 if executable else 0o644) if old is None else stat.S_IMODE(old.st_mode) & 0o777
            with beside(name, dir_fd=parent) as part:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _FILE, 0o600, dir_fd=parent)
                with os.fdopen(handle, "wb") as file:
                    file.write(raw)
                    if old is not None and (old.st_uid, old.st_gid) != (os.geteuid(), os.getegid()):
                        with suppress(OSError):  # only root may, and not for every user
                            os.fchown(handle, old.st_uid, old.st_gid)
                    os.fchmod(handle, mode if executable is None else mode | 0o111 if executable else mode & ~0o111)
                    file.flush()
                    if modified_ns is not None:
                        os.utime(handle, ns=(modified_ns, modified_ns))
                    if lasting:
                        os.fsync(handle)
            if lasting:
                os.fsync(parent)

    def remove(self, path: str) -> None:
        """Remove a file, a link (not what it leads to), or an empty folder."""
        with self._parent(path) as (parent, name):
            found = os.stat(name, dir_fd=parent, follow_symlinks=False)
            (os.rmdir if stat.S_ISDIR(found.st_mode) else os.unlink)(name, dir_fd=parent)

    def make_folder(self, path: str) -> None:
        """Make a folder, with those on the way; one that is there stays."""
        with self._parent(f"{path}/.signoff", make=True):
            pass

    def link(self, path: str, target: str) -> None:
        """Make or replace a symbolic link; nothing here follows it, but other programs may."""
        with self._parent(path, make=True) as (parent, name):
            with suppress(FileNotFoundError):
                os.unlink(name, dir_fd=parent)
            os.symlink(target, name, dir_fd=parent)

    def list(self, *, most: int = 20_000) -> tuple[Entry, ...]:
        """Everything in it, sorted by path; FileRefused if it is more than so many things, or too deep."""
        with _as_refusal("."):
            root = os.open(self.root, _ROOT)
        try:
            found = sorted(islice(walk(root), most + 1), key=lambda entry: entry.path)
        finally:
            os.close(root)
        if len(found) > most:
            raise FileRefused(".", f"it holds more than the {most:,} things that are allowed")
        return tuple(found)

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """The folder that the path's last name stands in, open, and that name; errors of the system are refusals."""
        *folders, name = parts(path)
        with _as_refusal(path):
            here = os.open(self.root, _ROOT)
            try:
                for folder in folders:
                    if make:
                        with suppress(FileExistsError):
                            os.mkdir(folder, 0o755, dir_fd=here)
                    below = os.open(folder, _FOLDER, dir_fd=here)
                    os.close(here)
                    here = below
                yield here, name
            finally:
                os.close(here)


def parts(path: str) -> list[str]:
    """The names on the way to a file; FileRefused for a path that leads out or that no file can have."""
    if not path or "\0" in path:
        raise FileRefused(path, "it is empty or contains a NUL character")
    if path.startswith("/") or Path(path).is_absolute():
        raise FileRefused(path, "it is absolute, and paths here start from the folder")
    found = [part for part in path.split("/") if part not in ("", ".")]
    if ".." in found:
        raise FileRefused(path, "it goes up, which could lead out of the folder")
    if not found or path.endswith("/"):
        raise FileRefused(path, "it names a folder")
    if len(found) > DEEPEST:
        raise FileRefused(path, f"it is deeper than {DEEPEST} folders")
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise FileRefused(path, "it cannot be the name of a file") from None
    return found


def is_part(path: str) -> bool:
    """Whether a file is one that `write` is just writing, or was when it was killed."""
    return _PART.fullmatch(path.rpartition("/")[2]) is not None


def stays_inside(path: str, target: str) -> bool:
    """Whether a link at this path stays in the folder, whatever other links that do so its target goes through.

    So it may only go up at its beginning, and no further than its own folder is deep: after a name `..` could leave
    a folder that the name, being a link itself, led to.
    """
    names = [name for name in target.split("/") if name not in ("", ".")]
    ups = next((at for at, name in enumerate(names) if name != ".."), len(names))
    return bool(target) and not target.startswith("/") and ".." not in names[ups:] and ups <= path.count("/")


def lies_in(place: Path, folder: Path) -> bool:
    """Whether a place is a folder or in it, by whatever links or capitals either is named."""
    if not os.path.exists(folder):
        return place.is_relative_to(folder)
    return any(os.path.exists(above) and os.path.samefile(above, folder) for above in (place, *place.parents))


def walk(folder: int, above: str = "", depth: int = 0) -> Iterator[Entry]:
    """Everything below an open folder, folders before what is in them; no link is followed."""
    if depth > DEEPEST:
        raise FileRefused(above, f"it is deeper than {DEEPEST} folders")
    with os.scandir(folder) as found:
        names = sorted(entry.name for entry in found)
    for name in names:
        seen = _look(name, folder)
        if seen is None:
            continue
        kind = _KINDS.get(stat.S_IFMT(seen.st_mode), "other")
        stamp = (seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns)
        yield Entry(above + name, kind, seen.st_size, stamp, bool(seen.st_mode & 0o100))
        if kind != "folder":
            continue
        try:
            below = os.open(name, _FOLDER, dir_fd=folder)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                continue  # it was swapped for something else since it was looked at
            raise
        try:
            yield from walk(below, f"{above}{name}/", depth + 1)
        finally:
            os.close(below)


def _look(name: str, parent: int) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=parent, follow_symlinks=False)
    except FileNotFoundError:
        return None


@contextmanager
def _as_refusal(path: str) -> Iterator[None]:
    """What the system says, as a FileRefused."""
    try:
        yield
    except NotImplementedError as error:
        raise FileRefused(path, "it cannot be opened safely on this system") from error
    except OSError as error:
        raise FileRefused(path, _REASONS.get(error.errno or 0) or explain(error)) from error


_REASONS = {
    errno.ENOENT: "there is no such file",
    errno.ENOTDIR: "it leads through something that is no folder, or through a link",
    errno.ELOOP: "it is a symbolic link, and links are not followed",
    errno.EISDIR: "it is a folder",
    errno.EMLINK: "it is a symbolic link, and links are not followed",
}
