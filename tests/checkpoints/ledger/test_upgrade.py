"""A database that an older signoff wrote is brought up to date, whole or not at all."""

import hashlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

import pytest
import warm
from sqlalchemy import create_engine, inspect, text

from signoff.checkpoints.ledger.budgets import NANO, Amount, Budget, CallRecord, Scope
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.schema import SCHEMA_VERSION
from signoff.errors import DatabaseUnusable

FIRST_VERSION = """
CREATE TABLE ledger_meta ("key" VARCHAR(40) NOT NULL, value TEXT NOT NULL, PRIMARY KEY ("key"));
CREATE TABLE runs (id VARCHAR(200) NOT NULL, team VARCHAR(100) NOT NULL, goal TEXT NOT NULL, options TEXT NOT NULL,
    status VARCHAR(20) NOT NULL, note TEXT NOT NULL, driver VARCHAR(20) NOT NULL, created_at VARCHAR(30) NOT NULL,
    updated_at VARCHAR(30) NOT NULL, owner VARCHAR(200) NOT NULL, owner_until VARCHAR(30) NOT NULL, PRIMARY KEY (id));
CREATE TABLE audit (seq INTEGER NOT NULL, at VARCHAR(30) NOT NULL, run_id VARCHAR(200) NOT NULL,
    event VARCHAR(40) NOT NULL, body TEXT NOT NULL, hash VARCHAR(64) NOT NULL, PRIMARY KEY (seq));
CREATE INDEX audit_by_run ON audit (run_id, seq);
CREATE TABLE proposals (id VARCHAR(80) NOT NULL, run_id VARCHAR(200) NOT NULL, action VARCHAR(100) NOT NULL,
    args TEXT NOT NULL, args_sha256 VARCHAR(64) NOT NULL, reason TEXT NOT NULL, risk VARCHAR(20) NOT NULL,
    proposed_by VARCHAR(100) NOT NULL, created_at VARCHAR(30) NOT NULL, PRIMARY KEY (id),
    FOREIGN KEY(run_id) REFERENCES runs (id));
CREATE TABLE approvals (id VARCHAR(80) NOT NULL, proposal_id VARCHAR(80) NOT NULL, run_id VARCHAR(200) NOT NULL,
    shown_sha256 VARCHAR(64) NOT NULL, status VARCHAR(20) NOT NULL, requested_at VARCHAR(30) NOT NULL,
    expires_at VARCHAR(30) NOT NULL, decided_by VARCHAR(200) NOT NULL, decided_at VARCHAR(30) NOT NULL,
    reason TEXT NOT NULL, args TEXT NOT NULL, args_sha256 VARCHAR(64) NOT NULL, PRIMARY KEY (id), UNIQUE (proposal_id),
    FOREIGN KEY(proposal_id) REFERENCES proposals (id), FOREIGN KEY(run_id) REFERENCES runs (id));
CREATE INDEX approvals_by_status ON approvals (status, requested_at);
CREATE TABLE effects ("key" VARCHAR(64) NOT NULL, run_id VARCHAR(200) NOT NULL, proposal_id VARCHAR(80) NOT NULL,
    approval_id VARCHAR(80) NOT NULL, action VARCHAR(100) NOT NULL, status VARCHAR(20) NOT NULL,
    claimed_by VARCHAR(200) NOT NULL, claimed_at VARCHAR(30) NOT NULL, finished_at VARCHAR(30) NOT NULL,
    result TEXT NOT NULL, error TEXT NOT NULL, PRIMARY KEY ("key"), FOREIGN KEY(run_id) REFERENCES runs (id),
    FOREIGN KEY(proposal_id) REFERENCES proposals (id), FOREIGN KEY(approval_id) REFERENCES approvals (id));
INSERT INTO ledger_meta VALUES ('schema', '1');
"""

AT = "2026-01-31T09:30:00.000000Z"
ARGS = '{"to":"ann"}'
DIGEST = hashlib.sha256(ARGS.encode()).hexdigest()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(tmp_path / "signoff.db", FIRST_VERSION)


