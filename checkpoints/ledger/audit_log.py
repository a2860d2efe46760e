"""The audit log: what was proposed, asked, decided, claimed and done; each entry carries the hash of the one before.

The number and hash of the newest entry, the head, are kept beside the log, so that an end that was cut off is missed.
Whoever can write the whole database can still rewrite the log from some entry on, and the head with it. Only a head
that was kept elsewhere tells: give it to `verify`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from signoff.checkpoints import clock
from signoff.checkpoints.canonical import canonical_json, readable_text
from signoff.checkpoints.ledger.audit_agreement import disagreements
from signoff.checkpoints.ledger.audit_chain import EMPTY, FIRST, ChainReader, Head, Verification, link
from signoff.checkpoints.ledger.schema import audit, ledger_meta
from signoff.checkpoints.redaction import redact
from signoff.errors import SettingsError

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.ledger import Ledger

_HEAD: Final = "audit_head"
_AT_ONCE: Final = 1_000

# Built once, as in books.py.
_LAST: Final = select(func.max(audit.c.seq))
_ADD: Final = insert(audit)
_HEAD_NOW: Final = select(ledger_meta.c.value).where(ledger_meta.c.key == _HEAD)
_KEEP_HEAD: Final = update(ledger_meta).where(ledger_meta.c.key == _HEAD).values(value=bindparam("head"))
_FIRST_HEAD: Final = insert(ledger_meta).values(key=_HEAD, value=bindparam("head"))


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

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def append(self, connection: Connection, run_id: str, event: str, **body: Any) -> None:
        """Add an entry within this transaction, without the secrets in it; the caller holds the write lock.

        A log that was tampered with stops nobody's work, or one changed row would: the entry follows from the head, not
        from what the table ends with, so that the break stays where it is, and `verify` finds it ever after. If the
        head itself is gone, the entry begins a new chain, which `verify` finds as well.
        """
        last = connection.execute(_LAST).scalar() or 0
        head = self._head(connection) or EMPTY
        # Never a number that is taken: rows that were slipped in after the head must not block this one.
        seq, at, run_id = max(head.seq, last) + 1, clock.now(), readable_text(run_id).replace("\0", "\\x00")
        text = canonical_json(redact(body))
        written = Head(seq, link(head.hash, seq, at, run_id, event, text))
        entry = {"seq": seq, "at": at, "run_id": run_id, "event": event, "body": text, "hash": written.hash}
        connection.execute(_ADD, entry)
        self._keep_head(connection, written)

    def head(self) -> str:
        """Number and hash of the newest entry, `0:000…` if there is none: worth keeping outside the database."""
        with self._ledger.read() as connection:
            return str(self._head(connection) or EMPTY)

    def entries(self, run_id: str | None = None) -> list[Entry]:
        """All entries, or those of one run, oldest first."""
        with self._ledger.read() as connection:
            rows = connection.execute(_of_run(select(audit), run_id)).all()
        return [Entry(row.seq, row.at, row.run_id, row.event, json.loads(row.body), row.hash) for row in rows]

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
        written anew from some entry to its end, together with the head and the tables.
        """
        heads = [_head_of(text) for text in kept]
        with self._reading() as connection:
            reader = ChainReader(heads)
            for row in connection.execute(select(audit).order_by(audit.c.seq)).yield_per(_AT_ONCE):
                reader.read(row)
            reader.end(self._head_text(connection))
            problems = (*reader.problems, *disagreements(connection))
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

    def _head(self, connection: Connection) -> Head | None:
        return Head.parse(self._head_text(connection) or "")

    def _head_text(self, connection: Connection) -> str | None:
        return connection.execute(_HEAD_NOW).scalar()

    def _keep_head(self, connection: Connection, head: Head) -> None:
        if not connection.execute(_KEEP_HEAD, {"head": str(head)}).rowcount:
            connection.execute(_FIRST_HEAD, {"head": str(head)})


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


def _decoded(stored: bytes) -> str:
    return stored.decode("utf-8", "backslashreplace")
