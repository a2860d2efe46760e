"""The audit log: what was proposed, asked, decided, claimed and done; each entry carries the hash of the one before.

The number and hash of the newest entry, the head, are kept beside the log, so that an end that was cut off is missed.
Whoever can write the whole database can still rewrite the log from some entry on, and the head with it. Only a head
that was kept elsewhere tells: give it to `verify`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, func, insert, select

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, digest_text, from_row, plain_text, read_json
from signoff.checkpoints.db.table_shapes import misshapes
from signoff.checkpoints.ledger.audit_agreement import Problem, digests_of_redacted, disagreements
from signoff.checkpoints.ledger.schema import (
    AUDIT_HEAD,
    FIRST_META,
    META,
    NEXT_META,
    audit,
    ledger_meta,
    metadata,
    read_meta,
)
from signoff.checkpoints.ledger.session import Transactions
from signoff.checkpoints.redaction import REDACTED, redact
from signoff.error_base import SettingsError

_AT_ONCE: Final = 1_000

# Built once: building them costs SQLAlchemy more than the database takes for them.
_LAST: Final = select(func.max(audit.c.seq))
_ADD: Final = insert(audit)

FIRST: Final = "0" * 64
"""What the first entry follows from."""
_HEAD: Final = re.compile(r"([0-9]{1,18}):([0-9a-f]{64})")


def link(before: str, seq: int, at: str, run_id: str, event: str, body: str) -> str:
    """Hash of an entry: the digest of `[before, seq, at, run_id, event, body]`, with `body` as the JSON text it has.

    The text goes in as it stands, so that no other spelling of the same value passes for what was written.
    """
    return digest_text(f"{canonical_json([before, seq, at, run_id, event])[:-1]},{body}]")


@dataclass(frozen=True)
class Head:
    """The newest entry's number and hash: whoever keeps it elsewhere can tell whether the log still leads to it."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head | None:
        """A head as it is written, `12:9f86d0…`; None if the text is none."""
        found = _HEAD.fullmatch(text.strip())
        return cls(int(found[1]), found[2]) if found else None


EMPTY: Final = Head(0, FIRST)
"""The head of a log without entries."""


