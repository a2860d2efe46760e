"""The commands that decide what a run proposes: approve, reject, respond, revoke, edit; and that it ends: cancel."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from json import dumps
from typing import Annotated, Any

import typer
from rich.console import Console

from signoff.checkpoints.ledger import Approval, Ledger, RunRecord
from signoff.desk.batches import asked_with, confirm_batch, run_of
from signoff.desk.cli.lists import existing_ledger
from signoff.desk.cli.question import (
    confirm,
    edit_in_editor,
    fill_in,
    read_change,
    read_value,
    respond_with,
    show_proposal,
)
from signoff.desk.cli.run import DONE, STOPPED, TELLING_SECONDS, WAITS, see_through
from signoff.desk.cli.terminal import By, Json, can_ask, command, print_json, say
from signoff.desk.deciding import Verdict, record_verdict
from signoff.desk.team_options import TeamAgain, how_to_resume, is_known, team_of_run
from signoff.error_base import RunError
from signoff.fleet import Run, cancel_run
from signoff.graphs import Team
from signoff.graphs.approval import CONTROLS, batch_sha256
from signoff.graphs.errors import BadAnswer
from signoff.settings import Settings, load_settings
from signoff.tools import Action

ApprovalId = Annotated[str, typer.Argument(metavar="APPROVAL", help="An approval's id, or the beginning of one.")]
ApprovalIds = Annotated[
    list[str], typer.Argument(metavar="APPROVAL...", help="Approvals' ids, or the beginnings of them.")
]
Batch = Annotated[
    bool, typer.Option("--batch", help="With it all that is asked of the same kind in its run, each by itself.")
]
GoOn = Annotated[bool, typer.Option("--resume/--no-resume", help="Drive the run on after the decision.")]


def approve(
    approvals: ApprovalIds,
    sha256: Annotated[
        str, typer.Option(metavar="DIGEST", help="Digest, or its beginning, of the arguments that you saw.")
    ] = "",
    batch: Batch = False,
    by: By = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="At a terminal, do not show it and ask.")] = False,
    resume: GoOn = True,
    team: TeamAgain = "",
    json: Json = False,
) -> int:
    """Approve exactly what was shown, and let the run go on. At a terminal all of it is shown, and you are asked."""
    asks = None if yes or json or not sys.stdin.isatty() else _seen()
    if asks is None and sys.stdin.isatty() and not (yes or json or sha256):
        raise BadAnswer(
            "Nobody would see what is approved: neither output is a terminal. "
            f"See it with {command()} show {approvals[0]}, and add its --sha256; or --yes to approve it unseen."
        )
    verdict = Said(kind="approve", by=by or "", sha256=sha256, asks=asks, team=team, batch=batch)
    return decide(approvals, verdict, go_on=resume, json=json)


def _seen() -> Console | None:
    """What the person at the terminal sees of this command's two outputs; None if that is neither."""
    seen = [is_error for is_error, stream in ((True, sys.stderr), (False, sys.stdout)) if stream.isatty()]
    return Console(stderr=seen[0]) if seen else None


def reject(
    approvals: ApprovalIds,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the team and the record.")] = "",
    batch: Batch = False,
    by: By = None,
    resume: GoOn = True,
    team: TeamAgain = "",
    json: Json = False,
) -> int:
    """Reject it: it does not happen. With a reason, the agent may propose otherwise."""
    verdict = Said(kind="reject", by=by or "", said=why, team=team, batch=batch)
    return decide(approvals, verdict, go_on=resume, json=json)


def respond(
    approval: ApprovalId,
    message: Annotated[
        str,
        typer.Argument(
            metavar="MESSAGE",
            help="The answer, or what the agent is told. Without it and --set, you are asked at a terminal.",
            show_default=False,
        ),
    ] = "",
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Fill in one field of the answer to a question."),
    ] = None,
    by: By = None,
    resume: GoOn = True,
    team: TeamAgain = "",
    json: Json = False,
) -> int:
    """Answer a question; or say something instead of deciding: it does not happen then, and the agent reads it."""
    verdict = Said(kind="respond", by=by or "", said=message, changes=changes or [], team=team)
    return decide([approval], verdict, go_on=resume, json=json)


