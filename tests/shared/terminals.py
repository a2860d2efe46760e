"""A program at a terminal of its own, as a person sits before it: keys are typed there, and what is shown is read."""

from __future__ import annotations

import os
import pty
import re
import select
import sys
from types import TracebackType
from typing import IO

import warm

CTRL_C = "\x03"
_STYLES = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")
_LONGEST = 60
"""Seconds that a program may take to show something or to end, however busy the machine is."""


class Terminal:
    """A Python program, forked from a process that has imported signoff, at a terminal."""

    def __init__(self, *words: str, stdout: IO[bytes] | None = None, stderr: IO[bytes] | None = None) -> None:
        """`stdout`, `stderr`: where these go instead."""
        self._leader, follower = pty.openpty()
        self.process = warm.start(
            [sys.executable, *words],
            stdin=follower,
            stdout=stdout or follower,
            stderr=stderr or follower,
            terminal=True,
        )
        os.close(follower)
        self.shown = ""
        self._seen = 0

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()
        self.hang_up()

    def until(self, text: str) -> None:
        """Read until this is shown, after what was waited for before."""
        while text not in self.shown[self._seen :]:
            assert self._read(), f"{text!r} was not shown: {self.shown}"
        self._seen = self.shown.index(text, self._seen) + len(text)

    def press(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def end(self) -> int:
        """Read to the end; the exit code, negative for a signal."""
        while self._read():
            pass
        return self.process.wait(_LONGEST)

    def hang_up(self) -> None:
        """Close the terminal."""
        if self._leader >= 0:
            os.close(self._leader)
            self._leader = -1

    def _read(self) -> bool:
        assert select.select([self._leader], [], [], _LONGEST)[0], f"nothing more is shown: {self.shown}"
        try:
            read = os.read(self._leader, 65536).decode(errors="replace")
        except OSError:  # everybody at the other end has left
            return False
        self.shown += _STYLES.sub("", read)
        return bool(read)
