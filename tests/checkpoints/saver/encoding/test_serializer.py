import enum
import re
import sys
import threading
import types as module_types
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path
from typing import Any, ClassVar, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import ormsgpack
import pytest
from langchain_core import messages as lc
from langchain_core.documents import Document
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.store.base import GetOp, Item
from langgraph.types import Command, Interrupt, Overwrite, PregelTask, Send, StateSnapshot, TimeoutPolicy
from pydantic import BaseModel, ConfigDict, Field, RootModel

from signoff.checkpoints.saver.encoding.serializer import KNOWN, StrictSerializer
from signoff.errors import UnlistedType, Unstorable

NOW = datetime(2026, 11, 22, 17, 30, tzinfo=UTC)


class Step(BaseModel):
    text: str = ""


class Plan(BaseModel):
    title: str
    steps: list[Step] = []
    due: datetime | None = None


class Aliased(BaseModel):
    name: str = Field("nobody", alias="fullName")


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    step: Aliased


class LongStep(Step):
    words: int = 0


class Titles(RootModel[list[str]]):
    pass


@dataclass
class Point:
    x: int
    inside: Any = None


@dataclass
class Meeting:
    """Lets something else happen while it is rebuilt."""

    x: int
    during: ClassVar[list[Callable[[], None]]] = []

    def __post_init__(self) -> None:
        for call in self.during:
            call()


@dataclass(eq=False)
class Identity:
    x: int


@dataclass
class Counted:
    x: int
    y: int = field(init=False, default=0)


class Pair(NamedTuple):
    left: int
    right: object


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    HIGH = 3


class Later(datetime):
    pass


class Outer:
    class Inner(BaseModel):
        x: int


KNOWN_VALUES: list[Any] = [
    {1, 2},
    frozenset({1}),
    deque([1]),
    date(2026, 1, 2),
    NOW,
    time(1, 2, 3, tzinfo=UTC),
    timedelta(days=1, microseconds=3),
    timezone(timedelta(hours=2)),
    Decimal("1.10"),
    *(make(address) for make in (ip_address, ip_interface, ip_network) for address in ("10.0.0.1", "::1")),
    Path("a/b"),
    re.compile("a+", re.IGNORECASE),
    UUID(int=7),
    ZoneInfo("UTC"),
    Document(page_content="x", metadata={"when": NOW}),
    lc.BaseMessage(content="x", type="t"),
    lc.BaseMessageChunk(content="x", type="t"),
    lc.HumanMessage(content="x", id="1"),
    lc.HumanMessageChunk(content="x"),
    lc.AIMessage(content="x", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "1"}]),
    lc.AIMessageChunk(content="x"),
    lc.SystemMessage(content="x"),
    lc.SystemMessageChunk(content="x"),
    lc.ChatMessage(content="x", role="r"),
    lc.ChatMessageChunk(content="x", role="r"),
    lc.ToolMessage(content="x", tool_call_id="1"),
    lc.ToolMessageChunk(content="x", tool_call_id="1"),
    lc.FunctionMessage(content="x", name="f"),
    lc.FunctionMessageChunk(content="x", name="f"),
    lc.RemoveMessage(id="1"),
    Item(value={"a": 1}, key="k", namespace=("n",), created_at=NOW, updated_at=NOW),
    GetOp(namespace=["n"], key="k"),  # type: ignore[arg-type]  # a tuple comes back as a list
    Send("node", {"a": [NOW]}),
    Send("node", 1, timeout=2.0),
    TimeoutPolicy(run_timeout=timedelta(seconds=1)),
    Interrupt(value={"q": NOW}, id="1"),
    Command(update={"a": NOW}, goto=[Send("n", 1)]),
    Overwrite([NOW]),
    PregelTask("1", "n", ["p"], interrupts=[]),  # type: ignore[arg-type]  # a tuple comes back as a list
    StateSnapshot({}, [], {}, None, None, None, [], []),  # type: ignore[arg-type]  # a tuple comes back as a list
]
PLATFORM = {name for name in KNOWN if name[0].startswith("pathlib")}

LISTED = (Step, Plan, Point, Identity, Pair, Colour, Level)
LISTED_VALUES: list[Any] = [
    Plan(title="a", steps=[Step(text="b")], due=NOW),
    Point(1, [Plan(title="b"), {"c": Pair(1, Colour.RED)}]),
    Pair(1, {Colour.RED}),
    Colour.RED,
    Level.HIGH,
]

