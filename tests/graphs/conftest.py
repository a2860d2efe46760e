"""A small office: a clerk that proposes payments, and a bank that remembers what it was told to pay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Ledger, Policy, Task, Team


class Payment(BaseModel):
    to: str
    euros: int


class Invoice(Artifact):
    euros: int


@dataclass
class Office:
    """A team over one saver and one ledger, and what its bank was told."""

    ledger: Ledger
    saver: InMemorySaver = field(default_factory=InMemorySaver)
    paid: list[tuple[str, int, str]] = field(default_factory=list)
    before_paying: Callable[[], None] = lambda: None
    after_paying: Callable[[], None] = lambda: None
    amounts: tuple[int, ...] = (5,)
    policy: Policy = field(default_factory=lambda: Policy({"pay": "ask"}))
    action: Action[Any] = field(init=False)
    config: RunnableConfig = field(default_factory=lambda: RunnableConfig(configurable={"thread_id": "r-1"}))

    def __post_init__(self) -> None:
        self.action = Action(name="pay", description="Pays.", arguments=Payment, call=self._pay)

    def _pay(self, payment: Payment, key: str) -> Mapping[str, Any]:
        self.before_paying()
        self.paid.append((payment.to, payment.euros, key))
        self.after_paying()
        return {"receipt": len(self.paid)}

    def change(self, **action: Any) -> None:
        self.action = replace(self.action, **action)

    @property
    def team(self) -> Team:
        pay = self.action

        def propose(invoice: Invoice, task: Task) -> list[Any]:
            return [pay.propose(Payment(to="ann", euros=euros), "due today") for euros in self.amounts]

        clerk = Agent(
            role="clerk", gives=Invoice, function=lambda task: Invoice(euros=5), actions=(pay,), propose=propose
        )
        return Team(agents=[clerk], policy=self.policy, ledger=self.ledger)

    def run(self, given: Any) -> dict[str, Any]:
        result: dict[str, Any] = self.team.compile(checkpointer=self.saver).invoke(given, self.config)
        return result

    def start(self) -> dict[str, Any]:
        return self.run({"goal": "pay ann"})

    def answer(self, answer: Any) -> dict[str, Any]:
        return self.run(Command(resume=answer))

    def question(self, result: dict[str, Any]) -> dict[str, Any]:
        (interrupt,) = result["__interrupt__"]
        value: dict[str, Any] = interrupt.value
        return value


@pytest.fixture
def office(tmp_path: Path) -> Office:
    return Office(Ledger(tmp_path / "signoff.db"))
