"""One SQLite database as this process uses it: the one writer, and connections to read with."""

from __future__ import annotations

import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Final, TypeVar
from weakref import finalize

from signoff.checkpoints.db.fork_safety import watch_forks
from signoff.checkpoints.db.sqlite import (
    IN_MEMORY,
    begin,
    can_write,
    check_log,
    connect,
    connect_to_memory,
    identity,
    is_busy,
    make_folder,
    refuse_foreign,
    set_patience,
    unusable,
)
from signoff.checkpoints.errors import DatabaseUnusable
from signoff.checkpoints.saver import schema
from signoff.checkpoints.saver.encoding.encryption import RowCodec
from signoff.checkpoints.saver.migration import bring_up_to_date
from signoff.checkpoints.saver.writer import Writer

FoundT = TypeVar("FoundT")
_MOST_IDLE = 4
_SHARED_MEMORY: Final = (3, 36)
"""The version of SQLite since which several connections may use one database in memory."""
_CACHE: Final = "PRAGMA cache_size = -8000"
"""Kilobytes of a file that the writer's connection holds, which is read with, too: states of a few megabytes."""


class FilePlace:
    """A file."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self.path, self._busy_seconds, self._name = path, busy_seconds, str(path)

    def prepare(self) -> None:
        """Refuse what is somebody else's, having changed nothing."""
        refuse_foreign(self.path, self._busy_seconds)
        make_folder(self.path.parent)

    def connect(self) -> sqlite3.Connection:
        """A connection to it; it is made if it is not there."""
        return connect(self.path, self._busy_seconds)

    def identity(self) -> tuple[int, int] | None:
        """What tells it from another one in its place."""
        return identity(self.path)

    def check(self, opened: tuple[int, int] | None) -> None:
        """Raise if it is not the one that was opened: SQLite would not say so, or wait for a lock."""
        try:
            found = os.stat(self._name)
        except FileNotFoundError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != opened:
            raise sqlite3.DatabaseError("the file was deleted or replaced while it was open; close it and open it")
        if not found.st_size:
            raise sqlite3.DatabaseError("the file was emptied while it was open")
        check_log(self._name)

    def close(self) -> None:
        """It stays."""

    @property
    def keeps(self) -> bool:
        """Whether connections can be kept; else others may begin to write, and then it is read in another way."""
        return can_write(self.path)


class MemoryPlace:
    """The memory of this process; gone with the last connection, so one is held. Its path is what it is called."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self.path, self._busy_seconds = path, busy_seconds
        self._held: sqlite3.Connection | None = None

    def prepare(self) -> None:
        if sqlite3.sqlite_version_info < _SHARED_MEMORY:
            raise DatabaseUnusable(IN_MEMORY, f"this Python has SQLite {sqlite3.sqlite_version}, and 3.36 is needed")
        self._held = self.connect()

    def connect(self) -> sqlite3.Connection:
        return connect_to_memory(self.path.name, self._busy_seconds)

    def identity(self) -> tuple[int, int] | None:
        return 0, 0

    def check(self, opened: tuple[int, int] | None) -> None:
        """Nobody can replace it."""

    def close(self) -> None:
        if self._held is not None:
            self._held.close()

    @property
    def keeps(self) -> bool:
        return True


Place = FilePlace | MemoryPlace


class Storage:
    """The database, opened. Savers of one process that use the same file share it, and so share its commits."""

    def __init__(self, place: Place, busy_seconds: float) -> None:
        self.path, self._place = place.path, place
        self._idle: list[sqlite3.Connection] = []
        self._busy_seconds = busy_seconds
        self.users = 0
        self._prepare()
        self._identity, self._pid = place.identity(), os.getpid()
        self._keeps = place.keeps
        self.check = partial(place.check, self._identity)
        self.writer = Writer(partial(_connect_writer, place), self.check, busy_seconds)
        self._finish = finalize(self, _close, self.writer, self._idle, place, self._pid, False)
        self._gate = threading.Condition()
        self._readers, self._is_forking = 0, False
        watch_forks(self)

    @property
    def is_there(self) -> bool:
        """Whether the file still stands where it was opened; a deleted one takes what is written to it along."""
        return self._place.identity() == self._identity

    def read(self, work: Callable[[sqlite3.Connection], FoundT]) -> FoundT:
        """What `work` finds in one consistent view; it calls nothing that writes.

        Where nobody writes, it is given the connection that was last written with: what it needs is in its memory.
        """
        self.check()
        lent = self.writer.borrow()
        if lent is not None:
            try:
                lent.execute("BEGIN")
                return work(lent)
            except sqlite3.OperationalError as error:
                if not is_busy(error):
                    raise
            finally:
                self.writer.give_back()
        with self.reading() as connection:
            return work(connection)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection with one consistent view of the file."""
        self.check()
        with self._gate:
            self._gate.wait_for(lambda: not self._is_forking)
            self._readers += 1
            connection = self._idle.pop() if self._idle else None
        is_kept = False
        try:
            connection = connection or self._place.connect()
            connection.execute("BEGIN")
            yield connection
            connection.execute("COMMIT")
            with self._gate:  # which whoever closes takes first
                is_kept = self._keeps and len(self._idle) < _MOST_IDLE and self._finish.alive
                if is_kept:
                    self._idle.append(connection)
        finally:
            if connection is not None and not is_kept:
                connection.close()
            with self._gate:
                self._readers -= 1
                if self._is_forking:
                    self._gate.notify_all()

    def before_fork(self) -> None:
        self.writer.pause()
        self._gate.acquire()
        self._is_forking = True
        self._gate.wait_for(lambda: not self._readers)
        while self._idle:
            self._idle.pop().close()

    def after_fork(self) -> None:
        """Go on, in the parent; the child has a storage of its own."""
        self._is_forking = False
        self._gate.notify_all()
        self._gate.release()
        self.writer.resume()

    def admit(self, codec: RowCodec) -> None:
        """Raise KeyMissing, WrongKey or NotEncrypted unless the file can be used with this key, or without one.

        One of an earlier edition is brought up to date.
        """
        try:
            with closing(self._place.connect()) as connection:
                codec.check(connection, str(self.path))
                bring_up_to_date(connection, self.path, codec, self._busy_seconds)
        except sqlite3.Error as error:
            raise unusable(self.path, error) from error

    def close(self) -> None:
        """Let the writer finish, and close all connections."""
        with self._gate:
            self._finish.detach()
        _close(self.writer, self._idle, self._place, self._pid, True)

    def _prepare(self) -> None:
        try:
            self._place.prepare()
            with closing(self._place.connect()) as connection:
                if not schema.is_present(connection):
                    begin(connection, self._busy_seconds)
                    if not schema.is_present(connection):  # another process may have been first
                        schema.create(connection)
                    connection.execute("COMMIT")
                schema.check_version(connection, str(self.path))
        except (sqlite3.Error, OSError) as error:
            raise unusable(self.path, error) from error


