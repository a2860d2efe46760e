"""A turnstile: counts the threads that are inside, and lets nobody in while it is shut."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Turnstile:
    """Shared by threads. A thread that is inside may come in once more even while it is shut."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside: Counter[int] = Counter()
        self._is_shut = False

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Come in, and leave at the end."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._is_shut or me in self._inside)
            self._inside[me] += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside[me] -= 1
                self._inside += Counter()  # forgets who left
                self._changed.notify_all()

    def shut(self, seconds: float) -> bool:
        """Let nobody in, and wait this long for other threads to leave; whether nobody is inside then.

        The same thread calls `open` afterwards, whatever the answer is.
        """
        self._changed.acquire()
        self._is_shut = True
        self._changed.wait_for(lambda: self._inside.keys() <= {threading.get_ident()}, seconds)
        return not self._inside

    def open(self) -> None:
        """Let everybody in again."""
        self._is_shut = False
        self._changed.notify_all()
        self._changed.release()
