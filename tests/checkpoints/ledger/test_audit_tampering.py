"""A log of 12 entries is changed by raw SQL in every way that touches one or two rows: each change is found, and where.

What no chain can tell, because the log is one afterwards, is told by a head that was kept elsewhere.
"""

import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import Any, Self

import pytest
from hunts import Part
from hypothesis import HealthCheck, given, settings, strategies as st

from signoff.checkpoints.ledger.audit_agreement import Problem
from signoff.checkpoints.ledger.audit_log import Verification
from signoff.checkpoints.ledger.ledger import Ledger

ENTRIES = 12
FIRST = "0" * 64
COLUMNS = ("seq", "at", "run_id", "event", "body", "hash")
SEQ, AT, RUN, EVENT, BODY, HASH = range(6)

Line = list[Any]
"""An entry's columns."""


@dataclass
class Log:
    """The rows of the table and the head beside it, as a tamperer has them."""

    lines: list[Line]
    head: str | None

    def line(self, seq: int) -> Line:
        return next(line for line in self.lines if line[SEQ] == seq)

    def drop(self, *seqs: int) -> Self:
        self.lines = [line for line in self.lines if line[SEQ] not in seqs]
        return self

    def edit(self, *seqs: int) -> Self:
        for seq in seqs:
            self.line(seq)[BODY] = json.dumps({"by": "mallory", "of": seq}, separators=(",", ":"))
        return self

    def rehash(self, *seqs: int) -> Self:
        """Make these follow from whatever is before them now."""
        for seq in seqs:
            before = max((line for line in self.lines if line[SEQ] < seq), default=[0] * 5 + [FIRST])
            line = self.line(seq)
            line[HASH] = hash_of(before[HASH], line)
        return self

    def swap(self, one: int, other: int, columns: slice = slice(AT, None)) -> Self:
        """Exchange what stands in these columns."""
        first, second = self.line(one), self.line(other)
        first[columns], second[columns] = second[columns], first[columns]
        return self

    def renumber(self, seq: int, number: int) -> Self:
        self.line(seq)[SEQ] = number
        return self

    def move_head(self) -> Self:
        """Have the head say what the table ends with."""
        last = max(self.lines, default=[0] * 5 + [FIRST])
        self.head = f"{last[SEQ]}:{last[HASH]}"
        return self

    @property
    def is_whole(self) -> bool:
        """Whether it is a chain from its beginning to its head: then nothing within the database is wrong."""
        lines = [[0, "", "", "", "", FIRST], *sorted(self.lines)]
        follows = all(
            this[SEQ] == before[SEQ] + 1 and this[HASH] == hash_of(before[HASH], this)
            for before, this in pairwise(lines)
        )
        return follows and self.head == f"{lines[-1][SEQ]}:{lines[-1][HASH]}"


def hash_of(before: object, line: Line) -> str:
    """The formula of docs/audit.md, with the body's text as it stands."""
    fields = json.dumps([before, *line[:BODY]], separators=(",", ":"))
    return hashlib.sha256(f"{fields[:-1]},{line[BODY]}]".encode()).hexdigest()


@dataclass(frozen=True)
class Victim:
    """A database whose log can be put back to how it was."""

    ledger: Ledger
    raw: sqlite3.Connection
    original: tuple[tuple[Any, ...], ...]
    head: str

    def log(self) -> Log:
        return Log([list(line) for line in self.original], self.head)

    def verify(self, log: Log, *kept: str) -> Verification:
        """Write this log over the one there is, and verify."""
        self.raw.execute("BEGIN")
        self.raw.execute("DELETE FROM audit")
        self.raw.executemany("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)", log.lines)
        self.raw.execute("DELETE FROM ledger_meta WHERE key = 'audit_head'")
        if log.head is not None:
            self.raw.execute("INSERT INTO ledger_meta VALUES ('audit_head', ?)", (log.head,))
        self.raw.execute("COMMIT")
        return self.ledger.audit.verify(*kept)

    def check(self, log: Log, *touched: int) -> bool:
        """Assert that a change is found, and where; returns whether the database itself told.

        What was rewritten up to the end, together with the head, is told by the head that was kept.
        """
        found = self.verify(log)
        assert found.ok == log.is_whole
        told = found if log.head == self.head else self.verify(log, self.head)
        assert not told.ok
        assert covered(told.problems, stretch=len(touched)) >= {
            seq for seq in touched if seq <= ENTRIES or not log.is_whole
        }, touched
        near = {seq + step for seq in touched for step in (-2, -1, 0, 1, 2)} | {ENTRIES, ENTRIES + 1}
        assert {problem.seq for problem in found.problems} <= near, (touched, found.problems)
        return not found.ok


