"""A container at work: its output is taken as it comes, and it is killed at the first limit that it reaches."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from signoff.tools.sandbox.sandbox import Ended, Job

STEP: Final = 0.1
"""Seconds between two looks at the limits that no engine keeps."""
STDERR: Final = 2
KILLED: Final = 128 + 9


@dataclass(frozen=True)
class Outcome:
    """What came of the container."""

    ended: Ended
    exit_code: int
    stdout: bytes = b""
    stderr: bytes = b""
    seconds: float = 0.0


class Attached:
    """The streams of one container."""

    def __init__(self, engine: Any, container: Any, job: Job) -> None:
        self.engine, self.container, self.job = engine, container, job
        self._streams: dict[int, bytearray] = {1: bytearray(), STDERR: bytearray()}
        self._is_full = threading.Event()

    def follow(self, stop: threading.Event, is_over: Callable[[], bool]) -> Outcome:
        """Start it and wait for its end, or bring it about: at a limit, on `stop`, or when its disk `is_over`."""
        wanted = {"stdout": 1, "stderr": 1, "stream": 1, **({"stdin": 1} if self.job.stdin else {})}
        attached = self.engine.api.attach_socket(self.container.id, params=wanted)
        line: socket.socket = attached._sock  # the SDK gives a reader only, which neither writes nor closes it
        line.setblocking(True)
        with attached, line, ThreadPoolExecutor(3) as threads:
            reading = threads.submit(self._read, line)
            started = time.monotonic()
            try:
                self.container.start()
                threads.submit(self._write, line)
                exited = threads.submit(self.container.wait, timeout=self.job.limits.seconds + 60)
                killed = self._watch(exited, started, stop, is_over)
                code = int(exited.result()["StatusCode"])
                wait([reading], timeout=10)
            finally:
                with suppress(OSError):
                    line.shutdown(socket.SHUT_RDWR)  # else a thread could wait for it forever
        return self._outcome(killed, code, time.monotonic() - started)

    def _watch(
        self, exited: Future[Any], started: float, stop: threading.Event, is_over: Callable[[], bool]
    ) -> Ended | None:
        """Why it was killed; None if it ended by itself."""
        while not wait([exited], timeout=STEP).done:
            reason = self._reason(started, stop, is_over)
            if reason:
                self._kill()
                return reason
        return "output" if self._is_full.is_set() else None

    def _reason(self, started: float, stop: threading.Event, is_over: Callable[[], bool]) -> Ended | None:
        """The limit that it reached, if any."""
        if stop.is_set():
            return "stopped"
        if self._is_full.is_set():
            return "output"
        if is_over():
            return "disk"
        if time.monotonic() - started < self.job.limits.seconds:
            return None
        found = self.engine.api.stats(self.container.id, stream=False, one_shot=True)
        return "processes" if found.get("pids_stats", {}).get("current", 0) >= self.job.limits.processes else "time"

    def _kill(self) -> None:
        from docker.errors import APIError

        try:
            self.container.kill()
        except APIError as error:
            if error.status_code not in (404, 409, 500):  # it ended meanwhile; what it is answered differs by engine
                raise

    def _outcome(self, killed: Ended | None, code: int, seconds: float) -> Outcome:
        self.container.reload()
        ended: Ended = killed or ("exit" if code <= 128 else "signal")
        # No process of a container can kill its first one, and Podman does not always tell that memory ran out.
        starved = self.container.attrs["State"].get("OOMKilled") or (killed is None and code == KILLED)
        if starved and code and killed in (None, "time", "processes"):
            ended = "memory"
        stdout, stderr = (bytes(raw) for raw in self._streams.values())
        return Outcome(ended, KILLED if killed else code, stdout, stderr, seconds)

    def _read(self, line: socket.socket) -> None:
        """Keep what it says, up to the limit. The rest is read as well: an engine that is not heard does not kill."""
        from docker.utils.socket import frames_iter

        most = self.job.limits.output_bytes
        for stream, piece in frames_iter(line, tty=False):
            kept = self._streams[STDERR if stream == STDERR else 1]
            if len(kept) + len(piece) > most:
                self._is_full.set()
            kept += piece[: max(most - len(kept), 0)]

    def _write(self, line: socket.socket) -> None:
        """Give it its standard input, and then the end of it."""
        if not self.job.stdin:
            return
        with suppress(OSError):  # it ended, or closed its end
            line.sendall(self.job.stdin)
            line.shutdown(socket.SHUT_WR)
