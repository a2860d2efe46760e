"""The commands of `signoff memory`. Like all commands they import what they need when they run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

memory = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="See and delete what teams remember.")

Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Team = Annotated[str | None, typer.Option(metavar="TEAM", help="Only this team's.")]
Run = Annotated[str | None, typer.Option(metavar="RUN", help="Only what this run left.")]


@memory.command("list")
def list_(team: Team = None, run: Run = None, json: Json = False) -> None:
    """List the memories, oldest first, with where they came from."""
    from signoff.desk.cli.memory import list_memories

    list_memories(team, run, json=json)


@memory.command()
def show(
    memory: Annotated[str, typer.Argument(metavar="MEMORY", help="A memory's id, or the beginning of one.")],
    json: Json = False,
) -> None:
    """Show a memory: all of it, and where it came from."""
    from signoff.desk.cli.memory import show_memory

    show_memory(memory, json=json)


@memory.command()
def forget(
    memories: Annotated[list[str] | None, typer.Argument(metavar="[MEMORY]...", help="Ids, or beginnings.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="All that this run left.")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="All whose days are over.")] = False,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the record.")] = "",
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who deletes; your login name by default.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Delete memories for good; the audit log says who did, not what they said."""
    from signoff.desk.cli.memory import forget_memories

    forget_memories(memories or [], run, expired=expired, why=why, by=by, yes=yes, json=json)


@memory.command()
def export(
    team: Team = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file; standard output by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    json: Json = False,
) -> None:
    """Write out the memories as JSON Lines, with where they came from."""
    from signoff.desk.cli.memory import export_memories

    export_memories(team, out, force=force, json=json)
