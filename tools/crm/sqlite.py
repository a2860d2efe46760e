"""A CRM in a SQLite file: one table, in which rows of ours are known by their key, beside whatever else is there."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from signoff.tools.crm.row import KEY, OURS, Record, Row, Written
from signoff.tools.errors import CrmFailed
from signoff.tools.storage import check_place

if TYPE_CHECKING:
    from sqlite_utils.db import Table

_AT_ONCE: Final = 500
_ROWID: Final = "signoff_rowid"
_WHY: Final = {
    sqlite3.SQLITE_BUSY: "another program holds it locked: close it there",
    sqlite3.SQLITE_FULL: "the disk is full: make room",
    sqlite3.SQLITE_READONLY: "it may not be written to: change that, or name another file",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: look at its folder and who may use it",
    sqlite3.SQLITE_NOTADB: "it is no SQLite file: name another one",
}


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

    def check(self) -> None:
        """A transaction in which rows could be written, taken back; a file that is locked now may be open by then."""
        try:
            if not self.path.exists():
                check_place(self.path)
                return
            with replace(self, seconds=0.0)._opened() as table:
                table.db.execute("BEGIN IMMEDIATE")
                self._prepare(table)
                table.db.execute("CREATE TABLE signoff_check (a)")
        except OSError as error:
            raise CrmFailed(self.name, f"no file can be made there: {error.strerror}", sure=True) from error
        except CrmFailed as error:
            if getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise

    def find(self, keys: Sequence[str], _properties: Sequence[str] = (), /) -> dict[str, Record]:
        if not self.path.exists():
            return {}
        with self._opened() as table:
            return {key: Record.read(_id(kept), kept) for key, kept in self._kept(table, keys).items()}

    def upsert(self, rows: Sequence[Row]) -> list[Written]:
        """All rows in one transaction: all of them are written, or none."""
        written = list[Written]()
        is_ending = False
        try:
            with self._opened() as table:
                table.db.execute("BEGIN IMMEDIATE")
                self._prepare(table)
                kept = self._kept(table, [row.key for row in rows])
                written = [self._write(table, row, kept.get(row.key)) for row in rows]
                is_ending = True
                table.db.execute("COMMIT")  # without it, closing the connection takes all of it back
        except CrmFailed as error:
            if not is_ending or not self._is_written(rows, written, error):
                raise
        return written

    def _is_written(self, rows: Sequence[Row], written: Sequence[Written], failed: CrmFailed) -> bool:
        """Whether a transaction stands there whose end was told to have failed; CrmFailed, unsure, if nobody knows."""
        try:
            found = self.find([row.key for row in rows])
        except CrmFailed as error:
            raise CrmFailed(self.name, f"{failed.problem}; and when it was read back, {error.problem}") from failed
        wanted = [row for row, one in zip(rows, written, strict=True) if one.change in ("created", "updated")]
        return all(row.key in found and found[row.key].holds(row) for row in wanted)

    def _prepare(self, table: Table) -> None:
        """Make the table, and what rows of ours are known by, unless it is there."""
        columns = table.columns_dict if table.exists() else {}
        if KEY not in columns and not {*OURS}.isdisjoint(columns):
            problem = f"the column {KEY!r} of {self.table!r} is gone, by which rows are known again: put it back"
            raise CrmFailed(self.name, problem, sure=True)
        if not columns:
            table.create({"id": int, KEY: str}, pk="id")
        elif KEY not in columns:
            table.add_column(KEY, str)
        table.create_index([KEY], unique=True, if_not_exists=True)

    def _write(self, table: Table, row: Row, kept: dict[str, Any] | None) -> Written:
        before = None if kept is None else Record.read(_id(kept), kept)
        if (refused := Written.changed_meanwhile(row, before)) is not None:
            return refused
        if kept is None or before is None:
            made = table.insert(row.sent(before=""), alter=True)
            return Written(row.key, "created", str(made.last_rowid))
        if before.is_as(row):
            return Written(row.key, "unchanged", before.id)
        values = [kept[_ROWID if name == "rowid" else name.lower()] for name in table.pks]
        table.update(values if len(values) > 1 else values[0], row.sent(before=before.sha256), alter=True)
        return Written(row.key, "updated", before.id)

    def _kept(self, table: Table, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The rows with these keys, with all their columns, whose names are the same in capitals."""
        found = dict[str, dict[str, Any]]()
        if not table.exists() or KEY not in table.columns_dict:
            return found
        for place in range(0, len(keys), _AT_ONCE):
            some = list(keys[place : place + _AT_ONCE])
            among = f'"{KEY}" IN ({", ".join("?" * len(some))})'
            for one in table.rows_where(among, some, select=f"rowid AS {_ROWID}, *"):
                kept = {name.lower(): value for name, value in one.items()}
                if found.setdefault(str(kept[KEY]), kept) is not kept:
                    problem = f"several rows of {self.table!r} have the key {kept[KEY]}: leave one of them"
                    raise CrmFailed(self.name, problem, sure=True, of_row=True)
        return found

    @contextmanager
    def _opened(self) -> Iterator[Table]:
        from sqlite_utils import Database
        from sqlite_utils.db import NoTable

        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=self.seconds, isolation_level=None)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                yield Database(connection).table(self.table)
        except (sqlite3.Error, OSError, NoTable) as error:  # a transaction that did not end was rolled back
            problem = _WHY.get(getattr(error, "sqlite_errorcode", 0) & 0xFF, "")
            told = f"{problem} ({error})" if problem else f"{type(error).__name__}: {error}"
            of_row = isinstance(error, sqlite3.IntegrityError)
            raise CrmFailed(self.name, told, sure=True, of_row=of_row) from error


def _id(kept: dict[str, Any]) -> str:
    return str(kept.get("id", kept[_ROWID]))
