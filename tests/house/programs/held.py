"""A test that has started what tests start, and waits: `test_ending.py` runs it and stops it."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import warm

PAUSE = "import signal; signal.pause()"
FORKS = "import os, signal; child = os.fork(); child and print(child, flush=True); signal.pause()"


def test_it_waits_with_a_database_and_programs_of_its_own(server: Any) -> None:
    program = subprocess.Popen([sys.executable, "-c", PAUSE])
    of_another_session = subprocess.Popen([sys.executable, "-c", PAUSE], start_new_session=True)
    fork = warm.start([sys.executable, "-c", FORKS], stdout=subprocess.PIPE, text=True)
    forked = int(fork.stdout.readline())
    pids = [os.getpid(), server.get_pid(), program.pid, of_another_session.pid, fork.pid, forked]
    told = Path(os.environ["HELD"])
    told.with_suffix(".new").write_text(json.dumps({"pids": pids, "folder": str(server.pgdata)}))
    told.with_suffix(".new").rename(told)
    threading.Event().wait()
