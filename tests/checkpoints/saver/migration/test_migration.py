"""Files of the first edition are read as what they were, whatever happens while they are brought up to date.

`first.sql.gz` and `first_sealed.sql.gz` are files that the first edition wrote, by `fill` and by `fill_little`.
"""

import gzip
import os
import random
import shutil
import sqlite3
import sys
import tempfile
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.base import Checkpoint

from signoff.checkpoints.saver import commands
from signoff.checkpoints.saver.rows import list_threads
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import DatabaseUnusable, ThreadHeld

KEY = b"k" * 32
STEPS = 12
EVERY = 9
"""How many statements lie between the kills that are tried."""


def at(thread: str, checkpoint: str | None = None, ns: str = "") -> Any:
    place = {"thread_id": thread, "checkpoint_ns": ns}
    return {"configurable": place if checkpoint is None else {**place, "checkpoint_id": checkpoint}}


def made(name: str, **values: Any) -> Checkpoint:
    return {
        "v": 2,
        "id": name,
        "ts": "2026-01-01T00:00:00+00:00",
        "channel_values": values,
        "channel_versions": dict.fromkeys(values, name),
        "versions_seen": {f"node {number}": dict.fromkeys(values, name) for number in range(8)},
        "updated_channels": None,
    }


def begun(dice: random.Random) -> dict[str, Any]:
    return {
        "messages": [HumanMessage("hello " * dice.randrange(60), id="m0")],
        "table": {f"key {n}": {"n": n, "t": ["x" * (n % 90), None, 1.5]} for n in range(120)},
        "rows": [{"id": n, "b": b"\xc4bytes", "a": bytearray(b"array %d" % n)} for n in range(60)],
        "mixed": [(1, "t"), {1}, deque([1]), bytearray(b"x" * 700), None, b"y" * 900, {5: 1}],
        "text": "",
        "none": None,
        "array": bytearray(b"top"),
        "numbers": [n / 7 for n in range(900)],
        "deep": {"a": [{"b": [bytearray(2000)]}]},
    }


def fill(saver: SqliteCheckpointer) -> None:
    """Threads with long lists and dicts, forks, writes before their checkpoint, a lease, and one that is gone again."""
    dice, config = random.Random(11), at("talk")
    values = begun(dice)
    for step in range(STEPS):
        answer = AIMessage(f"answer {step} " + "word " * dice.randrange(200), id=f"a{step}")
        values["messages"] = [*values["messages"], answer]
        values["table"][f"key {dice.randrange(140)}"] = {"n": -step}
        values["text"] += f"line {step} " * 20
        values["rows"].insert(dice.randrange(5), {"id": -step})
        name = f"1f0{step:05d}-0000-6000-8000-000000000000"
        saver.put_writes(at("talk", name), [("early", [step])], "early", "~early")
        config = saver.put(config, made(name, **values), {"step": step, "run_id": f"run {step % 3}"}, {})
        wrote = [("messages", [answer]), ("__error__", "x"), ("rows", values["rows"][:2])]
        saver.put_writes(config, wrote, f"task {step}", "~path")
    fork = at("talk", "1f000001-0000-6000-8000-000000000000")
    saver.put(fork, made("1f1", messages=values["messages"][:3]), {"source": "fork"}, {})
    saver.put(at("talk", ns="child|1"), made("2"), {}, {})
    saver.put_writes(at("coming", "9"), [("a", 1)], "t")
    saver.put(at("gone"), made("1", a=1), {}, {})
    saver.delete_thread("gone")
    saver.leased("worker", seconds=1e9).put(at("held"), made("1", a={"x": [1] * 200}), {}, {})


def fill_little(saver: SqliteCheckpointer) -> None:
    saver.put(at("t"), made("1", messages=[HumanMessage("x" * 300, id="1")], rows=[{"a": bytearray(99)}] * 9), {}, {})


def everything(saver: SqliteCheckpointer) -> list[str]:
    return [
        repr((found.config, found.parent_config, *map(sorted_items, found[1:3]), found[4])) for found in all_of(saver)
    ]


def sorted_items(values: Any) -> Any:
    return sorted((name, sorted(item.items()) if name == "channel_values" else item) for name, item in values.items())


def all_of(saver: SqliteCheckpointer) -> Any:
    return saver.list(None)


def expected(folder: Path, fill: Callable[[SqliteCheckpointer], None], key: bytes | None = None) -> list[str]:
    with SqliteCheckpointer(folder / "expected.db", key=key) as saver:
        fill(saver)
        return everything(saver)


def first(path: Path, name: str = "first") -> Path:
    script = gzip.decompress((Path(__file__).parent / f"{name}.sql.gz").read_bytes()).decode()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return first(tmp_path / "saver.db")


