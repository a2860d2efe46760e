"""A value that is edited in place is saved as it was when it was put, and earlier checkpoints stay as they were."""

import copy
import itertools
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, is_dataclass
from enum import IntEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hunts import Part
from hypothesis import given, settings, strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

from signoff.checkpoints.saver.saver import SqliteCheckpointer


class Rank(IntEnum):
    LOW = 1


@dataclass
class Ticket:
    title: Any
    tags: list[Any]


@dataclass(slots=True)
class Label(Ticket):
    """Half of its attributes stand in its dict, and half in slots."""

    color: str = "red"


@dataclass
class Bag(dict[str, Any]):
    """A dict with attributes, of which LangGraph's serializer stores the items."""

    name: str = "bag"


class Claim(BaseModel):
    text: Any
    spans: dict[str, Any]
    ticket: Ticket


State = dict[str, Any]
Edit = Callable[[Any], object]

TYPES = (Rank, Ticket, Label, Claim)
PACKING = JsonPlusSerializer(allowed_msgpack_modules=TYPES)
SEEDS = st.integers(0, 10_000)


def as_read(values: State) -> dict[str, tuple[str, object]]:
    """The values as LangGraph's serializer gives them back: for people, and to the last byte."""
    packed = {name: PACKING.dumps_typed(value) for name, value in values.items()}
    return exact({name: with_bytearrays(values[name], PACKING.loads_typed(packed[name])) for name in values})


def with_bytearrays(was: Any, now: Any) -> Any:
    """With what LangGraph's serializer makes bytes of: a bytearray in lists and dicts stays one."""
    match was:
        case bytearray():
            return bytearray(now)
        case list():
            return [with_bytearrays(*pair) for pair in zip(was, now, strict=True)]
        case dict():
            return {key: with_bytearrays(value, now[key]) for key, value in was.items()}
    return now


def exact(values: State) -> dict[str, tuple[str, object]]:
    return {name: (repr(value), PACKING.dumps_typed(value)) for name, value in values.items()}


