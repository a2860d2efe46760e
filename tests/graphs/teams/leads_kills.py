"""Kills a process amid a run of the leads team, as `team_kills` does it, and says how the run ended."""

import sqlite3
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2] / "kills" / "programs"))

from team_kills import kill_team

from signoff import Ledger, Run, Settings
from signoff.agents import Review
from signoff.graphs.teams.leads import leads_team

FILES = (
    "agents/roles/outreach/outward", "agents/roles/outreach/copywriter", "agents/extractive/rubric",
    "graphs/teams/leads",
    "graphs/approval/batch", "graphs/nodes/gate", "graphs/nodes/act", "tools/crm/tools", "tools/crm/sqlite",
)  # fmt: skip
"""Where candidates are confirmed, scored, asked about, written and read back."""


def go(documents: str, folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, to its end."""
    settings = Settings(home=folder / "home", database=str(folder / "signoff.db"))
    ledger = Ledger(settings.database, hooks=())
    team, known = leads_team(model="offline", settings=settings), ledger.runs.list()
    here = Path(documents)
    given = {
        "rubric": str(here / "packages.toml"), "sources": str(here / "packages"),
        "suppress": str(here / "suppress.txt"),
        "crm": str(folder / "crm.db"), "out": str(folder / "out" / "leads.md"),
    }  # fmt: skip
    if known:
        run = Run.open(known[0].id, team=team, settings=settings).resume()
    else:
        run = Run.start(team, given, settings=settings)
    while run.approval is not None:
        run.approve(approval=run.alike(), by="ann")
    with sqlite3.connect(folder / "crm.db") as connection:
        rows = {
            table: connection.execute(f"SELECT signoff_key, signoff_sha256, signoff_before FROM {table}").fetchall()
            for table in ("leads", "followups")
        }
    effects = [effect for effect in ledger.effects.of_run(run.id) if effect.action != "confirm_lead"]
    return {
        "status": run.status,
        "rows": {table: sorted(row[0] for row in found) for table, found in rows.items()},
        "updated": [row[0] for found in rows.values() for row in found if row[2]],
        "changes": sorted(str(effect.result.get("change", "published")) for effect in effects),
        "checks": [check.passed for check in run.artifact(Review).checks],
        "files": sorted(file.name for file in (folder / "out").glob("*")),
        "runs": len(ledger.runs.list()),
    }


if __name__ == "__main__":
    kill_team(FILES, go)
