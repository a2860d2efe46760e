"""The audit log in both kinds of database: written with what it tells of, without secrets, and readable by anybody."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import SettingsError

FIRST = "0" * 64


def append(ledger: Ledger, *events: str, run: str = "r-1", **body: Any) -> None:
    for event in events:
        with ledger.write() as connection:
            ledger.audit.append(connection, run, event, **body)


def change(ledger: Ledger, statement: str) -> None:
    with ledger.write() as connection:
        connection.execute(text(statement))


def problems(ledger: Ledger, *kept: str) -> list[tuple[int, int, str]]:
    return [(problem.seq, problem.last, problem.what) for problem in ledger.audit.verify(*kept).problems]


def test_a_log_verifies_while_it_grows_and_every_head_of_it_stays_good(ledger: Ledger) -> None:
    heads = [ledger.audit.head()]
    assert heads == [f"0:{FIRST}"]
    assert ledger.audit.verify(*heads).ok
    for number in range(1, 6):
        append(ledger, "event", number=number)
        heads.append(ledger.audit.head())
        found = ledger.audit.verify(*heads)
        assert (found.ok, found.entries, found.head) == (True, number, heads[-1])


def test_an_entry_that_is_rolled_back_leaves_no_trace(ledger: Ledger) -> None:
    append(ledger, "event")
    head = ledger.audit.head()
    with ledger.write() as connection:
        ledger.audit.append(connection, "r-1", "event")
        connection.rollback()
    assert ledger.audit.head() == head
    append(ledger, "event")
    assert ledger.audit.verify(head).ok


def test_whatever_text_is_written_verifies(ledger: Ledger) -> None:
    texts = ["\0", "\ud800", "é😀\u2028", '"\\', "a\nb", "[redacted]", "x" * 100_000]
    for strange in texts:
        append(ledger, "event", run=f"r-{strange[:9]}", said=strange, inner=[{strange: 1.5}], large=10**30, none=None)
    assert ledger.audit.verify().ok
    lines = [json.loads(json.dumps(entry)) for entry in ledger.audit.export()]
    assert [line["body"]["said"] for line in lines if "\\" not in line["body"]["said"]] == [
        "\0",
        *texts[2:3],
        *texts[4:],
    ]


def test_secrets_are_redacted_before_they_are_written(ledger: Ledger, database: str, tmp_path: Path) -> None:
    append(ledger, "proposed", args={"password": "hunter2", "note": "Bearer mF_9.B5f-4.1JqM"}, tokens=120)
    (entry,) = ledger.audit.entries()
    assert entry.body == {"args": {"password": "[redacted]", "note": "Bearer [redacted]"}, "tokens": 120}
    ledger.close()
    if "://" not in database:
        kept = b"".join(path.read_bytes() for path in tmp_path.glob("signoff.db*"))
        assert b"redacted" in kept
        assert b"hunter2" not in kept


def test_an_export_can_be_recomputed_by_anybody(ledger: Ledger) -> None:
    append(ledger, "one", "two", "three", by="Ann", at=1.5, of=["é", {"b": None, "a": True}])
    before = FIRST
    for line in map(json.loads, map(json.dumps, ledger.audit.export())):
        assert list(line) == ["seq", "at", "run", "event", "body", "before", "hash"]
        fields = [before, line["seq"], line["at"], line["run"], line["event"], line["body"]]
        chained = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert line["before"] == before
        assert line["hash"] == hashlib.sha256(chained.encode()).hexdigest()
        before = line["hash"]
    assert ledger.audit.head() == f"3:{before}"


def test_the_export_of_one_run_tells_what_each_entry_follows_from(ledger: Ledger) -> None:
    append(ledger, "one", run="r-1")
    append(ledger, "two", run="r-2")
    append(ledger, "three", run="r-1")
    every = list(ledger.audit.export())
    assert list(ledger.audit.export("r-1")) == [every[0], every[2]]
    assert every[2]["before"] == every[1]["hash"]
    assert list(ledger.audit.export("r-9")) == []
    change(ledger, "DELETE FROM audit WHERE seq = 2")
    assert [line["before"] for line in ledger.audit.export("r-1")] == [FIRST, None]


def test_an_export_is_of_one_moment_and_of_any_length(ledger: Ledger) -> None:
    with ledger.write() as connection:
        for _ in range(2500):
            ledger.audit.append(connection, "r-1", "event")
    lines = ledger.audit.export()
    assert next(lines)["seq"] == 1
    append(ledger, "later")
    assert len(list(lines)) == 2499
    assert ledger.audit.verify().entries == 2501


def test_a_log_that_was_tampered_with_stops_nobody_and_stays_broken(ledger: Ledger) -> None:
    append(ledger, *["event"] * 5)
    change(ledger, "DELETE FROM audit WHERE seq = 5")
    append(ledger, "later", "later")
    assert [entry.seq for entry in ledger.audit.entries()] == [1, 2, 3, 4, 6, 7]
    change(ledger, "UPDATE audit SET event = 'other' WHERE seq = 2")
    assert problems(ledger) == [
        (2, 2, "entry 2 does not follow from entry 1: it was changed, or what is before it was"),
        (5, 5, "entry 5 is missing; without that, entry 6 cannot be checked"),
    ]


def test_what_was_slipped_in_at_the_end_stays_apart_from_what_is_written_later(ledger: Ledger) -> None:
    append(ledger, "event", "event")
    change(ledger, f"INSERT INTO audit VALUES (3, 'at', 'r-1', 'approved by nobody', '{{}}', '{FIRST}')")
    assert "more than the head knows of" in problems(ledger)[-1][2]
    append(ledger, "later")
    append(ledger, "later")
    assert [place[:2] for place in problems(ledger)] == [(3, 4)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger_meta WHERE key = 'audit_head'",
        "UPDATE ledger_meta SET value = 'nothing' WHERE key = 'audit_head'",
    ],
)
def test_a_head_that_is_gone_is_found_ever_after(ledger: Ledger, statement: str) -> None:
    append(ledger, "event", "event")
    change(ledger, statement)
    assert "head" in problems(ledger)[0][2]
    append(ledger, "later")
    append(ledger, "later")
    assert problems(ledger) == [
        (3, 3, "entry 3 begins a new chain: when it was written, the head was gone or unreadable")
    ]


def test_an_emptied_log_is_found_by_its_head(ledger: Ledger) -> None:
    append(ledger, "event", "event")
    change(ledger, "DELETE FROM audit")
    assert problems(ledger) == [(1, 2, "entries 1 to 2 are missing at the end: the log was cut off")]
    change(ledger, "DELETE FROM ledger_meta WHERE key = 'audit_head'")
    assert problems(ledger) == [(0, 0, "the head is missing, so nothing tells whether the log was cut off")]


def test_what_is_no_head_is_refused(ledger: Ledger) -> None:
    for wrong in ("", "1", "1:abc", f"x:{FIRST}", f"-1:{FIRST}", FIRST):
        with pytest.raises(SettingsError, match="NUMBER:HASH"):
            ledger.audit.verify(wrong)


def test_bytes_that_are_no_text_are_found_and_not_stumbled_over(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "signoff.db", hooks=())) as ledger:
        append(ledger, "event", "event", "event")
        with closing(sqlite3.connect(tmp_path / "signoff.db", isolation_level=None)) as raw:
            raw.execute("UPDATE audit SET body = CAST(x'7bff7d' AS TEXT) WHERE seq = 2")
        assert [place[:2] for place in problems(ledger)] == [(2, 2)]
        assert [line["body"] for line in ledger.audit.export()] == [{}, "{\\xff}", {}]


def test_a_head_that_was_never_the_logs_is_found(ledger: Ledger) -> None:
    append(ledger, "event", "event")
    assert [place[:2] for place in problems(ledger, f"2:{'a' * 64}")] == [(1, 2)]
    assert [place[:2] for place in problems(ledger, f"7:{'a' * 64}")] == [(3, 7)]


def test_a_number_that_is_there_twice_is_found_in_a_table_without_its_key(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "signoff.db", hooks=())
    for _ in range(5):
        with ledger.write() as connection:
            ledger.audit.append(connection, "r-1", "event")
    with closing(sqlite3.connect(tmp_path / "signoff.db", isolation_level=None)) as raw:
        raw.execute("CREATE TABLE copy AS SELECT * FROM audit")
        raw.execute("DROP TABLE audit")
        raw.execute("ALTER TABLE copy RENAME TO audit")
        shape = problems(ledger)
        assert {place[0] for place in shape} == {0}
        assert "the table audit has another primary key" in str(shape)
        raw.execute("INSERT INTO audit SELECT * FROM audit WHERE seq = 3")
        assert problems(ledger) == [(3, 3, "entry 3 was inserted: its number is there twice"), *shape]
        raw.execute("INSERT INTO audit VALUES ('four', 1, 2, 3, 4, 5)")
        assert [problem.seq for problem in ledger.audit.verify().problems if problem.seq] == [3, 6]
    ledger.close()


def test_a_chain_of_version_1_still_verifies_and_goes_on(tmp_path: Path) -> None:
    """Written by signoff 0.1, with its formula: the digest of the list of the values."""
    path, before = tmp_path / "signoff.db", FIRST
    with closing(Ledger(path, hooks=())) as ledger:
        ledger.audit.head()
        with closing(sqlite3.connect(path, isolation_level=None)) as raw:
            for seq in range(1, 4):
                body = {"by": "Ann é", "result": '{"path":"report.md"}', "of": [seq, None, 1.5]}
                values = [before, seq, "2026-01-31T09:30:00.000000Z", "r-1", "noted", body]
                chained = json.dumps(values, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                before = hashlib.sha256(chained.encode()).hexdigest()
                kept = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
                raw.execute("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", (*values[1:5], kept, before))
            raw.execute("UPDATE ledger_meta SET value = ? WHERE key = 'audit_head'", (f"3:{before}",))
        append(ledger, "later")
        assert problems(ledger) == []
        assert ledger.audit.verify().entries == 4
