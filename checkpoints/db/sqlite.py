"""The SQLite file that saver and ledger share: whose it is, and how it is opened.

What may happen to a file while it is open is found here too, and so this one is longer than most.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from struct import Struct
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import NullPool

from signoff.checkpoints.errors import (
    NOTHING_LOST,
    DatabaseDamaged,
    DatabaseGone,
    DatabaseUnusable,
    ForeignDatabase,
)

LEDGER_TABLE: Final = "ledger_meta"
COPIED_AT: Final = "copied_at"
"""The key in it under which a copy says when it was made, until it is told to the runs that were open in it."""
SAVER_TABLE: Final = "saver_meta"
OFFICIAL_TABLES: Final = frozenset({"checkpoints", "writes"})
"""The tables of LangGraph's own SqliteSaver."""


IN_MEMORY: Final = ":memory:"
"""The name of a database that is no file, as SQLite has it."""

_HARMLESS: Final = {
    *(sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_INTERRUPT),
    *(sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN),
    *(sqlite3.SQLITE_FULL, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_IOERR),
    *(sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG),
}
"""Errors after which all that was committed is there for sure,"""
_HARMFUL: Final = {
    *(sqlite3.SQLITE_IOERR_READ, sqlite3.SQLITE_IOERR_SHORT_READ, sqlite3.SQLITE_IOERR_CORRUPTFS),
    *(sqlite3.SQLITE_IOERR_DATA, sqlite3.SQLITE_READONLY_DBMOVED),
}
"""but not after these of their kinds."""
_PAGE_BYTES: Final = 4096
_LEDGER_PAGE_BYTES: Final = 1024
"""Of a new file, and of one for a ledger: a commit writes whole pages, and a step of a job changes some
hundred bytes on each of several. What a saver alone keeps may be megabytes, which cost less in large ones."""
_ledgers: set[Path] = set()
"""The files of this process's ledgers."""
_LOG_BYTES: Final = 4 * 2**20
"""After so many bytes the log is taken over into the file, and how long it stays."""
_SHORTEST_WAIT: Final = 0.0003
_LONGEST_WAIT: Final = 0.03


def tables_in(path: Path, busy_seconds: float) -> set[str]:
    """The names of the tables in the file, which is not changed; none if it is not there or is empty.

    Raises ForeignDatabase if it is not SQLite's, DatabaseDamaged or DatabaseUnusable if it cannot be read.
    """
    if path.is_dir():
        raise ForeignDatabase(str(path), "it is a folder")
    if not is_there(path):
        return set()
    try:
        with closing(sqlite3.connect(reading_address(path), uri=True, timeout=busy_seconds)) as connection:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_NOTADB:
            raise ForeignDatabase(str(path), str(error)) from error
        raise unusable(path, error) from error
    return {name for name in found if not name.startswith("sqlite_")}


def _mark_of(path: Path) -> Path:
    """The file beside a ledger that tells that it was there; `signoff.db*` does not name it."""
    return path.with_name(f".{path.name}.made")


def refuse_foreign(path: Path, busy_seconds: float) -> None:
    """Raise, having changed nothing, ForeignDatabase if the file is there and is somebody else's.

    DatabaseGone if something tells that a ledger was here, and it is not any more. That is looked for first: one that
    is being made has its tables before it has its mark.
    """
    marks = [mark for mark in (_mark_of(path),) if mark.exists()]
    parts = [part for suffix in ("-wal", "-shm") if (part := Path(f"{path}{suffix}")).exists()]
    is_empty = not path.exists() or not path.stat().st_size
    traces = [*marks, *(parts if is_empty else ())]  # SQLite would throw away what the log beside an empty file holds
    try:
        found = tables_in(path, busy_seconds)
    except ForeignDatabase as error:
        if not traces:
            raise
        raise DatabaseGone(str(path), f"a ledger was here, and now {error.problem}", map(str, traces)) from None
    if traces and LEDGER_TABLE not in found:
        now = f"it holds the table {min(found)!r}" if found else "the file is empty"
        now = now if path.exists() else "the file is gone"
        raise DatabaseGone(str(path), f"a ledger was here, and now {now}", map(str, traces))
    if found and not found & {LEDGER_TABLE, SAVER_TABLE}:
        if found == OFFICIAL_TABLES:
            raise ForeignDatabase(str(path), "LangGraph's SqliteSaver wrote it; take it over with `signoff db import`")
        raise ForeignDatabase(str(path), f"it holds the table {min(found)!r}")


def is_there(path: Path) -> bool:
    """Whether the file is there; DatabaseDamaged if only what was last written to it is, which SQLite would delete."""
    log = Path(f"{path}-wal")
    has_log = log.exists() and log.stat().st_size > 0  # looked at first: a new file is there before its log is
    if has_log and not (path.exists() and path.stat().st_size):
        raise DatabaseDamaged(str(path), f"it is gone or empty, but {log.name!r} holds what was last written to it")
    return path.exists()


def make_folder(folder: Path) -> None:
    """Make the database's folder if it is not there; what it will hold is nobody's to commit."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="ascii")


def begin(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Take the write lock, however many others want it too."""
    set_patience(connection, 0)  # SQLite's own waits soon take longer than a commit does
    try:
        begin_patiently(connection, busy_seconds)
    finally:
        set_patience(connection, busy_seconds)


