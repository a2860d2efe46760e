"""The LangGraph saver that writes only what is new."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, Unpack

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    get_checkpoint_id,
    get_checkpoint_metadata,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

from signoff.checkpoints.db.url import is_address
from signoff.checkpoints.errors import Unstorable
from signoff.checkpoints.saver.commands import Lease, PutCheckpoint, PutWrites, Target, run_digest
from signoff.checkpoints.saver.encoding.payload import Payloads
from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.checkpoints.saver.file_saver import ns_of, thread_of
from signoff.checkpoints.saver.maintenance import MaintainedSaver, sweep
from signoff.checkpoints.saver.writer import Change
from signoff.error_base import SettingsError

if TYPE_CHECKING:
    from signoff.checkpoints.process_identity import Fence

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
        super().__init__(Path(database), serde or StrictSerializer(types), key, busy_seconds)
        self._ttl, self._next_sweep = ttl, 0.0

    @classmethod
    def from_conn_string(cls, conn_string: Path | str, **options: Unpack[SaverOptions]) -> Self:
        """The saver for this file or `":memory:"`, as LangGraph's own are made: for `with` and for `async with`.

        An address such as `postgresql://…` is none of a file: SettingsError, `open_saver` takes both.
        """
        if is_address(conn_string):
            raise SettingsError("conn_string", f"{conn_string!r} is no file", "Open it with signoff.open_saver.")
        return cls(conn_string, **options)

    def close(self) -> None:
        """Close the file; a later call opens it again. A leased view gives its leases back instead."""
        if self._lease is None:
            self._handle.close()
            return
        for thread in list(self._lease.fences):
            self.release(thread)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *raised: object) -> None:
        await asyncio.to_thread(self.close)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> Self:
        """This saver with more types listed, as LangGraph asks for in its strict mode."""
        view = copy.copy(self)
        if isinstance(self.serde, StrictSerializer):
            view.serde = self.serde.with_msgpack_allowlist([(name[0], name[-1]) for name in extra_allowlist])
        else:
            view.serde = super().with_allowlist(extra_allowlist).serde
        view._payloads = Payloads(view.serde)
        return view

    def leased(self, owner: str, *, seconds: float = 60.0) -> Self:
        """This saver for one owner: each thread it writes is the owner's alone, until `seconds` after the last write.

        Others with a lease of their own get ThreadHeld. An owner that was away for so long that another took over
        gets LeaseLost and writes nothing, until it has read the newest state. Savers without leases are not held off.
        """
        view = copy.copy(self)
        view._lease = Lease(owner, seconds)
        return view

    def fenced(self, fence: Fence, ledger: str) -> Self:
        """This saver for one claim of a run: RunBusy, and nothing written, once the run was claimed again.

        The ledger's file must be this one; where it is another, a lease of the thread stands in for the claim.
        """
        if self.database.resolve() != Path(ledger).resolve():
            return self.leased(fence.owner.partition("/")[0])
        view = copy.copy(self)
        view._fence = fence
        return view

    def release(self, thread_id: str) -> None:
        """Give the lease of a thread back, if this view holds it."""
        if self._lease is not None:
            self._carry_out(partial(self._lease.give_back, str(thread_id)))
            self._lease.fences.pop(str(thread_id), None)

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  # LangGraph's signature; what changed is found in the values
    ) -> RunnableConfig:
        """Store a checkpoint; what its parent holds already is not written again. It is on disk on return."""
        self._store(self._packed_put(config, checkpoint, metadata))
        return _config_of(config, checkpoint["id"])

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,  # noqa: ARG002  # LangGraph's signature; what changed is found in the values
    ) -> RunnableConfig:
        """Store a checkpoint, as `put` does."""
        await self._astore(lambda: self._packed_put(config, checkpoint, metadata))
        return _config_of(config, checkpoint["id"])

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote, beside the checkpoint it started from. It is on disk on return."""
        self._store(self._packed_writes(config, writes, task_id, task_path))

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Store what a task wrote, as `put_writes` does."""
        await self._astore(lambda: self._packed_writes(config, writes, task_id, task_path))

    def _packed_put(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata
    ) -> PutCheckpoint:
        """A checkpoint as it is now, to be stored by the writer: nothing is opened, read, compared or written here."""
        ns, parent = ns_of(config), get_checkpoint_id(config)
        values = checkpoint["channel_values"].copy()
        if not set(map(type, values)) <= {str}:
            raise TypeError("The names of channels must be text.")
        _refuse_torn(ns, checkpoint["id"], parent or "", *values)
        rest = {name: value for name, value in checkpoint.items() if name not in ("id", "channel_values")}
        facts = get_checkpoint_metadata(config, metadata)
        run = facts.get("run_id")
        pack = self._payloads.pack
        plain = self._payloads.take_plain(values)
        return PutCheckpoint(
            target=self._target(config),
            ns=ns,
            checkpoint_id=checkpoint["id"],
            parent_id=parent,
            run=None if run is None else run_digest(str(run)),
            plain=plain,
            values={name: pack(value) for name, value in values.items()},
            rest=self._payloads.pack_whole(rest),
            metadata=self._payloads.pack_whole(facts),
        )

    def _packed_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> PutWrites:
        """What a task wrote as it is now, to be stored by the writer."""
        ns, checkpoint_id = ns_of(config), config["configurable"]["checkpoint_id"]
        _refuse_torn(ns, checkpoint_id, task_id)
        return PutWrites(
            target=self._target(config),
            ns=ns,
            checkpoint_id=checkpoint_id,
            task_id=task_id,
            task_path=task_path,
            writes=[
                (WRITES_IDX_MAP.get(channel, index), channel, self._payloads.pack(value))
                for index, (channel, value) in enumerate(writes)
            ],
        )

    def _store(self, change: Change) -> None:
        self._carry_out(change)
        self._sweep_if_due()

    async def _astore(self, pack: Callable[[], Change]) -> None:
        """On the loop values are only packed; opening the file is left to a thread."""
        future = asyncio.get_running_loop().create_future()
        if self._handle.opened is not None:
            self._submit(pack(), future)
        else:
            try:
                await asyncio.to_thread(lambda: self._submit(pack(), future))
            except BaseException:
                future.cancel()  # nobody will ask for what became of it
                raise
        with self._telling():
            await future
        self._sweep_if_due()

    def _submit(self, change: Change, future: asyncio.Future[Any] | None = None) -> None:
        """Have a change made; the future is told when it is on disk."""
        with self._telling():
            is_followed = isinstance(change, PutWrites) and change.is_followed
            self._handle.open().writer.submit(change, future, is_followed=is_followed)

    def _target(self, config: RunnableConfig) -> Target:
        return Target(thread_of(config), self._codec, self._payloads, self._lease, self._fence)

    def _sweep_if_due(self) -> None:
        if self._ttl is not None and time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEP_SECONDS
            self._submit(partial(sweep, self._ttl.total_seconds()))


def _refuse_torn(*names: str) -> None:
    """Raise before anything is done if a name is no text that can be stored."""
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        for name in names:
            if name.encode("utf-8", "ignore").decode() != name:
                raise Unstorable(f"the name {name!r}", "it holds half a character", "Use whole characters.") from None


def _config_of(config: RunnableConfig, checkpoint_id: str) -> RunnableConfig:
    thread = config["configurable"]["thread_id"]
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns_of(config), "checkpoint_id": checkpoint_id}}
