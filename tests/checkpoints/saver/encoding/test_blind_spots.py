"""Edits that leave no trace where one would look: a saver stores what one would that has never seen the value."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PlainSerializer,
    PrivateAttr,
    WrapSerializer,
    field_serializer,
    model_serializer,
)
from pydantic.dataclasses import dataclass as checked_dataclass

from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import Unstorable

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
OUTSIDE: dict[str, Any] = {"n": 1}
"""What some classes look at when they are packed."""


class Elsewhere:
    """A descriptor that keeps its values outside the instance."""

    def __init__(self) -> None:
        self.values: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    def __get__(self, owner: Any, kind: Any) -> Any:
        return 0 if owner is None else self.values.get(owner, 0)

    def __set__(self, owner: Any, value: Any) -> None:
        self.values[owner] = value


@dataclass
class Holder:
    held: Any


@dataclass(eq=False)
class Described:
    n: Any = Elsewhere()


@dataclass
class WithProperty:
    n: Any
    _n: ClassVar[Any]


def _get(self: Any) -> Any:
    return OUTSIDE["n"]


WithProperty.n = property(_get, lambda self, value: None)


@dataclass
class Defaulted:
    n: Any = 1


@dataclass
class WithAttributes:
    n: Any = 1

    def __getattribute__(self, name: str) -> Any:
        return OUTSIDE["n"] if name == "n" else object.__getattribute__(self, name)


@dataclass
class WithDump:
    n: Any = 1

    def dict(self) -> dict[str, Any]:
        return {"n": OUTSIDE["n"]}


@dataclass
class Lazy:
    n: Any = 1

    @cached_property
    def later(self) -> Any:
        return [1]


class Slotted:
    __slots__ = ("n",)


@dataclass
class HalfSlotted(Slotted):
    n: Any = 1
    m: Any = 1


@checked_dataclass(config=ConfigDict(validate_assignment=True))
class Checked:
    n: Any = 1


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    n: Any = 1


class Serializing(BaseModel):
    n: Annotated[Any, PlainSerializer(lambda n: OUTSIDE["n"])] = 1


class SerializingDeep(BaseModel):
    n: dict[str, list[Annotated[Any, WrapSerializer(lambda n, inner: OUTSIDE["n"])] | None]] = {"a": [1]}


class OfSerializing(BaseModel):
    n: list[Serializing] = [Serializing()]


class Excluding(BaseModel):
    n: Any = Field(default=1, exclude_if=lambda n: OUTSIDE["n"] == 2)


class ByField(BaseModel):
    n: Any = 1

    @field_serializer("n")
    def _pack(self, n: Any) -> Any:
        return OUTSIDE["n"]


class ByModel(BaseModel):
    n: Any = 1
    _hidden: Any = PrivateAttr(default_factory=lambda: {"n": 1})

    @model_serializer
    def _pack(self) -> dict[str, Any]:
        return {"n": self._hidden["n"]}


class Dumping(BaseModel):
    n: Any = 1

    def model_dump(self, **_options: Any) -> dict[str, Any]:
        return {"n": OUTSIDE["n"]}


class Assigned(BaseModel):
    model_config = ConfigDict(validate_assignment=True)
    n: Any = 1


class Named(NamedTuple):
    n: Any = 1

    def dict(self) -> dict[str, Any]:
        return {"n": OUTSIDE["n"]}


class Boxed(NamedTuple):
    n: Any


class Zone(tzinfo):
    """A zone of one's own, that is moved."""

    hours = 1

    def utcoffset(self, _when: datetime | None) -> timedelta:
        return timedelta(hours=self.hours)

    def dst(self, _when: datetime | None) -> timedelta:
        return timedelta()

    def tzname(self, _when: datetime | None) -> str:
        return "mine"


class Money(Decimal):
    unit = "€"

    def __str__(self) -> str:
        return f"{OUTSIDE['n']}"


class Mood(enum.Enum):
    GOOD = ["good"]  # noqa: RUF012  # a value that can be edited


class Known(enum.Enum):
    ONE = 1

    @property
    def value(self) -> Any:
        return OUTSIDE["n"]


TYPES = [kind for kind in list(globals().values()) if isinstance(kind, type) and kind.__module__ == __name__]


def move_outside(_value: Any) -> None:
    OUTSIDE["n"] = 2


def made(kind: Any, **attributes: Any) -> Any:
    value = kind()
    for name, attribute in attributes.items():
        setattr(value, name, attribute)
    return value


def without(value: Any, name: str) -> Any:
    delattr(value, name)
    return value


