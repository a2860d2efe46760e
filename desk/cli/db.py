"""The commands about the database: what is in it, whether it is whole, copies of it, what others wrote, pruning."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

import typer
from rich.console import Console
from rich.filesize import decimal

from signoff.checkpoints import configured_ledger, later
from signoff.checkpoints.db import LEDGER_TABLE, is_address, refuse_foreign, scheme_of, tables_in
from signoff.checkpoints.ledger import LEDGER_TABLES, Ledger
from signoff.checkpoints.saver import SqliteCheckpointer, ThreadEntry, list_threads
from signoff.checkpoints.saver.encoding import new_key
from signoff.checkpoints.saver.official import ImportProgress, import_official
from signoff.desk.cli.lists import existing_ledger
from signoff.desk.cli.terminal import Json, Yes, can_ask, print_json, row, say, table
from signoff.desk.errors import NoDatabase, UnknownThread
from signoff.error_base import SettingsError
from signoff.settings import Settings, load_settings
from signoff.tools.storage import beside
from signoff.wording import counted

_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_BATCH: Final = 100
_SHOWN: Final = 10
_BUSY_SECONDS = 60.0

Database = Annotated[Path | None, typer.Option(metavar="FILE", help="The database; that of the settings by default.")]


def stats(database: Database = None, json: Json = False) -> None:
    with opened(database) as saver:
        found = saver.stats()
    if json:
        return print_json({"database": str(saver.database), **asdict(found)})
    console = Console()
    say(console, f"{saver.database}: {decimal(found.size)}, {decimal(found.free)} of it free", "bold")
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
        row(largest, name, f"{checkpoints:,}", decimal(size))
    console.print(largest)
    return None


def check(database: Database = None, json: Json = False) -> int:
    """Check that file, checkpoints and audit log are whole; exit code 1 if not. On PostgreSQL: the audit log."""
    settings, read = _of_all(), ""
    ledger: Ledger | None = None
    problems: list[str] = []
    if database is None and is_address(settings.database_name):
        ledger = configured_ledger(settings)  # a server looks after its own files; what this says is ours to check
        name = ledger.database
    else:
        with opened(database) as saver:
            problems += saver.check()
            read = f"{saver.stats().checkpoints:,} checkpoints and "
        name = str(saver.database)
        if LEDGER_TABLES & tables_in(saver.database, _BUSY_SECONDS):  # any: one of them may have been dropped
            ledger = Ledger(saver.database)
    entries = 0
    if ledger is not None:
        with closing(ledger):
            log = ledger.audit.verify()
        entries = log.entries
        problems += [f"audit log: {problem.what}" for problem in log.problems]
    if json:
        print_json({"database": name, "whole": not problems, "problems": problems})
        return 1 if problems else 0
    console = Console()
    for problem in problems:
        say(console, problem)
    if problems:
        say(console, f"{len(problems):,} found. Nothing was changed; a backup can be put in its place.")
        return 1
    say(console, f"Whole: {read}{entries:,} entries of the audit log were read.")
    return 0


def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    database: Database = None,
    json: Json = False,
) -> None:
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
        say(Console(), f"Wrote {target} ({decimal(size)}).")


def restored(json: Json = False) -> None:
    """Say that the database is a copy: its open runs find out what was called since. Say it of the database of the
    settings, if it is a snapshot, or a file or a server that was restored; what `db backup` wrote says it by itself.

    Each action of a run that is open in it is read back before it is called, or a person is asked: the original may
    have called it since.
    """
    with closing(existing_ledger(load_settings())) as ledger:
        found = ledger.mark_copied()
    if json:
        return print_json({"database": ledger.database, "runs": found})
    told = f"Told {counted(len(found), 'open run')}: {', '.join(found)}." if found else "No run is open in it."
    return say(Console(), told)


def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file of LangGraph's SqliteSaver.")],
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="MODULE.CLASS", help="A class that is among the values.")
    ] = None,
    database: Database = None,
    json: Json = False,
) -> int:
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
    settings = _of_all()
    if database is not None and scheme_of(database):  # a path would be made of an address
        raise SettingsError("--database", "takes a file", "Name the address of a server with SIGNOFF_DATABASE.")
    path = database or settings.database_path
    refuse_foreign(path, _BUSY_SECONDS)
    if not make and not path.exists():
        raise NoDatabase(str(path))
    key = settings.encryption_key.get_secret_value() if settings.encryption_key else None
    with SqliteCheckpointer(path, types=types, key=key) as saver:
        yield saver


def _of_all() -> Settings:
    """The settings; SettingsError where they keep what is looked at to one tenant: a file is that of all."""
    settings = load_settings()
    if settings.tenant:
        raise SettingsError("SIGNOFF_TENANT", "the database is that of all tenants", "Leave it out to look after it.")
    return settings


def type_name(text: str) -> tuple[str, str]:
    """Module and name of a class that is written as MODULE.CLASS."""
    module, dot, name = text.replace(":", ".").rpartition(".")
    if not (dot and module and name.isidentifier()):
        raise SettingsError("--type", f"{text!r} names no class", "Write it as MODULE.CLASS.")
    return module, name


@dataclass(frozen=True)
class Wish:
    """What is to be pruned, and how."""

    strategy: Literal["keep_latest", "delete"]
    names: tuple[str, ...] = ()
    """Empty: all threads."""
    older_than: timedelta | None = None
    force: bool = False


def prune(
    threads: Annotated[
        list[str] | None, typer.Argument(metavar="[THREAD]...", help="Threads; a run's id names its own.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Delete threads that nobody touched for 30d, 12h, 90m …")
    ] = None,
    keep_latest: Annotated[bool, typer.Option("--keep-latest", help="Keep the latest checkpoint of each.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the named threads.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also threads of runs that go on or wait.")] = False,
    jobs: Annotated[
        bool, typer.Option("--jobs", help="With --older-than: the rows of jobs that ended so long ago, no threads.")
    ] = False,
    yes: Yes = False,
    database: Database = None,
    json: Json = False,
) -> None:
    if jobs:
        return _drop_jobs(older_than, database, yes=yes, json=json)
    wish = read_wish(threads or [], older_than, keep_latest=keep_latest, delete=delete, force=force)
    console = Console(stderr=True)
    with opened(database) as saver:
        chosen, spared = choose(wish, saver)
        if chosen and not yes:
            _announce(wish, chosen, console)
            if json or not can_ask(console):
                raise SettingsError("--yes", "nothing was pruned, because nobody can be asked here", "Add it to prune.")
            if not typer.confirm("Go on?", err=True):
                chosen = []
            # Somebody may have come back to a thread while the question stood there.
            chosen = [name for name in choose(wish, saver)[0] if name in chosen]
        before = _size(saver.database)
        with console.status("pruning") as status:
            for start in range(0, len(chosen), _BATCH):
                status.update(f"pruning: {start:,} of {len(chosen):,} threads")
                saver.prune(chosen[start : start + _BATCH], strategy=wish.strategy)
    freed = max(0, before - _size(saver.database))  # measured after closing, which waits until the space is back
    if json:
        return print_json({"strategy": wish.strategy, "threads": chosen, "spared": spared, "freed": freed})
    if spared:
        say(console, f"Spared, because their runs go on or wait, or somebody writes them: {_names(spared)}.")
    if not chosen:
        say(Console(), "Nothing was pruned.")
        return None
    done = "Deleted" if wish.strategy == "delete" else "Kept only the latest checkpoints of"
    say(Console(), f"{done} {counted(len(chosen), 'thread')}; {decimal(freed)} came back.")
    return None


def _drop_jobs(older_than: str | None, database: Path | None, *, yes: bool, json: bool) -> None:
    """Delete the rows of jobs that have ended, once somebody has said yes."""
    if older_than is None:
        raise SettingsError("--jobs", "nothing says of which time", "Add --older-than 30d.")
    settings, console = load_settings(database=database), Console(stderr=True)
    ledger, before = existing_ledger(settings), later(-read_time(older_than).total_seconds())
    number = ledger.jobs.ended.count(before)
    if number and not yes:
        if json or not can_ask(console):
            raise SettingsError("--yes", "nothing was pruned, because nobody can be asked here", "Add it to prune.")
        if not typer.confirm(f"Drop the rows of {counted(number, 'job')}? Their runs stay.", err=True):
            number = 0
    dropped = 0
    while number and (some := ledger.jobs.ended.drop(before, by=settings.user_name)):
        dropped += some
    if json:
        return print_json({"jobs": dropped})
    return say(Console(), f"Dropped the rows of {counted(dropped, 'job')}." if dropped else "Nothing was pruned.")


def read_wish(threads: Sequence[str], older_than: str | None, *, keep_latest: bool, delete: bool, force: bool) -> Wish:
    """What the options ask for; SettingsError unless it is exactly one thing."""
    if (older_than is not None) + keep_latest + delete != 1:
        raise SettingsError(
            "db prune", "what to prune is not clear", "Use one of --older-than TIME, --keep-latest, --delete THREAD."
        )
    if older_than is not None:
        if threads:
            raise SettingsError("--older-than", "takes no threads", "Use --delete to name them.")
        return Wish("delete", older_than=read_time(older_than), force=force)
    if delete and not threads:
        raise SettingsError("--delete", "no thread is named", "Name the threads to delete.")
    return Wish("delete" if delete else "keep_latest", tuple(threads), force=force)


def read_time(text: str) -> timedelta:
    """A time such as 30d, 12h or 90m."""
    found = _TIME.fullmatch(text.strip().lower())
    try:
        if found is not None:
            return timedelta(**{_UNITS[found[2]]: float(found[1])})
    except OverflowError:
        pass  # told below, as any other time that makes no sense
    raise SettingsError("--older-than", f"{text!r} is no time", "Write it as 30d, 12h, 90m, 45s or 4w.")


def choose(wish: Wish, saver: SqliteCheckpointer) -> tuple[list[str], list[str]]:
    """The threads to prune, and those that are spared because a run goes on or waits, or somebody holds them."""
    entries, now = list_threads(saver.database), time.time()
    busy = open_threads(saver.database) | {entry.name for entry in entries if entry.held_until > now}
    if wish.names:
        names = [_find(name, entries) for name in wish.names]
        kept = [name for name in names if name in busy]
        if kept and not wish.force:
            problem = f"the run of {_names(kept)} goes on or waits, or somebody writes it"
            raise SettingsError("db prune", problem, "Nothing was pruned. End the run first, or add --force.")
        return list(dict.fromkeys(names)), []
    limit = now - wish.older_than.total_seconds() if wish.older_than is not None else now
    meant = [entry.name for entry in entries if entry.touched_at <= limit]
    if wish.force:
        return meant, []
    return [name for name in meant if name not in busy], [name for name in meant if name in busy]


def open_threads(database: Path) -> set[str]:
    """The threads of runs that go on or wait; none if there is no ledger in the file."""
    if LEDGER_TABLE not in tables_in(database, _BUSY_SECONDS):
        return set()
    with closing(Ledger(database)) as ledger:
        return ledger.runs.open_threads()


def _find(name: str, entries: Collection[ThreadEntry]) -> str:
    """The thread of this name, of this run, or the only one whose name begins so."""
    known = [entry.name for entry in entries]
    for exact in (name, name.rpartition("~")[0]):
        if exact in known:
            return exact
    begun = [each for each in known if each.startswith(name)] if name else []
    if len(begun) != 1:
        raise UnknownThread(name)
    return begun[0]


def _announce(wish: Wish, chosen: Sequence[str], console: Console) -> None:
    threads = counted(len(chosen), "thread")
    if wish.strategy == "keep_latest":
        say(console, f"All but the latest checkpoint of each namespace will be deleted in {threads}:")
    else:
        say(console, f"{threads} will be deleted:")
    say(console, f"  {_names(chosen)}")
    sys.stderr.flush()


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _size(database: Path) -> int:
    return sum(path.stat().st_size for path in (database, Path(f"{database}-wal")) if path.exists())
