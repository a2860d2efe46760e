"""Live progress: who works, on what, how far, and what it used. On standard error, so that output can be piped."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Column, Table
from rich.text import Text

from signoff.agents import NO_USAGE, Usage, usage_text
from signoff.checkpoints.ledger.budgets import NO_LIMIT, Budget
from signoff.desk.cli.terminal import say
from signoff.fleet import Event, Watch
from signoff.graphs import PlanStep
from signoff.wording import one_line

_MARKS = {
    "completed": Text("✓", "green"),
    "failed": Text("✗", "red"),
    "in_progress": Text("●", "yellow"),
    "pending": Text("·", "dim"),
    "skipped": Text("–", "yellow"),
}


class Progress:
    """What is known of a run while it is driven."""

    def __init__(self, budget: Budget = NO_LIMIT) -> None:
        self.budget = budget
        self.plan: tuple[PlanStep, ...] = ()
        self.usage: Usage = NO_USAGE
        self.last = Event("says")
        self.started = time.monotonic()
        self._spinner = Spinner("dots")

    def note(self, event: Event) -> None:
        if event.kind == "plan":
            self.plan = event.plan or self.plan
            self.usage = event.usage or self.usage
        elif event.kind != "stands":
            self.last = event

    def __rich__(self) -> RenderableType:
        columns = Column(no_wrap=True), Column(no_wrap=True), Column(no_wrap=True, overflow="ellipsis")
        rows = Table.grid(*columns, padding=(0, 2, 0, 0))
        for step in self.plan[-12:]:
            agent = Text(one_line(step["agent"]), "dim" if step["status"] == "pending" else "")
            rows.add_row(_MARKS[step["status"]], agent, Text(one_line(step["note"]), "dim"))
        line = Table.grid(padding=(0, 1, 0, 0))
        cells: list[RenderableType] = [self._spinner, Text(one_line(f"{self.last.agent} {self.last.text}")[:70])]
        if self.last.total:
            cells.append(ProgressBar(total=self.last.total, completed=self.last.done, width=24))
            cells.append(Text(f"{self.last.done:,} of {self.last.total:,}", "dim"))
        limited = self.usage["calls"] and self.budget.usd is not None
        used = usage_text(self.usage) + (f" of ${self.budget.usd:,.2f}" if limited else "")
        cells.append(Text(f"{used} · {time.monotonic() - self.started:.0f} s", "dim"))
        line.add_row(*cells)
        return Group(rows, line)


@contextmanager
def watch_live(console: Console, told: list[PlanStep], budget: Budget = NO_LIMIT) -> Iterator[Watch]:
    """A watch that shows a live table on a terminal, and plain lines elsewhere.

    At the end the table gives way to its lines; `told` are those that stand on the screen already, and grows by them.
    """
    progress = Progress(budget)
    if not console.is_terminal:
        yield lambda event: _print_line(console, event)
        return
    with Live(progress, console=console, refresh_per_second=8, transient=True):
        yield progress.note
    progress.last = Event("says")
    for step in progress.plan:
        if step not in told:
            told.append(step)
            mark = _MARKS[step["status"]]
            say(console, f"{mark.plain} {step['agent']}  {one_line(step['note'])}", str(mark.style))


def _print_line(console: Console, event: Event) -> None:
    if event.kind in ("plan", "stands") or (event.total and event.done % 1000 and event.done != event.total):
        return
    how_far = f" ({event.done:,} of {event.total:,})" if event.total else ""
    text = event.text if event.kind == "says" else f"← {event.text}"
    say(console, f"{event.agent}: {one_line(text)}{how_far}")
