"""A thread's lease: one owner writes at a time, and one that was suspended finds out that it was replaced."""

from __future__ import annotations

from typing import Final

from signoff.checkpoints.process_identity import is_gone
from signoff.checkpoints.saver.writer import ThreadRow, Transaction
from signoff.errors import LeaseLost, ThreadHeld

_LOST: Final = -1


class Lease:
    """The leases of one owner. Each is taken or renewed by a write, and numbered, so that no two are mistaken."""

    def __init__(self, owner: str, seconds: float) -> None:
        self.owner, self._seconds = owner, seconds
        self.fences: dict[str, int] = {}

    def hold(self, name: str, row: ThreadRow, transaction: Transaction) -> None:
        """Take or renew the thread's lease; ThreadHeld if another has it, LeaseLost if another had it since."""
        fence = self.fences.get(name)
        if fence is not None and (row.fence != fence or row.owner != self.owner):
            self.fences[name] = _LOST
            raise LeaseLost(name, self.owner)
        if fence is None:
            others = row.owner not in ("", self.owner) and not is_gone(row.owner)
            if others and row.owner_until > transaction.now:
                raise ThreadHeld(name, row.owner, row.owner_until)
            row.owner, row.fence = self.owner, row.fence + 1
            self.fences[name] = row.fence
        row.owner_until = transaction.now + self._seconds
        row.is_changed = True

    def start_again(self, name: str) -> None:
        """Whoever reads the newest state starts from it, and may try for the lease, or take it anew."""
        self.fences.pop(name, None)


class Release:
    """Gives a thread's lease back, if it is still held."""

    frees_space = False

    def __init__(self, lease: Lease, name: str) -> None:
        self._lease, self._name = lease, name

    def apply(self, transaction: Transaction) -> None:
        """Clear the owner."""
        row = transaction.thread(self._name, create=False)
        if row is not None and self._lease.fences.get(self._name) == row.fence and row.owner == self._lease.owner:
            row.owner, row.owner_until, row.is_changed = "", 0.0, True

    def undo(self) -> None:
        """Nothing was told to anybody."""
