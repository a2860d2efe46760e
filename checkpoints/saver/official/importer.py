"""Taking over threads from a file of LangGraph's own SqliteSaver."""

from __future__ import annotations

import asyncio
import secrets
from asyncio import Task
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.serde.base import SerializerProtocol

from signoff.checkpoints.process_identity import current_owner, is_gone
from signoff.checkpoints.saver.official.reader import OfficialFile, Step
from signoff.checkpoints.saver.rows import checkpoint_ids, list_threads
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.concurrency import run
from signoff.errors import ThreadNotEmpty

_ASIDE: Final = "signoff-import:"
"""How the name of a thread begins that is not wholly there yet; the importing process follows."""
_STEPS_AT_ONCE: Final = 64
_BYTES_AT_ONCE: Final = 8 * 2**20
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
