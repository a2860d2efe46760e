"""Kills a process at lines between a model's proposal and what it does with the outcome; another finishes the run.

Arguments: the address of a PostgreSQL database or `sqlite`, an empty folder, how many lines, and a seed. Prints a JSON
line for each kill. Each process is a fork.
"""

import json
import random
import sys
from functools import partial
from pathlib import Path
from typing import Any

from forked import KILLED, Line, count_lines, kill_at, must

from signoff import Agent, Artifact, Ledger, Policy, Run, Settings, Task, Team, tool
from signoff.testing import Call, Reply, ScriptedModel, calls, gives
from signoff.tools import IdempotencyKey

WATCHED = (
    "graphs.nodes.agent",
    "graphs.nodes.supervisor",
    "graphs.nodes.gate",
    "graphs.nodes.act",
    "graphs.routing.needs_and_gives",
    "agents.loop.loop",
    "agents.loop.tool_calls",
    "checkpoints.ledger.approvals",
    "checkpoints.ledger.effects",
)
"""Where a model is called, its proposal asked about, decided, claimed, called, finished and told."""
LATER = 3
"""Replies more than a run takes that nobody kills."""


class Ticket(Artifact):
    number: str


class Report(Artifact):
    text: str


class Note(Artifact):
    text: str


def answer(call: Call) -> Reply:
    """What a model does that reads what it is told: it files, mails the number that it read, and reports."""
    told = [str(message.content) for message in call.messages if message.type == "tool"]
    if not told:
        return calls("file_ticket", title="The lock sticks")
    number = told[0].partition('"number": "')[2].partition('"')[0]
    return calls("send_mail", to="ann", text=f"It is {number}.") if len(told) == 1 else gives(Report(text=number))


def team(folder: Path, ledger: Ledger) -> Team:
    def written(name: str) -> list[list[str]]:
        kept = folder / name
        return [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []

    def write(name: str, *values: str) -> None:
        with (folder / name).open("a") as kept:
            kept.write(f"{json.dumps(values)}\n")

    def was_filed(_given: Any, key: str) -> dict[str, str] | None:
        return next(({"number": number} for known, number in written("filed") if known == key), None)

    def was_mailed(_given: Any, key: str) -> dict[str, str] | None:
        return next(({} for known, _ in written("mailed") if known == key), None)

    @tool(risk="external", gives=Ticket, reconcile=was_filed)
    def file_ticket(title: str, key: IdempotencyKey) -> dict[str, str]:
        """File a ticket."""
        number = f"T-{key[-6:]}"
        write("filed", key, number)
        return {"number": number}

    @tool(risk="external", reconcile=was_mailed)
    def send_mail(to: str, text: str, key: IdempotencyKey) -> None:
        """Send a mail."""
        write("mailed", key, text)

    def ask(call: Call) -> Reply:
        write("asked", "once")
        return answer(call)

    def note(task: Task) -> Note:
        return Note(text=task.need(Ticket).number)

    model = ScriptedModel([ask] * 9)
    clerk = Agent(role="clerk", gives=Report, model=model, tools=(file_ticket, send_mail))
    noter = Agent(role="noter", needs=(Ticket,), gives=Note, function=note)
    return Team(
        name="tickets", agents=[clerk, noter], policy=Policy({"file_ticket": "ask", "send_mail": "ask"}), ledger=ledger
    )


def go(database: str, folder: Path) -> dict[str, Any]:
    """Begin the run, or go on with it, and approve whatever it asks, until it ends."""
    name = str(folder / "signoff.db") if database == "sqlite" else database
    settings = Settings(home=folder, database=name)
    ledger = Ledger(name, hooks=())
    tickets, goal = team(folder, ledger), f"{folder}: file a ticket, then mail its number"
    known = [record for record in ledger.runs.list(10_000) if record.goal == goal]
    if known:
        run = Run.open(known[0].id, team=tickets, settings=settings)
    else:
        run = Run.start(tickets, goal, drive=False, settings=settings)
    if run.approval is None:
        run.resume()
    while run.approval is not None:
        run.approve()
    entries = ledger.audit.entries(run.id)
    kept = {name: folder / name for name in ("filed", "mailed", "asked")}
    lines = {name: path.read_text().splitlines() if path.exists() else [] for name, path in kept.items()}
    return {
        "status": run.status,
        "note": run.record.note,
        "questions": sum(entry.event == "asked" for entry in entries),
        "filed": [json.loads(line)[1] for line in lines["filed"]],
        "mailed": [json.loads(line)[1] for line in lines["mailed"]],
        "calls": len(lines["asked"]),
        "artifacts": {name: stored["value"] for name, stored in run.values["artifacts"].items()},
    }


def spread(counted: dict[Line, int], number: int, chance: random.Random) -> list[Line]:
    """Lines of every watched file in turn, so that the longest does not take all."""
    pools = {module: [line for line in sorted(counted) if line[0] == module] for module, _ in counted}
    found: list[Line] = []
    for place in range(number):
        pool = pools[sorted(pools)[place % len(pools)]]
        found.append(pool.pop(chance.randrange(len(pool))) if len(pool) > 1 else pool[0])
    return found


def main(database: str, folder: Path, number: int, seed: int) -> None:
    files = {str(sys.modules[f"signoff.{name}"].__file__): name for name in WATCHED}
    for name in ("warm", "counted"):
        (folder / name).mkdir()
    must(partial(go, database, folder / "warm"))
    counted = dict(count_lines(files, partial(go, database, folder / "counted")))
    chance = random.Random(seed)
    for place, line in enumerate(spread(counted, number, chance)):
        home = folder / f"{place}"
        home.mkdir()
        code = kill_at(files, line, chance.randint(1, counted[line]), partial(go, database, home))
        ended = must(partial(go, database, home))
        sys.stdout.write(f"{json.dumps({'line': line, 'killed': code == KILLED, **ended})}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    import signoff.checkpoints.ledger.ledger
    import signoff.graphs.team  # noqa: F401  # so that every watched file is loaded

    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
