"""A hundred thousand puts of random states, edited in place and not, by two processes: each is read as it was put.

`.venv/bin/pytest -m hunt tests/checkpoints/saver/remembering/test_saver_fuzz.py` makes all of them.
"""

import asyncio
import os
import pickle
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields, is_dataclass
from hashlib import blake2b
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hunts import Part
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel

from signoff.checkpoints.saver.saver import SqliteCheckpointer

numpy: Any = find_spec("numpy") and import_module("numpy")
pandas: Any = find_spec("pandas") and import_module("pandas")

PUTS = 100_000
PUTS_OF_FILE = 125
KEY = bytes(range(32))


@dataclass
class Entry:
    """A dataclass that is listed."""

    name: str
    held: Any = None


@dataclass
class Place:
    """One thread and namespace, as its user has it."""

    thread: str
    ns: str
    state: dict[str, Any]
    config: Any
    known: dict[str, dict[str, bytes] | None] = field(default_factory=dict)
    """By id, the digests of what was put; None where another thread was editing it meanwhile."""


class Claim(BaseModel):
    text: str
    held: Any = None


TYPES = (Entry, Claim)
PLAIN = JsonPlusSerializer(pickle_fallback=True)


class Maker:
    """Makes values, and edits them in place."""

    def __init__(self, dice: random.Random, *, objects: bool) -> None:
        self.dice = dice
        self.makers: list[Callable[[int], Any]] = [
            self.text,
            self.number,
            lambda _: dice.choice([None, True, False, 0, 1.0, -0.0, float("nan"), "", b"", 2**63, -(2**63)]),
            lambda _: dice.randbytes(self.size(3000)),
            lambda _: bytes([dice.randrange(256)]) * self.size(3000),
            lambda depth: [self.value(depth + 1) for _ in range(self.size(12))],
            lambda depth: {self.key(): self.value(depth + 1) for _ in range(self.size(12))},
            lambda _: [dice.random() for _ in range(self.size(900))],
            lambda _: [dice.randrange(9) for _ in range(self.size(3000))],
            lambda _: {f"key {n}": self.text(0) for n in range(self.size(500))},
            lambda _: {n * 7: dice.random() for n in range(self.size(400))},
            lambda _: [{"id": n, "name": self.text(0), "tags": [n, None]} for n in range(self.size(80))],
            lambda _: [self.message() for _ in range(self.size(40))],
            lambda _: {f"talk {n}": [self.message() for _ in range(self.size(9))] for n in range(self.size(4))},
            lambda depth: (self.value(depth + 1), self.number(0)),
            lambda _: bytearray(dice.randbytes(self.size(200))),
        ]
        if objects:
            self.makers += [
                lambda depth: Entry(self.text(0), self.value(depth + 1)),
                lambda _: Claim(text=self.text(0), held=self.flat()),
                lambda depth: [Entry(self.text(0), n) for n in range(self.size(30))],
                lambda _: [Claim(text=self.text(0), held=n) for n in range(self.size(30))],
            ]
        if numpy:
            self.makers.append(lambda _: numpy.arange(self.size(4000)) * dice.random())

    def size(self, most: int) -> int:
        return self.dice.randrange(most + 1) if self.dice.random() < 0.3 else self.dice.randrange(most // 8 + 2)

    def text(self, _: int) -> str:
        words = ("alpha", "beta", "gamma é", "delta\0", "z", "日本", " ")
        return (
            " ".join(self.dice.choices(words, k=self.size(60))) if self.dice.random() < 0.9 else "x" * self.size(9000)
        )

    def number(self, _: int) -> int:
        return self.dice.choice([self.dice.randrange(100), self.dice.randrange(2**40)])

    def key(self) -> Any:
        return self.text(0)[:20] if self.dice.random() < 0.9 else self.dice.choice([None, 7, 1.5, b"k", True])

    def message(self) -> Any:
        return self.dice.choice(
            [
                HumanMessage(self.text(0), id=str(self.number(0))),
                AIMessage(self.text(0), additional_kwargs={"at": [self.number(0)]}),
                AIMessage("", tool_calls=[{"name": "look", "args": {"n": self.number(0)}, "id": "1"}]),
                ToolMessage([{"type": "text", "text": self.text(0)}], tool_call_id="1"),
            ]
        )

    def value(self, depth: int = 0) -> Any:
        if not depth and self.dice.random() < 0.05:
            return {self.dice.randrange(10**9) for _ in range(self.size(300))}
        return self.dice.choice(self.makers if depth < 4 else self.makers[:5])(depth)

    def flat(self) -> Any:
        """Something that a model may hold in a field of any type: there objects would come back as dicts."""
        return self.dice.choice(self.makers[:3] + self.makers[7:10])(0)

    def deep(self) -> Any:
        held: Any = self.text(0)
        for number in range(self.size(70)):
            held = {"n": number, "in": [held]} if self.dice.random() < 0.5 else [self.text(0), held]
        return held

    def edit(self, value: Any) -> None:
        """Change something in there, at any depth; what cannot be changed stays."""
        while True:
            inner = [part for part in parts_of(value) if is_box(part)]
            if not inner or isinstance(value, BaseModel) or self.dice.random() < 0.35:
                break
            value = self.dice.choice(inner)
        self.change(value)

    def change(self, value: Any) -> None:
        dice = self.dice
        if isinstance(value, list):
            how, at = dice.randrange(6), dice.randrange(len(value) + 1)
            if how < 2 or not value:
                again = value and at % 3 == 0 and not isinstance(value[0], (list, tuple, dict, Entry, Claim))
                value.insert(len(value) if how else at, value[0] if again else self.value(2))
            elif how == 2:
                del value[at : at + 1 + dice.randrange(4)]
            elif how == 3:
                value[at - 1] = self.value(2)
            else:
                dice.shuffle(value) if how == 4 and len(value) < 50 else value.append(self.value(3))
        elif isinstance(value, dict):
            if value and dice.random() < 0.5:
                key = dice.choice(list(value))
                held = value.pop(key)
                if dice.random() < 0.6:
                    value[key] = held if dice.random() < 0.3 else self.value(2)
            else:
                value[self.key()] = self.value(2)
        elif isinstance(value, bytearray):
            value += b"more"
        elif isinstance(value, set):
            value.add(dice.randrange(10**6))
        elif isinstance(value, (Entry, Claim)):
            value.held = self.flat()
        elif isinstance(value, BaseModel):
            value.content = self.text(0)  # type: ignore[attr-defined]  # a message
        elif numpy and isinstance(value, numpy.ndarray) and value.size and value.flags.writeable:
            value[dice.randrange(value.size)] = dice.random()


def parts_of(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    if isinstance(value, (list, tuple)):
        return list(value)
    if is_dataclass(value):
        return [getattr(value, one.name) for one in fields(value)]
    return list(vars(value).values()) if isinstance(value, BaseModel) else []


def is_box(value: Any) -> bool:
    boxes = (list, tuple, dict, set, bytearray, BaseModel, Entry)
    return isinstance(value, boxes) or bool(numpy and isinstance(value, numpy.ndarray))


def digests(values: dict[str, Any]) -> dict[str, bytes]:
    """What tells the values from others: with types, and keys in their order, as LangGraph's serializer packs them."""
    return {
        name: blake2b(PLAIN.dumps_typed(sorted(value) if isinstance(value, set) else value)[1], digest_size=12).digest()
        for name, value in values.items()
    }


OTHER = """
import os, pickle, sys
sys.path += sys.argv[1].split(os.pathsep)
from signoff.checkpoints.saver.saver import SqliteCheckpointer
savers = {}
while True:
    try:
        path, options, call = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    if path not in savers:
        for saver in savers.values():
            saver.close()
        savers = {path: SqliteCheckpointer(path, **options)}
    pickle.dump(savers[path].put(*call), sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


@contextmanager
def other_process() -> Iterator[Callable[[Path, Any, Any], Any]]:
    """Has another process put to the same file."""
    command = [sys.executable, "-c", OTHER, os.pathsep.join([str(Path(__file__).parents[4]), *sys.path])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def put(path: Path, options: Any, call: Any) -> Any:
            pickle.dump((str(path), options, call), stdin)
            stdin.flush()
            return pickle.load(stdout)

        yield put
        stdin.close()


class Story:
    """Some hundred puts to one file."""

    def __init__(self, folder: Path, number: int, other: Callable[[Path, Any, Any], Any]) -> None:
        self.dice, self.number, self.other = random.Random(number), number, other
        own = self.dice.random() < 0.2  # a serializer of one's own, which keeps whole channels
        self.options: dict[str, Any] = {"key": KEY} if self.dice.random() < 0.15 else {}
        self.options |= {"serde": JsonPlusSerializer(pickle_fallback=True)} if own else {"types": TYPES}
        self.path = folder / f"{number}.db"
        self.maker = Maker(self.dice, objects=not own)
        if own and pandas:
            self.maker.makers.append(lambda _: pandas.DataFrame({"a": range(self.maker.size(300))}))
        self.can_leave = not own
        self.saver = SqliteCheckpointer(self.path, **self.options)
        self.places = [self.new_place(f"t{n % 2}", "" if n < 2 else f"sub:{n}") for n in range(self.dice.randint(1, 4))]

    def new_place(self, thread: str, ns: str) -> Place:
        wide = self.dice.random() < 0.15
        make = self.maker.value
        state = {
            f"c{n}": self.maker.text(0) if wide else make() for n in range(300 if wide else self.dice.randint(1, 5))
        }
        return Place(thread, ns, state, {"configurable": {"thread_id": thread, "checkpoint_ns": ns}})

    def tell(self) -> int:
        """Put and read; how many puts."""
        for step in range(PUTS_OF_FILE):
            self.step = step
            place = self.dice.choice(self.places)
            self.edit(place.state)
            self.put(place, step)
            self.look(place, self.saver.get_tuple({"configurable": {**place.config["configurable"]}}))
            chance = self.dice.random()
            if chance < 0.04:
                self.fork(place)
            elif chance < 0.07:
                self.saver.close()
                self.saver = SqliteCheckpointer(self.path, **self.options)
            elif chance < 0.08:
                self.saver.prune([place.thread], strategy="keep_latest")
                for one in self.places:
                    if one.thread == place.thread and one.known:
                        newest = max(one.known)
                        one.known = {newest: one.known[newest]}
                        one.config["configurable"]["checkpoint_id"] = newest
            elif chance < 0.12 and len(place.known) > 1:
                self.look(place, self.saver.get_tuple(self.at(place, self.dice.choice(list(place.known)))))
        self.read_all()
        return PUTS_OF_FILE

    def edit(self, state: dict[str, Any]) -> None:
        for _ in range(self.dice.randint(0, 4)):
            name = self.dice.choice(list(state))
            how = self.dice.random()
            if how < 0.1:
                state[name] = self.maker.deep() if how < 0.03 else self.maker.value()
            elif how < 0.13:
                state[f"c{len(state)}"] = state.pop(name)
            elif isinstance(state[name], (str, bytes)):
                state[name] += state[name][:50]
            else:
                self.maker.edit(state[name])

    def put(self, place: Place, step: int) -> None:
        identity = str(uuid6(clock_seq=step))
        versions = dict.fromkeys(place.state, step)
        checkpoint = {
            **empty_checkpoint(), "id": identity, "channel_values": place.state, "channel_versions": versions,
        }  # fmt: skip
        call = (place.config, checkpoint, {"source": "loop", "step": step, "parents": {}}, versions)
        how = self.dice.random()
        place.known[identity] = digests(place.state)
        if how < 0.1 and self.can_leave:
            place.config = self.other(self.path, self.options, call)
        elif how < 0.2:
            place.config = asyncio.run(self.saver.aput(*call))  # type: ignore[arg-type]  # a checkpoint
        elif how < 0.25:
            place.known[identity] = None
            with edited(place.state):
                place.config = self.saver.put(*call)  # type: ignore[arg-type]  # a checkpoint
        else:
            place.config = self.saver.put(*call)  # type: ignore[arg-type]  # a checkpoint
        if self.dice.random() < 0.2:
            self.saver.put_writes(place.config, [("c0", self.maker.value(2))], f"task {step}")

    def fork(self, place: Place) -> None:
        """Go on from an older checkpoint, as it is read."""
        found = self.saver.get_tuple(self.at(place, self.dice.choice(list(place.known))))
        self.look(place, found)
        assert found is not None
        place.state, place.config = dict(found.checkpoint["channel_values"]), dict(found.config)

    def at(self, place: Place, identity: str) -> Any:
        return {"configurable": {"thread_id": place.thread, "checkpoint_ns": place.ns, "checkpoint_id": identity}}

    def look(self, place: Place, found: CheckpointTuple | None) -> None:
        assert found is not None, self.number
        expected, values = place.known[found.checkpoint["id"]], found.checkpoint["channel_values"]
        if expected is not None:
            now = digests(values)
            others = {name for name in expected.keys() | now.keys() if expected.get(name) != now.get(name)}
            assert not others, f"story {self.number}, step {self.step}, {place.thread} {place.ns}: {others}"

    def read_all(self) -> None:
        """Everything is read again, by this saver and by one that has just opened the file."""
        for _ in range(2):
            for place in self.places:
                here: Any = {"configurable": {"thread_id": place.thread, "checkpoint_ns": place.ns}}
                found = {one.checkpoint["id"]: one for one in self.saver.list(here)}
                assert found.keys() == place.known.keys(), f"story {self.number}"
                for one in found.values():
                    self.look(place, one)
            self.saver.close()
        with closing(SqliteCheckpointer(self.path, **self.options)) as saver:
            assert saver.check() == [], f"story {self.number}"


@contextmanager
def edited(state: dict[str, Any]) -> Iterator[None]:
    """Another thread edits the lists and dicts in there, as long as the block lasts."""
    is_over = threading.Event()
    boxes = [box for box in state.values() if type(box) in (list, dict)]

    def edit() -> None:
        number = 0
        while not is_over.is_set() and number < 20_000:
            for box in boxes:
                number += 1
                if isinstance(box, list):
                    box.append(number) if len(box) < 500 or number % 2 else box.pop()
                else:
                    box[f"edit {number % 20}"] = number

    thread = threading.Thread(target=edit)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def tell_stories(tmp_path: Path, numbers: range) -> None:
    with other_process() as other:
        for number in numbers:
            told = Story(tmp_path, number, other)
            told.tell()
            for file in tmp_path.glob(f"{number}.db*"):
                file.unlink()


def test_some_random_puts_are_read_as_they_were_put(tmp_path: Path) -> None:
    tell_stories(tmp_path, range(1000, 1001))


@pytest.mark.hunt
def test_a_hundred_thousand_puts_are_read_as_they_were_put(tmp_path: Path, part: Part) -> None:
    tell_stories(tmp_path, range(part.index, PUTS // PUTS_OF_FILE, part.parts))
