"""Every column of every table is changed behind the ledger's back, every row deleted and copied: the audit log tells.

The cases come from the tables themselves, so that a column that is added later is compared with the log, or is named
below with the reason why it is not. docs/audit.md says the same to users.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from sqlalchemy import Boolean, Column, Float, Integer, Table, insert, select, update

from signoff.checkpoints.canonical import canonical_json
from signoff.checkpoints.db.sqlite import COPIED_AT
from signoff.checkpoints.jobs import NewJob, make_tables
from signoff.checkpoints.ledger import schema
from signoff.checkpoints.ledger.approval import Authority, Person, Question, Requirement
from signoff.checkpoints.ledger.audit_log import FIRST, link
from signoff.checkpoints.ledger.budgets.amounts import Amount, Budget, CallRecord, Scope
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import DatabaseUnusable
from signoff.settings import Settings

RENEWED: Final = "renewed all the time while somebody is at work"
PASSING: Final = "there while a call of a model goes on, and given back when it ends"
LEARNED: Final = "learned again from the next answers of the endpoint"
OUTBOX: Final = "what is to be sent, and how often it was tried: nothing is decided by it"
TOLD_OF: Final = "tells of a call, and is added up in nothing that limits one"
HIDES: Final = "hides a question from one person's list for a while, and decides nothing"
PACE: Final = "says how fast work goes, not what is done"
STANDS: Final = "where the work stands: what comes of it is in the rows of its run"
TOLD: Final = "says that people were told of what is wrong, and is looked at anew all the time"
ITSELF: Final = "tells copies in memory that they are old, or that the file is a copy, once"

NOT_COMPARED: Final[Mapping[str, Mapping[str, str]]] = {
    "runs": {"owner_until": RENEWED, "beat_at": RENEWED},
    "effects": {"claimed_until": RENEWED},
    "holds": dict.fromkeys(schema.holds.c.keys(), PASSING),
    "snoozes": dict.fromkeys(schema.snoozes.c.keys(), HIDES),
    "rates": dict.fromkeys(schema.rates.c.keys(), LEARNED),
    "notices": dict.fromkeys(schema.notices.c.keys(), OUTBOX),
    "jobs": dict.fromkeys(
        "status turn answers attempts claim worker claimed_at wanted wanted_by error queued_at started_at "
        "ended_at misfit".split(),
        STANDS,
    ),
    "schedules": dict.fromkeys(schema.schedules.c.keys(), PACE),
    "alerts": dict.fromkeys(schema.alerts.c.keys(), TOLD),
    "job_limits": dict.fromkeys(schema.job_limits.c.keys(), PACE),
    "workers": dict.fromkeys(schema.workers.c.keys(), RENEWED),
    "usage": dict.fromkeys(
        "id at tier model endpoint outcome cached_tokens reasoning_tokens dearest_nusd assumed".split(), TOLD_OF
    ),
}
META_NOT_COMPARED: Final = {schema.BOOKS_PAGE: ITSELF, COPIED_AT: ITSELF}
"""Rows of ledger_meta whose value is not compared."""

MOMENT: Final = "2026-01-31T09:30:00.000000Z"
DAY: Final = "2026-01-31"
LATE: Final = Authority((Requirement("finance", "board", 0.000001),), quorum=2)

Line = dict[str, Any]
"""A row, by column."""


def live_through(ledger: Ledger, address: str = "") -> None:
    """Have a row, with something in every column, in every table; `address` is its database's, if that is no file."""
    ledger.people.give("ann", "finance", by="root")
    ledger.people.give_key(Person("ann", vouched=frozenset({"finance"})), "token", days=1, by="root")
    ledger.runs.begin("r-1", 1, team="office", goal="pay, password=hunter2", options={"depth": 2}, requested_by="joe")
    ledger.runs.begin("r-2", 1, team="office", goal="[redacted]", requested_by="joe", dry_run=True)
    ledger.runs.set_status("r-2", "waiting", "pay waits")
    ledger.runs.cancel("r-2", by="joe")
    question = Question("p-1", "r-1", "pay", {"to": "ann"}, "due", "external", "clerk", ("an order",))
    paid = ledger.effects.claim(ledger.approvals.allow(question, why="small"), owner="host:1:1").effect
    ledger.effects.lose(paid.key, "the line went dead")
    ledger.effects.reclaim(paid, owner="host:1:1")
    ledger.effects.finish(paid.key, {"receipt": 1, "password": "hunter2"})
    ledger.effects.finish(paid.key, {"receipt": 0}, claim=1)
    unpaid = Question("p-3", "r-1", "pay", {"to": "bob"}, "due", "external", "clerk")
    ledger.effects.fail(ledger.effects.claim(ledger.approvals.allow(unpaid), owner="host:1:1").effect.key, "no account")
    asked = ledger.approvals.ask(
        Question("p-2", "r-1", "pay", {}, "due", "external", "clerk"), expires_in=3600, authority=LATE
    )
    ledger.approvals.sweep()
    ledger.approvals.approve(asked.id, by="ann", reason="fine")
    ledger.inbox.snooze(asked.id, "ann", until=MOMENT)
    ledger.approvals.begin_answer(asked.id, "bob")
    ledger.mark_copied()
    ledger.runs.claim("r-1", "host:boot:1:1:1", seconds=60)
    spend(ledger)
    make_tables(ledger, address or ledger.database)
    job = NewJob(id="a-1", team="office", goal="pay, password=hunter2", options={"depth": 2}, deadline="9999")
    ledger.jobs.submit([job], by="joe")
    assert ledger.alerts.look(Settings(alerts={"queue_age": 1e-6}))
    ledger.workers.join("host:1:1", places=1)
    ledger.schedules.add("weekly", "0 8 * * 1", job, by="joe")
    ledger.jobs.limits.set("team", "office", 4, by="joe")
    with ledger.write() as connection:
        held = {
            "number": 1,
            "id": "h-1",
            "scopes": '["run:r-9"]',
            **Amount(1, 1, 1, 1)._asdict(),
            "owner": "host:1:1",
            "until": MOMENT,
        }
        connection.execute(insert(schema.holds).values(held))
        connection.execute(insert(schema.rates).values(key="api", state="{}", version=1, at=1.5))
        notice = dict.fromkeys(("id", "hook", "event", "run_id", "body", "status", "sender", "error"), "a")
        connection.execute(
            insert(schema.notices).values(**notice, at=MOMENT, next_at=MOMENT, sender_until=MOMENT, tries=1)
        )
        schema.write_meta(connection, COPIED_AT, MOMENT)


