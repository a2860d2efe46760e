"""Graphs of every kind go the same way with the saver as with LangGraph's in-memory saver."""

import asyncio
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage
from langchain_core.runnables import RunnableConfig
from langgraph.channels.delta import DeltaChannel
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from langgraph.pregel import Pregel
from langgraph.types import Command, Overwrite, PregelTask, Send, StateSnapshot, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from signoff.checkpoints.saver.saver import SqliteCheckpointer

Saver = BaseCheckpointSaver[Any]
Graph = Pregel[Any, Any, Any, Any]
Step = Callable[[Graph, RunnableConfig], Any]
"""One thing that is done with a graph: what it is given next may depend on where it stands."""

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}, "recursion_limit": 100}


class Source(BaseModel):
    title: str
    pages: list[int] = []


@dataclass
class Note:
    text: str
    sources: list[Source] = field(default_factory=list)


class Model(BaseModel):
    """A state that is a pydantic model."""

    goal: str
    sources: Annotated[list[Source], operator.add] = []
    note: Note | None = None


@dataclass
class Record:
    """A state that is a dataclass."""

    goal: str
    notes: Annotated[list[Note], operator.add] = field(default_factory=list)
    count: int = 0


class Work(TypedDict, total=False):
    items: list[str]
    item: str
    done: Annotated[list[str], operator.add]
    by_name: Annotated[dict[str, Any], operator.or_]


TYPES = (Source, Note, Model, Record)


def given(value: Any) -> Step:
    return lambda graph, config: value


def answered(answer: str) -> Step:
    """Answer each open question by its id."""

    def step(graph: Graph, config: RunnableConfig) -> Any:
        asked = graph.get_state(config).interrupts
        return Command(resume={one.id: f"{answer} {number}" for number, one in enumerate(asked)})

    return step


def removing(saver: Saver) -> Graph:
    """A conversation that forgets its oldest messages, and now and then all of them."""

    def reply(state: MessagesState) -> dict[str, Any]:
        count = len(state["messages"])
        old = [RemoveMessage(id=message.id) for message in state["messages"][: count - 4] if message.id]
        kept = [RemoveMessage(id=REMOVE_ALL_MESSAGES)] if "all" in str(state["messages"][-1].content) else old
        return {"messages": [*kept, AIMessage(content=f"answer to {count}", id=f"a-{state['messages'][-1].id}")]}

    return StateGraph(MessagesState).add_node(reply).add_edge(START, "reply").compile(checkpointer=saver)


def fanning(saver: Saver) -> Graph:
    """Many tasks in one step, each with an input of its own, which meet again."""

    def work(state: Work) -> dict[str, Any]:
        return {"done": [f"{state['item']} done"], "by_name": {state["item"]: {"len": len(state["item"])}}}

    def meet(state: Work) -> dict[str, Any]:
        return {"done": ["met"]}

    builder = StateGraph(Work).add_node(work).add_node(meet).add_node("plan", given_plan).add_edge(START, "plan")
    builder.add_conditional_edges(
        "plan", lambda state: [Send("work", {"item": item}) for item in state["items"]], ["work"]
    )
    return builder.add_edge("work", "meet").compile(checkpointer=saver)


def given_plan(state: Work) -> dict[str, Any]:
    return {"items": [*state["items"], "extra"]}


def asking(saver: Saver) -> Graph:
    """Two tasks that ask at the same time, one of them twice."""

    def one(state: Work) -> dict[str, Any]:
        first = interrupt({"question": "one", "so far": state.get("done", [])})
        return {"done": [f"one: {first}, {interrupt(['second', 2])}"]}

    def two(state: Work) -> dict[str, Any]:
        return {"done": [f"two: {interrupt('two')}"]}

    def three(state: Work) -> Command[str]:
        return Command(update={"done": ["three"]}, goto=END)

    builder = StateGraph(Work).add_node(one).add_node(two).add_node(three)
    builder.add_edge(START, "one").add_edge(START, "two").add_edge(["one", "two"], "three")
    return builder.compile(checkpointer=saver)


def nested(saver: Saver) -> Graph:
    """A graph in a graph in a graph, with a question in the innermost."""

    def ask(state: Work) -> dict[str, Any]:
        return {"done": [f"asked: {interrupt('inner')}"]}

    def before(state: Work) -> dict[str, Any]:
        return {"done": ["before"], "by_name": {"before": [1, 2]}}

    inner = (
        StateGraph(Work).add_node(before).add_node(ask).add_edge(START, "before").add_edge("before", "ask").compile()
    )
    middle = StateGraph(Work).add_node("inner", inner).add_edge(START, "inner").compile(checkpointer=True)
    outer = StateGraph(Work).add_node("middle", middle).add_node("after", before)
    return outer.add_edge(START, "middle").add_edge("middle", "after").compile(checkpointer=saver)