@dataclass(frozen=True)
class Verification:
    """What reading the whole log found."""

    entries: int
    head: str
    """Number and hash of the last entry there is: worth keeping where a writer of the database cannot reach."""
    problems: tuple[Problem, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


@dataclass(frozen=True)
class Entry:
    """One line of the audit log."""

    seq: int
    at: str
    run_id: str
    event: str
    body: dict[str, Any]
    hash: str


class AuditLog:
    """Append-only; written within the transaction of what it tells of."""

    def __init__(self, ledger: Transactions) -> None:
        self._ledger = ledger

    def append(self, connection: Connection, run_id: str, event: str, **body: Any) -> None:
        """Add an entry within this transaction, without the secrets in it; the caller holds the write lock.

        A log that was tampered with stops nobody's work, or one changed row would: the entry follows from the head, not
        from what the table ends with, so that the break stays where it is, and `verify` finds it ever after. If the
        head itself is gone, the entry begins a new chain, which `verify` finds as well.
        """
        last = connection.execute(_LAST).scalar() or 0
        head = _head(connection) or EMPTY
        # Never a number that is taken: rows that were slipped in after the head must not block this one.
        seq, at, run_id = max(head.seq, last) + 1, canonical.now(), plain_text(run_id)
        kept = redact(body)
        text = canonical_json(kept)
        if REDACTED in text:  # be it that a text says so itself
            text = canonical_json({**kept, **digests_of_redacted(event, body, kept)})
        written = Head(seq, link(head.hash, seq, at, run_id, event, text))
        entry = {"seq": seq, "at": at, "run_id": run_id, "event": event, "body": text, "hash": written.hash}
        connection.execute(_ADD, entry)
        next_head = {"which": AUDIT_HEAD, "text": str(written)}
        if not connection.execute(NEXT_META, next_head).rowcount:
            connection.execute(FIRST_META, next_head)

    def head(self) -> str:
        """Number and hash of the newest entry, `0:000…` if there is none: worth keeping outside the database."""
        with self._ledger.read() as connection:
            return str(_head(connection) or EMPTY)

    def entries(self, run_id: str | None = None) -> list[Entry]:
        """All entries, or those of one run, oldest first."""
        with self._ledger.read() as connection:
            rows = connection.execute(_of_run(select(audit), run_id)).all()
        return [from_row(Entry, row, body=read_json(row.body, dict, f"Entry {row.seq} of the log")) for row in rows]

    def export(self, run_id: str | None = None) -> Iterator[dict[str, Any]]:
        """All entries, or those of one run, oldest first, as JSON values; `before` is what its hash follows from.

        Read one by one, and all from the same moment. A body that is no JSON text any more comes as the text it is.
        """
        previous = audit.alias()
        query = select(audit, previous.c.hash.label("before"))
        query = query.outerjoin(previous, previous.c.seq == audit.c.seq - 1)
        with self._reading() as connection:
            for row in connection.execute(_of_run(query, run_id)).yield_per(_AT_ONCE):
                yield {
                    "seq": row.seq,
                    "at": row.at,
                    "run": row.run_id,
                    "event": row.event,
                    "body": _parsed(row.body),
                    "before": FIRST if row.seq == 1 else row.before,
                    "hash": row.hash,
                }

    def verify(self, *kept: str) -> Verification:
        """Read the whole log, and say whether it is what was written, and whether the tables say what it says.

        `kept` are heads from `head`, a notification or an anchor file, of whatever age: the log must still lead through
        each of them. Without one, this finds every edit, deletion, insertion and reordering except a log that was
        written anew from some entry to its end, together with the head and the tables. Tables that are not as they were
        made, and what was planted beside them, are problems too.
        """
        heads = [_head_of(text) for text in kept]
        with self._reading() as connection:
            reader, shapes = ChainReader(heads), misshapes(connection, metadata)
            readable = metadata.tables.keys() - {shape.table for shape in shapes if not shape.is_readable}
            if audit.name in readable:
                for row in connection.execute(select(audit).order_by(audit.c.seq)).yield_per(_AT_ONCE):
                    reader.read(row)
            if {audit.name, ledger_meta.name} <= readable:
                reader.end(read_meta(connection, AUDIT_HEAD))
            told = (Problem(0, 0, shape.what) for shape in shapes)
            problems = (*reader.problems, *told, *disagreements(connection, readable))
        return Verification(reader.entries, str(reader.head), problems)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        """One view of the database, even of rows whose bytes are no text: they are to be found, not stumbled over."""
        with self._ledger.read() as connection:
            if connection.dialect.name != "sqlite":
                yield connection
                return
            driver: Any = connection.connection.driver_connection
            driver.text_factory = _decoded
            try:
                yield connection
            finally:
                driver.text_factory = str


class Undecodable(str):
    """A text in the database whose bytes are none: what they are, as escapes."""


def _decoded(text: bytes) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError:
        return Undecodable(text.decode(errors="backslashreplace"))


def _head(connection: Connection) -> Head | None:
    kept = connection.execute(META, {"which": AUDIT_HEAD}).scalar()
    return Head.parse(kept) if isinstance(kept, str) else None


def _of_run(query: Select[Any], run_id: str | None) -> Select[Any]:
    query = query.order_by(audit.c.seq)
    return query if run_id is None else query.where(audit.c.run_id == run_id)


def _head_of(text: str) -> Head:
    head = Head.parse(text)
    if head is None:
        raise SettingsError("--head", f"{text!r:.100} is no head", "Write it as NUMBER:HASH, as `verify` prints it.")
    return head


def _parsed(body: Any) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError, TypeError):
        return str(body)


