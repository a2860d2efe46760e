"""Showing what was spent: calls, tokens, dollars, and what the cheaper tiers saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import reduce

from rich.cells import cell_len
from rich.console import Console

from signoff.checkpoints.ledger.budgets.spending import Kind, Spent
from signoff.checkpoints.opening import configured_ledger
from signoff.desk.cli.terminal import print_json, row, say, table
from signoff.settings import load_settings

_NOBODY = {
    "run": "outside a run",
    "agent": "no agent",
    "tier": "no tier",
    "team": "no team",
    "model": "no name",
    "day": "no day",
}

_COLUMNS = {
    "calls": "calls",
    "failed": "failed",
    "in": "input_tokens",
    "cached": "cached_tokens",
    "out": "output_tokens",
    "reasoning": "reasoning_tokens",
    "cost": "usd",
    "saved": "usd_saved",
    "seconds": "seconds",
}
"""What the table shows beside the name, and where it stands."""
_FIRST_TO_GO = ("reasoning", "cached", "seconds", "saved", "failed")


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
    _print_table(console, kind, [replace(spent, name=spent.name or _NOBODY[kind]) for spent in found])
    if kind != "tier":
        for spent in ledger.spending.by("tier", run_id):
            if spent.name:
                say(console, f"Tier {spent.name} cost {_dollars(spent.usd)}{_saving(spent)}.")
    total = _total(found)
    if total.assumed:
        calls = "1 call was" if total.assumed == 1 else f"{total.assumed:,} calls were"
        why = "because the endpoint told no usage; the tokens are not known"
        say(console, f"{calls} charged the worst case, {_dollars(total.usd_assumed)}, {why}.")
    return None


def _print_table(console: Console, kind: Kind, shown: Sequence[Spent]) -> None:
    """Print a line for each and the total, without columns that say nothing or have no room beside the names."""
    total = _total(shown)
    lines = [_cells(spent) for spent in [*shown, total]]
    widths = {
        name: 2 + max(cell_len(cell) for cell in (name, *(line[place] for line in lines)))
        for place, name in enumerate(_COLUMNS, 1)
        if any(getattr(spent, _COLUMNS[name]) for spent in shown)
    }
    room = console.width - 2 - max(cell_len(line[0]) for line in [(kind,), *lines])
    left_out = []
    for name in _FIRST_TO_GO:
        if name in widths and sum(widths.values()) > room:
            left_out.append(name)
            del widths[name]
    rows = table(kind, *widths)
    rows.columns[0].overflow = "fold"
    for column in rows.columns[1:]:
        column.justify, column.no_wrap = "right", True
    places = [0, *(place for place, name in enumerate(_COLUMNS, 1) if name in widths)]
    for line in lines:
        row(rows, *(line[place] for place in places))
    console.print(rows)
    if left_out:
        say(console, f"No room for {', '.join(left_out)}: see --json.")


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
