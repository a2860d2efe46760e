"""A team of somebody's own that declares its input, in a module of their own."""

from enum import Enum
from typing import Any, Literal

from pydantic import BaseModel, Field

from signoff import Action, Agent, Artifact, Policy, Proposal, SecretName, Task, Team


class Place(BaseModel):
    city: str


class Region(Enum):
    NORTH = "north"
    SOUTH = "south"


class LeadsInput(BaseModel):
    """Leads for a campaign."""

    goal: str = "Find {limit} leads for {campaign}"
    campaign: str = Field(description="Which campaign it is.")
    limit: int = Field(10, gt=0, description="How many at most.")
    tags: list[str] = Field([], description="Only these.")
    mode: Literal["fast", "slow"] = "fast"
    level: Literal[1, 2] = 1
    region: Region | None = None
    deep: bool = False
    place: Place | None = None
    stops: list[Place] = []
    budget: int = Field(3, description="Money.")
    key: SecretName | None = None


class Mail(BaseModel):
    to: str
    count: int


class Leads(Artifact):
    names: tuple[str, ...]


SENT: list[Any] = []


def send(mail: Mail, key: str) -> dict[str, str]:
    SENT.append(mail)
    return {"sent": mail.to}


SEND = Action(name="send", description="Sends a mail.", arguments=Mail, call=send)


def find(task: Task) -> Leads:
    given: LeadsInput = task.input
    return Leads(names=(given.campaign, *given.tags))


def propose(leads: Leads, task: Task) -> list[Proposal]:
    return [SEND.propose(Mail(to=leads.names[0], count=task.input.limit), "They were found.")]


scout = Agent(role="scout", gives=Leads, function=find, actions=(SEND,), propose=propose)
team = Team(name="leads", input=LeadsInput, agents=[scout], policy=Policy({"send": "ask"}))
