"""Kills a process amid a run of the refactor team, as `team_kills` does it, and says how the run ended."""

import sqlite3
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    for place in ("kills/programs", "shared"):
        sys.path.insert(0, str(Path(__file__).parents[3] / place))

from small_shop import CHECK, SEEN, make_shop
from team_kills import kill_team

from signoff import Ledger, Run, Settings
from signoff.checkpoints import configured_saver
from signoff.graphs.teams.refactor import Refactoring, Units, refactor_team

FILES = (
    "graphs/teams/refactor", "graphs/teams/repositories", "agents/roles/coder", "graphs/nodes/items",
    "graphs/routing/sending", "graphs/nodes/act", "tools/sandbox/bench", "tools/git/refactoring/merging",
    "tools/files/project", "tools/files/apply_action",
)  # fmt: skip
"""Where units are copied, changed, checked, merged, proposed and applied."""
FEW = ["shop/app.py", "shop/bill.py", "shop/money.py", "shop/names.py"]
"""Three units in two layers."""


def done_units(run_id: str, settings: Settings) -> set[str]:
    """The units whose row is on disk."""
    with configured_saver(settings) as saver:
        found = saver.get_tuple({"configurable": {"thread_id": run_id}})
    if found is None:
        return set()
    kept = [found.checkpoint["channel_values"].get("items") or {}]
    kept += [value for _, channel, value in found.pending_writes or () if channel == "items"]
    rows = {name: row for items in kept for name, row in (items.get("coder") or {}).items() if row is not None}
    return {name for name, row in rows.items() if row["status"] == "done" and not row["item"]["merges"]}


def go(_documents: str, folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, to its end."""
    settings = Settings(home=folder / "home", database=str(folder / "signoff.db"))
    ledger = Ledger(settings.database, hooks=())
    team, known = refactor_team(model="offline", settings=settings), ledger.runs.list()
    said: list[str] = []

    def watch(event: Any) -> None:
        said.append(str(event))

    done: set[str] = set()
    if known:
        done = done_units(known[0].id, settings)
        run = Run.open(known[0].id, team=team, settings=settings).resume(watch=watch)
    else:
        shop = folder / "shop"
        shop = shop if (shop / ".git/refs/heads/main").exists() else make_shop(shop)
        asked = {"goal": "Mark all", "repo": str(shop), "check": [CHECK], "codemod": [SEEN], "lines": 9, "files": FEW}
        run = Run.start(team, asked, settings=settings, watch=watch)
    while run.approval is not None:
        run.approve()
    again = [name for name in done if any(f"{name}: runs the codemod" in one for one in said)]
    found, units = run.artifact(Refactoring), run.artifact(Units)
    with sqlite3.connect(folder / "signoff.db") as connection:
        (approvals,) = connection.execute("SELECT count(*) FROM approvals").fetchone()
    return {
        "status": run.status,
        "runs": len(ledger.runs.list()),
        "done": found.done,
        "tree": found.proof.tree if found.proof is not None else "",
        "units": {one.name: one.status for one in units.results},
        "again": again,
        "known": len(done),
        "effects": [(effect.action, effect.status) for effect in ledger.effects.of_run(run.id)],
        "approvals": approvals,
        "marks": {path: (folder / "shop" / path).read_text().count("# seen") for path in FEW},
    }


if __name__ == "__main__":
    kill_team(FILES, go)
