"""Deleting, copying and looking after what is stored."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from langgraph.checkpoint.base import BaseCheckpointSaver

from signoff.checkpoints.canonical import now
from signoff.checkpoints.db.sqlite import COPIED_AT, IN_MEMORY, LEDGER_TABLE
from signoff.checkpoints.errors import DatabaseUnusable, ThreadNotEmpty
from signoff.checkpoints.saver.encoding.decoding import Unpack
from signoff.checkpoints.saver.encoding.encryption import RowCodec
from signoff.checkpoints.saver.engine import Engine, run_digest
from signoff.checkpoints.saver.rows import Row, ThreadReader, list_rows
from signoff.checkpoints.saver.schema import MOST_NUMBER, NUMBER_BITS, rows_of
from signoff.checkpoints.saver.writer import Transaction
from signoff.error_base import SignoffError

_TABLES = ("saver_pieces", "saver_writes", "saver_checkpoints")
_LARGEST = 10
_UNREADABLE = (sqlite3.Error, SignoffError, ValueError, KeyError, IndexError, TypeError)


@dataclass(frozen=True, slots=True)
class SaverStats:
    """What is in a file. Sizes are in bytes."""

    size: int
    free: int
    threads: int
    checkpoints: int
    writes: int
    pieces: int
    encrypted: bool
    schema: int
    largest: tuple[tuple[str, int, int], ...]
    """The threads with the most bytes: name, checkpoints, bytes."""


class MaintainedSaver(BaseCheckpointSaver[Any]):
    """What a saver does for whoever looks after it."""

    _engine: Engine

    def delete_thread(self, thread_id: str) -> None:
        """Delete everything of a thread; its space goes back to the file system."""
        self.prune([thread_id], strategy="delete")

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete everything of a thread; its space goes back to the file system."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that these runs made, with their writes."""
        if run_ids:
            digests = {str(run): run_digest(str(run)) for run in run_ids}
            self._engine.carry_out(DeleteRuns(digests, self._engine.codec, self._engine.unpack))
            self._engine.caches.clear()

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that these runs made, with their writes."""
        await asyncio.to_thread(self.delete_for_runs, run_ids)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy everything of a thread into one that is empty, else ThreadNotEmpty is raised."""
        self._engine.carry_out(CopyThread(str(source_thread_id), str(target_thread_id)))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy everything of a thread into one that is empty, else ThreadNotEmpty is raised."""
        await asyncio.to_thread(self.copy_thread, source_thread_id, target_thread_id)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Of each thread keep the newest checkpoint of every namespace ("keep_latest"), or nothing ("delete").

        Older checkpoints stay where a DeltaChannel of the newest is still made up from their writes.
        """
        threads = [str(thread) for thread in thread_ids]
        if strategy in ("delete", "delete_all"):  # the second is what LangGraph's own server says
            self._engine.carry_out(DeleteThreads(threads))
        elif strategy == "keep_latest":
            self._engine.carry_out(KeepLatest(threads, self._engine.codec, self._engine.unpack))
        else:
            raise ValueError(f"{strategy!r} is no strategy: use 'keep_latest' or 'delete'.")
        for thread in threads:
            self._engine.caches.forget(thread)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Of each thread keep the newest checkpoint of every namespace ("keep_latest"), or nothing ("delete")."""
        await asyncio.to_thread(self.prune, thread_ids, strategy=strategy)

    def sweep(self, older_than: timedelta) -> int:
        """Delete the threads that were not written for so long and that nobody has a lease of; returns how many."""
        return int(self._engine.carry_out(Sweep(older_than.total_seconds())))

    async def asweep(self, older_than: timedelta) -> int:
        """Delete the threads that were not written for so long and that nobody has a lease of; returns how many."""
        return await asyncio.to_thread(self.sweep, older_than)

    def stats(self) -> SaverStats:
        """What is in the file."""
        with self._engine.view() as connection:
            return _stats(connection, self._engine.database)

    def check(self) -> Sequence[str]:
        """What is wrong with the file, one line each: SQLite's own check, and every checkpoint read to the end."""
        with self._engine.view() as connection:
            return _check(connection, self._engine.codec, self._engine.unpack)

    def backup(self, target: Path | str) -> None:
        """Copy the file, as it is now, into a new one, while others go on writing."""
        with self._engine.view() as connection:
            _backup(connection, Path(target))


class _Maintenance:
    """A change that tells nothing to objects in memory."""

    frees_space = True

    def undo(self) -> None:
        """Nothing was told."""


@dataclass(frozen=True)
class DeleteThreads(_Maintenance):
    """Deletes everything of some threads."""

    names: Sequence[str]

    def apply(self, transaction: Transaction) -> None:
        for name in self.names:
            _delete_thread(transaction, name)


