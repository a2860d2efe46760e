"""Showing what was spent: calls, tokens, dollars, and what the cheaper tiers saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import reduce

from rich.console import Console

from signoff.checkpoints.opening import configured_ledger
from signoff.checkpoints.spending import Kind, Spent
from signoff.desk.terminal import print_json, row, say, table
from signoff.settings import load_settings

_NOBODY = {
    "run": "outside a run",
    "agent": "no agent",
    "tier": "no tier",
    "team": "no team",
    "model": "no name",
    "day": "no day",
}


def list_costs(kind: Kind, run: str | None, *, json: bool) -> None:
    """Print what was spent, by this; of one run, or of all."""
    ledger = configured_ledger(load_settings())
    run_id = None if run is None else ledger.runs.get(run).id
    found = ledger.spending.by(kind, run_id)
    if json:
        sums = asdict(_total(found)) if found else None
        tiers = [asdict(spent) for spent in ledger.spending.by("tier", run_id)]
        return print_json({"by": kind, "spent": [asdict(spent) for spent in found], "total": sums, "tiers": tiers})
    console = Console()
    if not found:
        where = "" if run_id is None else f" in run {run_id}"
        return say(console, f"No model was called yet{where}, so nothing was spent.")
    rows = table(kind, "calls", "failed", "in", "cached", "out", "reasoning", "cost", "saved", "seconds")
    for column in rows.columns[1:]:
        column.justify = "right"
    shown = [replace(spent, name=spent.name or _NOBODY[kind]) for spent in found]
    for spent in [*shown, _total(shown)]:
        row(rows, *_cells(spent))
    console.print(rows)
    if kind != "tier":
        for spent in ledger.spending.by("tier", run_id):
            if spent.name:
                say(console, f"Tier {spent.name} cost {_dollars(spent.usd)}{_saving(spent)}.")
    assumed = _total(found).assumed
    if assumed:
        calls = "1 call was" if assumed == 1 else f"{assumed:,} calls were"
        say(console, f"{calls} charged the worst case, because the endpoint told no usage.")
    return None


def _total(found: Sequence[Spent]) -> Spent:
    total = reduce(
        lambda one, other: replace(
            one, **{name: value + getattr(other, name) for name, value in asdict(one).items() if name != "name"}
        ),
        found,
    )
    return replace(total, name="total")


def _cells(spent: Spent) -> tuple[str, ...]:
    counts = (spent.calls, spent.failed, spent.input_tokens, spent.cached_tokens)
    answers = (spent.output_tokens, spent.reasoning_tokens)
    return (
        spent.name,
        *(f"{count:,}" for count in (*counts, *answers)),
        _dollars(spent.usd),
        _dollars(spent.usd_saved),
        f"{spent.seconds:,.1f}",
    )


def _saving(spent: Spent) -> str:
    if not spent.usd_saved:
        return ""
    saved = _dollars(abs(spent.usd_saved))
    return f", {saved} {'less' if spent.usd_saved > 0 else 'more'} than the strongest tier would have"


def _dollars(usd: float) -> str:
    """Cents, and as much more as a small amount needs to be seen."""
    sign, usd = ("-" if usd < 0 else ""), abs(usd)
    return f"{sign}${usd:,.2f}" if usd >= 1 or usd == 0 else f"{sign}${usd:.6f}"
