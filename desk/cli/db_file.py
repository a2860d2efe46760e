"""The commands about the database: what is in it, whether it is whole, copies of it, and what others wrote."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from signoff.checkpoints.db.sqlite import LEDGER_TABLE, tables_in
from signoff.checkpoints.db.url import is_address, scheme_of
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.opening import configured_ledger
from signoff.checkpoints.saver.encoding.encryption import new_key
from signoff.checkpoints.saver.official.importer import ImportProgress, import_official
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.desk.cli.terminal import Json, print_json, row, say, table
from signoff.errors import NoDatabase, SettingsError
from signoff.settings import Settings, load_settings
from signoff.tools.storage.atomic import beside

_BUSY_SECONDS = 60.0

Database = Annotated[Path | None, typer.Option(metavar="FILE", help="The database; that of the settings by default.")]


def stats(database: Database = None, json: Json = False) -> None:
    """Show how large the database is and what it holds."""
    with opened(database) as saver:
        found = saver.stats()
    if json:
        return print_json({"database": str(saver.database), **asdict(found)})
    console = Console()
    say(console, f"{saver.database}: {size_text(found.size)}, {size_text(found.free)} of it free", "bold")
    sealed = "encrypted" if found.encrypted else "not encrypted"
    say(console, f"{sealed}, version {found.schema} of the tables")
    if not found.checkpoints:
        say(console, "No checkpoints yet.")
        return None
    say(
        console,
        f"threads: {found.threads:,}, checkpoints: {found.checkpoints:,}, writes: {found.writes:,}, "
        f"pieces: {found.pieces:,}",
    )
    largest = table("largest threads", "checkpoints", "size")
    for name, checkpoints, size in found.largest:
        row(largest, name, f"{checkpoints:,}", size_text(size))
    console.print(largest)
    return None


@dataclass(frozen=True)
class Check:
    """What was looked at, and what is wrong with it."""

    database: str
    read: str
    """What was read, in words."""
    problems: tuple[str, ...]


def check(database: Database = None, json: Json = False) -> int:
    """Check that file, checkpoints and audit log are whole; exit code 1 if not. On PostgreSQL: the audit log."""
    settings = load_settings()
    if database is None and is_address(settings.database_name):
        found = _check_server(settings)
    else:
        found = _check_file(database)
    if json:
        print_json({"database": found.database, "whole": not found.problems, "problems": found.problems})
        return 1 if found.problems else 0
    console = Console()
    for problem in found.problems:
        say(console, problem)
    if found.problems:
        say(console, f"{len(found.problems):,} found. Nothing was changed; a backup can be put in its place.")
        return 1
    say(console, f"Whole: {found.read} were read.")
    return 0


def _check_file(database: Path | None) -> Check:
    with opened(database) as saver:
        problems = tuple(saver.check())
        checkpoints = saver.stats().checkpoints
    entries = 0
    if LEDGER_TABLE in tables_in(saver.database, _BUSY_SECONDS):
        entries, wrong = _check_log(Ledger(saver.database))
        problems += wrong
    read = f"{checkpoints:,} checkpoints and {entries:,} entries of the audit log"
    return Check(str(saver.database), read, problems)


def _check_server(settings: Settings) -> Check:
    """A server looks after its own files; what the ledger says is ours to check."""
    ledger = configured_ledger(settings)
    entries, problems = _check_log(ledger)
    return Check(ledger.database, f"{entries:,} entries of the audit log", problems)


def _check_log(ledger: Ledger) -> tuple[int, tuple[str, ...]]:
    with closing(ledger):
        found = ledger.audit.verify()
    return found.entries, tuple(f"audit log: {problem.what}" for problem in found.problems)


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    database: Database = None,
    json: Json = False,
) -> None:
    """Copy the database as it is now, while it is in use."""
    if target.is_dir():
        raise SettingsError("FILE", f"{str(target)!r} is a folder", "Name a file in it.")
    if not target.absolute().parent.is_dir():
        raise SettingsError("FILE", f"there is no folder {str(target.parent)!r}", "Make it first.")
    if target.exists() and not force:
        raise SettingsError("FILE", f"{str(target)!r} is there already", "Name another, or add --force to replace it.")
    with opened(database) as saver:
        if target.exists() and target.samefile(saver.database):
            raise SettingsError("FILE", "is the database itself", "Name another file.")
        with beside(target) as part:  # the target is there when all of it is on disk
            saver.backup(part)
    size = target.stat().st_size
    if json:
        print_json({"database": str(saver.database), "backup": str(target), "size": size})
    else:
        say(Console(), f"Wrote {target} ({size_text(size)}).")


def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file of LangGraph's SqliteSaver.")],
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="MODULE.CLASS", help="A class that is among the values.")
    ] = None,
    database: Database = None,
    json: Json = False,
) -> int:
    """Take over all threads from a file of LangGraph's own SqliteSaver."""
    listed = [type_name(name) for name in types or []]
    console = Console(stderr=True)
    with opened(database, make=True, types=listed) as saver, console.status("importing") as status:

        def tell(step: ImportProgress) -> None:
            status.update(f"importing: {step.done:,} of {step.total:,} checkpoints")

        counts = import_official(source, saver, progress=tell)
    if json:
        print_json({"database": str(saver.database), **asdict(counts)})
        return 1 if counts.refused else 0
    present = f" {counts.present:,} threads were there already." if counts.present else ""
    say(
        Console(),
        f"Imported {counts.threads:,} threads with {counts.checkpoints:,} checkpoints and {counts.writes:,} writes "
        f"into {saver.database}.{present}",
    )
    for refused in counts.refused:
        say(console, f"Not imported: thread {refused.thread}: {refused.reason}.")
    return 1 if counts.refused else 0


