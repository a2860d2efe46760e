"""The saver's tables, and what each version of them is made into the next by.

A row of a thread has the thread's number in the upper half of its own, so that a thread's rows lie together, and a
number that is counted per thread in the lower half: this is what pieces refer to each other by, so that a copy
of a thread is a copy of its rows.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from signoff.checkpoints.errors import DatabaseVersion

VERSION: Final = 1
"""Raised with every change of these tables."""

NUMBER_BITS: Final = 32
MOST_NUMBER: Final = (1 << NUMBER_BITS) - 1

_TABLES: Final = (
    "CREATE TABLE saver_meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID",
    """CREATE TABLE saver_threads (
        no INTEGER PRIMARY KEY AUTOINCREMENT,  -- never given twice
        name TEXT NOT NULL UNIQUE,
        next INTEGER NOT NULL,                 -- the next number of a row
        era INTEGER NOT NULL,                  -- raised when pieces are deleted
        touched_at REAL NOT NULL,              -- seconds since 1970, as all times here
        owner TEXT NOT NULL DEFAULT '',        -- who holds the lease, until when, and which one it is
        owner_until REAL NOT NULL DEFAULT 0,
        fence INTEGER NOT NULL DEFAULT 0
    )""",
    "CREATE INDEX saver_threads_by_time ON saver_threads (touched_at)",
    """CREATE TABLE saver_checkpoints (
        id INTEGER PRIMARY KEY,
        thread INTEGER NOT NULL,
        ns TEXT NOT NULL,
        checkpoint_id TEXT NOT NULL,
        parent_id TEXT,
        run BLOB,                              -- a digest of the run's id
        head BLOB,                             -- absent if only writes are here so far
        metadata BLOB,
        UNIQUE (thread, ns, checkpoint_id)
    )""",
    "CREATE INDEX saver_checkpoints_by_run ON saver_checkpoints (run) WHERE run IS NOT NULL",
    """CREATE TABLE saver_writes (
        id INTEGER PRIMARY KEY,
        checkpoint INTEGER NOT NULL,
        task_id TEXT NOT NULL,
        body BLOB NOT NULL
    )""",
    "CREATE INDEX saver_writes_by_checkpoint ON saver_writes (checkpoint)",
    "CREATE TABLE saver_pieces (id INTEGER PRIMARY KEY, body BLOB NOT NULL)",
)


def is_present(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'saver_meta'").fetchone())


def create(connection: sqlite3.Connection) -> None:
    for statement in _TABLES:
        connection.execute(statement)
    connection.execute("INSERT INTO saver_meta VALUES ('schema', ?)", (VERSION,))


def check_version(connection: sqlite3.Connection, database: str) -> None:
    """Raise DatabaseVersion if the tables are of a version that this signoff does not know."""
    (found,) = connection.execute("SELECT value FROM saver_meta WHERE key = 'schema'").fetchone()
    if found != VERSION:
        raise DatabaseVersion(database, int(found), VERSION)


def row_id(thread: int, number: int) -> int:
    return thread << NUMBER_BITS | number


def rows_of(thread: int) -> tuple[int, int]:
    """The least and the greatest id that a row of the thread can have."""
    return thread << NUMBER_BITS, (thread + 1 << NUMBER_BITS) - 1
