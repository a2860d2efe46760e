"""A database that was tampered with is told in lines, never in a traceback, whatever command meets it."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from signoff.checkpoints.ledger import Ledger, Question
from signoff.desk.cli import audit, db, lists
from signoff.errors import SignoffError

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
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "signoff.db"
    monkeypatch.setenv("SIGNOFF_DATABASE", str(path))
    with closing(Ledger(path, hooks=())) as ledger:
        ledger.people.give("ann", "finance", by="root")
        ledger.runs.begin("r-1", 1, team="t", goal="g")
        ledger.approvals.ask(Question("p-1", "r-1", "pay", {"to": "ann"}, "due", "external", "w"), expires_in=None)
    return path


@pytest.mark.parametrize("change", CHANGES)
def test_no_command_ends_in_a_traceback(database: Path, change: str, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(sqlite3.connect(database, isolation_level=None)) as raw:
        raw.executescript(change)
    assert tell(lambda: audit.verify(None, None, None))
    assert tell(lambda: db.check(None))
    for call in (lambda: lists.show("r-1"), lists.approvals, lists.runs, lambda: lists.people(None, None, None)):
        tell(call)
    assert "Whole" not in capsys.readouterr().out


def tell(call: Any) -> bool:
    """Call a command; whether it says that something is wrong. Any error but one of signoff's own fails the test."""
    try:
        return bool(call())
    except (SignoffError, sqlite3.Error):  # which the command line tells in one line
        return True
