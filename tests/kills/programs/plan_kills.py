"""Kills a process at lines that plan, ask, decide and go on; then another process finishes the run.

Arguments: an empty folder, how many lines, and a seed. Prints a JSON line for each kill. Each process is a fork.
"""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from forked import KILLED, kill_some, must

from signoff import Agent, Artifact, Ledger, Run, Settings, Task, Team, graphs
from signoff.agents import SubGoal, WorkPlan

PLANS = ("nodes/supervisor", "nodes/gate", "nodes/act", "approval/enforcement", "routing/planning")
"""Where a plan is made a question, asked about and followed."""
EDITED = [{"agent": "scout", "goal": "closely"}, {"agent": "teller", "goal": "shortly"}]


class Facts(Artifact):
    text: str


class Story(Artifact):
    text: str


def team(folder: Path, ledger: Ledger) -> Team:
    def note(task: Task, who: str) -> str:
        with (folder / "worked").open("a") as worked:
            worked.write(f"{who}: {task.instructions if who != 'planner' else 'plans'}\n")
        return task.instructions

    def plan(task: Task) -> WorkPlan:
        note(task, "planner")
        return WorkPlan(steps=(SubGoal(agent="scout", goal="from afar"), SubGoal(agent="teller")))

    agents: list[Agent[Any]] = [
        Agent(role="planner", gives=WorkPlan, function=plan),
        Agent(role="scout", gives=Facts, function=lambda task: Facts(text=note(task, "scout"))),
        Agent(role="teller", needs=(Facts,), gives=Story, function=lambda task: Story(text=note(task, "teller"))),
    ]
    return Team(name="tales", agents=agents, ledger=ledger)


def go(folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, and approve a changed plan once it is asked about."""
    settings = Settings(home=folder, database=str(folder / "signoff.db"))
    ledger = Ledger(settings.database, hooks=())
    tales, known = team(folder, ledger), ledger.runs.list()
    if known:
        run = Run.open(known[0].id, team=tales, settings=settings)
    else:
        run = Run.start(tales, "tell", ask_plan=True, drive=False, settings=settings)
    if run.approval is None:
        run.resume()
    if run.approval is not None and run.approval.action == "follow_plan":
        run.approve(args={"steps": EDITED})
    asked = [entry for entry in ledger.audit.entries(run.id) if entry.event == "asked"]
    return {"status": run.status, "note": run.record.note, "asked": len(asked), "left": bool(run.approval)}


def main() -> None:
    folder, number, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = {str(Path(graphs.__file__).parent / f"{name}.py"): name for name in PLANS}
    (folder / "warm").mkdir()
    must(partial(go, folder / "warm"))
    for home, line, code in kill_some(files, folder, number, seed, go):
        ended = must(partial(go, home))
        worked = (home / "worked").read_text().splitlines()
        sys.stdout.write(f"{json.dumps({'line': line, 'killed': code == KILLED, 'worked': worked, **ended})}\n")


if __name__ == "__main__":
    main()