@dataclass(frozen=True)
class Sweep(_Maintenance):
    """Deletes the threads that were not written for so many seconds, unless somebody holds them."""

    seconds: float

    def apply(self, transaction: Transaction) -> int:
        names = transaction.execute(
            "SELECT name FROM saver_threads WHERE touched_at < ? AND owner_until < ?",
            (transaction.now - self.seconds, transaction.now),
        ).fetchall()
        for (name,) in names:
            _delete_thread(transaction, name)
        return len(names)


@dataclass(frozen=True)
class CopyThread(_Maintenance):
    """Copies a thread into one that is empty."""

    frees_space = False
    source: str
    target: str

    def apply(self, transaction: Transaction) -> None:
        """Copy its rows: what they say of each other holds in any thread."""
        source = transaction.thread(self.source, create=False)
        if source is None:
            return
        target = transaction.thread(self.target, create=False)
        filled = "SELECT 1 FROM saver_checkpoints WHERE thread = ?"
        if target is not None and transaction.execute(filled, (target.no,)).fetchone():
            raise ThreadNotEmpty(self.target)
        target = transaction.thread(self.target)
        assert target is not None
        shift = target.no - source.no << NUMBER_BITS
        rows = rows_of(source.no)
        transaction.execute(
            "INSERT INTO saver_pieces SELECT id + ?, body FROM saver_pieces WHERE id BETWEEN ? AND ?", (shift, *rows)
        )
        transaction.execute(
            "INSERT INTO saver_checkpoints SELECT id + ?, ?, ns, checkpoint_id, parent_id, run, head, metadata"
            " FROM saver_checkpoints WHERE id BETWEEN ? AND ?",
            (shift, target.no, *rows),
        )
        transaction.execute(
            "INSERT INTO saver_writes SELECT id + ?, checkpoint + ?, task_id, body"
            " FROM saver_writes WHERE id BETWEEN ? AND ?",
            (shift, shift, *rows),
        )
        target.next, target.era, target.is_changed = source.next, target.era + 1, True


@dataclass(frozen=True)
class DeleteRuns(_Maintenance):
    """Deletes the checkpoints that some runs made."""

    runs: Mapping[str, bytes]
    codec: RowCodec
    unpack: Unpack

    def apply(self, transaction: Transaction) -> None:
        """Delete them, with their writes and the pieces that nothing else refers to."""
        found: dict[str, list[int]] = {}
        for run, digest in self.runs.items():
            query = (
                "SELECT t.name, c.id FROM saver_checkpoints c JOIN saver_threads t ON t.no = c.thread WHERE c.run = ?"
            )
            for name, row_id in transaction.execute(query, (digest,)).fetchall():
                row = ThreadReader(transaction.connection, name, self.codec, self.unpack).row(row_id)
                if row is not None and str(row.metadata.get("run_id")) == run:
                    found.setdefault(name, []).append(row_id)
        for name, rows in found.items():
            _delete_checkpoints(transaction, name, rows, self.codec, self.unpack)


@dataclass(frozen=True)
class KeepLatest(_Maintenance):
    """Deletes all but the newest checkpoint of each namespace, and what that one is still made up from."""

    names: Sequence[str]
    codec: RowCodec
    unpack: Unpack

    def apply(self, transaction: Transaction) -> None:
        """Delete the older ones, with their writes and the pieces that nothing else refers to."""
        for name in self.names:
            thread = transaction.thread(name, create=False)
            if thread is None:
                continue
            reader = ThreadReader(transaction.connection, name, self.codec, self.unpack)
            kept: set[int] = set()
            newest: dict[str, str] = {}
            for (ns,) in transaction.execute(
                "SELECT DISTINCT ns FROM saver_checkpoints WHERE thread = ?", (thread.no,)
            ).fetchall():
                row = reader.find(ns, None)
                if row is not None:
                    newest[ns] = row.checkpoint_id
                    kept |= _lineage(reader, row)
            rows = transaction.execute(
                "SELECT id, ns, checkpoint_id, head IS NULL FROM saver_checkpoints WHERE thread = ?", (thread.no,)
            ).fetchall()
            dead = [
                row_id
                for row_id, ns, checkpoint_id, is_coming in rows
                if row_id not in kept and not (is_coming and checkpoint_id > newest.get(ns, ""))
            ]
            if dead:
                _delete_checkpoints(transaction, name, dead, self.codec, self.unpack)


def _stats(connection: sqlite3.Connection, database: Path) -> SaverStats:
    """What is in the file."""

    def count(query: str) -> int:
        return int(connection.execute(query).fetchone()[0])

    page = count("PRAGMA page_size")
    files, is_in_memory = (database, Path(f"{database}-wal")), str(database) == IN_MEMORY
    largest = connection.execute(
        "SELECT t.name, (SELECT count(*) FROM saver_checkpoints c WHERE c.thread = t.no AND c.head IS NOT NULL), s.size"
        " FROM saver_threads t JOIN (SELECT id >> 32 AS no, sum(length(body)) AS size FROM saver_pieces GROUP BY 1) s"
        " ON s.no = t.no ORDER BY s.size DESC LIMIT ?",
        (_LARGEST,),
    ).fetchall()
    return SaverStats(
        size=count("PRAGMA page_count") * page if is_in_memory else sum(f.stat().st_size for f in files if f.exists()),
        free=count("PRAGMA freelist_count") * page,
        threads=count("SELECT count(*) FROM saver_threads"),
        checkpoints=count("SELECT count(*) FROM saver_checkpoints WHERE head IS NOT NULL"),
        writes=count("SELECT count(*) FROM saver_writes"),
        pieces=count("SELECT count(*) FROM saver_pieces"),
        encrypted=count("SELECT count(*) FROM saver_meta WHERE key = 'proof'") > 0,
        schema=count("SELECT value FROM saver_meta WHERE key = 'schema'"),
        largest=tuple((name, checkpoints, size) for name, checkpoints, size in largest),
    )


