"""The commands of the fleet: jobs are submitted, done by workers, looked at, ended, held and read.

It is longer than most, as each of their options is a line.
"""

from __future__ import annotations

import json as json_text
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from signoff.checkpoints.jobs import DEFAULT_TENANT, FEW, STATUSES, Asked, Job, JobStatus, LimitKind, Which
from signoff.desk.cli.lists import existing_ledger
from signoff.desk.cli.run import Ways, team_for
from signoff.desk.cli.terminal import (
    MANY,
    TEAM_HELP,
    Depth,
    Json,
    Model,
    Sources,
    Yes,
    can_ask,
    command,
    moment,
    print_json,
    row,
    say,
    short,
    stoppable,
    table,
)
from signoff.error_base import SettingsError
from signoff.fleet.evals import evals_settings
from signoff.fleet.queue import Fleet, How, Overview, Submission, Worker, metrics_text, overview_of, read_jobs, serve
from signoff.graphs import Team
from signoff.graphs.teams import new_team
from signoff.settings import load_settings
from signoff.wording import counted

BAD_LINES = 2
"""Exit code of a submission with lines that are no jobs."""
_SHOWN = 20
"""Bad lines that are told; of more their number is."""
_REFRESH = 1.0

Tenant = Annotated[str, typer.Option(metavar="NAME", help="Of this tenant alone.")]
OfTeam = Annotated[str, typer.Option("--team", metavar="NAME", help="Of this team alone.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="JOB...", help="Ids of jobs, or of their runs.")]
WithStatus = Annotated[
    list[str] | None, typer.Option("--status", metavar="|".join(STATUSES), help="Those that stand so; may be repeated.")
]
WithError = Annotated[str, typer.Option("--error", metavar="TEXT", help="Those whose last error has this in it.")]
All = Annotated[bool, typer.Option("--all", help="All of them.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say how many that would be, and change nothing.")]


def submit(
    team: Annotated[str, typer.Argument(metavar="TEAM", help=TEAM_HELP)],
    jobs: Annotated[str, typer.Argument(metavar="JOBS", help="File of jobs, a JSON object a line; - reads them.")],
    sources: Sources = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Where each job's file goes, as in 'reports/{id}.md'.")
    ] = None,
    depth: Depth = None,
    model: Model = None,
    tenant: Annotated[str, typer.Option(metavar="NAME", help="Whose jobs they are.")] = DEFAULT_TENANT,
    priority: Annotated[int, typer.Option(min=1, max=9, help="1 is done first, 9 last.")] = 5,
    deadline: Annotated[
        str, typer.Option(metavar="WHEN", help="Nothing more is done after that: 2h, or 2026-01-31T09:30Z.")
    ] = "",
    budget: Annotated[
        str | None, typer.Option(metavar="LIMIT", help="What each may use before somebody is asked: '$2'.")
    ] = None,
    plan: Annotated[bool, typer.Option("--plan", help="Have somebody see each plan before it is worked by.")] = False,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Submit the others if some lines are no jobs.")] = False,
    json: Json = False,
) -> int:
    """Submit jobs for workers to do: a line of JSON each, all of them or none. A line holds
    what the team takes, or only a "goal"; and of the job itself any of "id", "tenant", "priority", "deadline" and
    "budget". Submitted again, a job of the same id is the same job, and is done once.
    """
    lines = _lines(jobs)
    settings, own = team_for(team, Ways(sources=sources, out=out, depth=depth, model=model, budget=budget))
    built: Team = own or new_team(team, settings)
    how = How(tenant=tenant, priority=priority, deadline=deadline, budget=budget, ask_plan=plan, out=out)
    read, errors = read_jobs(built, lines, settings, how), Console(stderr=True)
    _say_bad(errors, read)
    if read.bad and not skip_bad:
        say(errors, f"Nothing was submitted. Mend {counted(len(read.bad), 'line')}, or leave them out with --skip-bad.")
        return BAD_LINES
    if not read.jobs:
        raise SettingsError("JOBS", f"{jobs!r} holds no job", 'Write a line such as {"id": "a-1", "goal": "…"}.')
    done = Fleet.open(settings).submit(read.jobs)
    if json:
        print_json({"new": list(done.new), "known": list(done.known), "bad": [asdict(line) for line in read.bad]})
        return 0
    again = f"; {len(done.known):,} were there before" if done.known else ""
    twice = f"; {counted(read.repeated, 'line')} said the same again" if read.repeated else ""
    say(errors, f"{counted(len(done.new), 'job')} submitted{again}{twice}.")
    if done.new:
        say(errors, f"Have them done: {command()} fleet work --concurrency 8")
        say(errors, f"See how they stand: {command()} fleet status --live")
    return 0


def work(
    concurrency: Annotated[int, typer.Option(min=1, max=10_000, help="How many jobs at once.")] = FEW,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End once no job is queued or under way.")] = False,
    patience: Annotated[
        list[str] | None,
        typer.Option("--patience", metavar="[TEAM=]SECONDS", help="A job of which nothing is heard so long rests."),
    ] = None,
    evals: Annotated[bool, typer.Option("--evals", help="Do the cases of evals, not the fleet's jobs.")] = False,
    model: Model = None,
) -> int:
    settings, console = load_settings(model=model), Console(stderr=True)
    settings = evals_settings(settings) if evals else settings
    worker = Worker(settings, concurrency, until_idle=until_idle, patience=_patience(patience or ()))
    with _stopped_by_signals(worker):
        turns = worker.run(lambda line: say(console, line))
    say(console, f"The worker ends. It did {counted(turns, 'turn')}.")
    return 0


def status(
    tenant: Tenant = "",
    team: OfTeam = "",
    live: Annotated[bool, typer.Option("--live", help="Show it anew each second until no job is left to do.")] = False,
    md: Annotated[bool, typer.Option("--md", help="Print it as Markdown, for a mail.")] = False,
    json: Json = False,
) -> None:
    ledger, which = existing_ledger(load_settings()), Which(tenant=tenant, team=team)
    found = overview_of(ledger, which)
    if json:
        return print_json(found.as_json())
    if md:
        sys.stdout.write(found.as_markdown())
        return None
    console = Console()
    if not live:
        for line in found.lines():
            say(console, line)
        return None
    with Live(_drawn(found), console=console, auto_refresh=False) as shown:
        while found.left:
            time.sleep(_REFRESH)
            found = overview_of(ledger, which)
            shown.update(_drawn(found), refresh=True)
    return None


def jobs(
    ids: Ids = None,
    tenant: Tenant = "",
    team: OfTeam = "",
    status: WithStatus = None,
    error: WithError = "",
    limit: Annotated[int, typer.Option(min=1, max=MANY, help="How many, oldest first.")] = 50,
    json: Json = False,
) -> None:
    which = _which(ids, tenant, team, status, error)
    ledger = existing_ledger(load_settings())
    found = ledger.jobs.list(which, limit)
    if json:
        return print_json([asdict(job) for job in found])
    console = Console()
    if not found:
        return say(console, f"No such jobs. Submit some: {command()} fleet submit TEAM JOBS")
    shown = table("job", "team", "status", "submitted", "goal, or what went wrong")
    shown.columns[0].no_wrap = shown.columns[2].no_wrap = shown.columns[3].no_wrap = True
    for job in found:
        row(
            shown,
            job.name,
            job.team,
            _standing(job),
            moment(job.submitted_at),
            short(job.error or job.goal),
        )
    console.print(shown)
    left = sum(ledger.jobs.counts(which).values()) - len(found)
    if left > 0:
        say(console, f"{left:,} more: --limit {limit + left}")
    return None


def results(ids: Ids = None, tenant: Tenant = "", team: OfTeam = "", status: WithStatus = None) -> None:
    which, settings = _which(ids, tenant, team, status, ""), load_settings()
    existing_ledger(settings)
    for found in Fleet.open(settings).results(which):
        sys.stdout.write(json_text.dumps(found) + "\n")


def limit(
    team: Annotated[
        list[str] | None, typer.Option("--team", metavar="NAME=NUMBER", help="At most so many of its jobs at once.")
    ] = None,
    tenant: Annotated[
        list[str] | None, typer.Option("--tenant", metavar="NAME=NUMBER", help="The same of a tenant.")
    ] = None,
    queued: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="At most so many queued: more are not submitted.")
    ] = None,
    json: Json = False,
) -> None:
    settings = load_settings()
    ledger, wanted = existing_ledger(settings), list[tuple[LimitKind, str, int | None]]()
    kinds: tuple[tuple[LimitKind, list[str] | None], ...] = (("team", team), ("tenant", tenant))
    for kind, named in kinds:
        for each in named or ():
            name, _, number = each.rpartition("=")
            if not name:
                raise typer.BadParameter(f"{each!r} is not NAME=NUMBER.", param_hint=f"--{kind}")
            wanted.append((kind, name, _number(number, f"--{kind}")))
    if queued is not None:
        wanted.append(("queued", "", _number(queued, "--queued")))
    for which, name, most in wanted:
        ledger.jobs.limits.set(which, name, most, by=settings.user_name)
    known = ledger.jobs.limits.all()
    if json:
        return print_json([{"kind": kind, "name": name, "most": most} for (kind, name), most in known.items()])
    console = Console()
    if not known:
        return say(console, f"No limits. Set one: {command()} fleet limit --team NAME=4")
    shown = table("limit", "of", "jobs")
    for (what, name), most in sorted(known.items()):
        row(shown, "queued in all" if what == "queued" else "at once", f"{what} {name}" if name else "", f"{most:,}")
    return console.print(shown)


