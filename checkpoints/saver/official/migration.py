"""Bringing a database of signoff 0.1 up to date: its checkpoints were kept by LangGraph's own SqliteSaver."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from signoff.checkpoints.db.sqlite import LEDGER_TABLE, OFFICIAL_TABLES, tables_in
from signoff.checkpoints.saver.official.importer import import_official
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import DatabaseUnusable

_BUSY_SECONDS = 60.0


def migrate(saver: SqliteCheckpointer) -> Path | None:
    """Take over the checkpoints that SqliteSaver keeps beside our ledger; returns the backup that was made first.

    None if there is nothing to do. Whatever fails, the old tables stay, and the next use goes on where this one ended.
    """
    database = saver.database
    if not {LEDGER_TABLE, *OFFICIAL_TABLES} <= tables_in(database, _BUSY_SECONDS):
        return None
    backup = Path(f"{database}.backup-of-0.1")
    try:
        with closing(sqlite3.connect(database, timeout=_BUSY_SECONDS)) as connection:
            if not backup.exists():
                _copy(connection, backup)
            counts = import_official(database, saver)
            if counts.refused:
                first = counts.refused[0]
                raise DatabaseUnusable(str(database), f"thread {first.thread!r} cannot be taken over: {first.reason}")
            with connection:
                for table in sorted(OFFICIAL_TABLES):
                    connection.execute(f"DROP TABLE IF EXISTS {table}")
    except sqlite3.Error as error:
        raise DatabaseUnusable(str(database), str(error)) from error
    return backup


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    """A copy that is whole or not there."""
    part = Path(f"{target}.part")
    part.unlink(missing_ok=True)
    with closing(sqlite3.connect(part)) as copy:
        connection.backup(copy)
    part.replace(target)
