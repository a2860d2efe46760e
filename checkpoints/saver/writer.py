"""The one thread that writes: whatever waits for it goes into one transaction, on disk before anybody is told.

With many threads at work a commit with its sync to disk is shared by all that came while the one before was under way.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple, Protocol

from signoff.checkpoints.db.jobs import Job, answer
from signoff.checkpoints.db.sqlite import begin, is_busy

_MOST_JOBS: Final = 2000
_VACUUM_PAGES: Final = 1000
_SMALL_CROWD: Final = 3
_CROWD_WAIT: Final = 0.002
_LONGEST_CROWDING: Final = 0.03

_log = logging.getLogger(__name__)


class Change(Protocol):
    """Something to be done to the database. It may be done again if the transaction it was part of is lost."""

    def apply(self, transaction: Transaction) -> Any:
        """Do it; the result goes to who asked. Whatever it raises must have been raised before anything was done."""

    def undo(self) -> None:
        """Forget what `apply` told the objects in memory: its transaction was rolled back."""

    @property
    def frees_space(self) -> bool:
        """Whether pages become free, to be given back to the file system."""


class ThreadRow:
    """A thread's row, as this transaction sees it."""

    __slots__ = ("era", "fence", "is_changed", "next", "no", "owner", "owner_until")

    def __init__(self, no: int, next_number: int, era: int, owner: str, owner_until: float, fence: int) -> None:
        self.no, self.next, self.era = no, next_number, era
        self.owner, self.owner_until, self.fence = owner, owner_until, fence
        self.is_changed = False

    def take_number(self) -> int:
        """The next free number of a row."""
        number = self.next
        self.next += 1
        self.is_changed = True
        return number


class Transaction:
    """What the changes of one commit work on."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.now = time.time()
        self._rows: dict[str, ThreadRow] = {}

    def thread(self, name: str, *, create: bool = True) -> ThreadRow | None:
        """The row of this thread; None if there is none and none is to be made."""
        row = self._rows.get(name)
        if row is None:
            found = self.execute(
                "SELECT no, next, era, owner, owner_until, fence FROM saver_threads WHERE name = ?", (name,)
            ).fetchone()
            if found is None:
                if not create:
                    return None
                made = self.execute(
                    "INSERT INTO saver_threads (name, next, era, touched_at) VALUES (?, 1, 0, ?)", (name, self.now)
                )
                found = (made.lastrowid, 1, 0, "", 0.0, 0)
            row = self._rows[name] = ThreadRow(*found)
        return row

    def forget(self, name: str) -> None:
        self._rows.pop(name, None)

    def save_threads(self) -> None:
        """Write back the threads' rows that changed."""
        changed = [row for row in self._rows.values() if row.is_changed]
        if changed:
            self.executemany(
                "UPDATE saver_threads SET next = ?, era = ?, touched_at = ?, owner = ?, owner_until = ?, fence = ?"
                " WHERE no = ?",
                [(r.next, r.era, self.now, r.owner, r.owner_until, r.fence, r.no) for r in changed],
            )


class WriterConnection(NamedTuple):
    """What the writer's thread works with: a connection, and what raises if the file is no longer there."""

    connection: sqlite3.Connection
    check: Callable[[], None]


class ChangeJob(Job):
    """A change, and who waits for it."""

    def __init__(self, change: Change, future: asyncio.Future[Any] | None) -> None:
        super().__init__(future)
        self.change = change


