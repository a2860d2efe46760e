"""A run of the tests that is stopped, or killed, leaves no database, no server and no program behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HELD = Path(__file__).parent / "programs" / "held.py"
PATIENCE = 300.0
"""Seconds; far more than it takes."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells whose child a process was")


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(
    ("number", "workers"),
    [
        pytest.param(signal.SIGTERM, "2", id="stopped"),
        pytest.param(signal.SIGKILL, "1", id="killed"),
        pytest.param(signal.SIGTERM, "0", id="stopped alone", marks=pytest.mark.hunt),
        pytest.param(signal.SIGINT, "0", id="interrupted alone", marks=pytest.mark.hunt),
    ],
)
def test_nothing_outlives_a_run_that_is_ended(server: object, tmp_path: Path, number: int, workers: str) -> None:
    """Where a server can be started at all: that is why it asks for one."""
    told = tmp_path / "told.json"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", workers, str(HELD)]
    log, deadline = tmp_path / "log", time.monotonic() + PATIENCE
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=os.environ | {"HELD": str(told)}, stdout=output, stderr=output) as run,
    ):
        while not told.exists():
            assert run.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        left = json.loads(told.read_text())
        assert [pid for pid in left["pids"] if is_gone(pid)] == []
        run.send_signal(number)
        run.wait(PATIENCE)
    while any(not is_gone(pid) for pid in left["pids"]) or Path(left["folder"]).exists():
        assert number == signal.SIGKILL, "an orderly end waits until all is gone"
        assert time.monotonic() < deadline, [pid for pid in left["pids"] if not is_gone(pid)]
        time.sleep(0.05)
