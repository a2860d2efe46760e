"""What LangGraph's own SqliteSaver takes and gives back, ours takes and gives back; it is the judge here."""

import sqlite3
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import BaseCheckpointSaver, Checkpoint, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from langgraph.types import Send
from pydantic import BaseModel

from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import Unstorable

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
Saver = BaseCheckpointSaver[Any]


@dataclass
class Box:
    held: Any = None
    more: Any = None


class Pair(NamedTuple):
    left: Any
    right: Any = None


class Chain(BaseModel):
    inside: "Chain | None" = None


class Stubborn:
    """Like a frame of pandas: it is neither true nor false, equals nothing, and can only be pickled."""

    def __init__(self, *rows: int) -> None:
        self.rows = list(rows)

    def __bool__(self) -> bool:
        raise ValueError("The truth value of a frame is ambiguous.")

    def __len__(self) -> int:
        raise ValueError("nor does it say how long it is")

    def __eq__(self, other: object) -> Any:
        raise ValueError("nor is it compared")

    __hash__ = None  # type: ignore[assignment]  # as pandas has it

    def __repr__(self) -> str:
        return f"Stubborn{self.rows}"


TYPES = [Box, Pair, Chain]


def put_and_read(saver: Saver, *values: Any) -> list[Any]:
    """Put the values step by step, as a channel and as a write; all that is read then."""
    config = CONFIG
    for value in values:
        checkpoint: Checkpoint = {**empty_checkpoint(), "channel_values": {"x": value}}
        checkpoint["channel_versions"] = {"x": checkpoint["id"]}
        config = saver.put(config, checkpoint, {"source": "loop", "step": 1}, {"x": checkpoint["id"]})
        saver.put_writes(config, [("x", value)], "task")
    found = saver.get_tuple(config)
    assert found is not None
    listed = [one.checkpoint["channel_values"]["x"] for one in saver.list(CONFIG)]
    return [found.checkpoint["channel_values"]["x"], found.pending_writes, listed]


def official(path: Path, make: Callable[[], list[Any]], serde: JsonPlusSerializer | None = None) -> list[Any]:
    with closing(sqlite3.connect(path / "official.db")) as connection:
        return put_and_read(SqliteSaver(connection, serde=serde), *make())


ARRAYS: dict[str, Callable[[Any], Any]] = {
    "of numbers": lambda np: np.arange(6.0).reshape(2, 3),
    "of truths": lambda np: np.array([True, False]),
    "of no items": lambda np: np.array([]),
    "of no dimensions": lambda np: np.array(3),
    "of texts": lambda np: np.array(["a", "b"]),
    "in another order": lambda np: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "with gaps": lambda np: np.arange(6.0)[::2],
    "that is large": lambda np: np.zeros((70, 70)),
}
AROUND: dict[str, Callable[[Any], Any]] = {
    "alone": lambda held: held,
    "in a list": lambda held: [held],
    "twice in a list": lambda held: [held, held],
    "in a long list": lambda held: [*("x" * 99 for _ in range(70)), held],
    "in a dict": lambda held: {"a": held},
    "in a large dict": lambda held: {**{f"key {number}": "x" * 99 for number in range(70)}, "a": held},
    "deep inside": lambda held: {"a": [{"b": (held, [held])}]},
    "in a message": lambda held: [HumanMessage("x", additional_kwargs={"a": held, "b": {"c": [held]}})],
    "in many messages": lambda held: [AIMessage("x" * 99, response_metadata={"a": held}) for _ in range(12)],
    "as an artifact": lambda held: [ToolMessage("x", tool_call_id="1", artifact=held)],
    "in a document": lambda held: [Document(page_content="x", metadata={"a": held})],
    "in a dataclass": lambda held: Box(held, [Box({"a": held})]),
    "in a named tuple": lambda held: [Pair(held)],
    "in what is sent": lambda held: [Send("node", {"a": [held]})],
}


