"""Recording a run on a tape, and replaying one: nothing is called then, neither a model nor an action."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from signoff.agents.models.registry import choose_model, tiers_of
from signoff.agents.replay.cassette import Tape
from signoff.agents.run_context import Payer, paying
from signoff.checkpoints.ledger.runs import RunRecord
from signoff.desk.cli.terminal import say
from signoff.errors import SettingsError, TapeMiss
from signoff.fleet.run import Run
from signoff.graphs.team import Team
from signoff.settings import Settings

_NOT_KEPT = frozenset(
    "home database encryption_key user api_key secrets webhooks webhook_secret hook_command hook_events traces "
    "traces_content approval_hours confirm_seconds".split()
)
"""Settings that are no part of the run: where things are kept, who people are, secrets."""


@dataclass(frozen=True)
class Taping:
    """Which tape a command records on or replays, if any."""

    record: Path | None = None
    replay: Path | None = None

    def __post_init__(self) -> None:
        if self.record is not None and self.replay is not None:
            raise SettingsError("--record", "goes not with --replay", "Use one of them.")


@dataclass(frozen=True)
class Recorded:
    """What a tape tells of the run that was recorded."""

    team: str
    goal: str
    settings: Mapping[str, Any]
    """With something for a key, as no model is loaded without one; nothing is called with it."""


def read_recorded(path: Path) -> Recorded:
    """What the header of a tape tells; empty where the tape was recorded otherwise."""
    about = Tape.open(path, "replay").about
    settings = about.get("settings", {})
    return Recorded(str(about.get("team", "")), str(about.get("goal", "")), {**settings, "api_key": "replayed"})


def check_new(path: Path | None) -> None:
    """SettingsError if a new run would be recorded on another's tape."""
    if path is not None and path.exists() and path.stat().st_size:
        raise SettingsError("--record", f"{str(path)!r} is there already", "Name another file, or remove it.")


def check_dry(record: RunRecord) -> None:
    """SettingsError if a run that acts would go on from a tape."""
    if not record.dry_run:
        problem = f"calls nothing, and run {record.id!r} is no dry run"
        raise SettingsError("--replay", problem, "Start one: signoff run --replay FILE")


@contextmanager
def taped(taping: Taping, run: Run, settings: Settings, console: Console) -> Iterator[None]:
    """Have the run's traffic recorded, or replayed; says at the end what of the tape was not asked.

    TapeMiss if a replay asked what the tape does not have, whatever the team made of that.
    """
    tape = _open(taping, run, settings)
    ledger = run.team.ledger
    if tape is None or ledger is None:
        yield
        return
    for note in tape.notes:
        say(console, note)
    try:
        with paying(Payer(ledger=ledger, tape=tape)):
            yield
    except TapeMiss as miss:
        say(console, miss.difference)
        raise
    if tape.misses:
        say(console, tape.misses[0].difference)
        raise tape.misses[0]
    if tape.mode == "record":
        say(console, f"Recorded on {tape.path}")
    elif tape.unused:
        say(console, f"{len(tape.unused)} exchanges on the tape were not asked, the first: {tape.unused[0]}")


def _open(taping: Taping, run: Run, settings: Settings) -> Tape | None:
    if taping.replay is not None:
        return Tape.open(taping.replay, "replay")
    if taping.record is None:
        return None
    kept = settings.model_dump(mode="json", exclude=set(_NOT_KEPT))
    kept["model"] = _full_name(run.team, settings)
    about = {"team": run.record.team, "goal": run.record.goal, "settings": kept}
    return Tape.open(taping.record, "record", about=about)


def _full_name(team: Team, settings: Settings) -> str:
    """The model's name, also where the endpoint was asked for it: a replay cannot ask."""
    chosen, model = choose_model(settings), team.supervisor.model
    if ":" in chosen or model is None or settings.tiers:
        return chosen
    return f"{chosen}:{tiers_of(model).model('').model_name}"
