"""A run as Markdown, as a notebook shows it; with charts as HTML, as a notebook shows no pictures of ours otherwise."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from signoff.agents import Analysis, Draft
from signoff.checkpoints.ledger import Approval, Effect, RunRecord
from signoff.graphs import PlanStep
from signoff.tools.errors import BlobMissing
from signoff.tools.storage import Blobs

_IMAGE = re.compile(r'<img src="([^"]*)" alt="([^"]*)"[^>]*>')
_MARKS = {"completed": "✓", "failed": "✗", "in_progress": "…", "pending": "·"}


def run_markdown(
    record: RunRecord,
    plan: Sequence[PlanStep],
    approvals: Sequence[Approval],
    artifacts: Mapping[str, Any],
    effects: Sequence[Effect] = (),
) -> str:
    """Status, plan, what is asked, and the draft if there is one."""
    parts = [f"**Run {record.id}** · {record.team} · **{record.status}**", f"> {record.goal}"]
    if plan:
        rows = [
            f"| {_MARKS[step['status']]} | {step['agent']} | {step['gives']} | {_cell(step['note'])} |" for step in plan
        ]
        parts.append("\n".join(["| | agent | gives | |", "|---|---|---|---|", *rows]))
    for approval in approvals:
        named = f'approval="{approval.id}"' if len(approvals) > 1 else ""
        refusal = f'"why", {named}' if named else '"why"'
        flagged = "".join(f" **Caution**, an order in its sources: {_verbatim(flag)}." for flag in approval.flags)
        parts.append(
            f"**Waits for you** (approval `{approval.id}`): {approval.proposed_by} proposes `{approval.action}`. "
            f"{approval.reason}{flagged} {approval.standing} "
            f"Decide with `run.approve({named})` or `run.reject({refusal})`."
        )
    for effect in effects:
        if effect.earlier:
            parts.append(f"**Caution**, `{effect.action}` may have happened twice: {_verbatim(effect.earlier)}")
    if not approvals and record.note:
        parts.append(record.note)
    draft = artifacts.get("Draft")
    if isinstance(draft, Draft):
        parts += ["---", draft.markdown]
    return "\n\n".join(parts)


def run_html(markdown: str, artifacts: Mapping[str, Any], home: Path) -> str | None:
    """The same with the run's charts in it; None if it has none. No other picture is fetched or shown."""
    analysis = artifacts.get("Analysis")
    if not isinstance(analysis, Analysis) or not analysis.pictures:
        return None
    from markdown_it import MarkdownIt

    blobs = Blobs(home)
    digests = {picture.name: picture.sha256 for picture in analysis.pictures}

    def show(image: re.Match[str]) -> str:
        name, title = image.groups()
        try:
            png = base64.b64encode(blobs.read(digests[name])).decode()
        except (KeyError, BlobMissing):
            return f"<em>[{title}]</em>"
        return f'<img src="data:image/png;base64,{png}" alt="{title}">'

    return _IMAGE.sub(show, MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown))


def _verbatim(text: str) -> str:
    """What somebody else wrote, so that it cannot pass for what stands around it."""
    line = " ".join(text.replace("`", "'").split())
    return f"`{line}`"


def _cell(text: str) -> str:
    line = text.replace("|", "\\|").replace("\n", " ")
    return line if len(line) <= 160 else f"{line[:159]}…"