def covered(problems: Sequence[Problem], stretch: int = 1) -> set[int]:
    """The entries that problems lead to: a break is at an entry, or so many before it were written anew together."""
    return {seq for problem in problems for seq in range(problem.seq - stretch, problem.last + 2)}


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Victim]:
    path = tmp_path_factory.mktemp("audit") / "signoff.db"
    ledger = Ledger(path, hooks=())
    for number in range(1, ENTRIES + 1):
        with ledger.write() as connection:
            ledger.audit.append(connection, f"r-{number % 3}", f"event {number % 7}", by="ann", of=number)
    with closing(sqlite3.connect(path, isolation_level=None)) as raw:
        raw.execute("PRAGMA synchronous = OFF")
        original = tuple(raw.execute(f"SELECT {', '.join(COLUMNS)} FROM audit ORDER BY seq"))
        head = raw.execute("SELECT value FROM ledger_meta WHERE key = 'audit_head'").fetchone()[0]
        assert len(original) == ENTRIES
        yield Victim(ledger, raw, original, head)
    ledger.close()


def test_a_log_that_nobody_touched_is_whole(victim: Victim) -> None:
    found = victim.verify(victim.log(), victim.head, "7:" + victim.original[6][HASH])
    assert (found.ok, found.entries, found.head, found.problems) == (True, ENTRIES, victim.head, ())
    assert victim.log().is_whole


# -- one row

EDITS: dict[str, Callable[[Line], object]] = {
    "at": lambda line: line.__setitem__(AT, "2026-01-01T00:00:00.000000Z"),
    "run_id": lambda line: line.__setitem__(RUN, line[RUN] + "~2"),
    "event": lambda line: line.__setitem__(EVENT, "event 9"),
    "body": lambda line: line.__setitem__(BODY, line[BODY].replace("ann", "bob")),
    "body's spelling": lambda line: line.__setitem__(BODY, line[BODY].replace(":", ": ")),
    "body, a name twice": lambda line: line.__setitem__(BODY, '{"by":"bob",' + line[BODY][1:]),
    "body, empty": lambda line: line.__setitem__(BODY, ""),
    "body, bytes": lambda line: line.__setitem__(BODY, b"\xff\xfe"),
    "hash": lambda line: line.__setitem__(HASH, "f" * 64),
    "hash's spelling": lambda line: line.__setitem__(HASH, line[HASH].upper()),
}


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("column", EDITS)
def test_any_column_of_any_row_that_was_changed_is_found_there(victim: Victim, column: str, adjusted: bool) -> None:
    for seq in range(1, ENTRIES + 1):
        log = victim.log()
        EDITS[column](log.line(seq))
        if adjusted:
            log.move_head()
        assert victim.check(log, seq)


@pytest.mark.parametrize("adjusted", [False, True])
@pytest.mark.parametrize("column", ["at", "run_id", "event", "body"])
def test_a_changed_row_that_was_given_its_new_hash_is_found(victim: Victim, column: str, adjusted: bool) -> None:
    for seq in range(1, ENTRIES + 1):
        log = victim.log()
        EDITS[column](log.line(seq))
        log.rehash(seq)
        if adjusted:
            log.move_head()
        assert victim.check(log, seq) == (seq < ENTRIES or not adjusted)


@pytest.mark.parametrize("adjusted", [False, True])
def test_any_row_that_was_deleted_is_found_missing(victim: Victim, adjusted: bool) -> None:
    for seq in range(1, ENTRIES + 1):
        log = victim.log().drop(seq)
        if adjusted:
            log.move_head()
        assert victim.check(log, seq) == (seq < ENTRIES or not adjusted)
        if seq < ENTRIES:
            assert f"entry {seq} is missing" in victim.ledger.audit.verify().problems[0].what


@pytest.mark.parametrize("number", [-1, 0, ENTRIES + 1, 1000])
def test_any_row_that_was_given_another_number_is_found(victim: Victim, number: int) -> None:
    for seq in range(1, ENTRIES + 1):
        assert victim.check(victim.log().renumber(seq, number), seq, number)


