"""The `signoff` command. Commands import what they need when they run, so that `--help` is quick."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal, get_args

import typer

from signoff.desk.cli.audit_group import audit
from signoff.desk.cli.database import db
from signoff.desk.cli.mcp_group import mcp
from signoff.desk.cli.memory_group import memory
from signoff.desk.cli.model_group import model as local_model
from signoff.desk.cli.terminal import check_words, explain, one_of
from signoff.version import VERSION

app = typer.Typer(
    name="signoff",
    no_args_is_help=True,
    rich_markup_mode=None,  # coloured help would import most of Rich: 0.3 s of CPU
    pretty_exceptions_enable=False,
)

app.add_typer(db, name="db")
app.add_typer(audit, name="audit")
app.add_typer(mcp, name="mcp")
app.add_typer(memory, name="memory")
app.add_typer(local_model, name="model")

CostsBy = Literal["run", "agent", "model", "tier", "team", "day"]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, or the beginning of one.")]
ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL", help="An approval's id, or the beginning of one.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who decides; your login name by default.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Approve what the team proposes, in your name, unseen.")]
Record = Annotated[Path | None, typer.Option(metavar="FILE", help="Write down what models and tools answer.")]
Replay = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Replay what was recorded, as a dry run: no key, no network.")
]
GoOn = Annotated[bool, typer.Option("--resume/--no-resume", help="Drive the run on after the decision.")]


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback(help="Supervised teams of agents: agents do the work, people sign off.")
def take_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take the options that stand before the command; `main` looks for --debug itself."""
    del debug, version


@app.command()
def run(
    team: Annotated[str, typer.Argument(metavar="TEAM", help="A ready-made team: report.")] = "",
    question: Annotated[str, typer.Argument(metavar="QUESTION", help="What the team is to find out.")] = "",
    sources: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of documents.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="File the report goes to once signed off.")] = None,
    model: Annotated[
        str | None, typer.Option(metavar="NAME", help="offline, openai, openai:NAME or provider:NAME.")
    ] = None,
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Do everything but the effects.")] = False,
    budget: Annotated[
        str | None, typer.Option(metavar="LIMIT", help="What it may use before you are asked: '$2 tokens=100000'.")
    ] = None,
    record: Record = None,
    replay: Replay = None,
    json: Json = False,
) -> None:
    """Give a team a goal; sign off what it proposes. TEAM and QUESTION are left out to replay what was recorded."""
    missing = [name for name, value in (("TEAM", team), ("QUESTION", question)) if not value]
    if replay is None and missing:
        raise typer.BadParameter(f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.")
    recorded = None
    if replay is not None:
        from signoff.desk.cli.record import read_recorded

        found = read_recorded(replay)
        team, question, recorded = team or found.team, question or found.goal, found.settings
    from signoff.desk.cli.run import open_run

    settings = open_run(team, question, sources=sources, out=out, model=model, budget=budget, recorded=recorded)
    from signoff.desk.cli.record import Taping
    from signoff.desk.cli.run import start_run

    taping = Taping(record, replay)
    raise typer.Exit(start_run(question, settings, yes=yes, json=json, dry_run=dry_run, taping=taping))


@app.command()
def resume(run: RunId, yes: Yes = False, record: Record = None, replay: Replay = None, json: Json = False) -> None:
    """Go on with a run that was cut off or waits."""
    from signoff.desk.cli.record import Taping
    from signoff.desk.cli.run import resume_run

    raise typer.Exit(resume_run(run, yes=yes, json=json, taping=Taping(record, replay)))


@app.command()
def export(
    run: RunId,
    test: Annotated[Path, typer.Option(metavar="FILE", help="The test to write; its data goes beside it.")],
    team: Annotated[str, typer.Option(metavar="MODULE:NAME", help="Your own team; not for ready-made ones.")] = "",
    json: Json = False,
) -> None:
    """Make a test of a run: it is played again without its models, and must go as it went."""
    from signoff.desk.cli.exporting import export_run

    export_run(run, test, team=team, json=json)


@app.command()
def runs(limit: Annotated[int, typer.Option(min=1, help="How many, newest first.")] = 20, json: Json = False) -> None:
    """List the runs, newest first."""
    from signoff.desk.cli.lists import list_runs

    list_runs(limit, json=json)


@app.command()
def show(run: RunId, json: Json = False) -> None:
    """Show a run: plan, decisions, effects, usage."""
    from signoff.desk.cli.lists import show_run

    show_run(run, json=json)


@app.command()
def costs(
    by: Annotated[
        CostsBy, typer.Option(parser=one_of(CostsBy), metavar="|".join(get_args(CostsBy)), help="What to add up by.")
    ] = "run",
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only this run, or the beginning of its id.")] = None,
    json: Json = False,
) -> None:
    """Show what calls of models cost, and what the cheaper tiers saved."""
    from signoff.desk.cli.costs import list_costs

    list_costs(by, run, json=json)


@app.command()
def approvals(json: Json = False) -> None:
    """List what waits for a decision, oldest first."""
    from signoff.desk.cli.lists import list_approvals

    list_approvals(json=json)


@app.command()
def approve(
    approval: ApprovalId,
    sha256: Annotated[
        str, typer.Option(metavar="DIGEST", help="Digest, or its beginning, of the arguments that you saw.")
    ] = "",
    by: By = None,
    resume: GoOn = True,
    json: Json = False,
) -> None:
    """Approve exactly what was shown, and let the run go on."""
    from signoff.desk.cli.run import Verdict, decide_approval

    raise typer.Exit(decide_approval(approval, Verdict(kind="approve", by=by, sha256=sha256), go_on=resume, json=json))


@app.command()
def reject(
    approval: ApprovalId,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the team and the record.")] = "",
    by: By = None,
    resume: GoOn = True,
    json: Json = False,
) -> None:
    """Reject it: it does not happen. With a reason, the agent may propose otherwise."""
    from signoff.desk.cli.run import Verdict, decide_approval

    raise typer.Exit(decide_approval(approval, Verdict(kind="reject", by=by, said=why), go_on=resume, json=json))


@app.command()
def respond(
    approval: ApprovalId,
    message: Annotated[str, typer.Argument(metavar="MESSAGE", help="What the agent is told.")],
    by: By = None,
    resume: GoOn = True,
    json: Json = False,
) -> None:
    """Say something instead of deciding: it does not happen, and the agent reads the message."""
    from signoff.desk.cli.run import Verdict, decide_approval

    raise typer.Exit(decide_approval(approval, Verdict(kind="respond", by=by, said=message), go_on=resume, json=json))


@app.command()
def revoke(
    approval: ApprovalId,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the record.")] = "",
    by: By = None,
    resume: GoOn = True,
    json: Json = False,
) -> None:
    """Take an approval back, as long as its action was not called."""
    from signoff.desk.cli.run import Verdict, decide_approval

    raise typer.Exit(decide_approval(approval, Verdict(kind="revoke", by=by, said=why), go_on=resume, json=json))


@app.command()
def edit(
    approval: ApprovalId,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change one argument; VALUE may be JSON. Without it, your editor opens."
        ),
    ] = None,
    by: By = None,
    resume: GoOn = True,
    json: Json = False,
) -> None:
    """Approve it with other arguments."""
    from signoff.desk.cli.run import Verdict, decide_approval

    verdict = Verdict(kind="edit", by=by, changes=changes or [])
    raise typer.Exit(decide_approval(approval, verdict, go_on=resume, json=json))