def _number(said: str, option: str) -> int | None:
    if said == "none":
        return None
    if not said.isdecimal() or not 0 < len(said) < 10 or not int(said):
        raise typer.BadParameter(f"{said!r} is no number from 1 on, nor none.", param_hint=option)
    return int(said)


def metrics(
    port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Serve /metrics and /health there until Ctrl-C; 0: any port.")
    ] = None,
    host: Annotated[str, typer.Option(metavar="ADDRESS", help="Where to listen, with --port.")] = "127.0.0.1",
) -> int:
    ledger, console = existing_ledger(load_settings()), Console(stderr=True)
    if port is None:
        sys.stdout.write(metrics_text(ledger))
        return 0
    with serve(ledger, host, port) as server, stoppable(console):
        say(console, f"http://{host}:{server.server_port}/metrics and /health. Ctrl-C ends it.")
        server.serve_forever()
    return 0


def _change_of(
    verb: str, done: str, change: Callable[[Fleet, Which], Asked], among: tuple[JobStatus, ...]
) -> Callable[..., int]:
    """The command that changes those of some jobs that stand in one of these ways."""

    def command(
        ids: Ids = None,
        tenant: Tenant = "",
        team: OfTeam = "",
        status: WithStatus = None,
        error: WithError = "",
        everything: All = False,
        dry_run: DryRun = False,
        yes: Yes = False,
    ) -> int:
        which = _which(ids, tenant, team, status, error, everything=everything, needed=True)
        return _change(verb, done, change, which, among, dry_run=dry_run, yes=yes)

    return command


