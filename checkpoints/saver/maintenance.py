"""Deleting, copying and looking after what is stored."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path

from signoff.checkpoints.canonical import now
from signoff.checkpoints.db.sqlite import COPIED_AT, IN_MEMORY, LEDGER_TABLE
from signoff.checkpoints.errors import DatabaseUnusable, ThreadNotEmpty
from signoff.checkpoints.saver.commands import run_digest
from signoff.checkpoints.saver.file_saver import FileSaver, in_thread
from signoff.checkpoints.saver.rows import ReaderOf, Row, ThreadReader
from signoff.checkpoints.saver.schema import MOST_NUMBER, NUMBER_BITS, rows_of
from signoff.checkpoints.saver.writer import Transaction
from signoff.error_base import SignoffError

_OF_THREADS = {
    "saver_checkpoints": "ns, checkpoint_id, parent_id, run, head, metadata",
    "saver_writes": "ns, checkpoint_id, number, task_id, body",
}
"""Tables whose rows name their thread, and their other columns."""
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


class MaintainedSaver(FileSaver):
    """What a saver does for whoever looks after it."""

    def delete_thread(self, thread_id: str) -> None:
        """Delete everything of a thread; its space goes back to the file system."""
        self.prune([thread_id], strategy="delete")

    adelete_thread = in_thread(delete_thread)

    def delete_for_runs(self, run_ids: Sequence[str]) -> None:
        """Delete the checkpoints that these runs made, with their writes."""
        if run_ids:
            self._carry_out(partial(_delete_runs, list(map(str, run_ids)), self._reader_of))

    adelete_for_runs = in_thread(delete_for_runs)

    def copy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        """Copy everything of a thread into one that is empty, else ThreadNotEmpty is raised."""
        self._carry_out(partial(_copy_thread, str(source_thread_id), str(target_thread_id)))

    acopy_thread = in_thread(copy_thread)

    def prune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Of each thread keep the newest checkpoint of every namespace ("keep_latest"), or nothing ("delete").

        Older checkpoints stay where a DeltaChannel of the newest is still made up from their writes.
        """
        threads = [str(thread) for thread in thread_ids]
        if strategy in ("delete", "delete_all"):  # the second is what LangGraph's own server says
            self._carry_out(partial(_delete_threads, threads))
        elif strategy == "keep_latest":
            self._carry_out(partial(_keep_latest, threads, self._reader_of))
        else:
            raise ValueError(f"{strategy!r} is no strategy: use 'keep_latest' or 'delete'.")

    aprune = in_thread(prune)

    def sweep(self, older_than: timedelta) -> int:
        """Delete the threads that were not written for so long and that nobody has a lease of; returns how many."""
        return int(self._carry_out(partial(sweep, older_than.total_seconds())))

    asweep = in_thread(sweep)

    def stats(self) -> SaverStats:
        """What is in the file."""

        def count(query: str) -> int:
            return int(connection.execute(query).fetchone()[0])

        with self._view() as connection:
            files = [file for file in (self.database, Path(f"{self.database}-wal")) if file.exists()]
            page = count("PRAGMA page_size")
            in_memory = count("PRAGMA page_count") * page if str(self.database) == IN_MEMORY else 0
            largest = connection.execute(
                "SELECT t.name, count(*), sum(length(c.head) + length(c.metadata)) + coalesce(s.size, 0)"
                " FROM saver_threads t JOIN saver_checkpoints c ON c.thread = t.no LEFT JOIN"
                " (SELECT id >> 32 AS no, sum(length(body)) AS size FROM saver_pieces GROUP BY 1) s ON s.no = t.no"
                " GROUP BY t.no ORDER BY 3 DESC LIMIT ?",
                (_LARGEST,),
            ).fetchall()
            return SaverStats(
                size=in_memory or sum(file.stat().st_size for file in files),
                free=count("PRAGMA freelist_count") * page,
                threads=count("SELECT count(*) FROM saver_threads"),
                checkpoints=count("SELECT count(*) FROM saver_checkpoints"),
                writes=count("SELECT count(*) FROM saver_writes"),
                pieces=count("SELECT count(*) FROM saver_pieces"),
                encrypted=count("SELECT count(*) FROM saver_meta WHERE key = 'proof'") > 0,
                schema=count("SELECT value FROM saver_meta WHERE key = 'schema'"),
                largest=tuple((name, checkpoints, size) for name, checkpoints, size in largest),
            )

    def check(self) -> Sequence[str]:
        """What is wrong with the file, one line each: SQLite's own check, and every checkpoint read to the end."""
        with self._view() as connection:
            problems = [line for (line,) in connection.execute("PRAGMA integrity_check") if line != "ok"]
            for table, owner in (("saver_pieces", "id >> 32"), *((table, "thread") for table in _OF_THREADS)):
                strays = f"SELECT count(*) FROM {table} WHERE {owner} NOT IN (SELECT no FROM saver_threads)"
                (count,) = connection.execute(strays).fetchone()
                if count:
                    problems.append(f"{count} rows of {table} belong to no thread")
            for no, name in connection.execute("SELECT no, name FROM saver_threads").fetchall():
                for ns, checkpoint_id, is_coming in _places_of(connection, no):
                    reader = self._reader_of(connection, name)
                    try:
                        row = None if is_coming else reader.find(ns, checkpoint_id)
                        if row is not None:
                            reader.read(row).unpacked(name)
                        else:
                            reader.pending_writes(no, ns, checkpoint_id)
                    except _UNREADABLE as error:
                        kind = "writes" if is_coming else "a checkpoint"
                        problems.append(f"{kind} of thread {name!r} cannot be read: {error}")
            return problems

    def backup(self, target: Path | str) -> None:
        """Copy the file, as it is now, into a new one, while others go on writing.

        The copy says of itself that it is one: the original may go on.
        """
        if Path(target).exists():
            raise DatabaseUnusable(str(target), "it is there already, and a backup replaces nothing")
        with self._view() as connection, closing(sqlite3.connect(target)) as copy:
            connection.backup(copy)
            if copy.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (LEDGER_TABLE,)).fetchone():
                with copy:
                    copy.execute("INSERT OR REPLACE INTO ledger_meta (key, value) VALUES (?, ?)", (COPIED_AT, now()))


