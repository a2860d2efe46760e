"""The commands that start a run, fork one and go on with one, and how a run is seen through at a terminal.

It is longer than most, as each of their options is a line, and what they share is here.
"""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from signoff.agents import budgets_of, set_up, usage_text
from signoff.agents.errors import ModelRefused, UnknownModel, UnknownPrice
from signoff.agents.models import OFFLINE, CallSettings, choose_model
from signoff.agents.replay import Cassette
from signoff.checkpoints.errors import ChangedSince, DatabaseUnusable, NotAllowed, RunBusy, StoreError
from signoff.checkpoints.ledger import Approval
from signoff.checkpoints.ledger.budgets import Budget
from signoff.desk.batches import ask_batch, commands_of
from signoff.desk.cli.lists import existing_ledger, how_to_answer
from signoff.desk.cli.live import watch_live
from signoff.desk.cli.question import ask_person, show_proposal
from signoff.desk.cli.record import check_dry, check_files, recorded
from signoff.desk.cli.terminal import (
    INTERRUPTED,
    MANY,
    TEAM_HELP,
    Depth,
    Json,
    Model,
    Out,
    RunId,
    Sources,
    Stopping,
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
from signoff.desk.team_options import (
    TeamAgain,
    change_model,
    fitted,
    how_to_resume,
    module_of_recording,
    open_team,
    team_of_run,
)
from signoff.error_base import SettingsError, SignoffError
from signoff.fleet import Moment, Run, check_whole, fork_run, moments_at, moments_of, settings_of
from signoff.fleet.errors import NoSuchStep, NotAllDecided, RunElsewhere
from signoff.graphs import FOLLOW_PLAN, Given, PlanStep, Team
from signoff.graphs.approval import CONTROLS, standing_after
from signoff.graphs.errors import BadAnswer, UnknownTeam
from signoff.graphs.teams import TEAMS, TeamModule, is_own, new_team, takes_input, with_model
from signoff.settings import Settings, load_settings
from signoff.tools import format_of
from signoff.tools.errors import SourcesMissing
from signoff.wording import counted

DONE, WAITS, STOPPED = 0, 3, 4
"""Exit codes: the run is done; it waits for a person; it was stopped, rejected or refused."""

TELLING_SECONDS = 3.0
"""How long the end of a command waits for notifications; what is left, the next one sends."""


Yes = Annotated[bool, typer.Option("--yes", "-y", help="Approve what the team proposes, in your name, unseen.")]
Record = Annotated[Path | None, typer.Option(metavar="FILE", help="Write down what models and tools answer.")]
Replay = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Replay what was recorded, as a dry run: no key, no network.")
]


@dataclass(frozen=True, kw_only=True)
class Ways:
    """How a run is started."""

    sources: Path | None = None
    out: Path | None = None
    depth: int | None = None
    model: str | None = None
    yes: bool = False
    dry_run: bool = False
    budget: str | None = None
    record: Path | None = None
    replay: Path | None = None
    plan: bool = False
    json: bool = False
    is_another: bool = False
    """Whether this is one more of the same command: where runs are kept was said."""


