"""The desk's page over a ledger of its own, with runs of an office that posts letters, and people who are signed in."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from starlette.testclient import TestClient

from signoff import Ledger, Run
from signoff.checkpoints.ledger import Approval, Person
from signoff.desk.web.application import build_app
from signoff.desk.web.context import PageContext
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

HOST = "desk.test"
ORIGIN = f"http://{HOST}"
EVIL = "<b hx-get='/evil' hx-trigger='load'>dear</b><script>evil()</script><img src=x onerror=evil()>"
OFFICE = """
from pathlib import Path
from typing import Literal
from pydantic import BaseModel, Field

from signoff import Action, Agent, Artifact, Policy, Task, Team
from signoff.graphs.policy import Ask
from signoff.tools import ask_person


class Letter(BaseModel):
    to: str = Field(description="Who gets it")
    text: str = "hello"
    copies: int = 1
    stamp: Literal["blue", "red"] = "blue"


class Post(Artifact):
    text: str


def post(letter: Letter, key: str) -> dict[str, str]:
    with Path("sent.txt").open("a") as file:
        file.write(f"{letter.to}: {letter.text} ({letter.copies})\\n")
    return {"to": letter.to}


FIXED = frozenset({"stamp"})
POST = Action(name="post_letter", description="Posts a letter.", arguments=Letter, call=post, fixed=FIXED)
DOOR = ask_person("Which door?", name="which_door")


def propose(given: Post, task: Task) -> list:
    text, names = (Path("text.txt").read_text() if Path("text.txt").exists() else "hello"), task.goal.split()[1:]
    return [POST.propose(Letter(to=name, text=text), "they asked for it") for name in names]


def ask(given: Post, task: Task) -> list:
    return [DOOR.propose({"question": "Which door?"}, "it matters")]


def made(task: Task) -> Post:
    return Post(text=Path("text.txt").read_text() if Path("text.txt").exists() else "made")


clerk = Agent(role="clerk", gives=Post, function=made, actions=(POST,), propose=propose)
porter = Agent(role="porter", gives=Post, function=made, actions=(DOOR,), propose=ask)
team = Team(name="post", agents=[clerk], policy=Policy({"post_letter": "ask"}))
two = Team(name="two", agents=[clerk], policy=Policy({"post_letter": Ask(role="finance", quorum=2)}))
soon = Team(name="soon", agents=[clerk], policy=Policy({"post_letter": Ask(hours=0.0000001)}))
asks = Team(name="asks", agents=[porter], policy=Policy({}))
"""


@dataclass
class Page:
    """A browser at the page, without its scripts."""

    context: PageContext
    client: TestClient

    def get(self, path: str, **headers: str) -> Any:
        return self.client.get(path, headers=headers)

    def shows(self, path: str) -> str:
        """The text of a screen."""
        found = self.get(path)
        assert found.status_code == 200, found.text
        return text_of(found.text)

    def fields(self, path: str, verb: str) -> dict[str, str]:
        """What the form that says this sends if nobody types anything."""
        for form in re.findall(r"<form.*?</form>", self.get(path).text, re.DOTALL):
            fields = {}
            for tag in re.findall(r"<input[^>]*>", form):
                named = re.search(r'name="([^"]*)"', tag)
                value = re.search(r'value="([^"]*)"', tag)
                if named:
                    fields[unescape(named[1])] = unescape(value[1]) if value else ""
            for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
                fields[name] = unescape(text)
            for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
                chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
                fields[name] = unescape(chosen[1]) if chosen else ""
            if fields.get("verb") == verb:
                return fields
        raise AssertionError(f"no form {verb!r} at {path}")

    def post(self, path: str, **fields: str) -> Any:
        return self.client.post(path, data=fields, headers={"origin": ORIGIN})

    def decide(self, approval: str, verb: str, **fields: str) -> Any:
        path = f"/approvals/{approval}"
        return self.post(path, **{**self.fields(path, verb), **fields})

    @property
    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/").text)
        assert found
        return found[1]

    def settle(self, run: Run) -> str:
        """Wait until what the page drives has come to its end or a question."""
        self.context.background.wait(run.id, 60)
        return run.status


def text_of(html: str) -> str:
    """What a person reads of a page, in one line."""
    return " ".join(
        unescape(re.sub(r"<[^>]+>", " ", re.sub(r"<script.*?</script>", " ", html, flags=re.DOTALL))).split()
    )


@dataclass
class Office:
    """Starts runs of the office's teams, and signs people in."""

    ledger: Ledger
    context: PageContext

    def run(self, goal: str, team: str = "team") -> Run:
        settings = load_settings()
        return Run.start(load_team(f"office.py:{team}", settings).team, goal, settings=settings)

    def asked(self, goal: str, team: str = "team") -> tuple[Run, list[Approval]]:
        run = self.run(goal, team)
        return run, sorted(run.approvals, key=lambda one: str(one.shown.get("to")))

    def visit(self, name: str, *roles: str) -> Page:
        """Somebody with these roles, signed in by a token."""
        for role in roles:
            self.ledger.people.give(name, role, by="root")
        app = build_app(self.context, hosts=[HOST], origins=[ORIGIN])
        client = TestClient(app, base_url=ORIGIN, follow_redirects=False, raise_server_exceptions=False)
        token = self.ledger.people.give_key(Person(name), "token", days=1, by="root")
        assert client.post("/sign-in", data={"token": token}, headers={"origin": ORIGIN}).status_code == 303
        return Page(self.context, client)
