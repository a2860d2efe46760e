"""Eight people decide the same question at once, and all of them try to have it done; for many rounds.

Arguments: the ledger's database, an empty folder, `threads` or `processes`, `ledger` or `graph`, rounds, seed. At the
ledger they decide there and perform the action; through the graph they resume the thread. Prints a JSON line for each
round: what became of each person's decision and attempt, what the ledger says, and what the bank was told to pay.
"""

import json
import multiprocessing
import random
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from payments import EUROS, Bank, Payment, Person, Verdict, build_team, config_of, drive

from signoff import Ledger
from signoff.checkpoints.ledger.approval import Question
from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.errors import AlreadyDecided, RunBusy
from signoff.graphs.nodes.act import perform

PEOPLE = 8
PATIENCE = 120.0
"""Seconds that somebody waits for the others before the test fails; far more than a round takes."""


class Start(Protocol):
    """Where all wait for each other."""

    def wait(self, timeout: float) -> int: ...


@dataclass(frozen=True)
class Place:
    """Ledger, saver and bank, and the questions asked there: threads with the ids of their approvals."""

    ledger: Ledger
    saver: SqliteCheckpointer
    bank: Bank
    asked: Mapping[str, str]
    seed: str

    def attempt(self, level: str, number: int, start: Start) -> list[dict[str, str]]:
        """What one person does in all rounds."""
        graph = self.graph() if level == "graph" else None
        done = []
        for thread in self.asked:
            verdict = self.verdict(thread, number)
            person = Person(self.bank, self.ledger, verdict, at_desk=level == "ledger" or number % 2 == 0)
            start.wait(PATIENCE)
            told = self.resume(graph, thread, person) if graph else self.perform(thread, person)
            done.append({"verdict": verdict, **told})
        return done

    def verdict(self, thread: str, number: int) -> Verdict:
        """Some approve, some reject, some edit."""
        verdicts: tuple[Verdict, ...] = ("approve", "reject", "edit")
        return random.Random(f"{self.seed} {thread} {number}").choice(verdicts)

    def perform(self, thread: str, person: Person) -> dict[str, str]:
        """Decide in the ledger, then do what is decided."""
        _, said = self.decide(thread, person)
        try:
            done: str = perform(self.ledger, self.ledger.approvals.get(self.asked[thread]), self.bank.action).status
        except (AlreadyDecided, RunBusy) as refusal:
            done = type(refusal).__name__
        return {"said": said, "done": done}

    def resume(self, graph: Any, thread: str, person: Person) -> dict[str, str]:
        """Decide, some at the desk and some by answering, and resume the thread."""
        given, said = self.decide(thread, person)
        try:
            graph.invoke(given, config_of(thread), durability="sync")
        except RunBusy:
            return {"said": said, "done": "RunBusy"}
        return {"said": said, "done": "resumed"}

    def decide(self, thread: str, person: Person) -> tuple[Any, str]:
        try:
            given = person.decide(self.ledger.approvals.get(self.asked[thread]))
        except AlreadyDecided:
            return None, "AlreadyDecided"
        return given, "answered" if given else "decided"

    def graph(self) -> Any:
        return build_team(self.bank, self.ledger).compile(checkpointer=self.saver)

    def ask(self, level: str, thread: str) -> str:
        """Ask about a payment on this thread; the id of the approval."""
        if level == "graph":
            drive(self.graph(), thread, None)
            return self.ledger.approvals.pending(thread)[0].id
        self.ledger.runs.begin(thread, 1, team="team", goal=thread)
        args = Payment(to=thread, euros=EUROS).model_dump()
        question = Question(f"p-{thread}", thread, "pay", args, "due today", "external", "clerk")
        return self.ledger.approvals.ask(question, expires_in=None).id

    def look(self, level: str, thread: str) -> dict[str, Any]:
        """What there is after the round, and after somebody brought the run to its end."""
        if level == "graph":
            drive(self.graph(), thread, Person(self.bank, self.ledger, "approve", at_desk=True))
        approval = self.ledger.approvals.get(self.asked[thread])
        return {
            "status": approval.status,
            "args": approval.args,
            "paid": self.bank.paid(thread),
            "effects": [(effect.key, effect.status) for effect in self.ledger.effects.of_run(thread)],
            "decisions": [
                entry.event
                for entry in self.ledger.audit.entries(thread)
                if entry.event in ("approved", "rejected") and entry.body["approval"] == approval.id
            ],
        }


def in_threads(place: Place, level: str) -> list[list[dict[str, str]]]:
    start = threading.Barrier(PEOPLE)
    with ThreadPoolExecutor(PEOPLE) as pool:
        return list(pool.map(lambda number: place.attempt(level, number, start), range(PEOPLE)))


def in_processes(place: Place, level: str) -> list[list[dict[str, str]]]:
    """Each in a fork, which opens connections of its own."""
    context = multiprocessing.get_context("fork")
    start = context.Barrier(PEOPLE)
    attempt: Callable[[int], list[dict[str, str]]] = lambda number: place.attempt(level, number, start)  # noqa: E731
    results = [context.Pipe(duplex=False) for _ in range(PEOPLE)]

    def work(number: int) -> None:
        results[number][1].send(attempt(number))

    workers = [context.Process(target=work, args=(number,)) for number in range(PEOPLE)]
    for worker in workers:
        worker.start()
    for _, writer in results:
        writer.close()
    return [reader.recv() for reader, _ in results]


if __name__ == "__main__":
    database, folder, kind, level, number, seed = sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]
    saver = SqliteCheckpointer(folder / "checkpoints.db" if "://" in database else database)
    empty = Place(Ledger(database), saver, Bank(folder / "bank"), {}, seed)
    threads = [f"r-{round_number}" for round_number in range(int(number))]
    place = Place(empty.ledger, saver, empty.bank, {thread: empty.ask(level, thread) for thread in threads}, seed)
    attempts = {"threads": in_threads, "processes": in_processes}[kind](place, level)
    for thread, people in zip(threads, zip(*attempts, strict=True), strict=True):
        sys.stdout.write(json.dumps({"thread": thread, "people": people, **place.look(level, thread)}) + "\n")
    assert place.ledger.audit.verify().ok
