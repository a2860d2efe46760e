"""A CRM in a SQLite file: one table, in which rows of ours are known by their key, beside whatever else is there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from signoff.tools.crm.row import KEY, Record, Row, Written
from signoff.tools.errors import CrmFailed

if TYPE_CHECKING:
    from sqlite_utils.db import Table

_AT_ONCE: Final = 500
_ROWID: Final = "signoff_rowid"


@dataclass(frozen=True)
class SqliteCrm:
    """A table of a file; both are made if they are not there. Rows that others wrote stay as they are."""

    path: Path
    table: str = "leads"
    seconds: float = 30.0
    """How long a locked file is waited for."""

    @property
    def name(self) -> str:
        return str(self.path)

    @property
    def host(self) -> str:
        return ""

    def find(self, keys: Sequence[str], _properties: Sequence[str] = (), /) -> dict[str, Record]:
        if not self.path.exists():
            return {}
        with self._opened() as table:
            return {key: Record.read(_id(kept), kept) for key, kept in self._kept(table, keys).items()}

    def upsert(self, rows: Sequence[Row]) -> list[Written]:
        """All rows in one transaction: all of them are written, or none."""
        with self._opened() as table:
            table.db.execute("BEGIN IMMEDIATE")
            if not table.exists():
                table.create({"id": int, KEY: str}, pk="id")
            elif KEY not in table.columns_dict:
                table.add_column(KEY, str)
            table.create_index([KEY], unique=True, if_not_exists=True)
            kept = self._kept(table, [row.key for row in rows])
            written = [self._write(table, row, kept.get(row.key)) for row in rows]
            table.db.execute("COMMIT")  # without it, closing the connection takes all of it back
        return written

    def _write(self, table: Table, row: Row, kept: dict[str, Any] | None) -> Written:
        if kept is None:
            made = table.insert(row.sent(before=""), alter=True)
            return Written(row.key, "created", str(made.last_rowid))
        before = Record.read(_id(kept), kept)
        if before.holds(row) and not before.differs_from(row):
            return Written(row.key, "unchanged", before.id)
        values = [kept[_ROWID if name == "rowid" else name] for name in table.pks]
        table.update(values if len(values) > 1 else values[0], row.sent(before=before.sha256), alter=True)
        return Written(row.key, "updated", before.id)

    def _kept(self, table: Table, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows with these keys, with all their columns."""
        found = dict[str, dict[str, Any]]()
        if not table.exists() or KEY not in table.columns_dict:
            return found
        for place in range(0, len(keys), _AT_ONCE):
            some = list(keys[place : place + _AT_ONCE])
            among = f'"{KEY}" IN ({", ".join("?" * len(some))})'
            for kept in table.rows_where(among, some, select=f"rowid AS {_ROWID}, *"):
                if found.setdefault(str(kept[KEY]), kept) is not kept:
                    raise CrmFailed(self.name, f"several rows of {self.table!r} have the key {kept[KEY]}", sure=True)
        return found

    @contextmanager
    def _opened(self) -> Iterator[Table]:
        from sqlite_utils import Database

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=self.seconds, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield Database(connection).table(self.table)
        except (sqlite3.Error, OSError) as error:  # a transaction that did not end was rolled back
            raise CrmFailed(self.name, f"{type(error).__name__}: {error}", sure=True) from error


def _id(kept: dict[str, Any]) -> str:
    return str(kept.get("id", kept[_ROWID]))