def revoke(
    approval: ApprovalId,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for the record.")] = "",
    by: By = None,
    resume: GoOn = True,
    team: TeamAgain = "",
    json: Json = False,
) -> int:
    return decide([approval], Said(kind="revoke", by=by or "", said=why, team=team), go_on=resume, json=json)


def edit(
    approval: ApprovalId,
    changes: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Change one argument, or a part of it as in steps.writer.goal; VALUE may be JSON. Without it, your "
            "editor opens.",
        ),
    ] = None,
    by: By = None,
    resume: GoOn = True,
    team: TeamAgain = "",
    json: Json = False,
) -> int:
    return decide([approval], Said(kind="edit", by=by or "", changes=changes or [], team=team), go_on=resume, json=json)


def cancel(
    runs: Annotated[list[str], typer.Argument(metavar="RUN...", help="Ids of runs.")], by: By = None, json: Json = False
) -> int:
    settings, console = load_settings(), Console(stderr=True)
    ledger, ended = existing_ledger(settings, f"run {runs[0]!r}"), dict[str, str]()
    for run in runs:
        ended[run] = cancel_run(ledger, run, by=by or settings.user_name)
        later = "It ends at its next step; nothing more is called." if ended[run] == "running" else "It is cancelled."
        say(console, f"Run {run}: {later}")
    if json:
        print_json([{"run": run, "status": status} for run, status in ended.items()])
    return 0


@dataclass(frozen=True, kw_only=True)
class Said(Verdict):
    """What somebody decides at the command line."""

    changes: Sequence[str] = ()
    """Edits, or fields of an answer, as NAME=VALUE."""
    asks: Console | None = None
    """Where the person is shown all of it, and asked."""
    team: str = ""
    """Where the run's team is, if it is somebody's own and named again."""
    batch: bool = False
    """Whether it is about all of the same kind that are asked in its run."""


def decide(approval_ids: Sequence[str], verdict: Said, *, go_on: bool, json: bool) -> int:
    """Record a decision, then drive the run on if its checkpoints are here; returns the exit code."""
    settings = load_settings()
    verdict = replace(verdict, by=verdict.by or settings.user_name)
    console, ledger = Console(stderr=True), existing_ledger(settings, f"approval {approval_ids[0]!r}")
    found = {one.id: one for one in map(ledger.approvals.get, approval_ids)}
    record = ledger.runs.get(next(iter(found.values())).root)
    for other in found.values():
        if other.root != record.id:
            raise BadAnswer(f"{other.id} is of another run, {other.root}. Decide those of one run at a time.")
    team = cache(lambda: team_of_run(record, settings, verdict.team))
    asked = _with_its_kind(found, record, verdict, settings) if verdict.batch else list(found.values())
    if len(asked) > 1 or verdict.batch:
        approvals = decide_many(ledger, asked, verdict, team, record, settings)
        if approvals is None:
            return WAITS
    else:
        approval = decide_one(ledger, asked[0], verdict, team, record, settings)
        if approval is None:
            return WAITS
        approvals = [approval]
    ledger.notices.wait(TELLING_SECONDS)
    is_decided = any(one.status != "pending" for one in approvals)
    can_go_on = record.driver == "local" and (bool(verdict.team) or is_known(record))
    has_worker = ledger.jobs.is_at_work(record.id)
    if not go_on or not can_go_on or not is_decided or has_worker:
        if has_worker and is_decided:
            say(console, f"It is a job: a worker goes on with it. {command()} fleet status tells how the jobs stand.")
        elif go_on and is_decided:
            resume = f'Run.open("{record.id}", team=…).resume()' if record.driver == "local" else "invoke its thread"
            here = f" Here: {how_to_resume(record.id, record.team, record.options)}" if record.driver == "local" else ""
            say(console, f"The run is driven by your own program. There, {resume} finds the decision.{here}")
        if json:
            told = [{"approval": one.id, "status": one.status, "run": one.run_id} for one in approvals]
            print_json(told[0] if len(told) == 1 and not verdict.batch else told)
        return DONE if is_decided or verdict.kind == "revoke" else WAITS
    code = see_through(Run.open(record.id, team=team(), settings=settings), console, yes=False, json=json)
    return DONE if verdict.kind in ("reject", "respond", "revoke") and code == STOPPED else code