def run(
    team: Annotated[str, typer.Argument(metavar="TEAM", help=TEAM_HELP)] = "",
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What the team is to find out.")] = "",
    sources: Sources = None,
    out: Out = None,
    depth: Depth = None,
    model: Model = None,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything but the effects.")] = False,
    budget: Annotated[
        str | None, typer.Option(metavar="LIMIT", help="What it may use before you are asked: '$2 tokens=100000'.")
    ] = None,
    record: Record = None,
    replay: Replay = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="See the plan, and change it if you like, before anybody works by it.")
    ] = False,
    json: Json = False,
) -> int:
    """Give a team a goal; sign off what it proposes. TEAM and QUESTION are left out to replay what was recorded.

    A team that declares an input has options of its own: `signoff run code --help`, or `run MODULE:NAME --help`.
    """
    if team and team not in TEAMS:  # one of somebody's own would not come here: its run takes no QUESTION
        raise UnknownTeam(team, sorted(TEAMS))
    missing = [name for name, value in (("TEAM", team), ("QUESTION", question)) if not value]
    if replay is None and missing:
        raise typer.BadParameter(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.")
    ways = Ways(
        sources=sources,
        out=out,
        depth=depth,
        model=model,
        yes=yes,
        dry_run=dry_run,
        budget=budget,
        record=record,
        replay=replay,
        plan=plan,
        json=json,
    )
    return start(team, question, ways)


def run_of_team(words: Sequence[str]) -> Callable[..., int]:
    """The same command as it is for the team that these words name, if that declares an input or is somebody's own."""
    return fitted(run, lambda team, given, **ways: start(team, given, Ways(**ways)), words)


def start(team: str | TeamModule, given: str | Mapping[str, Any] | Given, ways: Ways) -> int:
    """Start a run of a ready-made team, or of an imported one, and see it through."""
    known, goal, replay = None, given if isinstance(given, str) else "", ways.replay
    if replay is not None:
        about = Cassette.open(replay, "replay").about
        known = settings_of(about)
        team = team or module_of_recording(about, load_settings(**known)) or about.get("team", "")
        given = given or Given(about.get("goal", ""), about.get("input", {}))
        goal = goal or about.get("goal", "")
    settings, own = team_for(team, ways, goal, known)
    built = own or new_team(str(team), settings)
    check_files(ways.record, replay, new=True)
    console = Console(stderr=True)
    dry_run = ways.dry_run or replay is not None
    limit, plan = built.run_budget or budgets_of(settings)["run"], ways.plan
    started = Run.start(built, given, settings=settings, drive=False, dry_run=dry_run, budget=limit, ask_plan=plan)
    replayed = f"replay of {replay}, " if replay is not None else ""
    say(console, f"Run {started.id}" + (f" ({replayed}dry run: nothing is called)" if dry_run else ""))
    with recorded(started, settings, console, ways.record, replay):
        return see_through(started, console, yes=ways.yes, json=ways.json)


def team_for(
    team: str | TeamModule, ways: Ways, goal: str = "any goal", known: Mapping[str, Any] | None = None
) -> tuple[Settings, Team | None]:
    """The settings of new runs, checked, and the team if it is somebody's own; None: the settings make it."""
    named = team if isinstance(team, str) else team.named
    if isinstance(team, str) and not (is_own(team) or takes_input(team)):
        return open_run(team, goal, ways, known), None
    sources = {"sources": ways.sources} if takes_input(named) else {}
    settings = _settings(known, model=ways.model, budget=ways.budget, **sources)
    if takes_input(named):  # what does its work follows from the settings
        own = new_team(named, settings)
        sys.stderr.write(_model_line(settings, known, reports=TEAMS[named].reports))
    else:
        loaded = open_team(team, settings) if isinstance(team, str) else team
        own = with_model(loaded, ways.model, settings).team
    sys.stderr.write("" if ways.is_another else _place_line(settings))
    return settings, own if ways.budget is None else replace(own, budget=ways.budget)


def resume(
    run: RunId,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another model for the rest of the run; it is kept with the run.")
    ] = None,
    team: TeamAgain = "",
    yes: Yes = False,
    record: Record = None,
    replay: Replay = None,
    json: Json = False,
) -> int:
    check_files(record, replay, new=False)
    console = Console(stderr=True)
    settings = load_settings(**(settings_of(Cassette.open(replay, "replay").about) if replay is not None else {}))
    known = existing_ledger(settings, f"run {run!r}").runs.get(run)
    if replay is not None:
        check_dry(known)
    own = team_of_run(known, settings, team)
    if model is not None and own is not None:
        own = change_model(known, own, model, settings)
        model = None
    opened = Run.open(known.id, team=own, settings=settings, model=model)
    with recorded(opened, settings, console, record, replay):
        return see_through(opened, console, yes=yes, json=json)


