"""Workers: each process that does jobs has a slot of its machine, and gives a sign of life.

The slot is what the queue knows a worker by. It outlives the process: what a process leaves behind when it dies goes to
whoever has its slot next, or back into the queue.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from sqlalchemy import Row, delete, insert, select, update

from signoff.checkpoints.canonical import after, from_row
from signoff.checkpoints.ledger.schema import workers
from signoff.checkpoints.ledger.session import Transactions, clock
from signoff.checkpoints.process_identity import holds, standing

WORKER_SECONDS: Final = 60.0
"""A worker that gave no sign of life for so long is lost."""
SILENT_LOOKS: Final = 7
"""A worker of this machine from which nothing was heard between so many looks, ten seconds apart, is ended."""
SWEEP_SECONDS: Final = 150.0
"""So long one has to put back what a lost worker had, before another does."""

WorkerStatus = Literal["working", "draining", "lost"]
"""draining: it takes nothing new; lost: it ended, and what it had is not in the queue again yet."""


@dataclass(frozen=True)
class Slot:
    """A worker, as the ledger has it."""

    slot: str
    """HOST/NUMBER."""
    owner: str
    """The process that has it (process_identity.py), or that puts back what a lost one had."""
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
        """Give a sign of life; False if the slot is another's by now, or what it had is being put back.

        Whoever was taken for lost, and what it had was put back, is there again with its next sign.
        """
        with self._ledger.write() as connection:
            now, mine = clock(connection), workers.c.slot == slot.slot
            told = {"beat_at": now, "until": after(now, seconds)}
            row = connection.execute(select(workers.c.owner).where(mine)).first()
            if row is None:
                kept = {"owner": slot.owner, "places": slot.places, "status": slot.status}
                connection.execute(insert(workers).values(slot=slot.slot, started_at=slot.started_at, **kept, **told))
            elif row.owner == slot.owner:
                connection.execute(update(workers).where(mine).values(**told))
            return row is None or bool(row.owner == slot.owner)

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

    def lost(self, by: str, *, seconds: float = SWEEP_SECONDS) -> list[Slot]:
        """Those that have ended, marked so that none of them comes back; `by` is who puts back what they had.

        Of several who look, one has each of them, for so many seconds or until it has gone itself.
        """
        with self._ledger.write() as connection:
            now, rows = clock(connection), connection.execute(select(workers)).all()
            gone = [row.slot for row in rows if not holds(row.owner, row.until, now)]
            told = {"status": "lost", "owner": by, "until": after(now, seconds)}
            mine = workers.c.slot.in_(gone)
            if not gone:
                return []
            connection.execute(update(workers).where(mine).values(**told))
            return [_read(row) for row in connection.execute(select(workers).where(mine).order_by(workers.c.slot))]


class Silences:
    """Which workers of this boot of this machine live and give no sign of it, as another sees who looks ever again.

    It is looks that are counted: clocks jump, and a machine that was suspended wakes with all of its workers. While
    nobody can write, so that the sign of who looks is not there either, nobody is silent.
    """

    def __init__(self, own: str) -> None:
        """`own`: the slot of who looks."""
        self._own = own
        self._looks: dict[tuple[str, str, str], int] = {}

    def overdue(self, slots: Iterable[Slot]) -> list[Slot]:
        """Those that have given no sign for so many looks: they are to be ended, and then are lost."""
        living = [slot for slot in slots if slot.status != "lost" and standing(slot.owner) == "alive"]
        keys = {slot.slot: (slot.slot, slot.owner, slot.beat_at) for slot in living}
        looks = {name: self._looks.get(key, 0) + 1 for name, key in keys.items()}
        is_heard = looks.get(self._own, SILENT_LOOKS) <= SILENT_LOOKS // 2
        self._looks = {key: looks[name] if is_heard or name == self._own else 0 for name, key in keys.items()}
        return [slot for slot in living if is_heard and looks[slot.slot] > SILENT_LOOKS]


def _read(row: Row[tuple[object, ...]]) -> Slot:
    return from_row(Slot, row)
