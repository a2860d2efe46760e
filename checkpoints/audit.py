"""The audit log: what was proposed, asked, decided, claimed and done; each entry carries the hash of the one before."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, insert, select

from signoff.checkpoints import clock
from signoff.checkpoints.digest import canonical_json, digest
from signoff.checkpoints.tables import audit

if TYPE_CHECKING:
    from signoff.checkpoints.ledger import Ledger

_FIRST = "0" * 64


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
        """Add an entry within this transaction."""
        last = connection.execute(select(audit.c.seq, audit.c.hash).order_by(audit.c.seq.desc()).limit(1)).first()
        seq, before = (last.seq + 1, last.hash) if last else (1, _FIRST)
        at = clock.now()
        chained = digest([before, seq, at, run_id, event, body])
        connection.execute(
            insert(audit).values(seq=seq, at=at, run_id=run_id, event=event, body=canonical_json(body), hash=chained)
        )

    def entries(self, run_id: str | None = None) -> list[Entry]:
        """All entries, or those of one run, oldest first."""
        query = select(audit).order_by(audit.c.seq)
        if run_id is not None:
            query = query.where(audit.c.run_id == run_id)
        with self._ledger.read() as connection:
            rows = connection.execute(query).all()
        return [Entry(row.seq, row.at, row.run_id, row.event, json.loads(row.body), row.hash) for row in rows]

    def first_broken(self) -> int | None:
        """Number of the first entry whose hash does not follow from the one before; None if the chain holds."""
        before = _FIRST
        for position, entry in enumerate(self.entries(), start=1):
            chained = digest([before, position, entry.at, entry.run_id, entry.event, entry.body])
            if entry.seq != position or entry.hash != chained:
                return position
            before = entry.hash
        return None
