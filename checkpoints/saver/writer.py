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
from typing import Any, Final

from signoff.checkpoints.db.jobs import Job, answer
from signoff.checkpoints.db.sqlite import begin_patiently, is_busy, set_patience
from signoff.checkpoints.saver.thread_memory import ThreadMemories, ThreadMemory, ThreadRow

_MOST_JOBS: Final = 2000
_VACUUM_PAGES: Final = 1000
_SHORT_WAIT: Final = 0.1
_SMALL_CROWD: Final = 3
_CROWD_WAIT: Final = 0.002
_LONGEST_CROWDING: Final = 0.03
_STEP_WAIT: Final = 0.01
"""Seconds that what a task wrote waits for the checkpoint that follows, to share its commit."""

_log = logging.getLogger(__name__)


class Transaction:
    """What the changes of one commit work on."""

    def __init__(self, connection: sqlite3.Connection, memories: ThreadMemories) -> None:
        self.connection, self.memories = connection, memories
        self.execute = connection.execute
        self.executemany = connection.executemany
        self.now = time.time()
        self.frees_space = False
        """Whether pages become free, to be given back to the file system."""
        self.undoing: list[Callable[[], object]] = []
        """What makes objects in memory as they were, should it be rolled back; the last is done first."""
        self._rows: dict[str, ThreadRow] = {}

    def thread(self, name: str, *, create: bool = True) -> ThreadRow | None:
        """The row of this thread; None if there is none and none is to be made."""
        if name in self._rows:
            return self._rows[name]
        found = self.execute(
            "SELECT no, next, token, owner, owner_until, fence FROM saver_threads WHERE name = ?", (name,)
        ).fetchone()
        if found is None:
            if not create:
                return None
            made = self.execute(
                "INSERT INTO saver_threads (name, next, token, touched_at) VALUES (?, 1, x'', ?)", (name, self.now)
            )
            found = (made.lastrowid, 1, b"", "", 0.0, 0)
        row = self._rows[name] = ThreadRow(name, *found)
        return row

    def remember(self, row: ThreadRow) -> ThreadMemory:
        """What is remembered of a thread that is about to be written to; it holds for what is written now as well."""
        memory = self.memories.of(row.name, row.token)
        row.renew()
        memory.token = row.token
        return memory

    def invalidate(self, row: ThreadRow) -> None:
        """Pieces of this thread are deleted: nothing that is remembered of it holds, here or anywhere."""
        row.renew()
        self.memories.forget(row.name)

    def forget(self, name: str) -> None:
        self._rows.pop(name, None)
        self.memories.forget(name)

    def save_threads(self) -> None:
        """Write back the threads' rows that changed."""
        for row in self._rows.values():
            if row.token != row.before:
                self.execute(
                    "UPDATE saver_threads SET next = ?, token = ?, touched_at = ?, owner = ?, owner_until = ?,"
                    " fence = ? WHERE no = ?",
                    (row.next, row.token, self.now, row.owner, row.owner_until, row.fence, row.no),
                )

    def forget_threads(self) -> None:
        """What is remembered of its threads may not be so."""
        for name in self._rows:
            self.memories.forget(name)


Change = Callable[[Transaction], Any]
"""Something to be done to the database; the result goes to who asked. What it raises before it wrote anything holds up
nobody else. It may be done again if the transaction it was part of is lost."""


class ChangeJob(Job):
    """A change, and who waits for it."""

    def __init__(self, change: Change, future: asyncio.Future[Any] | None, *, is_followed: bool = False) -> None:
        super().__init__(future)
        self.change, self.is_followed = change, is_followed


