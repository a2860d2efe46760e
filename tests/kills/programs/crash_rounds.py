"""Runs in a process of its own: starts a run, kills it at a random moment, resumes it; until so many were killed.

Everything is imported first and each run is a fork, so that a round takes a second. Prints one JSON line per round.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import signoff.desk.cli.run  # everything a run needs
import signoff.tools.documents.reader  # noqa: F401
from signoff.desk.cli.app import main

QUESTION = "Why does the tide rise and fall?"


def fork(*words: str) -> int:
    """Run the `signoff` command in a fork; returns its pid."""
    pid = os.fork()
    if pid:
        return pid
    quiet = os.open("output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    sys.argv = ["signoff", *words]
    try:
        main()
    except SystemExit as ended:
        os._exit(ended.code if isinstance(ended.code, int) else 0)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(99)
    os._exit(0)


def wait(pid: int) -> int:
    """Its exit code, negative for the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def in_new_home(name: str) -> None:
    os.chdir(base)
    home = base / name
    home.mkdir()
    os.chdir(home)


def start() -> int:
    return fork("run", "report", QUESTION, "--sources", str(base / "docs"), "--yes")


def run_id() -> str:
    """The run that was accepted before the kill, empty if it was killed before that."""
    import sqlite3

    if not Path(".signoff/signoff.db").exists():
        return ""
    connection = sqlite3.connect(".signoff/signoff.db")
    try:
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master")}
        found = connection.execute("SELECT id FROM runs").fetchall() if "runs" in tables else []
    finally:
        connection.close()
    return found[0][0] if found else ""


base = Path.cwd()
chance = random.Random(int(sys.argv[1]))
in_new_home("whole")
began = time.monotonic()
assert wait(start()) == 0, Path("output.log").read_text()
whole = time.monotonic() - began

wanted, killed_runs, number = int(sys.argv[2]), 0, 0
length = whole  # of a run: how fast the machine is changes while this goes on
while killed_runs < wanted and number < 5 * wanted:
    in_new_home(f"round-{number}")
    number += 1
    pid, moment = start(), chance.random()
    # One of ten dies at any moment, also before its run is accepted; the others at any moment after that.
    if chance.random() > 0.1:
        while not run_id() and os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.002)
    time.sleep(moment * length)
    os.kill(pid, signal.SIGKILL)
    killed = wait(pid) == -signal.SIGKILL
    accepted = run_id()
    killed_runs += bool(killed and accepted)
    length *= 1.05 if killed else 0.8
    resumed = wait(fork("resume", accepted, "--yes")) if accepted else None
    line = {
        "moment": round(moment, 3),
        "killed": killed,
        "accepted": bool(accepted),
        "resumed": resumed,
        "home": str(Path.cwd()),
    }
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()
