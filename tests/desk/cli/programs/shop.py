"""A team of somebody's own, in a module of their own; tests write it anew with something changed."""

from typing import Any

from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Ask, Policy, Proposal, Supervisor, Task, Team, Verdict, tool
from signoff.errors import ActionFailed, SourcesError, WorkFailed
from signoff.testing import ScriptedModel, calls, fails, gives, says

FOR_CHANGES = (Ask, ScriptedModel, SourcesError, calls, fails, gives, says)
"""What is used once something is changed."""


class Payment(BaseModel):
    to: str
    euros: int


class Order(Artifact):
    euros: int


class Invoice(Artifact):
    euros: int


class Stock(Artifact):
    pass


class Check(Verdict):
    pass


WORLD: dict[str, Any] = {"paid": [], "fails": "", "breaks": 0, "clerk fails": 0, "rejects": 0}


def call(payment: Payment, key: str) -> dict[str, Any]:
    if WORLD["breaks"]:
        WORLD["breaks"] -= 1
        raise OSError("the line went dead")
    if WORLD["fails"]:
        raise ActionFailed("pay", WORLD["fails"])
    WORLD["paid"].append(payment.euros)
    return {"receipt": len(WORLD["paid"])}


PAY = Action(name="pay", description="Pays.", arguments=Payment, call=call)


@tool(risk="external")
def tip(euros: int) -> dict[str, int]:
    """Give a tip."""
    WORLD["paid"].append(euros)
    return {"tip": euros}


def order(task: Task) -> Order:
    return Order(euros=5)


def invoice(task: Task) -> Invoice:
    if WORLD["clerk fails"]:
        WORLD["clerk fails"] -= 1
        raise WorkFailed("clerk", "the printer is out of ink")
    return Invoice(euros=5)


def check(task: Task) -> Check:
    if WORLD["rejects"]:
        WORLD["rejects"] -= 1
        return Check(about="Invoice", accepted=False, notes=("too high",))
    return Check(about="Invoice", accepted=True)


def propose(verdict: Check, task: Task) -> list[Proposal]:
    euros = 3 if task.notes else task.need(Invoice).euros
    return [PAY.propose(Payment(to="ann", euros=euros))] if verdict.accepted else []


MORE: list[Agent[Any]] = []


def team() -> Team:
    agents: list[Agent[Any]] = [
        Agent(role="buyer", gives=Order, function=order),
        Agent(role="clerk", needs=(Order,), gives=Invoice, function=invoice),
        Agent(role="auditor", needs=(Order, Invoice), gives=Check, function=check, actions=(PAY,), propose=propose),
        *MORE,
    ]
    return Team(name="shop", agents=agents, policy=Policy({"pay": "ask"}), supervisor=Supervisor())
