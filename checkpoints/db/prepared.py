"""Statements of SQLAlchemy's that are compiled once and run by the driver itself, within SQLAlchemy's transaction.

For what every call of a model needs: SQLAlchemy's own way to run a statement takes many times what the database does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Dialect, Select, bindparam
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement

from signoff.checkpoints.canonical import plain_text

_SIZES: Final = (1, 8, 64, 500)
"""Of how many values a lookup is compiled for: databases take only so many at once."""


class Prepared:
    """A statement, and its text in each kind of database. `columns`: those that an insert gives, if not all."""

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._statement, self._columns = statement, columns
        self._texts: dict[str, tuple[str, dict[str, Any], Sequence[str] | None]] = {}

    def run(self, connection: Connection, **values: Any) -> Any:
        """Run it with these values by name; the driver's cursor."""
        return self._execute(connection, "execute", self._bound(connection.dialect, values))

    def run_for(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of these."""
        bound = [self._bound(connection.dialect, row) for row in rows]
        if len(bound) == 1:
            self._execute(connection, "execute", bound[0]).close()
        elif bound:
            self._execute(connection, "executemany", bound).close()

    def _execute(self, connection: Connection, how: str, bound: Any) -> Any:
        dialect, driver = connection.dialect, connection.connection
        text, cursor = self._text_for(dialect)[0], driver.cursor()
        try:
            getattr(cursor, how)(text, bound)
        except dialect.loaded_dbapi.Error as error:
            if dialect.is_disconnect(error, driver, cursor):
                connection.invalidate(error)
            base = dialect.loaded_dbapi.Error
            raise DBAPIError.instance(None, None, error, base, hide_parameters=True, dialect=dialect) from error
        return cursor

    def _bound(self, dialect: Dialect, values: Mapping[str, Any]) -> Any:
        """The values as the driver takes them: in order, or by name."""
        _, constants, order = self._text_for(dialect)
        plain = {name: plain_text(value) if isinstance(value, str) else value for name, value in values.items()}
        plain = {**constants, **plain} if constants else plain
        return plain if order is None else [plain[name] for name in order]

    def _text_for(self, dialect: Dialect) -> tuple[str, dict[str, Any], Sequence[str] | None]:
        found = self._texts.get(dialect.name)
        if found is None:
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)
            constants = {name: value for name, value in compiled.params.items() if value is not None}
            found = self._texts[dialect.name] = str(compiled), constants, compiled.positiontup
        return found


class Lookup:
    """A query for some values of one column, however many there are."""

    def __init__(self, query: Select[Any], column: ColumnElement[Any]) -> None:
        self._of: dict[int, Prepared] = {}
        for size in _SIZES:
            values = [bindparam(f"v{place}", type_=column.type) for place in range(size)]
            self._of[size] = Prepared(query.where(column.in_(values)))

    def rows(self, connection: Connection, values: Sequence[str]) -> list[Any]:
        """The rows that are found for them; a lookup for more than one may look for one of them again."""
        found: list[Any] = []
        for start in range(0, len(values), _SIZES[-1]):
            part = values[start : start + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(part))
            wanted = {f"v{place}": part[min(place, len(part) - 1)] for place in range(size)}
            found += self._of[size].run(connection, **wanted).fetchall()
        return found