class History:
    """One thread that is put step by step, and what each of its checkpoints must read as for ever."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "checkpoints.db"
        self.saver = SqliteCheckpointer(self.database, types=TYPES)
        self.latest: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
        self.versions: ChannelVersions = {}
        self.expected: dict[str, dict[str, tuple[str, object]]] = {}
        self.count = itertools.count(1)

    def put(self, values: State, told: set[str] | None = None) -> None:
        """Put the values; only the channels `told` (or all) get a new version, however many were edited."""
        new: ChannelVersions = {
            name: next(self.count) for name in values if told is None or name in told or name not in self.versions
        }
        self.versions = self.versions | new
        checkpoint = Checkpoint(
            v=2,
            id=str(uuid6(clock_seq=next(self.count))),
            ts="2026-01-01T00:00:00+00:00",
            channel_values=dict(values),
            channel_versions=dict(self.versions),
            versions_seen={},
            updated_channels=None,
        )
        expected = as_read(values)
        self.latest = self.saver.put(self.latest, checkpoint, {"source": "loop", "step": 0}, new)
        self.expected[checkpoint["id"]] = expected

    def verify(self) -> None:
        """Compare every checkpoint with what a new saver of the same file reads."""
        with SqliteCheckpointer(self.database, types=TYPES) as fresh:
            read = {one.checkpoint["id"]: exact(one.checkpoint["channel_values"]) for one in fresh.list(None)}
        assert read.keys() == self.expected.keys()
        wrong = {
            (checkpoint, name): (now, was)
            for checkpoint, expected in self.expected.items()
            for name, was in expected.items()
            if (now := read[checkpoint].get(name)) != was
        }
        assert wrong == {}

    def close(self) -> None:
        """Close the only saver that saw the objects; what the file holds must be the same."""
        self.saver.close()
        self.verify()


@pytest.fixture
def history(tmp_path: Path) -> Iterator[History]:
    made = History(tmp_path)
    yield made
    made.saver.close()


def state(size: int) -> State:
    """A state with something of every kind that can be edited, in places old and new, shallow and deep."""
    shared = {"n": 1, "tags": [1, "one"]}
    return {
        "messages": [
            AIMessage(
                content=[{"type": "text", "text": f"answer {n}"}],
                id=f"a{n}",
                tool_calls=[{"name": "look", "args": {"at": [n, {"deep": 1}], "rank": 0}, "id": f"c{n}"}],
                additional_kwargs={"box": {"list": [Ticket("boxed", [1]), {"n": 1}]}},
                response_metadata={"usage": {"tokens": n, "cost": 0.0}},
            )
            if n % 2
            else HumanMessage(content="question " * (n % 40), id=f"h{n}", additional_kwargs={"n": 1})
            for n in range(size)
        ],
        "rows": [{"id": n, "done": 0, "note": "same", "more": [n, [n]]} for n in range(4 * size)],
        "numbers": [n % 3 for n in range(8 * size)],
        "table": {f"key {n}": {"n": 1, "list": [1, 2.0, None], "flag": True} for n in range(2 * size)},
        "ticket": Ticket("alone", [{"n": 1}, [Ticket("inner", [0])]]),
        "claim": Claim(text="c", spans={"of": {"n": [1]}}, ticket=Ticket("in a model", [])),
        "labels": [Label(n, ["label"]) for n in range(size)],
        "mixed": [(Ticket("in a tuple", [1]), [1]), {1, 2}, bytearray(b"abc"), deque([1, {"n": 1}]), Rank.LOW, shared],
        "alias": {"again": shared, "twice": [shared, shared]},
        "array": bytearray(b"top"),
        "bag": Bag(),
        "number": 1,
    }


def likeness(value: object) -> object:
    """Another value that equals this one, or nearly, and has to be saved all the same."""
    match value:
        case bool():
            return int(value)
        case Rank():
            return 1
        case int():
            return {0: False, 1: True}.get(value, float(value))
        case float():
            return -value if value == 0 else int(value)
        case str():
            return value + " "
        case None:
            return False
    return copy.deepcopy(value)


EDITS: dict[str, Edit] = {
    "append in a list in a dict": lambda s: s["table"]["key 3"]["list"].append(5),
    "a new key in a nested dict": lambda s: s["table"]["key 0"].update(new=1),
    "a key deleted": lambda s: s["table"].pop("key 7"),
    "a key renamed": lambda s: s["rows"][2].update(renamed=s["rows"][2].pop("id")),
    "the last key renamed": lambda s: s["rows"][2].update(renamed=s["rows"][2].pop("more")),
    "the last key of a large dict renamed": lambda s: s["table"].update(renamed=s["table"].pop("key 17")),
    "keys in another order": lambda s: s["rows"][2].update(id=s["rows"][2].pop("id")),
    "the content of an old message": lambda s: setattr(s["messages"][0], "content", "other"),
    "the id of an old message": lambda s: setattr(s["messages"][4], "id", "other"),
    "a block of an old message's content": lambda s: s["messages"][1].content[0].update(text="other"),
    "additional_kwargs of an old message": lambda s: s["messages"][0].additional_kwargs.update(n=2),
    "an instance in a list in a dict in a message": lambda s: setattr(
        s["messages"][1].additional_kwargs["box"]["list"][0], "title", "other"
    ),
    "an argument of a tool call": lambda s: s["messages"][3].tool_calls[0]["args"]["at"][1].update(deep=2),
    "a tool call removed": lambda s: s["messages"][3].tool_calls.clear(),
    "a message's metadata": lambda s: s["messages"][5].response_metadata["usage"].update(cost=0.5),
    "a field that the message's class does not have": lambda s: setattr(s["messages"][2], "mood", "odd"),
    "1 becomes True": lambda s: s["table"]["key 1"].update(n=True),
    "1 becomes 1.0": lambda s: s["table"]["key 1"].update(n=1.0),
    "1 becomes an enum's member": lambda s: s["table"]["key 1"].update(n=Rank.LOW),
    "0.0 becomes -0.0": lambda s: s["messages"][1].response_metadata["usage"].update(cost=-0.0),
    "True becomes 1": lambda s: s["table"]["key 1"].update(flag=1),
    "0 becomes False in a tool call": lambda s: s["messages"][1].tool_calls[0]["args"].update(rank=False),
    "one of many equal numbers becomes a bool": lambda s: s["numbers"].__setitem__(31, True),
    "two items swapped": lambda s: s["rows"].__setitem__(slice(1, 3), s["rows"][2:0:-1]),
    "two messages swapped": lambda s: s["messages"].__setitem__(slice(0, 2), s["messages"][1::-1]),
    "the first item removed": lambda s: s["rows"].pop(0),
    "an item removed from the middle": lambda s: s["messages"].pop(7),
    "an item put in front": lambda s: s["rows"].insert(0, {"id": -1}),
    "a list cleared": lambda s: s["messages"].clear(),
    "a dict cleared": lambda s: s["table"].clear(),
    "a dataclass's attribute": lambda s: setattr(s["ticket"], "title", "other"),
    "a dataclass in a dataclass": lambda s: s["ticket"].tags[1][0].tags.append(1),
    "an attribute in a slot": lambda s: setattr(s["labels"][0], "color", "blue"),
    "all attributes of an instance at once": lambda s: setattr(
        s["ticket"], "__dict__", vars(s["ticket"]) | {"title": "other"}
    ),
    "all fields of a message at once": lambda s: s["messages"][0].__init__(content="made anew"),
    "a model's attribute": lambda s: setattr(s["claim"], "text", "other"),
    "a dict in a model": lambda s: s["claim"].spans["of"]["n"].append(2),
    "a dataclass in a model": lambda s: s["claim"].ticket.tags.append(2),
    "an object in a tuple": lambda s: setattr(s["mixed"][0][0], "title", "other"),
    "a list in a tuple": lambda s: s["mixed"][0][1].append(2),
    "a set": lambda s: s["mixed"][1].add(3),
    "a bytearray in a list": lambda s: s["mixed"][2].extend(b"d"),
    "an item of a dict that is a dataclass too": lambda s: s["bag"].update(n=1),
    "a bytearray": lambda s: s["array"].__setitem__(0, 0),
    "a deque": lambda s: s["mixed"][3].append(1),
    "a dict in a deque": lambda s: s["mixed"][3][1].update(n=2),
    "an object that two channels share": lambda s: s["mixed"][5]["tags"].append(2),
    "a channel of its own": lambda s: s.update(number=True),
}

KEPT = {name: edit for name, edit in EDITS.items() if name != "an instance in a list in a dict in a message"}
"""Edits of what LangGraph's serializer gives back as it was: it reads this one as a plain dict."""


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_edit_in_place_is_saved_whether_or_not_the_channel_has_a_new_version(history: History, edit: Edit) -> None:
    values = state(9)
    history.put(values)
    edit(values)
    history.put(values, told=set())
    values = state(9)
    history.put(values)
    edit(values)
    history.put(values)
    history.close()
    assert len(set(map(str, history.expected.values()))) == 2