def _with_its_kind(
    found: Mapping[str, Approval], record: RunRecord, verdict: Said, settings: Settings
) -> list[Approval]:
    """What is named, with what is asked together with it."""
    first = next(iter(found.values()))
    if len(found) > 1:
        raise BadAnswer("There are several approvals and --batch. Name one of the kind, or each.")
    if first.status != "pending":
        raise first.already_decided()
    run = run_of(first, record, settings, verdict.team)
    if run is None:
        raise BadAnswer(f"Only the program that drives run {record.id} knows what is of one kind. Name each approval.")
    return asked_with(run, first.id)


def decide_many(
    ledger: Ledger,
    asked: Sequence[Approval],
    verdict: Said,
    team: Callable[[], Team | None],
    record: RunRecord,
    settings: Settings,
) -> list[Approval] | None:
    """Decide each of these by itself, and say what came of it; None if the person at the terminal did not say yes."""
    console = Console(stderr=True)
    if not batch_sha256(asked).startswith(verdict.sha256):
        raise BadAnswer(f"These are others than you saw: together their digest is {batch_sha256(asked)[:12]} now.")
    if verdict.asks:
        run = run_of(asked[0], record, settings, verdict.team)
        if not confirm_batch(verdict.asks, run, asked):
            say(verdict.asks, "Nothing was decided.")
            return None
    seen, decided = bool(verdict.asks or verdict.sha256), list[Approval]()
    for one in asked:
        try:
            its = replace(verdict, sha256=one.shown_sha256 if seen else "")
            decided.append(_record(ledger, one, its, team, settings, console))
        except RunError as error:
            decided.append(ledger.approvals.get(one.id))
            say(console, str(error), "yellow")
        else:
            stands = decided[-1]
            by = f" by {stands.decided_by}" if stands.decided_by else f". {stands.standing}"
            say(console, f"{stands.action} {stands.status}{by} (approval {stands.id}).")
    return decided


def decide_one(
    ledger: Ledger,
    asked: Approval,
    verdict: Said,
    team: Callable[[], Team | None],
    record: RunRecord,
    settings: Settings,
) -> Approval | None:
    """Decide it, and say what came of it; None if the person at the terminal did not say yes."""
    console = Console(stderr=True)
    if verdict.kind == "approve" and asked.is_question and asked.status == "pending":
        raise BadAnswer(f"{asked.action} is a question, which nobody can approve. Answer it: {respond_with(asked)} .")
    if verdict.asks and asked.status == "pending" and asked.shown_sha256.startswith(verdict.sha256):
        run = run_of(asked, record, settings, verdict.team)
        action = CONTROLS.get(asked.action) or (run.team.actions.get(asked.action) if run is not None else None)
        if not confirm(verdict.asks, asked, action):
            say(verdict.asks, f"Nothing was decided. It waits: {command()} show {asked.id}")
            return None
        verdict = replace(verdict, sha256=asked.shown_sha256)
    approval = _record(ledger, asked, verdict, team, settings, console)
    if approval.status == "pending" and verdict.kind == "revoke":
        say(console, f"What was said of it was taken back, and it is asked again (approval {approval.id}).")
    elif approval.status == "pending":
        say(console, f"{approval.action} is not decided yet. {approval.standing} (approval {approval.id})")
    else:
        means = f" That means: {approval.meant}." if approval.meant else ""
        say(console, f"{approval.action} {approval.status} by {approval.decided_by} (approval {approval.id}).{means}")
    return approval