def _check(connection: sqlite3.Connection, codec: RowCodec, unpack: Unpack) -> list[str]:
    """What is wrong: SQLite's own check, then every checkpoint and write read to the end."""
    problems = [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
    strays = "SELECT count(*) FROM {0} WHERE id >> 32 NOT IN (SELECT no FROM saver_threads)"
    for table in _TABLES:
        (count,) = connection.execute(strays.format(table)).fetchone()
        if count:
            problems.append(f"{count} rows of {table} belong to no thread")
    for name, row_id in list_rows(connection, None, None, None, None):
        reader = ThreadReader(connection, name, codec, unpack)
        try:
            row = reader.row(row_id)
            if row is not None:
                reader.values(row.values), reader.rest(row.rest), reader.pending_writes(row.id)
        except _UNREADABLE as error:
            problems.append(f"a checkpoint of thread {name!r} cannot be read: {error}")
    coming = "SELECT t.name, c.id FROM saver_checkpoints c JOIN saver_threads t ON t.no = c.thread WHERE c.head IS NULL"
    for name, row_id in connection.execute(coming).fetchall():
        try:
            ThreadReader(connection, name, codec, unpack).pending_writes(row_id)
        except _UNREADABLE as error:
            problems.append(f"writes of thread {name!r} cannot be read: {error}")
    return problems


def _backup(connection: sqlite3.Connection, target: Path) -> None:
    """Copy the whole file into a new one, which says of itself that it is a copy: the original may go on."""
    if target.exists():
        raise DatabaseUnusable(str(target), "it is there already, and a backup replaces nothing")
    copy = sqlite3.connect(target)
    try:
        connection.backup(copy)
        if copy.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (LEDGER_TABLE,)).fetchone():
            with copy:
                copy.execute("INSERT OR REPLACE INTO ledger_meta (key, value) VALUES (?, ?)", (COPIED_AT, now()))
    finally:
        copy.close()


def _lineage(reader: ThreadReader, newest: Row) -> set[int]:
    """The rows that must stay for the newest to be read: its own, and what its DeltaChannels are made up from."""
    kept = {newest.id}
    missing = set(newest.metadata.get("counters_since_delta_snapshot") or ()) - set(reader.channels(newest))
    row: Row | None = newest
    while missing and row is not None and row.parent_id is not None:
        row = reader.find(row.ns, row.parent_id)
        if row is not None:
            kept.add(row.id)
            missing -= set(reader.channels(row))
    return kept


def _delete_thread(transaction: Transaction, name: str) -> None:
    thread = transaction.thread(name, create=False)
    if thread is None:
        return
    for table in _TABLES:
        transaction.execute(f"DELETE FROM {table} WHERE id BETWEEN ? AND ?", rows_of(thread.no))
    transaction.execute("DELETE FROM saver_threads WHERE no = ?", (thread.no,))
    transaction.forget(name)


def _delete_checkpoints(transaction: Transaction, name: str, rows: list[int], codec: RowCodec, unpack: Unpack) -> None:
    """Delete these rows with their writes, then the thread's pieces that nothing refers to any more."""
    thread = transaction.thread(name, create=False)
    if thread is None:
        return
    dead = json.dumps(rows)
    some = "IN (SELECT value FROM json_each(?))"
    transaction.execute(f"DELETE FROM saver_writes WHERE checkpoint {some}", (dead,))
    transaction.execute(f"DELETE FROM saver_checkpoints WHERE id {some}", (dead,))
    reader = ThreadReader(transaction.connection, name, codec, unpack)
    left = [
        row
        for _, row_id in list_rows(transaction.connection, name, None, None, None)
        if (row := reader.row(row_id)) is not None
    ]
    coming = transaction.execute(
        "SELECT id FROM saver_checkpoints WHERE thread = ? AND head IS NULL", (thread.no,)
    ).fetchall()
    alive = reader.reachable(left, [row_id for (row_id,) in coming])
    transaction.execute(
        "DELETE FROM saver_pieces WHERE id BETWEEN ? AND ? AND id & ? NOT IN (SELECT value FROM json_each(?))",
        (*rows_of(thread.no), MOST_NUMBER, json.dumps(sorted(alive))),
    )
    thread.era, thread.is_changed = thread.era + 1, True
