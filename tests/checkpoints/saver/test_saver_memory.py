"""Made as LangGraph's own savers are, by `from_conn_string`; and in memory, through all that a file goes through."""

from __future__ import annotations

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph

from signoff import SqliteCheckpointer
from signoff.errors import SettingsError, UnlistedType

THREADS = 12
STEPS = 8


@dataclass
class Reading:
    metres: float


def chat() -> StateGraph[MessagesState]:
    builder = StateGraph(MessagesState)
    builder.add_node("answer", lambda state: {"messages": [("ai", f"message {len(state['messages'])}")]})
    builder.add_edge(START, "answer")
    return builder


def said(text: str) -> Any:
    return {"messages": [("user", text)]}


def thread(name: str) -> Any:
    return {"configurable": {"thread_id": name}}


@pytest.mark.parametrize("name", [":memory:", "chat.db"])
def test_a_saver_is_made_from_a_connection_string_for_with_and_for_async_with(home: Path, name: str) -> None:
    question = said("hello")

    async def ask() -> int:
        async with SqliteCheckpointer.from_conn_string(name) as saver:
            graph = chat().compile(checkpointer=saver)
            await graph.ainvoke(question, thread("async"))
            return len((await graph.ainvoke(question, thread("async")))["messages"])

    with SqliteCheckpointer.from_conn_string(name) as saver:
        graph = chat().compile(checkpointer=saver)
        graph.invoke(question, thread("sync"))
        assert len(graph.invoke(question, thread("sync"))["messages"]) == 4
    assert asyncio.run(ask()) == 4
    assert os.listdir() == ([] if name == ":memory:" else sorted([name]))


def test_options_go_on_to_the_saver_and_an_address_is_refused_with_what_opens_it(home: Path) -> None:
    stored: Any = {"configurable": {"thread_id": "1", "checkpoint_ns": "", "checkpoint_id": "1"}}
    with SqliteCheckpointer.from_conn_string(":memory:", types=[Reading], key=b"k" * 32) as saver:
        saver.put_writes(stored, [("tide", Reading(3.2))], task_id="measure")
        assert saver.stats().encrypted
    with SqliteCheckpointer.from_conn_string(":memory:") as saver, pytest.raises(UnlistedType):
        saver.put_writes(stored, [("tide", Reading(3.2))], task_id="measure")
    with pytest.raises(SettingsError, match=r"signoff\.open_saver"):
        SqliteCheckpointer.from_conn_string("postgresql://localhost/agents")


def test_many_threads_share_one_memory_and_nothing_is_lost(home: Path) -> None:
    with SqliteCheckpointer(":memory:", busy_seconds=60) as saver:
        graph = chat().compile(checkpointer=saver)

        def talk(number: int) -> int:
            for _ in range(STEPS):
                state = graph.invoke(said("again"), thread(str(number)))
            return len(state["messages"])

        with ThreadPoolExecutor(THREADS) as pool:
            assert list(pool.map(talk, range(THREADS))) == [2 * STEPS] * THREADS
        found = saver.stats()
        assert found.threads == THREADS
        assert found.size > 0
        assert saver.check() == []
        assert os.listdir() == []


def test_each_saver_has_a_memory_of_its_own_which_is_gone_when_it_is_closed(home: Path) -> None:
    first, second = SqliteCheckpointer(":memory:"), SqliteCheckpointer(":memory:")
    chat().compile(checkpointer=first).invoke(said("hello"), thread("1"))
    assert first.get_tuple(thread("1")) is not None
    assert second.get_tuple(thread("1")) is None
    first.close()
    assert first.get_tuple(thread("1")) is None
    second.close()
    first.close()


def test_a_view_of_it_a_lease_a_copy_and_a_backup_work_as_with_a_file(home: Path) -> None:
    with SqliteCheckpointer(":memory:") as saver:
        view = saver.leased("worker-1")
        chat().compile(checkpointer=view).invoke(said("hello"), thread("1"))
        saver.copy_thread("1", "2")
        saver.delete_thread("1")
        assert saver.get_tuple(thread("1")) is None
        saver.backup("kept.db")
    with SqliteCheckpointer("kept.db") as kept:
        found = kept.get_tuple(thread("2"))
        assert found is not None
        assert len(found.checkpoint["channel_values"]["messages"]) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_a_copy_and_the_parent_goes_on(home: Path) -> None:
    with SqliteCheckpointer(":memory:") as saver:
        graph = chat().compile(checkpointer=saver)
        graph.invoke(said("hello"), thread("1"))
        child = os.fork()
        if child == 0:
            state = graph.invoke(said("from the child"), thread("1"))
            os._exit(len(state["messages"]))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
        state = graph.invoke(said("and now?"), thread("1"))
        assert [message.text for message in state["messages"]] == ["hello", "message 1", "and now?", "message 3"]
