"""The commands of `signoff db`. Like all commands they import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

db = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Look after the database.")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Database = Annotated[Path | None, typer.Option(metavar="FILE", help="The database; that of the settings by default.")]
Threads = Annotated[list[str] | None, typer.Argument(metavar="[THREAD]...", help="Threads; a run's id names its own.")]


@db.command()
def stats(database: Database = None, json: Json = False) -> None:
    """Show how large the database is and what it holds."""
    from signoff.desk.cli.db_file import show_stats

    show_stats(database, json=json)


@db.command()
def check(database: Database = None, json: Json = False) -> None:
    """Check that file, checkpoints and audit log are whole; exit code 1 if not. On PostgreSQL: the audit log."""
    from signoff.desk.cli.db_file import check_database

    raise typer.Exit(check_database(database, json=json))


@db.command()
def prune(
    threads: Threads = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="TIME", help="Delete threads that nobody touched for 30d, 12h, 90m …")
    ] = None,
    keep_latest: Annotated[bool, typer.Option("--keep-latest", help="Keep the latest checkpoint of each.")] = False,
    delete: Annotated[bool, typer.Option("--delete", help="Delete the named threads.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also threads of runs that go on or wait.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    database: Database = None,
    json: Json = False,
) -> None:
    """Delete checkpoints nobody needs and give the space back; runs that go on or wait are spared."""
    from signoff.desk.cli.db import prune_database

    prune_database(
        threads or [],
        older_than=older_than,
        keep_latest=keep_latest,
        delete=delete,
        force=force,
        yes=yes,
        database=database,
        json=json,
    )


@db.command()
def backup(
    target: Annotated[Path, typer.Argument(metavar="FILE", help="The file to write.")],
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    database: Database = None,
    json: Json = False,
) -> None:
    """Copy the database as it is now, while it is in use."""
    from signoff.desk.cli.db_file import back_up

    back_up(target, database, force=force, json=json)


@db.command("import")
def import_(
    source: Annotated[Path, typer.Argument(metavar="FILE", help="A file of LangGraph's SqliteSaver.")],
    types: Annotated[
        list[str] | None, typer.Option("--type", metavar="MODULE.CLASS", help="A class that is among the values.")
    ] = None,
    database: Database = None,
    json: Json = False,
) -> None:
    """Take over all threads from a file of LangGraph's own SqliteSaver."""
    from signoff.desk.cli.db_file import import_file

    raise typer.Exit(import_file(source, types or [], database, json=json))


@db.command()
def key(json: Json = False) -> None:
    """Make a key for encryption."""
    from signoff.desk.cli.db_file import print_key

    print_key(json=json)
