"""Where memories are: LangGraph's official stores in a file or on a server, or a store that was given.

The file is one of its own, beside the database, so that what is forgotten can be overwritten in all of it, and that
reading it never waits for the ledger. A connection lives as long as one use of it: memories are read and written
rarely, processes may fork, and nothing has to be closed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from signoff.checkpoints.db.sqlite import make_folder, tables_in
from signoff.checkpoints.db.url import is_address
from signoff.errors import DatabaseUnusable, ForeignDatabase, MissingExtra
from signoff.tools.storage.atomic import beside

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore

    from signoff.settings import Settings

BUSY_SECONDS: Final = 30.0
_TABLE: Final = "store_migrations"
_SETUP_LOCK: Final = 0x5169_6E0F_0000_0002
"""Number of the advisory lock that is held while the tables are made."""
_PAUSE_SECONDS: Final = 0.05


class Place(Protocol):
    """Somewhere that memories are."""

    @property
    def is_there(self) -> bool:
        """Whether anything was ever kept."""

    @contextmanager
    def open(self) -> Iterator[BaseStore]:
        """The store, for one use."""


class GivenPlace:
    """A store that a program gives."""

    is_there = True

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    @contextmanager
    def open(self) -> Iterator[BaseStore]:
        yield self._store


class FilePlace:
    """A file of LangGraph's SqliteStore; made on first use, for this user only."""

    def __init__(self, path: Path) -> None:
        try:
            import langgraph.store.sqlite  # noqa: F401 - now, so that nothing is approved which then cannot be kept
        except ImportError as error:
            raise MissingExtra("Keeping memories in a file", "memory") from error
        self.path = path

    @property
    def is_there(self) -> bool:
        return self.path.exists()

    @contextmanager
    def open(self) -> Iterator[BaseStore]:
        """The store. ForeignDatabase if the file is somebody else's, DatabaseUnusable if it cannot be used."""
        from langgraph.store.sqlite import SqliteStore

        found = tables_in(self.path, BUSY_SECONDS)
        if found and _TABLE not in found:
            raise ForeignDatabase(
                str(self.path), f"it holds the table {min(found)!r}, and memories need their own file"
            )
        try:
            if not found:
                self._make(SqliteStore)
            with closing(_connect(self.path)) as connection:
                yield SqliteStore(connection)
        except (sqlite3.Error, OSError) as error:
            raise DatabaseUnusable(str(self.path), str(error)) from error
        except ValueError as error:  # the store wraps what reading raises
            if isinstance(error.__context__, sqlite3.Error):
                raise DatabaseUnusable(str(self.path), str(error.__context__)) from error
            raise

    def _make(self, store: Any) -> None:
        """Make the tables in a file of another name first: the store's own way fails if two processes do it at once."""
        make_folder(self.path.parent)
        with beside(self.path, replace=False) as part:  # somebody may be faster
            os.close(os.open(part, os.O_CREAT | os.O_EXCL, 0o600))
            with closing(_connect(part)) as connection:
                store(connection).setup()


class ServerPlace:
    """A PostgreSQL database with LangGraph's PostgresStore."""

    is_there = True

    def __init__(self, address: str) -> None:
        try:
            from signoff.checkpoints.db.postgres import PostgresAddress
        except ImportError as error:
            raise MissingExtra("Keeping memories in PostgreSQL", "postgres") from error
        self._address, self._is_set_up = PostgresAddress(address), False

    @contextmanager
    def open(self) -> Iterator[BaseStore]:
        """The store; DatabaseUnusable if the database cannot be used."""
        import psycopg
        from langgraph.store.postgres import PostgresStore
        from psycopg.rows import dict_row

        place = self._address
        try:
            with psycopg.connect(
                place.text, **place.options, autocommit=True, prepare_threshold=0, row_factory=dict_row
            ) as connection:
                store = PostgresStore(connection)
                if not self._is_set_up:
                    _set_up(connection, store)
                    self._is_set_up = True
                yield store
        except psycopg.Error as error:
            raise DatabaseUnusable(place.name, place.tell(error)) from None


def place_of(settings: Settings) -> Place:
    """Where the settings keep memories: the database on the server, or a file beside the database's."""
    if is_address(settings.database_name):
        return ServerPlace(settings.database_name)
    path = settings.database_path
    return FilePlace(path.with_name("memory.db" if path.name == "signoff.db" else f"{path.stem}-memory.db"))


def graphs_store() -> BaseStore | None:
    """The store of the graph that is running here, such as LangGraph Server's; None if there is none."""
    from langgraph.config import get_store

    try:
        return get_store()
    except (RuntimeError, KeyError):  # outside of any graph, or of any node of one
        return None


def _connect(path: Path) -> sqlite3.Connection:
    """A connection that overwrites what it deletes. Without WAL no copy of it stays in a second file either."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA secure_delete = ON").close()
    return connection


def _set_up(connection: Any, store: Any) -> None:
    """Make the tables, one process at a time; a wait inside the server would block CREATE INDEX CONCURRENTLY."""
    until = time.monotonic() + BUSY_SECONDS
    while not connection.execute("SELECT pg_try_advisory_lock(%s) AS held", (_SETUP_LOCK,)).fetchone()["held"]:
        if time.monotonic() > until:
            raise DatabaseUnusable("the memory", "another process has been setting up its tables for too long")
        time.sleep(_PAUSE_SECONDS)
    try:
        store.setup()
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (_SETUP_LOCK,))
