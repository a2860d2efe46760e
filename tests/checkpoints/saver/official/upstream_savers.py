"""In place of `conftest_checkpointer.py` of LangGraph's tests: what they ask for by name is our saver, in each form."""

import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from signoff.checkpoints.saver.saver import SqliteCheckpointer


def options() -> dict[str, Any]:
    """Their states hold classes that stand in functions, which the strict serializer does not list."""
    return {"serde": JsonPlusSerializer()}


@contextmanager
def _checkpointer_memory() -> Iterator[SqliteCheckpointer]:
    with SqliteCheckpointer.from_conn_string(":memory:", **options()) as saver:
        yield saver


@contextmanager
def _checkpointer_sqlite() -> Iterator[SqliteCheckpointer]:
    with tempfile.TemporaryDirectory() as folder, SqliteCheckpointer(Path(folder, "a.db"), **options()) as saver:
        yield saver


@contextmanager
def _checkpointer_sqlite_aes() -> Iterator[SqliteCheckpointer]:
    sealed = {"key": bytes(range(32)), **options()}
    with tempfile.TemporaryDirectory() as folder, SqliteCheckpointer(Path(folder, "a.db"), **sealed) as saver:
        yield saver


@asynccontextmanager
async def _checkpointer_sqlite_aio() -> AsyncIterator[SqliteCheckpointer]:
    with tempfile.TemporaryDirectory() as folder:
        async with SqliteCheckpointer(Path(folder, "a.db"), **options()) as saver:
            yield saver


def _never() -> NoReturn:
    raise NotImplementedError("only asked for where databases run in containers")


_checkpointer_memory_migrate_sends = _checkpointer_postgres = _checkpointer_postgres_pipe = _never
_checkpointer_postgres_pool = _checkpointer_postgres_aio = _checkpointer_postgres_aio_pipe = _never
_checkpointer_postgres_aio_pool = _never
