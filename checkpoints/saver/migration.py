"""Files of the saver's first edition are brought up to date: thread by thread, after a copy of the file was made.

In the first edition a value was a tree of pieces: a payload, or a chunk of parts, each of which stood there or had a
number. Nothing is unpacked to objects here, so that classes need not be listed, nor be there any more.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final
from zlib import crc32

import ormsgpack
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from signoff.checkpoints.db.sqlite import begin, can_write
from signoff.checkpoints.errors import DatabaseUnusable, WrongKey
from signoff.checkpoints.saver import schema
from signoff.checkpoints.saver.commands import PutCheckpoint, PutWrites, Target
from signoff.checkpoints.saver.encoding.encryption import RowCodec, place_of
from signoff.checkpoints.saver.encoding.packing import box_header
from signoff.checkpoints.saver.encoding.payload import NO_VALUES, Payloads, with_bytearrays
from signoff.checkpoints.saver.thread_memory import ThreadMemories
from signoff.checkpoints.saver.writer import Transaction

FIRST: Final = 1
_SECOND: Final = 2
_TABLES: Final = ("saver_threads", "saver_checkpoints", "saver_writes", "saver_pieces")
_INDEXES: Final = ("saver_threads_by_time", "saver_checkpoints_by_run")
_OLD: Final = "first_"
_CHUNKS: Final = {ord("L"): "list", ord("D"): "dict", ord("B"): "branch"}
_CHECKSUM_BYTES: Final = 4
_MOST_HELD: Final = 32 * 2**20
_MODEL_HEADS: Final = (0xC7, 0xC8, 0xC9)
_log = logging.getLogger(__name__)


def bring_up_to_date(connection: sqlite3.Connection, path: Path, codec: RowCodec, busy_seconds: float) -> None:
    """Bring the file up to date, if it is of the first edition or was left half done; any process may go on with it."""
    if schema.version_of(connection) == _SECOND and can_write(path):  # which had no bodies among the pieces
        with _writing(connection, busy_seconds):
            _set_version(connection)
    if schema.version_of(connection) != FIRST and not _is_unfinished(connection):
        return
    if not can_write(path):
        problem = "it is of an earlier edition; it is brought up to date once somebody opens it who may write"
        raise DatabaseUnusable(str(path), f"{problem} in its folder")
    if schema.version_of(connection) == FIRST:
        copy = path.with_name(f"{path.name}.first-edition")
        _log.warning("The checkpoints in %s are brought up to date; %s is a copy of the file as it was", path, copy)
        if not copy.exists():
            _copy(connection, copy)
        with _writing(connection, busy_seconds):
            if schema.version_of(connection) == FIRST:  # another process may have been first
                _set_aside(connection)
    while _is_unfinished(connection):
        with _writing(connection, busy_seconds):
            if _is_unfinished(connection):
                _convert_next(connection, codec)
    connection.execute("PRAGMA incremental_vacuum").fetchall()


def _copy(connection: sqlite3.Connection, target: Path) -> None:
    half = target.with_name(f"{target.name}.{os.getpid()}")
    half.unlink(missing_ok=True)
    with closing(sqlite3.connect(half)) as copy:
        connection.backup(copy)
    os.replace(half, target)


def _set_aside(connection: sqlite3.Connection) -> None:
    """Give the old tables other names, and make the new ones, with all threads in them, empty."""
    for index in _INDEXES:
        connection.execute(f"DROP INDEX IF EXISTS {index}")
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'saver_threads'").fetchone()
    for table in _TABLES:
        connection.execute(f"ALTER TABLE {table} RENAME TO {_OLD}{table}")
    schema.create_tables(connection)
    connection.execute(
        "INSERT INTO saver_threads SELECT no, name, 1, randomblob(8), touched_at, owner, owner_until, fence"
        f" FROM {_OLD}saver_threads"
    )
    connection.execute("DELETE FROM sqlite_sequence WHERE name = 'saver_threads'")
    if last is not None:
        connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('saver_threads', ?)", last)
    _set_version(connection)


def _set_version(connection: sqlite3.Connection) -> None:
    connection.execute("UPDATE saver_meta SET value = ? WHERE key = 'schema'", (schema.VERSION,))


def _is_unfinished(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (f"{_OLD}saver_threads",)).fetchone())


def _convert_next(connection: sqlite3.Connection, codec: RowCodec) -> None:
    """Convert one thread; where none is left, drop the old tables."""
    found = connection.execute(f"SELECT no, name, touched_at FROM {_OLD}saver_threads LIMIT 1").fetchone()
    if found is None:
        for table in _TABLES:
            connection.execute(f"DROP TABLE {_OLD}{table}")
        return
    no, name, touched_at = found
    transaction = Transaction(connection, ThreadMemories())
    transaction.now = touched_at
    for change in _Thread(connection, no, name, codec).changes():
        change(transaction)
    transaction.save_threads()
    for table in _TABLES[1:]:
        connection.execute(f"DELETE FROM {_OLD}{table} WHERE id BETWEEN ? AND ?", schema.rows_of(no))
    connection.execute(f"DELETE FROM {_OLD}saver_threads WHERE no = ?", (no,))


@contextmanager
def _writing(connection: sqlite3.Connection, busy_seconds: float) -> Iterator[None]:
    begin(connection, busy_seconds)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


class _Damaged(Exception):
    """A row of the first edition is not what was written."""


@contextmanager
def _telling(what: str) -> Iterator[None]:
    """What is damaged is left out, and told; the copy has it as it was."""
    try:
        yield
    except (_Damaged, WrongKey, ValueError) as error:
        _log.error("%s is damaged and left out: %s", what, error or type(error).__name__)


class _Thread:
    """A thread of the first edition."""

    def __init__(self, connection: sqlite3.Connection, no: int, name: str, codec: RowCodec) -> None:
        self._connection, self._no, self._codec = connection, no, codec
        self._target = Target(name, codec, Payloads(JsonPlusSerializer()), None, None)
        self._bodies: dict[int, bytes] = {}
        self._held = 0

    def changes(self) -> Iterator[PutCheckpoint | PutWrites]:
        """What is to be put to have it all in the new tables."""
        rows = self._connection.execute(
            "SELECT id, ns, checkpoint_id, parent_id, run, head, metadata"
            f" FROM {_OLD}saver_checkpoints WHERE thread = ? ORDER BY ns, checkpoint_id",
            (self._no,),
        ).fetchall()
        for identity, ns, checkpoint_id, *rest in rows:
            where = f"checkpoint {checkpoint_id} of thread {self._target.thread!r}"
            if rest[2] is not None:
                with _telling(where):
                    yield self._put(ns, checkpoint_id, *rest)
            query = f"SELECT id, task_id, body FROM {_OLD}saver_writes WHERE checkpoint = ? ORDER BY id"
            for row in self._connection.execute(query, (identity,)).fetchall():
                with _telling(f"what task {row[1]} wrote beside {where}"):
                    yield self._write(identity, ns, checkpoint_id, *row)

    def _put(
        self, ns: str, checkpoint_id: str, parent_id: str | None, run: bytes | None, head: bytes, metadata: bytes
    ) -> PutCheckpoint:
        place = place_of(ns, checkpoint_id, parent_id, run)
        values, rest = ormsgpack.unpackb(self._decode(head, f"head:{place}"))
        return PutCheckpoint(
            target=self._target,
            ns=ns,
            checkpoint_id=checkpoint_id,
            parent_id=parent_id,
            run=run,
            plain=NO_VALUES,
            values={name: self._parts(part) for name, part in self._items(values)[1]},
            rest=b"".join(self._parts(rest)),
            metadata=self._decode(metadata, f"metadata:{place}"),
        )

    def _write(
        self, checkpoint: int, ns: str, checkpoint_id: str, identity: int, task_id: str, body: bytes
    ) -> PutWrites:
        place = repr(("writes", identity & schema.MOST_NUMBER, checkpoint & schema.MOST_NUMBER, task_id))
        path, *rest = ormsgpack.unpackb(self._decode(body, place))
        writes = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        return PutWrites(
            target=self._target,
            ns=ns,
            checkpoint_id=checkpoint_id,
            task_id=task_id,
            task_path=path,
            writes=[(index, channel, self._parts(part)) for index, channel, part in writes],
        )

    def _parts(self, part: int | bytes) -> list[bytes]:
        """A value's bytes as they are packed today."""
        body = self._body(part)
        if body[0] not in _CHUNKS:
            return [body]
        ways: list[list[Any]] = []
        head, *items = self._elements(part, [], ways)
        parts = [with_bytearrays(ways) + head]
        for item in items:  # models by themselves, others together
            if item[0] in _MODEL_HEADS or len(parts) == 1 or parts[-1][0] in _MODEL_HEADS:
                parts.append(item)
            else:
                parts[-1] += item
        return parts if any(item[0] in _MODEL_HEADS for item in items) else [b"".join(parts)]

    def _elements(self, part: int | bytes, way: list[Any], ways: list[list[Any]]) -> list[bytes]:
        """What a list or dict begins with, and the bytes of each of its items; `ways` lead to its bytearrays."""
        is_dict, items = self._items(part)
        found = [box_header(len(items), is_dict=is_dict)]
        for place, (key, inner) in enumerate(items):
            at = [*way, key if is_dict else place]
            found.append((ormsgpack.packb(key) if is_dict else b"") + self._element(inner, at, ways))
        return found

    def _element(self, part: int | bytes, way: list[Any], ways: list[list[Any]]) -> bytes:
        body = self._body(part)
        if body[0] in _CHUNKS:
            return b"".join(self._elements(part, way, ways))
        if body[:1] == b"m":
            return body[1:]
        if body[:1] == b"n":
            return ormsgpack.packb(None)
        if body[:1] == b"a":
            ways.append(way)
        return ormsgpack.packb(body[1:])

    def _items(self, part: int | bytes) -> tuple[bool, list[tuple[Any, int | bytes]]]:
        """Whether it is a dict, and the key and what stands for it of each item."""
        body = self._body(part)
        parts = ormsgpack.unpackb(body[1:])
        if _CHUNKS[body[0]] == "branch":
            below = [self._items(inner) for inner in parts]
            return below[0][0], [item for _, items in below for item in items]
        is_dict = _CHUNKS[body[0]] == "dict"
        return is_dict, list(zip(parts[::2], parts[1::2], strict=True)) if is_dict else [(None, one) for one in parts]

    def _body(self, part: int | bytes) -> bytes:
        if isinstance(part, bytes):
            return part
        if part not in self._bodies:
            row = schema.row_id(self._no, part)
            found = self._connection.execute(f"SELECT body FROM {_OLD}saver_pieces WHERE id = ?", (row,)).fetchone()
            if found is None:
                raise _Damaged(f"piece {part} is missing")
            if self._held > _MOST_HELD:
                self._bodies, self._held = {}, 0
            self._bodies[part] = self._decode(found[0], f"piece:{part}")
            self._held += len(self._bodies[part])
        return self._bodies[part]

    def _decode(self, body: bytes, place: str) -> bytes:
        if self._codec.is_encrypted:
            return bytes(self._codec.decode(body, place))
        plain = body[:-_CHECKSUM_BYTES]
        if body[-_CHECKSUM_BYTES:] != crc32(plain, crc32(place.encode())).to_bytes(_CHECKSUM_BYTES, "little"):
            raise _Damaged(f"{place} is not what was written")
        return plain
