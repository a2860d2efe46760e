"""Waiting for a run: it goes on in the background, or is driven by somebody else, until it ends or asks."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, wait
from typing import Final

from signoff.checkpoints.errors import RunBusy, RunCancelled
from signoff.concurrency import Cancellation, await_result, begin, patience, undisturbed
from signoff.fleet.errors import RunElsewhere
from signoff.fleet.events import Event, Watch

_SHOW: Final = 0.5
"""Seconds between two looks of whoever is shown what happens."""
_LOOK: Final = 1.0
"""Seconds between two looks at a run that another process drives."""


class Going:
    """A run that goes on, whoever waits for it.

    `stream` drives it, and raises where somebody else does; `is_over` says whether it has ended or asks.
    """

    def __init__(self, stream: Callable[[], Iterator[Event]], is_over: Callable[[], bool]) -> None:
        self._stream, self._is_over = stream, is_over
        self._last = Event("says", text="begins")
        self._cancellation = Cancellation()
        self._end = begin(self._work, self._cancellation)

    @property
    def is_under_way(self) -> bool:
        """Whether it has not come to its end yet."""
        return not self._end.done()

    @property
    def has_failed(self) -> bool:
        """Whether it has ended with an error, which `wait` raises."""
        return self._end.done() and self._end.exception() is not None

    def wait(self, timeout: float | None, tell: Watch | None) -> bool:
        """Whether it is over within so many seconds; its error is raised. What interrupts the wait ends the driving."""
        until = math.inf if timeout is None else time.monotonic() + timeout
        told: Event | None = None
        try:
            while not await_result(self._end, max(0, min(until - time.monotonic(), _SHOW if tell else math.inf))):
                if tell is not None and told is not self._last:
                    told = self._last
                    tell(told)
                if time.monotonic() >= until:
                    return False
        except KeyboardInterrupt:
            self._cancellation.request()
            wait([self._end], patience())
            raise
        self._end.result()
        return True

    def events(self) -> Iterator[Event]:
        """What it does last, looked at twice a second, until it is over. Whoever leaves the loop ends the driving."""
        told: Event | None = None
        try:
            while not await_result(self._end, _SHOW):
                if told is not self._last:
                    told = self._last
                    yield told
        except (GeneratorExit, KeyboardInterrupt):
            self._cancellation.request()
            wait([self._end], patience())
            raise
        self._end.result()

    async def aevents(self) -> AsyncGenerator[Event, None]:
        """`events` for an event loop; to cancel whoever listens ends the driving."""
        end, told = asyncio.wrap_future(self._end), None
        try:
            while not (await asyncio.wait([end], timeout=_SHOW))[0]:
                if told is not self._last:
                    told = self._last
                    yield told
        except (GeneratorExit, asyncio.CancelledError):
            self._cancellation.request()
            await undisturbed(wait, [self._end], patience())
            raise
        await end

    def _work(self) -> None:
        while True:
            moved = False
            try:
                for event in self._stream():
                    moved = moved or event.kind != "stands"
                    self._last = event
                if not moved or self._is_over():
                    return
                continue  # what it came to ask about was decided meanwhile
            except RunCancelled:
                return
            except (RunBusy, RunElsewhere) as elsewhere:
                if self._is_over():
                    return
                self._last = Event("says", text=str(elsewhere))
            await_result(Future(), _LOOK)
