"""The file holds what is new, once, and gives back what is deleted. All figures are counted bytes."""

import asyncio
import operator
import random
import sqlite3
import statistics
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, MessagesState, StateGraph

from signoff.checkpoints.saver import writer
from signoff.checkpoints.saver.saver import SqliteCheckpointer

MEGABYTE = 1_000_000
COUNTS = [50, 200, 500, 1000]
"""After how many messages the file is looked at."""


def at(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}, "recursion_limit": 10_000}


def message(number: int) -> AIMessage:
    """A message of one kilobyte that shares nothing with any other."""
    text = "".join(f"{number * 7919 % 10_007 + part * 104_729 % 1_000_003:07d} " for part in range(115))
    return AIMessage(content=text[:920], id=f"message-{number:06d}")


def packed_size(number: int) -> int:
    return len(JsonPlusSerializer().dumps_typed(message(number))[1])


def size_of(database: Path) -> int:
    """The bytes of the file and of what is beside it."""
    return sum(path.stat().st_size for path in database.parent.glob(f"{database.name}*"))


class Growing(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], operator.add]
    until: int


def grow(database: Path, *counts: int, key: bytes | None = None) -> list[int]:
    """Run a graph that adds a message with each step, in one thread; the size of the closed file after so many."""

    def add(state: Growing) -> dict[str, Any]:
        return {"messages": [message(len(state["messages"]))]}

    def is_done(state: Growing) -> str:
        return END if len(state["messages"]) >= state["until"] else "add"

    builder = StateGraph(Growing).add_node(add).add_edge(START, "add").add_conditional_edges("add", is_done)
    sizes = []
    for count in counts:
        with SqliteCheckpointer(database, key=key) as saver:
            found = builder.compile(checkpointer=saver).invoke({"until": count}, at("t"))
            assert len(found["messages"]) == count
        sizes.append(size_of(database))
    return sizes


def test_a_thousand_messages_take_little_more_room_than_themselves_and_growth_is_linear(tmp_path: Path) -> None:
    sizes = dict(zip(COUNTS, grow(tmp_path / "checkpoints.db", *COUNTS), strict=True))
    own = sum(map(packed_size, range(1000)))
    assert 1_000_000 < own < 1_130_000
    assert sizes[1000] <= 2.5 * own
    slope, start = statistics.linear_regression(COUNTS, [sizes[count] for count in COUNTS])
    for count, size in sizes.items():
        assert abs(start + slope * count - size) <= 0.05 * size + 60_000, sizes
    assert (sizes[1000] - sizes[500]) / 500 <= 1.15 * (sizes[500] - sizes[50]) / 450, sizes


class Queue(TypedDict, total=False):
    waiting: list[dict[str, str]]


def pieces_of(database: Path, count: int) -> int:
    """Work a queue of so many jobs off, each step writing all that is left; the pieces that were stored."""

    def work(state: Queue) -> Queue:
        return {"waiting": state["waiting"][1:]}

    builder = StateGraph(Queue).add_node(work).add_edge(START, "work")
    builder.add_conditional_edges("work", lambda state: "work" if state["waiting"] else END)
    jobs = [{f"part {part}": f"{job} {part} " * 30 for part in range(12)} for job in range(count)]
    with SqliteCheckpointer(database) as saver:
        builder.compile(checkpointer=saver).invoke({"waiting": jobs}, at("t"))
    with closing(sqlite3.connect(database)) as connection:
        (pieces,) = connection.execute("SELECT count(*) FROM saver_pieces").fetchone()
    return int(pieces)


def test_a_list_that_is_written_again_without_its_first_item_stores_no_other_item_again(tmp_path: Path) -> None:
    """A queue of 40 would be stored as 20 items for each step, on average."""
    few, many = (pieces_of(tmp_path / f"{count}.db", count) / count for count in (20, 40))
    assert many < 1.2 * few, (few, many)


def test_encryption_adds_little(tmp_path: Path) -> None:
    (plain,) = grow(tmp_path / "plain.db", 200)
    (sealed,) = grow(tmp_path / "sealed.db", 200, key=b"k" * 32)
    assert plain < sealed < 1.3 * plain


class Carrying(TypedDict, total=False):
    blob: bytes
    step: int


