"""The LangGraph saver that writes only what is new."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_checkpoint_id,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from signoff.checkpoints.db.url import is_address
from signoff.checkpoints.saver.commands import Lease
from signoff.checkpoints.saver.encoding.encryption import RowCodec
from signoff.checkpoints.saver.encoding.payload import Payloads
from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.checkpoints.saver.engine import Engine, config_of, ns_of, thread_of
from signoff.checkpoints.saver.maintenance import MaintainedSaver, sweep
from signoff.checkpoints.saver.rows import ThreadReader
from signoff.checkpoints.saver.storage import Handle
from signoff.checkpoints.saver.writer import Change
from signoff.error_base import SettingsError

if TYPE_CHECKING:
    from signoff.checkpoints.process_identity import Fence

_PAGE: Final = 32
_SWEEP_SECONDS: Final = 3600.0


class SaverOptions(TypedDict, total=False):
    """What a saver can be given beside its file."""

    types: Iterable[type | tuple[str, str]]
    key: str | bytes | None
    serde: SerializerProtocol | None
    ttl: timedelta | None
    busy_seconds: float


class SqliteCheckpointer(MaintainedSaver):
    """Keeps the checkpoints of any LangGraph graph in one SQLite file.

    Sync and async methods, from any thread and any event loop. A call returns when what it wrote is on disk. Beside
    plain values and messages only objects of `types` are stored; others raise UnlistedType when they are written.
    With `key` (32 bytes, as bytes, base64 or hexadecimal) everything is encrypted except ids, namespaces and times.
    Threads that were not written for longer than `ttl` are deleted, at most once an hour. Another process that
    holds the file is waited for, up to `busy_seconds`. A `serde` of your own replaces the strict one: each channel
    and each write goes through it whole, so that only the names of channels stand beside what it makes.

    `":memory:"` is a database of this saver alone, in memory: the same in every way, but that it is gone once the saver
    is closed or the process ends, however it ends. A forked child has a copy of it.

    Raises ForeignDatabase, DatabaseVersion, KeyMissing, WrongKey or DatabaseUnusable, at the first use.
    """

    def __init__(
        self,
        database: Path | str,
        *,
        types: Iterable[type | tuple[str, str]] = (),
        key: str | bytes | None = None,
        serde: SerializerProtocol | None = None,
        ttl: timedelta | None = None,
        busy_seconds: float = 60.0,
    ) -> None:
        super().__init__(serde=serde or StrictSerializer(types))
        codec, path = RowCodec(key), Path(database)
        self._engine = Engine(path, Handle(path, codec, busy_seconds), codec, Payloads(self.serde))
        self._ttl, self._next_sweep = ttl, 0.0

    @classmethod
    def from_conn_string(cls, conn_string: Path | str, **options: Unpack[SaverOptions]) -> Self:
        """The saver for this file or `":memory:"`, as LangGraph's own are made: for `with` and for `async with`.

        An address such as `postgresql://…` is none of a file: SettingsError, `open_saver` takes both.
        """
        if is_address(conn_string):
            raise SettingsError("conn_string", f"{conn_string!r} is no file", "Open it with signoff.open_saver.")
        return cls(conn_string, **options)

    @property
    def database(self) -> Path:
        """The file; `:memory:` if there is none."""
        return self._engine.database

    def close(self) -> None:
        """Close the file; a later call opens it again. A leased view gives its leases back instead."""
        if self._engine.lease is not None:
            for thread in list(self._engine.lease.fences):
                self.release(thread)
            return
        self._engine.handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.to_thread(self.close)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """This saver with more types listed, as LangGraph asks for in its strict mode."""
        view = copy.copy(self)
        if isinstance(self.serde, StrictSerializer):
            view.serde = self.serde.with_msgpack_allowlist([(name[0], name[-1]) for name in extra_allowlist])
        else:
            view.serde = super().with_allowlist(extra_allowlist).serde
        view._engine = replace(self._engine, payloads=Payloads(view.serde))
        return view

    def leased(self, owner: str, *, seconds: float = 60.0) -> Self:
        """This saver for one owner: each thread it writes is the owner's alone, until `seconds` after the last write.

        Others with a lease of their own get ThreadHeld. An owner that was away for so long that another took over
        gets LeaseLost and writes nothing, until it has read the newest state. Savers without leases are not held off.
        """
        view = copy.copy(self)
        view._engine = replace(self._engine, lease=Lease(owner, seconds))
        return view

    def fenced(self, fence: Fence, ledger: str) -> Self:
        """This saver for one claim of a run: RunBusy, and nothing written, once the run was claimed again.

        The ledger's file must be this one; where it is another, a lease of the thread stands in for the claim.
        """
        if self.database.resolve() != Path(ledger).resolve():
            return self.leased(fence.owner.partition("/")[0])
        view = copy.copy(self)
        view._engine = replace(self._engine, fence=fence)
        return view

    def release(self, thread_id: str) -> None:
        """Give the lease of a thread back, if this view holds it."""
        lease = self._engine.lease
        if lease is not None:
            self._engine.carry_out(partial(lease.give_back, str(thread_id)))
            lease.fences.pop(str(thread_id), None)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  # LangGraph's signature; what changed is found in the values
    ) -> RunnableConfig:
        """Store a checkpoint; what its parent holds already is not written again. It is on disk on return."""
        self._store(self._engine.packed_put(config, checkpoint, metadata))
        return config_of(config, checkpoint["id"])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  # LangGraph's signature; what changed is found in the values
    ) -> RunnableConfig:
        """Store a checkpoint, as `put` does."""
        await self._astore(lambda: self._engine.packed_put(config, checkpoint, metadata))
        return config_of(config, checkpoint["id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote, beside the checkpoint it started from. It is on disk on return."""
        self._store(self._engine.packed_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote, as `put_writes` does."""
        await self._astore(lambda: self._engine.packed_writes(config, writes, task_id, task_path))

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the newest; None if there is none."""
        return self._engine.find(config)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the newest; None if there is none."""
        return await asyncio.to_thread(self._engine.find, config)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first, read as they are asked for; nothing is locked in between."""
        pending = self._engine.list_rows(config, before)
        left = len(pending) if limit is None else limit
        readers: dict[str, ThreadReader] = {}
        while pending and left > 0:
            page, pending = pending[:_PAGE], pending[_PAGE:]
            for found in self._engine.read_rows(page, filter, left, readers):
                left -= 1
                yield found

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first, read as they are asked for; nothing is locked in between."""
        pending = await asyncio.to_thread(self._engine.list_rows, config, before)
        left = len(pending) if limit is None else limit
        readers: dict[str, ThreadReader] = {}
        while pending and left > 0:
            page, pending = pending[:_PAGE], pending[_PAGE:]
            for found in await asyncio.to_thread(self._engine.read_rows, page, filter, left, readers):
                left -= 1
                yield found

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """For each channel its writes since the nearest ancestor that holds its value, and that value as `seed`."""
        if not channels:
            return {}
        with self._engine.view() as connection:
            reader = self._engine.reader_of(connection, thread_of(config))
            return reader.delta_history(ns_of(config), get_checkpoint_id(config), channels)

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """For each channel its writes since the nearest ancestor that holds its value, and that value as `seed`."""
        return await asyncio.to_thread(self.get_delta_channel_history, config=config, channels=channels)

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002  # LangGraph's signature
        """The next version of a channel: a number; after a text, as other savers give, a text."""
        if isinstance(current, str):
            return f"{int(current.split('.')[0]) + 1:032}.{current.partition('.')[2] or '0'}"
        return 1 if current is None else int(current) + 1

    def _store(self, change: Change) -> None:
        self._engine.carry_out(change)
        self._sweep_if_due()

    async def _astore(self, pack: Callable[[], Change]) -> None:
        """On the loop values are only packed; opening the file is left to a thread."""
        future = asyncio.get_running_loop().create_future()
        if self._engine.handle.opened is not None:
            self._engine.submit(pack(), future)
        else:
            try:
                await asyncio.to_thread(lambda: self._engine.submit(pack(), future))
            except BaseException:
                future.cancel()  # nobody will ask for what became of it
                raise
        with self._engine.telling():
            await future
        self._sweep_if_due()

    def _sweep_if_due(self) -> None:
        if self._ttl is not None and time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEP_SECONDS
            self._engine.submit(partial(sweep, self._ttl.total_seconds()))