@pytest.mark.parametrize("rehashed", [False, True])
@pytest.mark.parametrize("number", [-1, 0, ENTRIES + 1, 1000])
def test_a_copy_of_any_row_that_was_slipped_in_is_found(victim: Victim, number: int, rehashed: bool) -> None:
    for seq in range(1, ENTRIES + 1):
        log = victim.log()
        log.lines.append([number, *log.line(seq)[AT:]])
        if rehashed:
            log.rehash(number)
        assert victim.check(log, number)
        log.move_head()
        if number == ENTRIES + 1 and rehashed:
            assert victim.verify(log, victim.head).ok  # what was written is still there: it is one entry more
        else:
            assert victim.check(log, number)


@pytest.mark.parametrize("rehashed", [False, True])
def test_a_row_that_was_slipped_in_between_is_found_where_it_is(victim: Victim, rehashed: bool) -> None:
    for seq in range(1, ENTRIES):
        log = victim.log()
        for line in log.lines:
            line[SEQ] += line[SEQ] >= seq
        log.lines.append([seq, *log.line(seq + 1)[AT:]])
        if rehashed:
            log.rehash(seq)
        found = victim.verify(log)
        log.move_head()
        for told in (found, victim.verify(log)):
            assert seq <= told.problems[0].seq <= seq + 1
            assert told.problems[0].last == ENTRIES + 1  # all that were renumbered


# -- the head

HEADS: dict[str, Callable[[Log], str | None]] = {
    "gone": lambda log: None,
    "empty": lambda log: "",
    "garbled": lambda log: "50;" + FIRST,
    "of another hash": lambda log: f"{ENTRIES}:{'f' * 64}",
    "of one more": lambda log: f"{ENTRIES + 1}:{log.line(ENTRIES)[HASH]}",
    "of the one before": lambda log: f"{ENTRIES - 1}:{log.line(ENTRIES - 1)[HASH]}",
    "of an empty log": lambda log: f"0:{FIRST}",
}


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_was_changed_is_found(victim: Victim, head: str) -> None:
    log = victim.log()
    log.head = HEADS[head](log)
    assert not victim.verify(log).ok
    assert "head" in victim.verify(log).problems[0].what or "cut off" in victim.verify(log).problems[0].what


@pytest.mark.parametrize("head", HEADS)
def test_any_row_together_with_the_head_is_found(victim: Victim, head: str) -> None:
    for seq in range(1, ENTRIES):
        for change in (Log.edit, Log.drop, lambda log, seq: log.edit(seq).rehash(seq)):
            log = victim.log()
            log.head = HEADS[head](log)
            change(log, seq)
            found = victim.verify(log)
            assert {seq} <= covered(found.problems)
            assert len(found.problems) >= 2


# -- two rows


PAIRS: dict[str, Callable[[Log, int, int], Log]] = {
    "both deleted": lambda log, one, other: log.drop(one, other),
    "both edited": lambda log, one, other: log.edit(one, other),
    "both edited and rehashed": lambda log, one, other: log.edit(one, other).rehash(one, other),
    "both edited, one rehashed": lambda log, one, other: log.edit(one, other).rehash(one),
    "exchanged": lambda log, one, other: log.swap(one, other),
    "exchanged but for their hashes": lambda log, one, other: log.swap(one, other, slice(AT, HASH)),
    "exchanged and rehashed": lambda log, one, other: log.swap(one, other).rehash(one, other),
    "hashes exchanged": lambda log, one, other: log.swap(one, other, slice(HASH, None)),
    "one edited, one deleted": lambda log, one, other: log.edit(one).drop(other),
    "one deleted, one edited": lambda log, one, other: log.drop(one).edit(other),
    "one deleted, one edited and rehashed": lambda log, one, other: log.drop(one).edit(other).rehash(other),
    "one put in the place of the other": lambda log, one, other: log.drop(one).renumber(other, one),
    "one put there and rehashed": lambda log, one, other: log.drop(one).renumber(other, one).rehash(one),
}
ALL = tuple(combinations(range(1, ENTRIES + 1), 2))
NEAR_AND_ENDS = tuple((one, other) for one, other in ALL if other - one == 1 or one == 1 or other == ENTRIES)
FEW = (*NEAR_AND_ENDS[::4], (ENTRIES - 1, ENTRIES))


