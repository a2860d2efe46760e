"""An SQLite file of ours: made, emptied if another version wrote it, begun anew if damaged; others are left alone."""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from signoff.checkpoints.errors import ForeignDatabase

if TYPE_CHECKING:
    from sqlite_utils import Database

_SQLITE = b"SQLite format 3\0"


@dataclass(frozen=True, kw_only=True)
class OwnDatabase:
    """How a file is known to be ours, and what is in it. Threads and processes may open it at once."""

    path: Path
    application: int
    """SQLite's application_id."""
    version: int
    """Of the tables and of what they hold: a file of another one is emptied."""
    create: Callable[[Database], None]
    """Makes the tables."""
    pragmas: tuple[str, ...] = ()
    """Set for each connection."""

    def open(self) -> Database:
        """The file, with our tables in it; ForeignDatabase if it is somebody else's."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return self._opened()
        except sqlite3.DatabaseError as error:
            if not is_damage(error) or self._head()[68:72] != self.application.to_bytes(4, "big"):
                raise
            self.remove()
            return self._opened()

    def seems_ours(self) -> bool:
        """Whether the first bytes of the file say so, which takes no connection."""
        if not self.path.is_file():
            return False
        head = self._head()
        return head[:16] == _SQLITE and head[68:72] == self.application.to_bytes(4, "big")

    def remove(self) -> None:
        """Remove the file, with SQLite's log of it."""
        for suffix in ("", "-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)

    def _opened(self) -> Database:
        from sqlite_utils import Database

        if self.path.is_file() and self._head()[:16] not in (b"", _SQLITE):
            raise ForeignDatabase(str(self.path), "it is some other file")
        connection = sqlite3.connect(self.path, timeout=30, check_same_thread=False)
        try:
            db = Database(connection, execute_plugins=False)
            is_ours = self._is_ours(db)
            for pragma in self.pragmas:
                db.execute(f"pragma {pragma}").close()
            if not is_ours:
                self._begin(db)
        except BaseException:
            connection.close()
            raise
        return db

    def _is_ours(self, db: Database) -> bool:
        """Whether this version wrote it, not an earlier one or nobody; ForeignDatabase if somebody else did."""
        application = db.execute("pragma application_id").fetchone()[0]
        if application == self.application:
            return bool(db.execute("pragma user_version").fetchone()[0] == self.version)
        if application or db.execute("select count(*) from sqlite_master").fetchone()[0]:
            raise ForeignDatabase(str(self.path), "it holds tables of some other program")
        return False

    def _begin(self, db: Database) -> None:
        """Make the tables in one transaction, unless another process was faster; what is there is dropped in it.

        The file stays where it is: other processes may have it open, and SQLite's log belongs to the file's name.
        """
        with write_transaction(db):
            if self._is_ours(db):
                return
            for kind in ("sql like 'create virtual table%'", "type = 'table' and name not like 'sqlite_%'"):
                for (table,) in db.execute(f"select name from sqlite_master where {kind}").fetchall():
                    db.execute(f'drop table "{table}"')
            self.create(db)
            db.execute(f"pragma application_id = {self.application}")
            db.execute(f"pragma user_version = {self.version}")

    def _head(self) -> bytes:
        with self.path.open("rb") as file:
            return file.read(100)


def is_damage(error: BaseException | None) -> bool:
    """Whether the file's content is broken, so that only beginning anew helps."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def choose_path(folder: Path, name: str, origin: str) -> Path:
    """Where in a folder the database of an origin is: under a name for people, and a digest that no other has."""
    digest = hashlib.sha256(origin.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    plain = re.sub(r"[^\w.-]", "_", name, flags=re.ASCII)[:60] or "root"
    return folder.expanduser() / f"{plain}-{digest}.db"


@contextmanager
def write_transaction(db: Database) -> Iterator[Database]:
    """One that holds the write lock from its start, so that it never fails half-way for want of it."""
    db.execute("begin immediate")
    try:
        yield db
    except BaseException:
        db.rollback()
        raise
    db.commit()