def spend(ledger: Ledger) -> None:
    names = ("agent:r-1/clerk", "run:r-1", f"team:office@{DAY}", f"day:{DAY}")
    spent = Amount(nusd=5, tokens=7, steps=1, ms=9)
    call = CallRecord(run_id="r-1", team="office", role="clerk", day=DAY, nusd=5, input_tokens=4, output_tokens=3, ms=9)
    hold = ledger.budgets.reserve([Scope(name, Budget(usd=1)) for name in names], spent, seconds=60)
    hold.settle(spent, call)
    for name in names:
        ledger.budgets.raise_limit(name, Budget(usd=1), key="p-9")


@dataclass(frozen=True)
class Victim:
    """A ledger in a file whose rows are changed by SQL, and put back."""

    ledger: Ledger
    raw: sqlite3.Connection

    def lines(self, table: str) -> list[Line]:
        found = self.raw.execute(f"SELECT * FROM {table}")
        return [dict(zip([name for name, *_ in found.description], row, strict=True)) for row in found.fetchall()]

    def write(self, table: str, lines: list[Line]) -> None:
        self.raw.execute("BEGIN")
        self.raw.execute(f"DELETE FROM {table}")
        for line in lines:
            names, marks = ", ".join(line), ", ".join("?" * len(line))
            self.raw.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(line.values()))
        self.raw.execute("COMMIT")

    def finds(self, table: str, lines: list[Line]) -> bool:
        """Whether it is found that the table holds these rows."""
        before = self.lines(table)
        self.write(table, lines)
        try:
            return not self.ledger.audit.verify().ok
        finally:
            self.write(table, before)


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    path = tmp_path_factory.mktemp("audit") / "signoff.db"
    ledger = Ledger(path, hooks=())
    live_through(ledger)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        yield Victim(ledger, raw)
    ledger.close()