AROUND: list[Callable[[object], object]] = [
    lambda value: value,
    lambda value: [1, [value]],
    lambda value: [1, value],
    lambda value: {"a": {"b": value}},
    lambda value: Send("node", {"a": value}),
    lambda value: Command(update={"a": [value]}, goto="n"),
    lambda value: Command(resume=value, goto="n"),
    lambda value: [Interrupt(value={"a": value}, id="1")],
    lambda value: Overwrite([value]),
    lambda value: deque([value]),
    lambda value: ["plain", lc.HumanMessage(content="x"), value],
]


def loads(serializer: StrictSerializer, value: object) -> Any:
    return serializer.loads_typed(serializer.dumps_typed(value))


def snapshot(value: object) -> Any:
    """What a DeltaChannel stores; its class is private to LangGraph, which makes one of these bytes."""
    packed = ormsgpack.packb(ormsgpack.Ext(7, ormsgpack.packb(None)))
    return JsonPlusSerializer().loads_typed(("msgpack", packed))._replace(value=value)


def deep(value: object) -> object:
    for _ in range(60):
        value = {"a": [value]}
    return value


@pytest.mark.parametrize("value", KNOWN_VALUES, ids=lambda value: type(value).__name__)
def test_a_known_type_comes_back_equal_without_listing(value: object) -> None:
    back = loads(StrictSerializer(), value)
    assert type(back) is type(value)
    assert back == value


def test_every_known_type_is_tried() -> None:
    tried = {(type(value).__module__, type(value).__name__) for value in KNOWN_VALUES}
    assert tried - PLATFORM == KNOWN - PLATFORM - {("re", "compile")} | {("re", "Pattern")}


@pytest.mark.parametrize("value", LISTED_VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [*AROUND, snapshot, deep])
def test_a_listed_type_comes_back_equal_wherever_it_stands(wrap: Callable[[object], object], value: object) -> None:
    back = loads(StrictSerializer(LISTED), wrap(value))
    assert back == wrap(value)
    assert repr(back) == repr(wrap(value))


def test_a_tuple_comes_back_as_a_list() -> None:
    assert loads(StrictSerializer(LISTED), (1, Point(2, (3,)))) == [1, Point(2, [3])]


def test_a_type_is_listed_by_its_name_too() -> None:
    assert loads(StrictSerializer([(__name__, "Plan")]), Plan(title="a")) == Plan(title="a")


def test_objects_that_are_never_equal_are_kept_all_the_same() -> None:
    back = loads(StrictSerializer([Identity]), Identity(3))
    assert type(back) is Identity
    assert back.x == 3


@pytest.mark.parametrize("value", LISTED_VALUES, ids=lambda value: type(value).__name__)
@pytest.mark.parametrize("wrap", [*AROUND, snapshot, deep])
def test_an_unlisted_type_is_refused_when_written(wrap: Callable[[object], object], value: object) -> None:
    with pytest.raises(UnlistedType) as caught:
        StrictSerializer().dumps_typed(wrap(value))
    assert (__name__, type(value).__name__) in caught.value.types


def test_the_refusal_says_which_types_to_list_and_how() -> None:
    with pytest.raises(UnlistedType) as caught:
        StrictSerializer().dumps_typed({"a": Point(1, Plan(title="x"))})
    assert str(caught.value) == (
        f"A checkpoint cannot hold {__name__}.Plan and {__name__}.Point: not a listed type, so it could not be read "
        "back as an object. List it: SqliteCheckpointer(path, types=[Plan, Point])"
    )


@pytest.mark.parametrize("wrap", [*AROUND, snapshot, deep])
def test_an_unlisted_type_is_refused_when_read(wrap: Callable[[object], object]) -> None:
    written = StrictSerializer(LISTED).dumps_typed(wrap(Point(1)))
    with pytest.raises(UnlistedType, match=r"\.Point: not a listed type.*types=\[Point\]"):
        StrictSerializer([Plan]).loads_typed(written)


def test_a_refused_read_does_not_spoil_the_next_one() -> None:
    lenient, strict = StrictSerializer(LISTED), StrictSerializer()
    with pytest.raises(UnlistedType):
        strict.loads_typed(lenient.dumps_typed(Point(1)))
    assert strict.loads_typed(lenient.dumps_typed([NOW])) == [NOW]


