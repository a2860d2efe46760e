"""Kills a process amid a run of the competitors team; then another process finishes the run, and signs it off.

Arguments: an empty folder, a folder of documents, how many lines, and a seed. Prints a JSON line for a run that nobody
killed, then one for each kill at a line. Each process is a fork.
"""

import hashlib
import json
import os
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from forked import KILLED, count_lines, in_fork, kill_at, must

import signoff
from signoff import Ledger, Run, Settings
from signoff.graphs.teams.competitors import competitors_team

FILES = (
    "agents/roles/tables/table_researcher", "agents/roles/tables/row_pages", "agents/roles/tables/table_report",
    "agents/artifacts/table", "graphs/teams/competitors", "graphs/nodes/items", "graphs/nodes/act",
    "tools/publishing/publish",
)  # fmt: skip
"""Where rows are filled, joined, written, checked and published."""
COMPANIES = ["OtterWeb", "ternlite", "cormorant-client", "otterweb"]


def go(folder: Path, documents: str) -> dict[str, Any]:
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