def is_compared(table: Table, column: Column[Any], line: Line) -> bool:
    if table is schema.ledger_meta and column.name == "value":
        return line["key"] not in META_NOT_COMPARED
    return column.name not in NOT_COMPARED.get(table.name, {})


def others(column: Column[Any], value: Any, *, all_of_them: bool) -> list[Any]:
    """Values of the same kind that a row might as well have."""
    if isinstance(column.type, Boolean):
        return [1 - value]
    if isinstance(column.type, Integer | Float):
        return [value + 1, value - 1]
    texts = ["", MOMENT, f"{value}x"]
    texts += (
        [f"{value}\0", str(value).upper(), "[]", "{}", "approved", "9999-01-31T09:30:00.000000Z"] if all_of_them else []
    )
    return [text for text in texts if text != value]


TABLES = pytest.mark.parametrize("table", schema.metadata.tables.values(), ids=lambda table: str(table.name))


def missed_changes(victim: Victim, table: Table, *, all_of_them: bool) -> list[tuple[str, Any, Any]]:
    """Changes of one column of one row, of the fullest row or of any, that are not found."""
    lines, missed = victim.lines(table.name), []
    places = sorted(range(len(lines)), key=lambda place: list(lines[place].values()).count(""))
    for place in places if all_of_them else places[:1]:
        line = lines[place]
        for column in table.c:
            value, wrong = line[column.name], [f"{line[column.name]}\xff".encode("latin-1")]
            if is_compared(table, column, line):
                wrong += others(column, value, all_of_them=all_of_them)
            for other in wrong:
                changed = [*lines[:place], {**line, column.name: other}, *lines[place + 1 :]]
                try:
                    is_found = victim.finds(table.name, changed)
                except sqlite3.IntegrityError:  # there is such a row already, or no number in place of a row's own
                    victim.raw.execute("ROLLBACK")
                    continue
                if not is_found:
                    missed.append((column.name, value, other))
    return missed


def test_what_the_ledger_itself_does_agrees_and_leaves_no_column_empty(victim: Victim) -> None:
    assert victim.ledger.audit.verify().problems == ()
    for table in schema.metadata.tables.values():
        lines = victim.lines(table.name)
        assert lines, table.name
        for column in table.c:
            if column.name not in NOT_COMPARED.get(table.name, {}):
                assert any(line[column.name] not in ("", 0) for line in lines), column


@TABLES
def test_a_column_that_is_changed_in_any_table_is_found(victim: Victim, table: Table) -> None:
    assert missed_changes(victim, table, all_of_them=False) == []


@pytest.mark.hunt
@TABLES
def test_any_column_of_any_row_that_is_changed_into_anything_is_found(victim: Victim, table: Table) -> None:
    assert missed_changes(victim, table, all_of_them=True) == []


@TABLES
def test_any_row_that_is_deleted_or_copied_is_found(victim: Victim, table: Table) -> None:
    lines, missed = victim.lines(table.name), []
    compared = [column.name for column in table.c if column.name not in NOT_COMPARED.get(table.name, {})]
    for place, line in enumerate(lines if compared else ()):
        if line.get("key") not in META_NOT_COMPARED and not victim.finds(
            table.name, lines[:place] + lines[place + 1 :]
        ):
            missed.append(("deleted", line))
        for column in table.primary_key:
            value = line[column.name]
            copy = {**line, column.name: value + 1_000 if isinstance(value, int) else f"{value}x"}
            if table is schema.approvals:
                copy["proposal_id"] = "p-9"
            if not victim.finds(table.name, [*lines, copy]):
                missed.append(("copied", copy))
    assert missed == []


