"""Which process holds a run or an effect: named so that others can tell whether it lives, and kept held meanwhile.

What a process holds, and its signs of life, are renewed by one thread for all of them: KeepAlive.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal

from signoff.checkpoints.errors import RunBusy, StoreError

_log = logging.getLogger(__name__)


def current_owner() -> str:
    """This process as 'host:boot:namespace:pid:start'; the start tells it from a later process with the same pid."""
    return _owner_of(os.getpid())


@lru_cache(maxsize=1)
def _owner_of(pid: int) -> str:
    return f"{_place()}:{pid}:{_started(pid)}"


_AT_WORK: Final[set[str]] = set()
"""What this process works on: the names under which it holds something."""


@contextmanager
def working() -> Iterator[str]:
    """This process as the owner of one thing alone, 'PROCESS/TOKEN', as long as it works on it.

    Once it does not, the owner is gone, even if what it held could not be given back.
    """
    owner = f"{current_owner()}/{secrets.token_hex(4)}"
    begin_work(owner)
    try:
        yield owner
    finally:
        end_work(owner)


def begin_work(owner: str) -> None:
    """From now on this process is at work under this name, 'PROCESS/TOKEN'."""
    _AT_WORK.add(owner)


def end_work(owner: str) -> None:
    _AT_WORK.discard(owner)


Standing = Literal["alive", "gone", "unknown"]
"""alive: surely at work, be it stopped; gone: surely not; unknown: of a place where its pid means nothing here."""


def standing(owner: str) -> Standing:
    """Whether an owner, a process or 'PROCESS/TOKEN', is at work.

    A pid means something to processes of the same boot of the same machine, in the same namespace of pids: two
    containers may well have the same host name and the same pids. An owner elsewhere is left to its lease.
    """
    process, _, token = owner.partition("/")
    here, name, started = f"::{process}".rsplit(":", 2)
    if here != f"::{_place()}" or not (name.isdecimal() and started.isdecimal() and all(_boot_and_namespace())):
        return "unknown"
    pid = int(name)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return "gone"
    except PermissionError:
        if _started(pid) == _UNKNOWN:
            return "unknown"
    except OverflowError:
        return "unknown"
    if _started(pid) != started or _state(pid) == "Z":
        return "gone"
    if token and process == current_owner():
        return "alive" if owner in _AT_WORK else "gone"
    return "unknown" if started == _UNKNOWN else "alive"


def is_gone(owner: str) -> bool:
    """True only if the owner is surely no longer at work."""
    return standing(owner) == "gone"


def holds(owner: str, until: str, now: str) -> bool:
    """Whether what an owner took until that moment is still his.

    Who lives holds it whatever the clocks say: a process that was stopped goes on amid its work when it wakes.
    """
    stands = standing(owner) if owner else "gone"
    return stands == "alive" or (stands == "unknown" and until > now)


def describe_owner(owner: str) -> str:
    """An owner in words, such as 'process 4711 (stopped)' or 'process 12 on db-2'."""
    process = owner.partition("/")[0]
    host, *_, pid, _started_at = process.split(":") if process.count(":") == 4 else ("", "", "")
    if not pid.isdecimal():
        return owner or "another process"
    if not process.startswith(f"{_place()}:"):
        return f"process {pid} on {host}" + (" (another container or boot)" if host == socket.gethostname() else "")
    return f"process {pid}" + (" (stopped)" if _state(int(pid)) in ("T", "t") else "")


def _place() -> str:
    """Where pids mean the same as here."""
    return ":".join((socket.gethostname().replace("/", "_"), *_boot_and_namespace()))


def _boot_and_namespace() -> tuple[str, str]:
    """Start of the random id of this boot, and number of the namespace of pids; empty where they are not known."""
    if sys.platform == "darwin":  # has one namespace, and no id of a boot: that of the machine is as good
        node = uuid.getnode()
        return "" if node >> 40 & 1 else f"{node:012x}", "darwin"  # with that bit it is a random number
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
        return boot, str(Path("/proc/self/ns/pid").stat().st_ino)
    except OSError:
        return "", ""


def _stat_fields(pid: int) -> list[str]:
    """Fields of /proc/PID/stat after the command's name; empty where there is no /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


_UNKNOWN: Final = "0"
"""When a process started, where nothing tells."""


