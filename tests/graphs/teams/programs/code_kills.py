"""Kills a process amid a run of the code team; then another process finishes it, and everything is approved.

Arguments: an empty folder, how many lines, and a seed. Prints a JSON line for the kill after the codemod changed the
copy and before anybody knows of it, then one for each kill at a line. Each process is a fork.
"""

import inspect
import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from forked import KILLED, kill_at, kill_some, must
from stand_in import CHECK, FIX, make_repository

from signoff import Ledger, Run, Settings
from signoff.agents.roles import coder
from signoff.graphs.teams import code_team
from signoff.tools.files import apply_action
from signoff.tools.sandbox import bench

CODEMOD = f"{FIX}; echo '# mended' >> calc.py"
"""Done twice it would leave two marks."""
KILLS = 'summary = f"The codemod {command!r} was run."'
MODULES = (coder, bench, apply_action)


def go(folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, and approve what it asks."""
    settings = Settings(home=folder / "home", database=str(folder / "signoff.db"))
    ledger = Ledger(settings.database, hooks=())
    team, known = code_team(model="offline", settings=settings), ledger.runs.list()
    if known:
        run = Run.open(known[0].id, team=team, settings=settings).resume()
    else:
        tin = make_repository(folder / "tin") if not (folder / "tin/.git/refs/heads/main").exists() else folder / "tin"
        asked = {"goal": "Let add() add", "repo": str(tin), "check": [CHECK], "codemod": CODEMOD}
        run = Run.start(team, asked, settings=settings)
    if run.approval is not None:
        run.approve()
    effects = ledger.effects.of_run(run.id)
    return {
        "status": run.status,
        "steps": [step["agent"] for step in run.plan if step["status"] == "completed"],
        "effects": [effect.status for effect in effects],
        "calc": (folder / "tin/calc.py").read_text(),
    }


def tell(folder: Path, code: int) -> None:
    sys.stdout.write(f"{json.dumps({'killed': code == KILLED, **must(partial(go, folder))})}\n")


def main() -> None:
    folder, number, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = {str(inspect.getfile(module)): module.__name__ for module in MODULES}
    source = Path(inspect.getfile(coder)).read_text().splitlines()
    line = next(place for place, text in enumerate(source, 1) if KILLS in text)
    (folder / "one").mkdir()
    tell(folder / "one", kill_at(files, (coder.__name__, line), 1, partial(go, folder / "one")))
    if not number:
        return
    for home, _, code in kill_some(files, folder, number, seed, go):
        tell(home, code)


if __name__ == "__main__":
    main()
