"""Files are read in a process of its own, with limits: what a hostile file does to its reader ends there."""

from __future__ import annotations

import atexit
import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from signoff.error_base import MissingExtra
from signoff.tools.documents.blocks import Document, Span
from signoff.tools.documents.reader import read_document_parts
from signoff.tools.errors import Unreadable

MEMORY_MB: Final = 2_000
"""Address space that the process has; 400 of them are its own programs."""
LEAST_SECONDS: Final = 30.0
"""Processor time that a file has, if nothing else is said."""
SECONDS_OF_A_MB: Final = 6.0
_WAITED, _SPARE = 10, 60.0
"""Times as much that it may take by the clock, and seconds more: the machine may be busy with something else."""
LONGEST: Final = 300_000_000
"""Bytes of one message; that of a document is the largest."""
_BOOT: Final = "import sys; sys.path[:] = sys.argv[1:]; from signoff.tools.documents.reader_process import main; main()"
OUT_OF_MEMORY: Final = 77
_TIME_IS_UP: Final = -27
"""How the process ends; its processor time is over (SIGPROF)."""
_KILLED: Final = -9

Reading = Callable[..., Iterator[Any]]
"""Yields what is in a file of this name and these bytes, as JSON values and bytes; a function of a module."""


def read_document_apart(name: str, raw: bytes) -> Document:
    """The document in a file; Unreadable if there is no text in it, or reading it takes too much."""
    ((title, text, spans),) = read_apart(read_document_parts, name, raw)
    return Document(title, text, tuple(Span(*span) for span in spans))


def read_apart(
    reading: Reading, name: str, raw: bytes, *, seconds: float = LEAST_SECONDS, **options: Any
) -> Generator[Any]:
    """What `reading` yields of a file, called in the other process; Unreadable, MissingExtra are raised here.

    It may take so many `seconds` of processor time, and more for each megabyte. The process is ended, and another one
    taken for the next file, unless you go through all of it.
    """
    seconds += SECONDS_OF_A_MB * len(raw) / 1e6
    asked = {"reading": f"{reading.__module__}:{reading.__name__}", "name": name, "options": options}
    reader = _take()
    try:
        yield from reader.read(asked | {"size": len(raw), "seconds": seconds}, raw)
    finally:
        if not (reader.is_fit and _keep(reader)):
            reader.end()


_Origin = tuple[int, tuple[str, ...]]
_idle: dict[_Origin, list[_Reader]] = {}
"""Readers that wait, by whose they are: a fork has its parent's in its memory, and must not speak to them."""


def _here() -> _Origin:
    """This process, and where it finds its packages."""
    return os.getpid(), tuple(str(Path(path).absolute()) for path in sys.path if path)


def _take() -> _Reader:
    """A reader that waits for work, or a new one."""
    with suppress(IndexError, KeyError):
        reader = _idle[_here()].pop()
        if reader.lives():
            return reader
        reader.end()
    return _Reader(_here()[1])


def _keep(reader: _Reader) -> bool:
    """Whether it is kept for the next file: one is, until this process ends."""
    if _here() not in _idle:
        atexit.register(_end_idle, _here())
    waiting = _idle.setdefault(_here(), [])
    if not waiting:
        waiting.append(reader)
    return reader in waiting


def _end_idle(origin: _Origin) -> None:
    for reader in _idle.pop(origin, []) if origin[0] == os.getpid() else ():
        reader.end()


class _Reader:
    """The other process, which reads one file after the other."""

    def __init__(self, paths: Sequence[str]) -> None:
        kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows needs it
        # Numeric libraries take address space for each core.
        kept |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-c", _BOOT, *paths],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=kept,
        )
        self.is_fit = False
        """Whether it can read another file."""

    def read(self, asked: dict[str, Any], raw: bytes) -> Iterator[Any]:
        """What it says of this file."""
        self.is_fit = False
        patience = threading.Timer(asked["seconds"] * _WAITED + _SPARE, self._process.kill)
        patience.daemon = True
        patience.start()
        try:
            self._send(json.dumps(asked).encode() + b"\n" + raw)
            refusal: Exception | None = None
            while "end" not in (message := self._receive(asked["seconds"])):
                match message:
                    case {"found": found}:
                        yield found
                    case {"refused": reason}:
                        refusal = Unreadable(str(reason))
                    case {"missing": [feature, extra]}:
                        refusal = MissingExtra(str(feature), str(extra))
            self.is_fit = bool(message["end"])
            if refusal is not None:
                raise refusal
        finally:
            patience.cancel()

    def _send(self, raw: bytes) -> None:
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it died; why is told when it is heard
            self._process.stdin.write(raw)
            self._process.stdin.flush()

    def _receive(self, seconds: float) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline(LONGEST)
        if line.endswith(b"\n"):
            return json.loads(line, object_hook=_bytes_again)
        if line:
            raise Unreadable(f"what is in it takes more than {LONGEST / 1e6:,.0f} MB")
        code = self._process.wait()
        if code == _TIME_IS_UP:
            raise Unreadable(f"it takes more than {seconds:,.0f} seconds of processor time to read")
        if code == OUT_OF_MEMORY:
            raise Unreadable(f"it takes more than {MEMORY_MB:,} MB of memory to read")
        raise Unreadable(f"the process that read it ended with {code}", passing=code == _KILLED)

    def lives(self) -> bool:
        return self._process.poll() is None

    def end(self) -> None:
        """Kill it if it still lives, and wait for that."""
        self._process.kill()
        self._process.communicate()


def _bytes_again(value: dict[str, Any]) -> Any:
    """The bytes that stand in letters."""
    return base64.b64decode(value["bytes"]) if value.keys() == {"bytes"} else value
