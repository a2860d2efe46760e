"""A team's memory: what it should know next time, kept in one of LangGraph's stores; each says where it came from.

The file is one of its own, beside the database, so that what is forgotten can be overwritten in all of it, and that
reading it never waits for the ledger. A connection lives as long as one use of it: memories are read and written
rarely, processes may fork, and nothing has to be closed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote, unquote

from pydantic import ValidationError

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.db import is_address, make_folder, tables_in
from signoff.checkpoints.errors import DatabaseUnusable, ForeignDatabase
from signoff.checkpoints.ledger import Ledger
from signoff.error_base import MissingExtra
from signoff.settings import Settings, load_settings
from signoff.tools.errors import MemoryFull, UnknownMemory
from signoff.tools.memory.item import Remembered
from signoff.tools.search import order, words_of
from signoff.tools.storage.atomic import beside

if TYPE_CHECKING:
    from langgraph.store.base import BaseStore, Item

MOST_MEMORIES: Final = 1_000
"""Of one team: all of them are read to find the ones that fit."""
_ROOT: Final = ("signoff", "memory")
BUSY_SECONDS: Final = 30.0
_TABLE: Final = "store_migrations"
_SETUP_LOCK: Final = 0x5169_6E0F_0000_0002
"""Number of the advisory lock that is held while the tables are made."""
_PAUSE_SECONDS: Final = 0.05


class Memory:
    """The memories of teams. Nothing is held open between uses; safe to share between threads and processes.

    Deletions are written into the ledger's audit log before they are done.
    """

    def __init__(self, source: StoreSource, ledger: Ledger, *, yields: bool = False) -> None:
        self._default, self._ledger, self._yields = source, ledger, yields

    @classmethod
    def open(cls, settings: Settings | None = None, *, store: BaseStore | None = None) -> Memory:
        """The memory in `store`; by default that of the settings, except in a graph that has a store itself.

        LangGraph Server gives its graphs one. MissingExtra if the package for the kind of store is not installed.
        """
        settings = settings or load_settings()
        ledger = configured_ledger(settings)
        return cls(configured_store(settings), ledger, yields=True) if store is None else cls(GivenStore(store), ledger)

    def keep(self, memory: Remembered) -> Remembered:
        """Keep it under its id, or find it kept: it, or another of the team that says the same, for as long or longer.

        One that says the same for a shorter time is replaced. MemoryFull if the team has as many as it may have.
        """
        with self._source.open() as store:
            self._drop_expired(store, memory.team)
            known = self._of(self._ledger.tenant_of(memory.origin.run_id), _all(store, memory.team))
            same = [other for other in known if other.id == memory.id or _said(other) == _said(memory)]
            for other in same:
                if other.id == memory.id or _lasts(other) >= _lasts(memory):
                    return other
            if len(known) - len(same) >= MOST_MEMORIES:
                raise MemoryFull(memory.team, MOST_MEMORIES)
            store.put(_namespace(memory.team), memory.id, memory.model_dump(mode="json"), index=False)
            self._forget(store, same, by=memory.origin.approved_by, why=f"replaced by {memory.id}, which lasts longer")
        return memory

    def get(self, memory_id: str, *, team: str) -> Remembered:
        """The memory of this team with this id; UnknownMemory otherwise."""
        for memory in self.list(team=team):
            if memory.id == memory_id:
                return memory
        raise UnknownMemory(memory_id, team)

    def find(self, memory_id: str) -> Remembered:
        """The memory with this id, or the only one whose id begins with it; UnknownMemory otherwise."""
        known = self.list()
        exact = [memory for memory in known if memory.id == memory_id]
        found = exact or [memory for memory in known if memory_id and memory.id.startswith(memory_id)]
        if len(found) != 1:
            raise UnknownMemory(memory_id)
        return found[0]

    def list(self, *, team: str | None = None, run: str | None = None) -> list[Remembered]:
        """The memories of a team, of a run, or all, oldest first; none whose days are over."""
        if not self._source.is_there:
            return []
        from signoff.tools.storage.workspaces import current_thread  # and LangChain with it

        with self._source.open() as store:
            teams = _teams(store) if team is None else [team]
            known = [memory for one in teams for memory in _all(store, one)]
        thread = current_thread()
        mine = self._of(self._ledger.tenant or (self._ledger.tenant_of(thread) if thread else ""), known)
        return [memory for memory in _sorted(mine) if not memory.has_expired and run in (None, memory.origin.run_id)]

    def _of(self, tenant: str, memories: Sequence[Remembered]) -> tuple[Remembered, ...]:
        """Those that were learned in runs of this tenant: no other hears of them. Empty: all."""
        if not tenant:
            return tuple(memories)
        whose = {run: self._ledger.tenant_of(run) for run in {memory.origin.run_id for memory in memories}}
        return tuple(memory for memory in memories if whose[memory.origin.run_id] == tenant)

    def recall(self, words: str, *, teams: Sequence[str], limit: int) -> Sequence[Remembered]:
        """The memories of these teams that hold any of the words, the best first; the newest if there are no words."""
        return rank([memory for team in teams for memory in self.list(team=team)], words)[:limit]

    def forget(self, memories: Collection[Remembered], *, by: str, why: str = "") -> None:
        """Delete them, and say so in the audit log. In SQLite their texts are overwritten with zeros."""
        with self._source.open() as store:
            self._forget(store, memories, by=by, why=why)

    def drop_expired(self) -> int:
        """Delete all whose days are over; how many there were."""
        if not self._source.is_there:
            return 0
        with self._source.open() as store:
            return sum(self._drop_expired(store, team) for team in _teams(store))

    def _drop_expired(self, store: BaseStore, team: str) -> int:
        expired = [memory for memory in _all(store, team) if memory.has_expired]
        self._forget(store, expired, by="expiry", why="")
        return len(expired)

    def _forget(self, store: BaseStore, memories: Collection[Remembered], *, by: str, why: str) -> None:
        for memory in memories:
            with self._ledger.write() as connection:
                self._ledger.audit.append(
                    connection,
                    memory.origin.run_id,
                    "memory forgotten",
                    memory=memory.id,
                    team=memory.team,
                    text_sha256=memory.sha256,
                    approval=memory.origin.approval_id,
                    by=by,
                    why=why,
                )
            store.delete(_namespace(memory.team), memory.id)

    @property
    def _source(self) -> StoreSource:
        """Where memories are now: in the store of the graph that is running here, if it has one and none was given."""
        store = graphs_store() if self._yields else None
        return self._default if store is None else GivenStore(store)


def _all(store: BaseStore, team: str) -> list[Remembered]:
    """The memories of a team, those whose days are over too; what is none of ours is left out."""
    namespace = _namespace(team)
    items = store.search(namespace, limit=2 * MOST_MEMORIES)
    return _sorted([memory for item in items if item.namespace == namespace and (memory := _read(item)) is not None])


def _read(item: Item) -> Remembered | None:
    try:
        memory = Remembered.model_validate(item.value)
    except ValidationError:
        return None
    return memory if (memory.id, _namespace(memory.team)) == (item.key, item.namespace) else None


def _teams(store: BaseStore) -> list[str]:
    spaces = store.list_namespaces(prefix=_ROOT, max_depth=len(_ROOT) + 1, limit=10_000)
    return sorted(unquote(space[-1]) for space in spaces if len(space) == len(_ROOT) + 1)


def _namespace(team: str) -> tuple[str, ...]:
    """A store's names hold no dots, and mean no other team by upper and lower case."""
    return (*_ROOT, quote(team, safe="").replace(".", "%2E"))