def begin_patiently(connection: sqlite3.Connection, busy_seconds: float) -> None:
    """Take the write lock with a connection that does not wait by itself."""
    _retry_while_busy(partial(connection.execute, "BEGIN IMMEDIATE"), busy_seconds)


def set_patience(connection: sqlite3.Connection, seconds: float) -> None:
    """How long SQLite waits by itself where others are in the way."""
    connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}").close()


def _retry_while_busy(call: Callable[[], object], busy_seconds: float) -> None:
    """Call it until the database is not busy, for as long as others may write."""
    deadline, wait = time.monotonic() + busy_seconds, _SHORTEST_WAIT
    while True:
        try:
            call()
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(wait / 2, wait))
        wait = min(2 * wait, _LONGEST_WAIT)


def is_busy(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def unusable(path: Path | str, error: Exception) -> DatabaseUnusable:
    """What to raise for an error of SQLite or of the file system."""
    code = getattr(error, "sqlite_errorcode", 0)
    is_harmless = code & 0xFF in _HARMLESS and code not in _HARMFUL
    if is_harmless or isinstance(error, (OSError, sqlite3.ProgrammingError)):
        return DatabaseUnusable(str(path), str(error), NOTHING_LOST)
    return DatabaseDamaged(str(path), str(error))


def can_write(path: Path) -> bool:
    """Whether SQLite can write this file, and those that it makes beside it."""
    return os.access(path.parent, os.W_OK) and (not path.exists() or os.access(path, os.W_OK))


def connect(path: Path, busy_seconds: float) -> sqlite3.Connection:
    """A connection to this file, which is made if it is not there; one to read with where it cannot be written."""
    is_writable = can_write(path)
    connection = _connect(path.as_uri() if is_writable else reading_address(path), busy_seconds)
    try:
        if is_writable:
            # The change to WAL does not wait by itself.
            page_bytes = _LEDGER_PAGE_BYTES if path in _ledgers else _PAGE_BYTES
            _retry_while_busy(partial(_set_pragmas, connection, page_bytes), busy_seconds)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def connect_to_memory(name: str, busy_seconds: float) -> sqlite3.Connection:
    """A connection to the database of this name in this process's memory, which lives as long as one is open."""
    connection = _connect(f"file:/{name}?vfs=memdb", busy_seconds)
    _ask(connection, "foreign_keys=ON")
    return connection


class _Connection(sqlite3.Connection):
    """One that, closed as the last of its file, leaves nothing of the file open."""

    def close(self) -> None:
        super().close()
        with _looking:
            _close_deleted()


def _connect(address: str, busy_seconds: float) -> sqlite3.Connection:
    with _looking:
        _close_deleted()  # of a file that others have closed since: this connection will have another index
    return sqlite3.connect(
        address,
        uri=True,
        timeout=busy_seconds,
        isolation_level=None,  # the driver's own BEGIN is deferred and would break compare-and-set
        check_same_thread=False,
        cached_statements=256,
        factory=_Connection,
    )


def reading_address(path: Path) -> str:
    """The address that opens a file to read it only, also where SQLite can make no files beside it.

    Where none is there nobody writes, and it is read as one that does not change.
    """
    whole = path.resolve()
    log = Path(f"{whole}-wal")
    if os.access(whole.parent, os.W_OK) or Path(f"{whole}-shm").exists():
        return f"{whole.as_uri()}?mode=ro"
    if log.exists() and log.stat().st_size:
        problem = f"with {log.name!r} it can be read only in a folder that can be written; copy both into one"
        raise DatabaseUnusable(str(path), problem)
    return f"{whole.as_uri()}?mode=ro&immutable=1"


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


_INDEX: Final = Struct("=12x?xHI")
"""Beginning of a `-shm`, the index of the log: whether it is made, bytes of a page, frames in the log (wal-index-1)."""
_LOG_HEAD, _FRAME_HEAD = 32, 24
_indexes: dict[str, int] = {}
"""Indexes that were looked at, opened, by their names. To close one while SQLite has it open would give up all locks
that this process has on it."""
_CAN_LOOK: Final = hasattr(os, "pread")
_looking = threading.RLock()  # a connection that is collected is closed wherever that happens, here too


def check_log(path: Path | str) -> None:
    """DatabaseError if the log beside an open file was cut off or deleted: SQLite would write on behind the gap, and
    ruin the file when it takes over what stands there. No lock is needed."""
    name = f"{path}-shm"
    while _CAN_LOOK and (index := _read_index(name)) is not None:
        is_made, page, frames = index
        # A log that others begin anew is made shorter after its index says so.
        if not is_made or not frames:
            return
        if _size_of(f"{path}-wal") >= _LOG_HEAD + frames * (_FRAME_HEAD + (page if page > 1 else 65_536)):
            return
        if _is_current(name) and _read_index(name) == index:
            raise sqlite3.DatabaseError("its -wal file was cut off or deleted while it was open")


def _size_of(name: str) -> int:
    try:
        return os.stat(name).st_size
    except FileNotFoundError:
        return 0


def _read_index(name: str) -> tuple[bool, int, int] | None:
    """What the index says of the log; None if there is none."""
    with _looking:
        try:
            raw = os.pread(_indexes[name] if name in _indexes else _open_index(name), _INDEX.size, 0)
        except OSError:
            return None
    return _INDEX.unpack(raw) if len(raw) == _INDEX.size else None


def _is_current(name: str) -> bool:
    """Whether the index that was looked at still has its name; if not, the one that has it now is looked at next."""
    with _looking:
        index = _indexes.get(name)
        if index is None or identity(Path(name)) == (os.fstat(index).st_dev, os.fstat(index).st_ino):
            return index is not None
        _close_deleted()
        _indexes.pop(name, None)
        return False


def _close_deleted() -> None:
    """Close what has no name any more: the last who closes a database deletes its index."""
    for name in list(_indexes):
        index = _indexes.pop(name, None)  # nobody else's meanwhile, nor one's that is collected amid this
        if index is not None and os.fstat(index).st_nlink:
            _indexes[name] = index
        elif index is not None:
            os.close(index)


def _open_index(name: str) -> int:
    _close_deleted()
    return _indexes.setdefault(name, os.open(name, os.O_RDONLY | os.O_CLOEXEC))


def _set_pragmas(connection: Any, page_bytes: int) -> None:
    """Make every commit durable, readers independent of the writer, and freed space returnable."""
    if _ask(connection, "page_count") == 0:  # both are heeded only now
        _ask(connection, f"page_size={page_bytes}")
        _ask(connection, "auto_vacuum=INCREMENTAL")
    if _ask(connection, "journal_mode") != "wal":  # even a needless change would wait for whoever writes
        _ask(connection, "journal_mode=WAL")
    pages = _LOG_BYTES // _ask(connection, "page_size")
    sizes = f"journal_size_limit={_LOG_BYTES}", f"wal_autocheckpoint={pages}"
    for pragma in ("synchronous=FULL", "foreign_keys=ON", *sizes):
        _ask(connection, pragma)


def _ask(connection: Any, pragma: str) -> Any:
    cursor = connection.execute(f"PRAGMA {pragma}")
    found = cursor.fetchone()
    cursor.close()
    return None if found is None else found[0]


_torn: set[Path] = set()
"""Files that this process was forked amid a transaction with: its copy of SQLite's memory is wrong about them."""


class LedgerFile:
    """The file; made when it is opened."""

    def __init__(self, path: Path | str, busy_seconds: float) -> None:
        self.name, self._path, self._busy_seconds = str(path), Path(path).absolute(), busy_seconds
        self._whole = self._path
        _ledgers.add(self._path.resolve())
        self._identity: tuple[int, int] | None = None

    @property
    def is_there(self) -> bool:
        """Whether the file still stands where it was opened; a deleted one takes what is written to it along."""
        return identity(self._path) == self._identity

    def open(self) -> Engine:
        path = Path(self.name)
        path = path if path.absolute() == self._path else self._path  # the process may work in another folder by now
        try:
            refuse_foreign(path, self._busy_seconds)
            make_folder(path.parent)
            whole = self._whole = path.resolve()
        except OSError as error:
            raise DatabaseUnusable(self.name, str(error)) from error
        if whole in _torn:
            raise DatabaseUnusable(
                self.name, "this process was forked while another thread used it; start it another way, such as 'spawn'"
            )
        # What cannot be written is opened each time: it is read in another way as soon as somebody else writes it.
        pool: dict[str, Any] = {"pool_timeout": self._busy_seconds} if can_write(whole) else {"poolclass": NullPool}
        engine = create_engine(
            URL.create("sqlite", database=str(whole)),
            creator=partial(connect, whole, self._busy_seconds),
            hide_parameters=True,
            **pool,
        )
        self._identity = None
        event.listen(engine, "connect", self._note_identity)
        event.listen(engine, "begin", self._begin)
        return engine

    def remember(self) -> None:
        mark = _mark_of(self._path)
        if not mark.exists():
            with suppress(OSError):  # where nothing can be written, nothing is made anew either
                mark.write_text(f"{self._path} is a ledger of signoff. If it is gone, restore a backup.\n")

    def explain(self, error: BaseException) -> DatabaseUnusable:
        told = getattr(error, "orig", None)
        if isinstance(told, sqlite3.Error):
            return unusable(self.name, told)
        return DatabaseUnusable(self.name, str(told or error))

    def tear(self) -> None:
        _torn.add(self._path.resolve())

    def _note_identity(self, _connection: sqlite3.Connection, _record: object) -> None:
        self._identity = self._identity or identity(self._path)

    def _begin(self, connection: Connection) -> None:
        try:
            check_log(self._whole)
        except sqlite3.Error as error:
            raise unusable(self.name, error) from error
        if not connection.get_execution_options().get("writes"):
            connection.exec_driver_sql("BEGIN DEFERRED")
            return
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            begin(driver, self._busy_seconds)
        except sqlite3.Error as error:
            raise unusable(self.name, error) from error
