"""A team that hangs where it is told to, seen through at a terminal."""

import sys
import threading

from pydantic import BaseModel
from rich.console import Console

from signoff import Action, Agent, Draft, Policy, Run, Task, Team, tool
from signoff.desk.cli.run import see_through
from signoff.testing import ScriptedModel, calls

WHERE = sys.argv[1]
DRAFT = Draft(title="Mail", markdown="# Mail", method="extracted")


class Mail(BaseModel):
    to: str


def hang(name: str) -> None:
    sys.stderr.write(f"hangs in the {name}\n")
    threading.Event().wait()


@tool(risk="read")
def look(where: str) -> str:
    """Look there."""
    hang("tool")
    return where


def send(mail: Mail, key: str) -> dict[str, str]:
    hang("action")
    return {"to": mail.to}


def write(task: Task) -> Draft:
    if WHERE == "function":
        hang("function")
    return DRAFT


SEND = Action(name="send_mail", description="Sends.", arguments=Mail, call=send)
if WHERE == "tool":
    clerk = Agent(role="clerk", gives=Draft, model=ScriptedModel([calls("look", where="there")]), tools=(look,))
else:
    clerk = Agent(
        role="clerk",
        gives=Draft,
        function=write,
        actions=(SEND,),
        propose=lambda draft, task: [SEND.propose(Mail(to="ann"), "it is due")],
    )
team = Team(agents=[clerk], policy=Policy({action.name: "allow" for action in clerk.actions}), name="post")
run = Run.start(team, "write to ann", drive=False, budget="none")
sys.exit(see_through(run, Console(stderr=True), yes=False, json=False))
