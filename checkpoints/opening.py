"""Opening the saver that a path or an address names, and the saver and the ledger of the settings."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from signoff.checkpoints.db.url import is_address
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.ledger.notifications.hooks import configured_hooks
from signoff.checkpoints.redaction import remember_settings
from signoff.error_base import MissingExtra
from signoff.settings import Settings, load_settings

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver


class Opening(
    AbstractContextManager["BaseCheckpointSaver[Any]", None],
    AbstractAsyncContextManager["BaseCheckpointSaver[Any]", None],
    Protocol,
):
    """A saver that `with` and `async with` open and close."""


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
    if not is_address(database):
        from signoff.checkpoints.saver.saver import SqliteCheckpointer  # late: whoever needs only the ledger is quicker

        return SqliteCheckpointer(database, types=types, key=key)
    try:
        from signoff.checkpoints.saver.postgres_checkpointer import PostgresOpening
    except ImportError as error:
        raise MissingExtra("Keeping checkpoints in PostgreSQL", "postgres") from error
    return PostgresOpening(str(database), types=types, key=key)


def configured_saver(settings: Settings) -> Opening:
    """The saver of the database and the key that the settings name."""
    key = settings.encryption_key.get_secret_value() if settings.encryption_key is not None else None
    return open_saver(settings.database_name, key=key)


def configured_ledger(settings: Settings) -> Ledger:
    """The ledger of the database that the settings name, and of the hooks; their secrets are kept out of its log."""
    remember_settings(settings)
    return Ledger(settings.database_name, hooks=configured_hooks(settings), tenant=settings.tenant)


class CurrentLedger:
    """The ledger of the settings as they are now: opened once, and another one when they, or the folder, have changed.

    Any thread may ask. Whoever still works with an earlier one is left to; it is closed when nobody does.
    """

    def __init__(self) -> None:
        self._opening = threading.Lock()
        self._opened: tuple[tuple[Settings, Path], Ledger] | None = None

    def __call__(self) -> Ledger:
        surroundings = load_settings(), Path.cwd()
        with self._opening:
            if self._opened is None or self._opened[0] != surroundings:
                self._opened = surroundings, configured_ledger(surroundings[0])
            return self._opened[1]
