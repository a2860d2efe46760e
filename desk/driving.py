"""Driving runs in the background of a server: so many at once, each until it ends or waits for a person."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from signoff.checkpoints.errors import RunBusy

MOST_AT_ONCE = 4

Drive = Callable[[], object]
"""Goes on with a run until it ends or waits for a person."""
_log = logging.getLogger(__name__)


class Background:
    """The runs that this process drives; what comes while as many as may be are under way waits for its turn."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._most = most
        self._changed = threading.Condition()
        self._threads: dict[str, threading.Thread] = {}
        self._queue: dict[str, Drive] = {}
        self._ended: dict[str, str] = {}

    @property
    def alive(self) -> list[str]:
        """The runs that are under way here."""
        with self._changed:
            return [run for run, thread in self._threads.items() if thread.is_alive()]

    def drive(self, run: str, go_on: Drive) -> None:
        """Go on with this run, now or once there is room; if it is under way here, once more when that has ended."""
        with self._changed:
            if run in self._queue:
                return
            self._queue[run] = go_on
            self._start_next()

    def wait(self, run: str, seconds: float) -> None:
        """Wait so long until the run has ended, or waits for a person."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_driven(run), seconds)

    def said_at_the_end(self, run: str) -> str:
        """Why it could not be driven to where it stands, as far as only this process knows; empty if nothing."""
        return self._ended.get(run, "")

    def _is_driven(self, run: str) -> bool:
        return run in self._threads or run in self._queue

    def _start_next(self) -> None:
        over = threading.current_thread()
        self._threads = {run: thread for run, thread in self._threads.items() if thread is not over}
        for run in [waiting for waiting in self._queue if waiting not in self._threads]:
            if len(self._threads) >= self._most:
                return
            go_on = self._queue.pop(run)
            # A daemon, so that a client that leaves need not wait: a run that is cut off goes on from where it stood.
            thread = threading.Thread(target=self._drive, args=(run, go_on), name=f"run {run}", daemon=True)
            self._threads[run] = thread
            thread.start()

    def _drive(self, run: str, go_on: Drive) -> None:
        try:
            go_on()
        except RunBusy:
            self._ended[run] = "another process drives it"
        except Exception as error:  # the run is kept, and says that it failed; nobody else would hear of it here
            self._ended[run] = str(error)
            _log.warning("run %s: %s", run, error)
        else:
            self._ended.pop(run, None)
        finally:
            with self._changed:
                self._start_next()
                self._changed.notify_all()
