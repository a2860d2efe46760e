"""Several processes on one file: nobody sees `database is locked`, nothing is lost, and a lease keeps others off."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import warm
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import Checkpoint, empty_checkpoint

from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import DatabaseUnusable, DatabaseVersion, ForeignDatabase, LeaseLost, ThreadHeld

CROWD = Path(__file__).parents[2] / "kills" / "programs" / "saver_crowd.py"
THREAD: RunnableConfig = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}

ANOTHER = """
import sys
from langgraph.checkpoint.base import empty_checkpoint
from signoff.checkpoints.saver.saver import SqliteCheckpointer
path, owner, seconds, name, parent = sys.argv[1:]
with SqliteCheckpointer(path) as saver:
    writer = saver.leased(owner, seconds=float(seconds)) if owner else saver
    checkpoint = {**empty_checkpoint(), "id": name, "channel_values": {"said": [name]}}
    place = {"thread_id": "t", "checkpoint_ns": "", **({"checkpoint_id": parent} if parent else {})}
    writer.put({"configurable": place}, checkpoint, {}, {})
"""
"""A process that puts one checkpoint."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "saver.db"


@pytest.fixture
def saver(path: Path) -> Iterator[SqliteCheckpointer]:
    with SqliteCheckpointer(path) as opened:
        yield opened


def checkpoint(name: str, *said: Any) -> Checkpoint:
    return {**empty_checkpoint(), "id": name, "channel_values": {"said": [*said] or [name]}}


def put(saver: SqliteCheckpointer, name: str, parent: str = "") -> RunnableConfig:
    place = {**THREAD["configurable"], **({"checkpoint_id": parent} if parent else {})}
    return saver.put({"configurable": place}, checkpoint(name), {}, {})


def put_elsewhere(path: Path, name: str, parent: str = "", *, owner: str = "", seconds: float = 60) -> None:
    """Put a checkpoint in another process, which has ended when this returns."""
    run_python(ANOTHER, path, owner, seconds, name, parent)


def run_python(code: str, *arguments: object) -> str:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = warm.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return str(done.stdout)


def kept(saver: SqliteCheckpointer) -> list[str]:
    return [found.checkpoint["id"] for found in saver.list(THREAD)]


