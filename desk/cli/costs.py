"""The command that shows what was spent: calls, tokens, dollars, and what the cheaper tiers saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields, replace
from typing import Annotated, Any

import typer
from rich.cells import cell_len
from rich.console import Console

from signoff.checkpoints.ledger.budgets import Kind, Spent
from signoff.desk.cli.lists import existing_ledger
from signoff.desk.cli.terminal import Json, one_of, print_json, row, say, table
from signoff.desk.errors import NoDatabase
from signoff.settings import load_settings

_NOBODY = {"run": "outside a run", "model": "no name"}
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


def costs(
    by: Annotated[Kind, one_of(Kind, "What to add up by.")] = "run",
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Only this run, or the beginning of its id.")] = None,
    json: Json = False,
) -> None:
    try:
        ledger = existing_ledger(load_settings())
    except NoDatabase as error:
        if json:
            return print_json({"by": by, "spent": [], "total": None, "tiers": []})
        return say(Console(), f"No model was called yet, so nothing was spent. {error}")
    run_id = None if run is None else ledger.runs.get(run).id
    found = ledger.spending.by(by, run_id)
    if json:
        sums = asdict(_total(found)) if found else None
        tiers = [asdict(spent) for spent in ledger.spending.by("tier", run_id)]
        return print_json({"by": by, "spent": [asdict(spent) for spent in found], "total": sums, "tiers": tiers})
    console = Console()
    if not found:
        where = "" if run_id is None else f" in run {run_id}"
        return say(console, f"No model was called yet{where}, so nothing was spent.")
    _print_table(console, by, [replace(spent, name=spent.name or _NOBODY.get(by, f"no {by}")) for spent in found])
    if by != "tier":
        for spent in ledger.spending.by("tier", run_id):
            if spent.name:
                say(console, f"Tier {spent.name} cost {_dollars(spent.usd)}{_saving(spent)}.")
    total = _total(found)
    if total.assumed:
        calls = "1 call was" if total.assumed == 1 else f"{total.assumed:,} calls were"
        why = "as nobody knows what was used: it was not told, the call was cut off, or its process died"
        say(console, f"{calls} charged the worst case, {_dollars(total.usd_assumed)}, {why}.")
    return None


def _print_table(console: Console, kind: Kind, shown: Sequence[Spent]) -> None:
    """Print a line for each and the total, without columns that say nothing or have no room beside the names."""
    lines = [*shown, _total(shown)]
    cells = {
        name: [_cell(name, getattr(spent, field)) for spent in lines]
        for name, field in _COLUMNS.items()
        if any(getattr(spent, field) for spent in shown)
    }
    widths = {name: 2 + max(map(cell_len, (name, *column))) for name, column in cells.items()}
    room = console.width - 2 - max(map(cell_len, (kind, *(spent.name for spent in lines))))
    left_out = []
    for name in _FIRST_TO_GO:
        if name in widths and sum(widths.values()) > room:
            left_out.append(name)
            del widths[name]
    rows = table(kind, *widths)
    rows.columns[0].overflow = "fold"
    for column in rows.columns[1:]:
        column.justify, column.no_wrap = "right", True
    for place, spent in enumerate(lines):
        row(rows, spent.name, *(cells[name][place] for name in widths))
    console.print(rows)
    if left_out:
        say(console, f"No room for {', '.join(left_out)}: see --json.")


def _total(found: Sequence[Spent]) -> Spent:
    names = [field.name for field in fields(Spent) if field.name != "name"]
    return Spent(name="total", **{name: sum(getattr(spent, name) for spent in found) for name in names})


def _cell(column: str, value: Any) -> str:
    if column in ("cost", "saved"):
        return _dollars(value)
    return f"{value:,.1f}" if column == "seconds" else f"{value:,}"


def _saving(spent: Spent) -> str:
    if not spent.usd_saved:
        return ""
    saved = _dollars(abs(spent.usd_saved))
    return f", {saved} {'less' if spent.usd_saved > 0 else 'more'} than the strongest tier would have"


def _dollars(usd: float) -> str:
    """Cents, and as much more as a small amount needs to be seen."""
    sign, usd = ("-" if usd < 0 else ""), abs(usd)
    return f"{sign}${usd:,.2f}" if usd >= 1 or usd == 0 else f"{sign}${usd:.6f}"