def key(json: Json = False) -> None:
    """Make a key for encryption."""
    made = new_key()
    if json:
        return print_json({"key": made})
    sys.stdout.write(f"{made}\n")
    console = Console(stderr=True)
    say(console, "Set SIGNOFF_ENCRYPTION_KEY to it, in the environment or in .env, before the first run:")
    say(console, "a database is encrypted from its beginning or not at all.")
    say(console, "Keep a copy in a safe place. Without it nobody reads the checkpoints again.")
    return None


@contextmanager
def opened(
    database: Path | None, *, make: bool = False, types: Sequence[tuple[str, str]] = ()
) -> Iterator[SqliteCheckpointer]:
    """The saver of the database that is meant; NoDatabase if it is not there and is not to be made."""
    settings = load_settings()
    path = settings.database_path if database is None else named_file(database)
    if not make and not path.exists():
        raise NoDatabase(str(path))
    key = settings.encryption_key.get_secret_value() if settings.encryption_key else None
    with SqliteCheckpointer(path, types=types, key=key) as saver:
        yield saver


def named_file(database: Path) -> Path:
    """The file that --database names; SettingsError for an address, of which a path would be made."""
    if scheme_of(database):
        raise SettingsError("--database", "takes a file", "Name the address of a server with SIGNOFF_DATABASE.")
    return database


def type_name(text: str) -> tuple[str, str]:
    """Module and name of a class that is written as MODULE.CLASS."""
    module, dot, name = text.replace(":", ".").rpartition(".")
    if not (dot and module and name.isidentifier()):
        raise SettingsError("--type", f"{text!r} names no class", "Write it as MODULE.CLASS.")
    return module, name


def size_text(size: int) -> str:
    """A number of bytes, readably."""
    amount, unit = float(size), "bytes"
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if amount < 1000 or unit == "TB":
            break
        amount /= 1000
    return f"{amount:,.0f} {unit}" if unit == "bytes" or amount >= 100 else f"{amount:.1f} {unit}"
