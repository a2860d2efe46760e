"""Workers: each process that does jobs has a slot of its machine, and gives a sign of life.

The slot is what the queue knows a worker by. It outlives the process: what a process leaves behind when it dies goes to
whoever has its slot next, or back into the queue.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Row, delete, insert, select, update

from signoff.checkpoints.canonical import after, from_row
from signoff.checkpoints.ledger.schema import workers
from signoff.checkpoints.ledger.session import Transactions, clock
from signoff.checkpoints.process_identity import holds, standing

WORKER_SECONDS: Final = 60.0
"""A worker that gave no sign of life for so long is lost."""

WorkerStatus = Literal["working", "draining", "lost"]
"""draining: it takes nothing new; lost: it ended, and what it had is not in the queue again yet."""


@dataclass(frozen=True)
class Slot:
    """A worker, as the ledger has it."""

    slot: str
    """HOST/NUMBER."""
    owner: str
    """The process that has it (process_identity.py)."""
    places: int
    """How many turns it has at once."""
    status: WorkerStatus
    started_at: str
    beat_at: str
    until: str

    @property
    def pid(self) -> int:
        """The process on its own machine; 0 if its owner is no process that was named here."""
        pid = self.owner.split(":")[-2] if self.owner.count(":") >= 2 else ""
        return int(pid) if pid.isdecimal() else 0


class Workers:
    """The workers table."""

    def __init__(self, ledger: Transactions) -> None:
        self._ledger = ledger

    def join(self, owner: str, *, places: int, seconds: float = WORKER_SECONDS) -> Slot:
        """Take the first slot of this machine that nobody has; what a process that had it left there is taken too."""
        with self._ledger.write() as connection:
            now, host = clock(connection), socket.gethostname().replace("/", "_")
            rows = {row.slot: row for row in connection.execute(select(workers)).all()}
            number = 1
            while (row := rows.get(f"{host}/{number}")) is not None and holds(row.owner, row.until, now):
                number += 1
            name = f"{host}/{number}"
            told = {"owner": owner, "places": places, "status": "working"}
            moments = {"started_at": now, "beat_at": now, "until": after(now, seconds)}
            if not connection.execute(update(workers).where(workers.c.slot == name).values(**told, **moments)).rowcount:
                connection.execute(insert(workers).values(slot=name, **told, **moments))
            return _read(connection.execute(select(workers).where(workers.c.slot == name)).one())

    def beat(self, slot: Slot, *, seconds: float = WORKER_SECONDS) -> bool:
        """Give a sign of life; False if the slot is another's by now."""
        with self._ledger.write() as connection:
            now = clock(connection)
            mine = (workers.c.slot == slot.slot) & (workers.c.owner == slot.owner) & (workers.c.status != "lost")
            told = {"beat_at": now, "until": after(now, seconds)}
            return connection.execute(update(workers).where(mine).values(**told)).rowcount == 1

    def drain(self, slot: Slot) -> None:
        """Say that it takes nothing new."""
        with self._ledger.write() as connection:
            mine = (workers.c.slot == slot.slot) & (workers.c.owner == slot.owner)
            connection.execute(update(workers).where(mine).values(status="draining"))

    def leave(self, slot: Slot) -> None:
        """Give the slot back, with nothing left to do in it."""
        with self._ledger.write() as connection:
            mine = (workers.c.slot == slot.slot) & (workers.c.owner == slot.owner)
            connection.execute(delete(workers).where(mine))

    def all(self) -> list[Slot]:
        """All workers, by slot."""
        with self._ledger.read() as connection:
            return [_read(row) for row in connection.execute(select(workers).order_by(workers.c.slot))]

    def overdue(self) -> list[Slot]:
        """Those of this boot of this machine that live, and give no sign of it: they are to be ended, and then lost."""
        with self._ledger.read() as connection:
            now, rows = clock(connection), connection.execute(select(workers)).all()
        late = [row for row in rows if row.status != "lost" and row.until < now]
        return [_read(row) for row in late if standing(row.owner) == "alive"]

    def lost(self) -> list[Slot]:
        """Those that have ended, marked so that none of them comes back."""
        with self._ledger.write() as connection:
            now, rows = clock(connection), connection.execute(select(workers)).all()
            gone = [row for row in rows if row.status == "lost" or not holds(row.owner, row.until, now)]
            for row in gone:
                connection.execute(update(workers).where(workers.c.slot == row.slot).values(status="lost"))
        return [_read(row) for row in gone]


def _read(row: Row[tuple[object, ...]]) -> Slot:
    return from_row(Slot, row)
