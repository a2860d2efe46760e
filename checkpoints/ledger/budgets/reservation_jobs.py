"""What is asked of the thread that keeps the budgets' accounts."""

from __future__ import annotations

import time

from signoff.checkpoints.db.jobs import Job
from signoff.checkpoints.ledger.budgets.amounts import NOTHING, Amount, CallRecord, Limits


class Reserve(Job):
    """Hold an amount; the result is how many of its milliseconds were granted."""

    def __init__(
        self, hold: str, scopes: dict[str, Limits], worst: Amount, seconds: float, patience: float, run: str
    ) -> None:
        super().__init__()
        self.hold, self.scopes, self.worst, self.seconds = hold, scopes, worst, seconds
        self.deadline, self.has_waited, self.waits_for = time.monotonic() + patience, False, ""
        self.shared = {name: limits for name, limits in scopes.items() if name.startswith(("day:", "team:"))}
        """Those of the scopes that are of several runs."""
        self.run = run.removeprefix("run:") if self.shared else ""
        """The run, if it shares a budget with others."""

    @property
    def held_scopes(self) -> tuple[str, ...]:
        """What it is held from, and the run it is for."""
        return tuple(dict.fromkeys((*self.scopes, *([f"run:{self.run}"] if self.run else ()))))


class Settle(Job):
    """Give a hold back; charge what was spent to the accounts of its scopes, and write the call down."""

    def __init__(
        self, hold: str, names: tuple[str, ...] = (), spent: Amount = NOTHING, record: CallRecord | None = None
    ) -> None:
        super().__init__()
        self.hold, self.names, self.spent, self.record = hold, names, spent, record


class Raise(Job):
    """Add to a limit; the result is whether that was not done before."""

    def __init__(self, name: str, by: Amount, key: str) -> None:
        super().__init__()
        self.name, self.by, self.key = name, by, key
