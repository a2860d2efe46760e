"""A run as a notebook shows it: its own words, and apart from them what its agents made and want to be approved."""

from __future__ import annotations

import base64
import html
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from signoff.agents import Analysis, Draft, Table, Usage, usage_text
from signoff.agents.artifacts import html_of
from signoff.agents.safety import addresses_of
from signoff.checkpoints.ledger import Approval, Effect
from signoff.fleet.events import Event
from signoff.fleet.standing import Standing
from signoff.graphs import PlanStep, Team
from signoff.tools.errors import BlobMissing
from signoff.tools.storage import Blobs
from signoff.wording import as_block, as_code, as_words, make_visible, one_line

_IMAGE = re.compile(r'<img src="([^"]*)" alt="([^"]*)"[^>]*>')
_MANY_ROWS = 50
_LONG = 20_000
"""Characters of an artifact that are shown."""
_BOX = "display: inline-block; border: 1px solid; border-radius: 4px; padding: 2px 8px; margin: 2px"
Show = Callable[[str], None]
"""Shows this HTML in place of what it showed before."""
_MARKS = {"completed": "✓", "failed": "✗", "in_progress": "…", "pending": "·", "skipped": "–"}


def run_markdown(
    stands: Standing,
    plan: Sequence[PlanStep],
    approvals: Sequence[tuple[Approval, str]],
    effects: Sequence[Effect] = (),
    alike: int = 1,
    brief: Mapping[str, str] | None = None,
) -> str:
    """Status, plan, and what is asked: each approval with its question in Markdown.

    The first `alike` of them are of one kind, and can be decided together; `brief` has those that are told in a line.
    """
    record = stands.record
    parts = [
        f"**Run {record.id}** · {as_words(record.team)} · **{as_words(str(stands))}**",
        f"> {as_words(record.goal)}",
    ]
    if plan:
        rows = [
            f"| {_MARKS[step['status']]} | {as_words(step['agent'])} | {step['gives']} | {_cell(step['note'])} |"
            for step in plan
        ]
        parts.append("\n".join(["| | agent | gives | |", "|---|---|---|---|", *rows]))
    if alike > 1:
        parts.append(
            f"**{alike} of one kind wait for you.** All of them: `run.approve(approval=run.alike())` or "
            '`run.reject("why", approval=run.alike())`. Some: `approval=["a-…", "a-…"]`. One otherwise: '
            '`run.approve(args={…}, approval="a-…")`. With `drive=False` the run waits until you have said all.'
        )
    for approval, question in approvals:
        named = f'approval="{approval.id}"' if len(approvals) > 1 else ""
        refusal = f'"why", {named}' if named else '"why"'
        decide = _ways(approval, named) or f"Decide with `run.approve({named})` or `run.reject({refusal})`."
        parts += [f"**Waits for you** (approval `{approval.id}`). {decide}", question]
    if brief:
        lines = [f"- `{approval}`: {as_code(said)}" for approval, said in brief.items()]
        parts.append("\n".join([f"**{len(brief)} more wait**, each in `run.approvals`:", "", *lines]))
    parts += [f"{as_words(line)} `run.resume()` goes on." for line in stands.news]
    for effect in effects:
        if effect.earlier:
            parts.append(f"**Caution**, {as_code(effect.action)} may have happened twice: {as_code(effect.earlier)}")
    if not approvals and not stands.news and record.note:
        parts.append(as_words(record.note))
    return "\n\n".join(parts)


def draft_markdown(artifacts: Mapping[str, Any]) -> str:
    """The source of the draft; empty if there is none."""
    draft = artifacts.get("Draft")
    return f"---\n\n{as_block(make_visible(draft.markdown), 'markdown')}" if isinstance(draft, Draft) else ""