def test_all_that_the_first_edition_wrote_is_read_as_it_was(path: Path, tmp_path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        assert everything(saver) == expected(tmp_path, fill)
        assert saver.check() == []
        config = saver.put(at("talk", "1f1"), made("1f2", messages=[HumanMessage("go on")]), {}, {})
        saver.delete_for_runs(["run 1"])
        assert saver.get_tuple(config) is not None
        assert len(list(saver.list(at("talk")))) == STEPS - 4 + 2
        with pytest.raises(ThreadHeld):
            saver.leased("other").put(at("held"), made("2"), {}, {})
        saver.put(at("coming"), made("9", a=[]), {}, {})
        found = saver.get_tuple(at("coming"))
        assert found is not None
        assert found.pending_writes == [("t", "a", 1)]
        assert saver.check() == []


def test_a_sealed_file_is_brought_up_to_date_with_its_key(tmp_path: Path) -> None:
    path = first(tmp_path / "saver.db", "first_sealed")
    with SqliteCheckpointer(path, key=KEY) as saver:
        assert everything(saver) == expected(tmp_path, fill_little, KEY)
        assert saver.check() == []


def test_a_file_whose_rows_hold_all_of_their_bytes_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "saver.db"
    with monkeypatch.context() as patched:
        patched.setattr(commands, "_INLINE_IN_ROW", 1 << 30)
        with SqliteCheckpointer(path) as saver:
            fill(saver)
    with closing(sqlite3.connect(path)) as connection, connection:
        assert set(kinds_of_heads(connection)) == {"blob"}
        connection.execute("UPDATE saver_meta SET value = 2 WHERE key = 'schema'")
    with SqliteCheckpointer(path) as saver:
        assert everything(saver) == expected(tmp_path, fill)
        assert saver.stats().schema == 3
        config = saver.put(at("talk", "1f1"), made("1f2", messages=[HumanMessage("go on")]), {}, {})
        saver.put(config, made("1f3", numbers=list(range(90))), {}, {})
        saver.delete_for_runs(["run 1"])
        saver.copy_thread("talk", "copy")
        saver.prune(["talk"])
        found = saver.get_tuple(at("talk"))
        assert found is not None
        assert found.checkpoint["channel_values"] == {"numbers": list(range(90))}
        assert len(list(saver.list(at("copy")))) == STEPS - 4 + 3
        assert saver.check() == []
    with closing(sqlite3.connect(path)) as connection:
        assert set(kinds_of_heads(connection)) == {"blob", "integer"}
        connection.execute(
            "DELETE FROM saver_pieces WHERE id & 0xFFFFFFFF = (SELECT max(head) FROM saver_checkpoints"
            " WHERE typeof(head) = 'integer')"
        )
        connection.commit()
    with SqliteCheckpointer(path) as saver, pytest.raises(DatabaseUnusable, match="damaged"):
        saver.get_tuple(at("talk"))


def kinds_of_heads(connection: sqlite3.Connection) -> list[str]:
    return [kind for (kind,) in connection.execute("SELECT typeof(head) FROM saver_checkpoints")]


def test_a_copy_is_kept_as_the_file_was_and_threads_keep_their_times(path: Path) -> None:
    before = list_threads(path)
    with SqliteCheckpointer(path) as saver:
        saver.stats()
        assert list_threads(path) == before
    copy = path.with_name("saver.db.first-edition")
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT value FROM saver_meta WHERE key = 'schema'").fetchone() == (1,)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'first%'").fetchall() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it is killed in a fork")
def test_one_that_is_killed_at_any_statement_is_finished_by_the_next(path: Path, tmp_path: Path) -> None:
    whole, statement = expected(tmp_path, fill), 1
    while True:
        killed = tmp_path / "killed.db"
        for file in tmp_path.glob("killed.db*"):
            file.unlink()
        shutil.copy(path, killed)
        if not is_killed_at(killed, statement):
            return
        if statement % (3 * EVERY) == 1:
            is_killed_at(killed, 3)  # and again
        with SqliteCheckpointer(killed) as saver:
            assert everything(saver) == whole
            assert saver.check() == []
        statement += 40 * EVERY


def is_killed_at(path: Path, statement: int) -> bool:
    """Open the file in another process that ends at once before this statement; whether it came so far."""
    child = os.fork()
    if not child:
        left = [statement]

        def count(_frame: Any, event: str, function: Any) -> None:
            if event == "c_call" and getattr(function, "__name__", "") in ("execute", "executemany", "backup"):
                left[0] -= 1
                if not left[0]:
                    os._exit(9)

        sys.setprofile(count)
        SqliteCheckpointer(path).stats()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the processes are forks")
def test_processes_that_open_it_at_once_all_read_it(path: Path, tmp_path: Path) -> None:
    whole, children = expected(tmp_path, fill), []
    for _ in range(4):
        child = os.fork()
        if not child:
            code = 1
            try:
                code = 0 if everything(SqliteCheckpointer(path)) == whole else 2
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4


def test_what_is_damaged_is_left_out_and_told(path: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute("UPDATE saver_checkpoints SET run = x'00' WHERE checkpoint_id = '1f1'").rowcount
    whole = expected(tmp_path, fill)
    with SqliteCheckpointer(path) as saver:
        assert everything(saver) == [line for line in whole if "'checkpoint_id': '1f1'}" not in line]
        assert saver.check() == []
    assert "checkpoint 1f1 of thread 'talk' is damaged and left out" in caplog.text


@pytest.mark.skipif(not hasattr(os, "fork") or os.getuid() != 0, reason="rights are given up in a fork of root's")
def test_one_who_may_not_write_is_told_what_to_do() -> None:
    with tempfile.TemporaryDirectory() as made:
        path = first(Path(made) / "saver.db")
        path.chmod(0o444)
        Path(made).chmod(0o555)
        child = os.fork()
        if not child:
            code = 1
            try:
                os.setuid(65534)
                with pytest.raises(DatabaseUnusable, match=r"earlier edition.*may write"):
                    SqliteCheckpointer(path).stats()
                code = 0
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
