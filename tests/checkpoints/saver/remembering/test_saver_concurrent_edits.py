"""A value that other threads edit while it is put: no error, nothing torn, and what it ends as is saved."""

import asyncio
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from operator import add
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from hunts import Part
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from pydantic import BaseModel

from signoff.checkpoints.saver.saver import SqliteCheckpointer

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


@dataclass
class Point:
    x: Any = 0


@dataclass
class Box:
    held: Any = None
    more: Any = field(default_factory=list)


class Claim(BaseModel):
    spans: dict[str, Any]


Edit = Callable[[int], object]


def churn(held: dict[Any, Any], make: Callable[[int], Any] = lambda n: n) -> Edit:
    """Adds keys to a dict and takes others away."""

    def edit(number: int) -> None:
        held[f"new {number % 50}"] = make(number)
        held.pop(f"new {number * 7 % 50}", None)

    return edit


def slide(held: list[Any], make: Callable[[int], Any] = lambda n: n) -> Edit:
    """Makes a list longer and shorter."""

    def edit(number: int) -> None:
        held.append(make(number))
        if len(held) > 90:
            del held[5:]

    return edit


def wide(make: Callable[[int], Any] = lambda n: n, size: int = 300) -> dict[str, Any]:
    return {f"key {number}": make(number) for number in range(size)}


def of_dict(
    wrap: Callable[[dict[str, Any]], Any], make: Callable[[int], Any] = lambda n: n, size: int = 300
) -> Callable[[], tuple[Any, Edit]]:
    def case() -> tuple[Any, Edit]:
        held = wide(make, size)
        return wrap(held), churn(held, make)

    return case


def of_list(wrap: Callable[[list[Any]], Any], make: Callable[[int], Any], size: int) -> Callable[[], tuple[Any, Edit]]:
    def case() -> tuple[Any, Edit]:
        held = list(map(make, range(size)))
        return wrap(held), slide(held, make)

    return case


def of_attributes(make: Callable[[], Any]) -> Callable[[], tuple[Any, Edit]]:
    def case() -> tuple[Any, Edit]:
        value = make()

        def edit(number: int) -> None:
            setattr(value, f"extra_{number % 40}", number)
            (getattr(value, "__pydantic_extra__", None) or vars(value)).pop(f"extra_{number * 7 % 40}", None)

        return [value], edit

    return case


CASES: dict[str, Callable[[], tuple[Any, Edit]]] = {
    "a wide dict": of_dict(lambda held: held),
    "a dict of few": of_dict(lambda held: held, size=20),
    "a dict of objects": of_dict(lambda held: held, Point),
    "a dict in a message": of_dict(lambda held: [HumanMessage("x", additional_kwargs=held)]),
    "a dict deep in a message": of_dict(lambda held: [AIMessage("x", response_metadata={"a": [held]})]),
    "a dict of objects in a message": of_dict(lambda held: [HumanMessage("x", additional_kwargs={"a": held})], Decimal),
    "a dict in a dataclass": of_dict(Box),
    "a dict of objects in a dataclass": of_dict(lambda held: [Box(held)], Point, 40),
    "a dict in a dataclass in a dataclass": of_dict(lambda held: {"a": Box([Box(held)])}, Box, 40),
    "a dict in a model": of_dict(lambda held: Claim.model_construct(spans=held)),
    "a dict in a tuple": of_dict(lambda held: (held, Point())),
    "a list of numbers": of_list(lambda held: held, int, 60),
    "a list of objects": of_list(lambda held: held, Point, 60),
    "a list of objects in a dataclass": of_list(Box, Point, 60),
    "a list of objects in a dict in a dataclass": of_list(lambda held: [Box({"a": [held]})], Box, 60),
    "a list of messages": of_list(lambda held: held, lambda n: HumanMessage(f"{n}"), 60),
    "a list of messages in a dict": of_list(lambda held: {"a": held}, lambda n: HumanMessage(f"{n}"), 60),
    "a list of messages in a dataclass": of_list(Box, lambda n: HumanMessage(f"{n}"), 60),
    "attributes of a message": of_attributes(lambda: HumanMessage("x")),
    "attributes of a dataclass": of_attributes(Point),
}


