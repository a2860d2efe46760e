"""Opening the saver that a path or an address names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from langgraph.checkpoint.base import BaseCheckpointSaver

from signoff.checkpoints.migration import migrate
from signoff.checkpoints.saver import SqliteCheckpointer
from signoff.errors import MissingExtra, SettingsError
from signoff.settings import Settings

_ADDRESS: Final = re.compile(r"([A-Za-z][\w+.-]+):/")  # two letters at least: C:/ is a drive
_POSTGRES: Final = ("postgresql://", "postgres://")


class Opening(Protocol):
    """A saver that `with` and `async with` open and close."""

    def __enter__(self) -> BaseCheckpointSaver[Any]: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    async def __aenter__(self) -> BaseCheckpointSaver[Any]: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def open_saver(
    database: Path | str, *, types: Iterable[type | tuple[str, str]] = (), key: str | bytes | None = None
) -> Opening:
    """The saver for this SQLite file, or for the PostgreSQL database at a `postgresql://` address.

    `types` are the classes that may be stored beside plain values and messages. With `key` what is stored is encrypted.
    On PostgreSQL that is every value of a channel and every pending write; ids, times, versions, names of channels and
    all metadata stay readable there, because the official saver searches them. In SQLite metadata is encrypted too.

    A saver for PostgreSQL has sync methods if `with` opened it and async methods if `async with` did; ours for SQLite
    always has both. SettingsError for any other address, MissingExtra if the packages for PostgreSQL are not installed.
    """
    address = str(database)
    found = _ADDRESS.match(address)
    if found is None:
        return SqliteCheckpointer(database, types=types, key=key)
    if not address.startswith(_POSTGRES):
        remedy = "Name a file, or give, as text, an address that begins with postgresql://"
        raise SettingsError("database", f"{found[1]!r} is not a kind of database that can be used", f"{remedy}.")
    try:
        from signoff.checkpoints.postgres import PostgresOpening
    except ImportError as error:
        raise MissingExtra("Keeping checkpoints in PostgreSQL", "postgres") from error
    return PostgresOpening(address, types=types, key=key)


def configured_saver(settings: Settings) -> Opening:
    """The saver of the database and the key that the settings name; a database of signoff 0.1 is brought up to date."""
    database = settings.database if "://" in settings.database else settings.database_path
    key = settings.encryption_key.get_secret_value() if settings.encryption_key is not None else None
    opening = open_saver(database, key=key)
    if isinstance(opening, SqliteCheckpointer):
        migrate(opening)
    return opening
