"""A ledger that was deleted, emptied or replaced is not made anew in silence, nor is it said that nothing was lost."""

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import warm
from langgraph.checkpoint.base import empty_checkpoint

from signoff import Ledger, SqliteCheckpointer
from signoff.errors import DatabaseDamaged, DatabaseGone, DatabaseUnusable, StoreError

WRITE_AND_DIE = """
import os, sys
from signoff import Ledger
ledger = Ledger(sys.argv[1])
ledger.people.give("ann", "finance", by="bea")
os._exit(0)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger that was used, and that nobody has open."""
    found = tmp_path / "folder" / "signoff.db"
    use(found)
    return found


def use(path: Path, name: str = "ann") -> None:
    with closing(Ledger(path)) as ledger:
        ledger.people.give(name, "finance", by="bea")


def delete(path: Path) -> None:
    for file in path.parent.glob("signoff.db*"):
        file.unlink()


def delete_only_the_file(path: Path) -> None:
    warm.run([sys.executable, "-c", WRITE_AND_DIE, str(path)], check=True)
    assert Path(f"{path}-wal").exists()
    path.unlink()


def empty(path: Path) -> None:
    path.write_bytes(b"")


def put_notes_in_its_place(path: Path) -> None:
    delete(path)
    path.write_text("notes, long enough to be looked at as a database" * 20)


