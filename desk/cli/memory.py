"""The commands that list, show, delete and export what teams remember."""

from __future__ import annotations

import json as json_text
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from signoff.desk.cli.terminal import Json, Yes, can_ask, moment, print_json, say, short
from signoff.error_base import SettingsError
from signoff.settings import load_settings
from signoff.tools.memory import Memory, Remembered

Team = Annotated[str | None, typer.Option(metavar="TEAM", help="Only this team's.")]


def list_(
    team: Team = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only what this run left.")] = None,
    json: Json = False,
) -> None:
    known = Memory.open(load_settings()).list(team=team, run=run)
    if json:
        return print_json([memory.model_dump(mode="json") for memory in known])
    console = Console()
    if not known:
        return say(console, "Nothing is remembered.")
    for memory in known:
        flagged = " (!)" if memory.is_flagged else ""
        say(console, f"{memory.id}  {memory.kind}{flagged}, team {memory.team}: {memory.subject}", "bold")
        say(console, f"  {short(memory.text)}")
        say(console, f"  {_origin(memory)}")
    if any(memory.is_flagged for memory in known):
        say(console, "(!) Made from texts with orders in them, or with what only such a text names.", "dim")
    return None


def show(
    memory: Annotated[str, typer.Argument(metavar="MEMORY", help="A memory's id, or the beginning of one.")],
    json: Json = False,
) -> None:
    found = Memory.open(load_settings()).find(memory)
    if json:
        return print_json(found.model_dump(mode="json"))
    console, origin = Console(), found.origin
    say(console, f"{found.id} · {found.kind} · team {found.team}", "bold")
    say(console, found.subject, "italic")
    for line in found.text.split("\n"):
        say(console, f"│ {line}")
    say(console, f"{_origin(found)}, approval {origin.approval_id}")
    say(console, f"goal: {origin.goal}")
    for source in origin.sources:
        say(console, f"source, as the agent names it: {source}")
    for flag in origin.flags:
        say(console, f"caution: {flag}")
    return None


def forget(
    memories: Annotated[list[str] | None, typer.Argument(metavar="[MEMORY]...", help="Ids, or beginnings.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="All that this run left.")] = None,
    expired: Annotated[bool, typer.Option("--expired", help="All whose days are over.")] = False,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the record.")] = "",
    by: Annotated[str | None, typer.Option(metavar="NAME", help="Who deletes; your login name by default.")] = None,
    yes: Yes = False,
    json: Json = False,
) -> None:
    if bool(memories) + (run is not None) + expired != 1:
        raise SettingsError(
            "memory forget", "what to forget is not clear", "Name memories, or use one of --run and --expired."
        )
    settings = load_settings()
    memory = Memory.open(settings)
    if expired:
        dropped = memory.drop_expired()
        return print_json({"forgotten": dropped}) if json else say(Console(), f"Deleted {_count(dropped)}.")
    chosen = memory.list(run=run) if run is not None else [memory.find(name) for name in dict.fromkeys(memories or ())]
    console = Console(stderr=True)
    if chosen and not yes:
        for one in chosen:
            say(console, f"{one.id}  {one.team}  {one.kind}: {one.subject}")
        if json or not can_ask(console):
            raise SettingsError("--yes", "nothing was deleted, because nobody can be asked here", "Add it to delete.")
        if not typer.confirm(f"Delete {_count(len(chosen))} for good?", err=True):
            chosen = []
    memory.forget(chosen, by=by or settings.user_name, why=why)
    if json:
        return print_json({"forgotten": [one.id for one in chosen]})
    return say(Console(), f"Deleted {_count(len(chosen))}.")


def export(
    team: Team = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="The file; standard output by default.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the file if it is there.")] = False,
    json: Json = False,
) -> None:
    if out is not None and out.exists() and not force:
        raise SettingsError("--out", f"{str(out)!r} is there already", "Name another, or add --force to replace it.")
    known = Memory.open(load_settings()).list(team=team)
    # In ASCII: any terminal and any pipe takes it.
    lines = "".join(f"{json_text.dumps(memory.model_dump(mode='json'))}\n" for memory in known)
    if out is None:
        sys.stdout.write(lines)
        return None
    out.write_text(lines, encoding="ascii")
    if json:
        return print_json({"file": str(out), "memories": len(known)})
    return say(Console(), f"Wrote {_count(len(known))} to {out}.")


def _count(number: int) -> str:
    return "1 memory" if number == 1 else f"{number:,} memories"


def _origin(memory: Remembered) -> str:
    origin = memory.origin
    of_team = f" of team {origin.team}" if origin.team != memory.team else ""
    until = f", until {moment(memory.expires_at)}" if memory.expires_at else ""
    by = f"by {origin.agent} in run {origin.run_id}{of_team}, allowed by {origin.approved_by}"
    return f"kept {moment(origin.at)} {by}{until}"
