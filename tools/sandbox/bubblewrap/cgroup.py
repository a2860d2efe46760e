"""A cgroup for one job, where this process may make one: the kernel then counts all memory that a job causes."""

from __future__ import annotations

import os
import uuid
from contextlib import suppress
from pathlib import Path

from signoff.tools.sandbox.sandbox import SandboxLimits

ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
_NEEDED = {"memory", "pids"}


class Group:
    """A cgroup (version 2), removed by `remove` when nothing is in it any more."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def take_in(self, process: int) -> None:
        """Move a process into it; what that starts later is in it too."""
        self._write("cgroup.procs", process)

    def ran_out(self) -> bool:
        """Whether the kernel ended something in it because there was no memory left."""
        events = dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())
        return int(events.get("oom_kill", 0)) > 0

    def remove(self) -> None:
        """Remove it; one that cannot be is empty, and harmless."""
        with suppress(OSError):
            os.rmdir(self.folder)

    def limit(self, memory: int, processes: int) -> None:
        """Set what may be used in it; when it is too much, everything in it ends."""
        self._write("memory.max", memory)
        self._write("memory.oom.group", 1)
        self._write("pids.max", processes)
        with suppress(OSError):  # a kernel without swap has no such limit
            self._write("memory.swap.max", 0)

    def _write(self, name: str, value: int) -> None:
        (self.folder / name).write_text(str(value))


def make_group(
    process: int, limits: SandboxLimits, files_mb: int, processes: int, *, root: Path = ROOT, own: Path = OWN
) -> Group | None:
    """A cgroup beside our own with this process in it; None where there are none, or we may not make one.

    `files_mb` are for files in memory: the kernel counts them too.
    """
    try:
        place = _place(root, own.read_text())
        if place is None or not set((place / "cgroup.subtree_control").read_text().split()) >= _NEEDED:
            return None
        group = Group(place / f"signoff-{uuid.uuid4().hex}")
        group.folder.mkdir()
    except OSError:
        return None
    try:
        group.limit((limits.memory_mb + files_mb) << 20, processes)
        group.take_in(process)
    except OSError:
        group.remove()
        return None
    return group


def _place(root: Path, own: str) -> Path | None:
    """The cgroup that ours is in: one that holds processes cannot hold groups with limits."""
    for line in own.splitlines():
        if line.startswith("0::/"):
            path = root / line.removeprefix("0::/")
            return path.parent if path != root else root
    return None
