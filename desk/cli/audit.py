"""The commands that check the audit log, note down its head elsewhere, and write it out."""

from __future__ import annotations

import csv
import json as json_text
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TextIO

import typer
from rich.console import Console

from signoff.checkpoints import canonical, configured_ledger
from signoff.checkpoints.db import is_address, refuse_foreign
from signoff.checkpoints.ledger import EMPTY, Head, Ledger
from signoff.desk.cli.terminal import Json, one_of, print_json, say
from signoff.desk.errors import NoDatabase
from signoff.error_base import SettingsError
from signoff.settings import load_settings
from signoff.tools.storage import beside

Format = Literal["jsonl", "csv"]
Database = Annotated[
    str | None, typer.Option(metavar="FILE", help="The database, or an address; that of the settings by default.")
]

_BUSY_SECONDS: Final = 30.0


def verify(
    head: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER:HASH", help="A head that was kept: the log must lead through it."),
    ] = None,
    anchor: Annotated[Path | None, typer.Option(metavar="FILE", help="A file of heads from `audit anchor`.")] = None,
    database: Database = None,
    json: Json = False,
) -> int:
    kept = [*(head or []), *(read_anchor(anchor) if anchor is not None else ())]
    if load_settings().tenant:
        raise SettingsError("SIGNOFF_TENANT", "the log is one chain of all tenants", "Leave it out to check the log.")
    with _opened(database) as ledger, Console(stderr=True).status("reading the audit log"):
        found = ledger.audit.verify(*kept)
    if json:
        print_json({"database": ledger.database, "whole": found.ok, **asdict(found)})
        return 0 if found.ok else 1
    console = Console()
    for problem in found.problems:
        say(console, problem.what)
    if not found.ok:
        say(console, f"{len(found.problems):,} found among {found.entries:,} entries. Nothing was changed.")
        return 1
    if not found.entries:
        say(console, "The audit log is empty.")
        return 0
    led = f", and the log leads through {len(set(kept)):,} kept" if kept else ""
    say(console, f"Whole: {found.entries:,} entries were read, the tables agree{led}.")
    say(console, f"head {found.head}")
    return 0


def anchor(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where writers of the database cannot write.")],
    database: Database = None,
    json: Json = False,
) -> None:
    known = read_anchor(file) if file.exists() else []
    with _opened(database) as ledger:
        head = ledger.audit.head()
    newest, last = Head.parse(head), Head.parse(known[-1]) if known else None
    if newest is not None and last is not None and newest.seq < last.seq:
        problem = (
            f"{str(file)!r} knows {last.seq:,} entries, but the audit log has {newest.seq:,}: it was cut or replaced"
        )
        raise SettingsError("audit anchor", problem, "Restore a backup, or name another file for another database.")
    added = head != str(EMPTY) and known[-1:] != [head]
    if added:
        _append(file, f"{head} {canonical.now()}\n")
    if json:
        return print_json({"file": str(file), "head": head, "added": added})
    if added:
        return say(Console(), f"Noted down in {file}: head {head}")
    why = "The audit log is empty" if head == str(EMPTY) else "Nothing was written since the last head there"
    return say(Console(), f"{why}: {file} is as it was.")


def read_anchor(file: Path) -> list[str]:
    """The heads in a file of `anchor`, oldest first; SettingsError if a line is none."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        remedy = "`signoff audit anchor FILE` makes it."
        raise SettingsError("--anchor", f"there is no file {str(file)!r}", remedy) from None
    heads = []
    for number, line in enumerate(lines, start=1):
        head = Head.parse(line.split(" ")[0])
        if head is None:
            problem = f"line {number} of {str(file)!r} does not begin with NUMBER:HASH"
            raise SettingsError("--anchor", problem, "Name a file that `signoff audit anchor` wrote.")
        heads.append(str(head))
    return heads


def export(
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only this run's entries.")] = None,
    format: Annotated[Format, one_of(Format, "How they are written.")] = "jsonl",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file; standard output by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    database: Database = None,
    json: Json = False,
) -> None:
    if out is not None and out.exists() and not force:
        raise SettingsError("--out", f"{str(out)!r} is there already", "Name another, or add --force to replace it.")
    with _opened(database) as ledger:
        entries = ledger.audit.export(ledger.runs.get(run).id if run is not None else None)
        if out is None:
            return _print(entries, format)
        # The file is there when all of it is on disk.
        with beside(out) as part, part.open("x", encoding="utf-8", newline="") as file:
            count = _write(entries, format, file)
            file.flush()
            os.fsync(file.fileno())
        head = ledger.audit.head()
    if json:
        return print_json({"file": str(out), "entries": count, "head": head})
    return say(Console(), f"Wrote {count:,} entries to {out}.")


@contextmanager
def _opened(database: str | None) -> Iterator[Ledger]:
    """The ledger that is meant; NoDatabase if it is a file that is not there."""
    settings = load_settings(database=database)
    if not is_address(settings.database_name):
        path = Path(settings.database_name)
        refuse_foreign(path, busy_seconds=_BUSY_SECONDS)
        if not path.exists():
            raise NoDatabase(str(path))
    with closing(configured_ledger(settings)) as ledger:
        yield ledger


def _print(entries: Iterable[Mapping[str, Any]], form: Format) -> None:
    try:
        _write(entries, form, sys.stdout)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough, as `head` does; nothing is to be written there any more, not even at exit.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for the rest of the process


def _write(entries: Iterable[Mapping[str, Any]], form: Format, file: TextIO) -> int:
    """Write the entries as they come; how many there were. JSON is in ASCII: any terminal and any pipe takes it."""
    count = 0
    table = csv.writer(file, lineterminator="\n")
    for count, entry in enumerate(entries, start=1):
        if form == "jsonl":
            file.write(json_text.dumps(entry) + "\n")
            continue
        if count == 1:
            table.writerow(entry)
        table.writerow(json_text.dumps(cell) if isinstance(cell, dict) else cell for cell in entry.values())
    return count


def _append(file: Path, line: str) -> None:
    """Add a line at the end of a file in one piece, on disk when this returns."""
    if file.exists() and file.read_bytes()[-1:] not in (b"", b"\n"):
        line = f"\n{line}"  # the end of the last one was lost in a crash
    number = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(number, line.encode())
        os.fsync(number)
    finally:
        os.close(number)
