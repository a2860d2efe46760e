"""The tables of a folder, or of some files, kept up to date and asked with SQL."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import chain
from pathlib import Path
from threading import Lock
from typing import Final

from signoff.error_base import MissingExtra
from signoff.tools.analysis.columns import loaded, read_tables
from signoff.tools.analysis.query import QueryLimits, QueryResult, ask
from signoff.tools.analysis.spreadsheets import holds_tables
from signoff.tools.analysis.store import Store, Table
from signoff.tools.documents.archive import MOST_TIMES
from signoff.tools.documents.limited_reader import LEAST_SECONDS, read_apart
from signoff.tools.errors import QueryRefused, SourcesMissing, UnknownTable, Unreadable
from signoff.tools.search.folder import Found, Skipped, list_files, read_bytes
from signoff.tools.storage.own_database import choose_path

_MOST_TOLD: Final = 12
"""Tables whose columns are told to whoever asked for one that is not there."""


@dataclass(frozen=True, kw_only=True)
class LoadLimits:
    """How large files and tables may be; larger ones are left out, with the reason."""

    file_mb: float = 50.0
    rows: int = 1_000_000
    columns: int = 300
    tables: int = 400
    """In one file."""
    times: float = MOST_TIMES
    """As large as it is packed a workbook may become, beyond 20 MB: long tables of few different values become more."""
    seconds: float = LEAST_SECONDS
    """Processor time in which a file is read; each of its megabytes has some more."""
    all_mb: int = 1_000


class Tables:
    """Every CSV, TSV, JSON, JSON Lines, Parquet and Excel file as a table of one SQLite file, asked with SQL.

    Files are read on first use, and again by `refresh` where their content changed. Threads and processes may share it.
    """

    def __init__(self, files: Path | Sequence[Path], store: Store, load: LoadLimits, query: QueryLimits) -> None:
        """The tables of a folder, whose files may come and go, or of certain files."""
        self._files, self._store, self._load, self.limits = files, store, load, query
        self.origins = _origins(files)
        self._refreshing = Lock()
        self._is_fresh = False

    @classmethod
    def open(
        cls,
        source: Path | str | Sequence[Path | str],
        *,
        home: Path | str = ".signoff",
        load: LoadLimits | None = None,
        query: QueryLimits | None = None,
    ) -> Tables:
        """The tables of a folder, or of the files named, kept in `<home>/tables`; nothing is read yet."""
        load = load or LoadLimits()
        files: Path | Sequence[Path]
        if isinstance(source, Path | str):
            place = Path(source).expanduser()
            if not place.exists():
                raise SourcesMissing(source)
            files = place.resolve() if place.is_dir() else [place.resolve()]
        else:
            files = sorted({Path(file).expanduser().resolve() for file in source})
        name = files.name if isinstance(files, Path) else files[0].stem if files else ""
        database = choose_path(Path(home) / "tables", name, "\0".join(_origins(files)))
        return cls(files, Store(database, most_mb=load.all_mb), load, query or QueryLimits())

    @property
    def database(self) -> Path:
        return self._store.database

    def refresh(self) -> list[Table]:
        """Read what is new or has changed, forget what is gone, and return the tables."""
        with self._refreshing:
            found, left_out = self._list()
            known = self._store.known()
            self._store.remove(sorted(known.keys() - {file.name for file in found} - {skip.path for skip in left_out}))
            for skip in left_out:
                self._store.put(skip.path, "", problem=skip.reason)
            for file in found:
                self._update(file, known.get(file.name, ""))
            self._is_fresh = True
            return self._store.tables()

    def _list(self) -> tuple[list[Found], list[Skipped]]:
        """The files of tables, and those that cannot be followed or are named, but by another name."""
        if isinstance(self._files, Path):
            if not self._files.is_dir():
                raise SourcesMissing(self._files)
            files, skipped = list_files(self._files)
            return [f for f in files if holds_tables(f.name)], [skip for skip in skipped if holds_tables(skip.path)]
        found = [Found(name, path) for name, path in zip(_short_names(self._files), self._files, strict=True)]
        problem = "its name is not that of a file of tables"
        others = [Skipped(file.name, problem) for file in found if not holds_tables(file.name)]
        return [file for file in found if holds_tables(file.name)], others

    def _update(self, file: Found, known: str) -> None:
        """Store a file as it is now, or why it is not read, unless that is known."""
        mark = ""
        try:
            raw = read_bytes(file.path, int(self._load.file_mb * 1_000_000))
            mark = hashlib.sha256(repr(self._load).encode() + raw).hexdigest()
            if known == mark:
                return
            most = {name: getattr(self._load, name) for name in ("rows", "columns", "tables", "times")}
            with closing(read_apart(read_tables, file.name, raw, seconds=self._load.seconds, **most)) as found:
                first = next(found)  # before others have to wait: all tables were gone through once by then
                self._store.put(file.name, mark, loaded(chain([first], found)))
        except Unreadable as error:
            self._store.put(file.name, "" if error.passing else mark, problem=error.reason)
        except MissingExtra as error:  # which may be installed by the next time
            self._store.put(file.name, "", problem=str(error))

    def _fresh(self) -> Store:
        if not self._is_fresh:
            self.refresh()
        return self._store

    def tables(self) -> list[Table]:
        return self._fresh().tables()

    def table(self, name: str) -> Table:
        """The table of this name, whatever its case; UnknownTable if there is none."""
        tables = {table.name.lower(): table for table in self.tables()}
        if name.strip().lower() not in tables:
            close = get_close_matches(name.lower()[:200], list(tables), n=3, cutoff=0.4)
            raise UnknownTable(name, [tables[key].name for key in (close or tables)])
        return tables[name.strip().lower()]

    def skipped(self) -> list[Skipped]:
        return self._fresh().skipped()

    def query(self, sql: str, *, rows: int | None = None) -> QueryResult:
        """What one SELECT finds; QueryRefused if it is not answered, with the tables and columns there are."""
        return self.ask([sql], rows=rows)[0]

    def ask(
        self, statements: Sequence[str], *, rows: int | None = None, seconds: float | None = None
    ) -> list[QueryResult]:
        """What several SELECTs find, all in the time that one may take, or in so many seconds."""
        tables = self.tables()
        limits = replace(self.limits, rows=rows or self.limits.rows, seconds=seconds or self.limits.seconds)
        try:
            return ask(self.database, [table.name for table in tables], statements, limits)
        except QueryRefused as error:
            raise QueryRefused(error.problem, _hint(error.problem, tables)) from None


def _origins(files: Path | Sequence[Path]) -> tuple[str, ...]:
    return tuple(map(str, [files] if isinstance(files, Path) else files))


def has_tables(folder: Path) -> bool:
    return any(holds_tables(file.name) for file in list_files(folder)[0])


def _short_names(files: Sequence[Path]) -> list[str]:
    """Each file's path from the folder they all lie in."""
    if not files:
        return []
    top = os.path.commonpath([file.parent for file in files]) if len({file.drive for file in files}) == 1 else ""
    return [file.relative_to(top).as_posix() if top else file.as_posix() for file in files]


def _hint(problem: str, tables: Sequence[Table]) -> str:
    """The tables and columns there are, for whoever named one that is not there."""
    missing = re.search(r"no such (table|column): (?:\w+\.)?(.+)|misuse|ambiguous", problem)
    told = [f"{table.name}({', '.join(column.name for column in table.columns)})" for table in tables[:_MOST_TOLD]]
    every = f"Tables: {'; '.join(told)}{' …' if len(tables) > _MOST_TOLD else ''}." if told else "There are no tables."
    if missing is None or not missing[2]:
        return every
    names = [t.name for t in tables] if missing[1] == "table" else [c.name for t in tables for c in t.columns]
    close = get_close_matches(missing[2].strip('"'), list(dict.fromkeys(names)), n=3)
    return f"Did you mean {' or '.join(close)}? {every}" if close else every
