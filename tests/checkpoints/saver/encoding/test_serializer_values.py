import enum
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command, Send
from pydantic import BaseModel

from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.errors import Unstorable

NOW = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)


@dataclass
class Point:
    x: int
    inside: Any = None


class Prices(BaseModel):
    by_day: dict[date, float]


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


LISTED = (Point, Prices)
PLAIN_VALUES: list[Any] = [
    *(None, b"abc", bytearray(b"abc"), "x", 1, -(2**63), 2**64 - 1, True, 1.5, [], {}),
    {"a": [1, None, "ÉÔÇ 🐍?"], "b": {"c": b"x"}},
    {1: {2.5: [True]}, None: {(1, "a"): b""}},
]

AROUND: list[Callable[[object], object]] = [
    lambda value: value,
    lambda value: [1, [value]],
    lambda value: {"a": {"b": value}},
    lambda value: Send("node", {"a": value}),
    lambda value: Command(update={"a": [value]}, goto="n"),
    lambda value: deque([value]),
    lambda value: ["plain", HumanMessage("x"), value],
    lambda value: [Point(1, [value])],
]


def loads(serializer: StrictSerializer, value: object) -> Any:
    return serializer.loads_typed(serializer.dumps_typed(value))


@pytest.mark.parametrize("value", PLAIN_VALUES, ids=repr)
def test_plain_values_come_back_equal(value: object) -> None:
    serializer = StrictSerializer()
    kind, packed = serializer.dumps_typed(value)
    back = serializer.loads_typed((kind, packed))
    assert type(packed) is bytes
    assert back == value
    assert type(back) is type(value)


def test_the_stored_bytes_do_not_change_with_the_bytearray_they_were_made_of() -> None:
    value = bytearray(b"abc")
    stored = StrictSerializer().dumps_typed(value)
    value[0] = 0
    assert stored == ("bytearray", b"abc")


def test_plain_bytes_are_those_of_langgraphs_own_serializer() -> None:
    for value in PLAIN_VALUES:
        assert StrictSerializer().dumps_typed(value) == JsonPlusSerializer().dumps_typed(value)


@pytest.mark.parametrize("key", [Colour.RED, NOW, date(2026, 1, 2), UUID(int=7), (1, Colour.RED)], ids=repr)
@pytest.mark.parametrize("wrap", AROUND)
def test_a_key_that_would_come_back_as_another_is_refused(wrap: Callable[[object], object], key: object) -> None:
    with pytest.raises(Unstorable, match=r"the key .* would come back as another one"):
        StrictSerializer(LISTED).dumps_typed(wrap([1, {"a": {key: 1}}]))


@pytest.mark.parametrize("key", ["é", 1, -1.5, True, None, b"x", (1, ("a", None)), Level.HIGH], ids=repr)
@pytest.mark.parametrize("wrap", AROUND)
def test_other_keys_come_back_equal(wrap: Callable[[object], object], key: object) -> None:
    assert loads(StrictSerializer(LISTED), wrap({key: [NOW]})) == wrap({key: [NOW]})
    assert loads(StrictSerializer(LISTED), wrap({key: 1})) == wrap({key: 1})


def test_a_model_makes_of_its_keys_what_they_were() -> None:
    prices = Prices(by_day={date(2026, 1, 2): 1.5})
    assert loads(StrictSerializer([Prices]), [prices]) == [prices]


@pytest.mark.parametrize(
    "value", ["a\ud800b", ["a\ud800b"], HumanMessage("a\ud800b"), {1: Point(1, "a\ud800b")}, {"a": {1: "a\ud800b"}}]
)
def test_text_with_half_a_character_is_kept_and_told(value: object, caplog: pytest.LogCaptureFixture) -> None:
    assert "a?b" in repr(loads(StrictSerializer(LISTED), value))
    assert "lone surrogate" in caplog.text


def test_a_question_mark_alone_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        loads(StrictSerializer(LISTED), ["a?", HumanMessage("Why? Zoë 🐍"), Point(1, "?"), NOW, {1: "?"}])
    assert not caplog.text


def test_an_exception_is_kept_as_its_text() -> None:
    assert loads(StrictSerializer(), KeyError("x")) == "KeyError('x')"


@pytest.mark.parametrize("kind", ["json", "pickle", "other"])
def test_other_forms_are_not_read(kind: str) -> None:
    with pytest.raises(Unstorable, match="form is not read"):
        StrictSerializer().loads_typed((kind, b"{}"))


def test_cut_off_bytes_are_told() -> None:
    kind, packed = StrictSerializer().dumps_typed({"a": "bcd"})
    with pytest.raises(Unstorable, match="damaged"):
        StrictSerializer().loads_typed((kind, packed[:-1]))


def test_arrays_come_back_and_arrays_of_objects_are_refused() -> None:
    numpy = pytest.importorskip("numpy")
    array = numpy.arange(6.0).reshape(2, 3)
    assert (loads(StrictSerializer(), {"a": [array]})["a"][0] == array).all()
    for lost in (numpy.array([{}, 1], dtype=object), numpy.zeros(1, dtype=[("x", "i4")])):
        with pytest.raises(Unstorable, match="objects or records"):
            StrictSerializer().dumps_typed([NOW, lost])