class Writer:
    """Carries out changes, in the order in which they come, in transactions of its own thread."""

    def __init__(self, connect: Callable[[], WriterConnection], busy_seconds: float) -> None:
        self._connect, self._busy_seconds = connect, busy_seconds
        self._lock = threading.Lock()
        self._queue: SimpleQueue[ChangeJob | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def submit(self, change: Change, future: asyncio.Future[Any] | None = None) -> ChangeJob:
        """Have the change made; the future, or else the job's `wait`, tells when it is on disk."""
        job = ChangeJob(change, future)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._queue = SimpleQueue()  # of this thread alone: one that was stopped has its own to empty
                arguments = (self._queue, self._connect, self._busy_seconds)
                self._thread = threading.Thread(target=_serve, args=arguments, name="checkpoints", daemon=True)
                self._thread.start()
            self._queue.put(job)
            if self._is_over:  # who came late is served, by a thread that nobody will stop
                self._queue.put(None)
                self._thread = None
        return job

    def stop(self, *, wait: bool) -> None:
        """Let the thread end after what it has to do; a later change is made by a thread of its own."""
        with self._lock:
            self._is_over = True
            thread, self._thread = self._thread, None
            if thread is not None:
                self._queue.put(None)
        if thread is not None and wait and thread is not threading.current_thread():
            thread.join()

    def pause(self) -> None:
        """Finish what there is to do, and begin nothing until `resume`."""
        while True:
            self._lock.acquire()
            thread, self._thread = self._thread, None
            if thread is None:
                return  # with the lock
            self._queue.put(None)
            self._lock.release()
            thread.join()

    def resume(self) -> None:
        self._lock.release()


def _serve(queue: SimpleQueue[ChangeJob | None], connect: Callable[[], WriterConnection], busy_seconds: float) -> None:
    """The writer's thread: it keeps nothing alive but its queue."""
    opened: WriterConnection | None = None
    crowd = 1
    try:
        while (first := queue.get()) is not None:
            jobs = [first]
            is_last = _collect(queue, jobs, crowd)
            crowd = len(jobs)
            try:
                opened = opened or connect()
                opened.check()
                _commit(opened.connection, jobs, busy_seconds)
                if any(job.change.frees_space for job in jobs):
                    _give_back(opened.connection)
            except BaseException as error:  # whatever it is, those who wait must be told
                for job in jobs:
                    job.error = error
            answer(jobs)
            jobs, first = [], None  # what was written must not live on until the next comes
            if is_last:
                return
    finally:
        if opened is not None:
            opened.connection.close()


def _collect(queue: SimpleQueue[ChangeJob | None], jobs: list[ChangeJob], crowd: int) -> bool:
    """Take what has come in the meantime; whether the thread is to end.

    Where many are at work, as `crowd` of the time before tells, a sync to disk is shared by more if those who are
    about to come are waited for: as long as they do come, and never for long.
    """
    deadline = time.monotonic() + _LONGEST_CROWDING if crowd > _SMALL_CROWD else 0.0
    while True:
        before = len(jobs)
        while len(jobs) < _MOST_JOBS:
            try:
                job = queue.get_nowait()
            except Empty:
                break
            if job is None:
                return True
            jobs.append(job)
        if len(jobs) - before < _SMALL_CROWD or len(jobs) >= _MOST_JOBS or time.monotonic() > deadline:
            return False
        time.sleep(_CROWD_WAIT)


def _commit(connection: sqlite3.Connection, jobs: list[ChangeJob], busy_seconds: float) -> None:
    """Make all changes in one transaction; if that fails, each in one of its own, so that one cannot spoil others."""
    try:
        _attempt(connection, jobs, busy_seconds)
    except sqlite3.Error as error:
        if len(jobs) == 1 or is_busy(error):
            for job in jobs:
                job.error = error
            return
        for job in jobs:
            try:
                _attempt(connection, [job], busy_seconds)
            except sqlite3.Error as single:
                job.error = single


def _attempt(connection: sqlite3.Connection, jobs: list[ChangeJob], busy_seconds: float) -> None:
    begin(connection, busy_seconds)
    done: list[ChangeJob] = []
    try:
        transaction = Transaction(connection)
        for job in jobs:
            job.error = job.result = None
            done.append(job)
            try:
                job.result = job.change.apply(transaction)
            except sqlite3.Error:
                raise
            except Exception as refusal:  # raised before anything was done; it is for who asked
                job.error = refusal
        transaction.save_threads()
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        for job in reversed(done):  # each found what the one before had left
            job.change.undo()
        raise


def _give_back(connection: sqlite3.Connection) -> None:
    """Return free pages to the file system, as far as nobody is in the way; what is left goes the next time."""
    try:
        connection.execute("PRAGMA busy_timeout = 100").close()  # a long reader would hold up whoever waits for us
        while connection.execute("PRAGMA freelist_count").fetchone()[0]:
            before = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            if connection.execute("PRAGMA page_count").fetchone()[0] == before:
                break
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        _log.warning("Free space was not given back yet: %s", error)
