"""A ready-made team that lives here: a clerk that pays ann, and whatever happens before the money is gone."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Policy, Task, Team
from signoff.checkpoints import configured_ledger
from signoff.settings import Settings, load_settings


class Payment(BaseModel):
    to: str


class Bill(Artifact):
    pass


PAID: list[str] = []
BEFORE: list[Callable[[], Any]] = []
"""What is called before each payment."""


def pay(payment: Payment, key: str) -> Mapping[str, Any]:
    for call in BEFORE:
        call()
    PAID.append(payment.to)
    return {"paid": payment.to}


def propose(bill: Bill, task: Task) -> list[Any]:
    return [PAY.propose(Payment(to="ann"), "due")]


PAY = Action(name="pay", description="Pays.", arguments=Payment, call=pay)


def team() -> Team:
    clerk = Agent(role="clerk", gives=Bill, function=lambda task: Bill(), actions=(PAY,), propose=propose)
    return Team(agents=[clerk], policy=Policy({"pay": "ask"}), name="clinic", ledger=configured_ledger(load_settings()))


def rebuild(options: Mapping[str, Any], settings: Settings) -> Team:
    return team()
