"""The SQLite file that saver and ledger share: whose it is, and how it is opened."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any, Final

from signoff.errors import DatabaseUnusable, ForeignDatabase

LEDGER_TABLE: Final = "ledger_meta"
SAVER_TABLE: Final = "saver_meta"
OFFICIAL_TABLES: Final = frozenset({"checkpoints", "writes"})
"""The tables of LangGraph's own SqliteSaver, with which signoff 0.1 kept its checkpoints in the same file."""


def tables_in(path: Path, busy_seconds: float) -> set[str]:
    """The names of the tables in the file, which is not changed; none if it is not there or is empty.

    Raises ForeignDatabase if it is not SQLite's, DatabaseUnusable if it cannot be read.
    """
    if path.is_dir():
        raise ForeignDatabase(str(path), "it is a folder")
    if not path.exists():
        return set()
    try:
        connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=busy_seconds)
        try:
            found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise DatabaseUnusable(str(path), str(error)) from error
    except sqlite3.DatabaseError as error:
        raise ForeignDatabase(str(path), str(error)) from error
    return {name for name in found if not name.startswith("sqlite_")}


def refuse_foreign(path: Path, busy_seconds: float) -> None:
    """Raise ForeignDatabase, having changed nothing, if the file is there and is somebody else's."""
    found = tables_in(path, busy_seconds)
    if found and not found & {LEDGER_TABLE, SAVER_TABLE}:
        if found == OFFICIAL_TABLES:
            raise ForeignDatabase(str(path), "LangGraph's SqliteSaver wrote it; take it over with `signoff db import`")
        raise ForeignDatabase(str(path), f"it holds the table {min(found)!r}")


def make_folder(folder: Path) -> None:
    """Make the database's folder if it is not there; what it will hold is nobody's to commit."""
    if not folder.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".gitignore").write_text("*\n", encoding="ascii")


def prepare(connection: Any, busy_seconds: float) -> None:
    """Make every commit durable, readers independent of the writer, and freed space returnable."""
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            return _set_pragmas(connection)
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)  # the change to WAL does not wait by itself


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another connection is in the way."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def identity(path: Path) -> tuple[int, int] | None:
    """What tells a file from another one of the same name; None if there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _set_pragmas(connection: Any) -> None:
    connection.isolation_level = None  # the driver's own BEGIN is deferred and would break compare-and-set
    if _ask(connection, "page_count") == 0:
        _ask(connection, "auto_vacuum=INCREMENTAL")  # heeded only now
    if _ask(connection, "journal_mode") != "wal":  # even a needless change would wait for whoever writes
        _ask(connection, "journal_mode=WAL")
    for pragma in (
        "synchronous=FULL",
        "foreign_keys=ON",
        "journal_size_limit=4194304",
    ):
        _ask(connection, pragma)


def _ask(connection: Any, pragma: str) -> Any:
    cursor = connection.execute(f"PRAGMA {pragma}")
    found = cursor.fetchone()
    cursor.close()
    return None if found is None else found[0]
