"""CSV and JSON to blocks: rows and records as lines that read by themselves."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice, zip_longest
from typing import Any

from signoff.tools.documents.blocks import Block, flatten
from signoff.tools.errors import Unreadable

_NUMBER = re.compile(r"[-+]?[\d.,]*\d[\d.,]*%?")
_DELIMITERS = ",;\t|"


def row_lines(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """Each row on a line, 'column: value; column: value'; empty cells are left out."""
    names = [flatten(name) for name in header]
    for row in rows:
        cells = [(name or "", flatten(value or "")) for name, value in zip_longest(names, row)]
        line = "; ".join(f"{name}: {value}" if name else value for name, value in cells if value)
        if line:
            yield line


def read_tsv(text: str) -> tuple[str, list[Block]]:
    return read_csv(text, "\t")


def read_csv(text: str, delimiter: str = "") -> tuple[str, list[Block]]:
    """One table, a row on each line; the first row names the columns if it looks like names."""
    rows = list(split_rows(text, delimiter))
    if not rows:
        return "", []
    first = [cell.strip() for cell in rows[0]]
    headed = (
        len(rows) > 1
        and all(first)
        and len(set(first)) == len(first)
        and not any(_NUMBER.fullmatch(cell) or len(cell) > 60 for cell in first)
    )
    return "", [Block("table", "\n".join(row_lines(first if headed else (), rows[1:] if headed else rows)))]


def split_rows(text: str, delimiter: str = "") -> Iterator[list[str]]:
    """The rows of a CSV text that are not empty; without a delimiter, the one that divides them most evenly."""
    sample = [line for line in islice(io.StringIO(text), 50) if line.strip()]
    separator = delimiter or _delimiter(sample)
    try:
        yield from (row for row in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(row))
    except csv.Error as error:
        raise Unreadable(f"its rows cannot be told apart: {error}") from error


def _delimiter(lines: Sequence[str]) -> str:
    """The character that stands most evenly in the lines."""

    def evenness(character: str) -> tuple[float, int]:
        counts = [line.count(character) for line in lines]
        usual = max(set(counts), key=counts.count, default=0)
        return (counts.count(usual) / len(counts) if usual else 0.0, usual)

    return max(_DELIMITERS, key=evenness)


def read_json(text: str) -> tuple[str, list[Block]]:
    """Records of a list as rows, anything else as 'path: value' lines under its outermost keys."""
    return "", list(_value_blocks(parse_json(text)))


def read_json_lines(text: str) -> tuple[str, list[Block]]:
    return "", list(_value_blocks(parse_json_lines(text)))


def parse_json_lines(text: str) -> list[Any]:
    return [parse_json(line) for line in text.split("\n") if line.strip()]  # U+2028 may stand in a value


def parse_json(text: str) -> Any:
    """The value that a JSON text is; Unreadable if it is none."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise Unreadable("its values are nested too deeply") from error
    except ValueError as error:
        raise Unreadable(f"not valid JSON: {error}") from error


def _value_blocks(value: Any) -> Iterator[Block]:
    if isinstance(value, list):
        yield Block("table", "\n".join(line for record in value if (line := "; ".join(_leaves(record)))))
    elif isinstance(value, dict):
        plain = {key: inner for key, inner in value.items() if not isinstance(inner, dict | list)}
        yield Block("table", "\n".join(_leaves(plain)))
        for key, inner in value.items():
            if isinstance(inner, dict | list) and inner:
                yield Block("heading", flatten(key) or "-", 1)
                yield from _inner_blocks(inner)
    else:
        yield Block("prose", _scalar(value))


def _inner_blocks(value: Any) -> Iterator[Block]:
    records = isinstance(value, list) and all(isinstance(record, dict) for record in value)
    lines = ("; ".join(_leaves(record)) for record in value) if records else _leaves(value)
    yield Block("table", "\n".join(line for line in lines if line))


def _leaves(value: Any, path: str = "") -> Iterator[str]:
    """'a.b[0].c: value' of every value inside, in order."""
    waiting: list[tuple[str, Any]] = [(path, value)]
    while waiting:
        here, found = waiting.pop()
        if isinstance(found, dict):
            inside = [(f"{here}.{flatten(key)}" if here else flatten(key), inner) for key, inner in found.items()]
            waiting += reversed(inside)
        elif isinstance(found, list) and all(not isinstance(inner, dict | list) for inner in found):
            text = ", ".join(_scalar(inner) for inner in found)
            if text:
                yield f"{here}: {text}" if here else text
        elif isinstance(found, list):
            waiting += reversed([(f"{here}[{at}]", inner) for at, inner in enumerate(found)])
        elif text := _scalar(found):
            yield f"{here}: {text}" if here else text


def _scalar(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return flatten(str(value))
