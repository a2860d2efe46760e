"""A clerk that proposes a payment, and a bank that is a file: a line for each payment, on disk before it answers.

The bank is what the tests believe. It knows nothing of the ledger, and the ledger is never asked what was paid.
Whoever is paid has the name of the thread, so that many runs can share a bank and a database.
"""

import fcntl
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from langchain_core.runnables import RunnableConfig
from langgraph.types import Command
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Ledger, Policy, Task, Team
from signoff.checkpoints.ledger.approval import SETTLE_OUTCOME, Approval

Kind = Literal["plain", "reconcile", "idempotent"]
"""What the bank offers: nothing, a look at what was paid, or that it ignores a key it has seen."""

Verdict = Literal["approve", "edit", "reject"]

EUROS, EDITED_EUROS = 5, 3


class Payment(BaseModel):
    to: str
    euros: int


class Invoice(Artifact):
    to: str
    euros: int


def die() -> None:
    """End this process at once; nothing of it is left to clean up."""
    os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Bank:
    path: Path
    kind: Kind = "plain"
    dies: Literal["", "before", "after"] = ""
    """When the process that pays is killed: never, before the money is gone, or after."""
    dies_at: int = EUROS
    """The amount that it is killed at."""

    def paid(self, to: str) -> list[dict[str, Any]]:
        """Every payment that was made to somebody."""
        book = self.path.read_text() if self.path.exists() else ""
        return [payment for payment in map(json.loads, book.splitlines()) if payment["to"] == to]

    def pay(self, payment: Payment, key: str) -> Mapping[str, Any]:
        if self.dies == "before" and payment.euros == self.dies_at:
            die()
        with self.path.open("ab", buffering=0) as book:
            fcntl.flock(book, fcntl.LOCK_EX)
            if self.kind != "idempotent" or not self.has(payment.to, key):
                line = json.dumps({"to": payment.to, "euros": payment.euros, "key": key})
                book.write(f"{line}\n".encode())
                os.fsync(book.fileno())
        if self.dies == "after" and payment.euros == self.dies_at:
            die()
        return {"receipt": key}

    def has(self, to: str, key: str) -> bool:
        return any(payment["key"] == key for payment in self.paid(to))

    def find(self, payment: Payment, key: str) -> Mapping[str, Any] | None:
        return {"receipt": key} if self.has(payment.to, key) else None

    @property
    def action(self) -> Action[Payment]:
        return Action(
            name="pay",
            description="Pays.",
            arguments=Payment,
            call=self.pay,
            idempotent=self.kind == "idempotent",
            reconcile=self.find if self.kind == "reconcile" else None,
        )


def build_team(bank: Bank, ledger: Ledger, amounts: Sequence[int] = (EUROS,)) -> Team:
    """A team of one clerk, whose payments are asked about."""
    pay = bank.action

    def propose(invoice: Invoice, task: Task) -> list[Any]:
        return [pay.propose(Payment(to=invoice.to, euros=euros), "due today") for euros in amounts]

    clerk = Agent(
        role="clerk",
        gives=Invoice,
        function=lambda task: Invoice(to=task.goal, euros=sum(amounts)),
        actions=(pay,),
        propose=propose,
    )
    return Team(agents=[clerk], policy=Policy({"pay": "ask"}), ledger=ledger)


def config_of(thread: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread}}


@dataclass(frozen=True)
class Person:
    """Decides about payments as told, and says truthfully whether an interrupted one happened."""

    bank: Bank
    ledger: Ledger
    verdict: Verdict
    at_desk: bool
    """Decides in the ledger and resumes with nothing; otherwise answers with `Command(resume=…)`."""

    def decide(self, approval: Approval) -> Any:
        """Decide, or say what to give to the graph so that it does."""
        verdict, args = self._decision(approval)
        if not self.at_desk:
            decision = {"type": verdict, "approval_id": approval.id}
            edit = {"edited_action": {"name": approval.action, "args": args}} if verdict == "edit" else {}
            return Command(resume={"decisions": [{**decision, **edit}]})
        if verdict == "reject":
            self.ledger.approvals.reject(approval.id, by="ann", reason="no")
        else:
            self.ledger.approvals.approve(approval.id, by="ann", args=args)
        return None

    def _decision(self, approval: Approval) -> tuple[Verdict, dict[str, Any]]:
        if approval.action == SETTLE_OUTCOME:
            happened = self.bank.has(approval.run_id, approval.shown["effect"])
            return "edit", {**approval.shown, "happened": "yes" if happened else "no"}
        return self.verdict, {**approval.shown, "euros": EDITED_EUROS} if self.verdict == "edit" else approval.shown


def drive(graph: Any, thread: str, person: Person | None) -> list[str]:
    """Bring the run to its end from wherever it stands, or to its first question where there is nobody to ask.

    Returns what the person was asked.
    """
    config, asked = config_of(thread), list[str]()
    for _ in range(12):
        snapshot = graph.get_state(config)
        if snapshot.created_at is None:
            given: Any = {"goal": thread}
        elif not snapshot.tasks or (snapshot.interrupts and person is None):
            return asked
        elif person is not None and snapshot.interrupts and (pending := person.ledger.approvals.pending(thread)):
            asked.append(pending[0].action)
            given = person.decide(pending[0])
        else:
            given = None
        graph.invoke(given, config, durability="sync")
    raise AssertionError(f"the run does not end: {graph.get_state(config)}")