def modelled(saver: Saver) -> Graph:
    def read(state: Model) -> dict[str, Any]:
        return {"sources": [Source(title=state.goal, pages=[len(state.sources)])]}

    def write(state: Model) -> dict[str, Any]:
        return {"note": Note(state.goal, state.sources)}

    builder = StateGraph(Model).add_node(read).add_node(write).add_edge(START, "read").add_edge("read", "write")
    return builder.compile(checkpointer=saver)


def recorded(saver: Saver) -> Graph:
    def count(state: Record) -> dict[str, Any]:
        return {"count": state.count + 1, "notes": [Note(f"{state.goal} {state.count}", [Source(title="s")])]}

    builder = StateGraph(Record).add_node(count).add_edge(START, "count")
    builder.add_conditional_edges("count", lambda state: "count" if state.count % 4 else END, ["count", END])
    return builder.compile(checkpointer=saver)


def extend(state: list[Any], writes: Sequence[list[Any]]) -> list[Any]:
    return [*state, *(item for write in writes for item in write)]


def merge_messages(state: list[AnyMessage], writes: Sequence[list[AnyMessage]]) -> list[AnyMessage]:
    merged: Any = state
    for write in writes:
        given: Any = write
        merged = add_messages(merged, given)
    return [*merged]


class Deltas(TypedDict, total=False):
    log: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=3)]
    rare: Annotated[list[str], DeltaChannel(extend, snapshot_frequency=1000)]
    talk: Annotated[list[AnyMessage], DeltaChannel(merge_messages, snapshot_frequency=4)]
    count: int


def by_delta(saver: Saver) -> Graph:
    """Channels that store only what is written to them, and a whole value now and then."""

    def left(state: Deltas) -> dict[str, Any]:
        count = state["count"] + 1
        again = Overwrite(["anew"]) if count == 7 else [f"left {count}"]
        return {"log": again, "talk": [AIMessage(f"answer {count}", id=f"a{count % 5}")], "count": count}

    def right(state: Deltas) -> dict[str, Any]:
        return {"log": ["right"], "rare": [f"rare {len(state['log'])}"]} if state["count"] % 2 else {}

    builder = StateGraph(Deltas).add_node(left).add_node(right).add_edge(START, "left").add_edge(START, "right")
    builder.add_conditional_edges(
        "left", lambda s: ["left", "right"] if s["count"] % 6 else END, ["left", "right", END]
    )
    return builder.compile(checkpointer=saver)


def failing(saver: Saver) -> Graph:
    """A task that fails until its sibling is done; what the sibling wrote is not lost."""
    failures = iter([True, True])

    def fail(state: Work) -> dict[str, Any]:
        if next(failures, False):
            raise ConnectionError("not yet")
        return {"done": ["at last"]}

    def succeed(state: Work) -> dict[str, Any]:
        return {"done": ["at once"]}

    builder = StateGraph(Work).add_node(fail).add_node(succeed).add_edge(START, "fail").add_edge(START, "succeed")
    return builder.compile(checkpointer=saver)


def functional(saver: Saver) -> Graph:
    """LangGraph's functional interface, which saves what each task returned."""

    @task
    def count(numbers: list[int]) -> dict[str, int]:
        return {"sum": sum(numbers)}

    @entrypoint(checkpointer=saver)
    def flow(numbers: list[int], *, previous: Any = None) -> entrypoint.final[Any, Any]:
        counted = count(numbers).result()
        answer = interrupt(counted)
        return entrypoint.final(value=[counted, answer], save=[previous, numbers])

    return flow


GRAPHS: dict[str, tuple[Callable[[Saver], Graph], list[Step]]] = {
    "removing": (
        removing,
        [given({"messages": [HumanMessage(f"question {n}", id=f"h{n}")]}) for n in range(8)]
        + [given({"messages": [HumanMessage("remove all", id="h8")]})],
    ),
    "fanning": (fanning, [given({"items": ["a", "bb", "ccc"]}), given({"items": ["d"]})]),
    "asking": (asking, [given({"items": []}), answered("first"), answered("second")]),
    "nested": (nested, [given({"items": ["a"]}), given(Command(resume="yes")), given({"items": ["b"]}), answered("x")]),
    "modelled": (modelled, [given({"goal": "g"}), given(Model(goal="h", sources=[Source(title="given")]))]),
    "recorded": (recorded, [given(Record("goal")), given({"goal": "other"})]),
    "by delta": (
        by_delta,
        [given({"count": 0, "talk": [HumanMessage("hi", id="h")]}), given({"log": ["more"], "count": 1})],
    ),
    "failing": (failing, [given({"items": []}), given(None), given(None)]),
    "functional": (functional, [given([1, 2]), answered("ok"), given([3]), answered("well")]),
}


