"""`signoff db`: what is in the database, whether it is whole, pruning, copies, imports and keys."""

import os
import pty
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import warm
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import BaseCheckpointSaver, empty_checkpoint
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.checkpoint.sqlite import SqliteSaver
from pydantic import BaseModel

from signoff import Ledger, SqliteCheckpointer
from signoff.checkpoints.saver.rows import list_threads

QUESTION = "Why does the tide rise and fall?"
DATABASE = Path(".signoff", "signoff.db")


class Opinion(BaseModel):
    text: str


def start(signoff: Any, *more: object) -> str:
    """A run that waits, or with `--yes` is done: its id."""
    said = signoff("run", "report", QUESTION, "--sources", "docs", "--json", *more)
    assert said.code in (0, 3), said.err
    return str(said.json["run"])


def fill(saver: BaseCheckpointSaver[Any], *threads: str, steps: int = 3, size: int = 2000) -> None:
    """Some checkpoints in each thread."""
    for thread in threads:
        place: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": ""}}
        for step in range(steps):
            values = {"text": os.urandom(size // 2).hex()}
            checkpoint = {**empty_checkpoint(), "channel_values": values, "channel_versions": {"text": step}}
            place = saver.put(place, checkpoint, {"step": step}, {"text": step})  # type: ignore[arg-type]  # it is one


def age(days: float, *threads: str) -> None:
    """Make threads seem to have been touched so long ago."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        for thread in threads:
            connection.execute(
                "UPDATE saver_threads SET touched_at = touched_at - ? WHERE name = ?", (days * 86_400, thread)
            )
        connection.commit()


def names() -> set[str]:
    return {entry.name for entry in list_threads(DATABASE)}


def steps(thread: str) -> int:
    with SqliteCheckpointer(DATABASE) as saver:
        return len(list(saver.list({"configurable": {"thread_id": thread}})))


@pytest.fixture
def filled(home: Path) -> Path:
    with SqliteCheckpointer(DATABASE) as saver:
        fill(saver, "one", "two", "three")
    return DATABASE


# -- stats


def test_stats_tell_size_and_contents(signoff: Any, filled: Path) -> None:
    said = signoff("db", "stats", "--json")
    assert said.code == 0, said.err
    stats = said.json
    assert (stats["threads"], stats["checkpoints"], stats["encrypted"]) == (3, 9, False)
    assert stats["size"] > 9 * 2000
    assert {name for name, _, _ in stats["largest"]} == {"one", "two", "three"}
    text = signoff("db", "stats").out
    for expected in ("threads: 3, checkpoints: 9", "not encrypted", "one", "kB"):
        assert expected in text


def test_another_database_can_be_named(signoff: Any, filled: Path) -> None:
    Path("other.db").write_bytes(b"")
    with SqliteCheckpointer("other.db") as saver:
        fill(saver, "elsewhere")
    assert signoff("db", "stats", "--database", "other.db", "--json").json["threads"] == 1
    assert signoff("db", "stats", "--json").json["threads"] == 3


def test_stats_of_a_database_with_a_ledger_only_are_a_line(signoff: Any, home: Path) -> None:
    ledger = Ledger(home / ".signoff" / "signoff.db", hooks=())
    ledger.runs.list()
    ledger.close()
    said = signoff("db", "stats")
    assert said.code == 0, said.err
    assert "No checkpoints yet" in said.out


@pytest.mark.parametrize("words", [["stats"], ["check"], ["prune", "--older-than", "1d"], ["backup", "copy.db"]])
def test_without_a_database_it_is_said_in_one_line_and_none_is_made(signoff: Any, home: Path, words: list[str]) -> None:
    said = signoff("db", *words)
    assert said.code == 1
    assert said.out == ""
    (line,) = said.err.splitlines()
    assert "no database" in line
    assert list(home.iterdir()) == []


def test_the_key_of_an_encrypted_database_is_needed_and_a_wrong_one_is_told(
    signoff: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = signoff("db", "key", "--json").json["key"]
    with SqliteCheckpointer(DATABASE, key=key) as saver:
        fill(saver, "one")
    assert "no key is set" in signoff("db", "stats").err
    monkeypatch.setenv("SIGNOFF_ENCRYPTION_KEY", signoff("db", "key").out.strip())
    assert "does not open" in signoff("db", "check").err
    monkeypatch.setenv("SIGNOFF_ENCRYPTION_KEY", key)
    assert signoff("db", "stats", "--json").json["encrypted"] is True
    assert signoff("db", "check").code == 0


# -- check


def test_a_whole_database_is_found_whole(signoff: Any, documents: Path) -> None:
    start(signoff, "--yes")
    said = signoff("db", "check")
    assert said.code == 0, said.err
    assert "Whole" in said.out
    assert signoff("db", "check", "--json").json["problems"] == []


def test_a_piece_that_is_missing_is_found(signoff: Any, filled: Path) -> None:
    with closing(sqlite3.connect(filled)) as connection:
        connection.execute("DELETE FROM saver_pieces WHERE id = (SELECT max(id) FROM saver_pieces)")
        connection.commit()
    said = signoff("db", "check")
    assert said.code == 1
    assert "cannot be read" in said.out
    problems = signoff("db", "check", "--json").json["problems"]
    assert problems
    assert "Whole" not in said.out


def test_an_audit_log_that_was_changed_is_found(signoff: Any, documents: Path) -> None:
    start(signoff, "--yes")
    with closing(sqlite3.connect(DATABASE)) as connection:
        connection.execute('UPDATE audit SET body = \'{"by":"mallory"}\' WHERE seq = 2')
        connection.commit()
    said = signoff("db", "check")
    assert said.code == 1
    assert "audit log: entry 2 does not follow from entry 1" in said.out


# -- prune


def test_old_threads_are_deleted_and_their_space_comes_back(signoff: Any, filled: Path) -> None:
    with SqliteCheckpointer(DATABASE) as saver:
        fill(saver, "large", steps=20, size=50_000)
    age(40, "large", "two")
    before = filled.stat().st_size
    said = signoff("db", "prune", "--older-than", "30d", "--yes", "--json")
    assert said.code == 0, said.err
    assert sorted(said.json["threads"]) == ["large", "two"]
    assert said.json["freed"] > 900_000
    assert filled.stat().st_size < before - 900_000
    assert names() == {"one", "three"}
    assert "Nothing was pruned" in signoff("db", "prune", "--older-than", "30d", "--yes").out


def test_keep_latest_keeps_the_latest_of_the_named_threads_or_of_all(signoff: Any, filled: Path) -> None:
    assert signoff("db", "prune", "--keep-latest", "one", "--yes").code == 0
    assert [steps(name) for name in ("one", "two", "three")] == [1, 3, 3]
    assert "3 threads" in signoff("db", "prune", "--keep-latest", "--yes").out
    assert [steps(name) for name in ("one", "two", "three")] == [1, 1, 1]


def test_named_threads_are_deleted(signoff: Any, filled: Path) -> None:
    said = signoff("db", "prune", "--delete", "one", "thr", "--yes")
    assert said.code == 0, said.err
    assert "Deleted 2 threads" in said.out
    assert names() == {"two"}


def test_a_run_that_waits_is_spared_unless_forced(signoff: Any, documents: Path) -> None:
    waits, done = start(signoff), start(signoff, "--yes")
    age(40, waits, done)
    said = signoff("db", "prune", "--older-than", "30d", "--yes", "--json")
    assert said.json["threads"] == [done]
    assert said.json["spared"] == [waits]
    refused = signoff("db", "prune", "--delete", waits, "--yes")
    assert refused.code == 1
    assert "goes on or waits" in refused.err
    assert steps(waits) > 1
    assert signoff("db", "prune", "--keep-latest", "--yes", "--json").json["threads"] == []
    assert signoff("db", "prune", "--delete", waits, "--yes", "--force").code == 0
    assert names() == set()


def test_the_first_and_later_runs_of_a_thread_that_waits_protect_it(signoff: Any, filled: Path) -> None:

    with closing(Ledger(DATABASE)) as ledger:
        ledger.runs.begin("one", 2, team="report", goal="why")
        ledger.runs.begin("two", 1, team="report", goal="why")
    said = signoff("db", "prune", "--keep-latest", "--yes", "--json")
    assert said.json["threads"] == ["three"]


def test_a_thread_that_somebody_writes_is_spared(signoff: Any, filled: Path) -> None:
    with SqliteCheckpointer(DATABASE) as saver:
        fill(saver.leased("somebody", seconds=3600), "two")
        said = signoff("db", "prune", "--keep-latest", "--yes", "--json")
    assert sorted(said.json["threads"]) == ["one", "three"]
    assert said.json["spared"] == ["two"]


def test_without_a_terminal_nothing_is_pruned_unasked_and_it_is_said_what_would_be(signoff: Any, filled: Path) -> None:
    said = signoff("db", "prune", "--delete", "one")
    assert said.code == 1
    assert "1 thread will be deleted" in said.err
    assert "--yes" in said.err
    assert names() == {"one", "two", "three"}


@pytest.mark.parametrize(("answer", "left"), [("n\n", {"one", "two", "three"}), ("y\n", {"two", "three"})])
def test_at_a_terminal_it_asks(filled: Path, home: Path, answer: str, left: set[str]) -> None:
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "signoff", "db", "prune", "--delete", "one"]
    process = warm.start(command, stdin=follower, stdout=follower, stderr=follower, cwd=home)
    os.close(follower)
    seen = ""
    try:
        while "Go on?" not in seen:
            seen += os.read(leader, 65536).decode(errors="replace")
        os.write(leader, answer.encode())
        while True:
            try:
                seen += os.read(leader, 65536).decode(errors="replace")
            except OSError:  # the other end is closed
                break
    finally:
        process.wait(60)
        os.close(leader)
    assert process.returncode == 0, seen
    assert names() == left


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "not clear"),
        (["one"], "not clear"),
        (["--keep-latest", "--delete", "one"], "not clear"),
        (["--delete"], "no thread is named"),
        (["--delete", "nobody"], "No thread 'nobody'"),
        (["--delete", "t"], "No thread 't'"),
        (["--older-than", "30d", "one"], "takes no threads"),
        (["--older-than", "soon"], "is no time"),
        (["--older-than", "9e9w"], "is no time"),
        (["--older-than", "99999999999d"], "is no time"),
    ],
)
def test_a_wish_that_is_not_clear_is_one_line_and_does_nothing(
    signoff: Any, filled: Path, words: list[str], expected: str
) -> None:
    said = signoff("db", "prune", "--yes", *words)
    assert said.code == 1
    (line,) = said.err.splitlines()
    assert expected in line
    assert names() == {"one", "two", "three"}


# -- backup


def test_a_backup_is_a_whole_copy_and_replaces_nothing_unless_forced(signoff: Any, filled: Path, home: Path) -> None:
    (home / "copies").mkdir()
    said = signoff("db", "backup", "copies/copy.db", "--json")
    assert said.code == 0, said.err
    assert said.json["size"] == Path("copies/copy.db").stat().st_size
    with SqliteCheckpointer("copies/copy.db") as copy, SqliteCheckpointer(filled) as saver:
        assert list(copy.list(None)) == list(saver.list(None))
        fill(saver, "four")
    again = signoff("db", "backup", "copies/copy.db")
    assert again.code == 1
    assert "there already" in again.err
    assert signoff("db", "backup", "copies/copy.db", "--force").code == 0
    assert signoff("db", "stats", "--database", "copies/copy.db", "--json").json["threads"] == 4
    assert [path.name for path in (home / "copies").iterdir() if not path.name.startswith("copy.db")] == []


@pytest.mark.parametrize(
    ("target", "expected"),
    [("docs", "is a folder"), ("nowhere/copy.db", "no folder"), (str(DATABASE), "the database itself")],
)
def test_a_backup_that_cannot_be_made_is_one_line(signoff: Any, filled: Path, target: str, expected: str) -> None:
    Path("docs").mkdir()
    said = signoff("db", "backup", target, "--force")
    assert said.code == 1
    assert expected in said.err
    assert signoff("db", "check").code == 0


# -- import


@pytest.fixture
def official(home: Path) -> Iterator[SqliteSaver]:
    with closing(sqlite3.connect("official.db", check_same_thread=False)) as connection:
        saver = SqliteSaver(connection, serde=JsonPlusSerializer(allowed_msgpack_modules=None))
        fill(saver, "one", "two")
        yield saver


def test_a_file_of_the_official_saver_is_imported(signoff: Any, official: SqliteSaver) -> None:
    said = signoff("db", "import", "official.db")
    assert said.code == 0, said.err
    assert "2 threads with 6 checkpoints" in said.out
    with SqliteCheckpointer(DATABASE) as saver:
        assert list(saver.list(None)) == list(official.list(None))
    again = signoff("db", "import", "official.db", "--json").json
    assert (again["threads"], again["present"]) == (0, 2)


def test_a_thread_that_is_refused_is_named_and_the_exit_code_is_1(signoff: Any, official: SqliteSaver) -> None:
    signoff("db", "import", "official.db")
    fill(official, "one")
    said = signoff("db", "import", "official.db")
    assert said.code == 1
    assert "Not imported: thread one" in said.err
    assert steps("one") == 3


def test_types_can_be_listed(signoff: Any, official: SqliteSaver) -> None:
    checkpoint = {**empty_checkpoint(), "channel_values": {"o": Opinion(text="high")}, "channel_versions": {"o": 1}}
    place: RunnableConfig = {"configurable": {"thread_id": "typed", "checkpoint_ns": ""}}
    official.put(place, checkpoint, {}, {"o": 1})  # type: ignore[arg-type]  # it is a checkpoint
    said = signoff("db", "import", "official.db")
    assert said.code == 1
    assert f"{Opinion.__module__}.Opinion" in said.err
    assert "typed" not in names()
    assert signoff("db", "import", "official.db", "--type", "nonsense").code == 1
    assert signoff("db", "import", "official.db", "--type", f"{Opinion.__module__}.Opinion").code == 0
    with SqliteCheckpointer(DATABASE, types=[Opinion]) as saver:
        found = saver.get_tuple(place)
    assert found is not None
    assert found.checkpoint["channel_values"] == {"o": Opinion(text="high")}


@pytest.mark.parametrize("name", ["nowhere.db", "docs", "notes.txt", str(DATABASE)])
def test_a_file_that_cannot_be_imported_is_one_line(signoff: Any, filled: Path, name: str) -> None:
    Path("docs").mkdir()
    Path("notes.txt").write_text("not a database " * 100)
    said = signoff("db", "import", name)
    assert said.code == 1
    assert said.err.splitlines()[-1].startswith("signoff: ")
    assert names() == {"one", "two", "three"}


# -- key


def test_a_key_is_printed_alone_on_standard_output_and_is_new_each_time(signoff: Any, home: Path) -> None:
    first, second = signoff("db", "key"), signoff("db", "key")
    assert first.out != second.out
    assert "SIGNOFF_ENCRYPTION_KEY" in first.err
    with SqliteCheckpointer("sealed.db", key=first.out.strip()) as saver:
        fill(saver, "one")
        assert saver.sweep(timedelta(0)) == 1
    assert list(Path(".").glob(".signoff")) == []
