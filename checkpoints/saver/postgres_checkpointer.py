"""PostgreSQL: the official savers, whose tables are set up once however many processes come at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from copy import copy
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from signoff.checkpoints.db.postgres import PostgresAddress
from signoff.checkpoints.errors import DatabaseUnusable, KeyMissing, Unstorable
from signoff.checkpoints.saver.encoding.encryption import Cipher
from signoff.checkpoints.saver.encoding.serializer import StrictSerializer

if TYPE_CHECKING:
    from signoff.checkpoints.process_identity import Fence

_SETUP_LOCK: Final = 0x5169_6E0F_0000_0001
"""Number of the advisory lock that is held while the tables are made."""
_SETUP_SECONDS: Final = 120.0
_PAUSE_SECONDS: Final = 0.05


class PostgresOpening:
    """Opens an official saver: `with` the sync one, `async with` the async one. A lost connection is renewed."""

    def __init__(
        self, address: str, *, types: Iterable[type | tuple[str, str]] = (), key: str | bytes | None = None
    ) -> None:
        self._server = Server(address)
        self._serde = EncryptingSerializer(PostgresCipher(self._server.name, key), StrictSerializer(types))
        self._stack, self._async_stack = ExitStack(), AsyncExitStack()

    def __enter__(self) -> BaseCheckpointSaver[Any]:
        self._server.set_up()
        return EncryptingSaver(self._stack.enter_context(ExplainedPool(self._server)), serde=self._serde)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def __aenter__(self) -> BaseCheckpointSaver[Any]:
        await asyncio.to_thread(self._server.set_up)
        pool = await self._async_stack.enter_async_context(AsyncExplainedPool(self._server))
        return AsyncEncryptingSaver(pool, serde=self._serde, database=self._server.name)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._async_stack.aclose()


class Server:
    """One database of a PostgreSQL server, and its tables."""

    def __init__(self, address: str) -> None:
        self._place = PostgresAddress(address)
        self.address, self.name = address, self._place.name
        usual = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self.options: dict[str, Any] = self._place.options | usual
        one = {"min_size": 1, "max_size": 1}  # the saver does one thing at a time
        self.pool: dict[str, Any] = {"conninfo": address, "kwargs": self.options, "open": False, **one}
        """How a pool of its connections is made."""

    def set_up(self) -> None:
        """Make or migrate the tables if need be; DatabaseUnusable if the database cannot be used."""
        with self.explaining(), psycopg.connect(self.address, **self.options) as connection:
            _set_up(connection)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """What the server or the driver raises is DatabaseUnusable, in one line and without the password."""
        try:
            yield
        except psycopg.Error as error:
            raise DatabaseUnusable(self.name, self._place.tell(error)) from None
        except TimeoutError as error:
            raise DatabaseUnusable(self.name, str(error)) from None


class ExplainedPool(ConnectionPool[psycopg.Connection[DictRow]]):
    """Whatever goes wrong while one of its connections is used is explained; a lost one is renewed."""

    def __init__(self, server: Server) -> None:
        self._server = server
        super().__init__(**server.pool, check=ConnectionPool.check_connection)

    @contextmanager
    def connection(self, timeout: float | None = None) -> Iterator[psycopg.Connection[DictRow]]:
        with self._server.explaining(), super().connection(timeout) as connection:
            yield connection


class AsyncExplainedPool(AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]):
    """The same for event loops."""

    def __init__(self, server: Server) -> None:
        self._server = server
        super().__init__(**server.pool, check=AsyncConnectionPool.check_connection)

    @asynccontextmanager
    async def connection(self, timeout: float | None = None) -> AsyncIterator[psycopg.AsyncConnection[DictRow]]:
        with self._server.explaining():
            async with super().connection(timeout) as connection:
                yield connection


def _set_up(connection: psycopg.Connection[DictRow]) -> None:
    saver, until = PostgresSaver(connection), time.monotonic() + _SETUP_SECONDS
    while not _is_set_up(connection):
        # Waiting inside the server would hold a snapshot, and CREATE INDEX CONCURRENTLY waits for all snapshots to end:
        # the two would wait for each other.
        row = connection.execute("SELECT pg_try_advisory_lock(%s) AS held", (_SETUP_LOCK,)).fetchone()
        if row and row["held"]:
            try:
                saver.setup()
            finally:
                connection.execute("SELECT pg_advisory_unlock(%s)", (_SETUP_LOCK,))
            return
        if time.monotonic() > until:
            raise TimeoutError(f"another process has been setting up the tables for {_SETUP_SECONDS:.0f} s")
        time.sleep(_PAUSE_SECONDS)


def _is_set_up(connection: psycopg.Connection[DictRow]) -> bool:
    """Whether the tables are there and no older than the installed saver."""
    row = connection.execute("SELECT to_regclass('checkpoint_migrations') IS NOT NULL AS made").fetchone()
    if not row or not row["made"]:
        return False
    row = connection.execute("SELECT max(v) AS version FROM checkpoint_migrations").fetchone()
    return bool(row and row["version"] is not None and row["version"] >= len(PostgresSaver.MIGRATIONS) - 1)


_NAME: Final = "signoff"
"""Name of the cipher in the kind of an encrypted value, such as `msgpack+signoff`."""
_CONTEXT: Final = b"postgresql"  # a serializer is not told where its bytes will stand

SaverT = TypeVar("SaverT", bound=BaseCheckpointSaver[Any])
AsyncConnected = psycopg.AsyncConnection[DictRow] | AsyncConnectionPool[psycopg.AsyncConnection[DictRow]]


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A text, number, truth or None of a channel."""

    value: str | int | float | bool | None


