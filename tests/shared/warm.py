"""Starts Python programs as `subprocess` does, but as forks of one process that has imported signoff already.

To import the framework costs a program one to two seconds of the processor, a fork some hundredths of that. What a
test says of the start itself (what is imported, what is printed how soon) needs a process from `subprocess`.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from fork_server import LENGTH

SERVER = Path(__file__).with_name("fork_server.py")
NAMES = ("stdin", "stdout", "stderr")

File = int | IO[Any] | None
"""As for `subprocess`: a file, its number, PIPE, DEVNULL, STDOUT, or none for this process's own."""

Words = Sequence[str | os.PathLike[str]]
"""A command of this Python: `[sys.executable, "-c", code, …]`, with a script, or with `-m` and a module."""


class WarmProcess:
    """A program in a fork, with what tests use of `subprocess.Popen`."""

    def __init__(self, words: Words, status: socket.socket, pipes: Mapping[str, int], *, text: bool) -> None:
        self.args = list(words)
        self.returncode: int | None = None
        self._status, self._told = status, b""
        told = self._line(None)
        assert told is not None
        self.pid = told
        self.stdin, self.stdout, self.stderr = (self._open(name, pipes.get(name), text) for name in NAMES)

    def __enter__(self) -> WarmProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if kind is not None:
            self.kill()
        for pipe in (self.stdin, self.stdout, self.stderr):
            if pipe is not None:
                pipe.close()
        self.wait()

    def poll(self) -> int | None:
        """The exit code, negative for a signal, or None while it runs."""
        if self.returncode is None:
            self._ended(self._line(0))
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._ended(self._line(timeout))
        if self.returncode is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired([str(word) for word in self.args], timeout)
        return self.returncode

    def communicate(self, given: Any = None, timeout: float | None = None) -> tuple[Any, Any]:
        """What it said on its pipes until it ended, after it was given this."""
        said: dict[int, Any] = {}
        deadline = None if timeout is None else time.monotonic() + timeout

        def read(place: int, pipe: IO[Any]) -> None:
            with pipe:
                said[place] = pipe.read()

        pipes = [pipe for pipe in (self.stdout, self.stderr) if pipe is not None]
        readers = [threading.Thread(target=read, args=(id(pipe), pipe), daemon=True) for pipe in pipes]
        for reader in readers:
            reader.start()
        if self.stdin is not None:
            with self.stdin:
                self.stdin.write(given or "")
        self.wait(None if deadline is None else max(0, deadline - time.monotonic()))
        for reader in readers:
            reader.join(None if deadline is None else max(0, deadline - time.monotonic()))
        return said.get(id(self.stdout)), said.get(id(self.stderr))

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended, and nobody has told yet
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _ended(self, code: int | None) -> None:
        if code is not None:
            self.returncode = code
            self._status.close()

    def _line(self, timeout: float | None) -> int | None:
        """The next number that the server tells, or None if it tells none in time."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while b"\n" not in self._told:
            left = None if deadline is None else max(0, deadline - time.monotonic())
            if not select.select([self._status], [], [], left)[0]:
                return None
            told = self._status.recv(64)
            assert told, "the process that forks has ended"
            self._told += told
        line, _, self._told = self._told.partition(b"\n")
        return int(line)

    @staticmethod
    def _open(name: str, end: int | None, text: bool) -> Any:
        if end is None:
            return None
        mode = "w" if name == "stdin" else "r"
        return os.fdopen(end, mode, encoding="utf-8") if text else os.fdopen(end, f"{mode}b", -1)


class Forking:
    """The process that forks. It ends with this one, and what it forked is killed then."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asking, other = socket.socketpair()
        with other:
            self._process = subprocess.Popen(
                [sys.executable, str(SERVER), str(other.fileno())],
                pass_fds=[other.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
            )

    def ask(
        self,
        words: Words,
        files: Sequence[int],
        cwd: str,
        env: Mapping[str, str],
        *,
        terminal: bool,
        modules: Sequence[str],
    ) -> socket.socket:
        """Have a program run with these files; where it is told how that goes."""
        status, far = socket.socketpair()
        told: dict[str, Any] = {"words": [os.fspath(word) for word in words[1:]], "env": dict(env), "cwd": cwd}
        told |= {"terminal": terminal, "modules": list(modules)}
        body = json.dumps(told).encode()
        with far, self._lock:
            socket.send_fds(self._asking, [LENGTH.pack(len(body))], [*files, far.fileno()])
            self._asking.sendall(body)
        return status

    def close(self) -> None:
        """End it."""
        self._asking.close()
        self._process.wait()


@cache
def forking() -> Forking:
    """Started when it is first needed."""
    started = Forking()
    atexit.register(started.close)
    return started


def start(
    words: Words,
    *,
    stdin: File = None,
    stdout: File = None,
    stderr: File = None,
    text: bool = False,
    cwd: str | os.PathLike[str] | None = None,
    env: Mapping[str, str] | None = None,
    terminal: bool = False,
    modules: Sequence[str] = (),
) -> WarmProcess:
    """As `subprocess.Popen`; with `terminal` its standard input is a terminal that is its own from now on.

    What it needs of `modules` is imported once, for all that are started later too.
    """
    assert words[0] == sys.executable, words
    theirs: list[int] = []
    ours: dict[str, int] = {}
    with ExitStack() as opened:
        for place, (name, wanted) in enumerate(zip(NAMES, (stdin, stdout, stderr), strict=True)):
            if wanted == subprocess.PIPE:
                reading, writing = os.pipe()
                ours[name], end = (writing, reading) if name == "stdin" else (reading, writing)
                opened.callback(os.close, end)
            elif wanted == subprocess.DEVNULL:
                end = os.open(os.devnull, os.O_RDWR)
                opened.callback(os.close, end)
            elif wanted == subprocess.STDOUT:
                end = theirs[1]
            elif wanted is None:
                end = place
            else:
                end = wanted if isinstance(wanted, int) else wanted.fileno()
            theirs.append(end)
        here, kept = os.fspath(cwd or Path.cwd()), os.environ if env is None else env
        status = forking().ask(words, theirs, here, kept, terminal=terminal, modules=modules)
    return WarmProcess(words, status, ours, text=text)


def run(
    words: Words,
    *,
    capture_output: bool = False,
    input: Any = None,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """As `subprocess.run`."""
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if input is not None:
        options |= {"stdin": subprocess.PIPE}
    with start(words, **options) as process:
        out, err = process.communicate(input, timeout)
        done = subprocess.CompletedProcess(process.args, process.wait(), out, err)
    if check:
        done.check_returncode()
    return done


def told_by(program: Path, *words: object, **options: Any) -> list[Any]:
    """What a program prints, a JSON value on each line; AssertionError with what it said if it does not end well."""
    done = run([sys.executable, str(program), *map(str, words)], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{done.stdout[-2000:]}\n{done.stderr}"
    return [json.loads(line) for line in done.stdout.splitlines()]
