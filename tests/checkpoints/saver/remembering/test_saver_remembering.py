"""What the writer remembers of a thread: little, only while it is so, and nothing of it is made on the event loop."""

import asyncio
import gc
import os
import random
import sqlite3
import sys
import tracemalloc
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import HumanMessage
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint

from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import DatabaseDamaged, ThreadHeld

MEGABYTE = 2**20
WRITING = ("streams.py", "rows.py", "sqlite.py", "encryption.py")
"""Files of what is left to the writer."""


def at(thread: str = "t", ns: str = "") -> Any:
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns}}


def holding(**values: Any) -> Checkpoint:
    return {**empty_checkpoint(), "channel_values": values}


def restore(backup: Path, path: Path) -> None:
    """What SQLite's shell does with `.restore`."""
    with closing(sqlite3.connect(backup)) as source, closing(sqlite3.connect(path)) as target:
        source.backup(target)


def text(dice: random.Random, size: int) -> str:
    return dice.randbytes(size // 2).hex()


@pytest.mark.parametrize("key", [None, b"k" * 32], ids=["plain", "sealed"])
def test_a_file_that_is_restored_while_it_is_open_gets_no_pieces_of_what_is_gone(
    tmp_path: Path, key: bytes | None
) -> None:
    path, dice = tmp_path / "saver.db", random.Random(1)
    with SqliteCheckpointer(path, key=key) as saver:
        talk = [HumanMessage(text(dice, 900), id=f"{number}") for number in range(30)]
        first = saver.put(at(), holding(messages=talk[:10]), {}, {})
        saver.backup(tmp_path / "backup.db")
        gone = first
        for number in range(11, 20):
            gone = saver.put(gone, holding(messages=talk[:number]), {}, {})
        restore(tmp_path / "backup.db", path)
        again = [*talk[:10], *talk[20:]]
        config = first
        for number in range(11, 21):
            config = saver.put(config, holding(messages=again[:number]), {}, {})
            saver.put_writes(config, [("messages", [talk[15]])], "task")
        found = [one.checkpoint["channel_values"]["messages"] for one in saver.list(at())]
        assert found == [again[:number] for number in range(20, 9, -1)]
        assert saver.get_tuple(gone) is None
        assert saver.check() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the other process is a fork")
def test_two_processes_that_write_a_thread_in_turn_go_on_from_what_is_there(tmp_path: Path) -> None:
    path, dice, read = tmp_path / "saver.db", random.Random(2), []
    values: dict[str, Any] = {"messages": [], "text": ""}
    parent: Any = at()
    with SqliteCheckpointer(path) as saver:
        for step in range(8):
            values["messages"] = [*values["messages"], HumanMessage(text(dice, 600), id=str(step))]
            values["text"] += text(dice, 500)
            checkpoint: Checkpoint = {**empty_checkpoint(), "id": f"{step}", "channel_values": dict(values)}
            if step % 2:
                in_another_process(path, parent, checkpoint)
            else:
                saver.put(parent, checkpoint, {}, {})
            parent = {"configurable": {**at()["configurable"], "checkpoint_id": f"{step}"}}
            read.append(dict(values))
        assert [found.checkpoint["channel_values"] for found in saver.list(at())] == read[::-1]
        assert saver.check() == []


def in_another_process(path: Path, parent: Any, checkpoint: Checkpoint) -> None:
    child = os.fork()
    if not child:
        code = 1
        try:
            with SqliteCheckpointer(path) as saver:
                saver.put(parent, checkpoint, {}, {})
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_prune_that_shares_a_commit_with_puts_takes_nothing_that_is_still_referred_to(tmp_path: Path) -> None:
    async def work(saver: SqliteCheckpointer) -> None:
        config = at()
        for step in range(30):
            values = {"x": f"c{step}" * 300, "kept": "k" * 900, "talk": [HumanMessage(f"{step}" * 300)]}
            put = saver.aput(config, holding(**values), {}, {})
            beside = saver.aput(at(ns=f"n{step}"), holding(**values), {}, {})
            config, *_ = await asyncio.gather(put, asyncio.to_thread(saver.prune, ["t"]), beside)
            found = await saver.aget_tuple(at())
            assert found is not None
            assert found.checkpoint["channel_values"] == values
        assert saver.check() == []

    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        asyncio.run(work(saver))


def test_a_lease_that_was_given_back_elsewhere_is_not_taken_for_held(tmp_path: Path) -> None:
    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        config = saver.put(at(), holding(x=1), {}, {})
        worker = saver.leased("worker")
        worker.put(config, holding(x=2), {}, {})
        config = saver.put(config, holding(x=3), {}, {})  # not held off, and it leaves the lease to its owner
        with pytest.raises(ThreadHeld):
            saver.leased("other").put(config, holding(x=4), {}, {})
        worker.release("t")
        config = saver.put(config, holding(x=5), {}, {})
        saver.leased("other").put(config, holding(x=6), {}, {})


def test_a_reference_to_a_piece_of_another_write_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "saver.db"
    with SqliteCheckpointer(path) as saver:
        saver.put(at("a"), holding(x="one " * 200), {}, {})
        saver.put(at("b"), holding(x="two " * 200), {}, {})
    with closing(sqlite3.connect(path)) as connection, connection:
        ((one, body), (other, _)) = connection.execute("SELECT id, body FROM saver_pieces ORDER BY id").fetchall()
        assert one & 0xFFFFFFFF == other & 0xFFFFFFFF
        connection.execute("UPDATE saver_pieces SET body = ? WHERE id = ?", (body, other))
    with SqliteCheckpointer(path) as saver, pytest.raises(DatabaseDamaged, match="is another"):
        saver.get_tuple(at("b"))


def test_what_is_remembered_is_little_and_bounded_for_one_thread_too(tmp_path: Path) -> None:
    dice = random.Random(3)
    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        saver.put(at(), holding(x=text(dice, 100_000)), {}, {})
        gc.collect()
        tracemalloc.start()
        try:
            for number in range(150):
                saver.put(at(ns=f"node:{number}"), holding(x=text(dice, 100_000), y=[1, {"a": 2}]), {}, {})
            gc.collect()
            held = tracemalloc.get_traced_memory()[0]
        finally:
            tracemalloc.stop()
        assert held < MEGABYTE  # of 15 MB
        counted = saver._handle.open().writer._desk.memories.size
        assert held / 3 < counted < 3 * held


def test_on_the_loop_values_are_packed_and_nothing_else(tmp_path: Path) -> None:
    called: set[str] = set()

    def note(frame: Any, event: str, function: Any) -> None:
        if event == "call":
            called.add(f"{frame.f_code.co_filename.rpartition('/')[2]}:{frame.f_code.co_name}")
        elif event == "c_call":
            called.add(getattr(function, "__qualname__", ""))

    async def work() -> None:
        talk = [HumanMessage("x" * 500, id=str(number)) for number in range(50)]
        config = await saver.aput(at(), holding(messages=talk, rows=[{"n": 1}] * 90), {}, {})
        sys.setprofile(note)
        try:
            config = await saver.aput(
                config, holding(messages=[*talk, HumanMessage("y")], rows=[{"n": 2}] * 90), {}, {}
            )
            await saver.aput_writes(config, [("messages", [HumanMessage("z" * 900)])], "task")
        finally:
            sys.setprofile(None)

    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        asyncio.run(work())
    assert "packb" in called
    assert not [name for name in called if name.startswith(WRITING)]
    assert not [name for name in called if "xxh" in name or name.startswith(("Connection.", "stat", "pread"))]
