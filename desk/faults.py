"""What went wrong, in one line."""

from __future__ import annotations

import sqlite3

from signoff.errors import SignoffError


def explain(error: Exception) -> str | None:
    """One line that says what happened and what to do; None for an error that nobody expected."""
    if isinstance(error, SignoffError):
        return " ".join(str(error).split())
    if isinstance(error, sqlite3.Error):
        return f"The database cannot be used: {error}. Mend it and resume the run; nothing committed was lost."
    if isinstance(error, OSError):
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror or error}{where}. Mend it and resume the run; nothing committed was lost."
    return None
