"""Kills a process at a line of our code while a step calls its model; then another process finishes the run.

Arguments: the ledger's database, an empty folder, how many kills, and a seed. The lines are those that call, hold and
book, in any thread. Prints a JSON line for each kill: what an endpoint that counts has been asked, and what is booked.
Everything is imported and warmed up first and each process is a fork.
"""

import gc
import json
import os
import random
import sys
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

from forked import Line, count_lines, kill_at, must
from langchain_core.messages import ToolMessage
from line_kills import file_of
from payments import drive
from sqlalchemy import select

from signoff import Agent, Artifact, Budget, Ledger, Team, tool
from signoff.agents.models.openai.chat_model import Endpoint
from signoff.checkpoints.ledger.schema import usage
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.testing import Call, Reply, ScriptedServer, calls, gives

LOOKS = 3
"""How often the model calls a tool before it gives its work."""
USED = (1000, 50)
"""Tokens of each call, in and out, at 1 and 4 dollars a million."""
WATCHED = (
    "agents.models.call",
    "checkpoints.ledger.budgets.reservations",
    "checkpoints.ledger.budgets.accounts",
    "checkpoints.ledger.session",
)
BOOKS = ("_answered", "settle_later", "take_along", "_serve", "_do", "_settle", "write_calls", "charge", "_keep")
"""Functions that stand between an answer and its booking: every second kill is in one of them."""


class Story(Artifact):
    text: str


@tool(risk="read")
def look(place: str) -> str:
    """Look somewhere."""
    return f"Nothing in {place}."


def answer(call: Call) -> Reply:
    looks = sum(isinstance(message, ToolMessage) for message in call.messages)
    reply = calls("look", place=f"place {looks}") if looks < LOOKS else gives(Story(text="waves"))
    return reply.using(*USED)


class Office:
    def __init__(self, database: str, folder: Path, server: ScriptedServer) -> None:
        self.ledger, self.server = Ledger(database), server
        model = Endpoint(model="scripted", base_url=server.url, api_key="test", max_retries=0)
        scribe = Agent(role="scribe", gives=Story, model=model, tools=(look,))
        self.team = Team(name="tale", agents=[scribe], ledger=self.ledger, budget=Budget(usd=1))
        self.graph: Any = self.team.compile(checkpointer=SqliteCheckpointer(file_of(database, folder)))

    def play(self, thread: str) -> None:
        drive(self.graph, thread, None)

    def asked(self, thread: str) -> int:
        """How many calls of this run have come in, each of which is billed."""
        return sum(thread in call.text for call in self.server.calls)

    def look(self, thread: str) -> dict[str, Any]:
        """What stands in the ledger of this run, as anybody sees it."""
        standing = self.ledger.budgets.standing(f"run:{thread}")
        spent = next(iter(self.ledger.spending.by("run", thread)), None)
        return {
            "spent": standing.spent.nusd,
            "held": standing.held.nusd,
            "calls": spent.calls if spent else 0,
            "assumed": spent.assumed if spent else 0,
        }

    def finish(self, thread: str) -> dict[str, Any]:
        left = self.look(thread)
        self.play(thread)
        with self.ledger.read() as connection:
            rows = connection.execute(select(usage).where(usage.c.run_id == thread)).all()
        found = [(row.outcome, row.nusd, bool(row.assumed)) for row in rows]
        whose = {(row.role, row.team, row.model, row.endpoint) for row in rows}
        return {
            "whose": sorted(whose),
            "left": left,
            "ended": self.look(thread),
            "rows": found,
            "status": self.ledger.runs.get(thread).status,
        }


def plan(
    counted: Mapping[Line, int], number: int, books: set[Line], chance: random.Random
) -> Iterator[tuple[Line, int]]:
    """At which hits which lines are killed: by turns at one that books, and at any."""
    pools = [sorted(books & counted.keys()), sorted(counted)]
    for place in range(number):
        line = chance.choice(pools[place % 2])
        yield line, chance.randint(1, counted[line])


def lines_of(files: Mapping[str, str], names: tuple[str, ...]) -> set[Line]:
    """The lines of these functions."""
    found: set[Line] = set()
    for path, module in files.items():
        codes = [compile(Path(path).read_text(), path, "exec")]
        while codes:
            code = codes.pop()
            codes += [each for each in code.co_consts if isinstance(each, type(code))]
            if code.co_name in names:
                found |= {(module, number) for _, _, number in code.co_lines() if number}
    return found


def main(database: str, folder: Path, number: int, seed: int) -> None:
    with ScriptedServer(repeat(answer)) as server:
        office = Office(database, folder, server)
        office.play("warm.")
        gc.collect()
        gc.freeze()
        files = {str(sys.modules[f"signoff.{name}"].__file__): name for name in WATCHED}
        counted = count_lines(files, lambda: office.play("whole."))
        books = lines_of(files, BOOKS)
        for place, (line, hit) in enumerate(plan(counted, number, books, random.Random(seed))):
            thread = f"run-{place}."
            code = kill_at(files, line, hit, partial(office.play, thread))
            sent = office.asked(thread)
            told = {
                "line": f"{line[0]}:{line[1]}",
                "hit": hit,
                "books": line in books,
                "killed": code < 0,
                "sent": sent,
            }
            found = must(partial(office.finish, thread))
            sys.stdout.write(json.dumps({**told, "asked": office.asked(thread), **found}) + "\n")
            sys.stdout.flush()
        assert office.ledger.audit.verify().ok


if __name__ == "__main__":
    os.environ["SIGNOFF_PRICES"] = json.dumps({"scripted": {"input": 1, "output": 4}})
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
