"""The commands of schedules: jobs that are submitted by the clock."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from json import dumps
from pathlib import Path
from typing import Annotated
from zoneinfo import ZoneInfo

import typer
from rich.console import Console

from signoff.checkpoints import read_once
from signoff.checkpoints.jobs import CATCH_UP_SECONDS, DEFAULT_TENANT, Overlap, Schedule, make_tables
from signoff.checkpoints.ledger import Ledger
from signoff.desk.cli.lists import existing_ledger
from signoff.desk.cli.run import Ways, team_for
from signoff.desk.cli.terminal import (
    MANY,
    TEAM_HELP,
    Depth,
    Json,
    Model,
    Sources,
    command,
    moment,
    one_of,
    print_json,
    row,
    say,
    short,
    table,
)
from signoff.error_base import SettingsError
from signoff.fleet.queue import OUT, Fleet, How, read_jobs
from signoff.graphs import Team
from signoff.graphs.teams import new_team
from signoff.settings import Settings, load_settings
from signoff.wording import counted

_NEXT = 5
Name = Annotated[str, typer.Argument(metavar="NAME", help="The schedule's name.")]
Moment = Annotated[str, typer.Option(metavar="MOMENT", help="Such as 2026-01-31T09:30Z, or with a zone's +02:00.")]


def add(
    name: Name,
    cron: Annotated[str, typer.Argument(metavar="CRON", help="Five fields: '0 8 * * 1' is Mondays at eight.")],
    team: Annotated[str, typer.Argument(metavar="TEAM", help=TEAM_HELP)],
    given: Annotated[
        str, typer.Argument(metavar="GOAL", help='The goal, or what the team takes as JSON: \'{"customer": "Bob"}\'.')
    ],
    zone: Annotated[str, typer.Option("--zone", metavar="ZONE", help="Whose clock it is, as Europe/Berlin.")] = "UTC",
    overlap: Annotated[
        Overlap, one_of(Overlap, "If the job before has not ended: leave it out, have one wait, or submit it.")
    ] = "skip",
    catch_up: Annotated[
        int, typer.Option(min=0, max=MANY, metavar="SECONDS", help="How long ago a missed firing is made up for.")
    ] = CATCH_UP_SECONDS,
    every_missed: Annotated[
        bool, typer.Option("--every-missed", help="Make up for each missed firing, not for the newest alone.")
    ] = False,
    sources: Sources = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where each job's file goes, as in 'weekly/{id}.md'.")
    ] = None,
    depth: Depth = None,
    model: Model = None,
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Whose jobs they are.")] = DEFAULT_TENANT,
    priority: Annotated[int, typer.Option(min=1, max=9, help="1 is done first, 9 last.")] = 5,
    budget: Annotated[str | None, typer.Option(metavar="LIMIT", help="What each may use: '$2'.")] = None,
) -> int:
    settings, own = team_for(team, Ways(sources=sources, out=out, depth=depth, model=model, budget=budget))
    built: Team = own or new_team(team, settings)
    how = How(tenant=tenant, priority=priority, budget=budget)
    read = read_jobs(built, [_line(given)], settings, how)
    if read.bad:
        raise SettingsError("GOAL", read.bad[0].problem, "See docs/fleet.md.")
    if not name.strip() or "@" in name or "/" in name:
        raise typer.BadParameter(f"{name!r} has an @ or a / in it, or is empty.", param_hint="NAME")
    (job,) = read.jobs
    if out is not None:  # {id} is that of each firing's job
        job = replace(job, options={**job.options, OUT: str(out.expanduser().absolute())})
    ledger = Fleet.open(settings).ledger
    make_tables(ledger, settings.database_name)
    made = ledger.schedules.add(
        name,
        cron,
        job,
        by=settings.user_name,
        zone=zone,
        overlap=overlap,
        catch_up=catch_up,
        newest_only=not every_missed,
    )
    console = Console(stderr=True)
    say(console, f"Schedule {name} submits a job of team {job.team}; next, by the clock of {zone}:")
    for at in _next(made):
        say(console, f"  {at}")
    say(console, f"Workers submit and do them: {command()} fleet work")
    return 0


def list_(json: Json = False) -> None:
    found = existing_ledger(load_settings()).schedules.all()
    if json:
        return print_json([{**asdict(one), "next": _next(one)} for one in found])
    console = Console()
    if not found:
        return say(console, f"No schedules. Make one: {command()} schedule add NAME '0 8 * * 1' TEAM GOAL")
    shown = table("name", "when", "team", "next", "last", "goal")
    for one in found:
        following = "paused" if one.paused_by else _next(one)[0]
        last = f"{moment(one.last_at)} {one.told}".strip()
        row(shown, one.name, f"{one.cron} {one.zone}", one.team, following, last, short(one.goal))
    return console.print(shown)


def pause(name: Name) -> None:
    _do(lambda ledger, by: ledger.schedules.pause(name, by=by), f"Schedule {name} is paused.")


def resume(name: Name) -> None:
    _do(lambda ledger, by: ledger.schedules.go_on(name, by=by), f"Schedule {name} goes on with its next firing.")


def remove(name: Name) -> None:
    _do(lambda ledger, by: ledger.schedules.remove(name, by=by), f"Schedule {name} is gone; its jobs are not.")


def run(name: Name) -> None:
    settings, ledger = _opened()
    job = ledger.schedules.run_now(name, by=settings.user_name)
    say(Console(stderr=True), f"Job {job} is submitted.")


def backfill(name: Name, since: Moment, until: Moment = "") -> None:
    settings, ledger = _opened()
    first, last = _moment(since, "--since"), _moment(until, "--until") if until else datetime.now(UTC)
    made = ledger.schedules.backfill(name, first, last, by=settings.user_name)
    say(Console(stderr=True), f"{counted(len(made), 'job')} submitted.")


def _opened() -> tuple[Settings, Ledger]:
    settings = load_settings()
    ledger = existing_ledger(settings)
    make_tables(ledger, settings.database_name)
    return settings, ledger


def _do(change: Callable[[Ledger, str], object], told: str) -> None:
    settings = load_settings()
    change(existing_ledger(settings), settings.user_name)
    say(Console(stderr=True), told)


def _next(schedule: Schedule) -> list[str]:
    """The next firings, by the schedule's own clock."""
    since = datetime.fromisoformat(schedule.next_at) - timedelta(seconds=1)
    zone = ZoneInfo(schedule.zone)
    return [f"{at.astimezone(zone):%a %Y-%m-%d %H:%M}" for at in islice(schedule.firings(since), _NEXT)]


def _line(given: str) -> str:
    """A line of a file of jobs with this goal, or with this object."""
    try:
        found = read_once(given)
    except ValueError:
        found = given
    return dumps({"input": found}) if isinstance(found, dict) else dumps({"goal": given})


def _moment(said: str, option: str) -> datetime:
    try:
        at = datetime.fromisoformat(said)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or not 1970 <= at.year < 9000:
        raise typer.BadParameter(f"{said!r} is no moment with its zone: 2026-01-31T09:30Z.", param_hint=option)
    return at
