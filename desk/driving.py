"""Driving runs in the background of a server: so many at once, each until it ends or waits for a person.

All of them go on in one event loop, whatever serves those who listen; none has a thread of its own.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, contextmanager
from typing import Final, Protocol

from signoff.checkpoints.errors import RunBusy
from signoff.checkpoints.ledger import Ledger
from signoff.concurrency import in_thread, submit
from signoff.error_base import SignoffError
from signoff.fleet import Event

MOST_AT_ONCE: Final = 4
BUSY: Final = "another process drives it"
_UNTIL_STOPPED: Final = 30.0
"""Seconds in which a run that is stopped comes to its end."""
_SWEEPS_EVERY: Final = 30.0
"""Seconds."""


class Driven(Protocol):
    """A run, as it is gone on with."""

    def astream(self) -> AsyncGenerator[Event, None]:
        """Go on until it ends or waits for a person."""


Opened = Callable[[], Driven]
"""Opens a run, which may read folders and import modules."""
Heard = Callable[[str, Event | None], None]
"""Is told, in the loop of the background, what happens in a run; None: it is not driven any more."""
_log = logging.getLogger(__name__)


def _unheard(_run: str, _event: Event | None) -> None:
    """Nobody listens."""


class Background:
    """The runs that this process drives; what comes while as many as may be are under way waits for its turn."""

    def __init__(self, most: int = MOST_AT_ONCE, heard: Heard = _unheard) -> None:
        self._most, self._heard = most, heard
        self._changed = threading.Condition()
        self._under_way: dict[str, asyncio.Task[None] | None] = {}
        self._queue: dict[str, Opened] = {}
        self._stopped: set[str] = set()
        self._ended: dict[str, str] = {}

    @property
    def alive(self) -> list[str]:
        """The runs that are under way here."""
        with self._changed:
            return list(self._under_way)

    def is_driven(self, run: str) -> bool:
        """Whether it is under way here, or is to be."""
        return run in self._under_way or run in self._queue

    def drive(self, run: str, opened: Opened) -> None:
        """Go on with this run, now or once there is room; if it is under way here, once more when that has ended."""
        with self._changed:
            if run not in self._queue:
                self._queue[run] = opened
                self._start_next()

    def wait(self, run: str, seconds: float) -> None:
        """Wait so long until the run has ended, or waits for a person."""
        with self._changed:
            self._changed.wait_for(lambda: not self.is_driven(run), seconds)

    def stop(self, run: str) -> None:
        """Leave off with this run, amid a call too, and wait until that is so; it can be gone on with."""
        with self._changed:
            self._queue.pop(run, None)
            if run in self._under_way:
                self._stopped.add(run)
                if (task := self._under_way[run]) is not None:
                    task.get_loop().call_soon_threadsafe(task.cancel)
        self.wait(run, _UNTIL_STOPPED)

    def said_at_the_end(self, run: str) -> str:
        """Why it could not be driven to where it stands, as far as only this process knows; empty if nothing."""
        return self._ended.get(run, "")

    def _start_next(self) -> None:
        for run in [waiting for waiting in self._queue if waiting not in self._under_way]:
            if len(self._under_way) >= self._most:
                return
            self._under_way[run] = None
            submit(self._drive(run, self._queue.pop(run)))

    async def _drive(self, run: str, opened: Opened) -> None:
        try:
            with self._changed:
                self._under_way[run] = asyncio.current_task()
                is_stopped = run in self._stopped
            if not is_stopped:
                await self._go_on(run, opened)
        except asyncio.CancelledError:
            _log.info("run %s: left off", run)
        except RunBusy:
            self._ended[run] = BUSY
        except Exception as error:  # the run is kept, and says that it failed; nobody else would hear of it here
            self._ended[run] = str(error)
            _log.warning("run %s: %s", run, error)
        else:
            self._ended.pop(run, None)
        finally:
            with self._changed:
                del self._under_way[run]
                self._stopped.discard(run)
                self._start_next()
                self._changed.notify_all()
            self._heard(run, None)

    async def _go_on(self, run: str, opened: Opened) -> None:
        driven = await in_thread(opened)
        async with aclosing(driven.astream()) as events:
            async for event in events:
                self._heard(run, event)


@contextmanager
def sweeping(ledger: Ledger) -> Iterator[None]:
    """Meanwhile, close what expires and tell of what escalates, as `signoff notify` does."""
    over = threading.Event()
    threading.Thread(target=_sweep, args=(ledger, over), name="signoff sweep", daemon=True).start()
    try:
        yield
    finally:
        over.set()


def _sweep(ledger: Ledger, over: threading.Event) -> None:
    while not over.wait(_SWEEPS_EVERY):
        try:
            ledger.approvals.sweep()
        except SignoffError as error:  # such as a database that is locked for long: the next time finds the same
            _log.warning("what expired was not closed: %s", error)
