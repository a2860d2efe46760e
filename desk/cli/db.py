"""Deleting checkpoints that nobody needs any more."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Collection, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Literal

import typer
from rich.console import Console

from signoff.checkpoints.db.sqlite import LEDGER_TABLE, tables_in
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.checkpoints.saver.rows import ThreadEntry, list_threads
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.desk.cli.db_file import opened, size_text
from signoff.desk.cli.terminal import can_ask, print_json, say
from signoff.errors import SettingsError, UnknownThread

_TIME: Final = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_BATCH: Final = 100
_SHOWN: Final = 10


@dataclass(frozen=True)
class Wish:
    """What is to be pruned, and how."""

    strategy: Literal["keep_latest", "delete"]
    names: tuple[str, ...] = ()
    """Empty: all threads."""
    older_than: timedelta | None = None
    force: bool = False


def prune_database(
    threads: Sequence[str],
    *,
    older_than: str | None,
    keep_latest: bool,
    delete: bool,
    force: bool,
    yes: bool,
    database: Path | None,
    json: bool,
) -> None:
    """Say what will be pruned, ask, do it, and say how much space came back."""
    wish = read_wish(threads, older_than, keep_latest=keep_latest, delete=delete, force=force)
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
    say(Console(), f"{done} {_count(chosen)}; {size_text(freed)} came back.")
    return None


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
    if LEDGER_TABLE not in tables_in(database, 60):
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
    if wish.strategy == "keep_latest":
        say(console, f"All but the latest checkpoint of each namespace will be deleted in {_count(chosen)}:")
    else:
        say(console, f"{_count(chosen)} will be deleted:")
    say(console, f"  {_names(chosen)}")
    sys.stderr.flush()


def _count(names: Collection[str]) -> str:
    return f"{len(names):,} thread{'' if len(names) == 1 else 's'}"


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _size(database: Path) -> int:
    return sum(path.stat().st_size for path in (database, Path(f"{database}-wal")) if path.exists())
