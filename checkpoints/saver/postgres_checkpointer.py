"""PostgreSQL: the official savers, whose tables are set up once however many processes come at the same time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from types import TracebackType
from typing import Any, Final

import psycopg
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, ConnectionPool

from signoff.checkpoints.db.postgres_address import PostgresAddress
from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.checkpoints.saver.postgres_saver import AsyncSealedSaver, PostgresCipher, SealedSaver, SealingSerializer
from signoff.errors import DatabaseUnusable

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
        self._serde = SealingSerializer(PostgresCipher(self._server.name, key), StrictSerializer(types))
        self._stack, self._async_stack = ExitStack(), AsyncExitStack()

    def __enter__(self) -> BaseCheckpointSaver[Any]:
        return self._stack.enter_context(self._opened())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    async def __aenter__(self) -> BaseCheckpointSaver[Any]:
        return await self._async_stack.enter_async_context(self._aopened())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._async_stack.aclose()

    @contextmanager
    def _opened(self) -> Iterator[SealedSaver]:
        self._server.set_up()
        kept = ConnectionPool[psycopg.Connection[DictRow]](
            self._server.address,
            kwargs=self._server.options,
            min_size=1,
            max_size=1,  # the saver does one thing at a time
            check=ConnectionPool.check_connection,
            open=False,
        )
        with kept as pool:
            yield SealedSaver(pool, serde=self._serde)

    @asynccontextmanager
    async def _aopened(self) -> AsyncIterator[AsyncSealedSaver]:
        await asyncio.to_thread(self._server.set_up)
        kept = AsyncConnectionPool[psycopg.AsyncConnection[DictRow]](
            self._server.address,
            kwargs=self._server.options,
            min_size=1,
            max_size=1,
            check=AsyncConnectionPool.check_connection,
            open=False,
        )
        async with kept as pool:
            yield AsyncSealedSaver(pool, serde=self._serde)


class Server:
    """One database of a PostgreSQL server, and its tables."""

    def __init__(self, address: str) -> None:
        self._place = PostgresAddress(address)
        self.address, self.name = address, self._place.name
        self.options: dict[str, Any] = {
            **self._place.options,
            "autocommit": True,
            "prepare_threshold": 0,
            "row_factory": dict_row,
        }

    def set_up(self) -> None:
        """Make or migrate the tables if need be; DatabaseUnusable if the database cannot be used."""
        try:
            with psycopg.connect(self.address, **self.options) as connection:
                _set_up(connection)
        except psycopg.Error as error:
            raise DatabaseUnusable(self.name, self._place.tell(error)) from None
        except TimeoutError as error:
            raise DatabaseUnusable(self.name, str(error)) from None


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
