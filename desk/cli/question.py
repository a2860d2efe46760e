"""Asking a person at the terminal: what is proposed, and approve, edit, reject or later."""

from __future__ import annotations

import json
from typing import Any

import click
from markdown_it import MarkdownIt
from rich.console import Console
from rich.markdown import Markdown
from rich.panel import Panel
from rich.prompt import Prompt
from rich.text import Text

from signoff.checkpoints.ledger import Approval
from signoff.desk.cli.terminal import say, visible
from signoff.graphs.approval import Decision, read_edit
from signoff.graphs.errors import BadAnswer
from signoff.graphs.nodes import describe
from signoff.tools import Action

_LONG = 60
"""Lines of a preview that are shown at once."""


def show_proposal(console: Console, approval: Approval, action: Action[Any], *, pages: bool) -> None:
    """Show what is proposed; a long preview is cut on a terminal, where `v` shows the rest."""
    text = visible(describe(approval, action))
    lines = text.splitlines()
    if pages and len(lines) > _LONG:
        text = "\n".join(lines[:_LONG]) + f"\n\n*… {len(lines) - _LONG} more lines: `v` shows all.*"
    console.print(Panel(_markdown(text), title=Text(f"{approval.action} · approval {approval.id}"), title_align="left"))


def _markdown(text: str) -> Markdown:
    """The text as Markdown in which nothing is hidden: what looks like HTML, a comment too, is shown as it stands."""
    shown = Markdown(text)
    shown.parsed = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"]).parse(text)
    return shown


def ask_person(console: Console, approval: Approval, action: Action[Any]) -> Decision | None:
    """The decision of the person at the terminal; None for later. Only whole answers count, nothing is assumed."""
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
                        console.print(_markdown(visible(describe(approval, action))))
                case "e" | "edit":
                    return Decision("approve", read_change(edit_in_editor(approval), approval, action))
                case _:
                    say(console, f"{said!r} decides nothing. Type a, e, r, l or v.")
        except BadAnswer as error:
            say(console, str(error))
        except EOFError:
            return None


def read_change(args: dict[str, Any], approval: Approval, action: Action[Any]) -> dict[str, Any]:
    """The arguments to approve instead; BadAnswer if they do not fit or are those that were shown."""
    changed = read_edit(args, approval, action)
    if changed == approval.shown:
        raise BadAnswer("Nothing was changed.")
    return changed


def edit_in_editor(approval: Approval) -> dict[str, Any]:
    """The arguments after the person's editor: a long text as itself, anything else as JSON."""
    long = [name for name, value in approval.shown.items() if isinstance(value, str) and "\n" in value]
    text = approval.shown[long[0]] if len(long) == 1 else json.dumps(approval.shown, ensure_ascii=False, indent=2)
    try:
        edited = click.edit(text, extension=".md" if len(long) == 1 else ".json")
    except click.ClickException as error:
        raise BadAnswer(f"The editor failed: {error.message}") from error
    if edited is None:
        raise BadAnswer("Nothing was changed.")
    if len(long) == 1:
        return {**approval.shown, long[0]: edited}
    try:
        args = json.loads(edited)
    except ValueError as error:
        raise BadAnswer(f"The edited arguments are not JSON: {error}.") from error
    if not isinstance(args, dict):
        raise BadAnswer("The edited arguments are not an object.")
    return args
