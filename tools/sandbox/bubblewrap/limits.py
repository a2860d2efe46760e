"""The limits of a job in bubblewrap: what it uses is measured while it runs, and a cgroup bounds it if there is one."""

from __future__ import annotations

import os
import re
import selectors
import threading
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from signoff.tools.sandbox.sandbox import MB, Ended, SandboxLimits

ROUND = 0.02
"""Seconds between two looks at what is used; what is used in between is not limited by the watch."""


@dataclass
class Watched:
    """Files that tell about a job, all open, and what it wrote."""

    finished: int
    """Can be read when the job's command has ended."""
    proc: int
    """The sandbox's /proc."""
    disks: tuple[int, ...]
    """Folders on the file systems that it can write to."""
    streams: tuple[int, int]
    """What it writes to stdout and stderr; reading them does not wait."""
    written: dict[int, bytearray] = field(default_factory=dict)

    def output(self) -> tuple[bytes, bytes]:
        first, second = self.streams
        return bytes(self.written.get(first, b"")), bytes(self.written.get(second, b""))

    def exceeds(self, limits: SandboxLimits) -> bool:
        return any(len(kept) > limits.output_bytes for kept in self.written.values())

    def take(self, stream: int, most: int) -> bool | None:
        """Take in what can be read now; False when nothing more comes, None if nothing is there.

        Keeps at most one byte too many. It never waits: what was there a moment ago the job may have read itself.
        """
        try:
            piece = os.read(stream, 65_536)
        except BlockingIOError:
            return None
        kept = self.written.setdefault(stream, bytearray())
        kept += piece[: max(most + 1 - len(kept), 0)]
        return bool(piece)


def watch(job: Watched, limits: SandboxLimits, stop: threading.Event) -> Ended:
    """Wait until the command ends, or has to be ended."""
    end = time.monotonic() + limits.seconds
    with selectors.DefaultSelector() as ready:
        for number in (*job.streams, job.finished):
            ready.register(number, selectors.EVENT_READ)
        look = time.monotonic()
        while True:
            for key, _ in ready.select(ROUND):
                if key.fd == job.finished:
                    return "exit"
                if job.take(key.fd, limits.output_bytes) is False:
                    ready.unregister(key.fd)
                elif len(job.written.get(key.fd, b"")) > limits.output_bytes:
                    return "output"
            now = time.monotonic()
            if stop.is_set():
                return "stopped"
            if now >= end:
                return "time"
            if now >= look:
                look = now + ROUND
                excess = _excess(job, limits)
                if excess:
                    return excess


def drain(job: Watched, limits: SandboxLimits) -> None:
    """Take in what was written before the end, without waiting: the job may have sent its stdout through the door."""
    for stream in job.streams:
        while job.take(stream, limits.output_bytes) and not job.exceeds(limits):
            pass


def _excess(job: Watched, limits: SandboxLimits) -> Ended | None:
    threads, memory = measure(job.proc, limits.memory_mb * MB)
    if threads > limits.processes + 1:  # and the sandbox's own first process
        return "processes"
    if memory > limits.memory_mb * MB:
        return "memory"
    taken = (os.fstatvfs(disk) for disk in job.disks)
    return "disk" if any(disk.f_files - disk.f_ffree > limits.files + 1 for disk in taken) else None


_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_STATUS = re.compile(rb"^(Threads|RssAnon|VmSwap|VmPTE):\s+(\d+)", re.MULTILINE)
_PROPORTIONAL = re.compile(rb"^(?:Pss_Anon|SwapPss): +(\d+) kB", re.MULTILINE)
_SHARED = re.compile(rb"^([0-9a-f]+)-([0-9a-f]+) ..-s ([0-9a-f]+) \S+ (\d+) +/dev/zero \(deleted\)", re.MULTILINE)
"""Memory that processes share and no file stands for; it stays even where none has it in use."""
_SOCKETS = re.compile(rb"^sockets: used (\d+)", re.MULTILINE)
_TCP = re.compile(rb"^TCP6?: inuse (\d+)(?:.* mem (\d+))?", re.MULTILINE)
"""TCP sockets of the job, and pages that those of the whole machine take."""

_OF_A_THREAD = 1 << 15
_OF_A_PIPE = 1 << 16
_OF_AN_EVENT = 1 << 8
"""What epoll keeps of one thing that it waits for."""
_LIST = 1 << 20
"""Bytes of a list of maps or of locks that are read: that of a large program has a tenth of it."""
_TOO_MUCH = 1 << 60


_SIZES = Path("/proc/sys/net")


def measure(proc: int, enough: int) -> tuple[int, int]:
    """Threads and bytes of all processes that an open /proc shows; bytes are exact once they may exceed `enough`.

    The bytes are their own, or what the kernel keeps for them; files, also those in memory, have limits of their own.
    """
    numbers = [name for name in os.listdir(proc) if name.isdigit()]
    threads = own = tables = 0
    for number in numbers:
        found = {name: int(value) for name, value in _STATUS.findall(_read(proc, f"{number}/status"))}
        threads += found.get(b"Threads", 0)
        own += (found.get(b"RssAnon", 0) + found.get(b"VmSwap", 0)) * 1024
        tables += found.get(b"VmPTE", 0) * 1024
    if own > enough:
        # What a fork shares with its parent was counted for each of them.
        sizes = (_PROPORTIONAL.findall(_read(proc, f"{number}/smaps_rollup")) for number in numbers)
        own = sum(int(size) for found in sizes for size in found) * 1024
    kept = tables + threads * _OF_A_THREAD + _in_sockets(proc) + _in_open_files(proc, numbers)
    return threads, own + kept + sum(_shared(proc, numbers).values())


