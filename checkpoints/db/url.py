"""Whether a database is a file, or at the address of a PostgreSQL server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from signoff.error_base import SettingsError

_ADDRESS: Final = re.compile(r"([A-Za-z][\w+.-]+):/")  # two letters at least: C:/ is a drive
_POSTGRES: Final = ("postgresql://", "postgres://")


def is_address(database: Path | str) -> bool:
    """Whether this is the address of a PostgreSQL database, not a file; SettingsError if it is any other address."""
    scheme = scheme_of(database)
    if not scheme:
        return False
    if not str(database).startswith(_POSTGRES):
        remedy = "Name a file, or give, as text, an address that begins with postgresql://"
        raise SettingsError("database", f"{scheme!r} is not a kind of database that can be used", f"{remedy}.")
    return True


def scheme_of(database: Path | str) -> str:
    """What an address begins with, such as `postgresql`; empty for the name of a file."""
    found = _ADDRESS.match(str(database))
    return found[1] if found else ""
