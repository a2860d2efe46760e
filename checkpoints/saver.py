"""The LangGraph saver that keeps every step of a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver

from signoff.errors import DatabaseUnusable

_BUSY_SECONDS = 30


@contextmanager
def open_saver(database: Path | str) -> Iterator[BaseCheckpointSaver[str]]:
    """A saver in this SQLite file, closed at the end; it unpacks plain values and messages, never other types."""
    path = Path(database)
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path, check_same_thread=False, timeout=_BUSY_SECONDS)
    try:
        saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        saver.setup()
        yield saver
    except sqlite3.Error as error:
        raise DatabaseUnusable(str(path), str(error)) from error
    finally:
        connection.close()
