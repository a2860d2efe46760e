"""Between LangGraph's calls and the file: values are packed for the writer, rows become tuples."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)

from signoff.checkpoints.db.sqlite import unusable
from signoff.checkpoints.errors import Unstorable
from signoff.checkpoints.saver.commands import Lease, PutCheckpoint, PutWrites, Target
from signoff.checkpoints.saver.encoding.encryption import RowCodec
from signoff.checkpoints.saver.encoding.payload import Payloads
from signoff.checkpoints.saver.rows import Stored, ThreadReader, list_rows
from signoff.checkpoints.saver.storage import Handle
from signoff.checkpoints.saver.writer import Change

if TYPE_CHECKING:
    from signoff.checkpoints.process_identity import Fence


@dataclass(frozen=True, slots=True)
class Engine:
    """What a saver does, apart from being called. Views of a saver have one each."""

    database: Path
    handle: Handle
    codec: RowCodec
    payloads: Payloads
    lease: Lease | None = None
    fence: Fence | None = None

    # -- writing

    def packed_put(self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata) -> PutCheckpoint:
        """A checkpoint as it is now, to be stored by the writer: nothing is opened, read, compared or written here."""
        ns, parent = ns_of(config), get_checkpoint_id(config)
        values = checkpoint["channel_values"].copy()
        if not set(map(type, values)) <= {str}:
            raise TypeError("The names of channels must be text.")
        _refuse_torn(ns, checkpoint["id"], parent or "", *values)
        rest = {name: value for name, value in checkpoint.items() if name not in ("id", "channel_values")}
        facts = get_checkpoint_metadata(config, metadata)
        run = facts.get("run_id")
        pack = self.payloads.pack
        plain = self.payloads.take_plain(values)
        return PutCheckpoint(
            target=self._target(config),
            ns=ns,
            checkpoint_id=checkpoint["id"],
            parent_id=parent,
            run=None if run is None else run_digest(str(run)),
            plain=plain,
            values={name: pack(value) for name, value in values.items()},
            rest=self.payloads.pack_whole(rest),
            metadata=self.payloads.pack_whole(facts),
        )

    def packed_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> PutWrites:
        """What a task wrote as it is now, to be stored by the writer."""
        _refuse_torn(ns_of(config), config["configurable"]["checkpoint_id"], task_id)
        return PutWrites(
            target=self._target(config),
            ns=ns_of(config),
            checkpoint_id=config["configurable"]["checkpoint_id"],
            task_id=task_id,
            task_path=task_path,
            writes=[
                (WRITES_IDX_MAP.get(channel, index), channel, self.payloads.pack(value))
                for index, (channel, value) in enumerate(writes)
            ],
        )

    def carry_out(self, change: Change) -> Any:
        """Have a change made, and wait until it is on disk."""
        with self.telling():
            return self.handle.open().writer.carry_out(change)

    def submit(self, change: Change, future: asyncio.Future[Any] | None = None) -> None:
        """Have a change made; the future is told when it is on disk."""
        with self.telling():
            is_followed = isinstance(change, PutWrites) and change.is_followed
            self.handle.open().writer.submit(change, future, is_followed=is_followed)

    @contextmanager
    def telling(self) -> Iterator[None]:
        """What SQLite raises is told as an error of ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise unusable(self.database, error) from error

    # -- reading

    def find(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the newest."""
        thread, ns, checkpoint_id = thread_of(config), ns_of(config), get_checkpoint_id(config)
        if self.lease is not None and checkpoint_id is None:
            self.lease.start_again(thread)

        def read(connection: sqlite3.Connection) -> Stored | None:
            reader = self.reader_of(connection, thread)
            row = reader.find(ns, checkpoint_id)
            return None if row is None else reader.read(row)

        try:
            stored = self.handle.open().read(read)
        except sqlite3.Error as error:
            raise unusable(self.database, error) from error
        return None if stored is None else stored.unpacked(config["configurable"]["thread_id"], self.payloads)

    def list_rows(self, config: RunnableConfig | None, before: RunnableConfig | None) -> list[tuple[str, str, str]]:
        """Thread, namespace and id of the checkpoints that are meant, newest first."""
        last = None if before is None else get_checkpoint_id(before)
        with self.view() as connection:
            if config is None:
                return list_rows(connection, None, None, None, last)
            ns = config["configurable"].get("checkpoint_ns")
            return list_rows(connection, thread_of(config), ns, get_checkpoint_id(config), last)

    def read_rows(
        self,
        rows: Collection[tuple[str, str, str]],
        wanted: dict[str, Any] | None,
        limit: int,
        readers: dict[str, ThreadReader],
    ) -> list[CheckpointTuple]:
        """The checkpoints in these rows whose metadata is as wanted, so many at most; the caller keeps `readers`."""
        found: list[CheckpointTuple] = []
        with self.view() as connection:
            for reader in readers.values():
                reader.reopen(connection)
            for thread, ns, checkpoint_id in rows:
                if len(found) == limit:
                    break
                if thread not in readers:
                    readers[thread] = self.reader_of(connection, thread)
                reader = readers[thread]
                row = reader.find(ns, checkpoint_id)
                if row is not None and (not wanted or _is_wanted(reader.metadata(row), wanted)):
                    found.append(reader.read(row).unpacked(thread, self.payloads))
        return found

    @contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """A connection with one consistent view."""
        storage = self.handle.open()
        with self.telling(), storage.reading() as connection:
            yield connection

    def reader_of(self, connection: sqlite3.Connection, thread: str) -> ThreadReader:
        return ThreadReader(connection, thread, self.codec, self.payloads)

    def _target(self, config: RunnableConfig) -> Target:
        return Target(thread_of(config), self.codec, self.payloads, self.lease, self.fence)


def _is_wanted(metadata: CheckpointMetadata, wanted: dict[str, Any]) -> bool:
    return all(metadata.get(name) == value for name, value in wanted.items())


def _refuse_torn(*names: str) -> None:
    """Raise before anything is done if a name is no text that can be stored."""
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        for name in names:
            if name.encode("utf-8", "ignore").decode() != name:
                raise Unstorable(f"the name {name!r}", "it holds half a character", "Use whole characters.") from None


def thread_of(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def ns_of(config: RunnableConfig) -> str:
    return str(config["configurable"].get("checkpoint_ns", ""))


def config_of(config: RunnableConfig, checkpoint_id: str) -> RunnableConfig:
    thread = config["configurable"]["thread_id"]
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns_of(config), "checkpoint_id": checkpoint_id}}


def run_digest(run_id: str) -> bytes:
    """What a checkpoint's row says of the run that made it."""
    return blake2b(run_id.encode("utf-8", "surrogatepass"), digest_size=8).digest()
