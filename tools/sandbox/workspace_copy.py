"""A workspace copied into a sandbox's own file system, and back: only plain files, folders and harmless links."""

from __future__ import annotations

import mmap
import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from signoff.tools.errors import FileRefused
from signoff.tools.sandbox.bubblewrap.user import acting_as
from signoff.tools.sandbox.sandbox import MB, Ended, Job, SandboxLimits
from signoff.tools.storage.atomic import explain
from signoff.tools.storage.confined_folder import ConfinedFolder, Entry, is_part, stays_inside, walk

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MAKE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_CHUNK = 1 << 20
_SHOWN = 5
"""Things not kept that are named."""


def copy_in(workspace: Path, folder: int, limits: SandboxLimits, user: int | None) -> Mapping[str, Entry]:
    """Copy a workspace into the open, empty folder; returns what is there then. FileRefused if it cannot be.

    Others may work on the workspace meanwhile: what is gone when its turn comes is left out, like what they are just
    writing.
    """
    try:
        entries = [entry for entry in ConfinedFolder(workspace).list(most=limits.files) if not _is_being_written(entry)]
        total = _room(entries)
        if total > limits.disk_mb * MB:
            raise FileRefused(str(workspace), f"it takes {total:,} bytes, and {limits.disk_mb} MB are allowed")
        source = os.open(workspace, _FOLDER)
        try:
            for entry in entries:
                with suppress(FileNotFoundError, NotADirectoryError):
                    _copy_in(entry, source, folder, user)
        finally:
            os.close(source)
        return {entry.path: entry for entry in walk(folder)}
    except OSError as error:
        raise FileRefused(str(workspace), str(error)) from error


def _copy_in(entry: Entry, source: int, folder: int, user: int | None) -> None:
    """One thing of the workspace; no other process writes to the target yet."""
    if entry.kind == "folder":
        with acting_as(user):
            os.mkdir(entry.path, 0o755, dir_fd=folder)
    elif entry.kind == "link":
        target = os.readlink(entry.path, dir_fd=source)
        with acting_as(user):
            os.symlink(target, entry.path, dir_fd=folder)
    elif entry.kind == "file":
        with os.fdopen(os.open(entry.path, _READ, dir_fd=source), "rb") as reader:
            with acting_as(user):
                made = os.open(entry.path, _MAKE, 0o755 if entry.executable else 0o644, dir_fd=folder)
            with os.fdopen(made, "wb") as writer:
                shutil.copyfileobj(reader, writer, _CHUNK)
                writer.flush()  # before its time is set, which writing changes
                seen = os.fstat(reader.fileno())
                os.utime(made, ns=(seen.st_atime_ns, seen.st_mtime_ns))


def _is_being_written(entry: Entry) -> bool:
    return entry.kind == "file" and is_part(entry.path)


def _room(entries: Iterable[Entry]) -> int:
    """Bytes that these take in a file system in memory, which has whole pages only."""
    return sum(-(-entry.size // mmap.PAGESIZE) * mmap.PAGESIZE for entry in entries if entry.kind in ("file", "link"))


def copy_back(folder: int, before: Mapping[str, Entry], job: Job, ended: Ended) -> tuple[Ended, list[str]]:
    """Bring what a job changed in the open folder back into its workspace; how it ended then, and what was left behind.

    Of a job that nobody waits for nothing is kept: others may work in the workspace now, or the run be over.
    """
    if ended == "stopped":
        return ended, []
    try:
        left = _bring_back(folder, before, job.workspace, job.limits)
    except FileRefused as error:
        ended = "disk" if ended == "exit" else ended
        left = (f"all that it wrote, as {error.problem}",)
    more = f"; and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
    return ended, [f"Not kept in the workspace: {'; '.join(left[:_SHOWN])}{more}."] if left else []


def _bring_back(folder: int, before: Mapping[str, Entry], workspace: Path, limits: SandboxLimits) -> tuple[str, ...]:
    """Bring what changed in the open folder back into the workspace, when nothing runs any more that could change it.

    Only regular files (hard links as files of their own, without special modes), folders, and links that lead to
    somewhere in the workspace; returns what else is there, and why it is left. FileRefused, with nothing brought, if
    it is more than the limits allow.
    """
    try:
        after = {entry.path: entry for entry in _limited(folder, limits)}
    except OSError as error:  # such as a path that is longer than the system takes
        raise FileRefused(".", f"it cannot be looked through: {explain(error)}") from error
    inside, left = ConfinedFolder(workspace), list[str]()
    for path in sorted(before.keys() - after.keys(), reverse=True):
        with suppress(FileRefused):  # another tool of the run may have put something there
            inside.remove(path)
    for path, entry in after.items():
        old = before.get(path)
        if old is not None and old.kind == entry.kind and (entry.kind == "folder" or old == entry):
            continue
        if old is not None and old.kind != entry.kind:
            _clear(inside, path, before)
        problem = _copy_out(entry, folder, inside)
        if problem:
            left.append(f"{path!r} ({problem})")
    return tuple(left)


def _limited(folder: int, limits: SandboxLimits) -> list[Entry]:
    """All that is in the folder; sparse files count as what they take when they are copied in again."""
    entries, total = list[Entry](), 0
    os.chmod(folder, 0o700)
    for entry in walk(folder):
        if entry.kind == "folder":
            os.chmod(entry.path, 0o700, dir_fd=folder)  # before the walk goes into it
        entries.append(entry)
        total += _room([entry])
        if len(entries) > limits.files:
            raise FileRefused(".", f"it holds more than {limits.files:,} things")
        if total > limits.disk_mb * MB:
            raise FileRefused(".", f"it holds more than {limits.disk_mb} MB")
    return entries


def _clear(inside: ConfinedFolder, path: str, before: Mapping[str, Entry]) -> None:
    """Remove what was there under this name, with what was in it."""
    for old in sorted((name for name in before if name == path or name.startswith(f"{path}/")), reverse=True):
        with suppress(FileRefused):
            inside.remove(old)


def _copy_out(entry: Entry, folder: int, inside: ConfinedFolder) -> str:
    """Why this one was left; empty if it was brought."""
    try:
        if entry.kind == "folder":
            inside.make_folder(entry.path)
        elif entry.kind == "link":
            return _link_out(entry.path, os.readlink(entry.path, dir_fd=folder), inside)
        elif _is_being_written(entry):
            return "a name that is used for files that are just written"
        elif entry.kind == "file":
            raw = _content(entry.path, folder)
            inside.write(entry.path, raw, executable=entry.executable, modified_ns=entry.stamp[2])
        else:
            return "no regular file"
    except FileRefused as error:
        return error.problem
    except OSError as error:
        return explain(error)
    return ""


def _content(path: str, folder: int) -> bytes:
    os.chmod(path, 0o600, dir_fd=folder)  # it may have been made so that not even its owner reads it
    with os.fdopen(os.open(path, _READ, dir_fd=folder), "rb") as file:
        return file.read()


def _link_out(path: str, target: str, inside: ConfinedFolder) -> str:
    if not stays_inside(path, target):
        return f"a link that may lead out of the workspace, to {target!r}"
    inside.link(path, target)
    return ""