def assert_sound(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        assert list(saver.check()) == []
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()


def crowd(path: Path, seconds: float) -> None:
    done = warm.run([sys.executable, str(CROWD), str(path), "16", str(seconds)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    holder, *writers = [json.loads(line) for line in done.stdout.splitlines()]
    assert holder == {"held": seconds}
    assert [writer["error"] for writer in writers if "error" in writer] == []
    assert len(writers) == 16
    assert min(writer["longest"] for writer in writers) > 0.5 * seconds, "somebody did not have to wait"
    with SqliteCheckpointer(path) as saver:
        for number, writer in enumerate(writers):
            here: RunnableConfig = {"configurable": {"thread_id": f"writer-{number}"}}
            found = list(saver.list(here))
            said = [f"{number}-{step}" for step in range(writer["steps"])]
            assert [len(item.checkpoint["channel_values"]["messages"]) for item in found] == [
                *range(writer["steps"], 0, -1)
            ]
            assert [message.content for message in found[0].checkpoint["channel_values"]["messages"]] == said
            assert [len(item.pending_writes or []) for item in found] == [0, *[1] * (writer["steps"] - 1)]
    assert_sound(path)


forking = pytest.mark.skipif(not hasattr(os, "fork"), reason="the writers are forks")


@forking
def test_16_processes_write_to_a_new_file_while_another_holds_its_lock(path: Path) -> None:
    crowd(path, 3)


@forking
@pytest.mark.hunt
def test_16_processes_write_to_a_file_whose_lock_another_holds_for_10_seconds(path: Path) -> None:
    crowd(path, 10)


def test_without_a_lease_two_processes_may_go_on_from_the_same_checkpoint(saver: SqliteCheckpointer) -> None:
    put(saver, "1")
    put_elsewhere(saver.database, "2-there", "1")
    put(saver, "2-here", "1")
    assert kept(saver) == ["2-there", "2-here", "1"]
    latest = saver.get_tuple(THREAD)
    assert latest is not None
    assert latest.checkpoint["channel_values"] == {"said": ["2-there"]}
    assert latest.parent_config == {"configurable": {**THREAD["configurable"], "checkpoint_id": "1"}}


def test_a_leased_thread_is_refused_to_another_owner_until_the_lease_is_given_back(saver: SqliteCheckpointer) -> None:
    ann, bob = saver.leased("ann"), saver.leased("bob")
    put(ann, "1")
    with pytest.raises(ThreadHeld, match="'t' is being written by 'ann'"):
        put(bob, "2", "1")
    with pytest.raises(ThreadHeld):
        bob.put_writes(put(ann, "2", "1"), [("said", "hello")], "task")
    assert kept(saver) == ["2", "1"]
    ann.release("t")
    put(bob, "3", "2")
    assert kept(saver) == ["3", "2", "1"]


def test_a_lease_of_another_process_outlives_it_if_its_owner_is_no_process(saver: SqliteCheckpointer) -> None:
    put_elsewhere(saver.database, "1", owner="ann")
    # The process closed its saver, which is not to give a lease back: only closing the leased view is.
    with pytest.raises(ThreadHeld):
        put(saver.leased("bob"), "2", "1")


def test_an_expired_lease_is_taken_over_and_its_first_owner_cannot_write_any_more(saver: SqliteCheckpointer) -> None:
    ann = saver.leased("ann", seconds=0)
    put(ann, "1")
    put_elsewhere(saver.database, "2", "1", owner="bob")
    before = saver.stats()
    with pytest.raises(LeaseLost, match="'ann' no longer has the lease of thread 't'"):
        put(ann, "2-late", "1")
    with pytest.raises(LeaseLost):
        ann.put_writes({"configurable": {**THREAD["configurable"], "checkpoint_id": "1"}}, [("said", "late")], "task")
    assert kept(saver) == ["2", "1"]
    after = saver.stats()
    assert (after.checkpoints, after.writes, after.pieces) == (before.checkpoints, before.writes, before.pieces)


def test_an_asynchronous_owner_that_was_replaced_cannot_write_either(saver: SqliteCheckpointer) -> None:
    async def go() -> None:
        ann = saver.leased("ann", seconds=0)
        config = await ann.aput(THREAD, checkpoint("1"), {}, {})
        await saver.leased("bob").aput(config, checkpoint("2"), {}, {})
        with pytest.raises(LeaseLost):
            await ann.aput(config, checkpoint("2-late"), {}, {})
        with pytest.raises(LeaseLost):
            await ann.aput_writes(config, [("said", "late")], "task")

    asyncio.run(go())
    assert kept(saver) == ["2", "1"]


def test_one_refused_write_does_not_spoil_those_that_share_its_commit(saver: SqliteCheckpointer) -> None:
    put(saver.leased("ann"), "1")
    bob = saver.leased("bob")

    async def go() -> list[RunnableConfig | BaseException]:
        others = [{"configurable": {"thread_id": f"other-{number}", "checkpoint_ns": ""}} for number in range(20)]
        places: list[Any] = [*others[:10], THREAD, *others[10:]]
        puts = [bob.aput(place, checkpoint("2"), {}, {}) for place in places]
        return await asyncio.gather(*puts, return_exceptions=True)

    answers = asyncio.run(go())
    assert [type(answer) for answer in answers] == [*[dict] * 10, ThreadHeld, *[dict] * 10]
    assert [found.checkpoint["id"] for found in saver.list(None)].count("2") == 20
    assert kept(saver) == ["1"]


@pytest.mark.skipif(sys.platform == "win32", reason="the limit is POSIX's")
def test_a_full_disk_is_a_clear_error_and_loses_nothing(path: Path) -> None:
    code = """
import asyncio, os, resource, sys
from pathlib import Path
from langgraph.checkpoint.base import empty_checkpoint
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import DatabaseUnusable
path = Path(sys.argv[1])

def size_limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def checkpoint(name):
    return {**empty_checkpoint(), "id": name, "channel_values": {"blob": os.urandom(200_000), "name": name}}

async def aput(name):
    return await saver.aput(place, checkpoint(name), {}, {})

place = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
with SqliteCheckpointer(path) as saver:
    place = saver.put(place, checkpoint("1"), {}, {})
    size_limit(300_000)
    for attempt in (lambda: saver.put(place, checkpoint("2"), {}, {}), lambda: asyncio.run(aput("2")),
                    lambda: saver.put_writes(place, [("blob", os.urandom(200_000))], "task")):
        try:
            attempt()
        except DatabaseUnusable as error:
            print(error)
    print([found.checkpoint["id"] for found in saver.list({"configurable": {"thread_id": "t"}})])
    size_limit(resource.RLIM_INFINITY)
    place = saver.put(place, checkpoint("3"), {}, {})
    saver.put_writes(place, [("blob", b"small")], "task")
"""
    *errors, during = run_python(code, path).splitlines()
    assert [error.startswith(f"Cannot use the database {str(path)!r}: ") for error in errors] == [True] * 3
    assert during == "['1']"
    with SqliteCheckpointer(path) as saver:
        assert kept(saver) == ["3", "1"]
        latest = saver.get_tuple(THREAD)
        assert latest is not None
        assert latest.pending_writes == [("task", "blob", b"small")]
    assert_sound(path)


def test_a_saver_that_was_opened_before_a_fork_works_in_both_processes(path: Path) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no forks here")
    code = """
import os, sys, warnings
from langgraph.checkpoint.base import empty_checkpoint
from signoff.checkpoints.saver.saver import SqliteCheckpointer
warnings.simplefilter("ignore", DeprecationWarning)  # a fork with threads is what is tried

def put(place, name):
    return saver.put(place, {**empty_checkpoint(), "id": name, "channel_values": {"said": [name]}}, {}, {})

saver = SqliteCheckpointer(sys.argv[1])
place = put({"configurable": {"thread_id": "t", "checkpoint_ns": ""}}, "1")
pid = os.fork()
if not pid:
    put(place, "2-child")
    os._exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
put(place, "3-parent")
saver.close()
"""
    run_python(code, path)
    with SqliteCheckpointer(path) as saver:
        assert kept(saver) == ["3-parent", "2-child", "1"]
    assert_sound(path)


def test_a_file_that_is_somebody_elses_is_refused_unchanged(path: Path) -> None:
    path.write_text("no database, and long enough to be looked at as one" * 20)
    before = path.read_bytes()
    with pytest.raises(ForeignDatabase, match="not a database"):
        put(SqliteCheckpointer(path), "1")
    assert path.read_bytes() == before

    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE customers (name TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(ForeignDatabase, match="customers"):
        put(SqliteCheckpointer(path), "1")
    assert path.read_bytes() == before


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ForeignDatabase, match="folder"):
        SqliteCheckpointer(tmp_path).get_tuple(THREAD)


def test_a_file_of_a_newer_version_is_refused_unchanged(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        put(saver, "1")
    connection = sqlite3.connect(path)
    connection.execute("UPDATE saver_meta SET value = 99 WHERE key = 'schema'")
    connection.commit()
    connection.close()
    before = path.read_bytes()
    with SqliteCheckpointer(path) as saver:
        for call in (lambda: put(saver, "2", "1"), lambda: saver.get_tuple(THREAD), saver.stats):
            with pytest.raises(DatabaseVersion, match="schema version 99"):
                call()
    assert path.read_bytes() == before


def test_a_file_that_stays_locked_is_a_clear_error_and_usable_after(path: Path) -> None:
    with SqliteCheckpointer(path, busy_seconds=0.05) as impatient:
        put(impatient, "1")
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseUnusable, match="locked"):
            put(impatient, "2", "1")
        holder.execute("ROLLBACK")
        holder.close()
        put(impatient, "3", "1")
        assert kept(impatient) == ["3", "1"]


def test_a_saver_opens_and_reads_while_another_process_holds_the_write_lock(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        put(saver, "1")
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with SqliteCheckpointer(path, busy_seconds=0.05) as reader:
        assert kept(reader) == ["1"]
        assert list(reader.check()) == []
    holder.execute("ROLLBACK")
    holder.close()
