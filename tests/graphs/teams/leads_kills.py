"""Kills a process amid a run of the leads team; then another process finishes the run, and signs it off.

Arguments: an empty folder, a folder of documents, how many lines, and a seed. Prints a JSON line for a run that nobody
killed, then one for each kill at a line. Each process is a fork.
"""

import json
import os
import random
import sqlite3
import sys
from functools import partial
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2] / "kills" / "programs"))

from forked import KILLED, count_lines, in_fork, kill_at, must

import signoff
from signoff import Ledger, Run, Settings
from signoff.agents import Review
from signoff.graphs.teams.leads import leads_team

FILES = (
    "agents/roles/outreach/outward", "agents/roles/outreach/copywriter", "agents/extractive/rubric",
    "graphs/teams/leads",
    "graphs/approval/batch", "graphs/nodes/gate", "graphs/nodes/act", "tools/crm/tools", "tools/crm/sqlite",
)  # fmt: skip
"""Where candidates are confirmed, scored, asked about, written and read back."""


def go(folder: Path, documents: str) -> dict[str, Any]:
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


def tell(folder: Path, documents: str, code: int) -> None:
    ended = must(partial(go, folder, documents))
    sys.stdout.write(f"{json.dumps({'killed': code == KILLED, **ended})}\n")


def main() -> None:
    folder, documents, number, seed = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    rooms = Path(os.path.realpath(signoff.__file__)).parents[1]
    files = {str(path): name for name in FILES for path in _as_imported(rooms, name)}
    (folder / "whole").mkdir()
    tell(folder / "whole", documents, in_fork(partial(go, folder / "whole", documents))[0])
    (folder / "counted").mkdir()
    lines = sorted(count_lines(files, partial(go, folder / "counted", documents)).items())
    chance = random.Random(seed)
    for place, (line, hits) in enumerate(chance.sample(lines, min(number, len(lines)))):
        home = folder / f"{place}"
        home.mkdir()
        tell(home, documents, kill_at(files, line, chance.randint(1, hits), partial(go, home, documents)))


def _as_imported(rooms: Path, name: str) -> list[Path]:
    """A module's file by each path that its code may have."""
    found = sys.modules[f"signoff.{name.replace('/', '.')}"].__file__
    assert found is not None
    return [Path(found), rooms / f"{name}.py"]


if __name__ == "__main__":
    main()