def _sorted(memories: Iterable[Remembered]) -> list[Remembered]:
    return sorted(memories, key=lambda memory: (memory.origin.at, memory.id))


def _said(memory: Remembered) -> tuple[str, ...]:
    return memory.kind, memory.subject, memory.text


def _lasts(memory: Remembered) -> str:
    return memory.expires_at or "for ever"  # texts of moments sort before it


def rank(memories: Sequence[Remembered], words: str) -> list[Remembered]:
    """Those that hold any of the words, in any form of English words; all, newest first, if no word is asked for."""
    if not words_of(words):
        return sorted(memories, key=lambda memory: memory.origin.at, reverse=True)
    return [memories[at] for at in order([(memory.text, memory.subject) for memory in memories], words)]


# Where memories are


class StoreSource(Protocol):
    """Somewhere that memories are."""

    @property
    def is_there(self) -> bool:
        """Whether anything was ever kept."""

    @contextmanager
    def open(self) -> Iterator[BaseStore]:
        """The store, for one use."""


class GivenStore:
    """A store that a program gives."""

    is_there = True

    def __init__(self, store: BaseStore) -> None:
        self._store = store

    @contextmanager
    def open(self) -> Iterator[BaseStore]:
        yield self._store


class StoreInFile:
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


class StoreOnServer:
    """A PostgreSQL database with LangGraph's PostgresStore."""

    is_there = True

    def __init__(self, address: str) -> None:
        try:
            from signoff.checkpoints.db import PostgresAddress
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


def configured_store(settings: Settings) -> StoreSource:
    """Where the settings keep memories: the database on the server, or a file beside the database's."""
    if is_address(settings.database_name):
        return StoreOnServer(settings.database_name)
    path = settings.database_path
    return StoreInFile(path.with_name("memory.db" if path.name == "signoff.db" else f"{path.stem}-memory.db"))


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
