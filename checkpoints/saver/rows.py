"""Reading rows: those of one thread, and which threads there are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import ormsgpack
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, DeltaChannelHistory, PendingWrite, writes_sort_key

from signoff.checkpoints.db.sqlite import is_there, reading_address, unusable
from signoff.checkpoints.saver.encoding.encryption import RowCodec, place_of, place_of_writes
from signoff.checkpoints.saver.encoding.payload import Payloads
from signoff.checkpoints.saver.encoding.rebuilding import UNPACK
from signoff.checkpoints.saver.encoding.streams import MARK, REFERENCE, Buffer, Stream, load
from signoff.checkpoints.saver.schema import MOST_NUMBER, NUMBER_BITS, is_present, row_id
from signoff.checkpoints.saver.thread_memory import REST, VALUES, Streams

Head = bytes | list[Any]
"""What stands for bytes: they, or how they begin, how often references are looked up, and references to chunks."""

_HELD = (
    "CASE typeof({0}) WHEN 'blob' THEN {0} ELSE ifnull((SELECT body FROM saver_pieces WHERE id = {1} + {0}), x'') END"
)
"""A body that stands in its row, or is the piece whose number does."""
_HEAD = _HELD.format("c.head", f"(c.thread << {NUMBER_BITS})")
_BODY = _HELD.format("w.body", f"(w.thread << {NUMBER_BITS})")
_IS_WRITTEN_TO = (
    "EXISTS (SELECT 1 FROM saver_writes w WHERE (w.thread, w.ns, w.checkpoint_id) = (t.no, c.ns, c.checkpoint_id))"
)
_COLUMNS = f"t.no, c.ns, c.checkpoint_id, c.parent_id, c.run, {_HEAD}, c.metadata, {_IS_WRITTEN_TO}"
_NO_TASK = "00000000-0000-0000-0000-000000000000"
"""Under this LangGraph keeps what a caller answers or changes; it is added to, and written anew each time."""
_ROWS: Final = (
    f"SELECT {_COLUMNS} FROM saver_checkpoints c JOIN saver_threads t ON t.no = c.thread WHERE t.name = ? AND c.ns = ?"
)
_NEWEST: Final = f"{_ROWS} ORDER BY c.checkpoint_id DESC LIMIT 1"
_NAMED: Final = f"{_ROWS} AND c.checkpoint_id = ?"
_WRITES: Final = (
    f"SELECT number, task_id, {_BODY} FROM saver_writes w WHERE thread = ? AND ns = ? AND checkpoint_id = ?"
    " ORDER BY number"
)
_PIECES: Final = "SELECT p.id, p.body FROM json_each(?) wanted CROSS JOIN saver_pieces p ON p.id = wanted.value"
_MOST_HELD: Final = 64 * 2**20


class Row(NamedTuple):
    """A checkpoint's row: what stands for its channels' values and for the rest of it, and its metadata, packed."""

    thread: int
    ns: str
    checkpoint_id: str
    parent_id: str | None
    values: Head
    rest: Head
    metadata: Buffer
    is_written_to: bool
    """Whether tasks wrote something beside it."""


class Stored(NamedTuple):
    """All that is stored of a checkpoint, packed: nothing more is asked of the file to have its values."""

    payloads: Payloads
    row: Row
    rest: bytes
    plain: bytes
    """The small channels, in one."""
    channels: dict[str, bytes]
    writes: list[tuple[str, str, bytes]]
    """Task, channel and value of each write that counts."""

    def unpacked(self, thread: Any) -> CheckpointTuple:
        """The checkpoint; `thread` is its id as the caller has it."""
        payloads, row = self.payloads, self.row
        unpack = payloads.unpack
        checkpoint = payloads.unpack_facts(self.rest)
        checkpoint["id"] = row.checkpoint_id
        checkpoint["channel_values"] = values = ormsgpack.unpackb(self.plain, option=UNPACK)
        for name, body in self.channels.items():
            values[name] = unpack(body)
        place = {"thread_id": thread, "checkpoint_ns": row.ns}
        parent = None if row.parent_id is None else {"configurable": {**place, "checkpoint_id": row.parent_id}}
        return CheckpointTuple(
            {"configurable": {**place, "checkpoint_id": row.checkpoint_id}},
            checkpoint,
            payloads.unpack_facts(row.metadata),
            cast(RunnableConfig | None, parent),
            [(task, channel, unpack(body)) for task, channel, body in self.writes],
        )


class ThreadReader:
    """One thread's rows, in the view of one transaction, or of one after the other: pieces never change, and what was
    read of them is kept for as long as the reader is."""

    def __init__(self, connection: sqlite3.Connection, name: str, codec: RowCodec, payloads: Payloads) -> None:
        self.connection, self._name, self._codec, self._payloads = connection, name, codec, payloads
        self._no = self._held = 0
        self._rows: dict[int, memoryview] = {}

    def find(self, ns: str, checkpoint_id: str | None) -> Row | None:
        """The checkpoint with this id, or the newest of the namespace."""
        execute = self.connection.execute
        which = (_NEWEST, (self._name, ns)) if checkpoint_id is None else (_NAMED, (self._name, ns, checkpoint_id))
        found = execute(*which).fetchone()
        if found is None:
            return None
        self._no, ns, checkpoint_id, parent_id, run, head, metadata, is_written_to = found
        place = place_of(ns, checkpoint_id or "", parent_id, run)
        entries, rest = ormsgpack.unpackb(self._codec.decode(head, f"head:{place}"))
        metadata = self._codec.decode(metadata, f"metadata:{place}")
        return Row(self._no, ns, checkpoint_id or "", parent_id, entries, rest, metadata, bool(is_written_to))

    def metadata(self, row: Row) -> Any:
        return self._payloads.unpack_facts(row.metadata)

    def read(self, row: Row) -> Stored:
        """All of a checkpoint."""
        values, rest = self.bodies((row.values, row.rest))
        entries, plain = ormsgpack.unpackb(values)
        writes = self._writes(row.thread, row.ns, row.checkpoint_id) if row.is_written_to else []
        bodies = self.bodies([*entries.values(), *[head for *_, head in writes]])
        channels = dict(zip(entries, bodies, strict=False))
        written = [(task, name, body) for (task, name, _), body in zip(writes, bodies[len(entries) :], strict=True)]
        return Stored(self._payloads, row, rest, plain, channels, written)

    def channels(self, row: Row) -> tuple[dict[str, Head], dict[str, Any]]:
        """What stands for the values of the channels, and the values of those that are small and plain."""
        entries, plain = ormsgpack.unpackb(self.bodies([row.values])[0])
        return entries, ormsgpack.unpackb(plain, option=UNPACK)

    def streams(self, ns: str, checkpoint_id: str) -> Streams:
        """What is known of a checkpoint that somebody else stored, without its values."""
        row = self.find(ns, checkpoint_id)
        if row is None:
            return {}
        heads: list[tuple[str | int, Head]] = [(VALUES, row.values), (REST, row.rest), *self.channels(row)[0].items()]
        return {name: self.stream(head) for name, head in heads if isinstance(head, list)}

    def pending_writes(self, thread: int, ns: str, checkpoint_id: str) -> list[PendingWrite]:
        """The writes beside a checkpoint, in the order in which a run applies them."""
        writes = self._writes(thread, ns, checkpoint_id)
        bodies = self.bodies([head for *_, head in writes])
        return [(task, name, self._payloads.unpack(body)) for (task, name, _), body in zip(writes, bodies, strict=True)]

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
            for write in reversed(self.pending_writes(row.thread, ns, row.checkpoint_id)):
                if write[1] in newest_first and write[1] not in seeds:
                    newest_first[write[1]].append(write)
            entries, plain = self.channels(row)
            seeds |= {name: plain[name] for name in newest_first if name not in seeds and name in plain}
            wanted = [channel for channel in newest_first if channel not in seeds and channel in entries]
            bodies = self.bodies([entries[channel] for channel in wanted])
            seeds |= {channel: self._payloads.unpack(body) for channel, body in zip(wanted, bodies, strict=True)}
            parent_id = row.parent_id
        history: dict[str, DeltaChannelHistory] = {}
        for channel, writes in newest_first.items():
            history[channel] = {"writes": writes[::-1]}
            if channel in seeds:
                history[channel]["seed"] = seeds[channel]
        return history

    def needed(self, no: int, places: Iterable[tuple[str, str, bool]]) -> set[int]:
        """The numbers of all pieces of these checkpoints, and of all writes beside them; `no` is the thread's."""
        self._no = no
        held = [
            f"SELECT {body} FROM saver_{table} WHERE thread = ? AND typeof({body}) = 'integer'"
            for table, body in (("checkpoints", "head"), ("writes", "body"))
        ]
        numbers = {number for (number,) in self.connection.execute(" UNION ALL ".join(held), (no, no))}
        for ns, checkpoint_id, is_coming in places:
            if not is_coming and (row := self.find(ns, checkpoint_id)) is not None:
                numbers |= self.numbers([row.values, row.rest, *self.channels(row)[0].values()])
            numbers |= self.numbers([head for *_, head in self._writes(no, ns, checkpoint_id, all_of_them=True)])
        return numbers

    def _writes(
        self, thread: int, ns: str, checkpoint_id: str, *, all_of_them: bool = False
    ) -> list[tuple[str, str, Head]]:
        """Task, channel and value of each write that counts, as they apply: of special ones the last, else the first.

        Where two processes did the same task and it came to something else, those of the first count and none of the
        second: a mixture would be the work of nobody, and LangGraph cannot go on from one that names a channel twice.
        """
        found: dict[tuple[str, int], tuple[str, int, str, Head, str]] = {}
        every: list[tuple[str, str, Head]] = []
        rows = self.connection.execute(_WRITES, (thread, ns, checkpoint_id)).fetchall()
        for number, task_id, body in rows:
            place = place_of_writes(number, ns, checkpoint_id, task_id)
            path, *rest = ormsgpack.unpackb(self._codec.decode(body, place))
            writes = list(zip(rest[::3], rest[1::3], rest[2::3], strict=True))
            every += [(task_id, channel, head) for _, channel, head in writes]
            is_another = task_id != _NO_TASK and any(
                index >= 0 and (task_id, index) in found and found[task_id, index][2] != channel
                for index, channel, _ in writes
            )
            for index, channel, head in writes:
                if index < 0 or not (is_another or (task_id, index) in found):
                    found[task_id, index] = (task_id, index, channel, head, path)
        self._no = thread
        if all_of_them:
            return every
        counting = sorted(found.values(), key=lambda write: writes_sort_key(write[4], write[0], write[1]))
        return [(task, channel, head) for task, _, channel, head, _ in counting]

    def bodies(self, heads: Sequence[Head]) -> Sequence[bytes]:
        """The bytes that these stand for; they are asked for together."""
        if list not in map(type, heads):
            return cast(Sequence[bytes], heads)
        chunks = iter(self._chunks([self._lists(head)[-1] for head in heads if type(head) is list]))
        return [b"".join([head[0], *next(chunks)]) if type(head) is list else cast(bytes, head) for head in heads]

    def stream(self, head: list[Any]) -> Stream:
        """What is known of bytes that somebody else stored."""
        made: Stream | None = None
        lists = self._lists(head)
        for references, chunks in zip(lists, self._chunks(lists), strict=True):
            made = load(head[0] if references is lists[-1] else b"", chunks, references, made)
        assert made is not None
        return made

    def numbers(self, heads: Iterable[Head]) -> set[int]:
        """The numbers of all rows that are needed for these."""
        lists = [references for head in heads if not isinstance(head, bytes) for references in self._lists(head)]
        return {key & MOST_NUMBER for references in lists for key, _, _ in REFERENCE.iter_unpack(references)}

    def _lists(self, head: list[Any]) -> list[bytes]:
        """Its list of references; where that is to what makes up a longer list, that one after it."""
        lists = [head[2]]
        for _ in range(head[1]):
            lists.append(b"".join(self._chunks(lists[-1:])[0]))
        return lists

    def _chunks(self, lists: Sequence[bytes]) -> list[list[memoryview]]:
        """What each of these lists refers to."""
        found = [list(REFERENCE.iter_unpack(references)) for references in lists]
        needed = {key for references in found for key, _, _ in references}
        if not self._rows.keys() >= needed:
            self._fetch(needed)
        rows = self._rows
        return [[rows[key][start : start + size] for key, start, size in references] for references in found]

    def _fetch(self, needed: set[int]) -> None:
        """Read those of these rows that were not yet, in one query."""
        if self._held > _MOST_HELD:
            self._rows, self._held = {}, 0
        rows, base, decode, mark_of = self._rows, row_id(self._no, 0), self._codec.decode, MARK.unpack_from
        wanted = str(sorted([base + (key & MOST_NUMBER) for key in needed.difference(rows)]))
        for identity, body in self.connection.execute(_PIECES, (wanted,)).fetchall():
            row = decode(body, identity - base)
            rows[mark_of(row)[0] << NUMBER_BITS | identity - base] = row[MARK.size :]
            self._held += len(body)
        for key in needed.difference(rows):
            problem = f"piece {key & MOST_NUMBER} of thread {self._name!r} is missing, or is another"
            raise sqlite3.DatabaseError(f"{problem}; restore a backup")


ReaderOf = Callable[[sqlite3.Connection, str], ThreadReader]
"""Reads one thread in the view of this connection's transaction."""


def list_rows(
    connection: sqlite3.Connection, thread: str | None, ns: str | None, checkpoint_id: str | None, before: str | None
) -> list[tuple[str, str, str]]:
    """Thread, namespace and id of all checkpoints that are meant, newest first."""
    conditions, values = ["1"], []
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
        "SELECT t.name, c.ns, c.checkpoint_id FROM saver_checkpoints c JOIN saver_threads t ON t.no = c.thread WHERE "
        f"{' AND '.join(conditions)} ORDER BY c.checkpoint_id DESC, t.no DESC, c.ns DESC"
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
        "SELECT ns, checkpoint_id FROM saver_checkpoints WHERE thread = (SELECT no FROM saver_threads WHERE name = ?)"
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
