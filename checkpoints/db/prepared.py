"""Statements of SQLAlchemy's that are compiled once and run by the driver itself, within SQLAlchemy's transaction.

For what every call of a model needs: SQLAlchemy's own way to run a statement takes many times what the database does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Connection, Dialect, Select, Update, bindparam
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.expression import ClauseElement

from signoff.checkpoints.canonical import plain_text

_SIZES: Final = (1, 8, 64, 500)
"""Of how many values a lookup is compiled for: databases take only so many at once."""


class _Text(NamedTuple):
    """A statement in one kind of database."""

    sql: str
    order: Sequence[str] | None
    """The names of its values, where the driver takes them in order."""
    constants: Mapping[str, Any]
    error: type[Exception]
    """What all errors of the driver are."""


class Prepared:
    """A statement, compiled when it is first used. `columns`: those that an insert gives, if not all."""

    def __init__(self, statement: ClauseElement, columns: Sequence[str] | None = None) -> None:
        self._statement, self._columns = statement, columns
        self._texts: dict[str, _Text] = {}

    def run(self, connection: Connection, **values: Any) -> Any:
        """Run it with these values by name; the driver's cursor."""
        text = self._text_for(connection.dialect)
        return _execute(connection, text, "execute", _bound(text, values))

    def run_for(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of these."""
        text = self._text_for(connection.dialect)
        bound = [_bound(text, row) for row in rows]
        if len(bound) == 1:
            _execute(connection, text, "execute", bound[0]).close()
        elif bound:
            _execute(connection, text, "executemany", bound).close()

    def _text_for(self, dialect: Dialect) -> _Text:
        found = self._texts.get(dialect.name)
        if found is None:
            compiled: Any = self._statement.compile(dialect=dialect, column_keys=self._columns)
            constants = {name: value for name, value in compiled.params.items() if value is not None}
            found = _Text(str(compiled), compiled.positiontup, constants, dialect.loaded_dbapi.Error)
            self._texts[dialect.name] = found
        return found


def _bound(text: _Text, values: Mapping[str, Any]) -> Any:
    """The values as the driver takes them: in order, or by name."""
    given = {**text.constants, **values} if text.constants else values
    if text.order is None:
        return {name: plain_text(value) if isinstance(value, str) else value for name, value in given.items()}
    return [plain_text(value) if isinstance(value := given[name], str) else value for name in text.order]


def _execute(connection: Connection, text: _Text, how: str, bound: Any) -> Any:
    driver: Any = connection.connection.dbapi_connection
    cursor = driver.cursor()
    try:
        getattr(cursor, how)(text.sql, bound)
    except text.error as error:
        dialect = connection.dialect
        if dialect.is_disconnect(error, driver, cursor):  # type: ignore[arg-type]  # it is an error of the driver's
            connection.invalidate(error)
        raise DBAPIError.instance(None, None, error, text.error, hide_parameters=True, dialect=dialect) from error
    return cursor


class Lookup:
    """A query, or a change, for some values of one column, however many there are."""

    def __init__(self, query: Select[Any] | Update, column: ColumnElement[Any]) -> None:
        self._of: dict[int, Prepared] = {}
        for size in _SIZES:
            values = [bindparam(f"v{place}", type_=column.type) for place in range(size)]
            self._of[size] = Prepared(query.where(column.in_(values)))

    def rows(self, connection: Connection, values: Sequence[str], **more: Any) -> list[Any]:
        """The rows that are found for them; a lookup for more than one may look for one of them again.

        `more` are the other values that the query names.
        """
        return [row for cursor in self._cursors(connection, values, more) for row in cursor.fetchall()]

    def change(self, connection: Connection, values: Sequence[str], **more: Any) -> None:
        """Make the change to the rows of these values; `more` are the others that it names."""
        for cursor in self._cursors(connection, values, more):
            cursor.close()

    def _cursors(self, connection: Connection, values: Sequence[str], more: Mapping[str, Any]) -> Iterator[Any]:
        for start in range(0, len(values), _SIZES[-1]):
            part = values[start : start + _SIZES[-1]]
            size = next(size for size in _SIZES if size >= len(part))
            wanted = {f"v{place}": part[min(place, len(part) - 1)] for place in range(size)}
            yield self._of[size].run(connection, **wanted, **more)
