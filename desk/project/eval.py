"""Evaluating teams at the command line: models, tiers and versions side by side, and beside the time before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from signoff.agents.models import OFFLINE, load_models
from signoff.desk.cli.run import Ways, team_for
from signoff.desk.cli.terminal import (
    TEAM_HELP,
    Depth,
    Json,
    Sources,
    command,
    one_of,
    print_json,
    row,
    say,
    stoppable,
    table,
)
from signoff.error_base import SettingsError
from signoff.fleet.evals import (
    SCORE_COLUMNS,
    CaseResult,
    Evaluation,
    How,
    Measured,
    evals_settings,
    failures,
    junit,
    marks,
    measure,
    score_cells,
)
from signoff.graphs.teams import is_own, new_team
from signoff.settings import load_settings
from signoff.tools.storage import write_whole

FailOn = Literal["any", "worse", "never"]

Models = Annotated[
    list[str] | None, typer.Option("--model", metavar="NAME", help="A model to do the work; several, side by side.")
]
Tiers = Annotated[
    list[str] | None, typer.Option("--tier", metavar="NAME", help="A tier of SIGNOFF_TIERS to do all of the work.")
]
Versions = Annotated[
    list[str] | None, typer.Option("--with", metavar="TEAM", help="Another version of the team, held beside it.")
]


def eval_(
    team: Annotated[str, typer.Argument(metavar="TEAM", help=TEAM_HELP)],
    cases: Annotated[Path, typer.Argument(metavar="CASES", help="File of cases, a JSON object a line.")],
    sources: Sources = None,
    depth: Depth = None,
    model: Models = None,
    tier: Tiers = None,
    versions: Versions = None,
    checks: Annotated[Path | None, typer.Option(metavar="FILE", help="Python file of checks that cases name.")] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="NAME", help="The model that is asked where a case says `judge`.")
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How often each case is done.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Runs at once.")] = 4,
    budget: Annotated[str | None, typer.Option(metavar="LIMIT", help="What one run may use: '$0.10'.")] = None,
    total: Annotated[
        str | None, typer.Option(metavar="LIMIT", help="What all of it may cost: '$5'. The rest is left for --resume.")
    ] = None,
    fleet: Annotated[bool, typer.Option("--fleet", help="Have workers do it: `signoff fleet work --evals`.")] = False,
    before: Annotated[
        Path | None, typer.Option("--against", metavar="FILE", help="What `--json` wrote before, in place of the last.")
    ] = None,
    go_on: Annotated[bool, typer.Option("--resume", help="Go on with the last one, if it was cut off.")] = False,
    xml: Annotated[Path | None, typer.Option("--junit", metavar="FILE", help="Write the results as JUnit XML.")] = None,
    fail_on: Annotated[FailOn, one_of(FailOn, "What exit code 1 says: any failed, or some got worse.")] = "any",
    json: Json = False,
) -> int:
    if not cases.expanduser().is_file():
        raise SettingsError("CASES", f"there is no file {str(cases)!r}", "Write a line of JSON for each case.")
    found = dict(_measured([team, *(versions or [])], model or [], tier or [], Ways(sources=sources, depth=depth)))
    console = Console(stderr=True)
    settings = next(iter(found.values())).settings
    how = How(
        checks=checks or (),
        judge=None if judge is None else load_models(settings, judge),
        repeat=repeat,
        concurrency=concurrency,
        budget=budget,
        total=total,
        fleet=fleet,
        name=cases.stem,
        before=before,
        resume=go_on,
    )
    if fleet:
        say(console, f"Workers do it, wherever they are: {command()} fleet work --evals --concurrency 8")
    with stoppable(console) as stopping:
        stopping.kept = "What is done is kept: the same command with --resume goes on."
        try:
            done = _watched(found, cases, how, console)
        except KeyboardInterrupt:
            say(console, f"Stopped. {stopping.kept}")
            stopping.kept = ""
            raise
    if xml is not None:
        write_whole(xml.expanduser(), junit(done).encode())
    print_json(done.to_json()) if json else show(done, evals_settings(settings).database, Console())
    failed = not done.passed if fail_on == "any" else bool(done.worse)
    return int(failed and fail_on != "never")


def _watched(found: Mapping[str, Measured], cases: Path, how: How, console: Console) -> Evaluation:
    """Measure, and say meanwhile how far it is and what fails."""
    with console.status("…") as status:

        def told(result: CaseResult, done: int, total: int) -> None:
            if not result.passed:
                say(console, f"✗ {result.version}: {result.case}: {result.why}", "red")
            status.update(f"{done} of {total}")

        return measure(found, cases, replace(how, told=told))


def _measured(
    teams: Sequence[str], models: Sequence[str], tiers: Sequence[str], ways: Ways
) -> Iterator[tuple[str, Measured]]:
    """Every version by its name: of each team one with each model, or with the first model of each tier."""
    work: list[tuple[str, str | None]] = [(name, name) for name in models]
    work += [(name, _model_of(name)) for name in tiers]
    for named, (shown, model) in product(dict.fromkeys(teams), work or [("", None)]):
        settings, own = team_for(named, replace(ways, model=model))
        ways = replace(ways, is_another=True)
        team = own or new_team(named, settings)
        if model not in (None, OFFLINE) and is_own(named) and all(agent.model is None for agent in team.agents):
            problem = f"no agent of {named} works with a model, so {shown!r} would change nothing"
            raise SettingsError("--model", problem, "Give an agent instructions, or a model.")
        label = " ".join(part for part in (named if len(teams) > 1 or not shown else "", shown) if part)
        yield label, Measured(team=team, settings=settings)


def _model_of(tier: str) -> str:
    tiers = load_settings().tiers
    if tier not in tiers:
        there = ", ".join(tiers) or "SIGNOFF_TIERS names none"
        raise SettingsError("--tier", f"there is no tier {tier!r}", f"There are: {there}.")
    chain = tiers[tier]
    return chain if isinstance(chain, str) else chain[0]


def show(done: Evaluation, database: str, console: Console) -> None:
    """Print how each version did, where they differ, what failed, and what changed since the time before.

    `database` is that of its runs.
    """
    say(console, f"{done.team}: {len(done.cases)} cases", "bold")
    scores = table(*SCORE_COLUMNS)
    for score in done.scores:
        row(scores, *score_cells(score))
    console.print(scores)
    for said in done.verdict:
        say(console, said)
    if done.differences:
        differing = table("where they differ", *done.versions)
        for case in done.differences:
            row(differing, case, *marks(done, case))
        console.print(differing)
    failed = failures(done)
    if failed:
        wrong = table("failed", "version", "why", "run")
        for one in failed:
            row(wrong, one.case, one.version, one.why, one.run)
        console.print(wrong)
        say(console, f"Play one again: {command()} run --replay {failed[0].recording}")
        say(
            console,
            f"Look at one: SIGNOFF_DATABASE={database} {command()} show {failed[0].run}" if failed[0].run else "",
        )
    say(console, f"Kept in {Path(done.results[0].recording).parents[1]}" if done.results else "")
