"""Taking over threads from a file of LangGraph's own SqliteSaver, of any version since 1.0; it is only read."""

from __future__ import annotations

import asyncio
import json
import secrets
import sqlite3
from asyncio import Task
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from signoff.checkpoints.db.sqlite import reading_address, unusable
from signoff.checkpoints.errors import ImportFailed, ThreadNotEmpty, UnlistedType
from signoff.checkpoints.process_identity import current_owner, is_gone
from signoff.checkpoints.saver.encoding.serializer import KNOWN, StrictSerializer
from signoff.checkpoints.saver.rows import checkpoint_ids, list_threads
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.concurrency import run

_ASIDE: Final = "signoff-import:"
"""How the name of a thread begins that is not wholly there yet; the importing process follows."""
_STEPS_AT_ONCE: Final = 64
_BYTES_AT_ONCE: Final = 8 * 2**20
_BUSY_SECONDS: Final = 60
_BATCH: Final = 512
"""Checkpoints after which the threads that are whole by then appear under their names."""


@dataclass(frozen=True)
class ImportProgress:
    """How far an import is."""

    done: int
    total: int
    """Checkpoints in the file."""
    thread: str


@dataclass(frozen=True)
class RefusedThread:
    """A thread that was not taken over."""

    thread: str
    reason: str


@dataclass(frozen=True)
class ImportedCounts:
    """What came of an import."""

    threads: int
    checkpoints: int
    writes: int
    present: int
    """Threads whose checkpoints were all there already."""
    refused: tuple[RefusedThread, ...]


def _tell_nobody(_progress: ImportProgress) -> None:
    """Nobody wants to know."""


def import_official(
    source: Path | str,
    saver: SqliteCheckpointer,
    *,
    progress: Callable[[ImportProgress], None] | None = None,
    serde: SerializerProtocol | None = None,
) -> ImportedCounts:
    """Take over every thread of the file, which is only read: what the official saver reads there ours reads here.

    A thread appears when all of it is there, or not at all. Done again, threads that are there are skipped; one that
    is there without some of the file's checkpoints is refused. `serde` is what the file was written with, if that
    was not LangGraph's default. Raises UnlistedType if a value needs a type that the saver does not list, and
    ImportFailed if the file is not SqliteSaver's or something in it cannot be read.
    """
    return run(_Import(Path(source), saver, serde or saver.serde, progress or _tell_nobody).run())


