"""A CRM in a file: beside other people's rows, through locks, kills and two writers at once."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from signoff.errors import CrmFailed
from signoff.tools.crm import SqliteCrm

WRITER = """
import os, sys
from pathlib import Path
from signoff.tools.crm import Row, SqliteCrm
crm = SqliteCrm(Path(sys.argv[1]))
rows = [Row.of("leads", f"p{n}", "1", f"p{n}", {"licence": "BSD"}) for n in range(40)]
print("ready", flush=True)
for row in rows:
    crm.upsert([row])
print("done", flush=True)
"""


def table(path: Path) -> list[dict[str, Any]]:
    with sqlite3.connect(path) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(kept) for kept in connection.execute("SELECT * FROM leads ORDER BY signoff_key")]


def changes(written: Any) -> list[str]:
    return [one.change for one in written]


def test_rows_are_created_updated_and_left_as_they_are(tmp_path: Path, rows: Any, row: Any) -> None:
    crm = SqliteCrm(tmp_path / "new" / "crm.db")
    assert crm.find([rows[0].key]) == {}
    assert changes(crm.upsert(rows)) == ["created"] * 3
    assert changes(crm.upsert([rows[0], row("django", licence="MIT", extra="x")])) == ["unchanged", "updated"]
    found = crm.find([one.key for one in rows])
    assert found[rows[1].key].properties["extra"] == "x"
    assert (found[rows[1].key].before, found[rows[0].key].before) == (rows[1].sha256, "")
    assert len(table(crm.path)) == 3


def test_what_somebody_changed_in_the_file_is_written_again(tmp_path: Path, rows: Any) -> None:
    crm = SqliteCrm(tmp_path / "crm.db")
    crm.upsert(rows)
    with sqlite3.connect(crm.path) as connection:
        connection.execute("UPDATE leads SET licence = 'none' WHERE signoff_key = ?", [rows[0].key])
    assert changes(crm.upsert(rows)) == ["updated", "unchanged", "unchanged"]


@pytest.mark.parametrize("primary", ["name TEXT PRIMARY KEY", "id INTEGER PRIMARY KEY, name TEXT", "name TEXT"])
def test_a_table_of_somebody_elses_keeps_its_rows(tmp_path: Path, rows: Any, row: Any, primary: str) -> None:
    with sqlite3.connect(tmp_path / "crm.db") as connection:
        connection.execute(f"CREATE TABLE leads ({primary}, phone TEXT)")
        connection.execute("INSERT INTO leads (name, phone) VALUES ('theirs', '1')")
    crm = SqliteCrm(tmp_path / "crm.db")
    named = [row(one.name, name=one.name) for one in rows]
    assert changes(crm.upsert(named)) == ["created"] * 3
    assert changes(crm.upsert([row("flask", name="flask", licence="MIT")])) == ["updated"]
    assert changes(crm.upsert(named[1:])) == ["unchanged"] * 2
    kept = table(crm.path)
    assert len(kept) == 4
    assert [one["phone"] for one in kept if one["name"] == "theirs"] == ["1"]


def test_a_file_that_is_locked_or_no_database_is_told_for_sure(tmp_path: Path, rows: Any) -> None:
    crm = SqliteCrm(tmp_path / "crm.db", seconds=0.05)
    crm.upsert(rows[:1])
    holding = sqlite3.connect(crm.path, isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")
    with pytest.raises(CrmFailed, match=r"nothing was written.*locked") as caught:
        crm.upsert(rows)
    assert caught.value.sure
    holding.close()
    assert len(table(crm.path)) == 1
    (tmp_path / "notes.txt").write_text("no database, but a text that is long enough to be one" * 20)
    with pytest.raises(CrmFailed, match="nothing was written"):
        SqliteCrm(tmp_path / "notes.txt").upsert(rows)


def test_of_rows_that_are_written_together_all_stand_there_or_none(tmp_path: Path, rows: Any, row: Any) -> None:
    crm = SqliteCrm(tmp_path / "crm.db")
    crm.upsert(rows[:1])
    with sqlite3.connect(crm.path) as connection:
        connection.execute(
            "CREATE TRIGGER full BEFORE INSERT ON leads WHEN NEW.licence = 'bad' "
            "BEGIN SELECT RAISE(ABORT, 'no room'); END"
        )
    with pytest.raises(CrmFailed, match="no room"):
        crm.upsert([rows[1], row("bad", licence="bad")])
    assert len(table(crm.path)) == 1


def test_two_who_write_the_same_rows_at_once_leave_one_of_each(tmp_path: Path, rows: Any) -> None:
    crm = SqliteCrm(tmp_path / "crm.db")
    told: list[str] = []
    both = threading.Barrier(4)

    def write() -> None:
        both.wait()
        told.extend(changes(crm.upsert(rows)))

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (told.count("created"), told.count("unchanged"), len(table(crm.path))) == (3, 9, 3)


def test_a_writer_that_is_killed_leaves_whole_rows_and_the_next_completes_them(tmp_path: Path) -> None:
    path = tmp_path / "crm.db"
    command = [sys.executable, "-c", WRITER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        while not path.exists() or path.stat().st_size == 0:
            assert killed.poll() is None
        os.kill(killed.pid, signal.SIGKILL)
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    kept = table(path)
    assert len({one["signoff_key"] for one in kept}) == len(kept) == 40
    assert {one["licence"] for one in kept} == {"BSD"}


def test_a_row_that_is_not_as_it_was_when_it_was_proposed_is_refused_and_left(
    tmp_path: Path, rows: Any, row: Any
) -> None:
    crm = SqliteCrm(tmp_path / "crm.db")
    crm.upsert(rows[:2])
    stood = crm.find([one.key for one in rows])
    new = [row(one.name, licence="MIT").over(stood.get(one.key)) for one in rows]
    with sqlite3.connect(crm.path) as connection:
        connection.execute("UPDATE leads SET licence = 'GPL' WHERE signoff_key = ?", [rows[0].key])
        connection.execute("DELETE FROM leads WHERE signoff_key = ?", [rows[1].key])
    before = table(crm.path)
    written = crm.upsert(new)
    assert changes(written) == ["refused", "refused", "created"]
    assert ["licence became 'GPL'" in written[0].problem, "it is gone" in written[1].problem] == [True, True]
    assert [one for one in table(crm.path) if one["signoff_key"] != rows[2].key] == before
    assert changes(crm.upsert([row(rows[2].name, licence="MIT").over(None), row("flask").over(None)])) == [
        "unchanged",
        "refused",
    ]


def test_a_column_that_is_gone_comes_again_and_without_that_of_the_keys_nothing_is_written(
    tmp_path: Path, rows: Any
) -> None:
    crm = SqliteCrm(tmp_path / "crm.db")
    crm.upsert(rows)
    with sqlite3.connect(crm.path) as connection:
        connection.execute("ALTER TABLE leads DROP COLUMN licence")
    assert changes(crm.upsert(rows)) == ["updated"] * 3
    assert {one["licence"] for one in table(crm.path)} == {"BSD"}
    with sqlite3.connect(crm.path) as connection:
        connection.execute("DROP INDEX idx_leads_signoff_key")
        connection.execute("ALTER TABLE leads RENAME COLUMN signoff_key TO other")
    for write in (crm.check, lambda: crm.upsert(rows)):
        with pytest.raises(CrmFailed, match=r"'signoff_key' of 'leads' is gone.*put it back") as caught:
            write()
        assert caught.value.sure
    with sqlite3.connect(crm.path) as connection:
        connection.execute("ALTER TABLE leads RENAME COLUMN other TO signoff_key")
    assert changes(crm.upsert(rows)) == ["unchanged"] * 3


def test_a_full_disk_leaves_what_was_there_and_is_told_for_sure(tmp_path: Path, rows: Any, row: Any) -> None:
    crm = SqliteCrm(tmp_path / "crm.db")
    crm.upsert(rows)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (crm.path.stat().st_size + 4096, hard))
    try:
        with pytest.raises(CrmFailed, match="nothing was written") as caught:
            crm.upsert([row("large", text="x" * 100_000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.sure, caught.value.of_row) == (True, False)
    assert len(table(crm.path)) == 3
    assert changes(crm.upsert([row("large", text="x" * 100_000)])) == ["created"]


def test_a_crm_is_looked_at_without_a_row_being_written(tmp_path: Path, rows: Any) -> None:
    crm = SqliteCrm(tmp_path / "crm.db")
    crm.check()
    assert not crm.path.exists()
    crm.upsert(rows)
    before = crm.path.read_bytes()
    crm.check()
    holding = sqlite3.connect(crm.path, isolation_level=None)
    holding.execute("BEGIN IMMEDIATE")
    crm.check()  # it may be open by the time of the first row
    holding.close()
    assert crm.path.read_bytes() == before
    with crm.path.open("r+b") as file:  # a version of the format that SQLite does not write to
        file.seek(18)
        file.write(b"\x03")
    with pytest.raises(CrmFailed, match="it may not be written to"):
        crm.check()
    sqlite3.connect(tmp_path / "view.db").execute("CREATE VIEW leads AS SELECT 1 AS a").connection.close()
    for wrong in (tmp_path / "view.db", tmp_path / "crm.db" / "crm.db"):
        with pytest.raises(CrmFailed, match="nothing was written"):
            SqliteCrm(wrong).check()


def test_names_of_columns_are_the_same_in_capitals(tmp_path: Path, row: Any) -> None:
    crm = SqliteCrm(tmp_path / "crm.db")
    with sqlite3.connect(crm.path) as connection:
        connection.execute("CREATE TABLE leads (ID INTEGER PRIMARY KEY, Licence TEXT)")
    assert changes([*crm.upsert([row("flask")]), *crm.upsert([row("flask")])]) == ["created", "unchanged"]
    assert changes(crm.upsert([row("flask", licence="MIT")])) == ["updated"]