class ChainReader:
    """Takes the entries in the order of their numbers, and holds no more of them than the last one's hash.

    An entry can only be checked against the one before it. So a broken link says that the entry was changed, or that
    some before it were written anew as a chain of their own; and an entry after a gap is taken as it is. `kept` are
    heads that were noted down elsewhere.
    """

    def __init__(self, kept: Iterable[Head] = ()) -> None:
        self.entries, self.head = 0, EMPTY
        self.problems: list[Problem] = []
        self._kept: dict[int, set[str]] = {}
        for head in kept:
            self._kept.setdefault(head.seq, set()).add(head.hash)
        self._proven = 0
        self._broken: tuple[int, int] | None = None

    def read(self, row: Row[Any]) -> None:
        self.entries += 1
        texts = (row.at, row.run_id, row.event, row.body, row.hash)
        if not isinstance(row.seq, int) or not all(isinstance(text, str) for text in texts):
            place = self.head.seq + 1
            return self._report(place, place, f"near number {place} there is a row that is no entry")
        if row.seq <= self.head.seq:
            why = "its number is there twice" if row.seq > 0 else "numbers begin with 1"
            return self._report(row.seq, row.seq, f"entry {row.seq} was inserted: {why}")
        if row.seq > self.head.seq + 1:
            missing = _entries(self.head.seq + 1, row.seq - 1)
            what = f"{missing} missing; without that, entry {row.seq} cannot be checked"
            self._report(self.head.seq + 1, row.seq - 1, what)
        elif link(self.head.hash, row.seq, row.at, row.run_id, row.event, row.body) != row.hash:
            if row.seq > 1 and link(FIRST, row.seq, row.at, row.run_id, row.event, row.body) == row.hash:
                what = f"entry {row.seq} begins a new chain: when it was written, the head was gone or unreadable"
                self._report(row.seq, row.seq, what)
            else:
                self._broken = (self._broken[0] if self._broken else row.seq, row.seq)
        else:
            self._tell_broken()
        self.head = Head(row.seq, row.hash)
        self._compare_kept()
        return None

    def end(self, head: str | None) -> None:
        """Check the end of the log against the head that the database keeps beside it."""
        self._tell_broken()
        last = self.head.seq
        for seq in sorted(seq for seq in self._kept if seq > last):
            self._report(
                last + 1, seq, f"{_entries(last + 1, seq)} missing at the end: a head was kept of number {seq}"
            )
        kept = Head.parse(head or "")
        if head is None:
            self._report(last, last, "the head is missing, so nothing tells whether the log was cut off")
        elif kept is None:
            self._report(last, last, f"the head was changed: {head!r:.100} is none")
        elif kept.seq > last:
            self._report(last + 1, kept.seq, f"{_entries(last + 1, kept.seq)} missing at the end: the log was cut off")
        elif kept.seq < last:
            what = f"after entry {kept.seq} there are more than the head knows of: inserted, or the head was changed"
            self._report(kept.seq + 1, last, what)
        elif kept.hash != self.head.hash:
            self._report(last, last, f"the head does not agree with entry {last}: one of the two was changed")

    def _compare_kept(self) -> None:
        """An entry that is not what was kept of it tells that it, or one before it, was rewritten."""
        hashes = self._kept.pop(self.head.seq, None)
        if hashes is None:
            return
        if hashes == {self.head.hash}:
            self._proven = self.head.seq
        else:
            since = f"after entry {self._proven}, up to it" if self._proven else "up to it"
            what = f"entry {self.head.seq} is not the one whose head was kept: the log was rewritten {since}"
            self._report(self._proven + 1, self.head.seq, what)

    def _tell_broken(self) -> None:
        """Report the entries in a row that do not follow as one."""
        if self._broken is None:
            return
        (first, last), self._broken = self._broken, None
        if first != last:
            what = f"entries {first} to {last} do not follow from one another: changed, moved or renumbered"
        elif first == 1:
            what = "entry 1 was changed after it was written"
        else:
            what = f"entry {first} does not follow from entry {first - 1}: it was changed, or what is before it was"
        self.problems.append(Problem(first, last, what))

    def _report(self, seq: int, last: int, what: str) -> None:
        self._tell_broken()
        self.problems.append(Problem(seq, last, what))


def _entries(first: int, last: int) -> str:
    return f"entry {first} is" if first == last else f"entries {first} to {last} are"
