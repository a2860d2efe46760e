"""The store: the tables of some files in one SQLite file, and what each file was when it was read."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from signoff.checkpoints.errors import DatabaseUnusable
from signoff.tools.analysis.columns import Column, Loaded, choose_name
from signoff.tools.errors import Unreadable
from signoff.tools.search.folder import Skipped
from signoff.tools.storage.own_database import OwnDatabase, write_transaction

if TYPE_CHECKING:
    from sqlite_utils import Database

VERSION: Final = 1
"""Of what is made of a file: raise it, and every file is read anew."""
_APPLICATION: Final = 0x53494754  # "SIGT": how a file is known to be ours
_PAGE: Final = 4096


@dataclass(frozen=True)
class Table:
    """A table, and where it comes from."""

    name: str
    file: str
    part: str
    """Sheet of a workbook or key of a JSON object; empty if the file is the one table."""
    rows: int
    columns: tuple[Column, ...]

    @property
    def source(self) -> str:
        """Where its rows stand, for people."""
        return f"{self.file}, {self.part}" if self.part else self.file


class Store:
    """One SQLite file with a table for each table of some files. Threads and processes may share it."""

    def __init__(self, database: Path, *, most_mb: int) -> None:
        self.database = database
        self._most_pages = most_mb * 1_000_000 // _PAGE
        self._file = OwnDatabase(
            path=database,
            application=_APPLICATION,
            version=VERSION,
            create=_create,
            pragmas=(f"max_page_count = {self._most_pages}",),
        )

    def known(self) -> dict[str, str]:
        with self._opened() as db:
            return dict(db.execute("select file, mark from signoff_files").fetchall())

    def skipped(self) -> list[Skipped]:
        with self._opened() as db:
            found = db.execute("select file, problem from signoff_files where problem != '' order by file").fetchall()
        return [Skipped(*row) for row in found]

    def tables(self) -> list[Table]:
        with self._opened() as db:
            found = db.execute("select name, file, part, rows, columns from signoff_tables order by name").fetchall()
        return [
            Table(name, file, part, rows, tuple(Column(**column) for column in json.loads(columns)))
            for name, file, part, rows, columns in found
        ]

    def put(self, file: str, mark: str, tables: Iterable[Loaded] = (), *, problem: str = "") -> None:
        """Store the tables of a file in place of those it had, all or none, or why there are none.

        `mark`: digest of what it was read from; empty if another try may go better. Unreadable if there is no room.
        """
        with self._writing() as db:
            _drop(db, file)
            db.table("signoff_files").insert({"file": file, "mark": mark, "problem": problem})
            try:
                for table in tables:
                    _fill(db, file, table)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
                    raise
                most = self._most_pages * _PAGE / 1e6
                raise Unreadable(f"no room: all tables together may have {most:,.0f} MB", passing=True) from error

    def remove(self, files: Sequence[str]) -> None:
        if files:
            with self._writing() as db:
                for file in files:
                    _drop(db, file)

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        with self._opened() as db, write_transaction(db):
            yield db

    @contextmanager
    def _opened(self) -> Iterator[Database]:
        try:
            with closing(self._file.open()) as db:
                yield db
        except sqlite3.Error as error:
            raise DatabaseUnusable(str(self.database), str(error)) from error


def _create(db: Database) -> None:
    db.execute("create table signoff_files (file text primary key, mark text, problem text)")
    db.execute("create table signoff_tables (name text primary key, file text, part text, rows integer, columns text)")


def _drop(db: Database, file: str) -> None:
    for (name,) in db.execute("select name from signoff_tables where file = ?", [file]).fetchall():
        db.table(name).drop()
    db.execute("delete from signoff_tables where file = ?", [file])
    db.execute("delete from signoff_files where file = ?", [file])


def _fill(db: Database, file: str, table: Loaded) -> None:
    """Make the table and put its rows in."""
    stem = file.rpartition(".")[0] if "." in file.rpartition("/")[2] else file
    name = choose_name(f"{stem} {table.part}", "table", db.table_names())
    types = {column.name: column.type for column in table.shape.columns}
    db.table(name).create(types)
    db.table(name).insert_all(chain[Sequence[Any]]([list(types)], table.rows))
    columns = json.dumps([asdict(column) for column in table.shape.columns])
    about = {"name": name, "file": file, "part": table.part, "rows": table.shape.rows, "columns": columns}
    db.table("signoff_tables").insert(about)
