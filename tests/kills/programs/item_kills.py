"""Kills a process amid a step that is worked item by item; then another process finishes the run.

Arguments: an empty folder, how many lines, and a seed. Prints a JSON line for the kill in one item, once all
that is worked on beside it is on disk, then one for each kill at a line. Each process is a fork.
"""

import json
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from forked import KILLED, in_fork, kill_some, must, saved_items

from signoff import Agent, Artifact, Each, Ledger, Limits, Row, Run, Settings, Task, Team, graphs

SENDS = ("nodes/items", "routing/sending", "nodes/supervisor")
"""Where items are listed, sent, worked on and joined."""
ITEMS = [f"i{number}" for number in range(10)]
WIDTH = 5
KILLS = "i6"


class Found(Artifact):
    text: str


class Table(Artifact):
    lines: tuple[str, ...]


def join(rows: Sequence[Row[Found]], _task: Task) -> Table:
    return Table(lines=tuple(row.gave.text if row.gave else row.problem for row in rows))


def team(folder: Path, ledger: Ledger, settings: Settings, *, kills: bool) -> Team:
    def look(task: Task) -> Found:
        with (folder / "worked").open("a") as worked:
            worked.write(f"{task.item}\n")
        if kills and task.item == KILLS:
            while saved_items(ledger.runs.list()[0].id, settings) < WIDTH - 1:
                pass
            os.kill(os.getpid(), signal.SIGKILL)
        return Found(text=str(task.item))

    each = Each(items=lambda _task: ITEMS, gives=Found, function=look, join=join)
    scout = Agent(role="scout", gives=Table, each=each, limits=Limits(width=WIDTH))
    return Team(name="trips", agents=[scout], ledger=ledger)


def go(folder: Path, *, kills: bool = False) -> dict[str, Any]:
    """Begin the run, or go on with it."""
    settings = Settings(home=folder, database=str(folder / "signoff.db"))
    ledger = Ledger(settings.database, hooks=())
    trips, known = team(folder, ledger, settings, kills=kills), ledger.runs.list()
    if known:
        run = Run.open(known[0].id, team=trips, settings=settings).resume()
    else:
        run = Run.start(trips, "look", settings=settings)
    return {"status": run.status, "note": run.record.note, "lines": run.artifact(Table).lines}


def tell(folder: Path, code: int) -> None:
    ended = must(partial(go, folder))
    worked = (folder / "worked").read_text().split()
    sys.stdout.write(f"{json.dumps({'killed': code == KILLED, 'worked': worked, **ended})}\n")


def main() -> None:
    folder, number, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = {str(Path(graphs.__file__).parent / f"{name}.py"): name for name in SENDS}
    (folder / "one").mkdir()
    tell(folder / "one", in_fork(partial(go, folder / "one", kills=True))[0])
    for home, _, code in kill_some(files, folder, number, seed, go):
        tell(home, code)


if __name__ == "__main__":
    main()
