"""One read-only answer from the tables of one SQLite file, in a process of its own.

It is started by its path with `python -I -S`, so it uses the standard library only. What is asked may come from a model
that read hostile text. SQLite reads the file only, an authorizer lets pass nothing but reading the named tables with
listed functions, and limits of the process hold what SQLite does not bound.
"""

from __future__ import annotations

import json
import math
import mmap
import re
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

FUNCTIONS: Final = frozenset(
    "-> ->> abs acos acosh asin asinh atan atan2 atanh avg ceil ceiling char coalesce concat concat_ws"
    " correlation cos cosh count cume_dist date datetime degrees dense_rank exp figures first_value floor format"
    " glob group_concat hex if ifnull iif instr json json_array json_array_length json_extract json_group_array"
    " json_group_object json_object json_quote json_type json_valid julianday lag last_value lead length like"
    " likelihood likely ln log log10 log2 lower ltrim max mean median min mod nth_value ntile nullif octet_length"
    " percent_rank pi pow power printf quantile quote radians rank replace round row_number rtrim sign sin sinh"
    " sqrt stdev strftime string_agg substr substring sum tan tanh time timediff total trim trunc typeof unhex"
    " unicode unixepoch unlikely upper variance".split()
)
"""What may be called: nothing that reads a file, makes large values at once, or tells of the machine."""

_READERS: Final = ("json_each", "json_tree")
"""Functions that stand in place of a table."""
_FIRST_WORD: Final = re.compile(r"(?:\s|--[^\n]*(?:\n|$)|/\*.*?\*/)*(\w*)", re.DOTALL)
_LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 20_000,
    sqlite3.SQLITE_LIMIT_LENGTH: 8_000_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 1_000,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 200,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 50,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 100,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 200,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 0,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 0,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_TOO_MUCH: Final = "it needs too much memory; ask for less at once"
_STEPS: Final = 2_000
"""Steps of SQLite's machine between two looks at the clock."""
_USUAL: Final = 100 << 20
_SHOWN: Final = 32
"""Bytes of a blob that are shown."""


class Refused(Exception):
    """Why something is not answered."""


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The results of the statements, in order, or the first `error`.

    `request` has `uri` of the file, `tables` that may be read, `statements`, and the limits `rows`, `characters` and
    `seconds`.
    """
    until = time.monotonic() + request["seconds"]
    problems: list[str] = []
    connection = sqlite3.connect(request["uri"], uri=True, timeout=request["seconds"], isolation_level=None)
    try:
        _restrict(connection, request["tables"], until, problems)
        return {"results": [_select(connection, statement, request) for statement in request["statements"]]}
    except MemoryError:
        return {"error": _TOO_MUCH}
    except (sqlite3.Error, sqlite3.Warning, Refused) as error:
        late = time.monotonic() > until
        return {"error": f"it took longer than {request['seconds']:g} seconds" if late else _told(error, problems)}
    finally:
        connection.close()


def _told(error: Exception, problems: Sequence[str]) -> str:
    if problems:
        return problems[0]
    text = str(error)
    return "it holds more than one statement" if "one statement" in text else text


def _restrict(connection: sqlite3.Connection, tables: Sequence[str], until: float, problems: list[str]) -> None:
    """Let the connection do nothing but read these tables for so long."""
    for pragma in ("query_only = 1", "trusted_schema = 0", "temp_store = 2"):  # sorts are kept in memory, never on disk
        connection.execute(f"pragma {pragma}")
    for reader in _READERS:  # the first use of one declares it, which the authorizer would refuse
        connection.execute(f"select 1 from {reader}('[]')").fetchall()
    real = {name for (name,) in connection.execute("select lower(name) from sqlite_master")}
    real |= {name for (name,) in connection.execute("select lower(name) from pragma_module_list")}
    if hasattr(connection, "setconfig"):  # Python 3.12: what is no column in double quotes is a mistake, not a text
        connection.setconfig(getattr(sqlite3, "SQLITE_DBCONFIG_DQS_DML"), False)  # noqa: B009 - 3.11 has no such name
    for limit, value in _LIMITS.items():
        connection.setlimit(limit, value)
    for name, (arguments, _, _) in _AGGREGATES.items():
        connection.create_aggregate(name, arguments, _aggregate(name, problems))
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.set_progress_handler(lambda: time.monotonic() > until, _STEPS)
    connection.set_authorizer(_authorizer({name.lower() for name in tables}, real))


def _authorizer(tables: set[str], real: set[str]) -> Callable[..., int]:
    def is_readable(table: str, column: str) -> bool:
        if table in tables or table in _READERS:
            return True
        # Without a column it may be the name of a subquery; a real table is none.
        return not column and table not in real and not table.startswith(("sqlite_", "pragma_"))

    def allow(action: int, first: str | None, second: str | None, _database: str | None, _by: str | None) -> int:
        allowed = (
            action in (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_RECURSIVE)
            or (action == sqlite3.SQLITE_READ and is_readable((first or "").lower(), second or ""))
            or (action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in FUNCTIONS)
        )
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY

    return allow


def _select(connection: sqlite3.Connection, statement: str, request: Mapping[str, Any]) -> dict[str, Any]:
    """Columns and rows of one statement; `more` says that there are more rows than these."""
    word = _FIRST_WORD.match(statement)
    if word is None or word[1].lower() not in ("select", "with", "values"):
        raise Refused("only SELECT, WITH … SELECT and VALUES are answered")
    try:
        cursor = connection.execute(statement)
    except UnicodeEncodeError:
        raise Refused("it holds half a character") from None
    columns = [part[0] for part in cursor.description or ()]
    rows: list[list[Any]] = []
    left = request["characters"]
    for row in cursor:
        shown = [_value(value) for value in row]
        left -= sum(len(str(value)) for value in shown)
        if len(rows) >= request["rows"] or left < 0:
            cursor.close()
            return {"columns": columns, "rows": rows, "more": True}
        rows.append(shown)
    return {"columns": columns, "rows": rows, "more": False}


def _value(value: Any) -> Any:
    if isinstance(value, bytes):
        return f"x'{value[:_SHOWN].hex()}'" + (f" … ({len(value)} bytes)" if len(value) > _SHOWN else "")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


# Aggregates that SQLite does not have


def _variance(values: Sequence[float]) -> float:
    return float(statistics.variance(values))


def _figures(values: Sequence[float]) -> str:
    """JSON of what describes a column of numbers."""
    ordered = sorted(values)
    return json.dumps(
        {
            "mean": statistics.fmean(ordered),
            "median": statistics.median(ordered),
            "stdev": statistics.stdev(ordered) if len(ordered) > 1 else None,
            "q1": quantile(ordered, 0.25),
            "q3": quantile(ordered, 0.75),
        }
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value below which this share of ordered values lies, between two of them in proportion."""
    place = share * (len(ordered) - 1)
    low = math.floor(place)
    if place == low:
        return ordered[low]
    return ordered[low] + (ordered[low + 1] - ordered[low]) * (place - low)


