"""Errors of the command line."""

from __future__ import annotations

from signoff.checkpoints.errors import StoreError


class NoDatabase(StoreError):
    """There is no database yet."""

    def __init__(self, database: str) -> None:
        self.database = database
        super().__init__(f"There is no database {database!r} yet. The first run makes it; --database names another.")


class UnknownThread(StoreError):
    """No such thread in the database."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"No thread {thread!r} in the database. `signoff db stats` shows the largest.")
