"""What a thread does for others, and how each is told: a thread that waits, or an event loop through its future."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar


class Job:
    """Something to be done, and who waits for it: the loop of `future`, or a thread if there is none."""

    def __init__(self, future: asyncio.Future[Any] | None = None) -> None:
        self.future = future
        self.result: Any = None
        self.error: BaseException | None = None
        self._is_unwanted = self._is_answered = False
        self._answered = threading.Lock()
        self._answered.acquire()

    def wait(self) -> Any:
        """The result, once it is on disk; to be called once, by a thread."""
        self._answered.acquire()
        if self.error is not None:
            raise self.error
        return self.result

    def abandon(self) -> bool:
        """The thread that waited was interrupted; whether the answer had come, so that nobody will hear it."""
        self._is_unwanted = True
        return self._is_answered

    @property
    def is_unwanted(self) -> bool:
        return self._is_unwanted if self.future is None else self.future.cancelled()

    def answer(self) -> bool:
        """Tell who waits, on a future's own loop; False if nobody does any more."""
        self._is_answered = True
        if self.is_unwanted:
            return False
        if self.future is None:
            self._answered.release()
        elif not self.future.done():
            if self.error is not None:
                self.future.set_exception(self.error)
            else:
                self.future.set_result(self.result)
        return True


JobT = TypeVar("JobT", bound=Job)


def answer(jobs: Iterable[JobT], unheard: Callable[[JobT], None] | None = None) -> None:
    """Tell those who wait, each loop once; `unheard` is given each job that nobody waits for any more."""
    loops: dict[asyncio.AbstractEventLoop | None, list[JobT]] = {}
    for job in jobs:
        loops.setdefault(job.future.get_loop() if job.future is not None else None, []).append(job)
    for loop, waiting in loops.items():
        if loop is None:
            _answer(waiting, unheard)
            continue
        try:
            loop.call_soon_threadsafe(_answer, waiting, unheard)
        except RuntimeError:  # the loop was closed
            if unheard is not None:
                for job in waiting:
                    unheard(job)


def _answer(jobs: Iterable[JobT], unheard: Callable[[JobT], None] | None) -> None:
    for job in jobs:
        if not job.answer() and unheard is not None:
            unheard(job)
