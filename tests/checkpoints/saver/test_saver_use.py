"""One saver, used from anywhere: threads, event loops, running loops, while others write, when calls are cancelled."""

import asyncio
import copy
import random
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.pregel import Pregel

from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import UnlistedType

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds after which something that should have ended counts as hanging."""


@dataclass
class Ticket:
    title: str


@pytest.fixture
def saver(tmp_path: Path) -> Iterator[SqliteCheckpointer]:
    with SqliteCheckpointer(tmp_path / "checkpoints.db") as made:
        yield made


def at(thread: str, namespace: str = "") -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": namespace}}


def holding(**values: Any) -> Checkpoint:
    return {**empty_checkpoint(), "channel_values": values}


def chain(saver: SqliteCheckpointer, thread: str, count: int) -> RunnableConfig:
    """Put some checkpoints, one after the other; the config of the last."""
    latest = at(thread)
    for step in range(count):
        latest = saver.put(latest, holding(step=step), {"step": step}, {})
    return latest


def in_time(function: Callable[[], T]) -> T:
    """What the function returns, unless it hangs."""
    found: list[T] = []
    failed: list[BaseException] = []

    def call() -> None:
        try:
            found.append(function())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it hangs"
    if failed:
        raise failed[0]
    return found[0]


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in an event loop of its own, unless it hangs."""
    return in_time(lambda: asyncio.run(coroutine))


def talking(saver: SqliteCheckpointer) -> Pregel[Any, Any, Any, Any]:
    """A conversation in which each turn takes three steps."""

    def reply(state: MessagesState) -> dict[str, Any]:
        return {"messages": [AIMessage(f"answer {len(state['messages'])}")]}

    builder = StateGraph(MessagesState).add_node(reply).add_edge(START, "reply")
    builder.add_conditional_edges("reply", lambda state: END if len(state["messages"]) % 4 == 0 else "reply")
    return builder.compile(checkpointer=saver)


def turn(number: int) -> dict[str, Any]:
    return {"messages": [HumanMessage(f"question {number}")]}


def talk(graph: Pregel[Any, Any, Any, Any], thread: str, turns: int) -> None:
    for number in range(turns):
        graph.invoke(turn(number), at(thread))


async def atalk(graph: Pregel[Any, Any, Any, Any], thread: str, turns: int) -> None:
    for number in range(turns):
        await graph.ainvoke(turn(number), at(thread))


def is_whole(graph: Pregel[Any, Any, Any, Any], thread: str, turns: int) -> bool:
    """Whether this thread took all its steps, one after the other."""
    history = [*graph.get_state_history(at(thread))]
    counts = [len(snapshot.values.get("messages", [])) for snapshot in reversed(history)]
    return len(history) == 5 * turns and counts == sorted(counts) and counts[-1] == 4 * turns


def test_a_thread_goes_on_in_sync_and_async_calls_by_turns(saver: SqliteCheckpointer) -> None:
    graph = talking(saver)
    for number in range(4):
        if number % 2:
            run(atalk(graph, "t", 1))
        else:
            talk(graph, "t", 1)
    assert is_whole(graph, "t", 4)


def test_one_saver_serves_many_event_loops_and_threads_at_once(saver: SqliteCheckpointer) -> None:
    graph = talking(saver)

    async def several(loop: int) -> None:
        await asyncio.gather(*(atalk(graph, f"loop {loop} thread {number}", 3) for number in range(4)))

    def work() -> None:
        with ThreadPoolExecutor(6) as pool:
            loops = [pool.submit(asyncio.run, several(loop)) for loop in range(3)]
            calls = [pool.submit(talk, graph, f"call {number}", 3) for number in range(3)]
            for future in loops + calls:
                future.result()

    in_time(work)
    names = [f"loop {loop} thread {number}" for loop in range(3) for number in range(4)] + [
        "call 0",
        "call 1",
        "call 2",
    ]
    assert [name for name in names if not is_whole(graph, name, 3)] == []
    assert saver.check() == []


def test_a_graph_is_invoked_while_a_loop_runs_as_in_a_notebook(saver: SqliteCheckpointer) -> None:
    graph = talking(saver)

    async def cell() -> int:
        talk(graph, "t", 1)
        await atalk(graph, "t", 1)
        listed = [found async for found in saver.alist(at("t"))]
        return len(listed) + len([*saver.list(at("t"))])

    assert run(cell()) == 20


