"""The process that reads files for another: what that asks for on standard input, in turn, under limits.

It is started by `limited_reader.py`, without an environment. It can write no file, and takes no more memory than it is
allowed to; a file that takes too much processor time ends it.
"""

from __future__ import annotations

import base64
import json
import mmap
import os
import signal
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import IO, Any, Final

from signoff.error_base import MissingExtra
from signoff.tools.documents.limited_reader import MEMORY_MB, OUT_OF_MEMORY
from signoff.tools.errors import Unreadable

_FIT: Final = MEMORY_MB << 18
"""Bytes of address space, a quarter of what there is, with which the process is still fit for another file."""


def main() -> None:
    """Read what is asked for until nothing more is."""
    _limit()
    try:
        _serve()
    except MemoryError:
        os._exit(OUT_OF_MEMORY)  # without anything more that would need some


def _serve() -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    for line in iter(sys.stdin.buffer.readline, b""):
        asked = json.loads(line)
        raw = sys.stdin.buffer.read(asked["size"])
        _set_timer(asked["seconds"])
        for message in _read(asked, raw):
            _send(answers, message)
        _set_timer(0)
        del raw
        _send(answers, {"end": _taken() < _FIT})
        answers.flush()


def _read(asked: Mapping[str, Any], raw: bytes) -> Iterator[dict[str, Any]]:
    """What is in a file, or last of all why that is not told."""
    module, _, function = asked["reading"].partition(":")
    try:
        for found in getattr(import_module(module), function)(asked["name"], raw, **asked["options"]):
            yield {"found": found}
    except Unreadable as error:
        yield {"refused": error.reason}
    except MissingExtra as error:
        yield {"missing": [error.feature, error.extra]}


def _send(answers: IO[bytes], message: Mapping[str, Any]) -> None:
    said = json.dumps(message, ensure_ascii=False, default=_in_letters, check_circular=False)
    answers.write(said.encode("utf-8", "replace") + b"\n")


def _in_letters(raw: bytes) -> dict[str, str]:
    return {"bytes": base64.b64encode(raw).decode()}


def _limit() -> None:
    """Bound what the process may take, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        return
    for kind, most in (
        (resource.RLIMIT_AS, MEMORY_MB << 20),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 128),
    ):
        resource.setrlimit(kind, (most, most))


def _set_timer(seconds: float) -> None:
    """End the process when it took so much processor time from now on, whatever it does then; 0: never."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def _taken() -> int:
    """Bytes of address space, where the system tells."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return 0
