"""The commands that list and show: runs, approvals, people, sources, secrets, a team's graph.

It is longer than most, as each of them is short and all of them look at the same ledger.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Column, Table

from signoff.checkpoints import configured_ledger, redact
from signoff.checkpoints.db import is_address
from signoff.checkpoints.ledger import Approval, Ledger, Person, RunRecord, told_of
from signoff.desk.cli.terminal import MANY, TEAM_HELP, By, Json, command, moment, print_json, row, say, short, table
from signoff.desk.errors import NoDatabase
from signoff.error_base import MissingExtra, SettingsError
from signoff.settings import Settings, load_settings, was_made
from signoff.wording import counted, one_line

if TYPE_CHECKING:
    from signoff.agents import Usage
    from signoff.fleet import Standing
    from signoff.graphs import ItemRow
    from signoff.tools import Action
    from signoff.tools.broker import SecretRule

_NO_ROLES = "Nobody has a role. Give one: signoff people --give NAME=ROLE"
_SECRET_COLUMNS = ("secret", "from", "hosts", "methods", "paths", "tools", "added as")


def runs(
    limit: Annotated[int, typer.Option(min=1, max=MANY, help="How many, newest first.")] = 20, json: Json = False
) -> None:
    from signoff.fleet import standings

    looked = ""
    try:
        ledger = existing_ledger(load_settings())
        found_runs = standings(ledger, ledger.runs.list(limit))
    except NoDatabase as error:
        looked, found_runs = f"{error} ", []
    if json:
        return print_json([{**asdict(run.record), "standing": str(run)} for run in found_runs])
    console = Console()
    if not found_runs:
        start = f'Start one: {command()} run report "QUESTION" --sources DIR'
        return say(console, f"No runs yet. {looked}{start}")
    found = table("run", "team", "status", "started", "goal")
    found.columns[0].no_wrap = True
    for run in found_runs:
        record, stands = run.record, f"{run}, dry run" if run.record.dry_run else str(run)
        team = f"{record.team}, child of {record.path[-1][0]}" if record.path else record.team
        row(found, record.id, team, stands, moment(record.created_at), short(record.goal))
    console.print(found)
    return None


def approvals(
    approval: Annotated[
        str,
        typer.Argument(metavar="APPROVAL", help="Show all of this one, whole, as it is approved.", show_default=False),
    ] = "",
    json: Json = False,
) -> None:
    if approval:
        return _show_approval(approval, json=json)
    try:
        ledger = existing_ledger(load_settings())
    except NoDatabase as error:
        return print_json([]) if json else say(Console(), f"Nothing waits for a decision. {error}")
    pending = ledger.approvals.pending()
    if json:
        return print_json([asdict(approval) for approval in pending])
    console = Console()
    if not pending:
        console.print("Nothing waits for a decision.")
    for lapsed in ledger.approvals.lapsed():
        say(console, str(lapsed.already_decided()), "yellow")
    for asked in pending:
        from signoff.desk.cli.question import what_is_asked
        from signoff.graphs.approval import cautions_of

        expires = f", open until {moment(asked.expires_at)}" if asked.expires_at else ""
        because = f": {asked.reason if asked.ways else short(asked.reason)}" if asked.reason else ""
        run = ", ".join(filter(None, (f"run {asked.run_id}", told_of(asked.path))))
        say(console, f"{asked.id}  {asked.action} ({asked.risk}), {run}", "bold")
        say(console, f"  asked {moment(asked.requested_at)}{expires}{because}")
        for line in what_is_asked(asked):
            say(console, f"  {line}")
        for flag in cautions_of(asked):
            say(console, f"  caution: {short(flag)}")
        say(console, f"  digest {asked.shown_sha256[:12]}")
        if asked.standing:
            say(console, f"  {asked.standing}")
        say(console, f"  goal: {short(asked.goal)}")
        say(console, f"  all of it: {command()} show {asked.id}")
        for line in how_to_answer(asked):
            say(console, f"  {line}")
    return None


def is_begun(settings: Settings) -> bool:
    """Whether there is a database: a file that was made, or that of a server."""
    return is_address(settings.database_name) or was_made(Path(settings.database_name))


def existing_ledger(settings: Settings, sought: str = "") -> Ledger:
    """The ledger of the settings; NoDatabase if it is a file that no run has made yet. `sought` is what for.

    Says which one it is if it was found in a folder above.
    """
    name = settings.database_name
    if not is_begun(settings):
        own = settings.database or "home" in settings.model_fields_set
        raise NoDatabase(str(Path(name).absolute()), named=bool(own), sought=sought)
    if settings.is_home_above and not settings.database:
        say(Console(stderr=True), f"In {name}, of a folder above this one.")
    return configured_ledger(settings)


def _show_approval(approval_id: str, *, json: bool) -> None:
    from signoff.desk.batches import run_of, ways_of_batch
    from signoff.desk.cli.question import show_whole
    from signoff.graphs.approval import CONTROLS

    settings = load_settings()
    ledger = existing_ledger(settings, f"approval {approval_id!r}")
    approval = ledger.approvals.get(approval_id)
    if json:
        return print_json([asdict(approval)])
    run = run_of(approval, ledger.runs.get(approval.root), settings)
    action = CONTROLS.get(approval.action) or (
        run.team_of(approval).actions.get(approval.action) if run is not None else None
    )
    more = ways_of_batch(run, approval) if run is not None else ()
    return show_whole(Console(), approval, action, commands=True, more=more)


def how_to_answer(approval: Approval, action: Action[Any] | None = None) -> list[str]:
    """The commands that answer a question of the team's own, or one to a person, and what each means; else nothing."""
    if approval.is_question or approval.ways:
        from signoff.desk.cli.question import aligned, ways_to_respond

        ways = [(way.command(approval.id, command()), way.means) for way in approval.ways]
        return aligned(ways or ways_to_respond(approval, action))
    from signoff.graphs import FOLLOW_PLAN
    from signoff.graphs.approval import CONTROLS

    control = CONTROLS.get(approval.action)
    if control is None or control.preview is None or approval.action == FOLLOW_PLAN:
        return []
    return [control.preview(control.arguments.model_validate(approval.shown))]


