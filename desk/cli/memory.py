"""Listing, showing, deleting and exporting what teams remember."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console

from signoff.desk.cli.terminal import can_ask, print_json, say
from signoff.errors import SettingsError
from signoff.settings import Settings, load_settings
from signoff.tools.memory.item import Remembered
from signoff.tools.memory.memory import Memory


def list_memories(team: str | None, run: str | None, *, json: bool) -> None:
    """Print the memories, oldest first."""
    known = _memory()[0].list(team=team, run=run)
    if json:
        return print_json([_as_json(memory) for memory in known])
    console = Console()
    if not known:
        return say(console, "Nothing is remembered.")
    for memory in known:
        flagged = " (!)" if memory.is_flagged else ""
        say(console, f"{memory.id}  {memory.kind}{flagged}, team {memory.team}: {memory.subject}", "bold")
        say(console, f"  {_short(memory.text)}")
        say(console, f"  {_origin(memory)}")
    if any(memory.is_flagged for memory in known):
        say(console, "(!) Made from texts with orders in them, or with what only such a text names.", "dim")
    return None


def show_memory(memory_id: str, *, json: bool) -> None:
    """Print one memory and where it came from."""
    memory = _memory()[0].find(memory_id)
    if json:
        return print_json(_as_json(memory))
    console, origin = Console(), memory.origin
    say(console, f"{memory.id} · {memory.kind} · team {memory.team}", "bold")
    say(console, memory.subject, "italic")
    say(console, memory.text)
    say(console, f"{_origin(memory)}, approval {origin.approval_id}")
    say(console, f"goal: {origin.goal}")
    for source in origin.sources:
        say(console, f"source, as the agent names it: {source}")
    for flag in origin.flags:
        say(console, f"caution: {flag}")
    return None


def forget_memories(
    memories: Sequence[str], run: str | None, *, expired: bool, why: str, by: str | None, yes: bool, json: bool
) -> None:
    """Say what will be deleted, ask, and delete it."""
    if bool(memories) + (run is not None) + expired != 1:
        raise SettingsError(
            "memory forget", "what to forget is not clear", "Name memories, or use one of --run and --expired."
        )
    memory, settings = _memory()
    if expired:
        dropped = memory.drop_expired()
        return print_json({"forgotten": dropped}) if json else say(Console(), f"Deleted {_count(dropped)}.")
    chosen = memory.list(run=run) if run is not None else [memory.find(name) for name in dict.fromkeys(memories)]
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


def export_memories(team: str | None, out: Path | None, *, force: bool, json: bool) -> None:
    """Write the memories as JSON Lines, in ASCII: any terminal and any pipe takes it."""
    if out is not None and out.exists() and not force:
        raise SettingsError("--out", f"{str(out)!r} is there already", "Name another, or add --force to replace it.")
    known = _memory()[0].list(team=team)
    lines = "".join(f"{json_text.dumps(_as_json(memory))}\n" for memory in known)
    if out is None:
        sys.stdout.write(lines)
        return None
    out.write_text(lines, encoding="ascii")
    if json:
        return print_json({"file": str(out), "memories": len(known)})
    return say(Console(), f"Wrote {_count(len(known))} to {out}.")


def _memory() -> tuple[Memory, Settings]:
    settings = load_settings()
    return Memory.open(settings), settings


def _as_json(memory: Remembered) -> dict[str, Any]:
    return memory.model_dump(mode="json")


def _count(number: int) -> str:
    return "1 memory" if number == 1 else f"{number:,} memories"


def _origin(memory: Remembered) -> str:
    origin = memory.origin
    of_team = f" of team {origin.team}" if origin.team != memory.team else ""
    until = f", until {_moment(memory.expires_at)}" if memory.expires_at else ""
    by = f"by {origin.agent} in run {origin.run_id}{of_team}, allowed by {origin.approved_by}"
    return f"kept {_moment(origin.at)} {by}{until}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else f"{line[:99]}…"


def _moment(at: str) -> str:
    return at[:16].replace("T", " ")
