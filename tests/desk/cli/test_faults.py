"""What a full disk, a damaged index or a locked database does to a run: one line, and nothing is lost."""

import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm

QUESTION = "Why does the tide rise and fall?"


def run_with_disk_of(most: int, home: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """The command in a process whose files cannot grow beyond so many bytes."""
    code = (
        "import resource, sys\n"
        "from signoff.desk.cli.app import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, 2 * (int(sys.argv.pop(1)),))\n"
        "main()\n"
    )
    return warm.run([sys.executable, "-c", code, str(most), *words], cwd=home, capture_output=True, text=True)


@pytest.mark.parametrize("kilobytes", [0, 60, 120, 180, 240])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(
    signoff: Any, home: Path, documents: Path, kilobytes: int
) -> None:
    full = run_with_disk_of(kilobytes * 1024, home, "run", "report", QUESTION, "--sources", "docs", "--yes")
    assert full.returncode == 1, full.stderr
    (line,) = [line for line in full.stderr.splitlines() if line.startswith("signoff: ")]
    assert "Traceback" not in full.stderr
    assert "mend it" in line.lower()
    assert not (home / "report.md").exists()
    accepted = signoff("runs", "--json").json
    if accepted:
        assert signoff("resume", accepted[0]["id"], "--yes").code == 0
        assert (home / "report.md").exists()


def test_a_report_that_cannot_be_written_leaves_nothing_half_written(signoff: Any, home: Path, documents: Path) -> None:
    asked = signoff("run", "report", QUESTION, "--sources", "docs", "--out", "out/report.md", "--json")
    (home / "out").write_text("a file where a folder should be")
    said = signoff("approve", asked.json["approval"])
    assert said.code == 4
    assert "cannot write" in said.err
    assert (home / "out").read_text() == "a file where a folder should be"


def test_a_damaged_database_is_one_line(signoff: Any, home: Path, documents: Path) -> None:
    assert signoff("run", "report", QUESTION, "--sources", "docs").code == 3
    database = home / ".signoff" / "signoff.db"
    connection = sqlite3.connect(database)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    raw = bytearray(database.read_bytes())
    raw[100:4096] = b"\xff" * 3996
    database.write_bytes(bytes(raw))
    for words in (["runs"], ["approvals"], ["run", "report", QUESTION, "--sources", "docs"]):
        said = signoff(*words)
        assert said.code == 1
        assert said.err.splitlines()[-1].startswith("signoff: ")


def test_an_index_that_was_deleted_is_built_again(signoff: Any, home: Path, documents: Path) -> None:
    first = signoff("run", "report", QUESTION, "--sources", "docs", "--json")
    for index in (home / ".signoff" / "sources").iterdir():
        index.unlink()
    assert signoff("approve", first.json["approval"]).code == 0
    assert signoff("run", "report", QUESTION, "--sources", "docs", "--yes", "--out", "again.md").code == 0


def test_any_other_address_as_database_is_refused_in_words(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE", "mysql://ann:secret@127.0.0.1/signoff")
    said = signoff("runs")
    assert said.code == 1
    assert "'mysql' is not a kind of database" in said.err
    assert "secret" not in said.err
