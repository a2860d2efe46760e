"""A process that has imported what a test's program needs, and forks itself for each program that is asked for.

It is started by `warm.py`, with one end of a pair of sockets. What arrives there is a program with its arguments,
environment and folder, and four files: its standard input, output and error, and one more end of a pair of sockets,
on which the process id is told at once, and how it ended once it did. When the other end of the first pair is closed,
as it is when the tests' process is killed, every program that still runs is killed, and this process ends.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import termios
import threading
import time
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

MODULES = (
    "signoff.desk.cli.run",
    "signoff.desk.cli.lists",
    "signoff.desk.protocols.mcp_server",
    "signoff.fleet.run",
    "signoff.graphs.teams.report",
    "signoff.tools.documents.reader",
    "signoff.testing",
)
LENGTH = struct.Struct("!I")
RUN_MODULE = "import runpy; runpy.run_module({!r}, run_name='__main__', alter_sys=True)"
STANDARD = 3
"""How many of the files are the program's own."""


def serve(asked: socket.socket) -> dict[str, Any] | None:
    """Fork for each request until the other end is closed; in a fork, return what it is to do."""
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests' process, whose end is the end of this one
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    running: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([asked.fileno(), woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            tell_ends(running)
        if asked.fileno() in ready:
            request, files = receive(asked)
            if request is None:
                for pid in running:
                    os.kill(pid, signal.SIGKILL)
                return None
            load(request["modules"])
            pid = os.fork()
            if not pid:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                signal.signal(signal.SIGINT, signal.default_int_handler)
                for end in (asked, *running.values()):
                    end.close()
                os.close(woken)
                os.close(wake)
                become(files)
                return request
            running[pid] = socket.socket(fileno=files.pop())
            for file in files:
                os.close(file)
            running[pid].sendall(f"{pid}\n".encode())


def load(modules: list[str]) -> None:
    """Import what is not imported yet, so that forks have it."""
    more = [module for module in modules if module not in sys.modules]
    for module in more:
        importlib.import_module(module)
    if more:
        if threading.active_count() > 1:
            sys.exit(f"a process with threads cannot be forked safely: {threading.enumerate()}")
        gc.collect()
        gc.freeze()


def tell_ends(running: dict[int, socket.socket]) -> None:
    """Collect the programs that ended, and tell each one's exit code, negative for a signal."""
    for pid in list(running):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            with running.pop(pid) as end:
                try:
                    end.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                except BrokenPipeError:  # nobody waits for it any more
                    continue


def receive(asked: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    """The next request with its files, or None at the end."""
    head, files, _, _ = socket.recv_fds(asked, LENGTH.size, STANDARD + 1)
    if not head:
        return None, []
    length, body = LENGTH.unpack(head)[0], b""
    while len(body) < length:
        body += asked.recv(length - len(body))
    return json.loads(body), files


def become(files: list[int]) -> None:
    """Have these as standard input, output and error."""
    for place, file in enumerate(files[:STANDARD]):
        os.dup2(file, place)
    for file in files:
        os.close(file)
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=stream.isatty() or stream is sys.stderr)  # type: ignore[union-attr]


def run(request: dict[str, Any]) -> None:
    """Do what Python would do with these words on its command line."""
    if request["terminal"]:  # its own from now on: Ctrl-C there is for this program
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    os.chdir(request["cwd"])
    words: list[str] = request["words"]
    safe = bool(os.environ.get("PYTHONSAFEPATH"))
    while words[0] in ("-P", "-W", "-Xfrozen_modules=off"):
        match words.pop(0):
            case "-P":
                safe = True
            case "-W":
                assert words.pop(0) == "ignore"
                warnings.simplefilter("ignore")
    main = sys.modules["__main__"] = ModuleType("__main__")
    first, *sys.argv = words
    if first == "-c":
        code, name, here = sys.argv[0], "<string>", ""
        sys.argv[0] = first
    elif first == "-m":
        code, name, here = RUN_MODULE.format(sys.argv[0]), "<module>", os.getcwd()
    else:
        code, name, here = Path(first).read_text(encoding="utf-8"), first, str(Path(first).resolve().parent)
        sys.argv.insert(0, first)
        main.__dict__["__file__"] = first
    added = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry]
    sys.path[:] = dict.fromkeys([*([] if safe else [here]), *added, *sys.path])
    exec(compile(code, name, "exec"), main.__dict__)


if __name__ == "__main__":
    sys.path[:] = [entry for entry in sys.path if entry != str(Path(__file__).parent)]
    load([*MODULES])
    todo = serve(socket.socket(fileno=int(sys.argv[1])))
    if todo is not None:
        run(todo)
