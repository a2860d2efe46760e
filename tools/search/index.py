"""The index of a folder: documents, their passages and a full-text search over them, in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any
from weakref import finalize

from signoff.checkpoints.errors import DatabaseUnusable
from signoff.tools.documents.blocks import Document
from signoff.tools.search.folder import Skipped
from signoff.tools.search.passage import Passage
from signoff.tools.search.ranking import SEARCH_TABLE, phrase, spaced
from signoff.tools.storage.atomic import explain
from signoff.tools.storage.own_database import OwnDatabase, write_transaction

if TYPE_CHECKING:
    from sqlite_utils import Database

VERSION = 9
"""Of the tables and of what the readers make of a file: raise it, and every index is built anew."""

_APPLICATION = 0x5349474E  # "SIGN": how a file is known to be ours
_PASSAGE = "p.id, d.path, d.title, p.heading, p.text, p.start, p.kind"


@dataclass(frozen=True)
class Entry:
    """A document to be stored."""

    path: str
    sha256: str
    bytes: int
    document: Document


class Index:
    """One SQLite file. Several threads and several processes may use it at once."""

    def __init__(self, database: Path) -> None:
        self.database = database
        self._lock = RLock()
        self._db: Database | None = None
        self._state: tuple[int, int] | None = None
        self._numbers: dict[tuple[str, str], int] = {}
        self._file = OwnDatabase(
            path=database,
            application=_APPLICATION,
            version=VERSION,
            create=_create_tables,
            pragmas=("journal_mode = wal", "synchronous = normal"),
        )
        self._is_closed = False
        there = next(place for place in (database.absolute(), *database.absolute().parents) if place.exists())
        if not (there.is_dir() or self._file.seems_ours()) or not os.access(there, os.W_OK):
            self._connect()  # else once it is looked into

    def renew(self) -> None:
        """Begin anew with an empty file, as the old one is damaged."""
        with self._lock, self._named_errors():
            self.close()
            self._file.remove()
            self._is_closed = False

    def _connect(self) -> Database:
        with self._named_errors():
            self._db = db = self._file.open()
            finalize(self, db.close)  # Python 3.13 warns of a connection that nobody closed
            return db

    def close(self) -> None:
        with self._lock:
            if self._db is not None:
                self._db.close()
            self._db, self._is_closed = None, True

    def put(self, entries: Sequence[Entry]) -> None:
        """Store documents and their passages, all or none, in place of what was stored under their paths."""
        with self._writing() as db:
            for entry in entries:
                found = db.execute("select sha256 from documents where path = ?", [entry.path]).fetchone()
                if found != (entry.sha256,):  # else another process was faster
                    self._delete(db, entry.path)
                    self._insert(db, entry)

    def remove(self, paths: Sequence[str]) -> None:
        with self._writing() as db:
            for path in paths:
                self._delete(db, path)

    def set_skipped(self, skips: Iterable[Skipped]) -> None:
        """Remember what could not be indexed."""
        with self._writing() as db:
            db.execute("delete from skipped")
            db.table("skipped").insert_all(map(asdict, skips), pk="path", replace=True)

    def digest_of(self, path: str) -> str:
        found = self._rows("select sha256 from documents where path = ?", [path])
        return str(found[0][0]) if found else ""

    def paths(self) -> list[str]:
        return [str(path) for (path,) in self._rows("select path from documents order by path")]

    def skipped(self) -> list[Skipped]:
        return [Skipped(*row) for row in self._rows("select path, reason, sha256 from skipped order by path")]

    def count(self, table: str) -> int:
        return self._number(f"select count(*) from {table}", "")

    def text(self, path: str) -> str | None:
        found = self._rows("select text from documents where path = ?", [path])
        return str(found[0][0]) if found else None

    def passages(self, path: str) -> list[Passage]:
        return self._unranked("d.path = ? order by p.ordinal", [path])

    def match(self, query: str, limit: int) -> list[Passage]:
        """The passages that match a query in FTS5's own language, best first."""
        rows = self._rows(
            f"select {_PASSAGE}, -f.rank from (select rowid, rank from passages_fts where passages_fts match ?"
            " order by rank limit ?) f join passages p on p.id = f.rowid join documents d on d.id = p.document"
            " order by f.rank, p.id",
            [query, limit],
        )
        return [Passage(*row) for row in rows]

    def held(self, words: Iterable[str], ids: Sequence[int]) -> dict[int, set[str]]:
        """Which of the words each of these passages has, in its text, headings, title or path."""
        marks = ", ".join("?" * len(ids))
        held: dict[int, set[str]] = {id: set() for id in ids}
        for word in words:
            sql = f"select rowid from passages_fts where passages_fts match ? and rowid in ({marks})"
            for (id,) in self._rows(sql, [phrase(word), *ids]):
                held[id].add(word)
        return held

    @property
    def state(self) -> tuple[int, int]:
        """Differs from what it was if anybody has written since."""
        with self._lock, self._named_errors():
            db = self._connected()
            return int(db.execute("pragma data_version").fetchone()[0]), db.conn.total_changes

    def frequency(self, word: str) -> int:
        """In how many passages a word stands, in text, headings, title or path."""
        return self._number("select count(*) from passages_fts where passages_fts match ?", phrase(word))

    def _number(self, sql: str, value: str) -> int:
        """The one number a query gives, looked up again only after somebody wrote."""
        with self._lock, self._named_errors():
            db, state = self._connected(), self.state
            if state != self._state or len(self._numbers) > 10_000:
                self._state, self._numbers = state, {}
            if (sql, value) not in self._numbers:
                self._numbers[sql, value] = int(db.execute(sql, [value] if value else []).fetchone()[0])
            return self._numbers[sql, value]

    def _unranked(self, where: str, values: Any) -> list[Passage]:
        tables = "passages p join documents d on d.id = p.document"
        return [Passage(*row) for row in self._rows(f"select {_PASSAGE}, 0.0 from {tables} where {where}", values)]

    def _rows(self, sql: str, values: Any = ()) -> list[Any]:
        with self._lock, self._named_errors():
            return self._connected().execute(sql, values).fetchall()

    def _connected(self) -> Database:
        if self._is_closed:
            raise DatabaseUnusable(str(self.database), "it was closed")
        return self._connect() if self._db is None else self._db

    @contextmanager
    def _writing(self) -> Iterator[Database]:
        with self._lock, self._named_errors(), write_transaction(self._connected()) as db:
            yield db

    @contextmanager
    def _named_errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            problem = explain(error) if isinstance(error, OSError) else str(error)
            raise DatabaseUnusable(str(self.database), problem) from error

    @staticmethod
    def _insert(db: Database, entry: Entry) -> None:
        document = entry.document
        row = db.execute(
            "insert into documents (path, sha256, bytes, title, text) values (?, ?, ?, ?, ?) returning id",
            [entry.path, entry.sha256, entry.bytes, document.title, document.text],
        )
        ((number,),) = row.fetchall()
        db.table("passages").insert_all(
            {
                "document": number,
                "ordinal": at,
                "heading": span.heading,
                "text": document.text[span.start : span.end],
                "start": span.start,
                "kind": span.kind,
            }
            for at, span in enumerate(document.spans)
        )
        _index(db, entry.path, "")

    @staticmethod
    def _delete(db: Database, path: str) -> None:
        _index(db, path, "delete")
        db.execute("delete from passages where document = (select id from documents where path = ?)", [path])
        db.execute("delete from documents where path = ?", [path])


