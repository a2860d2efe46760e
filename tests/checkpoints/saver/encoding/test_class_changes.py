"""A listed class is renamed, moved or changed: its objects come back as such, or an error names it and the way out."""

import io
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Send

from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import ClassChanged, Unstorable

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
NAMES = ("Ticket", "Part", "Colour")
TYPES = [("shop", name) for name in NAMES]

HEAD = """
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, NamedTuple, TypedDict
from pydantic import BaseModel, ConfigDict, field_validator
"""
DATACLASS = """
@dataclass
class Ticket:
    title: str
    more: Any = None
"""
MODEL = """
class Part(BaseModel):
    name: str = ""

class Ticket(BaseModel):
    title: str
    more: list[Part] = []
"""
TUPLE = """
class Ticket(NamedTuple):
    title: str
    more: Any = None
"""
ENUM = """
class Ticket(Enum):
    OPEN = "open"
    SHUT = "shut"
"""


@pytest.fixture
def shop(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Makes the module that the classes are in, again and again."""

    def make(source: str) -> ModuleType:
        module = ModuleType("shop")
        monkeypatch.setitem(sys.modules, "shop", module)
        exec(HEAD + source, vars(module))
        return module

    return make


def made(module: ModuleType, before: str) -> Any:
    if before is ENUM:
        return module.Ticket.SHUT
    return module.Ticket(title="a", more=[module.Part(name="b")] if before is MODEL else ["b"])


GOOD = {
    "a dataclass gets a field with a default": (DATACLASS, DATACLASS + "    new: int = 3\n"),
    "a dataclass becomes frozen": (DATACLASS, DATACLASS.replace("@dataclass", "@dataclass(frozen=True)")),
    "a dataclass gets slots": (DATACLASS, DATACLASS.replace("@dataclass", "@dataclass(slots=True)")),
    "a dataclass becomes a model": (
        DATACLASS,
        "class Ticket(BaseModel):\n    title: str\n    more: Any = None\n",
    ),
    "a dataclass becomes a named tuple": (DATACLASS, TUPLE),
    "fields stand in another order": (DATACLASS, "@dataclass\nclass Ticket:\n    more: Any\n    title: str\n"),
    "a named tuple becomes a dataclass": (TUPLE, DATACLASS),
    "a named tuple gets a field with a default": (TUPLE, TUPLE + "    new: int = 3\n"),
    "a model gets a field with a default": (MODEL, MODEL + "    new: int = 3\n"),
    "a model loses a field": (MODEL, "class Ticket(BaseModel):\n    title: str\n"),
    "a model becomes frozen": (MODEL, MODEL + "    model_config = ConfigDict(frozen=True)\n"),
    "the class of a model's field is renamed": (MODEL, MODEL.replace("Part", "Piece")),
    "an enum gets a member": (ENUM, ENUM + '    LOST = "lost"\n'),
    "an enum's member is renamed": (ENUM, ENUM.replace("SHUT", "DONE")),
    "the old name is kept for a renamed class": (
        DATACLASS,
        DATACLASS.replace("Ticket", "Card") + "Ticket = Card\n",
    ),
    "the old name is kept as a function": (
        DATACLASS,
        DATACLASS.replace("Ticket", "Card").replace("title", "name")
        + "def Ticket(title, more): return Card(title, more)\n",
    ),
}
BAD = {
    "it is renamed": (DATACLASS, DATACLASS.replace("Ticket", "Card")),
    "a model is renamed": (MODEL, MODEL.replace("Ticket", "Card")),
    "an enum is renamed": (ENUM, ENUM.replace("Ticket", "State")),
    "a named tuple is renamed": (TUPLE, TUPLE.replace("Ticket", "Card")),
    "its module cannot be imported": (DATACLASS, None),
    "a dataclass loses a field": (DATACLASS, "@dataclass\nclass Ticket:\n    title: str\n"),
    "a dataclass's field is renamed": (DATACLASS, DATACLASS.replace("title", "name")),
    "a dataclass gets a field without a default": (
        DATACLASS,
        "@dataclass\nclass Ticket:\n    new: int\n    title: str\n    more: Any = None\n",
    ),
    "a dataclass's field is no longer given": (DATACLASS, DATACLASS.replace("= None", "= field(init=False)")),
    "a dataclass becomes an enum": (DATACLASS, ENUM),
    "a dataclass becomes a plain class": (DATACLASS, "class Ticket: pass\n"),
    "a dataclass becomes a model that refuses it": (
        DATACLASS,
        "class Ticket(BaseModel):\n    title: int\n    more: Any = None\n",
    ),
    "a dataclass checks what it did not": (
        DATACLASS,
        DATACLASS + "    def __post_init__(self): raise ValueError('too\\nold')\n",
    ),
    "a model gets a field without a default": (MODEL, MODEL + "    new: int\n"),
    "a model's field is renamed": (MODEL, MODEL.replace("title", "name")),
    "a model forbids what it no longer has": (
        MODEL,
        "class Ticket(BaseModel):\n    model_config = ConfigDict(extra='forbid')\n    name: str\n",
    ),
    "a model in a model gets a field without a default": (
        MODEL,
        MODEL.replace('name: str = ""', 'name: str = ""\n    new: int'),
    ),
    "a model that holds models becomes a dataclass": (
        MODEL,
        MODEL.replace("class Ticket(BaseModel)", "@dataclass\nclass Ticket").replace("= []", "= None"),
    ),
    "an enum loses the member": (ENUM, 'class Ticket(Enum):\n    OPEN = "open"\n'),
    "an enum's member has another value": (ENUM, ENUM.replace('"shut"', "2")),
    "a named tuple loses a field": (TUPLE, "class Ticket(NamedTuple):\n    title: str\n"),
    "a named tuple's field is renamed": (TUPLE, TUPLE.replace("title", "name")),
    "it is a module now": (DATACLASS, "import json as Ticket\n"),
    "it is a value now": (DATACLASS, "Ticket = 3\n"),
}
AROUND: dict[str, Callable[[Any], Any]] = {
    "alone": lambda ticket: ticket,
    "in a list": lambda ticket: [1, ticket],
    "in a long list": lambda ticket: [*range(100), ticket],
    "in a dict": lambda ticket: {"a": {"b": ticket}},
    "in a large dict": lambda ticket: {"a": ticket, **{str(number): "x" * 99 for number in range(99)}},
    "in what is sent": lambda ticket: [Send("node", {"a": ticket})],
    "in a deque": lambda ticket: deque([ticket]),
}


def put(saver: SqliteCheckpointer, value: Any) -> Any:
    checkpoint = {**empty_checkpoint(), "channel_values": {"x": value}}
    stored = saver.put(CONFIG, checkpoint, {"source": "loop", "step": 1}, {})  # type: ignore[arg-type]  # a copy
    saver.put_writes(stored, [("x", value)], "task")
    return stored


@pytest.mark.parametrize("wrap", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize(("before", "after"), GOOD.values(), ids=GOOD)
def test_what_the_changed_class_still_takes_comes_back_as_its_object(
    shop: Callable[[str], ModuleType], tmp_path: Path, before: str, after: str, wrap: Callable[[Any], Any]
) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        put(saver, wrap(made(shop(before), before)))
        module = shop(after)
        found = saver.get_tuple(CONFIG)
        assert found is not None
        ticket = getattr(module, "Card", None) or module.Ticket
        for value in (found.checkpoint["channel_values"]["x"], (found.pending_writes or [])[0][2]):
            assert ticket in {type(one) for one in everything_in(value)}
        if before is MODEL and hasattr(ticket, "more"):
            assert dict not in {type(one) for one in everything_in(found.checkpoint["channel_values"]["x"].more)}


def everything_in(value: Any) -> Iterator[Any]:
    yield value
    match value:
        case dict():
            value = list(value.values())
        case Send():
            value = [value.arg]
    if isinstance(value, list | deque):
        for part in value:
            yield from everything_in(part)


@pytest.mark.parametrize("wrap", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize(("before", "after"), BAD.values(), ids=BAD)
def test_a_class_that_no_longer_takes_what_is_stored_is_an_error_that_names_it(
    shop: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    before: str,
    after: str | None,
    wrap: Callable[[Any], Any],
) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        stored = put(saver, wrap(made(shop(before), before)))
        if after is None:
            monkeypatch.delitem(sys.modules, "shop")
        else:
            shop(after)
        for read in (lambda: saver.get_tuple(CONFIG), lambda: list(saver.list(CONFIG))):
            with pytest.raises(ClassChanged, match=r"shop\.Ticket that cannot be made again: .*keep the old name") as e:
                read()
            assert "\n" not in str(e.value)
        assert [line for line in saver.check() if "shop.Ticket" in line]
        saver.put(stored, {**empty_checkpoint(), "channel_values": {"y": 1}}, {}, {})
        shop(before)  # nothing was lost meanwhile
        found = saver.get_tuple(stored)
        assert found is not None
        kinds = {type(one).__name__ for one in everything_in(found.checkpoint["channel_values"]["x"])}
        assert "Ticket" in kinds


def test_a_class_that_was_renamed_where_only_the_new_one_is_listed_is_an_error(
    shop: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        put(saver, [made(shop(DATACLASS), DATACLASS)])
    card = shop(DATACLASS.replace("Ticket", "Card")).Card
    with (
        SqliteCheckpointer(tmp_path / "saver.db", types=[card]) as saver,
        pytest.raises(ClassChanged, match=r"shop\.Ticket .*no Ticket in shop any more.*keep the old name"),
    ):
        saver.get_tuple(CONFIG)


def test_the_bare_data_of_a_class_that_is_gone_can_be_read_with_langgraphs_serializer(
    shop: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        put(saver, [made(shop(DATACLASS), DATACLASS)])
    shop("")
    with SqliteCheckpointer(tmp_path / "saver.db", serde=JsonPlusSerializer()) as saver:
        found = saver.get_tuple(CONFIG)
        assert found is not None
        assert found.checkpoint["channel_values"]["x"] == [{"title": "a", "more": ["b"]}]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_an_object_that_its_own_checks_would_refuse_comes_back_all_the_same(
    shop: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    """As with LangGraph's saver: pydantic does not check what is set later."""
    module = shop(MODEL)
    ticket = module.Ticket(title="a")
    ticket.title = 3
    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        put(saver, [ticket])
        found = saver.get_tuple(CONFIG)
        assert found is not None
        assert found.checkpoint["channel_values"]["x"] == [ticket]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_an_object_that_lacks_a_field_is_refused_when_it_is_written(
    shop: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    with (
        SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver,
        pytest.raises(Unstorable, match="would not come back"),
    ):
        put(saver, [shop(MODEL).Ticket.model_construct()])


def test_a_zone_that_this_machine_does_not_know_is_an_error(tmp_path: Path) -> None:
    utc = struct.pack(">4s c 15x 6i ibb 4s", b"TZif", b"\0", 0, 0, 0, 0, 1, 4, 0, 0, 0, b"UTC\0")
    zone = ZoneInfo.from_file(io.BytesIO(utc), key="Mars/Olympus")
    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        put(saver, [zone])
        with pytest.raises(ClassChanged, match=r"zoneinfo\.ZoneInfo .*Mars/Olympus"):
            saver.get_tuple(CONFIG)
