"""Between LangGraph's calls and the file: values become changes for the writer, rows become tuples."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from signoff.checkpoints.db.sqlite import unusable
from signoff.checkpoints.errors import DatabaseUnusable, Unstorable
from signoff.checkpoints.saver.commands import Addition, Lease, PutCheckpoint, PutWrites, Target
from signoff.checkpoints.saver.encoding.delta import DeltaEncoder, StoredContainer
from signoff.checkpoints.saver.encoding.encryption import RowCodec
from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.checkpoints.saver.rows import Row, ThreadReader, list_rows
from signoff.checkpoints.saver.schema import NUMBER_BITS
from signoff.checkpoints.saver.storage import Handle, Storage
from signoff.checkpoints.saver.thread_cache import ITEM_BYTES, CachedCheckpoint, Outdated, ThreadCache, ThreadCaches
from signoff.checkpoints.saver.writer import Change, ChangeJob

if TYPE_CHECKING:
    from signoff.checkpoints.process_identity import Fence

_SMALL_REST: Final = 1024  # what a checkpoint holds beside its values stands in its row, up to this size
_MARKS: Final = {"msgpack": b"m", "null": b"n", "bytes": b"b", "bytearray": b"a"}
_KINDS: Final = {mark[0]: kind for kind, mark in _MARKS.items()}


@dataclass(frozen=True, slots=True)
class Engine:
    """What a saver does, apart from being called. Views of a saver have one each."""

    database: Path
    handle: Handle
    codec: RowCodec
    serde: SerializerProtocol
    caches: ThreadCaches
    lease: Lease | None = None
    fence: Fence | None = None

    def with_serde(self, serde: SerializerProtocol) -> Engine:
        return replace(self, serde=serde)

    def with_lease(self, lease: Lease) -> Engine:
        """The same for one owner, who remembers on his own what he has read and written."""
        return replace(self, lease=lease, caches=ThreadCaches())

    def with_fence(self, fence: Fence) -> Engine:
        """The same for one claim of a run."""
        return replace(self, fence=fence, caches=ThreadCaches())

    # -- writing

    def start_put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        future: asyncio.Future[Any] | None = None,
    ) -> ChangeJob:
        """Have a checkpoint stored: what its parent holds already is referred to."""
        thread, ns, parent = thread_of(config), ns_of(config), get_checkpoint_id(config)
        _refuse_torn(ns, checkpoint["id"], parent or "")
        values = checkpoint["channel_values"].copy()
        rest = {name: value for name, value in checkpoint.items() if name not in ("id", "channel_values")}
        facts = get_checkpoint_metadata(config, metadata)
        run = facts.get("run_id")
        storage = self.handle.open()
        with self._cache_of(thread, storage) as cache:
            cached = cache.take(ns, parent)
            if cached is None and parent is not None:
                cached = self._load(thread, ns, parent, cache)
            if cached is None:
                cached = CachedCheckpoint(StoredContainer(dict))
            encoder = self._encoder(cache)
            if not cached.values.update(values, encoder):
                raise TypeError("The names of channels must be text.")
            packed = self.pack(rest)
            if len(packed) > _SMALL_REST and not encoder.whole:
                cached.rest = cached.rest or StoredContainer(dict)
                cached.rest.update(rest, encoder)
            else:
                cached.rest = None
            cached.checkpoint_id = checkpoint["id"]
            change = PutCheckpoint(
                target=Target(thread, cache, self.codec, self.lease, self.fence),
                encoder=encoder,
                ns=ns,
                checkpoint_id=checkpoint["id"],
                parent_id=parent,
                run=None if run is None else run_digest(str(run)),
                values=cached.values.tree.top,
                rest=packed if cached.rest is None else cached.rest.tree.top,
                metadata=self.pack(facts),
            )
            cache.put(ns, cached)
            return storage.writer.submit(change, future)

    def start_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str,
        future: asyncio.Future[Any] | None = None,
    ) -> ChangeJob:
        """Have what a task wrote stored."""
        thread = thread_of(config)
        _refuse_torn(ns_of(config), config["configurable"]["checkpoint_id"], task_id)
        storage = self.handle.open()
        with self._cache_of(thread, storage) as cache:
            encoder = self._encoder(cache)
            entries = [
                (WRITES_IDX_MAP.get(channel, index), channel, encoder.encode(value)[0])
                for index, (channel, value) in enumerate(writes)
            ]
            change = PutWrites(
                target=Target(thread, cache, self.codec, self.lease, self.fence),
                encoder=encoder,
                ns=ns_of(config),
                checkpoint_id=config["configurable"]["checkpoint_id"],
                task_id=task_id,
                task_path=task_path,
                writes=entries,
            )
            return storage.writer.submit(change, future)

    def is_ready(self, config: RunnableConfig) -> bool:
        """Whether a put after this checkpoint can be started without opening or reading anything."""
        parent, storage = get_checkpoint_id(config), self.handle.opened
        if storage is None:
            return False
        return parent is None or self.caches.get(thread_of(config), storage.number).has(ns_of(config), parent)

    def carry_out(self, change: Change) -> Any:
        """Have a change made, and wait until it is on disk."""
        storage = self.handle.open()
        try:
            return storage.writer.submit(change).wait()
        except sqlite3.Error as error:
            raise unusable(self.database, error) from error

    def succeed(self, job: ChangeJob) -> None:
        """What was put is on disk."""
        change = cast(Addition, job.change)
        target = change.target
        self.caches.grow(target.thread, target.cache, change.finish())

    def fail(self, job: ChangeJob, error: BaseException, *, is_last: bool) -> None:
        """Forget what was not written; raise, unless it was only put together from a cache that no longer holds."""
        target = cast(Addition, job.change).target
        self.caches.forget(target.thread, target.cache)
        if isinstance(error, sqlite3.Error):
            raise unusable(self.database, error) from error
        if not isinstance(error, Outdated):
            raise error
        if is_last:
            problem = f"thread {target.thread!r} is being deleted or pruned over and over"
            raise DatabaseUnusable(str(self.database), problem) from error

    # -- reading

    def find(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the newest."""
        thread, ns, checkpoint_id = thread_of(config), ns_of(config), get_checkpoint_id(config)
        if self.lease is not None and checkpoint_id is None:
            self.lease.start_again(thread)
        with self.reader(thread) as reader:
            row = reader.find(ns, checkpoint_id)
            if row is None:
                return None
            return _tuple_of(config["configurable"]["thread_id"], row, reader)

    def list_rows(self, config: RunnableConfig | None, before: RunnableConfig | None) -> list[tuple[str, int]]:
        """Thread and row of the checkpoints that are meant, newest first."""
        last = None if before is None else get_checkpoint_id(before)
        with self.view() as connection:
            if config is None:
                return list_rows(connection, None, None, None, last)
            ns = config["configurable"].get("checkpoint_ns")
            return list_rows(connection, thread_of(config), ns, get_checkpoint_id(config), last)

    def read_rows(
        self,
        rows: Collection[tuple[str, int]],
        wanted: dict[str, Any] | None,
        limit: int,
        readers: dict[int, ThreadReader],
    ) -> list[CheckpointTuple]:
        """The checkpoints in these rows whose metadata is as wanted, so many at most; the caller keeps `readers`."""
        found: list[CheckpointTuple] = []
        with self.view() as connection:
            for reader in readers.values():
                reader.reopen(connection)
            for thread, row_id in rows:
                if len(found) == limit:
                    break
                number = row_id >> NUMBER_BITS
                if number not in readers:
                    readers[number] = ThreadReader(connection, thread, self.codec, self.unpack, many=True)
                reader = readers[number]
                row = reader.row(row_id)
                if row is None:
                    continue
                if wanted and any(row.metadata.get(name) != value for name, value in wanted.items()):
                    continue
                found.append(_tuple_of(thread, row, reader))
        return found

    @contextmanager
    def view(self) -> Iterator[sqlite3.Connection]:
        """A connection with one consistent view."""
        storage = self.handle.open()
        try:
            with storage.reading() as connection:
                yield connection
        except sqlite3.Error as error:
            raise unusable(self.database, error) from error

    @contextmanager
    def reader(self, thread: str) -> Iterator[ThreadReader]:
        with self.view() as connection:
            yield ThreadReader(connection, thread, self.codec, self.unpack)

    # -- values

    def pack(self, value: Any) -> bytes:
        """The bytes of a payload: what the serializer makes, after a mark of its kind."""
        kind, body = self.serde.dumps_typed(value)
        mark = _MARKS.get(kind)
        return mark + body if mark is not None else b"x" + bytes([len(kind)]) + kind.encode() + body

    def unpack(self, body: bytes) -> Any:
        """The value in the bytes of a payload."""
        kind = _KINDS.get(body[0])
        if kind is not None:
            return self.serde.loads_typed((kind, body[1:]))
        end = 2 + body[1]
        return self.serde.loads_typed((body[2:end].decode(), body[end:]))

    # -- within

    def _encoder(self, cache: ThreadCache) -> DeltaEncoder:
        """With a serializer that is not ours every value goes through it as it is, whatever it makes of it."""
        return DeltaEncoder(self.pack, cache.seen, whole=type(self.serde) is not StrictSerializer)

    @contextmanager
    def _cache_of(self, thread: str, storage: Storage) -> Iterator[ThreadCache]:
        """The thread's cache for one alone; it is forgotten if it may be left half brought up to date."""
        cache = self.caches.get(thread, storage.number)
        with cache.lock:
            try:
                yield cache
            except BaseException:
                self.caches.forget(thread, cache)
                raise

    def _load(self, thread: str, ns: str, checkpoint_id: str, cache: ThreadCache) -> CachedCheckpoint | None:
        """A checkpoint that this process did not put, to be added to: its pieces, without the values."""
        with self.reader(thread) as reader:
            row = reader.find(ns, checkpoint_id)
            if row is None:
                return None
            if cache.place is None:
                cache.place = row.place
            elif cache.place != row.place:
                return None  # the writer will find that it is outdated
            container, count = reader.container(row.values)
            cache.size += count * ITEM_BYTES
            return CachedCheckpoint(container)


def _refuse_torn(*names: str) -> None:
    """Raise before anything is done if a name is no text that can be stored."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError as error:
            raise Unstorable(f"the name {name!r}", "it holds half a character", "Use whole characters.") from error


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


def _tuple_of(thread: Any, row: Row, reader: ThreadReader) -> CheckpointTuple:
    values, rest = reader.values(row.values), reader.rest(row.rest)
    place = {"thread_id": thread, "checkpoint_ns": row.ns}
    parent: RunnableConfig | None = None
    if row.parent_id is not None:
        parent = {"configurable": {**place, "checkpoint_id": row.parent_id}}
    checkpoint: Any = {**rest, "id": row.checkpoint_id, "channel_values": values}
    return CheckpointTuple(
        config={"configurable": {**place, "checkpoint_id": row.checkpoint_id}},
        checkpoint=checkpoint,
        metadata=row.metadata,
        parent_config=parent,
        pending_writes=reader.pending_writes(row.id),
    )
