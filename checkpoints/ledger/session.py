"""Transactions of one database, for all parts of a ledger: threads that write at once share a commit.

Threads that write take turns in one transaction, and none goes on before all of it is on disk. Who opens, shares and
closes its connections is read in one place, and so the file is longer than most.
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final, Protocol
from weakref import finalize

from sqlalchemy import Connection, Engine, event, func, select
from sqlalchemy.exc import DatabaseError, InterfaceError, SQLAlchemyError, TimeoutError as NoConnectionFree

from signoff.checkpoints import canonical
from signoff.checkpoints.db.fork_safety import watch_forks
from signoff.checkpoints.db.sqlite import LedgerFile
from signoff.checkpoints.db.url import is_address
from signoff.checkpoints.errors import DatabaseGone, DatabaseUnusable, OtherTenant
from signoff.checkpoints.jobs.tenants import check_tenant, show_only
from signoff.checkpoints.ledger.run_path import root_of
from signoff.checkpoints.ledger.schema import runs, set_up, take_mark
from signoff.checkpoints.process_identity import Fence
from signoff.error_base import MissingExtra

_MOST_TURNS: Final = 200
_LONGEST: Final = 0.05
"""Seconds after which a transaction takes nobody more in: the first of it waits for the last."""

Explain = Callable[[BaseException], DatabaseUnusable]
"""Says what went wrong with the database."""


class Transactions(Protocol):
    """Where the parts of a ledger read and write."""

    def write(self, *, driver_of: str = "") -> AbstractContextManager[Connection]:
        """One change, made as a whole or not at all, and on disk when it ends; nobody else writes meanwhile.

        `driver_of`: the run of which only a driver writes this; RunBusy if this process was one, and another is now.
        """

    def read(self) -> AbstractContextManager[Connection]:
        """One consistent view."""


def clock(connection: Connection) -> str:
    """This moment by the one clock of all who use the database: the server's own, or that of the file's machine."""
    if connection.dialect.name != "postgresql":
        return canonical.now()
    return canonical.moment_of(connection.execute(select(func.clock_timestamp())).scalar_one())


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

    def remember(self) -> None:
        """Leave something that tells of the ledger in it, should it ever be gone."""

    def explain(self, error: BaseException) -> DatabaseUnusable:
        """What to raise, in the driver's own words, without the SQL and without passwords."""

    def tear(self) -> None:
        """This process is a child that was forked amid a transaction."""


