"""Running programs on inputs, in the sandbox or in the place that this runs in, and seeing all that they do."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

SECONDS: Final = 10
"""That a program may take on one input."""
BUILDING: Final = 120
"""Seconds that a compiler may take."""
LARGEST: Final = 4_000_000
"""Bytes of one output or file that a program may write."""
_HINTS: Final = {"cobc": "gnucobol3", "javac": "default-jdk-headless", "java": "default-jdk-headless"}


class ToolMissing(Exception):
    """A compiler or the sandbox is not here; says how to have it."""


class NotBuilt(Exception):
    """A compiler does not take a program; with what it says."""


@dataclass(frozen=True, kw_only=True)
class Input:
    """What a program is run on."""

    name: str
    stdin: bytes = b""
    files: Mapping[str, bytes] = field(default_factory=dict)
    """By their path in the folder that it is run in."""


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """All that a program did on one input."""

    exit_code: int
    stdout: bytes
    files: Mapping[str, bytes]
    """That are there afterwards, by path."""
    stderr: bytes = b""

    @property
    def ran_out(self) -> bool:
        """Whether it was stopped, at its time or at the size of what it wrote."""
        largest = max((len(raw) for raw in (self.stdout, *self.files.values())), default=0)
        return self.exit_code in (124, 137, 153) or largest >= LARGEST


@dataclass(frozen=True, kw_only=True)
class Program:
    """Sources, and the commands that make a program of them and start it."""

    sources: Mapping[str, bytes]
    build: str
    """For sh, in the folder of the sources; makes what `start` needs in the folder `built`."""
    start: str
    """For sh; the folder `built` is in $BUILT."""
    check: Callable[[Path], str] = lambda _built: ""
    """Says what is wrong with what was built."""


class Place(Protocol):
    """Where shell scripts are run."""

    def run(self, script: str, folder: Path, seconds: float) -> None:
        """Run the script in this folder, whose files it may change, for so long at most."""


class Here:
    """In this process's own place: for a check that is run in a sandbox already."""

    def run(self, script: str, folder: Path, seconds: float) -> None:
        """Run it, and end all that it started."""
        process = subprocess.Popen(
            ["sh", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True, close_fds=True
        )
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Sandboxed:
    """In signoff's sandbox: no network, and nothing of this machine but its programs."""

    def __init__(self) -> None:
        try:
            from signoff.errors import SandboxMissing
            from signoff.tools.sandbox.backends import open_backend
        except ImportError as error:
            raise ToolMissing(f"signoff is not installed here ({error}). In a sandbox already? Add --here") from None
        try:
            self._backend = open_backend()
        except SandboxMissing as error:
            raise ToolMissing(f"{error} In a sandbox already? Add --here") from None

    def run(self, script: str, folder: Path, seconds: float) -> None:
        """Run it as a job of its own, with the folder as its workspace."""
        from signoff.tools.sandbox.sandbox import Job, SandboxLimits

        limits = SandboxLimits(seconds=seconds, cpu_seconds=int(seconds) + 1, memory_mb=4_096, processes=256)
        self._backend.run(Job(command=("sh", "-c", script), workspace=folder, limits=limits))


def check_tools() -> None:
    """ToolMissing if a compiler is not here."""
    missing = [name for name in _HINTS if shutil.which(name) is None]
    if missing:
        packages = " ".join(sorted({_HINTS[name] for name in missing}))
        raise ToolMissing(f"{', '.join(missing)} cannot be found. Install: apt-get install {packages}")


def run_on(place: Place, program: Program, inputs: Sequence[Input]) -> list[Behaviour]:
    """What the program does on each of the inputs, each in a folder of its own; NotBuilt if it cannot be compiled."""
    with tempfile.TemporaryDirectory(prefix="program-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        for path, raw in program.sources.items():
            write(folder / "sources" / path, raw)
        (folder / "built").mkdir()
        build = f"cd sources && {{ {program.build}\n}} >../log 2>&1; echo $? >../code"
        place.run(build, folder, BUILDING)
        code = read(folder / "code").strip()
        if code != b"0":
            said = read(folder / "log").decode("utf-8", "replace").strip()
            raise NotBuilt(said or f"its compiler was stopped after {BUILDING} s")
        if problem := program.check(folder / "built"):
            raise NotBuilt(problem)
        shutil.rmtree(folder / "sources")  # what runs does not see what it was made of
        for number, given in enumerate(inputs):
            write(folder / f"{number}.in", given.stdin)
            (folder / str(number)).mkdir()
            for path, raw in given.files.items():
                write(folder / str(number) / path, raw)
        place.run(_each(program.start, len(inputs)), folder, (SECONDS + 2) * len(inputs) + 5)
        return [_seen(folder, number) for number in range(len(inputs))]


def _each(start: str, count: int) -> str:
    """A script that runs a program on each input, in turn."""
    return f"""BUILT=$PWD/built; export BUILT; ulimit -f {LARGEST // 512}; ulimit -c 0
for at in $(seq 0 {count - 1}); do
  (cd $at && timeout -k 1 {SECONDS} {start} <../$at.in >../$at.out 2>../$at.err; echo $? >../$at.code)
done"""


def _seen(folder: Path, number: int) -> Behaviour:
    place = folder / str(number)
    written = (path for path in sorted(place.rglob("*")) if path.is_file() and not path.is_symlink())
    return Behaviour(
        exit_code=int(read(folder / f"{number}.code").strip() or 137),
        stdout=read(folder / f"{number}.out"),
        stderr=read(folder / f"{number}.err"),
        files={path.relative_to(place).as_posix(): read(path) for path in written},
    )


def write(path: Path, raw: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)


def read(path: Path) -> bytes:
    """What a program left there, as far as it may be large; empty if there is no such file."""
    if not path.is_file() or path.is_symlink():
        return b""
    with path.open("rb") as file:
        return file.read(LARGEST + 1)
