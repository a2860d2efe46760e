"""Who holds a run or an effect: this process, named so that others can tell whether it still lives."""

from __future__ import annotations

import os
import socket
import sys
import uuid
from pathlib import Path


def current_owner() -> str:
    """This process as 'host:boot:namespace:pid:start'; the start tells it from a later process with the same pid."""
    pid = os.getpid()
    return f"{_place()}:{pid}:{_started(pid)}"


def is_gone(owner: str) -> bool:
    """True only if the owner surely no longer lives; False wherever its pid means nothing, and on unknown systems.

    A pid means something to processes of the same boot of the same machine, in the same namespace of pids: two
    containers may well have the same host name and the same pids. An owner elsewhere is left to its lease.
    """
    elsewhere, _, process = owner.partition(f"{_place()}:")
    pid_text, _, started = process.partition(":")
    if elsewhere or not pid_text.isdecimal() or not started.isdecimal() or not all(_boot_and_namespace()):
        return False
    pid = int(pid_text)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        return False
    return _started(pid) != started or _is_zombie(pid)


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


def _started(pid: int) -> str:
    fields = _stat_fields(pid)
    return fields[19] if len(fields) > 19 else "0"


def _is_zombie(pid: int) -> bool:
    fields = _stat_fields(pid)
    return bool(fields) and fields[0] == "Z"
