"""Files that are there whole, or not at all: written beside, on disk, and only then given their name."""

from __future__ import annotations

import errno
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""What file systems say that know no hard links."""


@contextmanager
def beside(
    target: Path | str, *, part: Path | None = None, replace: bool = True, dir_fd: int | None = None
) -> Iterator[Path]:
    """The name of a new file in the target's folder: at the end it takes the target's, and after an error it is gone.

    Without `replace` a target that is there by then stays as it is. `part` is the name, if it has to be a certain one;
    with `dir_fd` both names are looked up in that open folder, whatever became of the way to it.
    """
    place = part or Path(target).with_name(f".signoff-{secrets.token_hex(8)}.part")
    try:
        yield place
        if replace:
            os.replace(place, target, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
        else:
            _name_once(place, Path(target))
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(place, dir_fd=dir_fd)
        raise


def _name_once(place: Path, target: Path) -> None:
    """Give it the target's name, or if there is a file of that name throw it away."""
    try:
        with suppress(FileExistsError):
            os.link(place, target)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if not target.exists():
            os.replace(place, target)
            return
    os.unlink(place)


def check_place(file: Path) -> None:
    """OSError unless a file can be made here: in its folder, or in the nearest one above it that is there."""
    folder = next(one for one in file.absolute().parents if one.exists())
    with tempfile.TemporaryFile(dir=folder):
        return


def write_synced(place: Path, raw: bytes, *, mode: int = 0o600, again: bool = False) -> None:
    """Write a new file, which is on disk on return; `again`: one that is there, and no link, is written anew."""
    flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if again else os.O_EXCL)
    flags |= getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(place, flags, mode), "wb") as file:
        file.write(raw)
        file.flush()
        os.fsync(file.fileno())


def write_whole(path: Path, raw: bytes, *, replace: bool = True) -> None:
    """Write a file that only this user can read, in a folder that is made if need be; see `beside` for `replace`.

    It is on disk before it has its name, so that a crash leaves the old file or the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with beside(path, replace=replace) as part:
        write_synced(part, raw)


def sync_folder(folder: Path) -> None:
    """Make names last through a power cut, new ones and missing ones, where folders can be opened."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def explain(error: OSError) -> str:
    """What went wrong, without the path."""
    return (error.strerror or type(error).__name__).lower()
