"""Ctrl-C in a program or a notebook: whatever a run waits for, `resume` ends, and the run goes on later."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import warm
from pydantic import BaseModel

from signoff import Action, Agent, Draft, Policy, Run, Task, Team, tool
from signoff.checkpoints.ledger.budgets.amounts import Amount
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.testing import ScriptedModel, ScriptedServer, calls, gives, hangs

DRAFT = Draft(title="Mail", markdown="# Mail", method="extracted")


_LONGEST = 60
"""Seconds that something hangs if nobody lets it go."""


class Mail(BaseModel):
    to: str


class Desk:
    """What hangs, until it is let go; an interrupt arrives as soon as it hangs."""

    def __init__(self) -> None:
        self.hanging, self.let_go = threading.Event(), threading.Event()
        self.came_back = False
        self.sent: list[str] = []
        self.lets_go_after_interrupt = False
        threading.Thread(target=self._interrupt, daemon=True).start()

    def _interrupt(self) -> None:
        self.hanging.wait()
        os.kill(os.getpid(), signal.SIGINT)
        if self.lets_go_after_interrupt:
            self.let_go.set()

    def hangs_when(self, wait: Callable[[], object]) -> None:
        """It hangs as soon as this returns."""

        def hang() -> None:
            wait()
            self.hanging.set()

        threading.Thread(target=hang, daemon=True).start()

    def hang(self) -> None:
        self.hanging.set()
        self.let_go.wait(_LONGEST)
        self.came_back = True

    def write(self, task: Task) -> Draft:
        self.hang()
        return DRAFT

    async def write_async(self, task: Task) -> Draft:
        self.write(task)
        return DRAFT

    def send(self, mail: Mail, key: str) -> dict[str, str]:
        self.sent.append(mail.to)
        self.hang()
        return {"to": mail.to}


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.hanging.set()
    made.let_go.set()


def team_of(clerk: Agent[Any]) -> Team:
    return Team(agents=[clerk], policy=Policy({action.name: "allow" for action in clerk.actions}), name="post")


def interrupt(team: Team) -> Run:
    """A run that was interrupted while it was driven."""
    run = Run.start(team, "write to ann", drive=False)
    with pytest.raises(KeyboardInterrupt) as stopped:
        run.resume()
    assert stopped.value.__notes__ == [f"The run is kept: Run.open({run.id!r}).resume() goes on."]
    assert str(run.standing) == "cut off"
    assert run.record.owner == ""
    return run


@pytest.mark.parametrize("body", ["write", "write_async"])
def test_a_function_that_blocks_is_left_and_the_run_goes_on_later(desk: Desk, body: str) -> None:
    run = interrupt(team_of(Agent(role="clerk", gives=Draft, function=getattr(desk, body))))
    assert not desk.came_back
    desk.let_go.set()
    assert run.resume().status == "done"


def test_a_tool_that_blocks_is_left_and_the_run_goes_on_later(desk: Desk) -> None:
    @tool(risk="read")
    def look(where: str) -> str:
        """Look there."""
        desk.hang()
        return where

    model = ScriptedModel([calls("look", where="there"), calls("look", where="there"), gives(DRAFT)])
    run = interrupt(team_of(Agent(role="clerk", gives=Draft, model=model, tools=(look,))))
    assert not desk.came_back
    desk.let_go.set()
    assert run.resume().status == "done"


def test_a_model_that_never_answers_is_hung_up_on_and_what_was_reserved_is_given_back(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from signoff.agents.models import load_models
    from signoff.settings import load_settings

    with ScriptedServer([hangs(), gives(DRAFT)]) as server:
        settings = load_settings(base_url=server.url, api_key="k", prices={"gpt": {"input": 1, "output": 1}})
        model = load_models(settings, "openai:gpt")
        desk.hangs_when(server.wait_for_calls)
        run = interrupt(team_of(Agent(role="clerk", gives=Draft, model=model)))
        held = Ledger(settings.database_name).budgets.standing(f"run:{run.id}").held
        assert held == Amount()
        assert run.resume().status == "done"


def test_what_an_action_brought_is_known_when_it_returns_soon_after_the_interrupt(desk: Desk) -> None:
    desk.lets_go_after_interrupt = True
    send = Action(name="send_mail", description="Sends.", arguments=Mail, call=desk.send)
    clerk = Agent(
        role="clerk",
        gives=Draft,
        function=lambda task: DRAFT,
        actions=(send,),
        propose=lambda draft, task: [send.propose(Mail(to="ann"), "it is due")],
    )
    run = interrupt(team_of(clerk))
    assert run.resume().status == "done"
    assert desk.sent == ["ann"]
    assert [outcome["status"] for outcome in run.values["outcomes"]] == ["done"]


PROGRAM = """
import os, signal, threading
from signoff import Agent, Draft, Run, Team, tool
from signoff.testing import ScriptedModel, calls

@tool(risk="read")
def look(where: str) -> str:
    "Look there."
    threading.Timer(0, os.kill, (os.getpid(), signal.SIGINT)).start()
    threading.Event().wait()

model = ScriptedModel([calls("look", where="there")])
Run.start(Team(agents=[Agent(role="clerk", gives=Draft, model=model, tools=(look,))], name="post"), "write to ann")
"""


def test_a_tool_that_blocks_for_ever_keeps_no_program_alive() -> None:
    done = warm.run([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, text=True, timeout=120)
    assert "KeyboardInterrupt" in done.stderr
    assert "The run is kept: Run.open(" in done.stderr