def people(
    give: Annotated[
        list[str] | None, typer.Option(metavar="NAME=ROLE", help="Give somebody a role.", show_default=False)
    ] = None,
    take: Annotated[
        list[str] | None, typer.Option(metavar="NAME=ROLE", help="Take a role from somebody.", show_default=False)
    ] = None,
    token: Annotated[
        str, typer.Option(metavar="NAME", help="Print a token by which somebody signs in on the page.")
    ] = "",
    days: Annotated[float, typer.Option(min=0.01, max=3_660, metavar="DAYS", help="How long that is good.")] = 90,
    take_tokens: Annotated[
        str, typer.Option("--take-tokens", metavar="NAME", help="Have all of somebody's tokens and browsers forgotten.")
    ] = "",
    by: By = None,
    json: Json = False,
) -> None:
    settings = load_settings()
    if not (give or take or token or take_tokens or is_begun(settings)):
        return print_json({}) if json else say(Console(), _NO_ROLES)
    ledger, who, console = configured_ledger(settings), by or settings.user_name, Console(stderr=True)
    for name, role in map(_name_and_role, give or []):
        said = "has" if ledger.people.give(name, role, by=who) else "had already"
        say(console, f"{name} {said} the role {role}.")
    for name, role in map(_name_and_role, take or []):
        said = "no longer has" if ledger.people.take(name, role, by=who) else "did not have"
        say(console, f"{name} {said} the role {role}.")
    if take_tokens:
        number = ledger.people.take_keys(name=take_tokens, by=who)
        say(console, f"{counted(number, 'token')} and browsers of {take_tokens} are good for nothing any more.")
    if token:
        secret = ledger.people.give_key(Person(token), "token", days=days, by=who)
        say(console, f"{token} signs in with this for {days:g} days. It is shown once, and kept nowhere:")
        return print_json({"name": token, "token": secret}) if json else _print(secret)
    known = ledger.people.list()
    if json:
        return print_json({name: sorted(roles) for name, roles in known.items()})
    if not known:
        return say(Console(), _NO_ROLES)
    found = table("name", "roles")
    for name, roles in known.items():
        row(found, name, ", ".join(sorted(roles)))
    return Console().print(found)


def _print(secret: str) -> None:
    sys.stdout.write(f"{secret}\n")


def _name_and_role(text: str) -> tuple[str, str]:
    name, _, role = text.rpartition("=")
    if not name or not role:
        raise SettingsError("people", f"{text!r} is not NAME=ROLE", "Write it like ann=finance.")
    return name, role


def show(
    shown: Annotated[
        str, typer.Argument(metavar="RUN|APPROVAL", help="The id of a run or an approval, or the beginning of one.")
    ],
    cell: Annotated[
        int | None, typer.Option(min=1, metavar="NUMBER", help="Show what this cell of the run's table rests on.")
    ] = None,
    json: Json = False,
) -> None:
    """Show a run: plan, decisions, effects, usage; or all of an approval, exactly as it would be approved."""
    if cell is not None:
        from signoff.desk.tables import open_cell

        settings = load_settings()
        return open_cell(existing_ledger(settings, f"run {shown!r}").runs.get(shown), settings, cell, json=json)
    return _show_approval(shown, json=json) if shown.startswith("a-") else _show_run(shown, json=json)