def outcome(graph: Graph, config: RunnableConfig, step: Step, *, asynchronous: bool) -> Any:
    """What comes of one step: also of one that fails."""
    value = step(graph, config)
    try:
        found = asyncio.run(graph.ainvoke(value, config)) if asynchronous else graph.invoke(value, config)
    except ConnectionError as error:
        return str(error)
    return {name: part for name, part in found.items() if name != "__interrupt__"} if isinstance(found, dict) else found


def told(snapshot: StateSnapshot) -> Any:
    """What a snapshot says, without what differs between any two runs: ids and times."""
    metadata = snapshot.metadata or {}
    return {
        "values": snapshot.values,
        "next": snapshot.next,
        "step": (metadata.get("source"), metadata.get("step"), metadata.get("counters_since_delta_snapshot")),
        "tasks": sorted((t.name, [i.value for i in t.interrupts], failure(t), str(t.result)) for t in snapshot.tasks),
    }


def failure(task: PregelTask) -> str:
    """What a task failed with; whether its sibling is cancelled by that depends on which of them is faster."""
    return "" if "CancelledError" in str(task.error) else str(task.error or "")


def story(graph: Graph, config: RunnableConfig = CONFIG) -> list[Any]:
    return [told(snapshot) for snapshot in graph.get_state_history(config)]


def revisited(graph: Graph) -> list[Any]:
    """Go back in time: change an old state, go on from there, and go on once more from an older one as it was."""
    history = [*graph.get_state_history(CONFIG)]
    old = history[len(history) // 2]
    fork = graph.update_state(old.config, None, as_node="__copy__")
    again = [one.config for one in graph.get_state_history(CONFIG) if one.next and one.metadata]
    for config in (fork, again[-1]):
        outcome(graph, {**CONFIG, **config}, given(None), asynchronous=False)
    return [told(graph.get_state(config)) for config in (fork, again[-1], old.config, CONFIG)]


def twins(folder: Path) -> Iterator[Saver]:
    yield InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=TYPES))
    yield SqliteCheckpointer(folder / "checkpoints.db", types=TYPES)


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("methods", ["sync", "async", "both in turn"])
def test_a_graph_goes_as_with_the_in_memory_saver(tmp_path: Path, name: str, methods: str) -> None:
    build, steps = GRAPHS[name]
    turns = {"sync": [False], "async": [True], "both in turn": [True, False]}[methods]
    seen = []
    for saver in twins(tmp_path):
        graph = build(saver)
        outcomes = [
            outcome(graph, CONFIG, step, asynchronous=turns[number % len(turns)]) for number, step in enumerate(steps)
        ]
        seen.append((outcomes, story(graph), revisited(graph), story(graph)))
    model, ours = seen
    assert ours == model
    assert isinstance(saver, SqliteCheckpointer)
    saver.close()
    with SqliteCheckpointer(tmp_path / "checkpoints.db", types=TYPES) as fresh:
        assert story(build(fresh)) == model[-1]
        assert fresh.check() == []


@pytest.mark.parametrize("name", ["removing", "by delta", "nested"])
def test_a_pruned_or_copied_thread_stands_where_it_stood_and_goes_on(tmp_path: Path, name: str) -> None:
    build, steps = GRAPHS[name]
    seen = []
    for saver in twins(tmp_path):
        graph = build(saver)
        for step in steps[:-1]:
            outcome(graph, CONFIG, step, asynchronous=False)
        config = CONFIG
        if isinstance(saver, SqliteCheckpointer):
            count = len([*saver.list(CONFIG)])
            saver.copy_thread("t", "copy")
            saver.prune(["t"])
            kept = len([*saver.list(CONFIG)])
            assert kept < count or name == "by delta"  # what was never written as a whole needs its whole history
            saver.delete_thread("t")
            saver.prune(["copy"])
            config = {"configurable": {"thread_id": "copy"}, "recursion_limit": 100}
        before = told(graph.get_state(config, subgraphs=True))
        last = outcome(graph, config, steps[-1], asynchronous=False)
        seen.append((before, last, told(graph.get_state(config)), len(graph.get_state(config).tasks)))
    assert seen[1] == seen[0]
    assert isinstance(saver, SqliteCheckpointer)
    saver.close()