@pytest.mark.parametrize("edit", KEPT.values(), ids=KEPT)
def test_an_edit_of_what_was_read_is_saved_when_it_is_put(history: History, edit: Edit) -> None:
    history.put(state(9))
    read = history.saver.get_tuple(history.latest)
    assert read is not None
    values = read.checkpoint["channel_values"]
    edit(values)
    history.verify()  # what the caller does with what was read changes nothing that is stored
    history.put(values, told=set())
    history.close()


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_an_equal_copy_that_is_edited_later_is_saved(history: History, edit: Edit) -> None:
    values = state(9)
    history.put(values)
    values = copy.deepcopy(values)
    history.put(values, told=set())
    edit(values)
    history.put(values, told=set())
    history.close()


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_written_value_that_is_edited_later_stays_as_it_was_written(history: History, edit: Edit) -> None:
    values = state(9)
    history.put({})
    expected = as_read(values)
    history.saver.put_writes(history.latest, [*values.items()], "task")
    edit(values)
    history.saver.put_writes(history.latest, [("later", 1)], "another task")
    read = history.saver.get_tuple(history.latest)
    assert read is not None
    assert exact({name: value for task, name, value in read.pending_writes or [] if task == "task"}) == expected


def places(value: Any) -> Iterator[Any]:
    """Everything in a value that can be edited in place."""
    inner: Any = ()
    match value:
        case dict():
            inner = value.values()
        case list() | tuple() | deque():
            inner = value
        case BaseModel():
            inner = [getattr(value, name) for name in type(value).model_fields]
        case _ if is_dataclass(value):
            inner = [getattr(value, field.name) for field in fields(value)]
    if isinstance(value, dict | list | deque | set | bytearray | BaseModel) or is_dataclass(value):
        yield value
    for part in inner:
        yield from places(part)


