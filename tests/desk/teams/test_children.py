"""Runs with child runs at the command line: which belongs to which, and what a child asks is decided as all else."""

from pathlib import Path
from typing import Any

import pytest

TEAM = """
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Policy, Task, Team


class Mail(BaseModel):
    to: str


class Letters(Artifact):
    to: tuple[str, ...]


class Report(Artifact):
    text: str


def send(mail: Mail, key: str) -> dict[str, str]:
    with open("sent", "a") as box:
        box.write(mail.to + " ")
    return {"to": mail.to}


def write(task: Task) -> Letters:
    task.say("writes")
    return Letters(to=tuple(task.goal.split()))


mail = Action(name="send_mail", description="Sends a mail.", arguments=Mail, call=send)
mailer = Agent(
    role="mailer", gives=Letters, function=write, actions=(mail,),
    propose=lambda letters, task: [mail.propose(Mail(to=name)) for name in letters.to],
)
mails = Team(name="mails", agents=[mailer], policy=Policy({"send_mail": "ask"}))
reporter = Agent(role="reporter", needs=(Letters,), gives=Report, function=lambda task: Report(text="sent"))
team = Team(name="post", agents=[mails.as_agent(gives=Letters, role="office"), reporter])
"""


@pytest.fixture
def started(home: Path, signoff: Any) -> tuple[str, str, list[str]]:
    """The run, its child, and what that asks."""
    (home / "post_of_parts.py").write_text(TEAM)
    said = signoff("run", "post_of_parts:team", "ann bob cem")
    assert said.code == 3
    assert "office: mailer: writes" in said.err
    child, run = signoff("runs", "--json").json
    return run["id"], child["id"], [approval["id"] for approval in signoff("approvals", "--json").json]


def test_it_is_told_which_run_belongs_to_which(started: tuple[str, str, list[str]], signoff: Any) -> None:
    run, child, (first, *_) = started
    listed = signoff("runs").out.splitlines()
    assert [line.split()[:4] for line in listed[1:3]] == [[child, "mails,", "child", "of"], [run]]
    assert f"run {child}, the work of office in run {run}" in signoff("approvals").out.replace("\n", " ")
    assert f"Run {child} of the team mails, the work of office in run {run}" in signoff("show", first).out
    shown = signoff("show", child).out
    assert f"It is the work of office in run {run}, and goes on with that." in shown
    assert "mailer  completed" in shown
    around = " ".join(signoff("show", run).out.split())
    assert f"Run {child} is the work of office in run {run}: waiting: send_mail waits for approval {first}" in around
    assert f"approve {first}" in around
    assert signoff("show", run, "--json").json["children"] == [child]
    said = signoff("resume", child)
    assert (said.code, f"signoff resume {run}" in said.err) == (1, True)


def test_what_a_child_asks_is_decided_as_anything_and_the_run_around_it_goes_on(
    started: tuple[str, str, list[str]], home: Path, signoff: Any
) -> None:
    run, _, (first, second, third) = started
    assert signoff("approve", first, "--yes").code == 3
    assert signoff("edit", second, "--set", "to=bert").code == 3
    ended = signoff("approve", third, "--yes")
    assert (ended.code, f"Run {run} is done" in ended.err) == (0, True)
    assert (home / "sent").read_text().split() == ["ann", "bert", "cem"]
    assert [one["standing"] for one in signoff("runs", "--json").json] == ["done", "done"]
    assert signoff("audit", "verify").code == 0


def test_it_is_rejected_with_a_reason_and_the_agent_of_the_child_hears_it(
    started: tuple[str, str, list[str]], home: Path, signoff: Any
) -> None:
    run, _, (first, *_) = started
    assert signoff("reject", first, "--why", "not her").code == 3
    assert "not her" in signoff("show", started[1]).out
    assert signoff("respond", signoff("approvals", "--json").json[0]["id"], "later").code == 3
    assert not (home / "sent").exists()
    assert signoff("show", run, "--json").json["status"] == "waiting"
