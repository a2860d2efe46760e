"""The commands of `signoff audit`. Like all commands they import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from signoff.desk.cli.terminal import one_of

audit = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Check and export the audit log.")

Format = Literal["jsonl", "csv"]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Database = Annotated[
    str | None, typer.Option(metavar="FILE", help="The database, or an address; that of the settings by default.")
]


@audit.command()
def verify(
    head: Annotated[
        list[str] | None,
        typer.Option(metavar="NUMBER:HASH", help="A head that was kept: the log must lead through it."),
    ] = None,
    anchor: Annotated[Path | None, typer.Option(metavar="FILE", help="A file of heads from `audit anchor`.")] = None,
    database: Database = None,
    json: Json = False,
) -> None:
    """Check that the log is what was written, and that the tables say what it says; exit code 1 if not."""
    from signoff.desk.cli.audit import verify_log

    raise typer.Exit(verify_log(head or [], anchor, database, json=json))


@audit.command()
def anchor(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where writers of the database cannot write.")],
    database: Database = None,
    json: Json = False,
) -> None:
    """Note down the log's present head in a file outside the database, for `audit verify --anchor`."""
    from signoff.desk.cli.audit import anchor_head

    anchor_head(file, database, json=json)


@audit.command()
def export(
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only this run's entries.")] = None,
    format: Annotated[
        Format, typer.Option(parser=one_of(Format), metavar="|".join(get_args(Format)), help="How they are written.")
    ] = "jsonl",
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file; standard output by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    database: Database = None,
    json: Json = False,
) -> None:
    """Write out the log, with what each entry's hash is made of, so that anybody can recompute it."""
    from signoff.desk.cli.audit import export_log

    export_log(run, format, out, database, force=force, json=json)
