"""A ledger in an SQLite file."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from signoff.checkpoints.db.sqlite import identity, make_folder, prepare, refuse_foreign
from signoff.checkpoints.saver.writer import begin
from signoff.errors import DatabaseUnusable

_torn: set[Path] = set()
"""Files that this process was forked amid a transaction with: its copy of SQLite's memory is wrong about them."""


class LedgerFile:
    """The file; made when it is opened."""

    def __init__(self, path: Path | str, busy_seconds: float) -> None:
        self.name, self._busy_seconds = str(path), busy_seconds
        self._identity: tuple[int, int] | None = None

    @property
    def is_there(self) -> bool:
        """Whether the file still stands where it was opened; a deleted one takes what is written to it along."""
        return identity(Path(self.name)) == self._identity

    def open(self) -> Engine:
        """Its connections. A transaction with the option `writes` holds the write lock from its start."""
        path = Path(self.name)
        try:
            refuse_foreign(path, self._busy_seconds)
            make_folder(path.parent)
            whole = path.resolve()
        except OSError as error:
            raise DatabaseUnusable(self.name, str(error)) from error
        if whole in _torn:
            raise DatabaseUnusable(
                self.name, "this process was forked while another thread used it; start it another way, such as 'spawn'"
            )
        engine = create_engine(
            URL.create("sqlite", database=str(whole)),
            connect_args={"timeout": self._busy_seconds},
            pool_timeout=self._busy_seconds,
            hide_parameters=True,
        )
        self._identity = None
        event.listen(engine, "connect", self._prepare)
        event.listen(engine, "begin", self._begin)
        return engine

    def explain(self, error: SQLAlchemyError) -> str:
        """The driver's own words, without the SQL."""
        return str(getattr(error, "orig", None) or error)

    def tear(self) -> None:
        """This process is a child that was forked amid a transaction."""
        _torn.add(Path(self.name).resolve())

    def _prepare(self, connection: sqlite3.Connection, _record: object) -> None:
        prepare(connection, self._busy_seconds)
        self._identity = self._identity or identity(Path(self.name))

    def _begin(self, connection: Connection) -> None:
        if not connection.get_execution_options().get("writes"):
            connection.exec_driver_sql("BEGIN DEFERRED")
            return
        driver = connection.connection.dbapi_connection
        assert isinstance(driver, sqlite3.Connection)
        try:
            begin(driver, self._busy_seconds)
        except sqlite3.Error as error:
            raise DatabaseUnusable(self.name, str(error)) from error