def _quantile(values: Sequence[float], shares: Sequence[float]) -> float:
    if not 0 <= shares[0] <= 1 or any(share != shares[0] for share in shares):
        raise Refused("quantile(x, share) takes one share between 0 and 1")
    return quantile(sorted(values), shares[0])


def _correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    try:
        return statistics.correlation(first, second)
    except statistics.StatisticsError:  # one of the two never changes
        return None


_AGGREGATES: Final[dict[str, tuple[int, int, Callable[..., Any]]]] = {
    "mean": (1, 1, statistics.fmean),  # exact, where avg() adds up rounding errors
    "median": (1, 1, statistics.median),
    "variance": (1, 2, _variance),
    "stdev": (1, 2, statistics.stdev),
    "figures": (1, 1, _figures),
    "quantile": (2, 1, _quantile),
    "correlation": (2, 2, _correlation),
}
"""Number of arguments, rows below which there is no value, and what computes it of a sequence for each argument."""


def _aggregate(name: str, problems: list[str]) -> type[Any]:
    """An aggregate of the rows in which no argument is NULL; `problems` gets what SQLite would not tell."""
    arguments, least, compute = _AGGREGATES[name]

    class Aggregate:
        def __init__(self) -> None:
            self.columns: list[list[float]] = [[] for _ in range(arguments)]

        def step(self, *values: Any) -> None:
            if None in values:
                return
            for value in values:
                if not isinstance(value, int | float) or not math.isfinite(value):
                    problems.append(
                        f"{name}() takes numbers, and {str(value)[:60]!r} is none; CAST it, or leave it out"
                    )
                    raise Refused(problems[-1])
            try:
                for column, value in zip(self.columns, values, strict=True):
                    column.append(value)
            except MemoryError:
                problems.append(_TOO_MUCH)
                raise

        def finalize(self) -> Any:
            try:
                return compute(*self.columns) if len(self.columns[0]) >= least else None
            except (ArithmeticError, ValueError, Refused) as error:
                problems.append(f"{name}() cannot be computed: {error}")
                raise
            except MemoryError:
                problems.append(_TOO_MUCH)
                raise

    return Aggregate


def _taken() -> int:
    """Bytes of memory that the process has to begin with; what is usual where the system does not tell."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[0]) * mmap.PAGESIZE
    except OSError:
        return _USUAL


def main() -> None:
    """Answer what is asked on standard input, under the limits of a process where the system has them."""
    request = json.loads(sys.stdin.buffer.read())
    memory = int(request["memory_mb"]) << 20
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        for kind, most in (
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_AS, _taken() + memory),
            (resource.RLIMIT_CPU, math.ceil(request["seconds"]) + 5),
        ):
            resource.setrlimit(kind, (most, most))
    heap = sqlite3.connect(":memory:")
    heap.execute(f"pragma hard_heap_limit = {memory}")
    heap.close()
    json.dump(answer(request), sys.stdout)


if __name__ == "__main__":
    main()
