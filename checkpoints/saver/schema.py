"""The saver's tables, and what each version of them is made into the next by. docs/saver-format.md describes them.

A piece has the thread's number in the upper half of its own, so that a thread's pieces lie together, and a number that
is counted per thread in the lower half: this is what is referred to, so that a copy of a thread is a copy of its rows.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from signoff.checkpoints.errors import DatabaseVersion

VERSION: Final = 3
"""Raised with every change of these tables."""

NUMBER_BITS: Final = 32
MOST_NUMBER: Final = (1 << NUMBER_BITS) - 1

TABLES: Final = {
    "saver_threads": """(
        no INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
        name TEXT NOT NULL UNIQUE,
        next INTEGER NOT NULL,                 -- the next number of a row
        token BLOB NOT NULL,                   -- random, renewed by every change: what is remembered of it holds
        touched_at REAL NOT NULL,              -- seconds since 1970, as all times here
        owner TEXT NOT NULL DEFAULT '',        -- who holds the lease, until when, and which one it is
        owner_until REAL NOT NULL DEFAULT 0,
        fence INTEGER NOT NULL DEFAULT 0
    )""",
    "saver_checkpoints": """(
        thread INTEGER NOT NULL,
        ns TEXT NOT NULL,
        checkpoint_id TEXT NOT NULL,
        parent_id TEXT,
        run BLOB,                              -- a digest of the run's id
        head BLOB NOT NULL,                    -- or the number of the piece that it is; so is a body of writes
        metadata BLOB NOT NULL,
        PRIMARY KEY (thread, ns, checkpoint_id)
    ) WITHOUT ROWID""",
    "saver_writes": """(
        thread INTEGER NOT NULL,
        ns TEXT NOT NULL,
        checkpoint_id TEXT NOT NULL,           -- which may come later
        number INTEGER NOT NULL,
        task_id TEXT NOT NULL,
        body BLOB NOT NULL,
        PRIMARY KEY (thread, ns, checkpoint_id, number)
    ) WITHOUT ROWID""",
    "saver_pieces": "(id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
}
_RUNS: Final = "CREATE INDEX saver_checkpoints_by_run ON saver_checkpoints (run) WHERE run IS NOT NULL"


def is_present(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'saver_meta'").fetchone())


def create(connection: sqlite3.Connection) -> None:
    """Make the tables, in a transaction of the caller's."""
    connection.execute("CREATE TABLE saver_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID")
    create_tables(connection)
    connection.execute("INSERT INTO saver_meta VALUES ('schema', ?)", (VERSION,))


def create_tables(connection: sqlite3.Connection) -> None:
    for name, columns in TABLES.items():
        connection.execute(f"CREATE TABLE {name} {columns}")
    connection.execute(_RUNS)


def version_of(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT value FROM saver_meta WHERE key = 'schema'").fetchone()[0])


def check_version(connection: sqlite3.Connection, database: str) -> None:
    """Raise DatabaseVersion if the tables are of a version that this signoff does not know."""
    found = version_of(connection)
    if not 1 <= found <= VERSION:
        raise DatabaseVersion(database, found, VERSION)


def row_id(thread: int, number: int) -> int:
    return thread << NUMBER_BITS | number


def rows_of(thread: int) -> tuple[int, int]:
    """The least and the greatest id that a row of the thread can have."""
    return thread << NUMBER_BITS, (thread + 1 << NUMBER_BITS) - 1
