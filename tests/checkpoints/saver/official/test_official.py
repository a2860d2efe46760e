"""A file of LangGraph's own SqliteSaver, taken over: whatever that saver reads there, ours reads here."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
import warm
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import Command, Send, interrupt
from pydantic import BaseModel

from signoff.checkpoints.saver.official.importer import ImportedCounts, ImportProgress, import_official
from signoff.checkpoints.saver.rows import list_threads
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import UnlistedType


class Opinion(BaseModel):
    text: str


@dataclass
class Weather:
    degrees: int


@contextmanager
def official(path: Path, *types: type) -> Iterator[SqliteSaver]:
    """The official saver in this file."""
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        serde = JsonPlusSerializer(allowed_msgpack_modules=[(kind.__module__, kind.__name__) for kind in types])
        saver = SqliteSaver(connection, serde=serde)
        saver.setup()
        yield saver


def everything(saver: BaseCheckpointSaver[Any]) -> list[CheckpointTuple]:
    """All that can be read, in an order that does not depend on the saver."""
    found = list(saver.list(None))
    return sorted(found, key=lambda each: [each.config["configurable"][name] for name in PLACE])


PLACE = ("thread_id", "checkpoint_ns", "checkpoint_id")


def same(source: Path, target: Path, *types: type) -> bool:
    with official(source, *types) as theirs, SqliteCheckpointer(target, types=types) as ours:
        expected, found = everything(theirs), everything(ours)
        assert expected
        assert found == expected
        for each in expected:
            newest: RunnableConfig = {"configurable": {name: each.config["configurable"][name] for name in PLACE[:2]}}
            assert ours.get_tuple(newest) == theirs.get_tuple(newest)
        return True


def take_over(source: Path, target: Path, *types: type, **options: Any) -> ImportedCounts:
    with SqliteCheckpointer(target, types=types) as saver:
        return import_official(source, saver, **options)


class Talk(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]
    parts: Annotated[list[str], lambda old, new: old + new]
    blob: bytes
    count: int


class Thought(TypedDict):
    blob: bytes


def talk() -> "StateGraph[Talk]":
    """A graph with a subgraph, parallel tasks, a question to a person, and values of several kinds."""
    inner = StateGraph(Thought)
    inner.add_node("think", lambda state: {"blob": b"\x00\xff" * 50})
    inner.add_edge(START, "think")

    def ask(state: Talk) -> dict[str, Any]:
        answer = interrupt({"question": "Go on?"})
        return {"messages": [AIMessage(f"heard {answer}", id=f"a{state['count']}")], "count": state["count"] + 1}

    graph = StateGraph(Talk)
    graph.add_node("inner", inner.compile(checkpointer=True))
    graph.add_node("part", lambda given: {"parts": [given["parts"][0] * 2]})
    graph.add_node("ask", ask)
    graph.add_conditional_edges(START, lambda state: [Send("part", {**state, "parts": [mark]}) for mark in "ab"])
    graph.add_edge("part", "inner")
    graph.add_edge("inner", "ask")
    graph.add_edge("ask", END)
    return graph


def talk_into(saver: BaseCheckpointSaver[Any], *threads: str, turns: int = 2) -> None:
    """Some turns of conversation in each thread; the last question stays open."""
    graph = talk().compile(checkpointer=saver)
    for thread in threads:
        config: RunnableConfig = {"configurable": {"thread_id": thread}, "metadata": {"who": "ann \u2603"}}
        for turn in range(turns):
            given: Any = {"messages": [HumanMessage("hello", id=f"h{turn}")], "parts": [], "blob": b"", "count": turn}
            graph.invoke(given, config)
            if turn < turns - 1:
                graph.invoke(Command(resume=f"yes {turn}"), config)


def test_graphs_read_the_same_and_go_on_from_where_they_were(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    with official(source) as saver:
        talk_into(saver, "one", "two \u2603", "three")
    counts = take_over(source, target)
    assert counts.threads == 3
    assert counts.refused == ()
    assert counts.present == 0
    assert same(source, target)
    with official(source) as theirs, SqliteCheckpointer(target) as ours:
        assert counts.checkpoints == len(everything(theirs))
        config: RunnableConfig = {"configurable": {"thread_id": "two \u2603"}}
        ends = [talk().compile(checkpointer=saver).invoke(Command(resume="last"), config) for saver in (theirs, ours)]
    assert ends[0] == ends[1]
    assert ends[0]["messages"][-1].content == "heard last"


def test_forks_and_a_channel_of_deltas_read_the_same(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"

    class Log(TypedDict):
        lines: Annotated[list[str], DeltaChannel(lambda old, new: old + [line for part in new for line in part])]

    graph = StateGraph(Log)
    graph.add_node("write", lambda state: {"lines": [f"line {len(state['lines'])}"]})
    graph.add_edge(START, "write")
    config: RunnableConfig = {"configurable": {"thread_id": "log"}}
    with official(source) as saver:
        compiled = graph.compile(checkpointer=saver)
        for _ in range(5):
            compiled.invoke({"lines": ["begin"]}, config)
        history = list(compiled.get_state_history(config))
        compiled.invoke({"lines": ["fork"]}, history[6].config)
        expected = [state.values for state in compiled.get_state_history(config)]
    take_over(source, target)
    assert same(source, target)
    with SqliteCheckpointer(target) as ours:
        assert [state.values for state in graph.compile(checkpointer=ours).get_state_history(config)] == expected


def test_writes_keep_their_tasks_paths_and_places(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    config: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    first = [("a", 1), ("__interrupt__", "first?"), ("b", 2), ("__interrupt__", "second?"), ("a", 3)]
    again = [("a", "late"), ("late", 1), ("b", "late"), ("late", 3), ("a", "late"), ("new", 5)]
    with official(source) as saver:
        stored = saver.put(config, empty_checkpoint(), {}, {})
        saver.put_writes(stored, first, "task-2", "~path-1")
        saver.put_writes(stored, [("__error__", "no"), ("__resume__", [1])], "task-1", "~path-2")
        saver.put_writes(stored, [("c", None), ("d", b"raw")], "task-0", "~path-3")
    take_over(source, target)
    assert same(source, target)
    with official(source) as theirs, SqliteCheckpointer(target) as ours:
        for each in (theirs, ours):  # what is there already stays, what is new is added: only if the places are right
            each.put_writes(stored, again, "task-2", "~path-1")
    assert same(source, target)


def test_values_of_listed_types_read_the_same(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    with official(source, Opinion, Weather) as saver:
        put(saver, place_of("1"), {"opinion": Opinion(text="high"), "weather": [Weather(20)]})
    take_over(source, target, Opinion, Weather)
    assert same(source, target, Opinion, Weather)


def put(saver: BaseCheckpointSaver[Any], place: RunnableConfig, values: dict[str, Any]) -> RunnableConfig:
    versions: dict[str, Any] = dict.fromkeys(values, 1)
    checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": versions}
    return saver.put(place, checkpoint, {"source": "input", "step": -1}, versions)  # type: ignore[arg-type]  # it is one


def place_of(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


def test_a_type_that_is_not_listed_is_named_and_its_thread_is_not_there_at_all(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    with official(source, Opinion) as saver:
        talk_into(saver, "before")
        talk_into(saver, "mixed")
        put(saver, place_of("mixed"), {"opinion": Opinion(text="high")})
    with pytest.raises(UnlistedType, match=r"Opinion.*List it"):
        take_over(source, target)
    with SqliteCheckpointer(target) as saver:
        assert [each for each in everything(saver) if each.config["configurable"]["thread_id"] != "before"] == []
    assert take_over(source, target, Opinion).refused == ()
    assert same(source, target, Opinion)


def test_doing_it_again_skips_what_is_there_and_takes_what_is_new(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    with official(source) as saver:
        talk_into(saver, "one", "two")
    assert take_over(source, target).threads == 2
    before = target.stat().st_size
    again = take_over(source, target)
    assert (again.threads, again.present, again.checkpoints, again.writes) == (0, 2, 0, 0)
    assert target.stat().st_size == before
    with official(source) as saver:
        talk_into(saver, "three")
    third = take_over(source, target)
    assert (third.threads, third.present) == (1, 2)
    assert same(source, target)


def test_a_thread_that_went_on_in_ours_is_skipped_and_one_that_went_on_there_is_refused(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    with official(source) as saver:
        talk_into(saver, "here", "there", turns=1)
    take_over(source, target)
    with official(source) as theirs, SqliteCheckpointer(target) as ours:
        for each, thread in ((ours, "here"), (theirs, "there")):
            talk().compile(checkpointer=each).invoke(Command(resume="yes"), place_of(thread))
        before = everything(ours)
    counts = take_over(source, target)
    assert counts.present == 1
    ((refused),) = counts.refused
    assert refused.thread == "there"
    assert "without" in refused.reason
    with SqliteCheckpointer(target) as ours:
        assert everything(ours) == before
        ours.delete_thread("there")
    assert take_over(source, target).threads == 1


def test_progress_is_told_and_ends_at_the_whole(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    with official(source) as saver:
        talk_into(saver, "one", "two")
    told: list[ImportProgress] = []
    counts = take_over(source, target, progress=told.append)
    assert [step.done for step in told] == list(range(1, counts.checkpoints + 1))
    assert {step.total for step in told} == {counts.checkpoints}
    assert told[-1].thread == "two"


def test_it_can_be_called_where_a_loop_runs(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    with official(source) as saver:
        talk_into(saver, "one")

    async def call() -> ImportedCounts:
        return take_over(source, target)

    assert asyncio.run(call()).threads == 1
    assert same(source, target)


def test_an_import_that_is_killed_leaves_no_half_thread_and_the_next_one_completes_it(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    with official(source) as saver:
        for thread in ("one", "two"):
            place: RunnableConfig = place_of(thread)
            for step in range(150):
                place = put(saver, place, {"step": [step]})
    code = (
        "import os, signal, sys\n"
        "from signoff.checkpoints.saver.official.importer import import_official\n"
        "from signoff.checkpoints.saver.saver import SqliteCheckpointer\n"
        "def die(step):\n"
        "    if step.done == int(sys.argv[3]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "import_official(sys.argv[1], SqliteCheckpointer(sys.argv[2]), progress=die)\n"
    )
    for done in (100, 250):
        killed = warm.run([sys.executable, "-c", code, str(source), str(target), str(done)], cwd=home)
        assert killed.returncode == -signal.SIGKILL
        assert list_threads(target)  # it was on its way
        with SqliteCheckpointer(target) as ours:
            assert [len(list(ours.list(place_of(thread)))) for thread in ("one", "two")] == [0, 0]
    take_over(source, target)
    assert same(source, target)
    assert {entry.name for entry in list_threads(target)} == {"one", "two"}


def test_the_package_of_the_official_saver_is_not_needed(home: Path) -> None:
    source = home / "official.db"
    with official(source) as saver:
        talk_into(saver, "one")
    code = (
        "import sys\n"
        "sys.modules['langgraph.checkpoint.sqlite'] = None\n"
        "from signoff.checkpoints.saver.official.importer import import_official\n"
        "from signoff.checkpoints.saver.saver import SqliteCheckpointer\n"
        "with SqliteCheckpointer('ours.db') as saver:\n"
        "    print(import_official('official.db', saver).threads)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("1\n", "")
