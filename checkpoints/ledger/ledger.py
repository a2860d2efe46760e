"""The ledger: runs, approvals, effects and audit in one database, each change one durable transaction."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol
from weakref import finalize

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DatabaseError, InterfaceError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from signoff.checkpoints.db.fork_safety import Turnstile, watch_forks
from signoff.checkpoints.db.group_commit import Turns
from signoff.checkpoints.db.sqlite import LedgerFile
from signoff.checkpoints.db.url import is_address
from signoff.checkpoints.ledger.approvals import Approvals
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.budgets.budgets import Budgets
from signoff.checkpoints.ledger.budgets.usage_log import Spending
from signoff.checkpoints.ledger.effects import Effects
from signoff.checkpoints.ledger.migrations import set_up
from signoff.checkpoints.ledger.notifications.hooks import Hook
from signoff.checkpoints.ledger.notifications.outbox import Notices
from signoff.checkpoints.ledger.people import People
from signoff.checkpoints.ledger.runs import Runs
from signoff.errors import DatabaseUnusable, MissingExtra


class Database(Protocol):
    """One kind of database that a ledger can be in."""

    @property
    def name(self) -> str:
        """The file, or the address without the password."""

    @property
    def is_there(self) -> bool:
        """Whether it still is the database that was opened."""

    def open(self) -> Engine:
        """Its connections. A transaction with the option `writes` holds the write lock from its start."""

    def explain(self, error: SQLAlchemyError) -> str:
        """The driver's own words, without the SQL and without passwords."""

    def tear(self) -> None:
        """This process is a child that was forked amid a transaction."""


class Ledger:
    """The record that decides. Opened on first use; safe to share between threads.

    `database` is an SQLite file or a `postgresql://` address; SettingsError for any other address, MissingExtra if
    the package for PostgreSQL is not installed. A write waits up to `busy_seconds` for others that write. `hooks` are
    told what waits and what was decided; None means those that the settings name.
    """

    def __init__(
        self, database: Path | str, *, busy_seconds: float = 30.0, hooks: Sequence[Hook] | None = None
    ) -> None:
        self._database, self._busy_seconds = _choose(database, busy_seconds), busy_seconds
        self._turnstile, self._turns = self._nobody_inside()
        self._opening = threading.Lock()
        self._engine: Engine | None = None
        self._forked_by, self._is_torn = 0, False
        self.audit = AuditLog(self)
        self.people = People(self)
        self.runs = Runs(self)
        self.approvals = Approvals(self)
        self.effects = Effects(self)
        self.notices = Notices(self, hooks)
        self.budgets = Budgets(self)
        self.spending = Spending(self)

    @property
    def database(self) -> str:
        """The file, or the address without the password."""
        return self._database.name

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """One change, made as a whole or not at all, and on disk when it ends; nobody else writes meanwhile.

        Threads that write at once share a transaction, one after the other.
        """
        with self._turnstile.inside(), self._explaining(), self._turns.take() as connection:
            yield connection
        self.notices.after_commit()

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """One consistent view."""
        with self._turnstile.inside(), self._explaining(), self._opened().connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        """Close all connections, once the transactions of other threads have ended; the next use opens it again."""
        self.notices.close()
        self.budgets.close()
        self._turnstile.shut(self._busy_seconds)
        try:
            self._forget()
        finally:
            self._turnstile.open()

    def before_fork(self) -> None:
        """Close all connections, once the transactions of other threads have ended; open none until `after_fork`."""
        self._is_torn = not self._turnstile.shut(self._busy_seconds)
        self._forked_by = os.getpid()
        if self._engine is not None:
            self._engine.dispose()

    def after_fork(self) -> None:
        """Connections may be opened again, in the parent and in the child."""
        if not self._is_torn or self._forked_by == os.getpid():
            self._turnstile.open()
            return
        # In the child nobody is left to end the transactions of the parent's threads.
        self._turnstile, self._turns = self._nobody_inside()
        self._opening, self._engine = threading.Lock(), None
        self._database.tear()

    def _nobody_inside(self) -> tuple[Turnstile, Turns]:
        return Turnstile(), Turns(self._begin, self._explained, self._busy_seconds)

    def _begin(self) -> Connection:
        """A connection amid a transaction that holds the write lock."""
        connection = self._opened().connect().execution_options(writes=True)
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, InterfaceError, NoConnectionFree) as error:
            # Nothing is tried again: whether a commit that was cut off took effect, only the tables can tell.
            raise self._explained(error) from None

    def _explained(self, error: BaseException) -> DatabaseUnusable:
        if isinstance(error, DatabaseUnusable):
            return error
        said = self._database.explain(error) if isinstance(error, SQLAlchemyError) else str(error)
        return DatabaseUnusable(self.database, said)

    def _opened(self) -> Engine:
        with self._opening:
            if self._engine is not None and not self._database.is_there:
                self._forget()
            if self._engine is None:
                watch_forks(self)
                engine = self._database.open()
                try:
                    set_up(engine, self.database)
                except BaseException:
                    engine.dispose()
                    raise
                self._engine, self._finish = engine, finalize(self, engine.dispose)
            return self._engine

    def _forget(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            self._finish.detach()
            engine.dispose()


def _choose(database: Path | str, busy_seconds: float) -> Database:
    if not is_address(database):
        return LedgerFile(database, busy_seconds)
    try:
        from signoff.checkpoints.db.postgres import LedgerServer
    except ImportError as error:
        raise MissingExtra("Keeping the ledger in PostgreSQL", "postgres") from error
    return LedgerServer(str(database), busy_seconds)
