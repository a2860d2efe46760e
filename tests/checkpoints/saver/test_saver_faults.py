"""What happens to a file that is damaged, deleted or closed while it is in use."""

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import CheckpointMetadata, empty_checkpoint

from signoff.checkpoints.db.sqlite import unusable
from signoff.checkpoints.saver.encoding.encryption import new_key
from signoff.checkpoints.saver.rows import list_threads
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import (
    DatabaseDamaged,
    DatabaseUnusable,
    KeyMissing,
    NotEncrypted,
    SignoffError,
    ThreadNotEmpty,
    WrongKey,
)

CONFIG: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
ROWS = [
    ("saver_pieces", "body"),
    ("saver_checkpoints", "head"),
    ("saver_checkpoints", "metadata"),
    ("saver_writes", "body"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saver.db"


def put(saver: SqliteCheckpointer, thread: str = "t", text: str = "hello") -> Any:
    config: Any = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = {"messages": [HumanMessage(text * 100)]}
    facts: CheckpointMetadata = {"source": "loop", "step": 1}
    stored = saver.put(config, checkpoint, facts, {})
    saver.put_writes(stored, [("messages", HumanMessage(text * 50))], "task")
    return stored


def change(path: Path, sql: str, *values: Any) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(sql, values).rowcount > 0


@pytest.mark.parametrize("key", [None, new_key()], ids=["plain", "encrypted"])
@pytest.mark.parametrize(("table", "column"), ROWS, ids=lambda part: str(part))
def test_one_changed_bit_is_an_error_and_never_another_value(
    path: Path, table: str, column: str, key: str | None
) -> None:
    with SqliteCheckpointer(path, key=key) as saver:
        put(saver)
    with closing(sqlite3.connect(path)) as connection:
        (body,) = connection.execute(f"SELECT {column} FROM {table} ORDER BY length({column}) DESC").fetchone()
    for at in {0, len(body) // 2, len(body) - 1}:
        bent = bytes([*body[:at], body[at] ^ 1, *body[at + 1 :]])
        change(path, f"UPDATE {table} SET {column} = ? WHERE {column} = ?", bent, body)
        with SqliteCheckpointer(path, key=key) as saver:
            with pytest.raises(SignoffError):
                saver.get_tuple(CONFIG)
            assert saver.check()
        change(path, f"UPDATE {table} SET {column} = ? WHERE {column} = ?", body, bent)
    with SqliteCheckpointer(path, key=key) as saver:
        assert saver.get_tuple(CONFIG) is not None
        assert not saver.check()


@pytest.mark.parametrize("key", [None, new_key()], ids=["plain", "encrypted"])
def test_two_exchanged_rows_are_an_error(path: Path, key: str | None) -> None:
    with SqliteCheckpointer(path, key=key) as saver:
        put(saver)
    with closing(sqlite3.connect(path)) as connection:
        one, other = connection.execute("SELECT id FROM saver_pieces ORDER BY length(body) DESC LIMIT 2").fetchall()
    for source, target in ((one, (0,)), (other, one), ((0,), other)):
        change(path, "UPDATE saver_pieces SET id = ? WHERE id = ?", target[0], source[0])
    with SqliteCheckpointer(path, key=key) as saver, pytest.raises(SignoffError):
        saver.get_tuple(CONFIG)


def test_a_missing_piece_is_an_error(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        put(saver)
        change(path, "DELETE FROM saver_pieces WHERE id = (SELECT max(id) FROM saver_pieces)")
        with pytest.raises(DatabaseUnusable, match=r"missing|damaged"):
            saver.get_tuple(CONFIG)
        assert saver.check()


def test_keys_are_told_apart(path: Path, tmp_path: Path) -> None:
    with SqliteCheckpointer(path, key=new_key()) as saver:
        put(saver)
    for key, error in ((None, KeyMissing), (new_key(), WrongKey)):
        with SqliteCheckpointer(path, key=key) as saver, pytest.raises(error):
            saver.get_tuple(CONFIG)
    plain = tmp_path / "plain.db"
    with SqliteCheckpointer(plain) as saver:
        put(saver)
    with SqliteCheckpointer(plain, key=new_key()) as saver, pytest.raises(NotEncrypted):
        put(saver)


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_file_that_was_deleted_while_open_takes_nothing_along(path: Path, is_replaced: bool) -> None:
    with SqliteCheckpointer(path) as saver:
        put(saver)
        for file in path.parent.glob("saver.db*"):
            file.unlink()
        if is_replaced:
            with SqliteCheckpointer(path) as other:
                put(other, text="other")
        with pytest.raises(DatabaseUnusable, match="deleted or replaced"):
            put(saver)
    with SqliteCheckpointer(path) as saver:  # a new one of the same process has nothing to do with the lost file
        assert (saver.get_tuple(CONFIG) is not None) == is_replaced
        put(saver)
    with SqliteCheckpointer(path) as saver:
        assert len(list(saver.list(CONFIG))) == 1 + is_replaced


def cut(file: Path, keep: float) -> None:
    """Cut off a file at its end."""
    with file.open("r+b") as opened:
        opened.truncate(int(file.stat().st_size * keep))


HARMS: dict[str, Callable[[Path], object]] = {
    "deleted": lambda path: path.unlink(),
    "renamed": lambda path: path.rename(path.parent / "other.db"),
    "replaced": lambda path: path.write_bytes(path.rename(path.parent / "other.db").read_bytes()),
    "emptied": lambda path: cut(path, 0),
    "with its log deleted": lambda path: Path(f"{path}-wal").unlink(),
    "with its log emptied": lambda path: cut(Path(f"{path}-wal"), 0),
    "with its log cut off": lambda path: cut(Path(f"{path}-wal"), 0.5),
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_it_is_not_said_that_nothing_was_lost_where_that_is_not_so(path: Path, harm: Callable[[Path], object]) -> None:
    with SqliteCheckpointer(path) as saver:
        for number in range(9):
            put(saver, str(number))
        harm(path)
        for read in (lambda: saver.get_tuple(CONFIG), lambda: list(saver.list(None)), saver.check, saver.stats):
            with pytest.raises(DatabaseDamaged, match=r"What was committed may be lost: .*restore a backup") as caught:
                read()
            assert "Nothing" not in str(caught.value)


@pytest.mark.parametrize("harm", [0, None])
def test_a_file_of_which_only_the_log_is_whole_is_not_made_anew(path: Path, harm: float | None) -> None:
    with SqliteCheckpointer(path) as saver:
        for number in range(9):
            put(saver, str(number))
        for name in ("saver.db", "saver.db-wal"):  # as they are after a crash
            shutil.copy(path.parent / name, path.parent / f"crashed-{name}")
    crashed = path.parent / "crashed-saver.db"
    log = Path(f"{crashed}-wal").read_bytes()
    if harm is None:
        crashed.unlink()
    else:
        cut(crashed, harm)
    calls: list[Callable[[SqliteCheckpointer], object]] = [lambda saver: saver.get_tuple(CONFIG), put]
    for call in calls:
        with SqliteCheckpointer(crashed) as saver, pytest.raises(DatabaseDamaged, match="may be lost"):
            call(saver)
        with pytest.raises(DatabaseDamaged):
            list_threads(crashed)
        assert Path(f"{crashed}-wal").read_bytes() == log


@pytest.mark.parametrize("keep", [0.002, 0.1, 0.5, 0.9])
def test_a_closed_file_that_was_cut_off_is_said_to_be_damaged(path: Path, keep: float) -> None:
    with SqliteCheckpointer(path) as saver:
        for number in range(9):
            put(saver, str(number))
    cut(path, keep)
    with SqliteCheckpointer(path) as saver, pytest.raises(DatabaseDamaged, match="may be lost"):
        list(saver.list(None))


def test_a_file_that_is_in_use_has_lost_nothing(path: Path) -> None:
    with SqliteCheckpointer(path, busy_seconds=0.01) as saver, closing(sqlite3.connect(path)) as other:
        put(saver)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnusable, match=r"locked.*Nothing committed was lost") as caught:
            put(saver)
        assert not isinstance(caught.value, DatabaseDamaged)
        other.rollback()
        put(saver)


def test_closing_while_others_put_loses_nothing_and_hangs_nobody(path: Path) -> None:
    saver = SqliteCheckpointer(path)
    done: list[Any] = []
    stop = threading.Event()

    def write(thread: str) -> None:
        while not stop.is_set():
            done.append(put(saver, thread))

    threads = [threading.Thread(target=write, args=(str(number),), daemon=True) for number in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(40):
        saver.close()
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    saver.close()
    with SqliteCheckpointer(path) as again:
        assert all(again.get_tuple(config) is not None for config in done)


@pytest.mark.parametrize(
    ("code", "harms"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, False),
        (sqlite3.SQLITE_FULL, False),
        (sqlite3.SQLITE_READONLY, False),
        (sqlite3.SQLITE_CANTOPEN_ISDIR, False),
        (sqlite3.SQLITE_IOERR_WRITE, False),
        (sqlite3.SQLITE_CONSTRAINT_CHECK, False),
        (sqlite3.SQLITE_TOOBIG, False),
        (sqlite3.SQLITE_IOERR_READ, True),
        (sqlite3.SQLITE_IOERR_SHORT_READ, True),
        (sqlite3.SQLITE_READONLY_DBMOVED, True),
        (sqlite3.SQLITE_CORRUPT_INDEX, True),
        (sqlite3.SQLITE_NOTADB, True),
    ],
)
def test_what_an_error_of_sqlite_means_for_what_was_committed_follows_from_its_code(code: int, harms: bool) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    told = unusable("a.db", error)
    assert isinstance(told, DatabaseDamaged) is harms
    assert told.is_whole is not harms


def test_a_thread_is_not_copied_over_another(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        put(saver, "t")
        put(saver, "other", "mine")
        with pytest.raises(ThreadNotEmpty, match="'other'"):
            saver.copy_thread("t", "other")
        found = saver.get_tuple({"configurable": {"thread_id": "other"}})
        assert found is not None
        assert found.checkpoint["channel_values"]["messages"][0].content.startswith("mine")


def test_a_change_that_fails_once_rows_were_written_leaves_none_of_them(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        stored = put(saver)
        before = rows_of(path)
        with pytest.raises(TypeError, match="not msgpack serializable"):
            saver.put_writes(stored, [("messages", "x" * 5000)], "task", task_path=object())  # type: ignore[arg-type]
        assert rows_of(path) == before
        put(saver, "other")
        assert len(rows_of(path)["saver_checkpoints"]) == 2


def test_a_change_that_fails_spoils_none_of_those_that_shared_its_commit(path: Path) -> None:
    async def crowd(saver: SqliteCheckpointer) -> list[Any]:
        stored = put(saver)
        paths: list[Any] = ["", object(), "~__pregel_pull, b"]
        writes = [
            saver.aput_writes(stored, [("messages", f"{number}" * 5000)], f"task {number}", task_path=place)
            for number, place in enumerate(paths)
        ]
        return await asyncio.gather(*writes, return_exceptions=True)

    with SqliteCheckpointer(path) as saver:
        found = asyncio.run(crowd(saver))
        assert [type(error) for error in found] == [type(None), TypeError, type(None)]
        kept = saver.get_tuple(CONFIG)
    assert kept is not None
    assert {task for task, *_ in kept.pending_writes or ()} == {"task", "task 0", "task 2"}
    assert "1" * 5000 not in str(kept.pending_writes)


def rows_of(path: Path) -> dict[str, list[Any]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = ("saver_threads", "saver_checkpoints", "saver_writes", "saver_pieces")
        return {table: connection.execute(f"SELECT * FROM {table}").fetchall() for table in tables}
