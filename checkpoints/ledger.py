"""The ledger: runs, approvals, effects and audit in one database, each change one durable transaction."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from weakref import finalize

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, select
from sqlalchemy.exc import DatabaseError, InterfaceError, SQLAlchemyError

from signoff.checkpoints import tables
from signoff.checkpoints.approvals import Approvals
from signoff.checkpoints.audit import AuditLog
from signoff.checkpoints.effects import Effects
from signoff.checkpoints.file import make_folder, refuse_foreign, set_pragmas
from signoff.checkpoints.forks import watch_forks
from signoff.checkpoints.runs import Runs
from signoff.errors import DatabaseUnusable, DatabaseVersion


class Ledger:
    """The record that decides. Opened on first use; safe to share between threads.

    A write waits up to `busy_seconds` for another process that holds the database.
    """

    def __init__(self, database: Path | str, *, busy_seconds: float = 30.0) -> None:
        self.database, self._busy_seconds = str(database), busy_seconds
        self._opening = threading.Lock()
        self.audit = AuditLog(self)
        self.runs = Runs(self)
        self.approvals = Approvals(self)
        self.effects = Effects(self)

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One transaction that holds the write lock from its start and is on disk when it ends."""
        with self._connect(immediate=True) as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._connect(immediate=False) as connection:
            yield connection

    def close(self) -> None:
        """Close all connections; the next use opens it again."""
        with self._opening:
            engine = self.__dict__.pop("_engine", None)
            if engine is not None:
                engine.dispose()

    def before_fork(self) -> None:
        """Close all connections, and open none until `after_fork`."""
        self._opening.acquire()
        engine = self.__dict__.get("_engine")
        if engine is not None:
            engine.dispose()

    def after_fork(self) -> None:
        """Connections may be opened again, in the parent and in the child."""
        self._opening.release()

    @contextmanager
    def _connect(self, *, immediate: bool) -> Iterator[Connection]:
        with self._opening:
            engine = self._engine
        try:
            with engine.connect() as connection:
                connection = connection.execution_options(immediate=immediate)
                with connection.begin():
                    yield connection
        except (DatabaseError, InterfaceError) as error:
            raise DatabaseUnusable(self.database, _cause(error)) from error

    @cached_property
    def _engine(self) -> Engine:
        path = Path(self.database)
        try:
            refuse_foreign(path, self._busy_seconds)
            make_folder(path.parent)
        except OSError as error:
            raise DatabaseUnusable(self.database, str(error)) from error
        engine = create_engine(
            URL.create("sqlite", database=str(path.resolve())), connect_args={"timeout": self._busy_seconds}
        )
        event.listen(engine, "connect", lambda connection, _record: set_pragmas(connection))
        event.listen(engine, "begin", _begin)
        try:
            with engine.connect().execution_options(immediate=True) as connection, connection.begin():
                self._check_version(connection)
        except (DatabaseError, InterfaceError) as error:
            engine.dispose()
            raise DatabaseUnusable(self.database, _cause(error)) from error
        except DatabaseVersion:
            engine.dispose()
            raise
        watch_forks(self)
        finalize(self, engine.dispose)  # Python 3.13 warns of a connection that nobody closed
        return engine

    def _check_version(self, connection: Connection) -> None:
        if tables.ledger_meta.name not in inspect(connection).get_table_names():
            tables.metadata.create_all(connection)
            connection.execute(insert(tables.ledger_meta).values(key="schema", value=str(tables.SCHEMA_VERSION)))
            return
        query = select(tables.ledger_meta.c.value).where(tables.ledger_meta.c.key == "schema")
        found = int(connection.execute(query).scalar_one())
        if found != tables.SCHEMA_VERSION:
            raise DatabaseVersion(self.database, found, tables.SCHEMA_VERSION)


def _begin(connection: Connection) -> None:
    mode = "IMMEDIATE" if connection.get_execution_options().get("immediate") else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {mode}")


def _cause(error: SQLAlchemyError) -> str:
    """The driver's own words, without the SQL."""
    return str(getattr(error, "orig", None) or error)
