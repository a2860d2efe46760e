"""A file of LangGraph's own SqliteSaver, of any version since 1.0; it is only read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from langgraph.checkpoint.base import Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from signoff.checkpoints.saver.encoding.serializer import KNOWN, StrictSerializer
from signoff.errors import DatabaseUnusable, ImportFailed, UnlistedType

_COLUMNS: Final = {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "type", "checkpoint"}
_BUSY_SECONDS: Final = 60

TaskWrites = tuple[str, str, list[tuple[str, Any]]]
"""A task's id and path, and what it wrote: channel and value, in an order that gives each its index again."""


@dataclass(frozen=True, slots=True)
class Step:
    """One checkpoint, with the writes beside it."""

    ns: str
    checkpoint_id: str
    parent_id: str | None
    checkpoint: Checkpoint
    metadata: CheckpointMetadata
    writes: Sequence[TaskWrites]
    size: int
    """Bytes of the checkpoint in the file."""


class OfficialFile:
    """The file, as it was when it was opened."""

    def __init__(self, path: Path, serde: SerializerProtocol) -> None:
        self._path, self._serde = path, serde
        self._types = serde.types if isinstance(serde, StrictSerializer) else frozenset()
        self._json = JsonPlusSerializer(
            allowed_json_modules=[(*module.split("."), name) for module, name in sorted(self._types)]
        )
        self._connection: sqlite3.Connection | None = None
        self._task_path = "task_path"

    def __enter__(self) -> Self:
        if not self._path.is_file():
            raise ImportFailed(str(self._path), "there is no such file")
        self._connection = sqlite3.connect(
            f"{self._path.resolve().as_uri()}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None
        )
        try:
            self._connection.execute("BEGIN")
            self._look_over()
        except BaseException:
            self._connection.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._connection is not None:
            self._connection.close()

    def count(self) -> int:
        return int(next(self._rows("SELECT count(*) FROM checkpoints"))[0])

    def threads(self) -> Iterator[str]:
        return (name for (name,) in self._rows("SELECT DISTINCT thread_id FROM checkpoints ORDER BY thread_id"))

    def checkpoint_ids(self, thread: str) -> set[tuple[str, str]]:
        """Namespace and id of each checkpoint of a thread."""
        return set(self._rows("SELECT checkpoint_ns, checkpoint_id FROM checkpoints WHERE thread_id = ?", thread))

    def steps(self, thread: str) -> Iterator[Step]:
        """The checkpoints of a thread, namespace by namespace, oldest first."""
        query = (
            "SELECT checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata FROM checkpoints"
            " WHERE thread_id = ? ORDER BY checkpoint_ns, checkpoint_id"
        )
        for ns, checkpoint_id, parent_id, kind, body, metadata in self._rows(query, thread):
            where = f"checkpoint {checkpoint_id} of thread {thread!r}"
            checkpoint = cast(Checkpoint, {**self._value(kind, body, where), "id": checkpoint_id})
            writes = self._writes(thread, ns, checkpoint_id)
            facts = self._metadata(metadata, where)
            yield Step(ns, checkpoint_id, parent_id or None, checkpoint, facts, writes, len(body))

    def _look_over(self) -> None:
        tables = {name for (name,) in self._rows("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not {"checkpoints", "writes"} <= tables:
            raise ImportFailed(str(self._path), "it holds no tables of LangGraph's SqliteSaver")
        if not {name for (name,) in self._rows("SELECT name FROM pragma_table_info('checkpoints')")} >= _COLUMNS:
            problem = "a SqliteSaver older than 1.0 wrote it, in a form that no LangGraph of today reads"
            raise ImportFailed(str(self._path), problem)
        if not any(self._rows("SELECT 1 FROM pragma_table_info('writes') WHERE name = 'task_path'")):
            self._task_path = "''"  # before 2.0.2

    def _writes(self, thread: str, ns: str, checkpoint_id: str) -> list[TaskWrites]:
        query = (
            f"SELECT task_id, {self._task_path}, idx, channel, type, value FROM writes WHERE thread_id = ?"
            " AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY 1, 2, 3"
        )
        rows = self._rows(query, thread, ns, checkpoint_id)
        found: list[TaskWrites] = []
        for (task_id, task_path), group in groupby(rows, key=itemgetter(0, 1)):
            where = f"a write of task {task_id} beside checkpoint {checkpoint_id} of thread {thread!r}"
            writes = [(idx, channel, self._value(kind, body, where)) for _, _, idx, channel, kind, body in group]
            found.append((task_id, task_path, _in_places(writes)))
        return found

    def _metadata(self, stored: Any, where: str) -> CheckpointMetadata:
        if stored is None:
            return {}
        try:
            found = json.loads(stored)
        except ValueError:
            found = self._value("msgpack", stored, f"the metadata of {where}")
        return cast(CheckpointMetadata, found)

    def _value(self, kind: str | None, body: Any, where: str) -> Any:
        """The value of these bytes, exactly as the official saver reads it."""
        if isinstance(self._serde, StrictSerializer):
            if kind == "json":
                return self._json_value(body, where)
            if kind not in ("msgpack", "null", "bytes", "bytearray"):
                how = f"{where} is encrypted" if kind and "+" in kind else f"{where} is kept as {kind!r}"
                remedy = "Import it in Python: import_official(file, saver, serde=what it was written with)"
                raise ImportFailed(str(self._path), how, remedy)
        return self._serde.loads_typed((str(kind), body))

    def _json_value(self, body: Any, where: str) -> Any:
        """A value from the time before MessagePack."""
        unlisted: set[tuple[str, str]] = set()

        def note(found: dict[str, Any]) -> dict[str, Any]:
            if found.get("lc") == 2 and found.get("type") == "constructor" and found.get("id"):
                *module, name = found["id"]
                if (".".join(module), name) not in KNOWN | self._types:
                    unlisted.add((".".join(module), name))
            return found

        try:
            json.loads(body, object_hook=note)
            if not unlisted:
                return self._json.loads_typed(("json", body))
        except (ValueError, NotImplementedError) as error:
            raise ImportFailed(str(self._path), f"{where} cannot be read: {error}") from error
        raise UnlistedType(sorted(unlisted))

    def _rows(self, query: str, *values: Any) -> Iterator[Any]:
        assert self._connection is not None
        try:
            yield from self._connection.execute(query, values)
        except sqlite3.Error as error:
            raise DatabaseUnusable(str(self._path), str(error)) from error


def _in_places(writes: Sequence[tuple[int, str, Any]]) -> list[tuple[str, Any]]:
    """The writes of one task in an order in which `put_writes` gives each the index that it has.

    That is its place, except for the special channels, whose index is negative and which stand anywhere.
    """
    special = [(channel, value) for idx, channel, value in writes if idx < 0]
    placed: list[tuple[str, Any]] = []
    spare = list(special)
    for idx, channel, value in writes:
        if idx >= 0:
            while len(placed) < idx and special:
                placed.append(spare.pop(0) if spare else special[-1])  # the same once more changes nothing
            placed.append((channel, value))
    return [*placed, *spare]
