"""Reading rows: those of one thread, and which threads there are."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ormsgpack
from langgraph.checkpoint.base import DeltaChannelHistory, PendingWrite, writes_sort_key

from signoff.checkpoints.db.sqlite import is_there, reading_address, unusable
from signoff.checkpoints.saver.encoding.decoding import Decoder, Part, Unpack
from signoff.checkpoints.saver.encoding.delta import StoredContainer
from signoff.checkpoints.saver.encoding.encryption import RowCodec, place_of, place_of_writes
from signoff.checkpoints.saver.schema import MOST_NUMBER, NUMBER_BITS, is_present, row_id

_COLUMNS = "c.id, c.ns, c.checkpoint_id, c.parent_id, c.run, c.head, c.metadata, t.no, t.era"
_NO_TASK = "00000000-0000-0000-0000-000000000000"
"""Under this LangGraph keeps what a caller answers or changes; it is added to, and written anew each time."""
_ROWS = f"SELECT {_COLUMNS} FROM saver_checkpoints c JOIN saver_threads t ON t.no = c.thread WHERE "


@dataclass(frozen=True, slots=True)
class Row:
    """A checkpoint's row: what stands for its channels' values and for the rest of it."""

    id: int
    ns: str
    checkpoint_id: str
    parent_id: str | None
    values: Part
    rest: Part
    metadata: Any
    place: tuple[int, int]  # number and era of the thread


class ThreadReader:
    """One thread's rows, in the view of one transaction."""

    def __init__(
        self, connection: sqlite3.Connection, thread: str, codec: RowCodec, unpack: Unpack, *, many: bool = False
    ) -> None:
        self._connection, self._thread, self._codec, self._unpack = connection, thread, codec, unpack
        self._no = 0
        self._decoder = Decoder(self._fetch, unpack, many=many)

    def reopen(self, connection: sqlite3.Connection) -> None:
        """Go on in the view of another transaction: pieces never change."""
        self._connection = connection

    def find(self, ns: str, checkpoint_id: str | None) -> Row | None:
        """The checkpoint with this id, or the newest of the namespace."""
        query, values = _ROWS + "t.name = ? AND c.ns = ? AND c.head IS NOT NULL", [self._thread, ns]
        if checkpoint_id is None:
            query += " ORDER BY c.checkpoint_id DESC LIMIT 1"
        else:
            query, values = query + " AND c.checkpoint_id = ?", [*values, checkpoint_id]
        return self._row(self._connection.execute(query, values).fetchone())

    def row(self, row_id: int) -> Row | None:
        """The checkpoint in this row; None if it was deleted meanwhile."""
        return self._row(self._connection.execute(_ROWS + "c.id = ? AND c.head IS NOT NULL", (row_id,)).fetchone())

    def values(self, part: Part) -> dict[str, Any]:
        return self._decoder.values(part)

    def rest(self, part: Part) -> dict[str, Any]:
        """What a checkpoint holds beside its values, which is one payload if it is small."""
        rest: dict[str, Any] = self._decoder.value(part)
        return rest

    def container(self, part: Part) -> tuple[StoredContainer, int]:
        """The dict that this stands for, as it is stored, and how many items it has at any depth."""
        container = self._decoder.container(part)
        return container, self._decoder.count

    def pending_writes(self, checkpoint: int) -> list[PendingWrite]:
        """The writes beside a checkpoint, in the order in which a run applies them."""
        found = [(task, channel, part, path, at) for task, at, channel, part, path in self._writes(checkpoint)]
        found.sort(key=lambda write: writes_sort_key(write[3], write[0], write[4]))
        return [(task, channel, self._decoder.value(part)) for task, channel, part, _, _ in found]

    def delta_history(
        self, ns: str, checkpoint_id: str | None, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """For each channel, the writes since the nearest ancestor with a value of it, oldest first, and that value."""
        newest_first: dict[str, list[PendingWrite]] = {channel: [] for channel in channels}
        seeds: dict[str, Any] = {}
        row = self.find(ns, checkpoint_id)
        parent_id = None if row is None else row.parent_id
        while parent_id is not None and len(seeds) < len(newest_first):
            row = self.find(ns, parent_id)
            if row is None:
                break
            for write in reversed(self.pending_writes(row.id)):
                if write[1] in newest_first and write[1] not in seeds:
                    newest_first[write[1]].append(write)
            wanted = [channel for channel in newest_first if channel not in seeds]
            seeds |= self._decoder.values(row.values, only=wanted)
            parent_id = row.parent_id
        history: dict[str, DeltaChannelHistory] = {}
        for channel, writes in newest_first.items():
            history[channel] = {"writes": writes[::-1]}
            if channel in seeds:
                history[channel]["seed"] = seeds[channel]
        return history

    def channels(self, row: Row) -> list[str]:
        return self._decoder.keys(row.values)

    def reachable(self, rows: Sequence[Row], coming: Sequence[int]) -> set[int]:
        """The numbers of all pieces of these checkpoints, of their writes, and of the writes of these other rows."""
        parts = [part for row in rows for part in (row.values, row.rest)]
        for identity in [row.id for row in rows] + list(coming):
            parts += [part for _, _, _, part, _ in self._writes(identity)]
        return self._decoder.reachable(parts)

    def _row(self, found: tuple[Any, ...] | None) -> Row | None:
        if found is None:
            return None
        identity, ns, checkpoint_id, parent_id, run, head, metadata, no, era = found
        place = place_of(ns, checkpoint_id, parent_id, run)
        self._no = no
        values, rest = ormsgpack.unpackb(self._codec.decode(head, f"head:{place}"))
        facts = self._unpack(self._codec.decode(metadata, f"metadata:{place}"))
        return Row(identity, ns, checkpoint_id, parent_id, values, rest, facts, (no, era))

    def _writes(self, checkpoint: int) -> Iterator[tuple[str, int, str, Part, str]]:
        """Task, index, channel, value and path of each write that counts: of special ones the last, else the first.

        Where two processes did the same task and it came to something else, those of the first count and none of the
        second: a mixture would be the work of nobody, and LangGraph cannot go on from one that names a channel twice.
        """
        query = "SELECT id, task_id, body FROM saver_writes WHERE checkpoint = ? ORDER BY id"
        found: dict[tuple[str, int], tuple[str, int, str, Part, str]] = {}
        for identity, task_id, body in self._connection.execute(query, (checkpoint,)):
            number = identity & MOST_NUMBER
            path, *rest = ormsgpack.unpackb(self._codec.decode(body, place_of_writes(number, checkpoint, task_id)))
            writes = list(zip(rest[::3], rest[1::3], rest[2::3], strict=True))
            is_another = task_id != _NO_TASK and any(
                index >= 0 and (task_id, index) in found and found[task_id, index][2] != channel
                for index, channel, _ in writes
            )
            for index, channel, part in writes:
                if index < 0 or not (is_another or (task_id, index) in found):
                    found[task_id, index] = (task_id, index, channel, part, path)
        self._no = checkpoint >> NUMBER_BITS
        return iter(found.values())

    def _fetch(self, numbers: Collection[int]) -> Mapping[int, bytes]:
        wanted = json.dumps([row_id(self._no, number) for number in numbers])
        query = "SELECT id, body FROM saver_pieces WHERE id IN (SELECT value FROM json_each(?))"
        bodies = {}
        for identity, body in self._connection.execute(query, (wanted,)):
            number = identity & MOST_NUMBER
            bodies[number] = self._codec.decode(body, f"piece:{number}")
        if len(bodies) != len(numbers):
            missing = min(set(numbers) - bodies.keys())
            raise sqlite3.DatabaseError(f"piece {missing} of thread {self._thread!r} is missing; restore a backup")
        return bodies


def list_rows(
    connection: sqlite3.Connection, thread: str | None, ns: str | None, checkpoint_id: str | None, before: str | None
) -> list[tuple[str, int]]:
    """Thread and row of all checkpoints that are meant, newest first."""
    conditions, values = ["c.head IS NOT NULL"], []
    for condition, value in (
        ("t.name = ?", thread),
        ("c.ns = ?", ns),
        ("c.checkpoint_id = ?", checkpoint_id),
        ("c.checkpoint_id < ?", before),
    ):
        if value is not None:
            conditions.append(condition)
            values.append(value)
    query = (
        "SELECT t.name, c.id FROM saver_checkpoints c JOIN saver_threads t ON t.no = c.thread WHERE "
        f"{' AND '.join(conditions)} ORDER BY c.checkpoint_id DESC, c.id DESC"
    )
    return connection.execute(query, values).fetchall()


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
    if not is_there(database):
        return []
    try:
        with closing(sqlite3.connect(reading_address(database), uri=True, timeout=_BUSY_SECONDS)) as connection:
            return connection.execute(query, values).fetchall() if is_present(connection) else []
    except sqlite3.Error as error:
        raise unusable(database, error) from error
