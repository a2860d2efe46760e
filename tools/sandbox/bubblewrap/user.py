"""As whom a job in bubblewrap runs, and how one that is not root is given what only root can reach."""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

NOBODY = 65534
"""User and group that a sandbox started by root runs as; limits on processes do not hold for root."""

_NEW_MOUNTS = 0x00020000
_BIND, _REC, _PRIVATE = 0x1000, 0x4000, 0x40000
_DETACH = 2


def sandbox_user() -> int | None:
    """User to become, or None to stay who we are."""
    return NOBODY if os.geteuid() == 0 else None


@contextmanager
def staged(paths: Mapping[str, Path]) -> Iterator[dict[str, Path]]:
    """Where these paths are, by their plain names, for a program that this thread starts.

    As root they are mounted where the sandbox's user can go, in a mount namespace of this thread alone: it has to be
    a thread of its own, which ends with the job. On leaving nothing is left, once what was started has its own mounts.
    """
    if sandbox_user() is None or not paths or not _own_mounts():
        yield dict(paths)
        return
    # Where every user may go in; else the usual place.
    open_to_all = next((place for place in ("/tmp", "/var/tmp", "/run") if os.path.isdir(place)), None)
    folder = tempfile.mkdtemp(prefix="signoff-", dir=open_to_all)
    try:
        os.chmod(folder, 0o755)
        _mount("tmpfs", folder, "tmpfs")
        try:
            yield {name: _bound(path, Path(folder, name)) for name, path in paths.items()}
        finally:
            # In this thread's namespace only; what was bound from here into the sandbox stays.
            _checked(_libc().umount2(os.fsencode(folder), _DETACH), folder)
    finally:
        os.rmdir(folder)  # only ever the empty folder: what is mounted in it is the host's own


@contextmanager
def acting_as(user: int | None) -> Iterator[None]:
    """Make files as this user, in this thread: root cannot own a file in the file system of a user namespace."""
    if user is None:
        yield
        return
    libc = _libc()
    libc.setfsgid(user)
    libc.setfsuid(user)
    try:
        yield
    finally:
        libc.setfsuid(os.geteuid())
        libc.setfsgid(os.getegid())


def _own_mounts() -> bool:
    """Whether this thread has mounts of its own now; a container's root may not make any."""
    if _libc().unshare(_NEW_MOUNTS) != 0:
        return False
    _checked(_libc().mount(None, b"/", None, _REC | _PRIVATE, None), "/")
    return True


def _bound(source: Path, target: Path) -> Path:
    if source.is_dir():
        target.mkdir(parents=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(source), str(target), None, _BIND | _REC)
    return target


def _mount(source: str, target: str, kind: str | None, flags: int = 0) -> None:
    arguments = os.fsencode(source), os.fsencode(target), kind.encode() if kind else None
    _checked(_libc().mount(*arguments, flags, b"mode=755" if kind else None), source)


def _checked(result: int, path: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