def _started(pid: int) -> str:
    """A number that tells a process from later ones with its pid."""
    if sys.platform == "darwin":
        return _started_by_ps(pid)
    fields = _stat_fields(pid)
    return fields[19] if len(fields) > 19 else _UNKNOWN


def _started_by_ps(pid: int) -> str:
    """Seconds since 1970 at which it started, as `ps` tells it."""
    ps = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        told = subprocess.run(ps, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, timeout=10)
        return str(int(time.mktime(time.strptime(told.stdout.strip()))))
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return _UNKNOWN


def _state(pid: int) -> str:
    """The letter that the system has for what a process does, such as T: it is stopped; empty if nothing tells."""
    fields = _stat_fields(pid)
    return fields[0] if fields else ""


@dataclass(frozen=True)
class Fence:
    """A claim of a run: while its owner has the run, it may write what only a driver writes. No two have one owner."""

    run_id: str
    owner: str

    def check(self, owner: str | None) -> None:
        """RunBusy if the run is somebody else's by now."""
        if owner != self.owner:
            raise RunBusy(self.run_id, owner or "", who=describe_owner(owner) if owner else "")


RENEW_SECONDS: Final = 15.0
_SOON: Final = 0.25
"""Seconds in which those who begin to work have their first renewal in one write."""

Renew = Callable[..., object]
"""Renews what these keys name, all in one write."""


class KeepAlive:
    """Renews what threads are working on every few seconds, until they leave it.

    Its one thread comes with the first of them and ends with the last. What StoreError keeps from being
    renewed is tried again when it is due again: until then it holds as long as it was taken for.
    """

    def __init__(self, seconds: float = RENEW_SECONDS) -> None:
        self._seconds = seconds
        self._forget()

    def _forget(self) -> None:
        self._pid, self._changed = os.getpid(), threading.Condition()
        self._at_work: Counter[tuple[Renew, str]] = Counter()
        self._due_at: dict[tuple[Renew, str], float] = {}
        """By the clock of `time.monotonic`; also of what nobody works on now, lest it is renewed too soon again."""
        self._owed: set[tuple[Renew, str]] = set()
        """To be renewed when it is due even if nobody works on it any more."""
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether its thread is there."""
        return self._thread is not None

    @contextmanager
    def renewing(self, renew: Renew, key: str, *, soon: bool = False) -> Iterator[None]:
        """Have the key renewed, together with others that are renewed in the same way, as long as this lasts.

        `soon`: for the first time in a moment, together with all that begin in it, and even if this has ended by
        then; not if it was renewed less than so many seconds ago. Else it was taken now.
        """
        if self._pid != os.getpid():
            self._forget()  # a forked child has none of its parent's threads
        work, pid = (renew, key), self._pid
        with self._changed:
            self._at_work[work] += 1
            if not soon:
                self._due_at[work] = time.monotonic() + self._seconds
            elif self._due_at.get(work, 0.0) <= time.monotonic():
                soonest = time.monotonic() + min(_SOON, self._seconds)
                self._due_at[work] = min((self._due_at[other] for other in self._owed), default=soonest)
                if not self._owed:
                    self._changed.notify()
                self._owed.add(work)
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew_on, name="signoff keep-alive", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            if pid == os.getpid():
                with self._changed:
                    self._at_work[work] -= 1
                    if not self._at_work[work]:
                        del self._at_work[work]
                    if not self._at_work and not self._owed:
                        self._changed.notify()

    def _renew_on(self) -> None:
        while due := self._wait():
            for renew in {renew for renew, _ in due}:
                try:
                    renew(*(key for found, key in due if found == renew))
                except StoreError as error:
                    _log.info("Not renewed yet: %s", error)
                except Exception:  # of a driver, say: too many depend on this thread for it to end
                    _log.exception("Not renewed yet")

    def _wait(self) -> list[tuple[Renew, str]]:
        """What is due, once something is; nothing if nobody works, and the thread ends."""
        with self._changed:
            while self._at_work or self._owed:
                self._changed.wait(max(min(self._due_at.values()) - time.monotonic(), 0.0))
                now = time.monotonic()
                over = [work for work, due_at in self._due_at.items() if due_at <= now]
                due = [work for work in over if work in self._at_work or work in self._owed]
                for work in over:
                    del self._due_at[work]
                self._owed.difference_update(over)
                self._due_at.update(dict.fromkeys(due, now + self._seconds))
                if due:
                    return due
            self._thread = None
            return []
