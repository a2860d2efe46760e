"""What PostgreSQL refuses is told in one line, as an error of signoff's own, whichever method of a saver meets it."""

import asyncio
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint

from signoff.checkpoints import open_saver
from signoff.errors import DatabaseUnusable

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t-1", "checkpoint_ns": "", "checkpoint_id": "c-1"}}
TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes")

Saver = BaseCheckpointSaver[Any]
SPOILED = {
    "gone": "DROP TABLE {}",
    "renamed": "ALTER TABLE {} RENAME TO elsewhere_{}",
    "of other columns": "ALTER TABLE {} DROP COLUMN thread_id CASCADE",
    "refusing": "ALTER TABLE {} ADD CONSTRAINT never CHECK (false) NOT VALID",
}

CALLS: dict[str, Callable[[Saver], Any]] = {
    "get_tuple": lambda saver: saver.get_tuple(CONFIG),
    "list": lambda saver: list(saver.list(CONFIG)),
    "put": lambda saver: saver.put(CONFIG, {**empty_checkpoint(), "channel_values": {"a": [1]}}, {}, {"a": "1"}),
    "put_writes": lambda saver: saver.put_writes(CONFIG, [("a", [1])], "task"),
    "delete_thread": lambda saver: saver.delete_thread("t-1"),
}


async def _listed(saver: Saver) -> list[Any]:
    return [found async for found in saver.alist(CONFIG)]


ASYNC_CALLS: dict[str, Callable[[Saver], Any]] = {
    "aget_tuple": lambda saver: saver.aget_tuple(CONFIG),
    "alist": _listed,
    "aput": lambda saver: saver.aput(CONFIG, {**empty_checkpoint(), "channel_values": {"a": [1]}}, {}, {"a": "1"}),
    "aput_writes": lambda saver: saver.aput_writes(CONFIG, [("a", [1])], "task"),
    "adelete_thread": lambda saver: saver.adelete_thread("t-1"),
}


def execute(address: str, statement: str) -> None:
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(statement.encode())


def spoil(address: str, way: str) -> None:
    for table in TABLES:
        execute(address, SPOILED[way].format(table, table))


def check_told(error: DatabaseUnusable, address: str) -> None:
    assert error.database.startswith("postgresql://")
    assert "\n" not in str(error)
    assert error.__suppress_context__
    assert address not in str(error)


def refused(way: str, call: str) -> bool:
    return way != "refusing" or "put" in call


@pytest.mark.parametrize("way", SPOILED)
def test_what_the_server_refuses_is_told_by_every_method(address: str, way: str) -> None:
    with open_saver(address) as saver:
        for call in CALLS.values():
            call(saver)
        spoil(address, way)
        for name, call in CALLS.items():
            if refused(way, name):
                with pytest.raises(DatabaseUnusable) as told:
                    call(saver)
                check_told(told.value, address)


@pytest.mark.parametrize("way", SPOILED)
def test_what_the_server_refuses_is_told_by_every_asynchronous_method(address: str, way: str) -> None:
    async def use() -> None:
        async with open_saver(address) as saver:
            for call in ASYNC_CALLS.values():
                await call(saver)
            await asyncio.to_thread(spoil, address, way)
            for name, call in ASYNC_CALLS.items():
                if refused(way, name):
                    with pytest.raises(DatabaseUnusable) as told:
                        await call(saver)
                    check_told(told.value, address)

    asyncio.run(use())


def test_a_connection_that_was_cut_off_is_renewed(address: str) -> None:
    others = "FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()"
    with open_saver(address) as saver:
        CALLS["put"](saver)
        execute(address, f"SELECT pg_terminate_backend(pid) {others}")
        assert len(list(saver.list({"configurable": {"thread_id": "t-1"}}))) == 1
