"""A team is deployed anew, and back again: no job is stranded; what does not fit is parked and says what to do."""

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from signoff.checkpoints.jobs import Job, Which
from signoff.checkpoints.ledger import Ledger
from signoff.fleet.queue import Fleet, Worker, overview_of, read_jobs
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

TEAM = """
from typing import Any
from pydantic import BaseModel
from signoff import Action, Agent, Draft, Policy, Task, Team

class Order(BaseModel):
    item: str

class Bill(BaseModel):
    {field}: str

def call(bill: Bill, key: str) -> dict[str, Any]:
    with open("sent.txt", "a") as file:
        file.write("{version}:" + bill.{field} + "\\n")
    return {{}}

SEND = Action(name="{action}", description="Sends a bill.", arguments=Bill, call=call)

def work(task: Task) -> Draft:
    return Draft(title=task.input.item, markdown="# {version}", method="extracted")

def propose(_draft: Draft, task: Task) -> list[Any]:
    return [SEND.propose(Bill({field}=task.input.item), "It is due.")]

def migrate(state: dict[str, Any], version: str) -> dict[str, Any]:
    if "{action}" == "send_bill":
        raise ValueError("nothing goes back to " + repr(version))
    bills = [one | {{"action": "{action}", "args": {{"{field}": one["args"]["to"]}}}} for one in state["proposals"]]
    return {{"proposals": bills}}

def team() -> Team:
    clerk = Agent(role="clerk", gives=Draft, function=work, actions=(SEND,), propose=propose)
    return Team(agents=[clerk], policy=Policy({{"{action}": "ask"}}), name="office", input=Order, {more})
"""


def deploy(home: Path, version: str, *, action: str = "send_bill", field: str = "to", more: str = "") -> None:
    file = home / "office.py"
    file.write_text(TEAM.format(version=version, action=action, field=field, more=more))
    os.utime(file, (int(version[1:]), int(version[1:])))  # so that nothing compiled before is taken for it
    sys.modules.pop("office", None)


@pytest.fixture
def fleet(home: Path) -> Iterator[Fleet]:
    (home / ".signoff").mkdir()
    deploy(home, "v1")
    opened = Fleet.open(load_settings())
    yield opened
    opened.ledger.close()
    sys.modules.pop("office", None)


def submit(fleet: Fleet, *ids: str) -> None:
    lines = [json.dumps({"id": each, "item": each}) for each in ids]
    fleet.submit(read_jobs(load_team("office.py:team", fleet.settings).team, lines, fleet.settings).jobs)


def schedule(fleet: Fleet, name: str) -> None:
    found = read_jobs(load_team("office.py:team", fleet.settings).team, ['{"item": "clock"}'], fleet.settings)
    fleet.ledger.schedules.add(name, "0 8 * * 1", found.jobs[0], by="joe")


def work(fleet: Fleet) -> dict[str, str]:
    """Have a worker that was started anew do what there is to do; how each job stands."""
    Worker(fleet.settings, 4, until_idle=True).run()
    return {job.id.partition("@")[0]: job.status for job in fleet.ledger.jobs.list(Which())}


def job(ledger: Ledger, name: str) -> Job:
    return next(each for each in ledger.jobs.list(Which()) if each.id.partition("@")[0] == name)


def approve(fleet: Fleet, *names: str) -> None:
    runs = {job(fleet.ledger, name).run_id for name in names}
    for one in fleet.ledger.approvals.pending():
        if one.run_id in runs:
            fleet.ledger.approvals.approve(one.id, by="ann")


def sent(home: Path) -> list[str]:
    file = home / "sent.txt"
    return sorted(file.read_text().split()) if file.exists() else []


def test_what_waits_is_queued_or_comes_by_the_clock_goes_on_with_a_team_that_fits_and_with_the_old_one_again(
    fleet: Fleet, home: Path
) -> None:
    submit(fleet, "waits", "later")
    schedule(fleet, "clock")
    assert work(fleet) == {"waits": "waiting", "later": "waiting"}
    deploy(home, "v2", more="budget='$3'")
    submit(fleet, "queued")
    fleet.ledger.schedules.run_now("clock", by="joe")
    approve(fleet, "waits")
    assert work(fleet) == {"waits": "done", "later": "waiting", "queued": "waiting", "clock": "waiting"}
    deploy(home, "v1")
    approve(fleet, "later", "queued", "clock")
    assert set(work(fleet).values()) == {"done"}
    assert sent(home) == ["v1:clock", "v1:later", "v1:queued", "v2:waits"]


def test_a_run_that_does_not_fit_its_new_team_is_parked_at_once_with_what_to_do_and_goes_on_with_the_old_one(
    fleet: Fleet, home: Path
) -> None:
    submit(fleet, "waits")
    work(fleet)
    submit(fleet, "queued")
    deploy(home, "v2", action="send_invoice", field="receiver")
    approve(fleet, "waits")
    assert work(fleet) == {"waits": "parked", "queued": "waiting"}
    parked = job(fleet.ledger, "waits")
    assert parked.attempts == 1
    assert "it proposes 'send_bill', which is no action of the team any more" in parked.error
    assert "Bring back the team that it began with, give this one Team(migrate=…), or cancel the run." in parked.error
    assert any("Parked: waits: " in line for line in overview_of(fleet.ledger, Which()).lines())
    assert fleet.ledger.runs.get(parked.run_id).status == "waiting"
    deploy(home, "v1")
    approve(fleet, "queued")
    assert work(fleet) == {"waits": "done", "queued": "parked"}
    assert "'send_invoice'" in job(fleet.ledger, "queued").error
    deploy(home, "v2", action="send_invoice", field="receiver")
    assert work(fleet) == {"waits": "done", "queued": "done"}
    assert sent(home) == ["v1:waits", "v2:queued"]
    assert fleet.ledger.audit.verify().problems == ()


def test_a_team_that_declares_how_migrates_what_waits_and_a_person_is_asked_of_what_it_is_now(
    fleet: Fleet, home: Path
) -> None:
    submit(fleet, "waits")
    work(fleet)
    deploy(home, "v2", action="send_invoice", field="receiver", more="version='2', migrate=migrate")
    approve(fleet, "waits")
    assert work(fleet) == {"waits": "waiting"}
    assert [(one.action, one.shown) for one in fleet.ledger.approvals.pending()] == [
        ("send_invoice", {"receiver": "waits"})
    ]
    approve(fleet, "waits")
    deploy(home, "v1", more="version='1', migrate=migrate")
    assert work(fleet) == {"waits": "parked"}
    assert "is at version '2' of team 'office', and cannot go on with version '1'" in job(fleet.ledger, "waits").error
    assert "nothing goes back to '2'" in job(fleet.ledger, "waits").error
    deploy(home, "v2", action="send_invoice", field="receiver", more="version='2', migrate=migrate")
    assert work(fleet) == {"waits": "done"}
    assert sent(home) == ["v2:waits"]


def test_a_declared_version_is_no_earlier_one_whatever_fits(fleet: Fleet, home: Path) -> None:
    deploy(home, "v1", more="version='1'")
    submit(fleet, "waits")
    work(fleet)
    deploy(home, "v2", more="version='2'")
    approve(fleet, "waits")
    assert work(fleet) == {"waits": "parked"}
    assert "the team has no migration" in job(fleet.ledger, "waits").error
