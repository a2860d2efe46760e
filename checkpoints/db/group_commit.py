"""Group commit: threads that write take turns in one transaction, and none goes on before all of it is on disk."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final

from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from signoff.errors import DatabaseUnusable

_MOST_TURNS: Final = 200
_LONGEST: Final = 0.05
"""Seconds after which a transaction takes nobody more in: the first of it waits for the last."""

Explain = Callable[[BaseException], DatabaseUnusable]
"""Says what went wrong with the database."""


class Shared:
    """A transaction that several take turns in."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.begun = connection, time.monotonic()
        self.turns = 0
        self.is_over = threading.Event()
        self.error: BaseException | None = None


class Place:
    """A place in the queue; its turn comes with a transaction, or it begins one."""

    def __init__(self) -> None:
        self.shared: Shared | None = None
        self._called = threading.Semaphore(0)

    def call(self, shared: Shared | None) -> None:
        """It is its turn."""
        self.shared = shared
        self._called.release()

    def wait(self, seconds: float) -> bool:
        """Wait for the turn; False if it did not come in time."""
        return self._called.acquire(timeout=seconds)


class Turns:
    """Whose turn it is to write: one thread at a time, first come, first served.

    Whoever has done its part leaves the transaction open for the next in the queue; the last commits, and only then
    do all of them go on. What is raised in one turn undoes that turn alone. If the transaction is lost, so is every
    turn in it, and each is told: DatabaseUnusable. Without a queue it is an ordinary transaction.
    """

    def __init__(self, begin: Callable[[], Connection], explain: Explain, busy_seconds: float) -> None:
        self._begin, self._explain, self._busy_seconds = begin, explain, busy_seconds
        self._lock = threading.Lock()
        self._queue: deque[Place] = deque()
        self._is_taken = False

    @contextmanager
    def take(self) -> Iterator[Connection]:
        """Write in this thread's turn; what was written is on disk at the end."""
        shared = self._enter()
        try:
            yield shared.connection
        except BaseException:
            self._undo(shared)
            raise
        self._keep(shared)
        if not shared.is_over.wait(self._busy_seconds):
            problem = f"another thread has been writing for {self._busy_seconds:g} s in the same transaction"
            raise self._explain(TimeoutError(problem))
        if shared.error is not None:
            raise self._explain(shared.error) from None

    def _enter(self) -> Shared:
        shared = self._wait()
        if shared is None:
            try:
                return Shared(self._begin())
            except BaseException:
                self._pass_on()
                raise
        try:
            shared.connection.exec_driver_sql("SAVEPOINT turn").close()
        except BaseException as error:
            self._end(shared, error)
            raise
        return shared

    def _wait(self) -> Shared | None:
        """Wait for the turn, and for the transaction it comes with, if there is one."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return None
            place = Place()
            self._queue.append(place)
        try:
            in_time = place.wait(self._busy_seconds)
        except BaseException:
            if not self._leave(place):
                self._hand_over(place.shared)
            raise
        if not in_time and self._leave(place):
            raise self._explain(TimeoutError(f"locked: another thread has been writing for {self._busy_seconds:g} s"))
        return place.shared

    def _leave(self, place: Place) -> bool:
        """Leave the queue; False if it is its turn already."""
        with self._lock:
            if place not in self._queue:
                return False
            self._queue.remove(place)
            return True

    def _keep(self, shared: Shared) -> None:
        if shared.turns:
            try:
                shared.connection.exec_driver_sql("RELEASE SAVEPOINT turn").close()
            except BaseException:
                self._undo(shared)
                raise
        shared.turns += 1
        self._hand_over(shared)

    def _undo(self, shared: Shared) -> None:
        """Undo this turn only: others' are in the same transaction."""
        if not shared.turns:
            self._end(shared, RuntimeError("undone"))
            return
        try:
            shared.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT turn").close()
            shared.connection.exec_driver_sql("RELEASE SAVEPOINT turn").close()
        except BaseException as error:  # such as a full disk, for which the database itself undid everything
            self._end(shared, error)
            if not isinstance(error, SQLAlchemyError):
                raise
        else:
            self._hand_over(shared)

    def _hand_over(self, shared: Shared | None) -> None:
        """Let the next go on in this transaction, or end it."""
        if shared is None:
            self._pass_on()
            return
        with self._lock:
            if self._queue and shared.turns < _MOST_TURNS and time.monotonic() - shared.begun < _LONGEST:
                self._queue.popleft().call(shared)
                return
        error: BaseException | None = None
        try:
            shared.connection.commit()
        except BaseException as failed:
            error = failed
            if not isinstance(failed, SQLAlchemyError):
                raise
        finally:
            self._end(shared, error)

    def _end(self, shared: Shared, error: BaseException | None) -> None:
        """Close the transaction, undone unless it was committed; tell everybody, and let the next begin another."""
        shared.error = error
        try:
            with suppress(SQLAlchemyError):  # a connection that is broken has nothing left to undo
                if error is not None:
                    shared.connection.rollback()  # without it, closing after a failed commit would keep what was done
                shared.connection.close()
        finally:
            shared.is_over.set()
            self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().call(None)
            else:
                self._is_taken = False