def _record(
    ledger: Ledger,
    approval: Approval,
    verdict: Said,
    team: Callable[[], Team | None],
    settings: Settings,
    console: Console,
) -> Approval:
    """Write the decision into the ledger, once it says clearly what it is about."""

    def made(action: Action[Any]) -> Any:
        if approval.is_question:
            return _reply(approval, action, console, verdict)
        return _edited(approval, action, console, verdict.changes)

    if approval.status == "pending" and not approval.is_question:
        if verdict.kind == "respond" and (verdict.changes or not verdict.said):
            raise BadAnswer(f'Say what the agent is told: {command()} respond {approval.id} "…" .')
        if verdict.kind == "approve" and approval.shown_sha256 != approval.proposed_sha256 and not verdict.sha256:
            say(console, f"Its arguments are now: {dumps(approval.shown, ensure_ascii=False)}")
            raise BadAnswer(
                "Its arguments were edited since they were proposed. To approve them, add "
                f"--sha256 {approval.shown_sha256[:12]}."
            )
    return record_verdict(
        ledger, approval, verdict, lambda: Run.open(approval.root, team=team(), settings=settings), made
    )


def _reply(approval: Approval, action: Action[Any], console: Console, verdict: Said) -> str | dict[str, str]:
    """The answer to a question as it was given at the command line, or as the person at the terminal types it."""
    if verdict.said and verdict.changes:
        raise BadAnswer("There are a message and --set. Answer in one way.")
    if verdict.said:
        return verdict.said
    if not verdict.changes:
        if not can_ask(console):
            raise BadAnswer(f"Say what the answer is: {respond_with(approval, action)} .")
        show_proposal(console, approval, action, pages=False)
        return fill_in(console, action)
    said = dict[str, str]()
    for change in verdict.changes:
        name, equals, value = change.partition("=")
        name = name.removeprefix("answer.")
        if not equals or name in said:
            raise BadAnswer(
                f"--set {change!r} is {'there twice' if equals else 'not NAME=VALUE'}. Say each field once."
            )
        said[name] = value
    return said


def _edited(approval: Approval, action: Action[Any], console: Console, changes: Sequence[str]) -> dict[str, Any]:
    """The arguments as a person wants them, checked against the action's schema."""
    if not changes:
        if not can_ask(console):
            raise BadAnswer("There is no terminal for an editor; use --set NAME=VALUE.")
        return read_change(edit_in_editor(approval), approval, action)
    said, named = dict[str, Any](), set[str]()
    for change in changes:
        name, equals, value = change.partition("=")
        name, *path = name.split(".")
        if not equals or name not in approval.shown:
            free = ", ".join(each for each in approval.shown if each not in action.fixed)
            raise BadAnswer(f"--set {change!r} is not NAME=VALUE with NAME one of {free}.")
        if ".".join((name, *path)) in named:
            raise BadAnswer(f"--set {'.'.join((name, *path))} is there twice. Say once what it should be.")
        named.add(".".join((name, *path)))
        try:
            said[name] = _with(said.get(name, approval.shown[name]), path, value) if path else value
        except LookupError as error:
            missing, there = error.args
            raise BadAnswer(
                f"--set {change!r}: there is no {missing!r}; there is {', '.join(there) or 'nothing'}."
            ) from None
    return read_change({**approval.shown, **said}, approval, action)


def _with(shown: Any, path: Sequence[str], value: str) -> Any:
    """A copy with this value at the path, JSON where no text was; in a list, an object is named by one of its values.

    LookupError if there is nothing of that name, with the name and those that there are.
    """
    if not path:
        return read_value(value, shown)
    first, *rest = path
    if isinstance(shown, dict) and first in shown:
        return {**shown, first: _with(shown[first], rest, value)}
    held = [item for item in shown if isinstance(item, dict)] if isinstance(shown, list) else []
    named = [item for item in held if first in item.values()]
    if len(named) != 1:
        firsts = [next((value for value in item.values() if isinstance(value, str)), "") for item in held]
        raise LookupError(first, list(shown) if isinstance(shown, dict) else [*filter(None, firsts)])
    return [_with(item, rest, value) if item is named[0] else item for item in shown]