cancel = _change_of("cancel", "cancelled", Fleet.cancel, ("queued", "running", "waiting", "held"))
retry = _change_of("retry", "put back into the queue", Fleet.retry, ("parked",))
drain = _change_of("drain", "held", Fleet.hold, ("queued", "running"))
resume = _change_of("resume", "put back into the queue", Fleet.resume, ("held",))


def _change(
    verb: str,
    done: str,
    change: Callable[[Fleet, Which], Asked],
    which: Which,
    among: Sequence[JobStatus],
    *,
    dry_run: bool,
    yes: bool,
) -> int:
    """Say how many jobs it is about, ask, and do it; exit code 1 if there are none."""
    console, settings = Console(stderr=True), load_settings()
    ledger = existing_ledger(settings)
    meant = tuple(status for status in among if status in (which.status or among))
    wanted = replace(which, status=meant)
    counts = ledger.jobs.counts(wanted) if meant else {}
    number = sum(counts.values())
    told = ", ".join(f"{count:,} {status}" for status, count in counts.items())
    if not number:
        say(console, f"There is no such job to {verb}: it would have to be {' or '.join(among)}.")
        return 1
    if dry_run:
        say(console, f"{counted(number, 'job')} to {verb}: {told}. Nothing was changed.")
        return 0
    if not yes and not which.ids:
        if not can_ask(console):
            raise SettingsError(
                verb, f"{counted(number, 'job')} are meant ({told}), and nobody can be asked", "Say --yes."
            )
        if not typer.confirm(f"{verb.capitalize()} {counted(number, 'job')} ({told})?", err=True):
            return 1
    asked = change(Fleet.open(settings), wanted)
    now = len(asked.at_once) + len(asked.begun)
    later = f"; {len(asked.soon):,} will be at their next step" if asked.soon else ""
    say(console, f"{counted(now, 'job')} {done}{later}.")
    return 0