def _show_run(run: str, *, json: bool) -> None:
    from signoff.agents import usage_text
    from signoff.fleet import forked_from, read_state, standings
    from signoff.graphs import TeamState

    settings = load_settings()
    ledger = existing_ledger(settings, f"run {run!r}")
    record = ledger.runs.get(run)
    (stands,) = standings(ledger, [record])
    state = read_state(record.root, settings, record.place) if stands.record.driver == "local" else {}
    children = ledger.runs.children(record.id)
    entries = ledger.audit.entries(record.id)
    if json:
        names = TeamState.__annotations__.keys() - {"messages"}
        kept = {name: value for name, value in state.items() if name in names}
        known = {**asdict(record), "input": record.input, "standing": str(stands), "news": stands.news}
        known["children"] = [child.id for child in children]
        body = {**known, "state": kept, "audit": [asdict(entry) for entry in entries]}
        return print_json(body)
    console = Console()
    started = moment(record.created_at)
    dry = " · dry run" if record.dry_run else ""
    say(console, f"{record.id} · {record.team} · {stands}{dry} · started {started}", "bold")
    if record.path:
        say(console, f"It is {told_of(record.path)}, and goes on with that.")
    for of in forked_from(record)[:1]:
        say(console, f"It was forked from {of}.")
    say(console, one_line(record.goal), "italic")
    _say_input(console, record)
    if record.note:
        say(console, "; ".join(map(one_line, record.note.splitlines())))
    plan = table("agent", "status", "note")
    for step in state.get("plan", []):
        row(plan, step["agent"], step["status"], short(step["note"]))
    if plan.row_count:
        console.print(plan)
    for role, rows in (state.get("items") or {}).items():
        _say_items(console, role, rows)
    if state.get("artifacts"):
        from signoff.desk.tables import show_tables, tables_in

        show_tables(console, record.id, tables_in(state))
    used = _usage(ledger, record, state)
    if plan.row_count or used["calls"]:
        console.print(usage_text(used), highlight=False)
    history = table("when", "event", "details")
    for entry in entries:
        row(history, moment(entry.at), entry.event, short(_details(entry.body)))
    console.print(history)
    _say_children(console, ledger, record, standings(ledger, children))
    waits = _say_waiting(console, ledger.approvals.pending(record.id))
    for line in stands.news:
        say(console, line, "yellow")
    _say_how_to_go_on(console, ledger.runs.get(record.root), waits=waits)
    return None


_ITEMS: Final = 60
"""Items of an agent that are listed."""


def _say_items(console: Console, role: str, rows: Mapping[str, ItemRow]) -> None:
    """What was made of each item of an agent, and what that cost."""
    from signoff.agents import usage_text

    listed = table(f"item of {role}", "status", "note", "used")
    for name, found in [*rows.items()][:_ITEMS]:
        used = usage_text(found["usage"]) if found["usage"]["calls"] else ""
        row(listed, short(name), found["status"], short(found["note"]), used)
    console.print(listed)
    if len(rows) > _ITEMS:
        say(console, f"{len(rows) - _ITEMS:,} more items of {role}: see --json.")
    for name, found in rows.items():
        if found["status"] == "failed":
            say(console, f"{role} failed at {short(name)}: {short(found['note'])}", "yellow")


def sources(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of documents.")], json: Json = False
) -> None:
    from signoff.tools.search import IndexProgress, Sources

    settings = load_settings()
    opened = Sources.open(folder, home=settings.home, max_file_mb=settings.max_file_mb)
    progress = Console(stderr=True)
    with progress.status("indexing") as status:

        def tell(step: IndexProgress) -> None:
            status.update(f"indexing {step.done:,} of {step.total:,}")

        report = opened.refresh(tell)
    if json:
        return print_json(asdict(report))
    console = Console()
    console.print(
        f"{counted(report.documents, 'document')}, {counted(report.passages, 'passage')}: {report.added:,} new, "
        f"{report.changed:,} changed, {report.removed:,} gone, {report.unchanged:,} as before.",
        highlight=False,
    )
    if report.skipped:
        found, commands = table("skipped", "why"), dict[str, None]()
        for skipped in report.skipped:
            why, _, command = skipped.reason.partition(" Run: ")
            commands |= {command: None} if command else {}
            row(found, skipped.path, why)
        console.print(found)
        sys.stdout.writelines(f"Run: {command}\n" for command in commands)  # in one piece, to be copied
    return None


def secrets(json: Json = False) -> None:
    from signoff.tools.broker import Broker

    settings = load_settings()
    if settings.secrets is None:
        raise SettingsError("SIGNOFF_SECRETS", "names no file", "See docs/tools/secrets.md.")
    with Broker.start(settings.secrets, home=settings.home) as broker:
        listing = broker.listing
    if json:
        return print_json(listing.model_dump(mode="json"))
    found = Table(*(Column(name, overflow="fold") for name in _SECRET_COLUMNS))
    rules = [(one.name, one.source, rule, _way(rule)) for one in listing.secrets for rule in one.rules]
    for name, source, rule, way in (*rules, *(("none", "", rule, "") for rule in listing.open)):
        parts = (rule.hosts, rule.methods, rule.paths or ("*",), rule.tools)
        row(found, name, source, *(", ".join(part) for part in parts), way)
    return Console().print(found)


