"""Kills a process amid a run of the competitors team, as `team_kills` does it, and says how the run ended."""

import hashlib
from pathlib import Path
from typing import Any

from team_kills import kill_team

from signoff import Ledger, Run, Settings
from signoff.graphs.teams.competitors import competitors_team

FILES = (
    "agents/roles/tables/table_researcher", "agents/roles/tables/row_pages", "agents/roles/tables/table_report",
    "agents/artifacts/table", "graphs/teams/competitors", "graphs/nodes/items", "graphs/nodes/act",
    "tools/publishing/publish",
)  # fmt: skip
"""Where rows are filled, joined, written, checked and published."""
COMPANIES = ["OtterWeb", "ternlite", "cormorant-client", "otterweb"]


def go(documents: str, folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, to its end."""
    settings = Settings(home=folder / "home", database=str(folder / "signoff.db"))
    ledger = Ledger(settings.database, hooks=())
    team, known = competitors_team(model="offline", settings=settings), ledger.runs.list()
    given = {
        "goal": "web frameworks", "companies": COMPANIES, "categories": ["licence", "python version"],
        "sources": documents, "out": str(folder / "out" / "report.md"),
    }  # fmt: skip
    if known:
        run = Run.open(known[0].id, team=team, settings=settings).resume()
    else:
        run = Run.start(team, given, settings=settings)
    if run.approval is not None:
        run.approve(by="ann")
    files = sorted((folder / "out").glob("*")) if (folder / "out").is_dir() else []
    return {
        "status": run.status,
        "note": run.record.note.replace(str(folder), ""),
        "files": {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files},
        "effects": [effect.status for effect in ledger.effects.of_run(run.id)],
        "runs": len(ledger.runs.list()),
    }


if __name__ == "__main__":
    kill_team(FILES, go)