def put_photos_in_its_place(path: Path) -> None:
    delete(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE photos (id INTEGER)")


def put_a_saver_in_its_place(path: Path) -> None:
    other = path.with_name("other.db")
    with SqliteCheckpointer(other) as saver:
        assert list(saver.list(None)) == []
    delete(path)
    shutil.copy(other, path)


def files_beside(path: Path) -> dict[str, bytes]:
    """What whoever only reads leaves as it is: SQLite makes its index of a log even then."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir() if not file.name.endswith(("-shm", "-wal"))}


WAYS = [delete, delete_only_the_file, empty, put_notes_in_its_place, put_photos_in_its_place, put_a_saver_in_its_place]


@pytest.mark.parametrize("lose", WAYS)
def test_what_was_there_is_missed_and_nothing_is_made_in_its_place(path: Path, lose: Callable[[Path], None]) -> None:
    lose(path)
    before = files_beside(path)
    for _ in range(2):
        with closing(Ledger(path)) as ledger, pytest.raises(DatabaseGone) as told:
            ledger.runs.list()
        with SqliteCheckpointer(path) as saver, pytest.raises(DatabaseGone):
            list(saver.list(None))
        said = str(told.value)
        assert "lost" not in said
        assert "Restore a backup of it, or name another with SIGNOFF_DATABASE. To begin anew" in said
        assert all(trace in said for trace in told.value.traces)
    assert files_beside(path) == before


@pytest.mark.parametrize("lose", [delete, delete_only_the_file, empty])
def test_it_is_begun_anew_once_the_traces_are_deleted(path: Path, lose: Callable[[Path], None]) -> None:
    lose(path)
    for _ in range(2):
        try:
            use(path, "bob")
        except DatabaseGone as gone:
            for trace in gone.traces:
                Path(trace).unlink()
    with closing(Ledger(path)) as ledger:
        assert set(ledger.people.list()) == {"bob"}


def test_a_backup_in_its_place_is_used(path: Path) -> None:
    with SqliteCheckpointer(path) as saver:
        saver.backup(path.with_name("copy.db"))
    delete(path)
    path.with_name("copy.db").rename(path)
    with closing(Ledger(path)) as ledger:
        assert set(ledger.people.list()) == {"ann"}


def test_a_new_folder_an_empty_file_and_a_file_of_checkpoints_are_where_a_ledger_begins(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with SqliteCheckpointer(tmp_path / "saver.db") as saver:
        assert list(saver.list(None)) == []
    for name in ("new/home/signoff.db", "empty.db", "saver.db"):
        use(tmp_path / name)
        with closing(Ledger(tmp_path / name)) as ledger:
            assert set(ledger.people.list()) == {"ann"}


def test_a_whole_folder_that_was_deleted_leaves_no_trace_and_is_made_anew(path: Path) -> None:
    shutil.rmtree(path.parent)
    use(path, "bob")
    with closing(Ledger(path)) as ledger:
        assert set(ledger.people.list()) == {"bob"}


@pytest.mark.parametrize("lose", [delete, put_notes_in_its_place, put_photos_in_its_place])
def test_a_process_that_has_it_open_says_so_and_writes_nothing_elsewhere(
    path: Path, lose: Callable[[Path], None]
) -> None:
    with closing(Ledger(path)) as ledger:
        ledger.people.give("dan", "finance", by="bea")
        lose(path)
        for _ in range(2):
            with pytest.raises(DatabaseGone) as told:
                ledger.people.give("eve", "finance", by="bea")
            assert "lost" not in str(told.value)


def test_a_process_is_told_once_that_another_ledger_is_in_its_place(path: Path) -> None:
    other = path.parent.with_name("other") / "signoff.db"
    use(other, "bob")
    with closing(Ledger(path)) as ledger:
        assert set(ledger.people.list()) == {"ann"}
        delete(path)
        shutil.copy(other, path)
        with pytest.raises(DatabaseGone, match="replaced while this process had it open"):
            ledger.people.give("eve", "finance", by="bea")
        assert set(ledger.people.list()) == {"bob"}


def test_many_processes_that_make_one_at_once_miss_nothing(tmp_path: Path) -> None:
    path = tmp_path / "signoff.db"
    command = [sys.executable, "-c", WRITE_AND_DIE, str(path)]
    started = [warm.start(command, stderr=subprocess.PIPE, text=True) for _ in range(6)]
    ended = [(process.communicate()[1], process.returncode) for process in started]
    assert ended == [("", 0)] * len(started)


def cut(path: Path) -> None:
    with path.open("rb+") as file:
        file.truncate(path.stat().st_size // 2)


def scramble(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:100] + b"\xff" * 4000 + whole[4100:])


def read_all(ledger: Ledger) -> None:
    ledger.people.give("eve", "finance", by="bea")
    ledger.runs.list()
    ledger.approvals.pending()
    assert ledger.audit.verify().ok


@pytest.mark.parametrize("damage", [cut, scramble])
def test_nobody_is_told_of_a_damaged_one_that_nothing_was_lost(path: Path, damage: Callable[[Path], None]) -> None:
    damage(path)
    with closing(Ledger(path)) as ledger, pytest.raises(StoreError) as told:
        read_all(ledger)
    assert "Nothing committed was lost" not in str(told.value)
    assert "backup" in str(told.value)


@pytest.mark.parametrize(
    ("problem", "is_harmless"),
    [
        ("database is locked", True),
        ("database or disk is full", True),
        ("attempt to write a readonly database", True),
        ("locked: another thread has been writing for 30 s", True),
        ("database disk image is malformed", False),
        ("disk I/O error", False),
        ("no such table: runs", False),
        ("the file was deleted or replaced while it was open; close it and open it", False),
    ],
)
def test_that_nothing_was_lost_is_said_where_it_is_known(problem: str, is_harmless: bool) -> None:
    assert ("Nothing committed was lost" in str(DatabaseUnusable("signoff.db", problem))) == is_harmless


@pytest.mark.parametrize("trace", ["-wal", "-shm"])
def test_an_empty_part_of_a_database_is_a_trace_of_it_too(path: Path, trace: str) -> None:
    """A process of an older signoff, which left no mark, was killed before it wrote anything to its log."""
    for file in path.parent.glob("*signoff.db*"):
        file.unlink()
    for file in path.parent.glob(".signoff.db*"):
        file.unlink()
    Path(f"{path}{trace}").touch()
    with closing(Ledger(path)) as ledger, pytest.raises(DatabaseGone) as told:
        ledger.runs.list()
    assert told.value.traces == (f"{path}{trace}",)
    assert not path.exists()


@pytest.mark.parametrize("keep", [0.5, 0.0, None], ids=["half", "emptied", "deleted"])
def test_nothing_is_written_behind_the_gap_of_a_log_that_was_cut_off_while_it_was_open(
    path: Path, keep: float | None
) -> None:
    """SQLite would go on at the place where the log ended, and take over what stands in the gap at its end."""
    thread: Any = {"configurable": {"thread_id": "t", "checkpoint_ns": ""}}
    log = Path(f"{path}-wal")
    with closing(Ledger(path)) as ledger, SqliteCheckpointer(path) as saver:
        for number in range(20):
            ledger.people.give(f"dan{number}", "finance", by="bea")
            saver.put(thread, empty_checkpoint(), {}, {})
        if keep is None:
            log.unlink()
        else:
            os.truncate(log, int(log.stat().st_size * keep))
        for _ in range(2):
            for use in (
                lambda: ledger.people.give("eve", "finance", by="bea"),
                ledger.people.list,
                lambda: saver.put(thread, empty_checkpoint(), {}, {}),
                lambda: saver.get_tuple(thread),
            ):
                with pytest.raises(DatabaseDamaged, match="-wal file was cut off or deleted while it was open"):
                    use()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_log_that_others_take_over_and_begin_anew_was_not_cut_off(path: Path) -> None:
    with closing(Ledger(path)) as ledger, closing(sqlite3.connect(path)) as other:
        for number in range(20):
            ledger.people.give(f"dan{number}", "finance", by="bea")
            assert other.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
            assert len(ledger.people.list()) == number + 2
