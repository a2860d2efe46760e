"""Types for fields of an input: lists of names, folders, and files to write, as people give them at a terminal."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, BaseModel, Field

_LISTS: Final = (".txt", ".csv", ".tsv", ".md", ".list")
"""Endings of a file of names."""
_COMMA: Final = re.compile(r",(?!\s*(?:inc|ltd|llc|llp|plc|gmbh|corp|co|ag|sa)\b)", re.IGNORECASE)
"""What stands between two names, not within "Otter, Inc."."""
_HEADS: Final = frozenset(("name", "names", "company", "companies", "product", "vendor", "supplier", "package"))
"""What stands above a column of names."""


def _split(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for one in given for part in _COMMA.split(one) if (name := " ".join(part.split())))


def _named(given: tuple[str, ...]) -> tuple[str, ...]:
    found: list[str] = []
    for one in given:
        if not one.endswith(_LISTS):
            found += _split((one,))
            continue
        try:
            lines = Path(one).expanduser().read_text(encoding="utf-8-sig").splitlines()
            rows = [*csv.reader(line.replace("\t", ",") for line in lines if not line.startswith("#"))]
        except (OSError, UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"it cannot be read as a list of names: {getattr(error, 'strerror', error)}") from error
        firsts = [_COMMA.sub("", row[0]).strip(' "') if row else "" for row in rows]  # it is read again as a list
        found += firsts[1:] if firsts and firsts[0].casefold() in _HEADS else firsts
    return tuple(name for name in found if name)


def _existing(given: str) -> str:
    folder = Path(given).expanduser().absolute()
    if given and not folder.is_dir():
        raise ValueError("there is no such folder")
    return str(folder) if given else ""


def _writable(given: str) -> str:
    if not given.strip() or Path(given).expanduser().is_dir():
        raise ValueError("it should name a file")
    return str(Path(given).expanduser().absolute())


def _readable(given: str) -> str:
    file = Path(given).expanduser().absolute()
    if given and not file.is_file():
        raise ValueError(f"there is no file {given!r}")
    return str(file) if given else ""


@dataclass(frozen=True)
class Positional:
    """Among the annotations of a field: at a command line its values stand in the goal's place, without an option."""

    metavar: str


Words = Annotated[tuple[str, ...], AfterValidator(_split)]
"""Several words or phrases; one text may have several with commas between."""
Names = Annotated[tuple[str, ...], AfterValidator(_named)]
"""Names, with commas between; or a file (.txt, .csv, …) with one on each line, the first column of a table."""
Folder = Annotated[str, AfterValidator(_existing)]
"""A folder that there is, by its whole path; empty: none."""
FileToWrite = Annotated[str, Field(validate_default=True), AfterValidator(_writable)]
"""A file, by its whole path."""
FileToRead = Annotated[str, AfterValidator(_readable)]
"""A file that there is, by its whole path; empty: none."""


def files_to_write(model: type[BaseModel]) -> list[str]:
    """The fields of an input that name files which its run writes."""
    writes = AfterValidator(_writable)
    return [name for name, field in model.model_fields.items() if writes in field.metadata]
