"""Errors of the command line."""

from __future__ import annotations

from signoff.checkpoints.errors import StoreError


class NoDatabase(StoreError):
    """There is no database yet."""

    def __init__(self, database: str, *, named: bool = True, sought: str = "") -> None:
        self.database = database
        above = "" if named else ", nor a .signoff with one in a folder above"
        other = "--database names another" if named else "SIGNOFF_HOME or SIGNOFF_DATABASE names another"
        first = f"No {sought}: there" if sought else "There"
        super().__init__(f"{first} is no database {database!r} yet{above}. The first run makes it; {other}.")


class UnknownThread(StoreError):
    """No such thread in the database."""

    def __init__(self, thread: str) -> None:
        self.thread = thread
        super().__init__(f"No thread {thread!r} in the database. `signoff db stats` shows the largest.")