@pytest.fixture
def _hasty_threads() -> Iterator[None]:
    """Threads take turns a thousand times as often, so that they meet everywhere."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("_hasty_threads")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_value_that_another_thread_edits_is_put_without_error(
    tmp_path: Path, case: Callable[[], tuple[Any, Edit]]
) -> None:
    put_while_it_is_edited(tmp_path, case, 8)


@pytest.mark.hunt
@pytest.mark.usefixtures("_hasty_threads")
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_value_that_another_thread_edits_is_put_many_times_without_error(
    tmp_path: Path, case: Callable[[], tuple[Any, Edit]], part: Part
) -> None:
    put_while_it_is_edited(tmp_path, case, part.number(300))


def put_while_it_is_edited(folder: Path, case: Callable[[], tuple[Any, Edit]], times: int) -> None:
    value, edit = case()
    is_over = threading.Event()

    def edit_on() -> None:
        number = 0
        while not is_over.is_set():
            edit(number)
            number += 1

    with SqliteCheckpointer(folder / "saver.db", types=[Point, Box, Claim]) as saver:
        editor = threading.Thread(target=edit_on)
        editor.start()
        try:
            config = CONFIG
            for _ in range(times):
                config = put(saver, config, value)
        finally:
            is_over.set()
            editor.join()
        config = put(saver, config, value)
    with SqliteCheckpointer(folder / "saver.db", types=[Point, Box, Claim]) as fresh:
        found = fresh.get_tuple(config)
        assert found is not None
        serde = JsonPlusSerializer(allowed_msgpack_modules=[Point, Box, Claim])
        assert repr(found.checkpoint["channel_values"]["x"]) == repr(serde.loads_typed(serde.dumps_typed(value)))
        assert len(list(fresh.list(CONFIG))) == times + 1
        assert not fresh.check()


def put(saver: SqliteCheckpointer, parent: Any, value: Any) -> Any:
    checkpoint: Checkpoint = {**empty_checkpoint(), "channel_values": {"x": value}}
    config = saver.put(parent, checkpoint, {"source": "loop", "step": 1}, {})
    saver.put_writes(config, [("x", value)], "task")
    return config


class State(TypedDict):
    messages: Annotated[list[Any], add]
    box: Box


@pytest.mark.usefixtures("_hasty_threads")
def test_a_node_may_edit_its_state_while_the_step_before_is_being_stored(tmp_path: Path) -> None:
    def edit(state: State) -> dict[str, Any]:
        for number in range(300):
            for message in state["messages"]:
                churn(message.additional_kwargs)(number)
            churn(state["box"].held)(number)
            slide(state["box"].more, Point)(number)
        return {"messages": [HumanMessage("x", additional_kwargs=wide())]}

    builder = StateGraph(State).add_node("first", edit).add_node("second", edit).add_node("third", edit)
    builder.add_edge(START, "first").add_edge("first", "second").add_edge("second", "third")
    with SqliteCheckpointer(tmp_path / "saver.db", types=[Point, Box]) as saver:
        graph: Any = builder.compile(checkpointer=saver)
        state = {"messages": [HumanMessage("x", additional_kwargs=wide())], "box": Box(wide(), [Point(1)] * 60)}
        for number in range(3):
            asyncio.run(graph.ainvoke(state, {"configurable": {"thread_id": f"{number}"}}, durability="async"))
            graph.invoke(state, {"configurable": {"thread_id": f"sync {number}"}}, durability="async")
        assert not saver.check()
        assert len(list(saver.list({"configurable": {"thread_id": "0"}}))) == 5
