"""Running, resuming and deciding from the command line."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from signoff.checkpoints.approvals import Approval
from signoff.checkpoints.ledger import Ledger
from signoff.desk.live import usage_text, watch_live
from signoff.desk.question import ask_person, edit_in_editor, read_change, show_proposal
from signoff.desk.terminal import can_ask, command, print_json, say
from signoff.errors import BadAnswer, RunBusy, RunElsewhere, SignoffError
from signoff.fleet.run import Run
from signoff.graphs.catalog import TEAMS
from signoff.graphs.control import CONTROLS
from signoff.graphs.report import report_team
from signoff.graphs.state import PlanStep
from signoff.settings import Settings, load_settings

DONE, WAITS, STOPPED, INTERRUPTED = 0, 3, 4, 130
"""Exit codes: the run is done; it waits for a person; it was stopped, rejected or refused; Ctrl-C."""


def start_run(question: str, settings: Settings, *, yes: bool, json: bool) -> int:
    """Start a run of the report team and see it through; returns the exit code."""
    console = Console(stderr=True)
    built = report_team(settings.sources or Path(), out=settings.out, settings=settings)
    run = Run.start(built, question, settings=settings, drive=False)
    say(console, f"Run {run.id}")
    return _see_through(run, settings, console, yes=yes, json=json)


def resume_run(run_id: str, *, yes: bool, json: bool) -> int:
    """Go on with a run; returns the exit code."""
    settings = load_settings()
    return _see_through(Run.open(run_id, settings=settings), settings, Console(stderr=True), yes=yes, json=json)


def decide(
    approval_id: str,
    decision: Literal["approve", "reject", "edit"],
    *,
    by: str | None,
    why: str = "",
    changes: Sequence[str] = (),
    go_on: bool,
    json: bool,
) -> int:
    """Record a decision, then drive the run on if its checkpoints are here; returns the exit code."""
    settings = load_settings()
    who, console = by or settings.user_name, Console(stderr=True)
    ledger = Ledger(settings.database_path)
    approval = ledger.approvals.get(approval_id)
    if decision == "reject":
        approval = ledger.approvals.reject(approval.id, by=who, reason=why)
    else:
        if approval.status != "pending":
            raise approval.already_decided()
        args = _edited(approval, settings, console, changes) if decision == "edit" else None
        approval = ledger.approvals.approve(approval.id, by=who, args=args)
    say(console, f"{approval.action} {approval.status} by {approval.decided_by} (approval {approval.id}).")
    record = ledger.runs.get(approval.run_id)
    if not go_on or record.driver != "local" or record.team not in TEAMS:
        if go_on:
            say(console, "The run is driven by your own program: resume it there and it will find the decision.")
        if json:
            print_json({"approval": approval.id, "status": approval.status, "run": approval.run_id})
        return DONE
    code = _see_through(Run.open(record.id, settings=settings), settings, console, yes=False, json=json)
    return DONE if decision == "reject" and code == STOPPED else code


def _edited(approval: Approval, settings: Settings, console: Console, changes: Sequence[str]) -> dict[str, Any]:
    """The arguments as a person wants them, checked against the action's schema."""
    action = Run.open(approval.run_id, settings=settings).action(approval.action)
    if not changes:
        if not can_ask(console):
            raise BadAnswer("There is no terminal for an editor; use --set NAME=VALUE.")
        return read_change(edit_in_editor(approval), approval, action)
    args = dict(approval.shown)
    for change in changes:
        name, equals, value = change.partition("=")
        if not equals or name not in args:
            raise BadAnswer(f"--set {change!r} is not NAME=VALUE with NAME one of {', '.join(args)}.")
        args[name] = value
    return read_change(args, approval, action)


def _see_through(run: Run, settings: Settings, console: Console, *, yes: bool, json: bool) -> int:
    """Drive the run, asking the person at the terminal, until it ends or nobody can be asked."""
    asks, told = can_ask(console) and not json, list[PlanStep]()
    try:
        _watched(run.resume, console, told)
        while (approval := run.approval) is not None:
            step = _answer(run, approval, settings, console, yes=yes, asks=asks)
            if step is None:
                return _report(run, console, json=json)
            _watched(step, console, told)
        return _report(run, console, json=json)
    except KeyboardInterrupt:
        say(console, f"\nStopped by you. The run is kept: {command()} resume {run.id}")
        return INTERRUPTED
    except (RunBusy, RunElsewhere):
        raise
    except (SignoffError, sqlite3.Error, OSError):
        say(console, f"The run is kept. Once that is mended: {command()} resume {run.id}")
        raise


def _answer(
    run: Run, approval: Approval, settings: Settings, console: Console, *, yes: bool, asks: bool
) -> Callable[..., Run] | None:
    """How the run goes on, or None if it has to wait."""
    if yes and approval.action not in CONTROLS:
        who = f"{settings.user_name} (--yes)"
        return lambda watch: run.approve(by=who, watch=watch)
    action = run.action(approval.action)
    show_proposal(console, approval, action, pages=asks)
    if not asks:
        return None
    decision = ask_person(console, approval, action)
    if decision is None:
        return None
    if decision.kind == "reject":
        return lambda watch: run.reject(decision.reason, watch=watch)
    return lambda watch: run.approve(args=decision.args, watch=watch)


def _watched(step: Callable[..., Run], console: Console, told: list[PlanStep]) -> None:
    with watch_live(console, told) as watch:
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
        say(
            console,
            f"Run {record.id} waits for approval {approval.id}:\n"
            f"  {command()} approve {approval.id}\n"
            f"  {command()} edit {approval.id}\n"
            f'  {command()} reject {approval.id} --why "…"',
        )
        return WAITS
    if record.status == "waiting":
        say(console, f"It was decided meanwhile: {command()} resume {record.id}")
        return WAITS
    say(console, f"Run {record.id} is {record.status}: {record.note} ({usage_text(run.usage)})")
    return DONE if record.status == "done" else STOPPED