def write(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def fill(path: Path) -> None:
    """A run that waits for a decision, as signoff 0.1 would have left it."""
    rows = [
        f"INSERT INTO runs VALUES ('r-1', 't', 'g', '{{}}', 'waiting', '', 'graph', '{AT}', '{AT}', '', '')",
        f"INSERT INTO proposals VALUES ('p-1', 'r-1', 'send', '{ARGS}', '{DIGEST}', 'due', 'external', 'w', '{AT}')",
        f"INSERT INTO approvals VALUES ('a-1', 'p-1', 'r-1', '{DIGEST}', 'pending', '{AT}', '', '', '', '', '', '')",
        *(f"INSERT INTO audit VALUES ({n}, '{AT}', 'r-1', 'started', '{{}}', '{n:064}')" for n in (1, 2)),
    ]
    write(path, ";".join(rows))


def ask(path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(query).fetchall()


def shape(path: Path) -> dict[str, object]:
    """Columns, keys and indexes of every table."""
    engine = create_engine(f"sqlite:///{path}")
    found = inspect(engine)
    shapes: dict[str, object] = {}
    for table in found.get_table_names():
        columns: list[tuple[object, ...]] = [
            (c["name"], c["nullable"], str(c["default"]).replace("false", "0")) for c in found.get_columns(table)
        ]
        columns.append(("primary key", *found.get_pk_constraint(table)["constrained_columns"]))
        keys = [(k["constrained_columns"], k["referred_table"]) for k in found.get_foreign_keys(table)]
        shapes[table] = (
            ordered(columns),
            ordered(keys),
            ordered((i["name"], i["column_names"]) for i in found.get_indexes(table)),
        )
    engine.dispose()
    return shapes


def ordered(rows: Iterable[object]) -> list[object]:
    return sorted(rows, key=repr)


def test_a_database_of_the_first_version_becomes_like_a_new_one(path: Path, tmp_path: Path) -> None:
    Ledger(path).runs.list()
    Ledger(tmp_path / "new.db").runs.list()
    assert shape(path) == shape(tmp_path / "new.db")
    meta = "SELECT * FROM ledger_meta ORDER BY key"
    assert ask(path, meta) == ask(tmp_path / "new.db", meta)


TENTH = (
    "DROP INDEX jobs_by_submission",
    "DROP INDEX jobs_by_end",
    "DROP INDEX jobs_by_status",
    "CREATE INDEX jobs_by_status ON jobs (status, tenant)",
)
NINTH = (
    "CREATE TABLE calls AS SELECT * FROM usage",
    "DROP TABLE usage",
    """CREATE TABLE usage (id TEXT NOT NULL, at TEXT NOT NULL, day TEXT NOT NULL, run_id TEXT NOT NULL,
        team TEXT NOT NULL, role TEXT NOT NULL, tier TEXT NOT NULL, model TEXT NOT NULL, endpoint TEXT NOT NULL,
        outcome TEXT NOT NULL, input_tokens BIGINT NOT NULL, cached_tokens BIGINT NOT NULL,
        output_tokens BIGINT NOT NULL, reasoning_tokens BIGINT NOT NULL, nusd BIGINT NOT NULL,
        dearest_nusd BIGINT NOT NULL, assumed BOOLEAN NOT NULL, ms BIGINT NOT NULL, PRIMARY KEY (id))""",
    "INSERT INTO usage SELECT * FROM calls",
    "DROP TABLE calls",
    "CREATE INDEX usage_by_run ON usage (run_id)",
    "CREATE INDEX usage_by_day ON usage (day)",
    "CREATE TABLE held AS SELECT id, scopes, nusd, tokens, steps, ms, owner, until, ends, call FROM holds",
    "DROP TABLE holds",
    """CREATE TABLE holds (id TEXT NOT NULL, scopes TEXT NOT NULL, nusd BIGINT NOT NULL, tokens BIGINT NOT NULL,
        steps BIGINT NOT NULL, ms BIGINT NOT NULL, owner TEXT NOT NULL, until TEXT NOT NULL,
        ends FLOAT DEFAULT '0' NOT NULL, call TEXT DEFAULT '{}' NOT NULL, PRIMARY KEY (id))""",
    "INSERT INTO holds SELECT * FROM held",
    "DROP TABLE held",
    "DROP INDEX runs_by_status",
)
EIGHTH = (
    "DROP TABLE alerts",
    "DROP INDEX jobs_by_worker",
    "ALTER TABLE jobs DROP COLUMN misfit",
    "ALTER TABLE runs DROP COLUMN cancelled_by",
)
SEVENTH = ("DROP TABLE jobs", "DROP TABLE job_limits", "DROP TABLE schedules", "DROP TABLE workers")
SIXTH = (
    "DROP TABLE keys",
    "DROP TABLE snoozes",
    "DROP INDEX runs_by_creation",
    "DROP INDEX approvals_by_decision",
)
FIFTH = ("ALTER TABLE holds DROP COLUMN ends", "ALTER TABLE holds DROP COLUMN call")
FOURTH = ("ALTER TABLE runs DROP COLUMN copied_at", "ALTER TABLE effects DROP COLUMN earlier")
THIRD = (
    "ALTER TABLE runs DROP COLUMN beat_at",
    "ALTER TABLE proposals DROP COLUMN flags",
    *(f"DROP TABLE {table}" for table in ("budgets", "holds", "usage", "rates")),
)
"""What undoes what each version brought."""


@pytest.mark.parametrize(
    ("version", "undo"),
    [
        (2, (*TENTH, *NINTH, *EIGHTH, *SEVENTH, *SIXTH, *FIFTH, *FOURTH, *THIRD)),
        (3, (*TENTH, *NINTH, *EIGHTH, *SEVENTH, *SIXTH, *FIFTH, *FOURTH)),
        (4, (*TENTH, *NINTH, *EIGHTH, *SEVENTH, *SIXTH, *FIFTH)),
        (5, (*TENTH, *NINTH, *EIGHTH, *SEVENTH, *SIXTH)),
        (6, (*TENTH, *NINTH, *EIGHTH, *SEVENTH)),
        (7, (*TENTH, *NINTH, *EIGHTH)),
        (8, (*TENTH, *NINTH)),
        (9, TENTH),
    ],
)
def test_a_database_of_a_later_version_becomes_like_a_new_one(
    database: str, version: int, undo: tuple[str, ...]
) -> None:
    ledger = Ledger(database)
    ledger.runs.begin("r-1", 1, team="t", goal="g")
    fresh = columns(ledger)
    with ledger.write() as connection:
        for statement in (*undo, f"UPDATE ledger_meta SET value = '{version}' WHERE key = 'schema'"):
            connection.execute(text(statement))
    ledger.close()
    found = ledger.runs.get("r-1")
    assert (found.goal, found.copied_at, columns(ledger)) == ("g", "", fresh)
    assert ledger.audit.verify().ok
    ledger.close()


def test_calls_and_what_is_held_for_one_are_kept(database: str) -> None:
    ledger, budget = Ledger(database), Budget(usd=1)
    scopes = (Scope("run:r-1", budget), Scope("day:2026-11-30", budget))
    first, second = (ledger.budgets.reserve(scopes, Amount(nusd=NANO // 10), seconds=3600) for _ in range(2))
    first.settle(Amount(nusd=5, steps=1), CallRecord(run_id="r-1", role="writer", nusd=5))
    with ledger.write() as connection:
        for statement in (*TENTH, *NINTH, "UPDATE ledger_meta SET value = '8' WHERE key = 'schema'"):
            connection.execute(text(statement))
    ledger.close()
    assert [(spent.name, round(spent.usd * NANO)) for spent in ledger.spending.by("agent", "r-1")] == [("writer", 5)]
    stands = ledger.budgets.standing("run:r-1")
    assert (stands.spent.nusd, stands.held.nusd) == (5, NANO // 10)
    second.settle(Amount(nusd=7, steps=1), CallRecord(run_id="r-1", role="writer", nusd=7))
    stands = ledger.budgets.standing("run:r-1")
    assert (stands.spent.nusd, stands.held.nusd) == (12, 0)
    assert ledger.audit.verify().ok
    ledger.close()


def columns(ledger: Ledger) -> object:
    """Names, types and defaults of the columns of every table, and the names of the indexes."""
    with ledger.read() as connection:
        found = inspect(connection)
        return {
            table: (
                ordered(
                    (c["name"], str(c["type"]), c["nullable"], str(c["default"])) for c in found.get_columns(table)
                ),
                ordered((i["name"], i["column_names"]) for i in found.get_indexes(table)),
            )
            for table in found.get_table_names()
        }


def test_what_was_asked_can_be_decided_after_the_upgrade(path: Path) -> None:
    fill(path)
    ledger = Ledger(path)
    (approval,) = ledger.approvals.pending()
    assert (approval.id, approval.shown) == ("a-1", {"to": "ann"})
    assert ledger.approvals.reject("a-1", by="ann").status == "rejected"
    assert ledger.runs.get("r-1").goal == "g"


def test_the_head_of_the_audit_log_is_kept_from_the_upgrade_on(path: Path) -> None:
    fill(path)
    Ledger(path).runs.list()
    assert ask(path, "SELECT value FROM ledger_meta WHERE key = 'audit_head'") == [(f"2:{2:064}",)]


def test_an_upgrade_is_done_once(path: Path) -> None:
    fill(path)
    Ledger(path).runs.list()
    before = ask(path, "SELECT * FROM approvals"), ask(path, "SELECT * FROM ledger_meta")
    Ledger(path).runs.list()
    assert (ask(path, "SELECT * FROM approvals"), ask(path, "SELECT * FROM ledger_meta")) == before


KILL = """
import os, signal, sys
from sqlalchemy import Engine, event
from signoff.checkpoints.ledger.ledger import Ledger

def upgrade(path, last):
    seen = 0
    def count(*_):
        nonlocal seen
        seen += 1
        if seen == last:
            os.kill(os.getpid(), signal.SIGKILL)
    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", count)
    Ledger(path).runs.list()

for line in sys.stdin:
    child = os.fork()
    if not child:
        upgrade(sys.argv[1], int(line))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes do not fork on this system")
def test_an_upgrade_that_is_killed_at_any_statement_leaves_the_first_version_whole(path: Path) -> None:
    fill(path)
    content, before = path.read_bytes(), state(path)
    killed = 0
    with warm.start(
        [sys.executable, "-c", KILL, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        while True:
            process.stdin.write(f"{killed + 1}\n")
            process.stdin.flush()
            if int(process.stdout.readline()) == 0:
                break
            killed += 1
            if state(path) != before:  # the last kill comes after the commit, in the reading that follows it
                assert ask(path, "SELECT value FROM ledger_meta WHERE key = 'schema'") == [(str(SCHEMA_VERSION),)]
                restore(path, content)
            assert killed < 200
        process.stdin.close()
    assert killed > 20
    assert [approval.shown for approval in Ledger(path).approvals.pending()] == [{"to": "ann"}]


def state(path: Path) -> object:
    return shape(path), ask(path, "SELECT * FROM ledger_meta"), ask(path, "SELECT * FROM approvals")


def restore(path: Path, content: bytes) -> None:
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    path.write_bytes(content)


def test_processes_that_upgrade_at_once_all_succeed(path: Path) -> None:
    fill(path)
    code = "import sys; from signoff import Ledger; print(Ledger(sys.argv[1]).runs.get('r-1').goal)"
    command = [sys.executable, "-c", code, str(path)]
    started = [warm.start(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [process.communicate(timeout=120)[0] for process in started] == ["g\n"] * 4


def test_an_upgrade_that_cannot_be_done_is_one_line_and_leaves_the_first_version_whole(path: Path) -> None:
    write(path, "CREATE TABLE votes (name TEXT)")
    before = shape(path)
    with pytest.raises(DatabaseUnusable, match="votes"):
        Ledger(path).runs.list()
    assert shape(path) == before