class _Import:
    """One import: thread after thread is put aside under another name, then copied to its own in one go."""

    def __init__(
        self,
        source: Path,
        saver: SqliteCheckpointer,
        serde: SerializerProtocol,
        progress: Callable[[ImportProgress], None],
    ) -> None:
        self._source, self._saver, self._serde, self._progress = source, saver, serde, progress
        self._mark = f"{_ASIDE}{current_owner()}/{secrets.token_hex(4)}/"
        self._aside: dict[str, str] = {}  # names of whole threads, by the names they have meanwhile
        self._counted: dict[str, tuple[int, int]] = {}
        self._present = self._done = self._total = 0
        self._refused: list[RefusedThread] = []

    async def run(self) -> ImportedCounts:
        """Take over all threads."""
        await self._clear_away()
        with OfficialFile(self._source, self._serde) as file:
            self._total, waiting = file.count(), 0
            await self._saver.aget_tuple({"configurable": {"thread_id": self._mark}})
            try:
                for thread in file.threads():
                    if self._is_wanted(thread, file):
                        waiting += await self._put_aside(thread, file)
                    if waiting >= _BATCH:
                        await self._publish()
                        waiting = 0
                await self._publish()
            finally:
                await self._saver.aprune(list(self._aside), strategy="delete")
        checkpoints, writes = (sum(count[kind] for count in self._counted.values()) for kind in (0, 1))
        return ImportedCounts(len(self._counted), checkpoints, writes, self._present, tuple(self._refused))

    async def _clear_away(self) -> None:
        """Delete what an import that was killed had put aside."""
        names = [entry.name for entry in list_threads(self._saver.database) if entry.name.startswith(_ASIDE)]
        dead = [name for name in names if is_gone(name.removeprefix(_ASIDE).partition("/")[0])]
        if dead:
            await self._saver.aprune(dead, strategy="delete")

    def _is_wanted(self, thread: str, file: OfficialFile) -> bool:
        """Whether the thread is not here yet."""
        here = checkpoint_ids(self._saver.database, thread)
        if not here:
            return True
        there = file.checkpoint_ids(thread)
        missing = len(there - here)
        if missing:
            reason = f"it is here already, without {missing:,} of the file's {len(there):,} checkpoints"
            self._refused.append(RefusedThread(thread, f"{reason}; delete it here to import it"))
        else:
            self._present += 1
        self._tell(thread, len(there))
        return False

    async def _put_aside(self, thread: str, file: OfficialFile) -> int:
        """Store the thread under another name; returns how many checkpoints it has."""
        aside = f"{self._mark}{thread}"
        self._aside[aside] = thread
        newest: dict[str, str] = {}
        under_way: list[Task[None]] = []
        checkpoints = writes = size = 0
        try:
            for step in file.steps(thread):
                # Steps that follow each other share commits; any other is put together from what is on disk by then.
                follows = step.parent_id == newest.get(step.ns)
                if not follows or size > _BYTES_AT_ONCE or len(under_way) == _STEPS_AT_ONCE:
                    await _settle(under_way)
                    size = 0
                under_way.append(asyncio.create_task(_put(self._saver, aside, step)))
                if not follows:
                    await _settle(under_way)
                newest[step.ns] = step.checkpoint_id
                size += step.size
                checkpoints += 1
                writes += sum(len(writes) for _, _, writes in step.writes)
                self._tell(thread, 1)
            await _settle(under_way)
        finally:
            await asyncio.gather(*under_way, return_exceptions=True)
        self._counted[thread] = checkpoints, writes
        return checkpoints

    async def _publish(self) -> None:
        """Give the threads that are whole their names."""
        copies = [self._saver.acopy_thread(aside, thread) for aside, thread in self._aside.items()]
        for thread, outcome in zip(
            list(self._aside.values()), await asyncio.gather(*copies, return_exceptions=True), strict=True
        ):
            if isinstance(outcome, ThreadNotEmpty):
                self._refused.append(RefusedThread(thread, "somebody else began it meanwhile"))
                del self._counted[thread]
            elif outcome is not None:
                raise outcome
        await self._saver.aprune(list(self._aside), strategy="delete")
        self._aside.clear()

    def _tell(self, thread: str, steps: int) -> None:
        self._done += steps
        self._progress(ImportProgress(self._done, self._total, thread))


async def _put(saver: BaseCheckpointSaver[Any], thread: str, step: Step) -> None:
    place = {"thread_id": thread, "checkpoint_ns": step.ns}
    parent: RunnableConfig = {"configurable": dict(place)}
    if step.parent_id:
        parent["configurable"]["checkpoint_id"] = step.parent_id
    stored = await saver.aput(parent, step.checkpoint, step.metadata, step.checkpoint["channel_versions"])
    for task_id, task_path, writes in step.writes:
        await saver.aput_writes(stored, writes, task_id, task_path)


async def _settle(under_way: list[Task[None]]) -> None:
    """Wait for all of them; raises the first error."""
    done = await asyncio.gather(*under_way, return_exceptions=True)
    under_way.clear()
    for outcome in done:
        if outcome is not None:
            raise outcome


_COLUMNS: Final = {"thread_id", "checkpoint_ns", "checkpoint_id", "parent_checkpoint_id", "type", "checkpoint"}

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
            reading_address(self._path), uri=True, timeout=_BUSY_SECONDS, isolation_level=None
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
            raise unusable(self._path, error) from error


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
