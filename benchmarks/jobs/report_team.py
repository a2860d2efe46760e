"""The scripted report as a team of signoff, and the smallest team there is: what workers do in `fleet.py`.

A file of its own, which workers import from the project in which they work: whatever is sent is a line of `sent.txt`
beside it. An effect that may have been sent is looked up there.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field

from jobs.scripted_job import DUTIES, search
from signoff import Action, Agent, Draft, Policy, Task, Team, tool
from signoff.agents.artifacts import Artifact, Verdict
from signoff.agents.models import load_models
from signoff.settings import load_settings

SENT = Path(__file__).with_name("sent.txt")


class Finding(BaseModel):
    source: str
    text: str


class Findings(Artifact):
    findings: list[Finding]

    def brief(self) -> str:
        return "\n".join(f"{finding.text} [{finding.source}]" for finding in self.findings)


class Theme(BaseModel):
    title: str
    summary: str


class Sorting(Artifact):
    answer: list[int]
    themes: list[Theme]

    def brief(self) -> str:
        return "\n".join(f"{theme.title}: {theme.summary}" for theme in self.themes)


class Report(Artifact):
    title: str
    markdown: str

    def brief(self) -> str:
        return f"{self.title}\n\n{self.markdown}"


class Judgement(BaseModel):
    accepted: bool
    notes: list[str] = Field(default_factory=list)


class Opinion(Verdict):
    about: str = "Report"

    def brief(self) -> str:
        return "accepted" if self.accepted else "rejected"


class Order(BaseModel):
    """What a job is given."""

    goal: str
    name: str


class Parcel(BaseModel):
    name: str


def send(parcel: Parcel, key: str) -> dict[str, Any]:
    """One line, in one write."""
    file = os.open(SENT, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(file, f"{parcel.name} {key}\n".encode())
    finally:
        os.close(file)
    return {}


def was_sent(_parcel: Parcel, key: str) -> dict[str, Any] | None:
    return {} if SENT.exists() and f" {key}\n" in SENT.read_text() else None


SEND = Action(name="send", description="Sends it.", arguments=Parcel, call=send, reconcile=was_sent)


def propose(_: Any, task: Task) -> list[Any]:
    return [SEND.propose(Parcel(name=task.input.name), "It is done.")] if isinstance(task.input, Order) else []


def report_team(*, sends: Any = None, **parts: Any) -> Team:
    """The four agents; `sends`: what policy says of the report's being sent, which it is not if that is None."""
    models = load_models(load_settings(), "openai:scripted")
    read: Callable[..., Opinion] = lambda judgement, _: Opinion(accepted=judgement.accepted)  # noqa: E731
    steps: Mapping[str, dict[str, Any]] = {
        "researcher": {"gives": Findings, "tools": (tool(risk="read")(search),)},
        "analyst": {"gives": Sorting, "needs": (Findings,)},
        "writer": {"gives": Report, "needs": (Findings, Sorting)},
        "reviewer": {"gives": Opinion, "needs": (Findings, Sorting, Report), "form": Judgement, "read": read},
    }
    if sends is not None:
        steps["writer"].update(actions=(SEND,), propose=propose)
        parts |= {"policy": Policy({"send": sends}), "input": Order}
    agents = [Agent(role=role, instructions=DUTIES[role], model=models, **step) for role, step in steps.items()]
    return Team(name="report", agents=agents, **parts)


def reports() -> Team:
    """Reports that are sent."""
    return report_team(sends="allow")


def asked() -> Team:
    """Reports that are sent once somebody says yes."""
    return report_team(sends="ask")


def parcels() -> Team:
    """The smallest team: one agent without a model, whose one proposal is sent."""
    return _clerk("allow")


def asked_parcels() -> Team:
    """The same once somebody says yes."""
    return _clerk("ask")


def _clerk(rule: Any) -> Team:
    def work(task: Task) -> Draft:
        return Draft(title="parcel", markdown=f"# {task.goal}", method="extracted")

    clerk = Agent(role="clerk", gives=Draft, function=work, actions=(SEND,), propose=propose)
    return Team(name="parcels", agents=[clerk], policy=Policy({"send": rule}), input=Order)