class Session:
    """Opens the database on first use, and again after a fork or once it was told that its file is another's now.

    Any thread may use it.
    """

    def __init__(self, database: Path | str, busy_seconds: float, tenant: str = "") -> None:
        self.tenant = check_tenant(tenant) if tenant else ""
        self._database, self._busy_seconds = _choose(database, busy_seconds), busy_seconds
        self.database = self._database.name
        self._begin_anew()
        self._forked_by, self._is_torn = 0, False
        self._afterwards = threading.local()
        self.fences: dict[str, Fence] = {}
        """What this process drives, by the run."""
        self.on_copy: Callable[[Connection, str], object] = lambda *_: None
        """Called in the first write to a copy that `signoff db backup` made, with the moment when it was made."""

    def _begin_anew(self) -> None:
        self._in_use = SharedLock()
        self._commits = GroupCommit(self._begin, self._give_back, self._explained, self._busy_seconds)
        self._opening = threading.Lock()
        self._engine: Engine | None = None
        self._idle: list[Connection] = []
        """The connection that was written with, if it can be again: to take one anew costs as much as a change does."""
        self._told: Engine | None = None

    @contextmanager
    def write(self, *, driver_of: str = "") -> Iterator[Connection]:
        if self.tenant:
            raise OtherTenant(f"What is opened for tenant {self.tenant!r} alone is looked at, and changes nothing")
        with self._in_use.shared(), self._explaining():
            self._afterwards.calls = []
            with self._commits.turn() as connection:
                # A child run is driven with the one around it.
                if fence := self.fences.get(driver_of) or self.fences.get(root_of(driver_of)):
                    fence.check(connection.execute(select(runs.c.owner).where(runs.c.id == fence.run_id)).scalar())
                yield connection
        for call in self._afterwards.calls:
            call()

    def after_commit(self, call: Callable[[], None]) -> None:
        """Call this once what the present thread writes now is committed; not if it is undone."""
        self._afterwards.calls.append(call)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._in_use.shared(), self._explaining(), self._opened().connect() as connection, connection.begin():
            yield connection

    def close(self) -> None:
        self._in_use.exclude(self._busy_seconds)
        try:
            self._forget()
        finally:
            self._in_use.readmit()

    def before_fork(self) -> None:
        self._is_torn = not self._in_use.exclude(self._busy_seconds)
        self._forked_by = os.getpid()
        if self._engine is not None:
            _dispose(self._engine, self._idle)

    def after_fork(self) -> None:
        if not self._is_torn or self._forked_by == os.getpid():
            self._in_use.readmit()
            return
        # In the child nobody is left to end the transactions of the parent's threads.
        self._begin_anew()
        self._database.tear()

    def _begin(self) -> Connection:
        """A connection amid a transaction that holds the write lock."""
        engine = self._opened()
        with self._opening:
            kept = self._idle.pop() if self._idle else None
        connection = kept or engine.connect().execution_options(writes=True)
        try:
            connection.begin()
            if engine is not self._told:  # until a later transaction finds that it is: this one may be undone
                if at := take_mark(connection):
                    self.on_copy(connection, at)
                else:
                    self._told = engine
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: Connection) -> None:
        """Take back a connection whose transaction was committed; a server's may be dead before it is used again."""
        with self._opening:
            if connection.engine is self._engine and connection.dialect.name == "sqlite":
                self._idle.append(connection)
                return
        connection.close()

    @contextmanager
    def _explaining(self) -> Iterator[None]:
        try:
            yield
        except (DatabaseError, InterfaceError, NoConnectionFree) as error:
            # Nothing is tried again: whether a commit that was cut off took effect, only the tables can tell.
            raise self._explained(error) from None

    def _explained(self, error: BaseException) -> DatabaseUnusable:
        return error if isinstance(error, DatabaseUnusable) else self._database.explain(error)

    def _opened(self) -> Engine:
        with self._opening:
            if self._engine is not None and not self._database.is_there:
                self._forget()
                raise DatabaseGone(self.database, "it was deleted or replaced while this process had it open")
            if self._engine is None:
                watch_forks(self)
                engine = self._database.open()
                try:
                    set_up(engine, self.database)
                    if self.tenant:
                        engine.dispose()  # of what was opened before, nothing is used again
                        event.listen(engine, "connect", partial(show_only, self.tenant, engine.dialect.name))
                except BaseException:
                    engine.dispose()
                    raise
                self._database.remember()
                self._engine, self._finish = engine, finalize(self, _dispose, engine, self._idle)
            return self._engine

    def _forget(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            self._finish()


def _dispose(engine: Engine, idle: list[Connection]) -> None:
    while idle:
        idle.pop().close()
    engine.dispose()


def _choose(database: Path | str, busy_seconds: float) -> Database:
    if not is_address(database):
        return LedgerFile(database, busy_seconds)
    try:
        from signoff.checkpoints.db.postgres import LedgerServer
    except ImportError as error:
        raise MissingExtra("Keeping the ledger in PostgreSQL", "postgres") from error
    return LedgerServer(str(database), busy_seconds)


class SharedLock:
    """Shared by threads, or held by one alone. A thread that shares it may once more even while it is held."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._sharers: Counter[int] = Counter()
        self._is_excluding = False

    @contextmanager
    def shared(self) -> Iterator[None]:
        """Share it until the end of the block."""
        me = threading.get_ident()
        with self._changed:
            self._changed.wait_for(lambda: not self._is_excluding or me in self._sharers)
            self._sharers[me] += 1
        try:
            yield
        finally:
            with self._changed:
                self._sharers[me] -= 1
                if not self._sharers[me]:
                    del self._sharers[me]
                if self._is_excluding:
                    self._changed.notify_all()

    def exclude(self, seconds: float) -> bool:
        """Let nobody else share it, and wait this long for those who do; whether nobody does then.

        The same thread calls `readmit` afterwards, whatever the answer is.
        """
        self._changed.acquire()
        self._is_excluding = True
        self._changed.wait_for(lambda: self._sharers.keys() <= {threading.get_ident()}, seconds)
        return not self._sharers

    def readmit(self) -> None:
        """Let everybody share it again."""
        self._is_excluding = False
        self._changed.notify_all()
        self._changed.release()


class SharedTransaction:
    """A transaction that several take turns in."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self.begun = connection, time.monotonic()
        self.turns = 0
        self.is_over = threading.Event()
        self.error: BaseException | None = None


Turn = Future[SharedTransaction | None]
"""A place in the queue; the turn comes with a transaction, or whoever waited begins one."""


class GroupCommit:
    """Whose turn it is to write: one thread at a time, first come, first served.

    Whoever has done its part leaves the transaction open for the next in the queue; the last commits, and only then
    do all of them go on. What is raised in one turn undoes that turn alone. If the transaction is lost, so is every
    turn in it, and each is told: DatabaseUnusable. Without a queue it is an ordinary transaction.
    """

    def __init__(
        self,
        begin: Callable[[], Connection],
        give_back: Callable[[Connection], None],
        explain: Explain,
        busy_seconds: float,
    ) -> None:
        self._begin, self._give_back, self._explain, self._busy_seconds = begin, give_back, explain, busy_seconds
        self._lock = threading.Lock()
        self._queue: deque[Turn] = deque()
        self._is_taken = False

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """Write in this thread's turn; what was written is on disk at the end."""
        shared = self._enter()
        try:
            yield shared.connection
        except BaseException:
            self._undo(shared)
            raise
        self._keep(shared)
        if not shared.is_over.wait(self._busy_seconds):
            problem = f"another thread has been writing for {self._busy_seconds:g} s in the same transaction"
            raise self._explain(TimeoutError(problem))
        if shared.error is not None:
            raise self._explain(shared.error) from None

    def _enter(self) -> SharedTransaction:
        shared = self._wait()
        if shared is None:
            try:
                return SharedTransaction(self._begin())
            except BaseException:
                self._pass_on()
                raise
        try:
            shared.connection.exec_driver_sql("SAVEPOINT turn").close()
        except BaseException as error:
            self._end(shared, error)
            raise
        return shared

    def _wait(self) -> SharedTransaction | None:
        """Wait for the turn, and for the transaction it comes with, if there is one."""
        with self._lock:
            if not self._is_taken:
                self._is_taken = True
                return None
            turn = Turn()
            self._queue.append(turn)
        try:
            return turn.result(self._busy_seconds)
        except TimeoutError:
            if self._leave(turn):
                problem = f"locked: another thread has been writing for {self._busy_seconds:g} s"
                raise self._explain(TimeoutError(problem)) from None
            return turn.result()
        except BaseException:
            if not self._leave(turn):
                self._hand_over(turn.result())
            raise

    def _leave(self, turn: Turn) -> bool:
        """Leave the queue; False if it is its turn already."""
        with self._lock:
            if turn not in self._queue:
                return False
            self._queue.remove(turn)
            return True

    def _keep(self, shared: SharedTransaction) -> None:
        if shared.turns:
            try:
                shared.connection.exec_driver_sql("RELEASE SAVEPOINT turn").close()
            except BaseException:
                self._undo(shared)
                raise
        shared.turns += 1
        self._hand_over(shared)

    def _undo(self, shared: SharedTransaction) -> None:
        """Undo this turn only: others' are in the same transaction."""
        if not shared.turns:
            self._end(shared, RuntimeError("undone"))
            return
        try:
            shared.connection.exec_driver_sql("ROLLBACK TO SAVEPOINT turn").close()
            shared.connection.exec_driver_sql("RELEASE SAVEPOINT turn").close()
        except BaseException as error:  # such as a full disk, for which the database itself undid everything
            self._end(shared, error)
            if not isinstance(error, SQLAlchemyError):
                raise
        else:
            self._hand_over(shared)

    def _hand_over(self, shared: SharedTransaction | None) -> None:
        """Let the next go on in this transaction, or end it."""
        if shared is None:
            self._pass_on()
            return
        with self._lock:
            if self._queue and shared.turns < _MOST_TURNS and time.monotonic() - shared.begun < _LONGEST:
                self._queue.popleft().set_result(shared)
                return
        error: BaseException | None = None
        try:
            shared.connection.commit()
        except BaseException as failed:
            error = failed
            if not isinstance(failed, SQLAlchemyError):
                raise
        finally:
            self._end(shared, error)

    def _end(self, shared: SharedTransaction, error: BaseException | None) -> None:
        """Close the transaction, undone unless it was committed; tell everybody, and let the next begin another."""
        shared.error = error
        try:
            with suppress(SQLAlchemyError):  # a connection that is broken has nothing left to undo
                if error is not None:
                    shared.connection.rollback()  # without it, closing after a failed commit would keep what was done
                    shared.connection.close()
                else:
                    self._give_back(shared.connection)
        finally:
            shared.is_over.set()
            self._pass_on()

    def _pass_on(self) -> None:
        with self._lock:
            if self._queue:
                self._queue.popleft().set_result(None)
            else:
                self._is_taken = False
