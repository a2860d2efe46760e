"""Kills a process in the middle of an approved call, in each way that LangGraph can be asked to go on.

Arguments: the ledger's database, an empty folder, the first cell and how many to go on by. Prints a JSON line for each
cell: how checkpoints are written, when the call is killed, how it was answered, how the thread is taken up again; then
what is asked and what was paid.
"""

import gc
import itertools
import json
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from forked import KILLED, in_fork, must
from langgraph.types import Command
from payments import Bank, Person, build_team, config_of, drive

from signoff import Ledger
from signoff.checkpoints.saver.saver import SqliteCheckpointer

CELLS = list(
    itertools.product(
        ("sync", "async", "exit"), ("before", "after"), ("continue", "approve again"), ("value", "id"), (1, 3)
    )
)


class Cell:
    def __init__(self, durability: Any, dies: Any, again: str, by: str, payments: int) -> None:
        self.durability, self.dies, self.again, self.by, self.payments = durability, dies, again, by, payments
        self.thread = f"{durability} {dies} {again} {by} {payments}"
        self.config = config_of(self.thread)

    def graph(self, dies: Any = "") -> Any:
        amounts = (1, 2, 5)[3 - self.payments :]
        return build_team(replace(bank, dies=dies), ledger, amounts).compile(checkpointer=saver)

    def answer(self, graph: Any) -> Any:
        """An approval as LangGraph addresses it: to whatever is asked, or to this interrupt."""
        approve = {"decisions": [{"type": "approve"}]}
        if self.by == "value":
            return Command(resume=approve)
        (asked,) = graph.get_state(self.config).interrupts
        return Command(resume={asked.id: approve})

    def start(self) -> Any:
        """Up to the question that is answered by the process that dies; the others are approved at the desk."""
        graph = self.graph()
        graph.invoke({"goal": self.thread}, self.config, durability=self.durability)
        answer = self.answer(graph)
        for other in ledger.approvals.pending(self.thread)[1:]:
            ledger.approvals.approve(other.id, by="ann")
        return answer.resume

    def die(self, answer: Any) -> None:
        self.graph(self.dies).invoke(Command(resume=answer), self.config, durability=self.durability)

    def go_on(self, answer: Any) -> dict[str, Any]:
        given: Any = None if self.again == "continue" else Command(resume=answer)
        graph = self.graph()
        graph.invoke(given, self.config, durability=self.durability)
        asked = [approval.action for approval in ledger.approvals.pending(self.thread)]
        paid = bank.paid(self.thread)
        drive(graph, self.thread, Person(bank, ledger, "approve", at_desk=True))
        values = graph.get_state(self.config).values
        return {
            "asked": asked,
            "paid": [payment["euros"] for payment in paid],
            "paid in the end": [payment["euros"] for payment in bank.paid(self.thread)],
            "outcomes": [done["status"] for done in values["outcomes"] if done["action"] == "pay"],
        }


if __name__ == "__main__":
    database, folder = sys.argv[1], Path(sys.argv[2])
    ledger, bank = Ledger(database), Bank(folder / "bank")
    saver = SqliteCheckpointer(folder / "checkpoints.db" if "://" in database else database)
    drive(Cell("sync", "", "continue", "value", 3).graph(), "warm", Person(bank, ledger, "approve", at_desk=True))
    gc.collect()
    gc.freeze()
    for durability, dies, again, by, payments in CELLS[int(sys.argv[3]) :: int(sys.argv[4])]:
        cell = Cell(durability, dies, again, by, payments)
        answer = must(cell.start)
        code, _ = in_fork(partial(cell.die, answer))
        assert code == KILLED, cell.thread
        found = must(partial(cell.go_on, answer))
        sys.stdout.write(json.dumps({"cell": cell.thread, "dies": dies, "payments": payments, **found}) + "\n")
