"""Asking a person at the terminal: what is proposed, and approve, edit, reject or later."""

from __future__ import annotations

import json
from typing import Any

import click
from rich.console import Console
from rich.markdown import Markdown
from rich.panel import Panel
from rich.prompt import Prompt

from signoff.checkpoints.approvals import Approval
from signoff.errors import BadAnswer
from signoff.graphs.answers import Decision, read_answer
from signoff.graphs.gate import describe
from signoff.tools.action import Action

_LONG = 60
"""Lines of a preview that are shown at once."""


def show_proposal(console: Console, approval: Approval, action: Action[Any], *, pages: bool) -> None:
    """Show what is proposed; a long preview is cut on a terminal, where `v` shows the rest."""
    text = describe(approval, action)
    lines = text.splitlines()
    if pages and len(lines) > _LONG:
        text = "\n".join(lines[:_LONG]) + f"\n\n*… {len(lines) - _LONG} more lines: `v` shows all.*"
    console.print(Panel(Markdown(text), title=f"{approval.action} · approval {approval.id}", title_align="left"))


def ask_person(console: Console, approval: Approval, action: Action[Any]) -> Decision | None:
    """The decision of the person at the terminal; None for later. Only whole answers count, nothing is assumed."""
    while True:
        try:
            said = Prompt.ask(
                "[bold]approve, edit, reject or later?[/] (a/e/r/l, v to view all)", console=console
            ).strip()
        except EOFError:
            return None
        match said.lower():
            case "a" | "approve":
                return Decision("approve", approval.shown)
            case "r" | "reject":
                return Decision("reject", {}, Prompt.ask("Why?", console=console, default="", show_default=False))
            case "l" | "later":
                return None
            case "v" | "view":
                with console.pager(styles=True):
                    console.print(Markdown(describe(approval, action)))
            case "e" | "edit":
                edited = _try_edit(console, approval, action)
                if edited is not None:
                    return edited
            case _:
                console.print(f"{said!r} decides nothing.", highlight=False, markup=False)


def _try_edit(console: Console, approval: Approval, action: Action[Any]) -> Decision | None:
    try:
        args = edit_in_editor(approval)
        if args is None:
            console.print("Nothing was changed.")
            return None
        answer = {"type": "edit", "edited_action": {"name": approval.action, "args": args}}
        return read_answer(answer, approval, action.arguments)
    except (BadAnswer, click.ClickException) as error:
        console.print(str(error), highlight=False, markup=False)
        return None


def edit_in_editor(approval: Approval) -> dict[str, Any] | None:
    """The arguments after the person's editor: a long text as itself, anything else as JSON. None if unchanged."""
    long = [name for name, value in approval.shown.items() if isinstance(value, str) and "\n" in value]
    if len(long) == 1:
        text = click.edit(approval.shown[long[0]], extension=".md")
        if text is None or text == approval.shown[long[0]]:
            return None
        return {**approval.shown, long[0]: text}
    text = click.edit(json.dumps(approval.shown, ensure_ascii=False, indent=2), extension=".json")
    if text is None:
        return None
    try:
        args = json.loads(text)
    except ValueError as error:
        raise BadAnswer(f"The edited arguments are not JSON: {error}.") from error
    if not isinstance(args, dict):
        raise BadAnswer("The edited arguments are not an object.")
    return None if args == approval.shown else args