def _in_sockets(proc: int) -> int:
    """Bytes that wait in sockets, at most: in as many as there are; and in those of TCP, which grow by themselves."""
    used = _read(proc, "1/net/sockstat") + _read(proc, "1/net/sockstat6")
    tcp = [(int(inuse), int(pages or 0)) for inuse, pages in _TCP.findall(used)]
    may_wait = sum(inuse for inuse, _ in tcp) * (_size("ipv4/tcp_rmem") + _size("ipv4/tcp_wmem"))
    does_wait = sum(pages for _, pages in tcp) * _PAGE
    buffer = max(_size("core/rmem_default"), _size("core/wmem_default"))
    # One that is nearly full takes one piece more, which may be as large as all of it.
    return sum(map(int, _SOCKETS.findall(used))) * 2 * buffer + min(may_wait, does_wait)


@cache
def _size(name: str) -> int:
    """The largest of these sizes of buffers, which nobody can enlarge in a sandbox; the kernel's own if not told."""
    try:
        return int((_SIZES / name).read_text().split()[-1])
    except (OSError, ValueError, IndexError):
        return 212_992


def _in_open_files(proc: int, numbers: Sequence[str]) -> int:
    """Bytes that wait in pipes, at most, and what is kept of events and locks."""
    pipes, events = set[str](), 0
    for number in numbers:
        for name in _names(proc, f"{number}/fd"):
            kind = _target(proc, f"{number}/fd/{name}")
            if kind.startswith("pipe:"):
                pipes.add(kind)
            elif kind == "anon_inode:[eventpoll]":
                listed = _read(proc, f"{number}/fdinfo/{name}", _LIST)
                # It may wait for far more than are open: one that was closed stays where its file is open elsewhere.
                events += _TOO_MUCH if len(listed) == _LIST else listed.count(b"\ntfd:") * _OF_AN_EVENT
    locks = _TOO_MUCH if len(_read(proc, "locks", _LIST)) == _LIST else 0
    return len(pipes) * _OF_A_PIPE + events + locks


def _shared(proc: int, numbers: Sequence[str]) -> dict[bytes, int]:
    """Sizes of the pieces of shared memory, each once: what it takes, or where only root is told, what is mapped."""
    pieces = dict[bytes, int]()
    for number in numbers:
        maps = _read(proc, f"{number}/maps", _LIST)
        if len(maps) == _LIST:  # so many that reading them all would keep the watch from looking
            pieces[number.encode()] = _TOO_MUCH
        for start, end, offset, piece in _SHARED.findall(maps):
            place = f"{number}/map_files/{int(start, 16):x}-{int(end, 16):x}"
            try:
                size = os.stat(place, dir_fd=proc).st_blocks * 512
            except OSError:
                size = int(offset, 16) + int(end, 16) - int(start, 16)
            pieces[piece] = max(pieces.get(piece, 0), size)
    return pieces


def _names(proc: int, folder: str) -> list[str]:
    """Names in a folder of /proc; none if its process is gone."""
    try:
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return []
    try:
        return os.listdir(handle)
    except OSError:
        return []
    finally:
        os.close(handle)


def _target(proc: int, link: str) -> str:
    try:
        return os.readlink(link, dir_fd=proc)
    except OSError:
        return ""


def _read(proc: int, name: str, most: int = -1) -> bytes:
    """A file of /proc, or its first bytes; empty if its process is gone."""
    try:
        handle = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=proc)
    except OSError:
        return b""
    try:
        with os.fdopen(handle, "rb") as file:
            return file.read(most)
    except OSError:
        return b""


ROOT = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
_NEEDED = {"memory", "pids"}


@dataclass(frozen=True)
class Group:
    """A cgroup (version 2), removed by `remove` when nothing is in it any more."""

    folder: Path

    def ran_out(self) -> bool:
        """Whether the kernel ended something in it because there was no memory left."""
        events = dict(line.split() for line in (self.folder / "memory.events").read_text().splitlines())
        return int(events.get("oom_kill", 0)) > 0

    def remove(self) -> None:
        """Remove it; one that cannot be is empty, and harmless."""
        with suppress(OSError):
            os.rmdir(self.folder)

    def take_in(self, process: int, *, memory: int, processes: int) -> None:
        """Move a process into it, with what that starts later; when they use more than this, all of them end."""
        for name, value in {"memory.max": memory, "memory.oom.group": 1, "pids.max": processes}.items():
            (self.folder / name).write_text(str(value))
        with suppress(OSError):  # a kernel without swap has no such limit
            (self.folder / "memory.swap.max").write_text("0")
        (self.folder / "cgroup.procs").write_text(str(process))


def make_group(
    process: int, limits: SandboxLimits, files_mb: int, processes: int, *, root: Path = ROOT, own: Path = OWN
) -> Group | None:
    """A cgroup beside our own with this process in it; None where there are none, or we may not make one.

    `files_mb` are for files in memory: the kernel counts them too.
    """
    with suppress(OSError):
        place = _place(root, own.read_text())
        if place is None or not set((place / "cgroup.subtree_control").read_text().split()) >= _NEEDED:
            return None
        group = Group(place / f"signoff-{uuid.uuid4().hex}")
        group.folder.mkdir()
        try:
            group.take_in(process, memory=(limits.memory_mb + files_mb) * MB, processes=processes)
            return group
        except OSError:
            group.remove()
    return None


def _place(root: Path, own: str) -> Path | None:
    """The cgroup that ours is in: one that holds processes cannot hold groups with limits."""
    for line in own.splitlines():
        if line.startswith("0::/"):
            path = root / line.removeprefix("0::/")
            return path.parent if path != root else root
    return None