@app.command()
def people(
    give: Annotated[
        list[str] | None, typer.Option(metavar="NAME=ROLE", help="Give somebody a role.", show_default=False)
    ] = None,
    take: Annotated[
        list[str] | None, typer.Option(metavar="NAME=ROLE", help="Take a role from somebody.", show_default=False)
    ] = None,
    by: By = None,
    json: Json = False,
) -> None:
    """List who has which role, or change it; policy says which role decides what."""
    from signoff.desk.cli.lists import list_people

    list_people(give or [], take or [], by=by, json=json)


@app.command()
def notify(
    watch: Annotated[bool, typer.Option("--watch", help="Go on until Ctrl-C.")] = False,
    every: Annotated[float, typer.Option(min=0.1, metavar="SECONDS", help="How often, with --watch.")] = 5.0,
    newest: Annotated[bool, typer.Option("--list", help="List the newest notices and send nothing.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many, with --list.")] = 20,
    retry: Annotated[str | None, typer.Option(metavar="NOTICE", help="Send this one again, sent or given up.")] = None,
    json: Json = False,
) -> None:
    """Close what has expired, and send the notices that are due."""
    from signoff.desk.cli.notify import list_notices, retry_notice, send_notices, watch_notices

    if newest:
        return list_notices(limit, json=json)
    if retry is not None:
        raise typer.Exit(retry_notice(retry, json=json))
    raise typer.Exit(watch_notices(every=every, json=json) if watch else send_notices(json=json))


@app.command("secrets")
def secrets_(json: Json = False) -> None:
    """Show which secrets tools may use where, and whether they can be read; never a value."""
    from signoff.desk.cli.secrets import show_secrets

    show_secrets(json=json)


@app.command()
def graph(
    team: Annotated[str, typer.Argument(metavar="TEAM", help="A ready-made team: report.")],
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a PNG picture instead.")] = None,
    json: Json = False,
) -> None:
    """Draw a team's graph: Mermaid text, or a picture."""
    from signoff.desk.cli.lists import draw_team

    draw_team(team, png=png, json=json)


@app.command()
def sources(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of documents.")], json: Json = False
) -> None:
    """Index a folder and list what could not be read."""
    from signoff.desk.cli.lists import list_sources

    list_sources(folder, json=json)


def main() -> None:
    """Run the command; an expected error is one line on standard error and exit code 1."""
    from signoff.desk.cli.terminal import open_closed_streams

    open_closed_streams()
    check_words(sys.argv)
    try:
        app()
    except Exception as error:
        line = explain(error)
        if line is None or "--debug" in sys.argv:
            raise
        sys.stderr.write(f"signoff: {line}\n")
        raise SystemExit(1) from None