def _delete_threads(names: Sequence[str], transaction: Transaction) -> None:
    """Delete everything of these threads."""
    transaction.frees_space = True
    for name in names:
        thread = transaction.thread(name, create=False)
        if thread is None:
            continue
        for table in _OF_THREADS:
            transaction.execute(f"DELETE FROM {table} WHERE thread = ?", (thread.no,))
        transaction.execute("DELETE FROM saver_pieces WHERE id BETWEEN ? AND ?", rows_of(thread.no))
        transaction.execute("DELETE FROM saver_threads WHERE no = ?", (thread.no,))
        transaction.forget(name)


def sweep(seconds: float, transaction: Transaction) -> int:
    """Delete the threads that were not written for so many seconds, unless somebody holds them; how many those are."""
    found = transaction.execute(
        "SELECT name FROM saver_threads WHERE touched_at < ? AND owner_until < ?",
        (transaction.now - seconds, transaction.now),
    ).fetchall()
    _delete_threads([name for (name,) in found], transaction)
    return len(found)


def _copy_thread(source_name: str, target_name: str, transaction: Transaction) -> None:
    """Copy a thread's rows into one that is empty: what they say of each other holds in any thread."""
    source = transaction.thread(source_name, create=False)
    if source is None:
        return
    target = transaction.thread(target_name, create=False)
    filled = "SELECT 1 FROM saver_checkpoints WHERE thread = ?"
    if target is not None and transaction.execute(filled, (target.no,)).fetchone():
        raise ThreadNotEmpty(target_name)
    target = transaction.thread(target_name)
    assert target is not None
    transaction.execute(
        "INSERT INTO saver_pieces SELECT id + ?, body FROM saver_pieces WHERE id BETWEEN ? AND ?",
        (target.no - source.no << NUMBER_BITS, *rows_of(source.no)),
    )
    for table, columns in _OF_THREADS.items():
        transaction.execute(
            f"INSERT INTO {table} SELECT ?, {columns} FROM {table} WHERE thread = ?", (target.no, source.no)
        )
    target.next = source.next
    transaction.invalidate(target)


