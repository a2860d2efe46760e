"""A pytest plugin for LangGraph's own tests: they get the savers named by `SAVERS`, in a file each.

Loaded with `-p upstream_savers`, so before their conftest.py takes the savers over. Runs only the tests that use one.
"""

import importlib
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver

from signoff.checkpoints.saver.saver import SqliteCheckpointer

USED_BY = {("sync_checkpointer", "sqlite"), ("async_checkpointer", "sqlite_aio")}
"""Parameters of the tests that get a saver from here."""


@contextmanager
def database() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        yield str(Path(folder, "saver.db"))


def signoff_saver(path: str) -> SqliteCheckpointer:
    """Ours, unpacking any type as the official ones do by default: those tests keep types of their own."""
    return SqliteCheckpointer(path, serde=JsonPlusSerializer())


@contextmanager
def official() -> Iterator[SqliteSaver]:
    with database() as path, SqliteSaver.from_conn_string(path) as saver:
        yield saver


@asynccontextmanager
async def official_async() -> AsyncIterator[AsyncSqliteSaver]:
    with database() as path:
        async with AsyncSqliteSaver.from_conn_string(path) as saver:
            yield saver


@contextmanager
def ours() -> Iterator[SqliteCheckpointer]:
    with database() as path, signoff_saver(path) as saver:
        yield saver


@asynccontextmanager
async def ours_async() -> AsyncIterator[SqliteCheckpointer]:
    with database() as path:
        async with signoff_saver(path) as saver:
            yield saver


SAVERS = {"official": (official, official_async), "signoff": (ours, ours_async)}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Put our choice where their conftest.py looks for savers."""
    provided = importlib.import_module("tests.conftest_checkpointer")
    replaced = ("_checkpointer_sqlite", "_checkpointer_sqlite_aio")
    for name, saver in zip(replaced, SAVERS[os.environ["SAVERS"]], strict=True):
        if not hasattr(provided, name):
            raise pytest.UsageError(f"{provided.__file__} has no {name}: this checkout is arranged in another way.")
        setattr(provided, name, saver)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests that use no saver of ours."""
    chosen = [item for item in items if USED_BY & params(item)]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


def params(item: pytest.Item) -> set[tuple[str, object]]:
    """Names and values a test is called with, as far as they are words."""
    called = getattr(item, "callspec", None)
    return {(name, value) for name, value in called.params.items() if isinstance(value, str)} if called else set()
