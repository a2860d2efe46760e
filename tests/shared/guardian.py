"""Waits until a run of the tests is over, however it ends, and stops and removes what it left behind.

Its argument is the mark of the run, its standard input a pipe whose other end only the run holds: it ends with the
run, also when that was killed. Every process has the mark in its environment that a test started, or that was started
by one of those. Servers of PostgreSQL, which hide their environment, are found by the folders that bear the mark.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

VARIABLE = "TESTS_OF_SIGNOFF"
"""Where the mark is; a run that a test starts adds its own."""
PATIENCE = 10.0
"""Seconds until it gives up on a process that cannot be killed."""


def marked(mark: str) -> list[int]:
    """Processes with this mark. Only Linux tells the environment of others."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            variables = place.read_bytes().split(b"\0")
        except OSError:  # it ended meanwhile, or is another user's
            continue
        if any(variable.startswith(f"{VARIABLE}=".encode()) and mark.encode() in variable for variable in variables):
            found.append(int(place.parent.name))
    return [pid for pid in found if pid != os.getpid()]


def folders(mark: str) -> list[Path]:
    """Where servers of PostgreSQL have their data."""
    return list(Path(tempfile.gettempdir()).glob(f"pg{mark}*"))


def send(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def postmasters(mark: str) -> list[int]:
    """Servers of PostgreSQL that were started."""
    files = [folder / "postmaster.pid" for folder in folders(mark)]
    return [pid for file in files if file.exists() and is_postgres(pid := int(file.read_text().split()[0]))]


def is_postgres(pid: int) -> bool:
    """Tell whether this is still the server, and not another process that got its number."""
    try:
        os.kill(pid, 0)
        return not Path("/proc/self").exists() or Path(f"/proc/{pid}/comm").read_text() == "postgres\n"
    except OSError:
        return False


def sweep(mark: str) -> None:
    """Stop all that is left: databases so that they take their own processes with them, the others at once."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        servers = postmasters(mark)
        for pid in servers:
            send(pid, getattr(signal, "SIGQUIT", signal.SIGTERM))
        others = [pid for pid in marked(mark) if pid not in servers]
        for pid in others:
            send(pid, signal.SIGKILL)
        if not servers and not others:
            break
        time.sleep(0.05)
    for folder in folders(mark):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    sys.stdin.read()
    sweep(sys.argv[1])