NEW_FACTS: Final = frozenset(
    "driver options created_at updated_at owner approval expires_at required escalated_at roles voted_at proposal "
    "claim finished_at earlier decided_at redacted_sha256".split()
)
NEW_EVENTS: Final = ("taken", "let go", "answering", "raised")


def test_what_an_older_signoff_did_not_log_is_not_compared(tmp_path: Path) -> None:
    """The log as the version before would have written it: with fewer facts, and without some entries."""
    with closing(Ledger(tmp_path / "signoff.db", hooks=())) as ledger:
        live_through(ledger)
        with closing(sqlite3.connect(tmp_path / "signoff.db", isolation_level=None)) as raw:
            before, seq = FIRST, 0
            rows = raw.execute("SELECT at, run_id, event, body FROM audit ORDER BY seq").fetchall()
            raw.execute("DELETE FROM audit")
            for at, run_id, event, body in rows:
                if event in NEW_EVENTS:
                    continue
                kept = {name: fact for name, fact in json.loads(body).items() if name not in dropped_from(event)}
                seq, text = seq + 1, canonical_json(kept)
                before = link(before, seq, at, run_id, event, text)
                raw.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", (seq, at, run_id, event, text, before))
            raw.execute("UPDATE ledger_meta SET value = ? WHERE key = 'audit_head'", (f"{seq}:{before}",))
        assert ledger.audit.verify().problems == ()
        ledger.runs.set_status("r-2", "running")
        ledger.budgets.raise_limit("run:r-1", Budget(usd=1), key="p-10")
        ledger.runs.claim("r-2", "host:boot:1:2:1", seconds=60)
        assert ledger.audit.verify().problems == ()


def dropped_from(event: str) -> frozenset[str]:
    """The facts that entries of this event had not."""
    had = {"asked": "approval expires_at", "proposed": "proposal", "policy": "proposal", "ended late": "claim"}
    had |= dict.fromkeys(("approved", "rejected", "voted", "escalated", "claimed", "edited"), "approval")
    return NEW_FACTS - set(had.get(event, "").split())


def test_every_exception_is_of_a_column_there_is() -> None:
    named = {(table, column) for table, columns in NOT_COMPARED.items() for column in columns}
    assert named <= {(table.name, column.name) for table in schema.metadata.tables.values() for column in table.c}


@pytest.mark.hunt
@TABLES
def test_a_column_that_is_changed_in_a_server_is_found(address: str, table: Table) -> None:
    with closing(Ledger(address, hooks=())) as ledger:
        live_through(ledger, address)
        assert ledger.audit.verify().problems == ()
        for column in table.c:
            with ledger.read() as connection:
                lines = [dict(row) for row in connection.execute(select(table)).mappings()]
            before = next(line for line in lines if line.get("key") not in META_NOT_COMPARED)
            is_key = [each == before[each.name] for each in table.primary_key]
            for other in others(column, before[column.name], all_of_them=False):
                if not is_compared(table, column, before):
                    continue
                with suppress(DatabaseUnusable), ledger.write() as connection:  # a reference that is checked
                    connection.execute(update(table).where(*is_key).values({column.name: other}))
                with ledger.read() as connection:
                    is_changed = before not in [dict(row) for row in connection.execute(select(table)).mappings()]
                if is_changed:
                    assert not ledger.audit.verify().ok, (column, other)
                    was = [each == (other if each is column else before[each.name]) for each in table.primary_key]
                    with ledger.write() as connection:
                        connection.execute(update(table).where(*was).values({column.name: before[column.name]}))
