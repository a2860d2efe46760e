"""What is read of a saver's file, and how changes come to the writer."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, DeltaChannelHistory, get_checkpoint_id
from langgraph.checkpoint.serde.base import SerializerProtocol

from signoff.checkpoints.db.sqlite import unusable
from signoff.checkpoints.saver.commands import Lease
from signoff.checkpoints.saver.encoding.encryption import RowCodec
from signoff.checkpoints.saver.encoding.payload import Payloads
from signoff.checkpoints.saver.rows import Stored, ThreadReader, list_rows
from signoff.checkpoints.saver.storage import Handle
from signoff.checkpoints.saver.writer import Change

if TYPE_CHECKING:
    from signoff.checkpoints.process_identity import Fence

P = ParamSpec("P")
FoundT = TypeVar("FoundT")
_PAGE: Final = 32
Page = list[CheckpointTuple]


def in_thread(
    method: Callable[Concatenate[Any, P], FoundT],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, FoundT]]:
    """The same method for event loops: it is called in a thread."""

    @wraps(method)
    async def called(saver: Any, /, *args: P.args, **options: P.kwargs) -> FoundT:
        return await asyncio.to_thread(getattr(saver, method.__name__), *args, **options)

    return called


class FileSaver(BaseCheckpointSaver[Any]):
    """The checkpoints of one file, to be read. Views of a saver have what differs for themselves, the file together."""

    def __init__(self, database: Path, serde: SerializerProtocol, key: str | bytes | None, busy_seconds: float) -> None:
        super().__init__(serde=serde)
        self.database = database
        """The file; `:memory:` if there is none."""
        self._codec, self._payloads = RowCodec(key), Payloads(serde)
        self._handle = Handle(database, self._codec, busy_seconds)
        self._lease: Lease | None = None
        self._fence: Fence | None = None

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that the config names, or the newest; None if there is none."""
        thread, ns, checkpoint_id = thread_of(config), ns_of(config), get_checkpoint_id(config)
        if self._lease is not None and checkpoint_id is None:
            self._lease.start_again(thread)

        def read(connection: sqlite3.Connection) -> Stored | None:
            reader = self._reader_of(connection, thread)
            row = reader.find(ns, checkpoint_id)
            return None if row is None else reader.read(row)

        try:
            stored = self._handle.open().read(read)
        except sqlite3.Error as error:  # as `_telling` has it, without the time that this takes
            raise unusable(self.database, error) from error
        return None if stored is None else stored.unpacked(config["configurable"]["thread_id"])

    aget_tuple = in_thread(get_tuple)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Checkpoints, newest first, read as they are asked for; nothing is locked in between."""
        for page in self._pages(config, filter, before, limit):
            yield from page

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Checkpoints, newest first, read as they are asked for; nothing is locked in between."""
        pages = self._pages(config, filter, before, limit)
        while (page := await asyncio.to_thread(next, pages, None)) is not None:
            for found in page:
                yield found

    def get_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """For each channel its writes since the nearest ancestor that holds its value, and that value as `seed`."""
        if not channels:
            return {}
        with self._view() as connection:
            reader = self._reader_of(connection, thread_of(config))
            return reader.delta_history(ns_of(config), get_checkpoint_id(config), channels)

    aget_delta_channel_history = in_thread(get_delta_channel_history)

    def get_next_version(self, current: Any, channel: None) -> Any:  # noqa: ARG002  # LangGraph's signature
        """The next version of a channel: a number; after a text, as other savers give, a text."""
        if isinstance(current, str):
            return f"{int(current.split('.')[0]) + 1:032}.{current.partition('.')[2] or '0'}"
        return 1 if current is None else int(current) + 1

    def _reader_of(self, connection: sqlite3.Connection, thread: str) -> ThreadReader:
        return ThreadReader(connection, thread, self._codec, self._payloads)

    @contextmanager
    def _view(self) -> Iterator[sqlite3.Connection]:
        """A connection with one consistent view."""
        storage = self._handle.open()
        with self._telling(), storage.reading() as connection:
            yield connection

    def _pages(
        self,
        config: RunnableConfig | None,
        wanted: dict[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Iterator[Page]:
        """Some of the checkpoints that are meant and whose metadata is as wanted, then some more."""
        named: tuple[str | None, str | None, str | None] = (None, None, None)
        if config is not None:
            named = thread_of(config), config["configurable"].get("checkpoint_ns"), get_checkpoint_id(config)
        with self._view() as connection:
            pending = list_rows(connection, *named, None if before is None else get_checkpoint_id(before))
        left = len(pending) if limit is None else limit
        readers: dict[str, ThreadReader] = {}
        while pending and left > 0:
            found: Page = []
            with self._view() as connection:
                for reader in readers.values():
                    reader.connection = connection
                for thread, ns, checkpoint_id in pending[:_PAGE]:
                    reader = readers.setdefault(thread, self._reader_of(connection, thread))
                    row = reader.find(ns, checkpoint_id) if len(found) < left else None
                    if row is not None and (not wanted or _is_wanted(reader.metadata(row), wanted)):
                        found.append(reader.read(row).unpacked(thread))
            pending, left = pending[_PAGE:], left - len(found)
            yield found

    def _carry_out(self, change: Change) -> Any:
        """Have a change made, and wait until it is on disk."""
        with self._telling():
            return self._handle.open().writer.carry_out(change)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        """What SQLite raises is told as an error of ours."""
        try:
            yield
        except sqlite3.Error as error:
            raise unusable(self.database, error) from error


def _is_wanted(metadata: dict[str, Any], wanted: dict[str, Any]) -> bool:
    return all(metadata.get(name) == value for name, value in wanted.items())


def thread_of(config: RunnableConfig) -> str:
    return str(config["configurable"]["thread_id"])


def ns_of(config: RunnableConfig) -> str:
    return str(config["configurable"].get("checkpoint_ns", ""))
