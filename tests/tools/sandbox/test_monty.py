from __future__ import annotations

import os
from pathlib import Path

import pytest

from signoff.tools.sandbox.monty import Monty
from signoff.tools.sandbox.sandbox import SandboxLimits

pytest.importorskip("pydantic_monty", reason="needs the extra `sandbox`")

LIMITS = SandboxLimits(seconds=1, memory_mb=32, output_bytes=10_000)

ATTEMPTS = {
    "environment": "import os\nprint(os.environ)",
    "one variable": "import os\nprint(os.getenv('MONTY_SECRET'))",
    "a file": "print(open('{secret}').read())",
    "a file by its path": "import pathlib\nprint(pathlib.Path('{secret}').read_text())",
    "a folder": "import pathlib\nprint(list(pathlib.Path('/').iterdir()))",
    "the kernel": "print(open('/proc/self/environ').read())",
    "a new file": "open('{secret}', 'w').write('changed')",
    "a program": "import subprocess\nsubprocess.run(['id'])",
    "a shell": "import os\nos.system('id')",
    "a fork": "import os\nos.fork()",
    "a signal": "import os\nos.kill(1, 9)",
    "a socket": "import socket\nsocket.create_connection(('127.0.0.1', 80))",
    "a page": "import urllib.request",
    "C": "import ctypes",
    "threads": "import threading",
    "code of the host": "import signoff",
    "import by name": "__import__('os').system('id')",
    "import by library": "import importlib\nimportlib.import_module('os')",
    "classes of the host": "().__class__.__base__.__subclasses__()",
    "globals of a function": "def f(): pass\nf.__globals__['__builtins__']",
    "frames": "import sys\nsys._getframe()",
    "a pickle": "import pickle",
    "a breakpoint": "breakpoint()",
    "a way out by formatting": "print('{{0.__class__.__mro__}}'.format(1))",
}


@pytest.mark.parametrize("code", ATTEMPTS.values(), ids=ATTEMPTS)
def test_computations_have_no_way_to_the_system(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTY_SECRET", "s3cret")
    secret = tmp_path / "secret.txt"
    secret.write_text("s3cret")
    done = Monty().compute(code.format(secret=secret), limits=LIMITS)
    assert "s3cret" not in done.stdout + done.stderr
    assert secret.read_text() == "s3cret"
    assert (done.ended, done.exit_code) == ("exit", 1), done
    assert "Error" in done.stderr
    assert "Monty" in done.note  # the agent is told where it is


@pytest.mark.parametrize(
    ("code", "ended"),
    [
        ("while True: pass", "time"),
        ("def f():\n    f()\nwhile True:\n    try:\n        f()\n    except RecursionError:\n        pass", "time"),
        ("[0] * 10**9", "memory"),
        ("2 ** 10**10", "memory"),
        ("found = []\nwhile True: found.append('x' * 10_000)", "memory"),
        ("while True: print('x' * 100)", "output"),
        ("'x' * 20_000", "output"),
    ],
)
def test_a_computation_ends_at_its_limits(code: str, ended: str) -> None:
    done = Monty().compute(code, limits=LIMITS)
    assert (done.ended, done.exit_code) == (ended, 137)
    assert done.note
    assert len(done.stdout.encode()) <= LIMITS.output_bytes


def test_it_tells_what_was_printed_and_the_value_of_the_last_expression() -> None:
    done = Monty().compute("import math\nprint('half', x / 2)\nmath.sqrt(x)", {"x": 16})
    assert (done.stdout, done.stderr, done.ended, done.exit_code) == ("half 8.0\n4.0\n", "", "exit", 0)
    assert done.note == ""


def test_an_error_is_told_as_python_tells_it() -> None:
    done = Monty().compute("print('before')\n1 / 0")
    assert done.stdout == "before\n"
    assert done.stderr.endswith("ZeroDivisionError: division by zero")
    assert "line 2" in done.stderr


def test_recursion_without_end_is_an_error() -> None:
    done = Monty().compute("def f(n):\n    return f(n + 1)\nf(0)", limits=LIMITS)
    assert (done.ended, done.exit_code) == ("exit", 1)
    assert "RecursionError" in done.stderr


def test_waiting_takes_no_time() -> None:
    done = Monty().compute("import time\ntime.sleep(3600)\n'awake'", limits=LIMITS)
    assert (done.stdout, done.ended) == ("'awake'\n", "exit")


def test_escapes_for_a_terminal_are_taken_out() -> None:
    done = Monty().compute("print('\\x1b[31mred\\x07')")
    assert done.stdout == "red\n"
    assert "taken out" in done.note


def test_a_number_that_python_would_not_write_out_is_told_of() -> None:
    assert Monty().compute("10 ** 5000").stdout.startswith("<int: Exceeds the limit")


def test_no_process_is_left() -> None:
    def children() -> set[str]:
        tasks = Path("/proc/self/task")
        return {child for task in tasks.iterdir() for child in (task / "children").read_text().split()}

    if not os.path.exists("/proc/self/task"):
        pytest.skip("there is no /proc here")
    before = children()
    Monty().compute("while True: pass", limits=LIMITS)
    assert children() <= before