def test_a_refusal_reaches_only_the_thread_that_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    lenient, strict = StrictSerializer(LISTED), StrictSerializer([Meeting])
    refused: list[object] = []

    def read_elsewhere() -> None:
        with pytest.raises(UnlistedType):
            strict.loads_typed(lenient.dumps_typed(Point(1)))
        refused.append(True)

    def meet() -> None:
        other = threading.Thread(target=read_elsewhere)
        other.start()
        other.join()

    written = strict.dumps_typed(Meeting(1))
    expected = Meeting(1)
    monkeypatch.setattr(Meeting, "during", [meet])
    assert strict.loads_typed(written) == expected
    assert refused


def test_more_types_make_a_new_serializer() -> None:
    first = StrictSerializer([Step])
    second = first.with_msgpack_allowlist([Plan, (__name__, "Point")])
    assert loads(second, [Step(), Plan(title="a"), Point(1)]) == [Step(), Plan(title="a"), Point(1)]
    with pytest.raises(UnlistedType):
        first.dumps_typed(Plan(title="a"))
    assert second.with_msgpack_allowlist([Plan, lc.AIMessage]) is second


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (Aliased(fullName="Ann"), "Aliased: name would not come back"),
        ([Closed(step=Aliased(fullName="Ann"))], r"list: 0\.step\.name would not come back"),
        (Titles(["a"]), "Titles: it would not come back"),
        (Counted(1), "Counted: it would not come back"),
        (Outer.Inner(x=1), r"Outer\.Inner: it would not come back.*top level of its module"),
        (Plan(title="a", steps=[LongStep(words=3)]), r"Plan: steps\.0 would not come back"),
        (Point(1, {Colour.RED: 1}), r"the key <Colour\.RED: 'red'>: it would come back as another one"),
        (Later(2026, 1, 1), r"\.Later: LangGraph does not rebuild it"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_a_listed_object_that_its_class_cannot_rebuild_is_refused(value: object, problem: str) -> None:
    listed = [Aliased, Closed, Titles, Counted, Outer.Inner, Plan, Point, Level, Colour, Later]
    with pytest.raises(Unstorable, match=problem) as caught:
        StrictSerializer(listed).dumps_typed(value)
    assert not isinstance(caught.value, UnlistedType)


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (object(), "hold object: "),
        ([{"a": Point(1, [range(3)])}], "hold range: "),
        (Step.model_construct(text=re), "hold module: "),  # type: ignore[arg-type]  # on purpose
        ({"a": 2**64}, "hold int: Integer exceeds 64-bit range"),
        ({"a\ud800": 1}, "string contains surrogates"),
        ({("a", frozenset({1})): 1}, "the key ('a', frozenset({1}))"),
    ],
    ids=["object", "nested", "model", "number", "surrogate", "key"],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_what_cannot_be_serialised_is_named_in_one_line(value: object, what: str) -> None:
    with pytest.raises(Unstorable) as caught:
        StrictSerializer(LISTED).dumps_typed(value)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_list_that_holds_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(Unstorable, match="list: it is nested too deeply, or holds itself"):
        StrictSerializer().dumps_typed(endless)


def test_bytes_are_those_of_langgraphs_own_serializer() -> None:
    for value in [*KNOWN_VALUES, *LISTED_VALUES]:
        assert StrictSerializer(LISTED).dumps_typed(value) == JsonPlusSerializer().dumps_typed(value)


def test_a_function_named_in_the_bytes_is_not_called(tmp_path: Path) -> None:
    call = ormsgpack.packb(("os", "mkdir", str(tmp_path / "made")))
    with pytest.raises(UnlistedType, match=r"os\.mkdir"):
        StrictSerializer().loads_typed(("msgpack", ormsgpack.packb(ormsgpack.Ext(0, call))))
    assert not (tmp_path / "made").exists()


def test_a_class_from_another_module_of_the_same_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    other = module_types.ModuleType("other")
    monkeypatch.setitem(sys.modules, "other", other)
    twin = type("Plan", (Point,), {"__module__": "other"})
    with pytest.raises(UnlistedType, match=r"other\.Plan"):
        StrictSerializer([Plan]).dumps_typed(twin(1))
