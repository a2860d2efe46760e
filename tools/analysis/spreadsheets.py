"""Files of tables as rows and titles: CSV, JSON, Parquet and Excel, before columns have names and types."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, Final

from signoff.error_base import MissingExtra
from signoff.tools.documents.archive import MOST_TIMES, check_archive
from signoff.tools.documents.plain_text import decode
from signoff.tools.documents.tabular import parse_json, parse_json_lines, split_rows
from signoff.tools.errors import Unreadable

_LARGEST_UNPACKED: Final = 400_000_000
"""Bytes a workbook may have once it is unpacked."""
_MOST_ROWS: Final = 1_048_576
"""Rows of a sheet, in any program."""
_MOST_CELLS: Final = 30_000_000
"""Of a sheet, empty ones too; in all the bytes that it may have there is room for half as many that are not."""
_BATCH: Final = 500
_LARGEST_BATCH: Final = 100_000_000
"""Bytes that so many rows of a Parquet file may have."""
_LOOKED_AT: Final = 20
"""Rows in which the names of the columns are looked for."""
_YEARS: Final = range(1500, 2200)

Row = Sequence[Any]
"""The cells of a row as its file has them; rows of one grid may differ in length."""


@dataclass(frozen=True)
class Grid:
    """Rows and the titles of their columns, which may be empty, odd, or the same twice."""

    part: str
    """Sheet of a workbook or key of a JSON object; empty if the file is the one table."""
    titles: tuple[str, ...]
    rows: Callable[[], Iterator[Row]]
    """Goes through the rows, as often as it is called."""
    written: bool = False
    """Whether the cells are text as somebody wrote it, in which numbers are still to be found."""


def holds_tables(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in (*_READERS, *_EXCEL)


def read_grids(name: str, raw: bytes, *, times: float = MOST_TIMES) -> list[Grid]:
    """The tables in a file; Unreadable if there is none. `times`: as large as it is packed a workbook may become."""
    if not raw.strip():
        raise Unreadable("empty")
    suffix = PurePosixPath(name).suffix.lower()
    grids = _read_excel(raw, times) if suffix in _EXCEL else _READERS[suffix](raw)
    if not grids:
        raise Unreadable("no rows in it")
    return grids


def _read_csv(raw: bytes, delimiter: str = "") -> list[Grid]:
    text = decode(raw)
    return _headed("", lambda: split_rows(text, delimiter), written=True)


def _read_json(raw: bytes) -> list[Grid]:
    value = parse_json(decode(raw))
    if isinstance(value, dict):
        found = {str(key): inner for key, inner in value.items() if isinstance(inner, list) and inner}
        grids = [_records(key, inner) for key, inner in found.items() if any(isinstance(row, dict) for row in inner)]
        if not grids:
            raise Unreadable("no list of records in it")
        return grids
    return [_records("", value)] if isinstance(value, list) and value else []


def _read_json_lines(raw: bytes) -> list[Grid]:
    return [_records("", parse_json_lines(decode(raw)))]


def _records(part: str, records: list[Any]) -> Grid:
    """Each record is a row and each of its keys a column; what is no record stands in the column `value`."""
    rows = [record if isinstance(record, dict) else {"value": record} for record in records]
    keys = list(dict.fromkeys(key for row in rows for key in row))
    return Grid(part, tuple(keys), lambda: ([row.get(key) for key in keys] for row in rows))


def _read_excel(raw: bytes, times: float) -> list[Grid]:
    try:
        from openpyxl import load_workbook
    except ImportError:
        raise MissingExtra("reading Excel files", "analysis") from None
    if raw.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable("a locked or old Excel file; save it as .xlsx")
    check_archive(raw, _LARGEST_UNPACKED, times=times)

    def rows_of(sheet: str) -> Iterator[Row]:
        with closing(load_workbook(io.BytesIO(raw), read_only=True, data_only=True)) as opened:
            page = opened[sheet]
            page.reset_dimensions()  # what a file says of its size may be wrong
            cells = 0
            for number, row in enumerate(page.iter_rows(values_only=True), 1):
                cells += len(row)
                if number > _MOST_ROWS:  # of which all but one may be nothing but a number that the file gives
                    raise Unreadable(f"a sheet with more than {_MOST_ROWS:,} rows")
                if cells > _MOST_CELLS:  # and so may the cells of a row
                    raise Unreadable(f"a sheet with more than {_MOST_CELLS:,} cells")
                yield row

    with closing(load_workbook(io.BytesIO(raw), read_only=True)) as workbook:
        sheets = [sheet.title for sheet in workbook.worksheets]
    grids = [grid for sheet in sheets for grid in _headed(sheet, partial(rows_of, sheet))]
    return grids if len(grids) > 1 else [replace(grid, part="") for grid in grids]


def _read_parquet(raw: bytes) -> list[Grid]:
    try:
        from pyarrow import BufferReader
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise MissingExtra("reading Parquet files", "analysis") from None

    def rows() -> Iterator[Row]:
        for batch in ParquetFile(BufferReader(raw)).iter_batches(batch_size=_BATCH, use_threads=False):
            if batch.nbytes > _LARGEST_BATCH:
                raise Unreadable(f"{_BATCH} of its rows have {batch.nbytes / 1e6:,.0f} MB")
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    file = ParquetFile(BufferReader(raw))
    return [Grid("", tuple(file.schema_arrow.names), rows)] if file.metadata.num_rows else []


_EXCEL: Final = (".xlsx", ".xlsm")
_READERS: Final[dict[str, Callable[[bytes], list[Grid]]]] = {
    ".csv": _read_csv,
    **dict.fromkeys((".tsv", ".tab"), partial(_read_csv, delimiter="\t")),
    **dict.fromkeys((".json", ".geojson"), _read_json),
    **dict.fromkeys((".jsonl", ".ndjson"), _read_json_lines),
    ".parquet": _read_parquet,
}


def _headed(part: str, rows: Callable[[], Iterator[Row]], *, written: bool = False) -> list[Grid]:
    """The grid of rows of which an early one may name the columns; none if there are no rows."""

    def full() -> Iterator[Row]:
        return (row for row in rows() if any(map(_text, row)))

    first = list(islice(full(), _LOOKED_AT))
    width = max((_filled(row) for row in first), default=0)
    # A line with a single cell above a table is a title of the whole.
    above = next((at for at, row in enumerate(first) if width < 3 or _filled(row) > 1), 0)
    named = above < len(first) and _names_columns(first[above])
    if len(first) - above - named < 1:
        return []
    titles = tuple(map(_text, first[above])) if named else ()
    return [Grid(part, titles, lambda: islice(full(), above + named, None), written)]


def _text(cell: Any) -> str:
    return "" if cell is None else " ".join(str(cell).split())


def _filled(row: Iterable[Any]) -> int:
    return sum(bool(_text(cell)) for cell in row)


def _names_columns(row: Row) -> bool:
    """Whether the cells are names: no numbers among them but years, no long text, and one name at least."""
    cells = [text for cell in row if (text := _text(cell))]
    numbers = [cell for cell in cells if _is_number(cell)]
    years = all(cell.isdecimal() and int(cell) in _YEARS for cell in numbers) and len(set(numbers)) == len(numbers)
    return years and len(numbers) < len(cells) and all(len(cell) <= 100 for cell in cells)


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ".", 1))
    except ValueError:
        return False
    return True
