"""Who holds a run or an effect: this process, named so that others can tell whether it still lives."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def current_owner() -> str:
    """This process as 'host:pid:start'; the start tells it from a later process with the same pid."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_started(pid)}"


def is_gone(owner: str) -> bool:
    """True only if the owner surely no longer lives; False for other hosts, other names and unknown systems."""
    host, pid_text, started = ["", "", *owner.rsplit(":", 2)][-3:]
    if not pid_text.isdecimal() or host != socket.gethostname() or os.name != "posix":
        return False
    pid = int(pid_text)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return _started(pid) != started or _is_zombie(pid)


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