def test_a_saver_is_made_anywhere_and_used_elsewhere(tmp_path: Path) -> None:
    async def made() -> SqliteCheckpointer:
        saver = SqliteCheckpointer(tmp_path / "deep" / "folder" / "checkpoints.db")
        await saver.aput(at("t"), holding(a=1), {}, {})
        return saver

    saver = run(made())
    assert saver.get_tuple(at("t")) is not None
    assert run(saver.aget_tuple(at("t"))) is not None
    with ThreadPoolExecutor(1) as pool:
        pool.submit(saver.close).result()
    unused = SqliteCheckpointer(tmp_path / "unused.db")
    unused.close()
    assert not (tmp_path / "unused.db").exists()


def test_reading_each_while_listing_does_not_hang(saver: SqliteCheckpointer) -> None:
    chain(saver, "t", 40)

    async def alisted() -> list[Any]:
        return [await saver.aget_tuple(found.config) async for found in saver.alist(at("t"))]

    listed = in_time(lambda: [saver.get_tuple(found.config) for found in saver.list(at("t"))])
    assert [one.checkpoint["channel_values"]["step"] for one in listed if one] == [*range(39, -1, -1)]
    assert run(alisted()) == listed


def test_writing_and_deleting_while_listing_is_fine(saver: SqliteCheckpointer) -> None:
    chain(saver, "t", 70)

    def write_meanwhile() -> list[int]:
        steps = []
        for number, found in enumerate(saver.list(at("t"))):
            steps.append(found.checkpoint["channel_values"]["step"])
            saver.put(found.config, holding(step=1000 + number), {}, {})
            saver.put_writes(found.config, [("channel", number)], "task")
        return steps

    assert in_time(write_meanwhile) == [*range(69, -1, -1)]
    assert len([*saver.list(at("t"))]) == 140

    def delete_meanwhile() -> int:
        deleted = []
        for found in saver.list(at("t")):
            saver.delete_thread("t")
            deleted.append(found)
        return len(deleted)

    assert 1 <= in_time(delete_meanwhile) < 140
    assert [*saver.list(at("t"))] == []


def test_only_what_is_asked_for_of_a_list_is_read(tmp_path: Path) -> None:
    """The oldest checkpoint cannot be read by this saver, so whoever reads it unasked is found out."""
    database = tmp_path / "checkpoints.db"
    with SqliteCheckpointer(database, types=[Ticket]) as saver:
        saver.put(at("t"), holding(ticket=Ticket("listed")), {"step": -1}, {})
        chain(saver, "t", 60)
    with SqliteCheckpointer(database) as saver:
        assert len([*islice(saver.list(at("t")), 3)]) == 3
        assert len([*saver.list(at("t"), limit=60)]) == 60
        assert len([*saver.list(at("t"), filter={"step": 7}, limit=1)]) == 1

        async def first() -> int:
            async for found in saver.alist(at("t")):
                return int(found.checkpoint["channel_values"]["step"])
            return -1

        assert run(first()) == 59
        with pytest.raises(UnlistedType, match="Ticket"):
            list(saver.list(at("t")))