def check_pairs(victim: Victim, change: str, pairs: Sequence[tuple[int, int]]) -> None:
    rewritten = set()
    for one, other in pairs:
        log = PAIRS[change](victim.log(), one, other)
        assert victim.check(log, one, other)
        if other == ENTRIES:
            log.move_head()
            if not victim.check(log, one, other):
                rewritten.add((one, other))
    # Only the last two, together with the head, are all of the log from some entry on.
    assert rewritten <= {(ENTRIES - 1, ENTRIES)}


@pytest.mark.parametrize("change", PAIRS)
def test_two_rows_close_together_or_at_the_ends_that_were_changed_are_found(victim: Victim, change: str) -> None:
    check_pairs(victim, change, FEW)


def test_a_changed_row_that_was_given_its_new_hash_as_was_the_next_is_found(victim: Victim) -> None:
    for seq in range(1, ENTRIES):
        assert victim.check(victim.log().edit(seq).rehash(seq, seq + 1), seq, seq + 1)


@pytest.mark.hunt
@pytest.mark.parametrize("change", PAIRS)
def test_any_two_rows_that_were_changed_are_found_where_they_are(victim: Victim, change: str, part: Part) -> None:
    assert len(ALL) == 66
    check_pairs(victim, change, part.of(ALL))


# -- more than two


def test_a_log_that_was_cut_off_anywhere_is_found(victim: Victim) -> None:
    for length in range(ENTRIES):
        log = victim.log().drop(*range(length + 1, ENTRIES + 1))
        (problem,) = victim.verify(log).problems
        assert (problem.seq, problem.last) == (length + 1, ENTRIES)
        assert "cut off" in problem.what
        log.move_head()
        assert victim.verify(log).ok
        (problem,) = victim.verify(log, victim.head).problems
        assert (problem.seq, problem.last) == (length + 1, ENTRIES)


def test_a_log_that_was_written_anew_from_some_entry_is_found_by_a_kept_head(victim: Victim) -> None:
    for seq in range(1, ENTRIES + 1):
        log = victim.log().edit(seq).rehash(*range(seq, ENTRIES + 1))
        assert not victim.verify(log).ok  # the head in the database
        log.move_head()
        assert victim.verify(log).ok  # nobody within the database can tell
        (problem,) = victim.verify(log, victim.head).problems
        assert (problem.seq, problem.last) == (1, ENTRIES)
        older = [f"{line[SEQ]}:{line[HASH]}" for line in victim.original if line[SEQ] % 4 == 0]
        first = victim.verify(log, *older).problems[0]
        assert first.seq <= seq <= first.last <= first.seq + 3  # more of them tell more closely where


KINDS = st.sampled_from("edit drop rehash rewrite swap renumber copy head move".split())
CHANGES = st.lists(st.tuples(KINDS, st.integers(1, ENTRIES), st.integers(1, ENTRIES + 3)), min_size=1, max_size=12)


def apply(log: Log, changes: Sequence[tuple[str, int, int]]) -> None:
    """Do what can be done of these changes."""
    for change, one, other in changes:
        there = {line[SEQ] for line in log.lines}
        if change == "move":
            log.move_head()
        elif change == "head":
            log.head = f"{other}:{FIRST}"
        elif change == "copy" and one in there and other not in there:
            log.lines.append([other, *log.line(one)[AT:]])
        elif change == "renumber" and one in there and other not in there:
            log.renumber(one, other)
        elif change == "rewrite":
            log.rehash(*sorted(seq for seq in there if seq >= one))
        elif change == "swap" and {one, other} <= there:
            log.swap(one, other)
        elif change in ("edit", "drop", "rehash") and one in there:
            getattr(log, change)(one)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(changes=CHANGES)
def test_whatever_is_changed_is_found_unless_the_log_is_whole_and_then_by_a_kept_head(
    victim: Victim, changes: list[tuple[str, int, int]]
) -> None:
    log = victim.log()
    apply(log, changes)
    if sorted(log.lines) == sorted(map(list, victim.original)) and log.head == victim.head:
        assert victim.verify(log, victim.head).ok
        return
    assert victim.verify(log).ok == log.is_whole
    last = f"{ENTRIES}:{victim.original[-1][HASH]}"
    is_longer = [tuple(line) for line in sorted(log.lines)[:ENTRIES]] == list(victim.original)
    assert victim.verify(log, last).ok == (log.is_whole and is_longer)
