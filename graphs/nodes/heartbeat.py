"""Signs of life: while a step of a run is done, the ledger is told so every few seconds, by a thread of its own."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import StoreError

BEAT_SECONDS: Final = 15.0


class Heart:
    """Beats for all runs of the process. A run that beat less than `seconds` ago costs its next step no write."""

    def __init__(self, seconds: float = BEAT_SECONDS) -> None:
        self._seconds = seconds
        self._forget()

    @property
    def is_beating(self) -> bool:
        """Whether its thread is there; it ends a while after the last step has."""
        return self._thread is not None

    @contextmanager
    def beating(self, ledger: Ledger, run_id: str) -> Iterator[None]:
        """Beat at once if it is time, and again and again until this ends."""
        key = (ledger, run_id)
        self._enter(key)
        try:
            yield
        finally:
            with self._lock:
                self._inside[key] -= 1
                if not self._inside[key]:
                    del self._inside[key]

    def _forget(self) -> None:
        self._pid, self._lock, self._wake = os.getpid(), threading.Lock(), threading.Event()
        self._inside: Counter[tuple[Ledger, str]] = Counter()
        self._last: dict[tuple[Ledger, str], float] = {}
        self._due: set[tuple[Ledger, str]] = set()
        self._thread: threading.Thread | None = None

    def _enter(self, key: tuple[Ledger, str]) -> None:
        if self._pid != os.getpid():
            self._forget()  # a forked child has none of its parent's threads
        with self._lock:
            self._inside[key] += 1
            if time.monotonic() - self._last.get(key, -self._seconds) < self._seconds:
                return
            self._last[key] = time.monotonic()
            self._due.add(key)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat_on, name="signoff heartbeat", daemon=True)
                self._thread.start()
        self._wake.set()

    def _beat_on(self) -> None:
        """Write what is due; end when no step is being done any more."""
        while True:
            self._wake.wait(self._seconds)
            self._wake.clear()
            now = time.monotonic()
            with self._lock:
                late = {key for key in self._inside if now - self._last.get(key, 0.0) >= self._seconds}
                due, self._due = self._due | late, set()
                self._last = {key: at for key, at in self._last.items() if now - at < self._seconds}
                self._last.update(dict.fromkeys(due, now))
                if not due and not self._inside:
                    self._last, self._thread = {}, None
                    return
            for ledger in {ledger for ledger, _ in due}:
                with suppress(StoreError):  # the next beat may succeed; if none does, the run is told as silent
                    ledger.runs.beat(*(run_id for found, run_id in due if found is ledger))


HEART: Final = Heart()
"""The process's own."""
