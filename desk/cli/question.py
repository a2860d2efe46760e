"""Asking a person at the terminal: what is proposed, and approve, edit, reject or later."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import click
import typer
from rich.console import Console
from rich.markup import escape
from rich.prompt import Prompt
from rich.text import Text

from signoff.checkpoints import is_same, read_once
from signoff.checkpoints.ledger import Approval, told_of
from signoff.desk.cli.terminal import INTERRUPTED, command, interrupts_left_to_the_editor, moment, say, short
from signoff.desk.deciding import answers_to
from signoff.graphs import FOLLOW_PLAN
from signoff.graphs.approval import CONTROLS, Decision, Passage, exactly, passages_of, read_edit, read_reply, say_reply
from signoff.graphs.errors import BadAnswer
from signoff.tools import Action, Words, form_fields
from signoff.wording import counted, fold, visible_line

_BAR = "│ "
"""Before each line that somebody else says; what the gate says begins at the edge, or with blanks."""
_STYLES = {"gate": "bold", "caution": "bold yellow", "words": "italic", "list": "", "preview": ""}
_LONG = 60
"""Lines of a preview that are shown at once."""
_FENCE = re.compile(r" {0,3}(`{3,}(?=[^`]*$)|~{3,})")


def show_proposal(console: Console, approval: Approval, action: Action[Any], *, pages: bool) -> None:
    """Show what is proposed, as it stands; a long preview is cut on a terminal, where `v` shows the rest."""
    _show_title(console, approval)
    show_passages(console, passages_of(approval, action), _LONG if pages else sys.maxsize, "v")


def show_passages(console: Console, passages: Iterable[Passage], longest: int, key: str) -> None:
    """Show them; of a preview that has more lines than this the rest is what the key shows."""
    for passage in passages:
        lines = passage.lines[:longest] if passage.kind == "preview" else passage.lines
        _show(console, Passage(passage.kind, lines))
        if left := len(passage.lines) - len(lines):
            say(console, f"… {counted(left, 'more line')} of it, which {key} shows.", "yellow")


def what_is_asked(approval: Approval) -> list[str]:
    """The arguments, one a line; of a plan its steps."""
    if approval.action == FOLLOW_PLAN:
        plan: Any = CONTROLS[FOLLOW_PLAN].arguments.model_validate(approval.shown)
        return [short(line) for line in plan.markdown.splitlines()]
    return [f"{name}: {short(json.dumps(value, ensure_ascii=False))}" for name, value in approval.shown.items()]


def show_whole(
    console: Console,
    approval: Approval,
    action: Action[Any] | None,
    *,
    commands: bool = False,
    more: Sequence[tuple[str, str]] = (),
) -> None:
    """Show all of what is proposed, the arguments as they are approved, and what can be said of it, and `more`."""
    _show_title(console, approval)
    for line in _facts(approval):
        say(console, line)
    for passage in passages_of(approval, action):
        _show(console, passage)
    say(console, "Its arguments, exactly:", "bold")
    _show(console, Passage("preview", tuple(exactly(approval.shown).split("\n"))))
    say(console, f"Their digest is {approval.shown_sha256}.")
    if commands and approval.status == "pending":
        say(console, "What you can say:", "bold")
        for line in aligned([*_answers(approval), *more]):
            say(console, f"  {line}")


def _facts(approval: Approval) -> Iterator[str]:
    """Of which run it is, since and until when it is asked, who decides, and what was decided."""
    asked_by = f", asked for by {approval.requested_by}" if approval.requested_by else ""
    belongs = f", {told_of(approval.path)}" if approval.path else ""
    yield f"Run {approval.run_id} of the team {approval.team}{belongs}{asked_by}."
    yield f"Goal: {approval.goal}"
    until = f", open until {moment(approval.expires_at)}" if approval.expires_at else ", open until it is decided"
    waits = approval.status == "pending"
    yield f"Asked {moment(approval.requested_at)}{until if waits else ''}. Times are UTC. Risk: {approval.risk}."
    if not waits:
        by = f" by {approval.decided_by}" if approval.decided_by else ""
        why = f": {approval.decision_reason}" if approval.decision_reason else ""
        yield f"It is {approval.status}{by}, {moment(approval.decided_at or approval.expires_at)}{why}."
        if approval.edited:
            changed = {name: value for name, value in approval.args.items() if value != approval.proposed.get(name)}
            yield f"Approved were other arguments than the proposed ones: {json.dumps(changed, ensure_ascii=False)}"
    elif approval.has_expired:
        yield str(approval.already_decided())
    elif not approval.standing:
        yield "Decides: anybody who can use this database; one person."


def _answers(approval: Approval) -> list[tuple[str, str]]:
    """The commands that answer it, and what each means."""
    if approval.ways:
        return [(way.command(approval.id, command()), way.means) for way in approval.ways]
    takes = {"edit": " --set NAME=VALUE", "respond": ' "…"', "reject": ' --why "…"'}
    takes |= {"reject": ""} if approval.action in CONTROLS and approval.action != FOLLOW_PLAN else {}
    return [
        (f"{command()} {way.verb} {approval.id}{takes.get(way.verb, '')}", way.means) for way in answers_to(approval)
    ]


def aligned(ways: Sequence[tuple[str, str]]) -> list[str]:
    """Commands, and beside them what each means."""
    longest = max((len(line) for line, _ in ways), default=0)
    return [f"{line:<{longest}}  {means}" for line, means in ways]


def ways_to_respond(approval: Approval, action: Action[Any] | None) -> list[tuple[str, str]]:
    """The commands that answer a question to a person, and what each means."""
    declines = f'{command()} reject {approval.id} --why "…"'
    return [(respond_with(approval, action), "answers it"), (declines, "declines it")]


def confirm(console: Console, approval: Approval, action: Action[Any] | None) -> bool:
    """Show all of it, and ask whether it is approved. Only a yes is one."""
    show_whole(console, approval, action)
    for way in approval.ways[:1]:
        say(console, f"To approve means: {way.means}.", "bold")
    return said_yes(console, "approve?")


def said_yes(console: Console, question: str) -> bool:
    """Whether the person at the terminal says yes to it; anything else is none."""
    try:
        said = Prompt.ask(f"[bold]{question}[/] \\[y/N]", console=console, default="", show_default=False)
    except EOFError:
        said = ""
    except KeyboardInterrupt:
        console.print()
        say(console, "Nothing was decided.")
        raise typer.Exit(INTERRUPTED) from None
    return said.strip().lower() in ("y", "yes")


def _show_title(console: Console, approval: Approval) -> None:
    say(console, f"── {approval.action} · approval {approval.id} ──", "bold")


def _show(console: Console, passage: Passage) -> None:
    for line in lay_out(passage, max(console.width, 20) if console.is_terminal else sys.maxsize):
        console.print(Text(line, _STYLES[passage.kind]), soft_wrap=True)


def lay_out(passage: Passage, width: int) -> Iterator[str]:
    """The lines of a passage, none wider than this. A bar stands before all that the gate does not say itself."""
    if passage.kind in ("gate", "caution"):
        first, *more = fold(visible_line(passage.text), width - len(_BAR))
        yield from (first, *(f"{' ' * len(_BAR)}{piece}" for piece in more))
        return
    for bars, line in _in_blocks(passage):
        shown = visible_line(line.expandtabs(4) if passage.kind == "preview" else line)
        whole = passage.kind == "list" and " " not in shown  # an address, to be copied
        yield from (f"{bars}{piece}" for piece in ([shown] if whole else fold(shown, width - len(bars))))


def _in_blocks(passage: Passage) -> Iterator[tuple[str, str]]:
    """The lines and their bars: one more inside a block of code, lest they pass for what stands around it."""
    fence = ""
    for line in passage.lines:
        if fence and re.fullmatch(rf" {{0,3}}{fence}{fence[0]}* *", line) is None:
            yield _BAR * 2, line
            continue
        begun = _FENCE.match(line) if passage.kind == "preview" and not fence else None
        fence = begun[1] if begun else ""
        yield _BAR, line


def ask_person(console: Console, approval: Approval, action: Action[Any]) -> Decision | None:
    """The decision of the person at the terminal; None for later. Only whole answers count, nothing is assumed."""
    if approval.is_question:
        return _ask_reply(console, approval, action)
    while True:
        try:
            said = Prompt.ask(
                "[bold]approve, edit, reject or later?[/] (a/e/r/l, v to view all)", console=console
            ).strip()
            match said.lower():
                case "a" | "approve":
                    return Decision("approve", approval.shown)
                case "r" | "reject":
                    return Decision("reject", {}, Prompt.ask("Why?", console=console, default="", show_default=False))
                case "l" | "later":
                    return None
                case "v" | "view":
                    with console.pager():  # many pagers show styles as escapes
                        show_whole(console, approval, action)
                case "e" | "edit":
                    return Decision("approve", read_change(edit_in_editor(approval), approval, action))
                case _:
                    say(console, f"{said!r} decides nothing. Type a, e, r, l or v.")
        except BadAnswer as error:
            say(console, str(error))
        except EOFError:
            return None


def _ask_reply(console: Console, approval: Approval, action: Action[Any]) -> Decision | None:
    """The answer of the person at the terminal, or that they decline; None for later."""
    while True:
        try:
            said = Prompt.ask("[bold]answer, decline or later?[/] (a/d/l, v to view all)", console=console).strip()
            match said.lower():
                case "a" | "answer":
                    return Decision("respond", {}, say_reply(read_reply(fill_in(console, action), action), action))
                case "d" | "decline":
                    return Decision("reject", {}, Prompt.ask("Why?", console=console, default="", show_default=False))
                case "l" | "later":
                    return None
                case "v" | "view":
                    with console.pager():
                        show_whole(console, approval, action)
                case _:
                    say(console, f"{said!r} is no answer yet. Type a, d, l or v.")
        except BadAnswer as error:
            say(console, str(error))
        except EOFError:
            return None


def fill_in(console: Console, action: Action[Any]) -> str | dict[str, str]:
    """What the person types: a text, or field by field; what is left empty is left out."""
    if action.form is None or action.form is Words:
        return Prompt.ask("Answer", console=console, default="", show_default=False)
    said = {
        name: Prompt.ask(escape(f"{name} ({kind})"), console=console, default="", show_default=False)
        for name, kind, _ in form_fields(action.form)
    }
    return {name: value for name, value in said.items() if value.strip()}


def respond_with(approval: Approval, action: Action[Any] | None = None) -> str:
    """The command that answers a question to a person."""
    form = action.form if action is not None else None
    fields = [] if form is None or form is Words else [f"--set {name}=…" for name, *_ in form_fields(form)]
    said = " ".join(fields) or '"…"'
    return f"{command()} respond {approval.id} {said}"


def read_change(args: dict[str, Any], approval: Approval, action: Action[Any]) -> dict[str, Any]:
    """The arguments to approve instead; BadAnswer if they do not fit or are those that were shown."""
    changed = read_edit(args, approval, action)
    if is_same(changed, approval.shown):
        raise BadAnswer("Nothing was changed.")
    return changed


def read_value(said: str, before: Any) -> Any:
    """What is said instead of a value: JSON, if it is any and no text stood there."""
    if not isinstance(before, str):
        with suppress(ValueError):
            return read_once(said)
    return said


def edit_in_editor(approval: Approval) -> dict[str, Any]:
    """The arguments after the person's editor: a long text as itself, anything else as JSON."""
    long = [name for name, value in approval.shown.items() if isinstance(value, str) and "\n" in value]
    text = approval.shown[long[0]] if len(long) == 1 else json.dumps(approval.shown, ensure_ascii=False, indent=2)
    try:
        with interrupts_left_to_the_editor() as interrupts:
            edited = click.edit(text, extension=".md" if len(long) == 1 else ".json")
    except click.ClickException as error:
        if interrupts:
            raise KeyboardInterrupt from None
        raise BadAnswer(f"The editor failed: {error.message}") from error
    if edited is None:
        raise BadAnswer("Nothing was changed.")
    if len(long) == 1:
        return {**approval.shown, long[0]: edited}
    try:
        args = read_once(edited)
    except ValueError as error:
        raise BadAnswer(f"The edited arguments are not JSON: {error}.") from error
    if not isinstance(args, dict):
        raise BadAnswer("The edited arguments are not an object.")
    return args