def _way(rule: SecretRule) -> str:
    if rule.query:
        return f"parameter {rule.query}"
    return f"basic {rule.basic}" if rule.basic else f"{rule.header_name}: {rule.filled_in}"


def _say_waiting(console: Console, waiting: Sequence[Approval]) -> bool:
    """What the run waits for, and how it is answered; whether there is anything."""
    for approval in waiting:
        if approval.ways:
            say(console, approval.reason)
        lines = (
            how_to_answer(approval) if approval.ways or approval.is_question else [f"{command()} approve {approval.id}"]
        )
        say(console, "\n  ".join((f"Waits for you: {lines[0]}", *lines[1:])))
    return bool(waiting)


def _say_children(console: Console, ledger: Ledger, record: RunRecord, children: Sequence[Standing]) -> None:
    """Which runs are the work of its agents, and what of all of them may have happened twice."""
    for child in children:
        say(console, one_line(f"Run {child.record.id} is {told_of(child.record.path)}: {child.in_full}"))
    for run in (record, *(child.record for child in children)):
        for effect in ledger.effects.of_run(run.id):
            if effect.earlier:
                say(console, f"Caution, {effect.action} may have happened twice: {effect.earlier}", "yellow")


def _say_how_to_go_on(console: Console, record: RunRecord, *, waits: bool) -> None:
    from signoff.desk.team_options import how_to_resume

    if record.is_silent:
        resume = (
            how_to_resume(record.id, record.team, record.options) if record.driver == "local" else "invoke its thread"
        )
        console.print(f"No sign of life since {moment(record.alive_at)}. To go on: {resume}", highlight=False)
    elif (
        not waits
        and record.status in ("running", "failed", "waiting")
        and not record.owner
        and record.driver == "local"
    ):
        say(console, f"Can go on: {how_to_resume(record.id, record.team, record.options)}")


def _say_input(console: Console, record: RunRecord) -> None:
    for name, value in record.input.items():
        say(console, f"  {name}: {short(dumps(redact(value), ensure_ascii=False))}")


def _usage(ledger: Ledger, record: RunRecord, state: Mapping[str, Any]) -> Usage:
    """What the run used: the ledger books each call at once, the state only those of steps that came to an end."""
    from signoff.agents import NO_USAGE, Usage

    known: Usage = state.get("usage") or NO_USAGE
    booked = next(iter(ledger.spending.by("run", record.id)), None)
    if booked is None or booked.calls <= known["calls"]:
        return known
    return Usage(
        calls=booked.calls,
        input_tokens=booked.input_tokens,
        output_tokens=booked.output_tokens,
        cost_usd=booked.usd,
        unpriced=known["unpriced"],
    )


def _details(body: dict[str, Any]) -> str:
    """What an entry says, who did what first; digests are for the export, and its moments are those of its row."""
    told = [name for name in body if not name.endswith("sha256") and (name == "expires_at" or not name.endswith("_at"))]
    first = {name: place for place, name in enumerate(("by", "action", "status", "reason", "args"))}
    names = sorted(told, key=lambda name: (first.get(name, len(first)), name))
    return ", ".join(f"{name}: {body[name]}" for name in names if body[name] not in ("", None, {}))


def graph(
    team: Annotated[str, typer.Argument(metavar="TEAM", help=TEAM_HELP)],
    png: Annotated[Path | None, typer.Option(metavar="FILE", help="Write a PNG picture instead.")] = None,
    json: Json = False,
) -> None:
    from signoff.desk.team_options import open_team
    from signoff.graphs.teams import is_own, team_graph

    own = open_team(team, load_settings()).team if is_own(team) else None
    drawing = (own.graph() if own is not None else team_graph(team)).compile().get_graph()
    if png is not None:
        png.write_bytes(picture(drawing.draw_mermaid()))
    if json:
        print_json({"team": team, "graph": drawing.to_json(), "png": str(png) if png else None})
    else:
        sys.stdout.write(f"Wrote {png}\n" if png else drawing.draw_mermaid())


def picture(mermaid: str) -> bytes:
    """The picture of a Mermaid text, PNG; drawn here, without a browser or the network."""
    try:
        import mermaidx  # type: ignore[import-untyped]  # it ships no types
    except ImportError as error:
        raise MissingExtra("Drawing a picture", "png") from error
    drawn: bytes = mermaidx.render(mermaid).png()
    return drawn