def fork(
    run: RunId,
    at: Annotated[
        str,
        typer.Option(
            "--at", metavar="STEP", help="Begin it as the run stood at this step. Without it they are listed."
        ),
    ] = "",
    limit: Annotated[int, typer.Option(min=1, max=MANY, help="How many steps are listed, newest first.")] = 20,
    before: Annotated[str, typer.Option(metavar="STEP", help="List those before this step.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything but the effects.")] = False,
    resume: Annotated[bool, typer.Option("--resume/--no-resume", help="Drive the fork on at once.")] = True,
    yes: Yes = False,
    team: TeamAgain = "",
    json: Json = False,
) -> int:
    settings, console = load_settings(), Console(stderr=True)
    ledger = existing_ledger(settings, f"run {run!r}")
    record = ledger.runs.get(run)
    check_whole(record)
    if record.driver != "local":
        raise RunElsewhere(record.id)
    own = team_of_run(record, settings, team)
    as_it_was = Run.open(record.id, team=own, settings=settings).team
    if not at:
        last = _moment_at(record.id, before, as_it_was, settings).id if before else ""
        return _list_moments(record.id, *moments_of(record.id, as_it_was, settings, before=last, most=limit), json=json)
    begin = _moment_at(record.id, at, as_it_was, settings)
    new = fork_run(ledger, record.id, begin.id, team=as_it_was, settings=settings, dry_run=dry_run)
    say(console, f"Run {new} (fork of {record.id} at step {begin.step}{', dry run: nothing is called' * dry_run})")
    if done := ledger.effects.count(record.id):
        say(
            console,
            f"What {record.id} has called, {counted(done, 'action')}, is not called again with the same arguments.",
        )
    if record.status in ("running", "waiting"):
        stop = f"{command()} cancel {record.id}"
        say(console, f"{record.id} goes on, too, and may do what the fork does. To have one only: {stop}", "yellow")
    forked = Run.open(new, team=own, settings=settings)
    if resume:
        return see_through(forked, console, yes=yes, json=json)
    say(console, f"To go on with it: {how_to_resume(new, forked.team.name, forked.team.options)}")
    if json:
        print_json({"run": new, "status": forked.status, "forked_from": record.id, "at": begin.id})
    return DONE


def _moment_at(run: str, at: str, team: Team, settings: Settings) -> Moment:
    """Where a run stood at a step, told by its number or by the id of its checkpoint; NoSuchStep if nowhere."""
    found = moments_at(run, at, team, settings)
    if len(found) > 1:
        raise BadAnswer(
            f"Run {run!r} stood at step {at} more than once: {', '.join(one.id for one in found)}. Name one."
        )
    if not found:
        raise NoSuchStep(run, at)
    return found[0]


def _list_moments(run: str, moments: Sequence[Moment], more: str, *, json: bool) -> int:
    if json:
        print_json([asdict(one) for one in moments])
        return DONE
    console = Console()
    listed = table("step", "comes next", "made by then", "settled by then", "when")
    for one in moments:
        settled = counted(one.settled, "proposal") if one.settled else ""
        row(listed, str(one.step), short(", ".join(one.next)), short(", ".join(one.made)), settled, moment(one.at))
    if not moments:
        say(console, f"Run {run} has no step here at which a fork could begin.")
        return DONE
    console.print(listed)
    say(console, f"Begin a fork: {command()} fork {run} --at STEP")
    if more:
        say(console, f"Earlier ones: {command()} fork {run} --before {moments[-1].step}")
    return DONE


