"""A run is ended by somebody who does not drive it: nothing more is called for it, and nothing more is asked."""

import asyncio
import threading
from typing import Any

import pytest
from pydantic import BaseModel

from signoff import Action, Agent, Draft, Policy, Run, Task, Team
from signoff.checkpoints import configured_ledger
from signoff.errors import RunCancelled, RunEnded
from signoff.settings import load_settings

pytestmark = pytest.mark.usefixtures("home")


class Mail(BaseModel):
    to: str


class Post:
    """A team that sends a mail, once somebody or nobody has to say yes, and what it did."""

    def __init__(self, rule: Any = "ask") -> None:
        self.sent, self.begun, self.goes_on = list[str](), threading.Event(), threading.Event()
        self.goes_on.set()
        send = Action(name="send_mail", description="Sends.", arguments=Mail, call=self._send)
        clerk = Agent(
            role="clerk",
            gives=Draft,
            function=self._write,
            actions=(send,),
            propose=lambda draft, task: [send.propose(Mail(to="ann"), "so")],
        )
        self.team = Team(agents=[clerk], policy=Policy({"send_mail": rule}), name="post")

    def _write(self, task: Task) -> Draft:
        self.begun.set()
        self.goes_on.wait()
        return Draft(title="Mail", markdown="Dear Ann", method="extracted")

    def _send(self, mail: Mail, key: str) -> dict[str, Any]:
        self.sent.append(mail.to)
        return {}


def test_a_run_that_waits_is_closed_at_once_and_does_not_go_on() -> None:
    post = Post()
    run = Run.start(post.team, "Write to Ann.")
    (asked,) = run.approvals
    assert run.cancel(by="joe").status == "stopped"
    assert (run.approvals, run.record.note) == ((), "cancelled by joe")
    assert configured_ledger(load_settings()).approvals.get(asked.id).status != "pending"
    with pytest.raises(RunCancelled, match="cancelled by joe"):
        Run.open(run.id, team=post.team).resume()
    with pytest.raises(RunEnded, match="it is stopped"):
        run.cancel()
    assert post.sent == []


def test_a_run_that_is_under_way_calls_nothing_more_and_ends_where_it_is_driven() -> None:
    post = Post("allow")
    post.goes_on.clear()
    run = Run.start(post.team, "Write to Ann.", drive=False)
    driving = threading.Thread(target=lambda: Run.open(run.id, team=post.team).resume())
    driving.start()
    post.begun.wait()
    assert Run.open(run.id, team=post.team).cancel(by="joe").status == "running"
    post.goes_on.set()
    driving.join()
    assert (run.status, run.record.note, post.sent) == ("stopped", "cancelled by joe", [])
    assert configured_ledger(load_settings()).audit.verify().problems == ()


def test_an_event_loop_cancels_as_well() -> None:
    async def through() -> str:
        run = await Run.astart(Post().team, "Write to Ann.")
        return (await run.acancel(by="joe")).status

    assert asyncio.run(through()) == "stopped"
