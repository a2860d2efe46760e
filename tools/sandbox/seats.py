"""Seats: megabytes and processors of this machine, claimed before a job runs, so that all jobs together fit into it.

Whoever wants one is written down in a file of the machine, under a lock, whichever database and process it is of; those
who came first go first. A seat whose holder's process has ended is free. A container is a machine of its own.
"""

from __future__ import annotations

import json
import os
import secrets
import stat
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any, Final

from signoff.checkpoints import current_owner, holds, later
from signoff.settings import load_settings
from signoff.tools.errors import SandboxMissing
from signoff.tools.sandbox.sandbox import Backend, Finished, Job, finish

_MB: Final = 1 << 20
_PER_CPU: Final = 4
"""Seats for each processor, if nobody says: jobs wait for disks and for each other most of the time."""
_GROUP: Final = Path("/sys/fs/cgroup/memory.max")
_LEASE: Final = 60.0
"""Seconds beyond its time limit that a job's seat is held where nobody can tell whether its process lives."""
_SOON: Final = 0.05
"""Seconds until the first of a process that waits looks again."""
_LONG: Final = 0.25
"""Seconds until the others look whether anybody still waits for them."""
LINES: Final = defaultdict[tuple[int, Path], list[threading.Event]](list)
_lining = threading.Lock()


@dataclass(frozen=True)
class Seat:
    """What one job holds, or waits for."""

    id: str
    owner: str
    """The process (process_identity.py)."""
    mb: int
    cpus: float
    until: str


@dataclass(frozen=True)
class Seats:
    """The seats of one machine."""

    folder: Path
    mb: int
    cpus: float

    @classmethod
    def of_machine(cls) -> Seats:
        """Those of this machine, by the settings: as many as it has, unless they say otherwise."""
        settings = load_settings()
        mb, cpus = settings.sandbox_memory_mb or _memory(), settings.sandbox_cpus or _PER_CPU * _processors()
        return cls(_folder(), mb, cpus)

    def held(self) -> list[Seat]:
        """Those that are held now."""
        with self._open() as (held, _waiting):
            return list(held)

    @contextmanager
    def seat(self, mb: int, cpus: float, seconds: float, stop: threading.Event | None = None) -> Iterator[bool]:
        """Hold so much, once there is room; False if `stop` was set before. More than there is at all waits for all."""
        wanted, until = (min(mb, self.mb), min(cpus, self.cpus)), later(seconds + _LEASE)
        mine = Seat(secrets.token_hex(8), current_owner(), *wanted, until)
        try:
            yield self._wait(mine, stop or threading.Event())
        finally:
            with self._open() as (held, waiting):
                _drop(held, mine)
                _drop(waiting, mine)

    def _wait(self, mine: Seat, stop: threading.Event) -> bool:
        """Wait in this process's line, whose first alone looks into the file."""
        with _in_line(self.folder, stop) as is_first:
            while is_first:
                with self._open() as (held, waiting):
                    before = next((place for place, one in enumerate(waiting) if one.id == mine.id), len(waiting))
                    if before == 0 and self._has_room(held, mine):
                        _drop(waiting, mine)
                        held.append(mine)
                        return True
                    if before == len(waiting):
                        waiting.append(mine)
                if stop.wait(_SOON):
                    break
        return False

    def _has_room(self, held: list[Seat], mine: Seat) -> bool:
        mb, cpus = sum(one.mb for one in held), sum(one.cpus for one in held)
        return mb + mine.mb <= self.mb and cpus + mine.cpus <= self.cpus

    @contextmanager
    def _open(self) -> Iterator[tuple[list[Seat], list[Seat]]]:
        """What is held and who waits, of those who live, to be changed: nobody else looks meanwhile."""
        file = self.folder / "seats.json"
        with open(self.folder / "lock", "a+b") as lock, _locked(lock):
            try:
                kept = json.loads(file.read_text(encoding="utf-8"))
            except FileNotFoundError:
                kept = {"held": [], "waiting": []}
            held, waiting = (_living(Seat(**one) for one in kept[name]) for name in ("held", "waiting"))
            yield held, waiting
            told = {"held": [asdict(one) for one in held], "waiting": [asdict(one) for one in waiting]}
            if told != kept:
                new = file.with_suffix(f".{os.getpid()}")
                new.write_text(json.dumps(told), encoding="utf-8")
                new.replace(file)


@dataclass(frozen=True)
class Seated:
    """A backend whose jobs take seats of the machine."""

    backend: Backend
    seats: Callable[[], Seats] = Seats.of_machine

    @property
    def name(self) -> str:
        return self.backend.name

    def problem(self) -> str:
        return self.backend.problem()

    def run(self, job: Job, *, stop: threading.Event | None = None) -> Finished:
        limits = job.limits
        with self.seats().seat(limits.memory_mb, limits.cpus, limits.seconds, stop) as is_held:
            if not is_held:
                return finish(limits, ended="stopped", exit_code=1, seconds=0.0)
            return self.backend.run(job, stop=stop)


@contextmanager
def _in_line(folder: Path, stop: threading.Event) -> Iterator[bool]:
    """Be the first of this process who waits for these seats, whose turn it is; False if `stop` was set before."""
    line, turn = LINES[os.getpid(), folder], threading.Event()
    with _lining:
        line.append(turn)
        line[0].set()
    try:
        while not turn.wait(_LONG) and not stop.is_set():
            pass
        yield turn.is_set()
    finally:
        with _lining:
            line.remove(turn)
            for first in line[:1]:
                first.set()


def _living(seats: Iterable[Seat]) -> list[Seat]:
    """Those whose processes live; each process is looked for once."""
    now, known, found = later(0.0), dict[tuple[str, bool], bool](), list[Seat]()
    for seat in seats:
        key = (seat.owner, seat.until > now)
        if key not in known:
            known[key] = holds(seat.owner, seat.until, now)
        if known[key]:
            found.append(seat)
    return found


def _drop(seats: list[Seat], mine: Seat) -> None:
    seats[:] = [one for one in seats if one.id != mine.id]


@contextmanager
def _locked(file: IO[bytes]) -> Iterator[None]:
    """Hold the lock of a file; the system lets go of it when a process ends, whatever ends it."""
    try:
        import fcntl
    except ImportError as error:
        raise SandboxMissing(("seats need a system with flock",)) from error
    fcntl.flock(file, fcntl.LOCK_EX)
    yield  # closing the file lets go


def _folder() -> Path:
    """Where this user's seats on this machine are; SandboxMissing if somebody else has made a folder of that name."""
    folder = Path(tempfile.gettempdir()) / f"signoff-seats-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    found: Any = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise SandboxMissing((f"{str(folder)!r} is not a folder of yours alone: take it away",))
    return folder


def _memory() -> int:
    """The megabytes of this machine, or of the group that this process is held to."""
    mb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MB
    try:
        most = _GROUP.read_text(encoding="ascii").strip()
    except OSError:
        return mb
    return min(mb, int(most) // _MB) if most.isdecimal() else mb


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