def see_through(run: Run, console: Console, *, yes: bool, json: bool) -> int:
    """Drive the run, asking the person at the terminal, until it ends or nobody can be asked."""
    asks, told = can_ask(console) and not json, list[PlanStep]()
    with stoppable(console) as stopping:
        again = how_to_resume(run.id, run.team.name, run.team.options)
        stopping.kept = f"The run is kept: {again}"
        try:
            _watched(run.resume, console, told, run.budget)
            while (approval := run.approval) is not None:
                stopping.asks, alike = asks, run.alike()
                step = _answer(run, approval, console, yes=yes, asks=asks)
                stopping.asks = False
                if step is None:
                    break
                try:
                    _watched(step, console, told, run.budget)
                except (BadAnswer, NotAllowed, ChangedSince, NotAllDecided) as error:
                    say(console, str(error))
                    if yes:
                        break
                else:
                    now = run.approval
                    if step == run.resume and now is not None and now.id in alike:
                        break  # left for later
                    if now is not None and now.id == approval.id:
                        say(console, f"{standing_after(approval, now)} {now.standing}")
                        break
            return _report(run, console, json=json)
        except KeyboardInterrupt:
            return stopped(run, console, stopping)
        except (RunBusy, RunElsewhere):
            raise
        except (SignoffError, sqlite3.Error, OSError) as error:
            kept = "" if isinstance(error, DatabaseUnusable) and not error.is_whole else "The run is kept. "
            say(console, f"{kept}Once that is mended: {again}")
            if isinstance(error, ModelRefused | UnknownModel | UnknownPrice) and "model" in run.record.options:
                say(console, f"Or with another model: {command()} resume {run.id} --model NAME")
            raise
        finally:
            if not stopping.number:
                with suppress(StoreError):  # what goes wrong with the run is the one thing to tell
                    run.wait_for_notices(TELLING_SECONDS)


def stopped(run: Run, console: Console, stopping: Stopping) -> int:
    """Say how a run goes on that was interrupted, and what it was interrupted in; returns the exit code."""
    with suppress(OSError, StoreError):  # the terminal may be closed, and how to go on was said
        say(console, f"Stopped{' by you' if stopping.code == INTERRUPTED else ''}. {stopping.kept}")
        stopping.kept = ""  # not before it was said: a second signal ends the process at any moment
        for line in run.standing.news:
            say(console, line, "yellow")
    return stopping.code


def _answer(run: Run, approval: Approval, console: Console, *, yes: bool, asks: bool) -> Callable[..., Run] | None:
    """How the run goes on, or None if it has to wait."""
    alike = run.alike()
    if yes and not approval.is_question and (approval.action not in CONTROLS or approval.action == FOLLOW_PLAN):
        return lambda watch: run.approve(reason="--yes, unseen", watch=watch, approval=alike)
    if asks and len(alike) > 1:
        return ask_batch(console, run)
    action = run.action_of(approval)
    show_proposal(console, approval, action, pages=asks)
    decision = ask_person(console, approval, action) if asks else None
    if decision is None:
        return None
    if decision.kind == "approve":
        return lambda watch: run.approve(args=decision.args, watch=watch, approval=approval.id)
    said = run.reject if decision.kind == "reject" else run.respond
    return lambda watch: said(decision.reason, watch=watch, approval=approval.id)


def _watched(step: Callable[..., Run], console: Console, told: list[PlanStep], budget: Budget) -> None:
    with watch_live(console, told, budget) as watch:
        step(watch=watch)


def _report(run: Run, console: Console, *, json: bool) -> int:
    """Say how the run stands and what can be done; returns the exit code."""
    record, approval = run.record, run.approval
    if json:
        print_json(
            {
                "run": record.id,
                "status": record.status,
                "note": record.note,
                "approval": approval.id if approval else None,
                "outcomes": run.values.get("outcomes", []),
                "usage": run.usage,
            }
        )
    if approval is not None:
        others = f" and {len(run.alike()) - 1} more of its kind" if len(run.alike()) > 1 else ""
        say(console, f"Run {record.id} waits for approval {approval.id}{others}:")
        own = approval.ways or approval.is_question
        for line in how_to_answer(approval, run.action_of(approval)) if own else commands_of(run, approval):
            say(console, f"  {line}")
        return WAITS
    if record.status == "waiting":
        say(console, f"It was decided meanwhile: {how_to_resume(run.id, run.team.name, run.team.options)}")
        return WAITS
    say(console, f"Run {record.id} is {run.standing.in_full} ({usage_text(run.usage)})")
    return DONE if record.status == "done" else STOPPED