@pytest.fixture
def hasty_threads() -> Iterator[None]:
    """Threads take turns a thousand times as often, so that they meet everywhere."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("hasty_threads")
def test_the_same_value_is_written_from_many_threads_at_once(saver: SqliteCheckpointer) -> None:
    """Each may refer to what another is about to write; all come through, in whichever order they are written."""
    parent = chain(saver, "t", 1)
    together = threading.Barrier(8)
    errors: list[Exception] = []

    def work(number: int) -> None:
        for step in range(60):
            big = f"{step} " * 300
            together.wait(PATIENCE)
            try:
                if number % 2:
                    saver.put_writes(parent, [("one", big), ("many", [big] * 3)], f"task {number} {step}")
                else:
                    latest = saver.put(at("t", f"space {number}"), holding(one=big, many=[big] * 9), {}, {})
                    saver.put(latest, holding(one=big, many=[big] * 9), {}, {})
            except Exception as error:
                errors.append(error)

    with ThreadPoolExecutor(8) as pool:
        for future in [pool.submit(work, number) for number in range(8)]:
            future.result()
    assert errors == []
    found = saver.get_tuple(parent)
    assert found is not None
    assert sorted(task for task, channel, _ in found.pending_writes or [] if channel == "many") == sorted(
        f"task {number} {step}" for number in (1, 3, 5, 7) for step in range(60)
    )
    for task, channel, value in found.pending_writes or []:
        big = f"{task.split()[-1]} " * 300
        assert value == (big if channel == "one" else [big] * 3)
    assert saver.check() == []


class Waiting(JsonPlusSerializer):
    """Takes its time over one text."""

    def __init__(self, text: str) -> None:
        super().__init__(allowed_msgpack_modules=None)
        self.text, self.begun, self.may_go_on = text, threading.Event(), threading.Event()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        if obj == self.text:
            self.begun.set()
            self.may_go_on.wait(PATIENCE)
        return super().dumps_typed(obj)


def test_what_a_cancelled_call_had_prepared_is_written_by_the_next_that_needs_it(tmp_path: Path) -> None:
    big = "big " * 200
    serde = Waiting(big)
    database = tmp_path / "checkpoints.db"
    with SqliteCheckpointer(database) as before:
        latest = chain(before, "t", 1)

    async def work(saver: SqliteCheckpointer) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
        put = asyncio.create_task(saver.aput(latest, holding(big=big), {}, {}))
        while not serde.begun.is_set():
            await asyncio.sleep(0)
        put.cancel()
        await asyncio.wait([put])
        serde.may_go_on.set()
        await asyncio.to_thread(int)  # comes after what the only worker was doing
        await saver.aput_writes(latest, [("big", big)], "task")

    with SqliteCheckpointer(database, serde=serde) as saver:
        run(work(saver))
    with SqliteCheckpointer(database) as fresh:
        found = fresh.get_tuple(latest)
        assert found is not None
        assert found.pending_writes == [("task", "big", big)]


def test_a_cancelled_call_leaves_nothing_half_done_and_disturbs_no_other(tmp_path: Path) -> None:
    database, dice = tmp_path / "checkpoints.db", random.Random(3)
    state: list[dict[str, Any]] = []
    tried: dict[str, Any] = {}
    promised: set[str] = set()

    async def work(saver: SqliteCheckpointer) -> None:
        latest = at("t")
        for step in range(150):
            state.append({"step": step, "text": "word " * 300})
            state[dice.randrange(len(state))]["text"] = f"edited {step} " * 90
            checkpoint = holding(rows=state)
            tried[checkpoint["id"]] = copy.deepcopy(state)
            beside: RunnableConfig = {"configurable": {**latest["configurable"], "checkpoint_id": checkpoint["id"]}}
            put = asyncio.create_task(saver.aput(latest, checkpoint, {}, {}))
            wrote = asyncio.create_task(saver.aput_writes(beside, [("rows", state[-1])], "task"))
            if step % 2:
                for _ in range(dice.randrange(5)):
                    await asyncio.sleep(0)
                put.cancel()
            await asyncio.wait([put, wrote])
            assert wrote.exception() is None
            if not put.cancelled():
                latest = put.result()
                promised.add(checkpoint["id"])

    with SqliteCheckpointer(database) as saver:
        run(work(saver))
    with SqliteCheckpointer(database) as fresh:
        read = {found.checkpoint["id"]: found.checkpoint["channel_values"]["rows"] for found in fresh.list(None)}
        assert promised <= read.keys()
        assert read == {name: tried[name] for name in read}
        assert fresh.check() == []


def test_a_message_that_a_node_edits_is_saved_though_the_node_returns_nothing_of_it(saver: SqliteCheckpointer) -> None:
    def edit(state: MessagesState) -> dict[str, Any]:
        state["messages"][0].content = f"edited {len(state['messages'])}"
        return {"messages": [AIMessage("done")]}

    def look(state: MessagesState) -> dict[str, Any]:
        state["messages"][1].additional_kwargs["seen"] = [1]
        return {}

    builder = StateGraph(MessagesState).add_node(edit).add_node(look).add_edge(START, "edit").add_edge("edit", "look")
    graph: Pregel[Any, Any, Any, Any] = builder.compile(checkpointer=saver)
    for number in (1, 2):
        graph.invoke(turn(number), at("t"), durability="sync")  # else the node may be faster than the put before it
    with SqliteCheckpointer(saver.database) as fresh:
        found = fresh.get_tuple(at("t"))
        assert found is not None
        messages = found.checkpoint["channel_values"]["messages"]
        assert [message.content for message in messages] == ["edited 3", "done", "question 2", "done"]
        assert messages[1].additional_kwargs == {"seen": [1]}
        first = [*fresh.list(at("t"))][-2].checkpoint["channel_values"]["messages"]
        assert [message.content for message in first] == ["question 1"]
