"""`signoff audit`: whether the log is whole, heads kept elsewhere, and the log written out."""

import csv
import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import warm

from signoff.checkpoints.ledger import Ledger, Question
from signoff.desk.cli import audit, db, lists
from signoff.errors import SignoffError

DATABASE = Path(".signoff", "signoff.db")
FIRST = "0" * 64


def fill(database: str | Path = DATABASE, *, runs: int = 2) -> str:
    """Some runs with three entries each; the head."""
    with closing(Ledger(database, hooks=())) as ledger:
        for number in range(1, runs + 1):
            ledger.runs.begin(f"r-{number}", 1, team="office", goal="é, pay ann")
            ledger.runs.set_status(f"r-{number}", "waiting")
            ledger.runs.set_status(f"r-{number}", "done")
        return ledger.audit.head()


def change(*statements: str) -> None:
    with closing(sqlite3.connect(DATABASE)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def rewrite(seq: int) -> None:
    """Write the log anew from this entry on, with its head, as somebody with the whole database can."""
    with closing(sqlite3.connect(DATABASE)) as connection:
        connection.execute("UPDATE audit SET at = '2026-01-01' WHERE seq = ?", (seq,))
        before, hashed = FIRST, ""
        for row in connection.execute("SELECT seq, at, run_id, event, body, hash FROM audit ORDER BY seq").fetchall():
            text = json.dumps([before, *row[:4]], separators=(",", ":"))[:-1] + f",{row[4]}]"
            before = hashed = hashlib.sha256(text.encode()).hexdigest()
            connection.execute("UPDATE audit SET hash = ? WHERE seq = ?", (hashed, row[0]))
        connection.execute("UPDATE ledger_meta SET value = ? WHERE key = 'audit_head'", (f"{row[0]}:{hashed}",))
        connection.commit()


# -- verify


def test_a_whole_log_is_said_to_be_whole_with_its_head(signoff: Any, home: Path) -> None:
    head = fill()
    said = signoff("audit", "verify")
    assert (said.code, said.out) == (0, f"Whole: 6 entries were read, the tables agree.\nhead {head}\n")
    said = signoff("audit", "verify", "--json")
    assert said.json == {"database": str(DATABASE), "whole": True, "entries": 6, "head": head, "problems": []}


def test_each_problem_is_a_line_and_the_exit_code_is_1(signoff: Any, home: Path) -> None:
    fill()
    change(
        "UPDATE audit SET event = 'x' WHERE seq = 2", "DELETE FROM audit WHERE seq > 5", "UPDATE runs SET team = 'y'"
    )
    said = signoff("audit", "verify")
    lines = said.out.splitlines()
    assert said.code == 1
    assert lines[0] == "entry 2 does not follow from entry 1: it was changed, or what is before it was"
    assert lines[1] == "entry 6 is missing at the end: the log was cut off"
    assert "run r-1: its team is 'y', but the log says 'office'" in lines
    assert lines[-1] == f"{len(lines) - 1} found among 5 entries. Nothing was changed."
    said = signoff("audit", "verify", "--json")
    assert (said.code, said.json["whole"]) == (1, False)
    assert said.json["problems"][:2] == [
        {"seq": 2, "last": 2, "what": lines[0]},
        {"seq": 6, "last": 6, "what": lines[1]},
    ]


def test_a_head_that_was_kept_is_looked_for_in_the_log(signoff: Any, home: Path) -> None:
    head = fill()
    assert signoff("audit", "verify", "--head", head).code == 0
    rewrite(4)
    assert signoff("audit", "verify").code == 0
    said = signoff("audit", "verify", "--head", head)
    assert said.code == 1
    assert "entry 6 is not the one whose head was kept" in said.out
    said = signoff("audit", "verify", "--head", "six")
    assert (said.code, said.out) == (1, "")
    assert said.err == "signoff: --head: 'six' is no head. Write it as NUMBER:HASH, as `verify` prints it.\n"


def test_an_anchor_file_tells_between_which_heads_the_log_was_rewritten(signoff: Any, home: Path) -> None:
    for runs in (1, 2, 3):
        fill(runs=runs)
        said = signoff("audit", "anchor", "heads")
        assert said.code == 0
        assert "Noted down in heads: head" in said.out
    assert len(Path("heads").read_text().splitlines()) == 3
    said = signoff("audit", "verify", "--anchor", "heads")
    assert "the log leads through 3 kept" in said.out
    rewrite(5)
    said = signoff("audit", "verify", "--anchor", "heads", "--json")
    assert said.code == 1
    first, second, _ = (int(line.partition(":")[0]) for line in Path("heads").read_text().splitlines())
    assert first < 5 <= second
    assert (said.json["problems"][0]["seq"], said.json["problems"][0]["last"]) == (first + 1, second)


def test_an_anchor_grows_only_when_the_log_did(signoff: Any, home: Path) -> None:
    fill()
    signoff("audit", "anchor", "heads")
    before = Path("heads").read_text()
    assert "is as it was" in signoff("audit", "anchor", "heads").out
    assert Path("heads").read_text() == before
    assert signoff("audit", "anchor", "heads", "--json").json["added"] is False


def test_an_anchor_tells_that_another_database_is_in_its_place(signoff: Any, home: Path) -> None:
    fill()
    signoff("audit", "anchor", "heads")
    before = (home / "heads").read_text()
    shutil.rmtree(home / ".signoff")
    Ledger(DATABASE).people.give("ann", "finance", by="bea")
    said = signoff("audit", "anchor", "heads")
    assert said.code == 1
    assert "'heads' knows 6 entries, but the audit log has 1: it was cut or replaced" in said.err
    assert (home / "heads").read_text() == before


def test_a_line_of_an_anchor_whose_end_was_lost_does_not_swallow_the_next(signoff: Any, home: Path) -> None:
    fill(runs=1)
    signoff("audit", "anchor", "heads")
    Path("heads").write_text(Path("heads").read_text()[:-5])
    head = fill(runs=2)
    signoff("audit", "anchor", "heads")
    assert Path("heads").read_text().splitlines()[1].startswith(head)
    assert signoff("audit", "verify", "--anchor", "heads").code == 0


def test_a_file_that_is_no_anchor_is_refused_and_left_alone(signoff: Any, home: Path) -> None:
    fill()
    before = DATABASE.read_bytes()
    for words in (("anchor", DATABASE), ("verify", "--anchor", DATABASE)):
        said = signoff("audit", *words)
        assert said.code == 1
        assert "line 1 of '.signoff/signoff.db' does not begin with NUMBER:HASH" in said.err
    assert DATABASE.read_bytes() == before
    said = signoff("audit", "verify", "--anchor", "nowhere")
    assert "there is no file 'nowhere'" in said.err


# -- export


def test_an_export_is_json_lines_that_can_be_recomputed(signoff: Any, home: Path) -> None:
    head = fill()
    said = signoff("audit", "export")
    lines = [json.loads(line) for line in said.out.splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6]
    before = FIRST
    for line in lines:
        values = [before, *(line[name] for name in ("seq", "at", "run", "event", "body"))]
        text = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        before = hashlib.sha256(text.encode()).hexdigest()
        assert line["hash"] == before
    assert head == f"6:{before}"


def test_an_export_of_one_run_goes_to_a_file_that_is_not_overwritten(signoff: Any, home: Path) -> None:
    head = fill()
    said = signoff("audit", "export", "--run", "r-2", "--out", "audit.jsonl")
    assert (said.code, said.out) == (0, "Wrote 3 entries to audit.jsonl.\n")
    assert [json.loads(line)["run"] for line in Path("audit.jsonl").read_text().splitlines()] == ["r-2"] * 3
    said = signoff("audit", "export", "--out", "audit.jsonl")
    assert (said.code, "is there already" in said.err) == (1, True)
    said = signoff("audit", "export", "--out", "audit.jsonl", "--force", "--json")
    assert said.json == {"file": "audit.jsonl", "entries": 6, "head": head}
    assert len(Path("audit.jsonl").read_text().splitlines()) == 6
    assert sorted(path.name for path in home.iterdir()) == [".signoff", "audit.jsonl"]
    assert "No run 'r-9'" in signoff("audit", "export", "--run", "r-9").err


def test_an_export_as_csv_has_the_body_as_json(signoff: Any, home: Path) -> None:
    fill()
    signoff("audit", "export", "--format", "csv", "--out", "audit.csv")
    with Path("audit.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == ["seq", "at", "run", "event", "body", "before", "hash"]
    assert json.loads(rows[0]["body"])["goal"] == "é, pay ann"
    assert [row["before"] for row in rows[1:]] == [row["hash"] for row in rows[:-1]]


def test_an_export_into_a_pipe_that_closes_ends_quietly(home: Path) -> None:
    fill(runs=1)
    with closing(Ledger(DATABASE, hooks=())) as ledger, ledger.write() as connection:
        for _ in range(3000):
            ledger.audit.append(connection, "r-1", "event", text="x" * 200)
    read, written = os.pipe()
    with warm.start(
        [sys.executable, "-m", "signoff", "audit", "export"], stdout=written, stderr=subprocess.PIPE
    ) as child:
        os.close(written)
        os.read(read, 100)
        os.close(read)
        _, errors = child.communicate(timeout=60)
    assert (child.returncode, errors) == (0, b"")


# -- where


def test_there_is_nothing_to_check_without_a_database_and_none_is_made(signoff: Any, home: Path) -> None:
    for words in (("verify",), ("export",), ("anchor", "heads")):
        said = signoff("audit", *words)
        assert said.code == 1
        assert "There is no database" in said.err
    assert list(home.iterdir()) == []


def test_an_empty_log_is_said_to_be_empty(signoff: Any, home: Path) -> None:
    fill(runs=0)
    assert (signoff("audit", "verify").out, signoff("audit", "export").out) == ("The audit log is empty.\n", "")
    assert "The audit log is empty" in signoff("audit", "anchor", "heads").out
    assert not Path("heads").exists()


def test_a_copy_is_checked_by_its_name(signoff: Any, home: Path) -> None:
    head = fill("copy.db")
    assert f"head {head}" in signoff("audit", "verify", "--database", "copy.db").out


def test_a_log_in_postgresql_is_checked_like_one_in_a_file(
    signoff: Any, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_DATABASE", address)
    head = fill(address)
    assert f"head {head}" in signoff("audit", "verify", "--head", head).out
    assert "Noted down" in signoff("audit", "anchor", "heads").out
    assert len(signoff("audit", "export", "--run", "r-2").out.splitlines()) == 3
    with closing(Ledger(address, hooks=())) as ledger, ledger.write() as connection:
        connection.exec_driver_sql("DELETE FROM audit WHERE seq = 4")
    said = signoff("audit", "verify", "--anchor", "heads")
    assert (said.code, said.out.splitlines()[0]) == (1, "entry 4 is missing; without that, entry 5 cannot be checked")


def test_secrets_of_the_settings_never_reach_the_log(
    signoff: Any, documents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGNOFF_API_KEY", "only the harbour master knows")
    monkeypatch.setenv("SIGNOFF_MODEL", "offline")
    question = "Why does the tide rise, only the harbour master knows?"
    said = signoff("run", "report", question, "--sources", "docs", "--json")
    assert said.code in (0, 3), said.err
    exported = signoff("audit", "export").out
    assert "[redacted]" in exported
    assert "harbour master knows" not in exported
    assert signoff("audit", "verify").code == 0


# -- whatever command meets a database that was tampered with

CHANGES = [
    "UPDATE approvals SET id = x'00ff'",
    "UPDATE approvals SET shown = ''",
    "UPDATE approvals SET authority = '[]'",
    """UPDATE approvals SET authority = '{"requirements":[{"role":1}]}'""",
    'UPDATE approvals SET requested_at = \'soon\', authority = \'{"requirements":[{"role":"a","escalate_to":"b"}]}\'',
    "UPDATE approvals SET run_id = x'72'",
    "UPDATE proposals SET reason = x'00ff'",
    "UPDATE proposals SET flags = 'none'",
    "DELETE FROM proposals",
    "DELETE FROM runs",
    "UPDATE runs SET created_at = ''",
    "UPDATE runs SET options = x'00ff', owner_until = x'00'",
    "UPDATE runs SET goal = CAST(x'ff' AS TEXT)",
    "UPDATE runs SET dry_run = 'perhaps'",
    "UPDATE audit SET body = 'no JSON'",
    "UPDATE audit SET at = x'00', event = x'00', run_id = x'00'",
    "UPDATE ledger_meta SET value = x'00ff'",
    "UPDATE ledger_meta SET value = x'00ff' WHERE key = 'audit_head'",
    "UPDATE people SET name = x'00ff'",
    "DROP TABLE approvals",
    "DROP TABLE ledger_meta",
    "ALTER TABLE ledger_meta RENAME TO kept; CREATE VIEW ledger_meta AS SELECT * FROM kept",
]


@pytest.fixture
def tampered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "signoff.db"
    monkeypatch.setenv("SIGNOFF_DATABASE", str(path))
    with closing(Ledger(path, hooks=())) as ledger:
        ledger.people.give("ann", "finance", by="root")
        ledger.runs.begin("r-1", 1, team="t", goal="g")
        ledger.approvals.ask(Question("p-1", "r-1", "pay", {"to": "ann"}, "due", "external", "w"), expires_in=None)
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_no_command_ends_in_a_traceback(tampered: Path, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(tampered, isolation_level=None)) as raw:
        raw.executescript(change)
    assert tell(lambda: audit.verify(None, None, None))
    assert tell(lambda: db.check(None))
    for call in (lambda: lists.show("r-1"), lists.approvals, lists.runs, lambda: lists.people(None, None, "")):
        tell(call)
    assert "Whole" not in capsys.readouterr().out


def tell(call: Any) -> bool:
    """Call a command; whether it says that something is wrong. Any error but one of signoff's own fails the test."""
    try:
        return bool(call())
    except (SignoffError, sqlite3.Error):  # which the command line tells in one line
        return True