CASES: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "a field behind a descriptor": (lambda: made(Described, n=1), lambda v: setattr(v, "n", 2)),
    "a field behind a property": (lambda: WithProperty(1), move_outside),
    "a field that its class has": (
        lambda: without(Defaulted(), "n"),
        lambda v: setattr(Defaulted, "n", 2),
    ),
    "a field that is deleted": (lambda: WithDump(2), lambda v: vars(v).clear()),
    "a field under another name": (lambda: Lazy(5), lambda v: vars(v).update(m=vars(v).pop("n"))),
    "a cached property": (lambda: Lazy([1]), lambda v: v.later.append(v.n.append(2))),
    "attributes that are made up": (WithAttributes, move_outside),
    "a method that dumps": (WithDump, move_outside),
    "a field in a slot of a base class": (HalfSlotted, lambda v: setattr(v, "n", 2)),
    "a checked dataclass": (Checked, lambda v: setattr(v, "n", 2)),
    "what a model was given beside its fields": (lambda: Open(m=[1]), lambda v: v.m.append(2)),
    "all that a model was given beside its fields": (
        lambda: Open(m=[1]),
        lambda v: setattr(v, "__pydantic_extra__", {"m": [2]}),
    ),
    "the first that a model is given beside its fields": (Open, lambda v: setattr(v, "__pydantic_extra__", {"m": 2})),
    "what a message was given beside its fields": (
        lambda: HumanMessage("x", mood=["odd"]),
        lambda v: setattr(v, "__pydantic_extra__", {"mood": ["other"]}),
    ),
    "the first that a message is given beside its fields": (
        lambda: AIMessage("x"),
        lambda v: object.__setattr__(v, "__pydantic_extra__", {"mood": 2}),
    ),
    "a model's serializer in an annotation": (Serializing, move_outside),
    "a model's serializer deep in an annotation": (SerializingDeep, move_outside),
    "a serializer of a model in a model": (OfSerializing, move_outside),
    "a field that is left out at times": (Excluding, move_outside),
    "a field's serializer": (ByField, move_outside),
    "a private attribute that is packed": (ByModel, lambda v: v._hidden.update(n=2)),
    "a model with a dump of its own": (Dumping, move_outside),
    "a model that checks what is set": (Assigned, lambda v: setattr(v, "n", 2)),
    "a named tuple with a dump of its own": (Named, move_outside),
    "a list in a named tuple": (lambda: Boxed([1]), lambda v: v.n.append(2)),
    "a zone of a date and time": (lambda: datetime(2026, 1, 1, tzinfo=Zone()), lambda v: setattr(v.tzinfo, "hours", 2)),
    "an enum's value": (lambda: Mood.GOOD, lambda v: v.value.append("better")),
    "an enum's value that is made up": (lambda: Known.ONE, move_outside),
    "a number that is made up": (lambda: Money(1), move_outside),
    "a bytearray": (lambda: bytearray(b"a"), lambda v: v.extend(b"b")),
}
AROUND: dict[str, Callable[[Any], Any]] = {
    "alone": lambda value: value,
    "in a long list": lambda value: [*(f"line {number} " + "x" * 90 for number in range(70)), value],
    "in a message": lambda value: [HumanMessage("x", additional_kwargs={"a": {"b": [value]}})],
    "in a dataclass": lambda value: {"a": Holder([value])},
    "in a tuple": lambda value: {"a": ("b", (value,))},
}


@pytest.fixture(autouse=True)
def _as_before() -> Any:
    yield
    OUTSIDE["n"], Defaulted.n, Mood.GOOD.value[:] = 1, 1, ["good"]


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("wrap", AROUND.values(), ids=AROUND)
@pytest.mark.parametrize(("make", "edit"), CASES.values(), ids=CASES)
def test_a_saver_that_remembers_stores_what_one_would_that_remembers_nothing(
    tmp_path: Path, make: Callable[[], Any], edit: Callable[[Any], object], wrap: Callable[[Any], Any]
) -> None:
    value = make()
    state = wrap(value)
    with SqliteCheckpointer(tmp_path / "saver.db", types=TYPES) as saver:
        config, before = put(saver, CONFIG, state)
        config, again = put(saver, config, state)
        edit(value)
        _, after = put(saver, config, state)
    with SqliteCheckpointer(tmp_path / "other.db", types=TYPES) as other:
        assert put(other, CONFIG, state)[1] == after
    assert again == before
    assert after != before or wrap is not AROUND["alone"]


def put(saver: SqliteCheckpointer, parent: Any, value: Any) -> tuple[Any, object]:
    """Put a checkpoint with this value; its config, and what is read then, or why it was refused."""
    checkpoint: Checkpoint = {**empty_checkpoint(), "channel_values": {"value": value}}
    try:
        config = saver.put(parent, checkpoint, {"source": "loop", "step": 1}, {})
    except Unstorable as error:
        return parent, str(error)
    found = saver.get_tuple(config)
    assert found is not None
    values = found.checkpoint["channel_values"]
    return config, (repr(values), JsonPlusSerializer().dumps_typed(values))
