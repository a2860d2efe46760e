"""A small office: a clerk that proposes payments, and a bank that remembers what it was told to pay."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
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
    policies: dict[str, Policy] = field(default_factory=dict)
    dry_run: bool = False
    worked: list[tuple[str, ...]] = field(default_factory=list)
    """What the clerk was told, each time it worked."""
    learn: Callable[[tuple[str, ...]], tuple[int, ...] | None] = lambda notes: None
    """The amounts that the clerk proposes after it was told something; None: the same."""
    action: Action[Any] = field(init=False)
    config: RunnableConfig = field(default_factory=lambda: RunnableConfig(configurable={"thread_id": "r-1"}))

    def __post_init__(self) -> None:
        self.action = Action(name="pay", description="Pays.", arguments=Payment, call=self._pay)

    def _pay(self, payment: Payment, key: str) -> Mapping[str, Any]:
        self.before_paying()
        self.paid.append((payment.to, payment.euros, key))
        self.after_paying()
        return {"receipt": len(self.paid)}

    @staticmethod
    def drop_the_line() -> None:
        raise ConnectionError("the line dropped")

    def change(self, **action: Any) -> None:
        self.action = replace(self.action, **action)

    @property
    def team(self) -> Team:
        pay = self.action

        def propose(invoice: Invoice, task: Task) -> list[Any]:
            amounts = (self.learn(task.notes) if task.notes else None) or self.amounts
            return [pay.propose(Payment(to="ann", euros=euros), "due today") for euros in amounts]

        def work(task: Task) -> Invoice:
            self.worked.append(task.notes)
            return Invoice(euros=5)

        clerk = Agent(role="clerk", gives=Invoice, function=work, actions=(pay,), propose=propose)
        return Team(
            agents=[clerk], policy=self.policy, policies=self.policies, ledger=self.ledger, dry_run=self.dry_run
        )

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
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests answer at once, and know what they answer."""
    monkeypatch.setenv("SIGNOFF_CONFIRM_SECONDS", "0")


@pytest.fixture
def office(ledger: Ledger, at_once: None) -> Office:
    return Office(ledger)


@pytest.fixture
def in_doubt(office: Office) -> Office:
    """A payment that nobody knows whether it was made: it was not."""
    office.before_paying = office.drop_the_line
    office.start()
    office.answer({"decisions": [{"type": "approve"}]})
    office.before_paying = lambda: None
    assert (office.paid, office.ledger.approvals.pending("r-1")[0].action) == ([], "settle_outcome")
    return office