def edit_at(place: Any, how: int) -> None:
    """Do some edit of those that the place allows."""
    match place:
        case list() | deque() if place and how % 5:
            at = how % len(place)
            other = (how // 7) % len(place)
            if how % 5 == 1:
                place[at] = likeness(place[at])
            elif how % 5 == 2:
                place[at], place[other] = place[other], place[at]
            elif how % 5 == 3:
                del place[at]
            else:
                place.insert(at, place[other])
        case list() | deque():
            place.extend({"n": how, "list": [0, how]} for how in range(how % 17))
        case dict() if place and how % 4:
            key = [*place][how % len(place)]
            if how % 4 == 1:
                place[key] = likeness(place[key])
            elif how % 4 == 2:
                place[key] = place.pop(key)
            else:
                place[f"{key}!"] = place.pop(key)
        case dict():
            place[f"new {how}"] = [how]
        case set():
            place.symmetric_difference_update({how % 7})
        case bytearray():
            place.append(how % 256)
        case HumanMessage() | AIMessage():
            place.content = f"edited {how}"
        case Ticket():
            place.title = likeness(place.title)
        case Claim():
            place.text = likeness(place.text)
    # A `TypedDict` in a message may have lost a key that its class needs; upstream's serializer keeps it all the same.


AT_RANDOM = given(
    size=st.integers(1, 40),
    steps=st.lists(
        st.tuples(st.lists(st.tuples(SEEDS, SEEDS), max_size=4), SEEDS, st.sampled_from(["same", "copied", "read"])),
        min_size=1,
        max_size=6,
    ),
)


def test_edits_in_place_at_random_places_are_saved() -> None:
    settings(deadline=None, max_examples=10)(AT_RANDOM(edit_and_compare))()


@pytest.mark.hunt
def test_many_edits_in_place_at_random_places_are_saved(part: Part) -> None:
    settings(deadline=None, max_examples=part.number(500))(AT_RANDOM(edit_and_compare))()


def edit_and_compare(size: int, steps: list[tuple[list[tuple[int, int]], int, str]]) -> None:
    with TemporaryDirectory() as folder:
        history = History(Path(folder))
        values = state(size)
        history.put(values)
        for edits, told, source in steps:
            if source == "copied":
                values = copy.deepcopy(values)
            elif source == "read":
                read = history.saver.get_tuple(history.latest)
                assert read is not None
                values = read.checkpoint["channel_values"]
            for place, how in edits:
                found = [*places(values)]
                edit_at(found[place % len(found)], how)
            history.put(values, {name for number, name in enumerate(values) if told >> number & 1})
            history.verify()
        history.close()