def open_run(team: str, question: str, ways: Ways, known: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a new run, checked; says which model is used. `known` are those of a run that is replayed."""
    if team not in TEAMS:
        raise UnknownTeam(team, sorted(TEAMS))
    if not question.strip():
        raise SettingsError("QUESTION", "is empty", "Say what the team is to find out.")
    given = {"sources": ways.sources, "out": ways.out, "depth": ways.depth}
    settings = _settings(known, model=ways.model, budget=ways.budget, **given)
    if settings.sources is None:
        raise SettingsError("--sources", "is not set", "Name a folder of documents.")
    if not settings.sources.expanduser().is_dir():
        raise SourcesMissing(settings.sources)
    _check_out(settings.out.expanduser().absolute())
    sys.stderr.write(_model_line(settings, known) + ("" if ways.is_another else _place_line(settings)))
    sys.stderr.flush()
    return settings


def _settings(known: Mapping[str, Any] | None, *, budget: str | None, **given: Any) -> Settings:
    """The settings with what is given here, checked."""
    outside = load_settings()  # parts of a run read them so, without what is given here
    _check(outside)
    set_up(outside)
    try:
        Budget.read(budget or "")
    except ValueError as error:
        problem = f"{budget!r} is not usable ({error})"
        raise SettingsError("--budget", problem, "Write it as '$2 tokens=100000'.") from None
    given["run_budget"] = budget
    said: dict[str, Any] = {
        **(known or {}),
        **{name: value for name, value in given.items() if value not in (None, "")},
    }
    settings = load_settings(**(said | {"tiers": {}} if given["model"] else said))  # a model asked for does all
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    """Raise for what only the first step would read, whatever model is used: no run is left behind that cannot go."""
    budgets_of(settings)
    CallSettings.of(settings)


def _check_out(out: Path) -> None:
    """Raise before any work is done if the report could not be written there, or not as such a file."""
    format_of(str(out))
    nearest = next(folder for folder in out.parents if folder.exists())
    if out.is_dir():
        raise SettingsError("--out", f"{str(out)!r} is a folder", "Name a file.")
    if not nearest.is_dir() or not os.access(nearest, os.W_OK) or (out.exists() and not os.access(out, os.W_OK)):
        raise SettingsError("--out", f"{str(out)!r} cannot be written", "Name another file.")


def _place_line(settings: Settings) -> str:
    """Where the run is kept, if that is not the `.signoff` that was in this folder before."""
    if "home" in settings.model_fields_set or settings.database:
        return ""
    if settings.is_home_above:
        return f"Kept in {settings.home}, of a folder above this one.\n"
    if not settings.home.exists():
        return f"Kept in {settings.home.absolute()}, which is new: no folder above has one.\n"
    return ""


def _model_line(settings: Settings, known: Mapping[str, Any] | None, *, reports: bool = True) -> str:
    if known:
        return "Model: none, answers are replayed.\n"
    where = f" at {settings.base_url}" if settings.base_url else ""
    if settings.tiers:
        chains = {tier: [names] if isinstance(names, str) else names for tier, names in settings.tiers.items()}
        tiers = "; ".join(f"{tier} = {', else '.join(chain)}" for tier, chain in chains.items())
        of_openai = any(name.startswith("openai:") or name == "openai" for chain in chains.values() for name in chain)
        return f"Models by tier: {tiers}" + (f"; openai{where}\n" if where and of_openai else "\n")
    chosen = choose_model(settings)
    if chosen != OFFLINE:
        return f"Model: {chosen}{where}\n"
    why = "as asked" if settings.model else "no OPENAI_API_KEY or SIGNOFF_BASE_URL is set"
    shallow = " --depth is for models, and changes nothing here." if settings.depth > 1 else ""
    extracts = f" The report is extracted from your documents, not generated.{shallow}" if reports else ""
    return f"Model: offline ({why}).{extracts}\n"