class Writer:
    """Carries out changes, in the order in which they come.

    Whoever waits in a thread of its own has its change made by that thread, if nobody else is at work: to hand it over
    costs more than to write it. All others are served by the writer's thread.
    """

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], check: Callable[[], None], busy_seconds: float
    ) -> None:
        self._desk = _Desk(connect, check, busy_seconds)
        self._lock = threading.Lock()
        self._queue: SimpleQueue[ChangeJob | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._is_over = False

    def carry_out(self, change: Change) -> Any:
        """Have the change made; returns its result when it is on disk."""
        if self._take_turn():
            job = ChangeJob(change, None)
            try:
                self._desk.serve([job])
            finally:
                self._desk.turn.release()
            if job.error is not None:
                raise job.error
            return job.result
        return self.submit(change).wait()

    def borrow(self) -> sqlite3.Connection | None:
        """The connection to read with, if nobody is at work; to be given back, and nothing is written until then."""
        if self._desk.connection is None or not self._take_turn():
            return None
        if self._desk.connection is None:
            self._desk.turn.release()
        return self._desk.connection

    def give_back(self) -> None:
        """What was borrowed is no longer in use."""
        desk = self._desk
        try:
            if desk.connection is not None and desk.connection.in_transaction:
                desk.connection.execute("ROLLBACK")
            if desk.is_closed:
                desk.disconnect()
        finally:
            desk.turn.release()

    def _take_turn(self) -> bool:
        is_alone = self._desk.crowd == 1 and self._queue.empty() and not self._is_over
        return is_alone and self._desk.turn.acquire(blocking=False)

    def submit(
        self, change: Change, future: asyncio.Future[Any] | None = None, *, is_followed: bool = False
    ) -> ChangeJob:
        """Have the change made; the future, or else the job's `wait`, tells when it is on disk.

        `is_followed`: it is a part of a step whose other part comes in a moment, and is to be committed with that.
        """
        job = ChangeJob(change, future, is_followed=is_followed)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._queue = SimpleQueue()  # of this thread alone: one that was stopped has its own to empty
                arguments = (self._queue, self._desk)
                self._thread = threading.Thread(target=_serve, args=arguments, name="checkpoints", daemon=True)
                self._thread.start()
            self._queue.put(job)
            if self._is_over:  # who came late is served, by a thread that nobody will stop
                self._end_thread()
        return job

    def _end_thread(self) -> threading.Thread | None:
        """Have the thread, if there is one, end after what it has to do; for who has the lock."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._queue.put(None)
        return thread

    def stop(self, *, wait: bool) -> None:
        """Let the thread end after what it has to do; a later change is made by a thread of its own."""
        with self._lock:
            self._is_over = True
            thread = self._end_thread()
        if thread is not None and wait and thread is not threading.current_thread():
            thread.join()
        self._desk.close(wait=wait)

    def pause(self) -> None:
        """Finish what there is to do, and begin nothing until `resume`."""
        self._lock.acquire()
        while (thread := self._end_thread()) is not None:
            self._lock.release()
            thread.join()
            self._lock.acquire()
        self._desk.turn.acquire()
        self._desk.disconnect()

    def resume(self) -> None:
        self._desk.turn.release()
        self._lock.release()


class _Desk:
    """What whoever writes works with; one at a time, who has the turn."""

    def __init__(
        self, connect: Callable[[], sqlite3.Connection], check: Callable[[], None], busy_seconds: float
    ) -> None:
        self.turn = threading.Lock()
        self.is_closed = False
        self.crowd = 1  # so many came at once the last time
        self._connect, self._check, self._busy_seconds = connect, check, busy_seconds
        self.connection: sqlite3.Connection | None = None
        self.memories = ThreadMemories()

    def serve(self, jobs: list[ChangeJob]) -> None:
        """Make these changes; what went wrong is for who asked."""
        try:
            if self.connection is None:
                self._check()  # to connect would make a file
                self.connection = self._connect()
            self._check()
            if self._commit(self.connection, jobs):
                _give_back(self.connection)
        except BaseException as error:  # whatever it is, those who wait must be told
            for job in jobs:
                job.error = error
        if self.is_closed:
            self.disconnect()

    def disconnect(self) -> None:
        """For who has the turn: nobody else may forget what is remembered, as a change may be amid it."""
        if self.is_closed:
            self.memories.clear()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()

    def close(self, *, wait: bool) -> None:
        """Close the connection, at once or when whoever is at work is done; it is opened anew for who comes late."""
        self.is_closed = True
        if self.turn.acquire(blocking=wait):
            self.disconnect()
            self.turn.release()

    def _commit(self, connection: sqlite3.Connection, jobs: list[ChangeJob]) -> bool:
        """Make all changes in one transaction; if that fails, each in one of its own, so that one cannot spoil others.

        Whether pages became free.
        """
        try:
            return self._attempt(connection, jobs)
        except Exception as error:
            if len(jobs) == 1 or (isinstance(error, sqlite3.Error) and is_busy(error)):
                for job in jobs:
                    job.error = error
                return False
        freed = [self._commit(connection, [job]) for job in jobs]
        return any(freed)

    def _attempt(self, connection: sqlite3.Connection, jobs: list[ChangeJob]) -> bool:
        begin_patiently(connection, self._busy_seconds)
        transaction = Transaction(connection, self.memories)
        try:
            for job in jobs:
                job.error = job.result = None
                written = connection.total_changes
                try:
                    job.result = job.change(transaction)
                except Exception as refusal:
                    if isinstance(refusal, sqlite3.Error) or connection.total_changes != written:
                        raise
                    job.error = refusal  # raised before anything was written; it is for who asked
                    transaction.forget_threads()
            transaction.save_threads()
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            transaction.forget_threads()
            for undo in reversed(transaction.undoing):
                undo()
            raise
        return transaction.frees_space


def _serve(queue: SimpleQueue[ChangeJob | None], desk: _Desk) -> None:
    """The writer's thread: it keeps nothing alive but its queue and its desk."""
    while (first := queue.get()) is not None:
        jobs = [first]
        with desk.turn:
            is_last = _collect(queue, jobs, desk.crowd)
            desk.crowd = len(jobs)
            desk.serve(jobs)
        answer(jobs)
        jobs, first = [], None  # what was written must not live on until the next comes
        if is_last:
            return


def _collect(queue: SimpleQueue[ChangeJob | None], jobs: list[ChangeJob], crowd: int) -> bool:
    """Take what has come in the meantime, and what belongs to it; whether the thread is to end.

    Where many are at work, as `crowd` of the time before tells, a sync to disk is shared by more if those who are
    about to come are waited for: as long as they do come, and never for long.
    """
    until = time.monotonic() + _STEP_WAIT
    while jobs[-1].is_followed and len(jobs) < _MOST_JOBS:
        try:
            job = queue.get(timeout=max(0.0, until - time.monotonic()))
        except Empty:
            break
        if job is None:
            return True
        jobs.append(job)
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


def _give_back(connection: sqlite3.Connection) -> None:
    """Return free pages to the file system, as far as nobody is in the way; what is left goes the next time."""
    try:
        set_patience(connection, _SHORT_WAIT)  # a long reader would hold up whoever waits for us
        while connection.execute("PRAGMA freelist_count").fetchone()[0]:
            before = connection.execute("PRAGMA page_count").fetchone()[0]
            connection.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
            if connection.execute("PRAGMA page_count").fetchone()[0] == before:
                break
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        _log.warning("Free space was not given back yet: %s", error)
    finally:
        set_patience(connection, 0)