def _index(db: Database, path: str, command: str) -> None:
    """Enter the passages of a document into the full-text index, or take them out: it keeps no texts of its own."""
    stored = "select p.id, p.text, p.heading, d.title, d.path from passages p join documents d on d.id = p.document"
    rows = [(id, *map(spaced, parts)) for id, *parts in db.execute(f"{stored} where d.path = ?", [path]).fetchall()]
    columns, marks = "rowid, text, heading, title, path", "?, ?, ?, ?, ?"
    if command:
        columns, marks, rows = f"passages_fts, {columns}", f"?, {marks}", [(command, *row) for row in rows]
    db.conn.executemany(f"insert into passages_fts ({columns}) values ({marks})", rows)


def _create_tables(db: Database) -> None:
    documents = {"id": int, "path": str, "sha256": str, "bytes": int, "title": str, "text": str}
    passages = {"id": int, "document": int, "ordinal": int, "heading": str, "text": str, "start": int, "kind": str}
    db.table("documents").create(documents, pk="id", not_null=set(documents) - {"id"})
    db.table("documents").create_index(["path"], unique=True)
    db.table("passages").create(passages, pk="id", foreign_keys=[("document", "documents", "id")])
    db.table("passages").create_index(["document", "ordinal"])
    db.table("skipped").create({"path": str, "reason": str, "sha256": str}, pk="path")
    db.execute(SEARCH_TABLE.format("passages_fts"))
