"""What is done to the tables themselves is found: dropped, replaced, redefined, and what was planted beside them."""

import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from signoff.checkpoints.db.table_shapes import misshapes
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import metadata
from signoff.errors import DatabaseGone, SignoffError

TABLES = sorted(metadata.tables)
IN_BOTH: list[tuple[str, str]] = [
    ("CREATE VIEW seen AS SELECT * FROM approvals", "the view seen was planted"),
    ("DROP INDEX approvals_by_status", "its index approvals_by_status is gone"),
    (
        "DROP INDEX effects_by_run; CREATE INDEX effects_by_run ON effects (run_id) WHERE run_id = 'r-1'",
        "its index effects_by_run is another",
    ),
    (
        "DROP INDEX effects_by_run; CREATE INDEX effects_by_run ON effects (status)",
        "its index effects_by_run is another",
    ),
    ("CREATE UNIQUE INDEX one ON votes (roles)", "the index one was planted"),
    ("CREATE UNIQUE INDEX one ON votes (lower(roles))", "the index one was planted"),
    ("CREATE INDEX one ON votes (lower(roles))", "the index one was planted"),
    ("CREATE INDEX one ON votes (roles) WHERE roles <> '[]'", "the index one was planted"),
    (
        "CREATE TABLE mine (a TEXT REFERENCES approvals (id))",
        "the table mine was planted: it refers to approvals, of which no row goes that it names",
    ),
    ("ALTER TABLE votes ADD COLUMN weight TEXT DEFAULT 'x'", "the table votes has a column weight"),
    ("ALTER TABLE votes DROP COLUMN roles", "the table votes has no column roles any more"),
    ("ALTER TABLE votes RENAME COLUMN roles TO role", "the table votes has no column roles any more"),
    ("ALTER TABLE people RENAME TO persons", "the table people is gone"),
    (
        "ALTER TABLE people RENAME TO persons; CREATE VIEW people AS SELECT name, 'chief' AS role FROM persons",
        "the table people is a view",
    ),
    ("DROP TABLE people; CREATE TABLE people (name TEXT, role TEXT)", "its column name takes other values"),
    ("DROP TABLE rates; CREATE TABLE rates (key TEXT NOT NULL)", "the table rates has no column state any more"),
]
IN_FILES: list[tuple[str, str]] = [
    ("CREATE TRIGGER t AFTER UPDATE ON approvals BEGIN DELETE FROM votes; END", "the trigger t was planted"),
    ("CREATE TABLE mine (a); CREATE TRIGGER t AFTER INSERT ON mine BEGIN DELETE FROM votes; END", "the trigger t was"),
    (
        "DROP TABLE people; CREATE TABLE people (name TEXT NOT NULL COLLATE NOCASE, role TEXT NOT NULL, "
        "PRIMARY KEY (name, role))",
        "the table people was defined anew, with COLLATE",
    ),
    (
        "DROP TABLE people; CREATE TABLE people (name TEXT NOT NULL, role TEXT NOT NULL, "
        "PRIMARY KEY (name, role) ON CONFLICT REPLACE)",
        "the table people was defined anew, with CONFLICT",
    ),
    (
        "DROP TABLE people; CREATE TABLE people (name TEXT NOT NULL, role NOT NULL, PRIMARY KEY (name, role))",
        "its column role is of another type",
    ),
    ("DROP TABLE people; CREATE VIRTUAL TABLE people USING fts5(name, role)", "the table people"),
    (
        "DROP TABLE votes; CREATE TABLE votes (approval_id TEXT NOT NULL REFERENCES approvals (id) ON DELETE CASCADE, "
        "name TEXT NOT NULL, args_sha256 TEXT NOT NULL, roles TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL, "
        "PRIMARY KEY (approval_id, name))",
        "the table votes was defined anew, with CASCADE",
    ),
]
IN_SERVERS: list[tuple[str, str]] = [
    (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; "
        "CREATE TRIGGER t BEFORE UPDATE ON approvals FOR EACH ROW EXECUTE FUNCTION f()",
        "the trigger t was planted",
    ),
    ("CREATE RULE r AS ON DELETE TO votes DO INSTEAD NOTHING", "the rule r was planted"),
    ("CREATE MATERIALIZED VIEW seen AS SELECT * FROM approvals", "the view seen was planted"),
    ("ALTER TABLE votes ADD CONSTRAINT c CHECK (name <> 'ann')", "the constraint c was planted"),
    ("ALTER TABLE votes ADD CONSTRAINT c EXCLUDE (roles WITH =)", "the constraint c was planted"),
    ("ALTER TABLE effects ENABLE ROW LEVEL SECURITY", "has a row security policy"),
    ("ALTER TABLE notices SET UNLOGGED", "does not outlive a crash"),
    ("CREATE TABLE more () INHERITS (people)", "the table people has rows that are kept in other tables"),
    ("ALTER TABLE votes DISABLE TRIGGER ALL", "its references are not checked any more"),
    ("ALTER TABLE approvals DROP CONSTRAINT approvals_proposal_id_key", "other columns without doubles"),
    ("ALTER TABLE runs ALTER COLUMN note DROP NOT NULL", "its column note takes other values"),
    ('ALTER TABLE runs ALTER COLUMN note TYPE TEXT COLLATE "C"', "its column note is of another type"),
    ("ALTER TABLE runs ALTER COLUMN dry_run DROP DEFAULT, ALTER COLUMN dry_run TYPE TEXT", "its column dry_run is of"),
    ("CREATE SCHEMA postgres; CREATE TABLE postgres.people (LIKE public.people INCLUDING ALL)", "in another schema"),
]


