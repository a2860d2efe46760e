"""Files of LangGraph's own SqliteSaver in forms of earlier versions, encrypted ones, and files that are none."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple, empty_checkpoint
from langgraph.checkpoint.serde.encrypted import EncryptedSerializer
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel

from signoff.checkpoints.saver.official.importer import import_official
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import DatabaseUnusable, ImportFailed, UnlistedType


class Opinion(BaseModel):
    text: str


def take_over(source: Path, target: Path, *types: type, **options: Any) -> None:
    with SqliteCheckpointer(target, types=types) as saver:
        import_official(source, saver, **options)


def read_ours(path: Path, *types: type) -> list[CheckpointTuple]:
    with SqliteCheckpointer(path, types=types) as saver:
        return sorted(saver.list(None), key=lambda found: str(found.config))


def read_theirs(path: Path) -> list[CheckpointTuple]:
    with closing(sqlite3.connect(path, check_same_thread=False)) as connection:
        return sorted(SqliteSaver(connection).list(None), key=lambda found: str(found.config))


def old_file(path: Path, *, task_path: bool, rows: list[tuple[Any, ...]], writes: list[tuple[Any, ...]]) -> None:
    """A file as older versions of the official saver made it."""
    column = "task_path TEXT NOT NULL DEFAULT ''," if task_path else ""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            f"""
            CREATE TABLE checkpoints (
                thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
                parent_checkpoint_id TEXT, type TEXT, checkpoint BLOB, metadata BLOB,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id)
            );
            CREATE TABLE writes (
                thread_id TEXT NOT NULL, checkpoint_ns TEXT NOT NULL DEFAULT '', checkpoint_id TEXT NOT NULL,
                task_id TEXT NOT NULL, {column} idx INTEGER NOT NULL, channel TEXT NOT NULL, type TEXT, value BLOB,
                PRIMARY KEY (thread_id, checkpoint_ns, checkpoint_id, task_id, idx)
            );
            """
        )
        connection.executemany("INSERT INTO checkpoints VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        marks = ", ".join("?" * len(writes[0]))
        connection.executemany(f"INSERT INTO writes VALUES ({marks})", writes)
        connection.commit()


JSON_MESSAGE = {
    "lc": 1,
    "type": "constructor",
    "id": ["langchain", "schema", "messages", "HumanMessage"],
    "kwargs": {"content": "ahoy", "type": "human", "id": "1"},
}
JSON_UUID = {"lc": 2, "type": "constructor", "id": ["uuid", "UUID"], "kwargs": {"hex": "0" * 32}}
OLD_CHECKPOINT: dict[str, Any] = {
    "v": 1,
    "ts": "2024-07-01T10:00:00+00:00",
    "id": "1ef36a00-0000-6000-8000-000000000001",
    "channel_values": {"messages": [JSON_MESSAGE], "mark": JSON_UUID, "count": 3},
    "channel_versions": {"messages": 2, "count": "00000000000000000000000000000002.0"},
    "versions_seen": {"ask": {"messages": 1}},
    "pending_sends": [],
    "current_tasks": {},
}


def test_a_file_from_the_time_of_json_and_before_task_paths_reads_the_same(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    first, second = OLD_CHECKPOINT["id"], "1ef36a00-0000-6000-8000-000000000002"
    msgpack = JsonPlusSerializer().dumps_typed({**OLD_CHECKPOINT, "id": second, "channel_values": {"messages": []}})
    old_file(
        source,
        task_path=False,
        rows=[
            ("1", "", first, None, "json", json.dumps(OLD_CHECKPOINT), json.dumps({"source": "input", "step": -1})),
            ("1", "", second, first, *msgpack, json.dumps({"writes": {"ask": {"messages": [JSON_MESSAGE]}}}).encode()),
            ("1", "sub:1", second, None, *msgpack, None),
        ],
        writes=[
            ("1", "", second, "task", 1, "count", "json", b"4"),
            ("1", "", second, "task", 0, "messages", "json", json.dumps([JSON_MESSAGE]).encode()),
        ],
    )
    before = source.read_bytes()
    take_over(source, target)
    assert source.read_bytes() == before
    with SqliteCheckpointer(target) as ours:
        found = ours.get_tuple({"configurable": {"thread_id": "1", "checkpoint_id": first}})
    assert found is not None
    assert found.checkpoint["channel_values"]["messages"] == [HumanMessage("ahoy", id="1")]
    assert read_ours(target) == read_theirs(source)


def test_metadata_that_was_serialised_is_read(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    checkpoint_id = OLD_CHECKPOINT["id"]
    _, metadata = JsonPlusSerializer().dumps_typed({"source": "loop", "step": 3})
    row = ("1", "", checkpoint_id, None, "json", json.dumps(OLD_CHECKPOINT), metadata)
    old_file(source, task_path=True, rows=[row], writes=[("1", "", checkpoint_id, "t", "~p", 0, "a", "json", b"1")])
    take_over(source, target)
    (found,) = read_ours(target)
    assert found.metadata == {"source": "loop", "step": 3}
    assert found.pending_writes == [("t", "a", 1)]


def test_an_unlisted_type_of_the_time_of_json_is_named_and_a_listed_one_is_read(home: Path) -> None:
    source, target = home / "official.db", home / "ours.db"
    *module, name = (*Opinion.__module__.split("."), "Opinion")
    opinion = {"lc": 2, "type": "constructor", "id": [*module, name], "kwargs": {"text": "high"}}
    checkpoint = json.dumps({**OLD_CHECKPOINT, "channel_values": {"o": opinion}})
    row = ("1", "", OLD_CHECKPOINT["id"], None, "json", checkpoint, None)
    old_file(source, task_path=True, rows=[row], writes=[("9", "", "9", "t", "", 0, "a", "json", b"1")])
    with pytest.raises(UnlistedType, match="Opinion"):
        take_over(source, target)
    take_over(source, target, Opinion)
    (found,) = read_ours(target, Opinion)
    assert found.checkpoint["channel_values"] == {"o": Opinion(text="high")}


def test_a_file_that_its_own_saver_encrypted_needs_that_serializer(home: Path) -> None:
    class Mask:
        def encrypt(self, plaintext: bytes) -> tuple[str, bytes]:
            return "mask", bytes(byte ^ 7 for byte in plaintext)

        def decrypt(self, ciphername: str, ciphertext: bytes) -> bytes:
            return bytes(byte ^ 7 for byte in ciphertext)

    source, target = home / "official.db", home / "ours.db"
    serde = EncryptedSerializer(Mask(), JsonPlusSerializer(allowed_msgpack_modules=None))
    place: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": ""}}
    checkpoint: Any = {**empty_checkpoint(), "channel_values": {"count": [1]}, "channel_versions": {"count": 1}}
    with closing(sqlite3.connect(source, check_same_thread=False)) as connection:
        SqliteSaver(connection, serde=serde).put(place, checkpoint, {}, {"count": 1})
    with pytest.raises(ImportFailed, match=r"encrypted.*serde="):
        take_over(source, target)
    take_over(source, target, serde=serde)
    (found,) = read_ours(target)
    assert found.checkpoint["channel_values"] == {"count": [1]}


def no_such_file(path: Path) -> None:
    """Leave it away."""


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all" * 100)


def another_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE things (id)")


def too_old(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE checkpoints (thread_id TEXT, thread_ts TEXT, parent_ts TEXT, checkpoint BLOB)")
        connection.execute("CREATE TABLE writes (thread_id TEXT)")


@pytest.mark.parametrize("make", [no_such_file, no_database, another_database, too_old], ids=lambda make: make.__name__)
def test_a_file_that_is_none_of_the_official_savers_is_told_and_nothing_is_made(
    home: Path, make: Callable[[Path], None]
) -> None:
    make(home / "official.db")
    with pytest.raises((ImportFailed, DatabaseUnusable), match=r"official\.db"):
        take_over(home / "official.db", home / "ours.db")
    assert not (home / "ours.db").exists()


def test_a_value_kept_as_pickle_is_refused(home: Path) -> None:
    row = ("1", "", OLD_CHECKPOINT["id"], None, "pickle", b"cos\nsystem\n(S'true'\ntR.", None)
    old_file(home / "official.db", task_path=True, rows=[row], writes=[("9", "", "9", "t", "", 0, "a", "json", b"1")])
    with pytest.raises(ImportFailed, match="pickle"):
        take_over(home / "official.db", home / "ours.db")
