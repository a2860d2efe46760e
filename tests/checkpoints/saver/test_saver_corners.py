"""Corners in which a saver could lose something without a word."""

import os
import shutil
import sqlite3
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import empty_checkpoint

from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.checkpoints.saver.writer import Transaction
from signoff.errors import Unstorable


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saver.db"


def config_of(thread: str = "t") -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}


def put(saver: SqliteCheckpointer, config: Any, **values: Any) -> Any:
    checkpoint = empty_checkpoint()
    checkpoint["channel_values"] = values
    return saver.put(config, checkpoint, {"source": "loop", "step": 1}, {})


def newest(path: Path, thread: str = "t") -> Any:
    with SqliteCheckpointer(path) as saver:
        assert list(saver.check()) == []
        found = saver.get_tuple(config_of(thread))
    return found and found.checkpoint["channel_values"]


def lines(name: str) -> list[str]:
    return [f"{name} {number} " + "x" * 60 for number in range(40)]


def test_one_large_list_is_edited_while_another_is_emptied(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        channels: dict[str, Any] = {f"c{number:03}": lines(str(number)) for number in range(200)}
        channels["data"] = [lines(f"l{number}") for number in range(300)]
        config = put(saver, config_of(), **channels)
        channels["c000"].append("edited")
        channels["c199"].clear()
        channels["data"][0].append("edited")
        channels["data"][299].clear()
        put(saver, config, **channels)
    assert newest(path) == channels


def test_a_file_restored_from_a_backup_is_not_taken_for_the_one_that_was_open(path: Path) -> None:
    saver = SqliteCheckpointer(path)
    view = saver.leased("worker")
    config = put(view, config_of(), notes=[f"first {number} " + "y" * 200 for number in range(4)])
    saver.backup(path.parent / "backup.db")
    notes = [f"lost {number} " + "z" * 200 for number in range(4)]
    put(view, config, notes=notes)
    saver.close()
    path.unlink()
    shutil.copy(path.parent / "backup.db", path)
    with SqliteCheckpointer(path) as other:
        put(other, config, notes=[f"other {number} " + "w" * 200 for number in range(4)])
    put(view, config, notes=notes)
    view.close()
    saver.close()
    assert newest(path) == {"notes": notes}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_what_a_forked_child_was_told_is_safe_outlives_the_parents_closing(path: Path) -> None:
    saver = SqliteCheckpointer(path)
    put(saver, config_of("parent"), x=1)
    saver.get_tuple(config_of("parent"))
    to_child, from_parent = os.pipe()
    to_parent, from_child = os.pipe()
    child = os.fork()
    if not child:
        code = 1
        try:
            config = put(saver, config_of("child"), x=0)
            os.write(from_child, b".")
            os.read(to_child, 1)  # the parent has closed the file
            for number in (1, 2, 3):
                config = put(saver, config, x=number)
            code = 0
        finally:
            os._exit(code)
    os.read(to_parent, 1)
    saver.close()
    os.write(from_parent, b".")
    assert os.waitpid(child, 0)[1] == 0
    for end in (to_child, from_parent, to_parent, from_child):
        os.close(end)
    assert newest(path, "child") == {"x": 3}
    with SqliteCheckpointer(path) as again:
        assert len(list(again.list(config_of("child")))) == 4


def test_a_thread_is_handed_to_and_fro_between_two_owners(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        owners = [saver.leased(f"worker {number}") for number in range(2)]
        for number in range(6):
            owner = owners[number % 2]
            found = owner.get_tuple(config_of())
            put(owner, found.config if found else config_of(), x=number)
            owner.release("t")
        solo = saver.leased("solo")
        for _ in range(3):
            assert solo.get_tuple(config_of("other")) is None
            put(solo, config_of("other"), x=1)
            solo.delete_thread("other")
    assert newest(path) == {"x": 5}


def test_closing_takes_nothing_from_a_put_that_is_under_way(path: Path) -> None:
    saver = SqliteCheckpointer(path)
    put(saver, config_of("t"), x=1)
    closing = threading.Thread(target=saver.close)

    def amid(transaction: Transaction) -> bool:
        closing.start()
        closing.join(0.3)  # it waits for this one
        return transaction.memories.size > 0

    assert saver._carry_out(amid)
    closing.join()
    assert put(saver, config_of("t"), x=2)
    saver.close()


def test_closing_over_and_over_leaves_no_thread_and_no_file_open(path: Path) -> None:
    saver = SqliteCheckpointer(path)
    stop = threading.Event()

    def write() -> None:
        config = config_of(threading.current_thread().name)
        while not stop.is_set():
            config = put(saver, config, x=1)
            saver.get_tuple(config)

    before = set(threading.enumerate())
    writers = [threading.Thread(target=write) for _ in range(3)]
    for writer in writers:
        writer.start()
    for _ in range(60):
        saver.close()
    stop.set()
    for writer in writers:
        writer.join()
    saver.close()
    deadline = time.monotonic() + 20  # threads that served a late call end by themselves
    while not set(threading.enumerate()) <= before and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert set(threading.enumerate()) <= before
    if sys.platform == "linux":
        folder = Path("/proc/self/fd")
        assert not [name for name in folder.iterdir() if name.is_symlink() and "saver.db" in str(os.readlink(name))]


def test_a_list_of_numbers_is_one_piece(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        vector = [number / 7 for number in range(1536)]
        config = put(saver, config_of(), vector=vector)
        pieces = saver.stats().pieces
        vector[700] = True
        put(saver, config, vector=vector)
        assert saver.stats().pieces <= 2 * pieces <= 8
    found = newest(path)["vector"]
    assert found == vector
    assert type(found[700]) is bool


def test_keys_that_differ_in_half_a_character_are_not_mixed_up_with_others(path: Path) -> None:
    table = {f"key {number}": "v" * 100 for number in range(100)}
    with SqliteCheckpointer(path) as saver:
        config = put(saver, config_of(), table=table)
        table["whole"] = "w"
        put(saver, config, table=table)
        with pytest.raises(Unstorable, match="half a character"):
            saver.put_writes(config, [("table", 1)], "task \ud800")
    assert newest(path) == {"table": table}


def test_ids_in_a_row_are_bound_to_what_it_holds(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        config = put(saver, config_of(), x=1)
        saver.put_writes(config, [("x", 2)], "task")
        put(saver, config, x=2)
    for sql in (
        "UPDATE saver_checkpoints SET parent_id = 'other' WHERE parent_id IS NOT NULL",
        "UPDATE saver_writes SET task_id = 'other'",
    ):
        bent = path.parent / "bent.db"
        shutil.copy(path, bent)
        with closing(sqlite3.connect(bent)) as connection, connection:
            assert connection.execute(sql).rowcount == 1
        with SqliteCheckpointer(bent) as saver:
            assert saver.check()


def test_of_two_processes_that_did_one_task_the_writes_of_the_first_count_and_none_of_the_second(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        config = put(saver, config_of())
        saver.put_writes(config, [("branch:to:act", None)], "a")
        saver.put_writes(config, [("proposals", []), ("messages", ["no"]), ("branch:to:supervisor", None)], "a")
        saver.put_writes(config, [("proposals", ["b"]), ("plan", ["b"])], "b")
        saver.put_writes(config, [("plan", ["c"]), ("proposals", ["c"]), ("messages", ["c"])], "b")
        found = saver.get_tuple(config)
        assert found is not None
        writes = [("a", "branch:to:act", None), ("b", "proposals", ["b"]), ("b", "plan", ["b"])]
        assert sorted(found.pending_writes or ()) == sorted(writes)