def _which(
    ids: Sequence[str] | None,
    tenant: str,
    team: str,
    status: Sequence[str] | None,
    error: str,
    *,
    everything: bool = False,
    needed: bool = False,
) -> Which:
    wrong = [word for word in status or () if word not in STATUSES]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is not one of {', '.join(STATUSES)}.", param_hint="--status")
    named = any((ids, tenant, team, status, error))
    if needed and not named and not everything:
        raise typer.BadParameter("Which jobs? Name some, say --tenant, --team, … or --all.")
    kept: Any = tuple(status or ())
    return Which(tenant=tenant, ids=tuple(ids or ()), team=team, status=kept, error=error)


def _patience(said: Sequence[str]) -> dict[str, float]:
    """Seconds by team, from `600` or `code=3600`."""
    found = dict[str, float]()
    for each in said:
        team, _, seconds = each.rpartition("=")
        try:
            found[team] = float(seconds)
        except ValueError:
            found[team] = 0.0
        if not 0 < found[team] < float("inf"):
            raise typer.BadParameter(f"{each!r} is neither SECONDS nor TEAM=SECONDS.", param_hint="--patience")
    return found


def _lines(jobs: str) -> Iterator[str]:
    """The lines of a file, or of standard input."""
    if jobs == "-":
        return iter(sys.stdin.read().split("\n"))
    path = Path(jobs).expanduser()
    if not path.exists() or path.is_dir():
        raise typer.BadParameter(f"there is no file {jobs!r}.", param_hint="JOBS")
    try:
        return iter(path.read_text(encoding="utf-8").split("\n"))
    except UnicodeDecodeError as error:
        raise typer.BadParameter(f"{jobs!r} is no text in UTF-8 ({error.reason}).", param_hint="JOBS") from None


def _say_bad(console: Console, read: Submission) -> None:
    for line in read.bad[:_SHOWN]:
        say(console, str(line), "yellow")
    if len(read.bad) > _SHOWN:
        say(console, f"… and {len(read.bad) - _SHOWN:,} lines more.", "yellow")


def _standing(job: Job) -> str:
    if job.wanted and not job.is_over:
        return f"{job.status}, to be {'cancelled' if job.wanted == 'cancel' else 'held'}"
    return job.status


def _drawn(found: Overview) -> Table:
    shown = Table.grid()
    for line in found.lines():
        shown.add_row(Text(line))
    return shown


@contextmanager
def _stopped_by_signals(worker: Worker) -> Iterator[None]:
    """Ctrl-C and SIGTERM end the worker in order; a second one at once."""
    came = list[int]()

    def stop(number: int, _frame: object) -> None:
        if came:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        came.append(number)
        worker.stop()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
