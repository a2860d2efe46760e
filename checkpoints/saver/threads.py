"""Which threads and checkpoints are in a file, without reading what they hold."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from signoff.checkpoints.saver.schema import is_present
from signoff.errors import DatabaseUnusable

_BUSY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class ThreadEntry:
    """One thread. Times are seconds since 1970."""

    name: str
    touched_at: float
    """When it was last written."""
    held_until: float
    """Until when somebody has its lease; in the past if nobody has."""


def list_threads(database: Path) -> list[ThreadEntry]:
    """All threads, those first that were not written for longest; none if the file is not there yet."""
    rows = _rows(database, "SELECT name, touched_at, owner_until FROM saver_threads ORDER BY touched_at")
    return [ThreadEntry(*row) for row in rows]


def checkpoint_ids(database: Path, thread: str) -> set[tuple[str, str]]:
    """Namespace and id of each checkpoint of a thread; none if there is no such thread."""
    query = (
        "SELECT ns, checkpoint_id FROM saver_checkpoints WHERE head IS NOT NULL"
        " AND thread = (SELECT no FROM saver_threads WHERE name = ?)"
    )
    return set(_rows(database, query, thread))


def _rows(database: Path, query: str, *values: Any) -> list[Any]:
    if not database.exists():
        return []
    address = f"{database.resolve().as_uri()}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=_BUSY_SECONDS)) as connection:
            return connection.execute(query, values).fetchall() if is_present(connection) else []
    except sqlite3.Error as error:
        raise DatabaseUnusable(str(database), str(error)) from error
