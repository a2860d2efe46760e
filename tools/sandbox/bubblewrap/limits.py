"""The watch over a job that runs: it takes in its output, and says when and why it has to end."""

from __future__ import annotations

import os
import selectors
import threading
import time
from dataclasses import dataclass, field

from signoff.tools.sandbox.bubblewrap.gauge import measure
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

    @classmethod
    def nothing(cls) -> Watched:
        """Of a job that never began."""
        return cls(finished=-1, proc=-1, disks=(), streams=(-1, -2))

    def output(self) -> tuple[bytes, bytes]:
        """What came on stdout and on stderr."""
        first, second = self.streams
        return bytes(self.written.get(first, b"")), bytes(self.written.get(second, b""))

    def exceeds(self, limits: SandboxLimits) -> bool:
        """Whether more was written than is kept."""
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
    usage = measure(job.proc, limits.memory_mb * MB)
    if usage.threads > limits.processes + 1:  # and the sandbox's own first process
        return "processes"
    if usage.memory > limits.memory_mb * MB:
        return "memory"
    taken = (os.fstatvfs(disk) for disk in job.disks)
    return "disk" if any(disk.f_files - disk.f_ffree > limits.files + 1 for disk in taken) else None