def run_html(markdown: str, artifacts: Mapping[str, Any], home: Path, head: str = "") -> str:
    """A head, the run's own words, what was made, its tables, then its draft with the run's charts in it.

    A cell of a table opens on what it rests on. No other picture is fetched or shown, and every address in the draft is
    written out.
    """
    draft, analysis = artifacts.get("Draft"), artifacts.get("Analysis")
    made = [_told(name, one) for name, one in artifacts.items() if not isinstance(one, Draft | Table)]
    tables = [_folded(one) for one in artifacts.values() if isinstance(one, Table)]
    shown = "\n".join([head, f"{words_html(markdown)}<hr>", *made, *tables])
    if not isinstance(draft, Draft):
        return shown
    blobs = Blobs(home)
    pictures = analysis.pictures if isinstance(analysis, Analysis) else ()
    digests = {picture.name: picture.sha256 for picture in pictures}

    def show(image: re.Match[str]) -> str:
        name, title = image.groups()
        try:
            png = base64.b64encode(blobs.read(digests[name])).decode()
        except (KeyError, BlobMissing):
            return f"<em>[{title}: {name}]</em>"
        return f'<img src="data:image/png;base64,{png}" alt="{title}">'

    drawn = _IMAGE.sub(show, make_visible(words_html(draft.markdown)).replace("<U+", "&lt;U+"))
    listed = "\n".join(f"- {as_code(address)}" for address in addresses_of({"": draft.markdown}))
    addresses = words_html(f"Addresses in it:\n\n{listed}") if listed else ""
    return f"{shown}<blockquote>\n{drawn}</blockquote>\n{addresses}"


def words_html(markdown: str) -> str:
    """This Markdown as HTML; what looks like HTML in it is text."""
    from markdown_it import MarkdownIt

    return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def graph_html(team: Team, plan: Sequence[PlanStep], usage: Usage) -> str:
    """The agents, what each needs and gives and how far it is, and under them what their models used."""
    status = {step["agent"]: step["status"] for step in plan}
    boxes = []
    for agent in team.agents:
        mark = _MARKS[status[agent.role]] if agent.role in status else ""
        needs = ", ".join(need.__name__ for need in agent.needs)
        flow = _text(f"{needs} → {agent.gives.__name__}" if needs else f"→ {agent.gives.__name__}")
        boxes.append(f'<span style="{_BOX}">{mark} <b>{_text(agent.role)}</b><br><small>{flow}</small></span>')
    return f"<div>{' '.join(boxes)}</div>\n<p><small>{_text(usage_text(usage))}</small></p>"


def progress_html(event: Event) -> str:
    """What happens now, and how far it is."""
    bar = f' <progress value="{event.done}" max="{event.total}"></progress> {event.done:,} of {event.total:,}'
    told = one_line(f"{event.agent}: {event.text}" if event.agent else event.text)
    return f"<p>… {_text(told)}{bar if event.total else ''}</p>"


def cell_display() -> Show | None:
    """What shows HTML in the cell that is executed, in place of what it showed before; None outside a notebook."""
    if "IPython" not in sys.modules:
        return None
    from IPython.core.getipython import get_ipython
    from IPython.display import display

    if not hasattr(get_ipython(), "kernel"):
        return None  # a terminal cannot replace what it shows
    handles: list[Any] = []

    def show(shown: str) -> None:
        bundle = {"text/html": shown, "text/plain": "<a run, shown as HTML>"}
        if handles:
            handles[0].update(bundle, raw=True)
        else:
            handles.append(display(bundle, raw=True, display_id=True))  # type: ignore[no-untyped-call]  # it ships no types

    return show


def _told(name: str, made: Any) -> str:
    """An artifact, folded."""
    text = made.model_dump_json(indent=2)
    more = f"\n… {len(text) - _LONG:,} characters more" if len(text) > _LONG else ""
    return f"<details><summary>{_text(name)}</summary><pre>{_text(text[:_LONG])}{more}</pre></details>"


def _text(text: str) -> str:
    return html.escape(make_visible(text))


def _folded(made: Table) -> str:
    """The table; a long one opens on a click, and scrolls."""
    if len(made.rows) <= _MANY_ROWS:
        return html_of(made)
    box = f'<div style="max-height: 40em; overflow: auto">{html_of(made)}</div>'
    return f"<details><summary>{html.escape(made.title)}: {html.escape(made.brief())}</summary>{box}</details>"


def _ways(approval: Approval, named: str) -> str:
    """What can be called to answer it, where that does not mean what it usually does."""
    if approval.is_question:
        more = f", {named}" if named else ""
        return f'Answer with `run.respond("…"{more})`, or decline with `run.reject("why"{more})`.'
    lines = [f"- `{way.call(approval.id if named else '')}`: {way.means}" for way in approval.ways]
    return "\n\n" + "\n".join(lines) if lines else ""


def _cell(text: str) -> str:
    line = as_words(text)
    return line if len(line) <= 160 else f"{line[:159].rstrip(chr(92))}…"