class EncryptingSerializer(EncryptedSerializer):
    """The strict serializer, and encryption if there is a key."""

    def __init__(self, cipher: PostgresCipher, serde: StrictSerializer) -> None:
        super().__init__(cipher, serde)
        self._own_cipher, self._strict = cipher, serde

    @property
    def encrypts(self) -> bool:
        return self._own_cipher.has_key

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        """Kind and bytes of a value; a wrapped one is read back as what is in it."""
        value = obj.value if isinstance(obj, Wrapped) else obj
        return super().dumps_typed(value) if self.encrypts else self._strict.dumps_typed(value)

    def with_msgpack_allowlist(self, extra: Collection[tuple[str, ...]]) -> EncryptingSerializer:
        pairs = [(".".join(names[:-1]), names[-1]) for names in extra]
        return EncryptingSerializer(self._own_cipher, self._strict.with_msgpack_allowlist(pairs))


class PostgresCipher(CipherProtocol):
    """Our cipher as LangGraph calls one; without a key it can only tell that there is none."""

    def __init__(self, database: str, key: str | bytes | None) -> None:
        self._database = database
        self._cipher = Cipher(key) if key is not None else None

    @property
    def has_key(self) -> bool:
        return self._cipher is not None

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        """The cipher's name and the encrypted bytes."""
        return _NAME, self._opened().seal(plaintext, _CONTEXT)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        """What was encrypted; KeyMissing without a key, WrongKey if it was with another."""
        if ciphername != _NAME:
            raise Unstorable(f"data encrypted by {ciphername!r}", "not our cipher", "Read it with what wrote it.")
        return self._opened().open(ciphertext, _CONTEXT)

    def _opened(self) -> Cipher:
        if self._cipher is None:
            raise KeyMissing(self._database)
        return self._cipher


class EncryptingSaver(PostgresSaver):
    """The official sync saver."""

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return super().put(config, _wrapped(self, checkpoint), metadata, new_versions)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> EncryptingSaver:
        return _list_more(self, extra_allowlist)


class AsyncEncryptingSaver(AsyncPostgresSaver):
    """The official async saver."""

    def __init__(self, connection: AsyncConnected, *, serde: SerializerProtocol, database: str) -> None:
        super().__init__(connection, serde=serde)
        self.database = database
        """The address, without the password."""

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return await super().aput(config, _wrapped(self, checkpoint), metadata, new_versions)

    def with_allowlist(self, extra_allowlist: Collection[tuple[str, ...]]) -> AsyncEncryptingSaver:
        return _list_more(self, extra_allowlist)

    def fenced(self, fence: Fence, ledger: str) -> BaseCheckpointSaver[Any]:
        """This saver for one claim of a run; itself if the ledger is another database."""
        return FencedSaver(self, fence) if ledger == self.database else self


class FencedSaver(AsyncEncryptingSaver):
    """The same for one claim of a run: what it writes is written in a transaction in which the claim still stands."""

    def __init__(self, saver: AsyncEncryptingSaver, fence: Fence) -> None:
        vars(self).update(vars(saver))  # made in a thread: the official saver is made in its loop only
        self._fence = fence

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        async with self._standing() as saver:
            return await saver.aput(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        async with self._standing() as saver:
            await saver.aput_writes(config, writes, task_id, task_path)

    @asynccontextmanager
    async def _standing(self) -> AsyncIterator[AsyncEncryptingSaver]:
        """A saver in one transaction, amid which nobody else can claim the run."""
        assert isinstance(self.conn, AsyncConnectionPool)
        async with self.lock, self.conn.connection() as connection, connection.transaction():
            query = "SELECT owner FROM runs WHERE id = %s FOR SHARE"
            claimed = await (await connection.execute(query, (self._fence.run_id,))).fetchone()
            self._fence.check(claimed["owner"] if claimed else None)
            yield AsyncEncryptingSaver(connection, serde=self.serde, database=self.database)


def _wrapped(saver: BaseCheckpointSaver[Any], checkpoint: Checkpoint) -> Checkpoint:
    """The checkpoint with every plain value wrapped, if there is a key."""
    if not (isinstance(saver.serde, EncryptingSerializer) and saver.serde.encrypts):
        return checkpoint
    plain, values = (str, int, float, bool, type(None)), checkpoint["channel_values"]
    wrapped = {name: Wrapped(value) if isinstance(value, plain) else value for name, value in values.items()}
    return cast(Checkpoint, {**checkpoint, "channel_values": wrapped})


def _list_more(saver: SaverT, extra: Collection[tuple[str, ...]]) -> SaverT:
    clone = copy(saver)
    assert isinstance(saver.serde, EncryptingSerializer)
    clone.serde = saver.serde.with_msgpack_allowlist(extra)
    return clone
