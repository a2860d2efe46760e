"""A serializer of one's own is handed each channel whole, and what it does not let through is nowhere in the file."""

import pickle
from dataclasses import dataclass
from operator import add
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.serde.base import CipherProtocol, SerializerProtocol
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.graph import START, StateGraph
from langgraph.types import Command, interrupt
from pydantic import BaseModel, PrivateAttr

from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.checkpoints.saver.saver import SqliteCheckpointer

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}


class Flipped(CipherProtocol):
    """Stands for a cipher: each byte is another, and no two results are the same."""

    def __init__(self) -> None:
        self.count = 0

    def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
        self.count += 1
        return "flipped", self.count.to_bytes(4, "big") + bytes(byte ^ 0xAA for byte in plaintext)

    def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
        assert ciphername == "flipped"
        return bytes(byte ^ 0xAA for byte in ciphertext[4:])


class Listening(JsonPlusSerializer):
    """Notes what it is handed."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self.heard.append(obj)
        return super().dumps_typed(obj)


class Pickling(SerializerProtocol):
    """Keeps what MessagePack would not: slots, private attributes, tuples."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return "pickle", pickle.dumps(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        assert data[0] == "pickle"
        return pickle.loads(data[1])


class Stricter(StrictSerializer):
    """One that somebody made of ours."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, packed = super().dumps_typed(obj)
        return kind, packed[::-1]

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return super().loads_typed((data[0], data[1][::-1]))


class Hiding(BaseModel):
    shown: int = 1
    _hidden: list[int] = PrivateAttr(default_factory=lambda: [1])


@dataclass
class Slotted:
    __slots__ = ("inside",)
    inside: Any


def state() -> dict[str, Any]:
    """Something secret in every place, small and large; only the channels' names are not."""
    return {
        "text": "secret",
        "small": {"secret": 1},
        "large": {f"secret key {number}": f"secret value {number}" * 9 for number in range(200)},
        "deep": {"secret a": {f"secret {number}": [{"secret b": number}] * 30 for number in range(30)}},
        "list": [f"secret {number} " * 20 for number in range(100)],
        "messages": [HumanMessage("secret " * 30, id=f"secret {number}") for number in range(100)],
        "numbers": [number / 7 for number in range(2000)],
        "bytes": b"secret" * 100,
        "odd keys": {1: "secret", "secret": 2},
    }


def put(saver: SqliteCheckpointer, parent: Any, values: dict[str, Any]) -> Any:
    checkpoint: Checkpoint = {**empty_checkpoint(), "channel_values": values}
    checkpoint["channel_versions"] = {f"{name} {number}": number for name in values for number in range(20)}
    config = saver.put(parent, checkpoint, {"source": "loop", "step": 1, "secret": "secret"}, {})  # type: ignore[typeddict-unknown-key]  # as LangGraph adds its own
    saver.put_writes(config, [*values.items()], "task")
    return config


def read(saver: SqliteCheckpointer, config: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    found = saver.get_tuple(config)
    assert found is not None
    return found.checkpoint["channel_values"], {name: value for _, name, value in found.pending_writes or []}


def bytes_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.glob("saver.db*"))


def test_nothing_that_goes_through_an_encrypting_serializer_stands_in_the_file(tmp_path: Path) -> None:
    serde = EncryptedSerializer(Flipped(), JsonPlusSerializer(allowed_msgpack_modules=None))
    with SqliteCheckpointer(tmp_path / "saver.db", serde=serde) as saver:
        config = put(saver, CONFIG, state())
        values = state()
        values["large"]["secret new"] = values["messages"][0].content = "another secret"
        values["list"].append("secret " * 99)
        config = put(saver, config, values)
        assert b"secret" not in bytes_in(tmp_path)
        assert read(saver, config) == (values, values)
    assert b"secret" not in bytes_in(tmp_path)
    with SqliteCheckpointer(tmp_path / "saver.db", serde=serde) as fresh:
        assert read(fresh, put(fresh, config, values)) == (values, values)
        assert [one.checkpoint["channel_values"]["text"] for one in fresh.list(CONFIG)] == ["secret"] * 3
        assert not fresh.check()
    assert b"secret" not in bytes_in(tmp_path)


