"""What attempts to get out of a sandbox have in common. Their files run inside: `python3 FILE NAME WORLD`, in JSON.

What an attempt gets hold of it prints, for the host's secret to be looked for in it; where only the inside can tell, it
returns what it could do. The host looks for itself what else came of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

World = dict[str, Any]
"""What the host tells an attempt: where its things are."""

libc = ctypes.CDLL(None, use_errno=True)
ARM = os.uname().machine == "aarch64"


def system(x86: int, arm: int, *args: Any) -> int:
    """Make a system call by its number; the number of the error, negative, if it fails."""
    wide = (ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args)
    result = int(libc.syscall(ctypes.c_long(arm if ARM else x86), *wide))
    return -ctypes.get_errno() if result == -1 else result


def did(what: str, result: int) -> str | None:
    return f"{what}: {result}" if result >= 0 else print(what, os.strerror(-result))


def read_all(paths: Iterable[str]) -> None:
    for path in paths:
        try:
            with open(path, "rb") as file:
                print(path, file.read(100_000))
        except OSError as error:
            print(path, error.strerror)


def opened(paths: Iterable[str], flags: int) -> str | None:
    """Those that could be opened; nothing is written."""
    got = []
    for path in paths:
        try:
            os.close(os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY))
            got.append(path)
        except OSError as error:
            print(path, error.strerror)
    return f"opened {got}" if got else None


def tried(**steps: Callable[[], Any]) -> str | None:
    """The steps that were not refused."""
    done = []
    for name, step in steps.items():
        try:
            step()
            done.append(name)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            print(name, error)
    return f"did {done}" if done else None


def run(attempts: Mapping[str, Any]) -> None:
    """Make the attempt that was asked for."""
    try:
        outcome = attempts[sys.argv[1]](json.loads(sys.argv[2]))
    except (OSError, ValueError, MemoryError, RuntimeError) as refused:
        print("refused:", refused)
    else:
        print(f"ESCAPED: {outcome}" if outcome else "contained")
