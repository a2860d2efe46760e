"""Keeping alive: what a process holds, and its signs of life, are renewed by one thread for all of them."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from signoff.errors import StoreError

RENEW_SECONDS: Final = 15.0

Renew = Callable[..., object]
"""Renews what these keys name, all in one write."""


class KeepAlive:
    """Renews what threads are working on every few seconds, until they leave it.

    Its one thread comes with the first of them and ends a while after the last. What StoreError keeps from being
    renewed is tried again when it is due again: until then it holds as long as it was taken for.
    """

    def __init__(self, seconds: float = RENEW_SECONDS) -> None:
        self._seconds = seconds
        self._forget()

    def _forget(self) -> None:
        self._pid, self._changed = os.getpid(), threading.Condition()
        self._at_work: Counter[tuple[Renew, str]] = Counter()
        self._due_at: dict[tuple[Renew, str], float] = {}
        """By the clock of `time.monotonic`; 0: at once, even if nobody works on it any more."""
        self._thread: threading.Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether its thread is there."""
        return self._thread is not None

    @contextmanager
    def renewing(self, renew: Renew, key: str, *, at_once: bool = False) -> Iterator[None]:
        """Have the key renewed, together with others that are renewed in the same way, as long as this lasts.

        `at_once`: for the first time now, unless it was renewed less than so many seconds ago; else it was taken now.
        """
        if self._pid != os.getpid():
            self._forget()  # a forked child has none of its parent's threads
        work, pid = (renew, key), self._pid
        with self._changed:
            self._at_work[work] += 1
            if not at_once:
                self._due_at[work] = time.monotonic() + self._seconds
            elif self._due_at.get(work, 0.0) <= time.monotonic():
                self._due_at[work] = 0.0
                self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._renew_on, name="signoff keep-alive", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            if pid == os.getpid():
                with self._changed:
                    self._at_work[work] -= 1
                    if not self._at_work[work]:
                        del self._at_work[work]

    def _renew_on(self) -> None:
        while due := self._wait():
            for renew in {renew for renew, _ in due}:
                with suppress(StoreError):
                    renew(*(key for found, key in due if found == renew))

    def _wait(self) -> list[tuple[Renew, str]]:
        """What is due, once something is; nothing if nobody has worked for a while, and the thread ends."""
        with self._changed:
            while self._due_at:
                self._changed.wait(max(min(self._due_at.values()) - time.monotonic(), 0.0))
                now = time.monotonic()
                over = [work for work, due_at in self._due_at.items() if due_at <= now]
                due = [work for work in over if work in self._at_work or not self._due_at[work]]
                for work in over:
                    del self._due_at[work]
                self._due_at.update(dict.fromkeys(due, now + self._seconds))
                if due:
                    return due
            self._thread = None
            return []