def test_each_channel_and_each_write_is_handed_over_whole_and_by_itself(tmp_path: Path) -> None:
    serde = Listening()
    with SqliteCheckpointer(tmp_path / "saver.db", serde=serde) as saver:
        config = put(saver, CONFIG, state())
        for _ in range(2):
            serde.heard.clear()
            config = put(saver, config, state())
            for value in state().values():
                assert serde.heard.count(value) == 2  # in the checkpoint, and among the writes
            assert len(serde.heard) == 2 * len(state()) + 2  # and its versions and metadata


def test_what_is_the_same_is_not_written_again(tmp_path: Path) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", serde=JsonPlusSerializer()) as saver:
        values = state()
        config = put(saver, CONFIG, values)
        pieces = saver.stats().pieces
        values["text"] = "other"
        put(saver, config, values)
        assert saver.stats().pieces <= pieces + 3  # of eight: the text, and what heads the two rows


@pytest.mark.parametrize("serde", [Pickling(), Stricter([Hiding])], ids=["pickle", "of ours"])
def test_what_a_serializer_makes_of_a_value_is_its_own_affair(tmp_path: Path, serde: SerializerProtocol) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db", serde=serde) as saver:
        values = {"hiding": [Hiding(shown=3)], "list": [HumanMessage("x")] * 99, "pair": [1, (2, [3])], "none": None}
        config = put(saver, CONFIG, values)
        expected = serde.loads_typed(serde.dumps_typed(values))
        assert read(saver, config) == (expected, expected)


def test_edits_of_what_only_such_a_serializer_keeps_are_saved(tmp_path: Path) -> None:
    values = {"hiding": Hiding(), "slotted": [Slotted([1])], "message": [AIMessage("x")] * 70}
    with SqliteCheckpointer(tmp_path / "saver.db", serde=Pickling()) as saver:
        config = put(saver, put(saver, CONFIG, values), values)
        values["hiding"]._hidden.append(2)  # type: ignore[attr-defined]  # it is one
        values["slotted"][0].inside.append(2)  # type: ignore[index]  # it is a list
        put(saver, config, values)
        found, writes = read(saver, CONFIG)
        for got in (found, writes):
            assert got["hiding"]._hidden == [1, 2]
            assert got["slotted"][0].inside == [1, 2]


def test_what_was_written_in_pieces_is_read_and_continued(tmp_path: Path) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        config = put(saver, CONFIG, state())
    with SqliteCheckpointer(tmp_path / "saver.db", serde=JsonPlusSerializer(allowed_msgpack_modules=None)) as saver:
        values, _ = read(saver, config)
        assert values == state()
        values["large"]["new"] = values["list"][3] = "edited"
        assert read(saver, put(saver, config, values)) == (values, values)
        assert not saver.check()
    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        assert read(saver, CONFIG)[0] == values
        values["list"].append("again")
        assert read(saver, put(saver, read_config(saver), values))[0] == values


def read_config(saver: SqliteCheckpointer) -> Any:
    found = saver.get_tuple(CONFIG)
    assert found is not None
    return found.config


class Talk(TypedDict):
    messages: Annotated[list[Any], add]


def test_a_graph_runs_stops_and_goes_on_with_an_encrypting_serializer(tmp_path: Path) -> None:
    def ask(state: Talk) -> dict[str, Any]:
        return {"messages": [AIMessage(f"secret {interrupt({'secret question': len(state['messages'])})}")]}

    builder = StateGraph(Talk).add_node(ask).add_edge(START, "ask")
    serde = EncryptedSerializer(Flipped(), JsonPlusSerializer(allowed_msgpack_modules=None))
    with SqliteCheckpointer(tmp_path / "saver.db", serde=serde) as saver:
        graph: Any = builder.compile(checkpointer=saver)
        graph.invoke({"messages": [HumanMessage("secret")]}, CONFIG)
        found = graph.invoke(Command(resume="secret answer"), CONFIG)
        assert [message.content for message in found["messages"]] == ["secret", "secret secret answer"]
    assert b"secret" not in bytes_in(tmp_path)
