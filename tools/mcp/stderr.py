"""Last words: what a server's program writes beside the protocol, of which only the end is kept."""

from __future__ import annotations

import os
import threading
from collections import deque
from typing import IO

_KEPT = 64
"""Pieces of at most 4 kB."""
_TOLD = 300


class LastWords:
    """Reads a pipe to its end in a thread, so that no program waits for it and nothing of it reaches the terminal."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque(maxlen=_KEPT)
        reading, writing = os.pipe()
        self.pipe: IO[str] = os.fdopen(writing, "w", encoding="utf-8")
        """What the program gets as its standard error."""
        self._reader = threading.Thread(target=self._read, args=(reading,), name="signoff mcp stderr", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Close our end; the thread ends with the last process that has the other."""
        self.pipe.close()

    @property
    def told(self) -> str:
        """The last of it in one line, without anything that a terminal would act on."""
        text = b"".join(self._pieces).decode("utf-8", "replace")
        line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
        return line[-_TOLD:]

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while piece := pipe.read(4096):
                self._pieces.append(piece)