def test_a_large_value_that_stays_the_same_is_stored_once(tmp_path: Path) -> None:
    database = tmp_path / "checkpoints.db"
    blob = random.Random(4).randbytes(5_000_000)

    def count(state: Carrying) -> dict[str, Any]:
        return {"step": state["step"] + 1}

    builder = StateGraph(Carrying).add_node(count).add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: END if state["step"] == 20 else "count")
    with SqliteCheckpointer(database) as saver:
        graph = builder.compile(checkpointer=saver)
        assert graph.invoke({"blob": blob, "step": 0}, at("t"))["step"] == 20
        graph.invoke({"step": 15}, at("t"))
        assert all(found.values["blob"] == blob for found in graph.get_state_history(at("t"), limit=20))
    assert len(blob) < size_of(database) < 1.2 * len(blob)


def test_an_edit_of_one_old_message_costs_about_one_message(tmp_path: Path) -> None:
    database = tmp_path / "checkpoints.db"
    (before,) = grow(database, 500)

    def edit(state: MessagesState) -> dict[str, Any]:
        state["messages"][7].content = "edited"
        return {"messages": [HumanMessage("done", id="done")]}

    with SqliteCheckpointer(database) as saver:
        graph = StateGraph(MessagesState).add_node(edit).add_edge(START, "edit").compile(checkpointer=saver)
        found = graph.invoke({"messages": []}, at("t"))
        assert [found["messages"][number].content for number in (7, -1)] == ["edited", "done"]
    assert size_of(database) - before < 30_000


@pytest.mark.parametrize("how", ["delete_thread", "prune", "delete_for_runs"])
def test_what_is_deleted_gives_its_room_back_and_leaves_others_alone(tmp_path: Path, how: str) -> None:
    database = tmp_path / "checkpoints.db"

    def answer(state: MessagesState) -> dict[str, Any]:
        return {"messages": [message(len(state["messages"]) + number) for number in range(200)]}

    builder = StateGraph(MessagesState).add_node(answer).add_edge(START, "answer")
    with SqliteCheckpointer(database) as saver:
        graph = builder.compile(checkpointer=saver)
        graph.invoke({"messages": []}, at("kept"))
    alone = size_of(database)
    with SqliteCheckpointer(database) as saver:
        graph = builder.compile(checkpointer=saver)
        for number in range(5):
            config: RunnableConfig = {**at("gone"), "metadata": {"run_id": f"run {number}"}}
            graph.invoke({"messages": []}, config)
    full = size_of(database)
    assert full > 3 * alone
    with SqliteCheckpointer(database) as saver:
        if how == "delete_for_runs":
            saver.delete_for_runs([f"run {number}" for number in range(5)])
        elif how == "prune":
            saver.prune(["gone"], strategy="delete")
        else:
            saver.delete_thread("gone")
        assert size_of(database) < alone + 100_000  # at once, not only when the file is closed
        kept = builder.compile(checkpointer=saver).get_state(at("kept"))
        assert len(kept.values["messages"]) == 200
        assert saver.check() == []
    assert size_of(database) < alone + 100_000


def test_what_a_task_wrote_and_the_checkpoint_that_follows_share_a_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "_STEP_WAIT", 60.0)  # however slow the machine is

    async def step(saver: SqliteCheckpointer) -> None:
        config: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        stored = await saver.aput(config, empty_checkpoint(), {}, {})
        log = empty_log(tmp_path / "saver.db")
        writes = asyncio.create_task(saver.aput_writes(stored, [("messages", "hello")], "task"))
        for _ in range(100):
            await asyncio.sleep(0)  # the loop goes on, as it does between the two
        await saver.aput(stored, empty_checkpoint(), {}, {})
        await writes
        assert commits_in(log.read_bytes()) == 1

    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        asyncio.run(step(saver))


def empty_log(database: Path) -> Path:
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
    return Path(f"{database}-wal")


def commits_in(log: bytes) -> int:
    """How many commits a write-ahead log holds: the last page of each says how many the file has then."""
    frame = 24 + int.from_bytes(log[8:12], "big")
    return sum(any(log[at + 4 : at + 8]) for at in range(32, len(log), frame))