def _delete_runs(runs: Sequence[str], reader_of: ReaderOf, transaction: Transaction) -> None:
    """Delete the checkpoints that these runs made, with their writes and the pieces that nothing else refers to."""
    found: dict[str, list[tuple[str, str]]] = {}
    query = (
        "SELECT t.name, c.ns, c.checkpoint_id FROM saver_checkpoints c"
        " JOIN saver_threads t ON t.no = c.thread WHERE c.run = ?"
    )
    for run in runs:
        for name, ns, checkpoint_id in transaction.execute(query, (run_digest(run),)).fetchall():
            reader = reader_of(transaction.connection, name)
            row = reader.find(ns, checkpoint_id)
            if row is not None and str(reader.metadata(row).get("run_id")) == run:
                found.setdefault(name, []).append((ns, checkpoint_id))
    for name, dead in found.items():
        _delete_checkpoints(transaction, name, dead, reader_of)


def _keep_latest(names: Sequence[str], reader_of: ReaderOf, transaction: Transaction) -> None:
    """Delete all but the newest checkpoint of each namespace, and what that one is still made up from."""
    for name in names:
        thread = transaction.thread(name, create=False)
        if thread is None:
            continue
        reader = reader_of(transaction.connection, name)
        kept: set[tuple[str, str]] = set()
        newest: dict[str, str] = {}
        places = _places_of(transaction.connection, thread.no)
        for ns in {ns for ns, _, _ in places}:
            row = reader.find(ns, None)
            if row is not None:
                newest[ns] = row.checkpoint_id
                kept |= {(ns, checkpoint_id) for checkpoint_id in _lineage(reader, row)}
        dead = [
            (ns, checkpoint_id)
            for ns, checkpoint_id, is_coming in places
            if (ns, checkpoint_id) not in kept and not (is_coming and checkpoint_id > newest.get(ns, ""))
        ]
        if dead:
            _delete_checkpoints(transaction, name, dead, reader_of)


def _places_of(connection: sqlite3.Connection, thread: int) -> list[tuple[str, str, bool]]:
    """Namespace and id of each checkpoint of a thread, and of those of which only writes are here so far (True)."""
    return [
        (ns, checkpoint_id, bool(is_coming))
        for ns, checkpoint_id, is_coming in connection.execute(
            "SELECT ns, checkpoint_id, min(coming) FROM (SELECT ns, checkpoint_id, 0 AS coming FROM saver_checkpoints"
            " WHERE thread = ? UNION SELECT ns, checkpoint_id, 1 FROM saver_writes WHERE thread = ?) GROUP BY 1, 2",
            (thread, thread),
        )
    ]


def _names(reader: ThreadReader, row: Row) -> set[str]:
    """The channels that have a value."""
    large, plain = reader.channels(row)
    return large.keys() | plain.keys()


def _lineage(reader: ThreadReader, newest: Row) -> set[str]:
    """The checkpoints that must stay for the newest to be read: itself, and what its DeltaChannels are made up from."""
    kept = {newest.checkpoint_id}
    missing = set(reader.metadata(newest).get("counters_since_delta_snapshot") or ()) - _names(reader, newest)
    row: Row | None = newest
    while missing and row is not None and row.parent_id is not None:
        row = reader.find(row.ns, row.parent_id)
        if row is not None:
            kept.add(row.checkpoint_id)
            missing -= _names(reader, row)
    return kept


def _delete_checkpoints(
    transaction: Transaction, name: str, dead: Sequence[tuple[str, str]], reader_of: ReaderOf
) -> None:
    """Delete these checkpoints with their writes, then the thread's pieces that nothing refers to any more."""
    thread = transaction.thread(name, create=False)
    if thread is None:
        return
    transaction.frees_space = True
    for table in _OF_THREADS:
        transaction.executemany(
            f"DELETE FROM {table} WHERE thread = ? AND ns = ? AND checkpoint_id = ?",
            [(thread.no, ns, checkpoint_id) for ns, checkpoint_id in dead],
        )
    places = _places_of(transaction.connection, thread.no)
    alive = reader_of(transaction.connection, name).needed(thread.no, places)
    transaction.execute(
        "DELETE FROM saver_pieces WHERE id BETWEEN ? AND ? AND id & ? NOT IN (SELECT value FROM json_each(?))",
        (*rows_of(thread.no), MOST_NUMBER, json.dumps(sorted(alive))),
    )
    transaction.invalidate(thread)