_shared: dict[tuple[int, Path], Storage] = {}
_sharing = threading.RLock()  # a saver that is collected leaves, wherever that happens


def share(place: Place, busy_seconds: float) -> Storage:
    """The storage of this place, which is opened unless it is already; each call is matched by one of `leave`."""
    key = (os.getpid(), place.path)  # a forked child has the parent's connections, and must not use them
    with _sharing:
        storage = _shared.get(key)
        if storage is None or not storage.is_there:
            storage = _shared[key] = Storage(place, busy_seconds)
        storage.users += 1
        return storage


def leave(storage: Storage) -> None:
    """One user fewer; the last one closes it."""
    with _sharing:
        storage.users -= 1
        if storage.users:
            return
        if _shared.get((os.getpid(), storage.path)) is storage:
            del _shared[os.getpid(), storage.path]
    storage.close()


class Handle:
    """The opened file, shared by a saver and its views; opened by the first use."""

    def __init__(self, database: Path, codec: RowCodec, busy_seconds: float) -> None:
        is_file = str(database) != IN_MEMORY
        self._path = database if is_file else Path(f"/signoff-{secrets.token_hex(8)}")
        self._place = FilePlace if is_file else MemoryPlace
        self._codec, self._busy_seconds = codec, busy_seconds
        self._lock = threading.Lock()
        self._storage: Storage | None = None
        self._pid = 0
        self._leave: Callable[[], object] | None = None

    @property
    def opened(self) -> Storage | None:
        """The storage, if it is open in this process."""
        return self._storage if self._pid == os.getpid() else None

    def open(self) -> Storage:
        """The storage, opened now if it is not yet."""
        return self.opened or self._open()

    def _open(self) -> Storage:
        with self._lock:
            if (storage := self.opened) is not None:  # another thread was first
                return storage
            storage = share(self._place(self._path.resolve(), self._busy_seconds), self._busy_seconds)
            try:
                storage.admit(self._codec)
            except BaseException:
                leave(storage)
                raise
            self._storage, self._pid = storage, os.getpid()
            self._leave = finalize(self, leave, storage)
            return storage

    def close(self) -> None:
        with self._lock:
            self._storage, done = None, self._leave
            self._leave = None
        if done is not None and self._pid == os.getpid():
            done()


def _close(writer: Writer, idle: list[sqlite3.Connection], place: Place, pid: int, wait: bool) -> None:
    if pid != os.getpid():
        return
    writer.stop(wait=wait)
    while idle:
        idle.pop().close()
    place.close()


def _connect_writer(place: Place) -> sqlite3.Connection:
    connection = place.connect()
    if isinstance(place, FilePlace):  # in memory even a commit waits for those who read
        set_patience(connection, 0)
        connection.execute(_CACHE)
    return connection