def told(ledger: Ledger) -> str:
    return "\n".join(problem.what for problem in ledger.audit.verify().problems)


def check_found(ledger: Ledger, script: str, what: str) -> None:
    """Do this to the database, and see that it is found, and that nothing else ends in an error that is not ours."""
    ledger.people.give("ann", "finance", by="root")
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    assert told(ledger) == ""
    with ledger.write() as connection:
        for statement in (
            script.split("; ") if "plpgsql" not in script and "TRIGGER t AFTER" not in script else parts(script)
        ):
            connection.execute(text(statement))
    assert what in told(ledger)


def parts(script: str) -> list[str]:
    """Its statements, where one of them holds others."""
    first, mark, rest = script.partition("; CREATE TRIGGER")
    return [first, f"CREATE TRIGGER{rest}"] if mark else [script]


@pytest.mark.parametrize(("script", "what"), IN_BOTH, ids=[script[:60] for script, _ in IN_BOTH])
def test_a_table_that_was_changed_in_either_database_is_found(ledger: Ledger, script: str, what: str) -> None:
    check_found(ledger, script, what)


@pytest.mark.parametrize(("script", "what"), IN_FILES, ids=[script[:60] for script, _ in IN_FILES])
def test_a_table_that_was_changed_in_a_file_is_found(tmp_path: Path, script: str, what: str) -> None:
    with closing(Ledger(tmp_path / "signoff.db", hooks=())) as ledger:
        check_found(ledger, script, what)


@pytest.mark.parametrize(("script", "what"), IN_SERVERS, ids=[script[:60] for script, _ in IN_SERVERS])
def test_a_table_that_was_changed_in_a_server_is_found(address: str, script: str, what: str) -> None:
    with closing(Ledger(address, hooks=())) as ledger:
        check_found(ledger, script, what)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_was_dropped_is_found(tmp_path: Path, table: str) -> None:
    with closing(Ledger(tmp_path / "signoff.db", hooks=())) as ledger:
        ledger.runs.begin("r-1", 1, team="t", goal="g")
        with closing(sqlite3.connect(tmp_path / "signoff.db")) as raw:
            raw.execute(f"DROP TABLE {table}")
        assert f"the table {table} is gone" in told(ledger)
    with closing(Ledger(tmp_path / "signoff.db", hooks=())) as ledger:
        if table == "ledger_meta":
            with pytest.raises(DatabaseGone, match="a ledger was here"):
                ledger.audit.verify()
        else:
            assert f"the table {table} is gone" in told(ledger)
            for read in (ledger.runs.list, ledger.approvals.pending, ledger.people.list, ledger.audit.entries):
                answer_or_error(read)


def answer_or_error(call: Any) -> None:
    """Call it; a SignoffError is an answer too."""
    with suppress(SignoffError):
        call()


def test_tables_that_somebody_else_has_in_the_same_schema_are_nobodys_business(address: str) -> None:
    with closing(Ledger(address, hooks=())) as ledger:
        with ledger.write() as connection:
            connection.execute(text("CREATE TABLE photos (id INTEGER PRIMARY KEY)"))
            connection.execute(text("CREATE VIEW seen AS SELECT * FROM photos"))
            connection.execute(text("CREATE INDEX quicker ON approvals (decided_at)"))
        assert told(ledger) == ""
        with ledger.read() as connection:
            assert misshapes(connection, metadata) == []