@pytest.mark.filterwarnings("ignore:Deserializing unregistered type")
@pytest.mark.parametrize("wrap", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_an_array_is_kept_anywhere(tmp_path: Path, array: Callable[[Any], Any], wrap: Callable[[Any], Any]) -> None:
    np = pytest.importorskip("numpy")

    def edited() -> list[Any]:
        held = array(np)
        return [wrap(held), wrap(np.copy(held))]

    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        assert repr(put_and_read(saver, *edited())) == repr(official(tmp_path, edited))


def test_arrays_of_other_lengths_are_kept_after_numbers(tmp_path: Path) -> None:
    np = pytest.importorskip("numpy")
    value = [1, np.arange(3.0), np.arange(4.0), b"bytes"]
    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        assert repr(put_and_read(saver, value)) == repr(official(tmp_path, lambda: [value]))


@pytest.mark.parametrize("wrap", AROUND.values(), ids=AROUND)
def test_an_array_that_is_edited_in_place_is_saved(tmp_path: Path, wrap: Callable[[Any], Any]) -> None:
    array = pytest.importorskip("numpy").arange(6.0)
    value = wrap(array)
    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        before = put_and_read(saver, value, value)[0]
        found = saver.get_tuple(CONFIG)
        array[3] = 77
        assert found is not None
        after = saver.put(found.config, {**empty_checkpoint(), "channel_values": {"x": value}}, {}, {})
        read = saver.get_tuple(after)
        assert read is not None
        assert "77" not in repr(before)
        assert "77" in repr(read.checkpoint["channel_values"]["x"])


@pytest.mark.parametrize("wrap", AROUND.values(), ids=AROUND)
def test_what_only_pickle_takes_is_kept_anywhere_with_a_serializer_that_pickles(
    tmp_path: Path, wrap: Callable[[Any], Any]
) -> None:
    serde = JsonPlusSerializer(pickle_fallback=True)

    def values() -> list[Any]:
        return [wrap(Stubborn(1)), wrap(Stubborn(1, 2))]

    with SqliteCheckpointer(tmp_path / "saver.db", serde=serde) as saver:
        assert repr(put_and_read(saver, *values())) == repr(official(tmp_path, values, serde))


SIZES = (0, 1, 90, 100, 500, 1000, 1100, 5000, 50_000)
HOLDERS: dict[str, Callable[[Any], Any]] = {
    "alone": lambda held: held,
    "in a list": lambda held: [held],
    "in a list of numbers": lambda held: [*range(5), held],
    "in a list of many": lambda held: [held] * 70,
    "in a dict": lambda held: {"a": held, "b": b"bytes"},
    "in a large dict": lambda held: {**{f"key {number}": "x" * 99 for number in range(70)}, "a": held},
    "deep inside": lambda held: {"a": [{"b": [[held]]}], "c": []},
    "deeper inside": lambda held: [[[[[[[[{"a": [[[{"b": {"c": {"d": held}}}]]]}]]]]]]]],
    "in tuples": lambda held: {"a": ("b", [(held, 1)])},
    "beside an object": lambda held: {"a": [HumanMessage("x"), held]},
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("wrap", HOLDERS.values(), ids=HOLDERS)
def test_a_bytearray_among_lists_and_dicts_comes_back_as_one_whatever_its_size(
    tmp_path: Path, wrap: Callable[[Any], Any], size: int
) -> None:
    def value() -> Any:
        return wrap(bytearray(size))

    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        latest, writes, listed = put_and_read(saver, value(), value())
    for read in (latest, writes[0][2], *listed):
        assert repr(read) == repr(with_lists(value()))


def with_lists(value: Any) -> Any:
    """With a list for each tuple, as it is read."""
    if isinstance(value, dict):
        return {key: with_lists(item) for key, item in value.items()}
    return list(map(with_lists, value)) if isinstance(value, list | tuple) else value


DEEP: dict[str, Callable[[Any], Any]] = {
    "lists": lambda held: [held],
    "dicts": lambda held: {"a": held},
    "dicts with numbers as keys": lambda held: {1: held},
    "tuples": lambda held: (held,),
    "long lists": lambda held: [held, *range(70)],
    "large dicts": lambda held: {"a": held, **{f"key {number}": number for number in range(70)}},
    "dataclasses": Box,
    "dataclasses in lists": lambda held: [Box(held)],
    "named tuples": Pair,
    "deques": lambda held: deque([held]),
    "frozen sets": lambda held: frozenset([held]),
    "what is sent": lambda held: Send("node", held),
}


def nested(wrap: Callable[[Any], Any], depth: int, held: Any) -> Any:
    for _ in range(depth):
        held = wrap(held)
    return held


@pytest.mark.filterwarnings("ignore:Deserializing unregistered type")
@pytest.mark.parametrize("held", ["x", "x" * 3000], ids=["little", "much"])
@pytest.mark.parametrize("wrap", DEEP.values(), ids=DEEP)
def test_values_may_be_nested_as_deep_as_with_the_official_saver(
    tmp_path: Path, wrap: Callable[[Any], Any], held: str
) -> None:
    with (
        closing(sqlite3.connect(tmp_path / "official.db")) as connection,
        SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver,
    ):
        for depth in (499, 496, 494, 490, 300, 255, 254, 253, 252, 250, 200):
            try:
                put_and_read(SqliteSaver(connection), nested(wrap, depth, held))
            except (TypeError, RecursionError):
                continue
            put_and_read(saver, nested(wrap, depth, held), nested(wrap, depth, held))
            break
        for depth in (600, 3000):
            with pytest.raises(Unstorable, match="nested too deeply, or holds itself"):
                put_and_read(saver, nested(wrap, depth, held))
        assert put_and_read(saver, "all is well")[0] == "all is well"


def endless_list() -> Any:
    value: list[Any] = [1]
    value.append(value)
    return value


def endless_dict(size: int) -> Any:
    value: dict[Any, Any] = {f"key {number}": number for number in range(size)}
    value["a"] = value["b"] = value
    return value


def endless_message() -> Any:
    value = HumanMessage("x")
    value.additional_kwargs["a"] = {"b": [value, value]}
    return [value]


def endless_family() -> Any:
    parent = Box()
    parent.held = [Box(parent) for _ in range(100)]
    return parent


def endless_chain() -> Any:
    value = Chain()
    value.inside = value
    return value


ENDLESS: dict[str, Callable[[], Any]] = {
    "a list": endless_list,
    "a dict": lambda: endless_dict(2),
    "a large dict": lambda: endless_dict(200),
    "a message": endless_message,
    "a dataclass": endless_family,
    "children first": lambda: endless_family().held,
    "a model": endless_chain,
}


@pytest.mark.parametrize("make", ENDLESS.values(), ids=ENDLESS)
def test_what_holds_itself_is_refused_and_spoils_nothing(tmp_path: Path, make: Callable[[], Any]) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        put_and_read(saver, "before")
        with pytest.raises(Unstorable, match="nested too deeply, or holds itself"):
            put_and_read(saver, make())
        assert put_and_read(saver, "after")[0] == "after"
        assert not saver.check()


def test_pickle_is_never_read_without_being_asked_for(tmp_path: Path) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", serde=JsonPlusSerializer(pickle_fallback=True)) as saver:
        put_and_read(saver, Stubborn(1))
    with SqliteCheckpointer(tmp_path / "saver.db") as saver, pytest.raises(Unstorable, match="form is not read"):
        saver.get_tuple(CONFIG)
