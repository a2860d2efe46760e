"""The desk's page over a ledger of its own, with runs of an office that posts letters, and people who are signed in."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import unescape
from typing import Any

from langgraph.checkpoint.base import empty_checkpoint
from sqlalchemy import insert
from starlette.testclient import TestClient

from signoff import Ledger, Run
from signoff.checkpoints import configured_saver
from signoff.checkpoints.ledger import Approval, Person
from signoff.checkpoints.ledger.schema import approvals, audit, jobs, proposals, runs
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
        for fields in forms_in(self.get(path).text):
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
        self.context.background.wait(run.id, 600)
        return run.status


def forms_in(html: str) -> Iterator[dict[str, str]]:
    """What each form of a page sends if nobody types anything."""
    for form in re.findall(r"<form.*?</form>", html, re.DOTALL):
        fields = {}
        for tag in re.findall(r"<input[^>]*>", form):
            named = re.search(r'name="([^"]*)"', tag)
            value = re.search(r'value="([^"]*)"', tag)
            if named and 'type="checkbox"' not in tag:
                fields[unescape(named[1])] = unescape(value[1]) if value else ""
        for name, text in re.findall(r'<textarea[^>]*name="([^"]*)"[^>]*>\n?(.*?)</textarea>', form, re.DOTALL):
            fields[name] = unescape(text)
        for name, options in re.findall(r'<select[^>]*name="([^"]*)"[^>]*>(.*?)</select>', form, re.DOTALL):
            chosen = re.search(r'value="([^"]*)" selected', options) or re.search(r'value="([^"]*)"', options)
            fields[name] = unescape(chosen[1]) if chosen else ""
        yield fields


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


def fill(
    ledger: Ledger, first: int, last: int, statuses: Sequence[str] = ("waiting",), *, of_jobs: bool = False
) -> None:
    """So many runs that stand in these ways in turn, each with an approval that waits and one that was decided.

    `of_jobs`: each other one is the work of a job.
    """
    rows: dict[Any, list[dict[str, object]]] = {runs: [], proposals: [], approvals: [], jobs: []}
    for place in range(first, last):
        at = f"2026-01-01T{place // 3600:02}:{place // 60 % 60:02}:{place % 60:02}.000000Z"
        run = {"id": f"r-{place}", "team": "post", "goal": f"goal {place}", "options": "{}"}
        if of_jobs and place % 2:
            run["id"] = f"j-{place:016}"
            job = {"run_id": run["id"], "id": f"job {place}", "tenant": "default", "input_sha256": "", "priority": 5}
            job |= {"status": "waiting", "turn": 1, "submitted_at": at, "queued_at": at, "started_at": at}
            rows[jobs].append({**job, **{name: run[name] for name in ("team", "goal", "options")}})
        run["status"] = statuses[place % len(statuses)]
        rows[runs].append({**run, "driver": "graph", "created_at": at, "updated_at": at, "requested_by": "joe"})
        for kind in "wd":
            name, is_over = f"{place}{kind}", kind == "d"
            asked = {"action": "post_letter", "args": "{}", "args_sha256": "0", "reason": "", "risk": "external"}
            made = {"id": f"p-{name}", "run_id": run["id"], "proposed_by": "clerk", "created_at": at}
            rows[proposals].append({**made, **asked})
            decided = {"decided_by": "joe" if is_over else "", "decided_at": at if is_over else ""}
            row = {"id": f"a-{name}", "proposal_id": f"p-{name}", "run_id": run["id"], "shown": "{}", "args": "{}"}
            row |= {"shown_sha256": "0", "requested_at": at, "expires_at": "", **decided}
            rows[approvals].append({**row, "status": "approved" if is_over else "pending"})
    with ledger.write() as connection:
        for table, values in rows.items():
            if not values:
                continue
            connection.execute(insert(table), values)


def walk(ledger: Ledger, run: str, steps: int) -> None:
    """A run of so many steps, each with a checkpoint and an entry of the log."""
    at = "2026-01-01T00:00:00.000000Z"
    with ledger.write() as connection:
        row = {"id": run, "team": "post", "goal": "long", "options": "{}", "status": "done", "driver": "local"}
        connection.execute(insert(runs).values(**row, created_at=at, updated_at=at))
        begin = len(ledger.audit.entries())
        entry = {"at": at, "run_id": run, "event": "status", "body": "{}", "hash": "0"}
        connection.execute(insert(audit), [{**entry, "seq": begin + 1 + step} for step in range(steps)])
    config: Any = {"configurable": {"thread_id": run, "checkpoint_ns": ""}}
    with configured_saver(load_settings()) as saver:
        for step in range(steps):
            checkpoint, version = empty_checkpoint(), f"{step + 1:08}"
            checkpoint["channel_values"] = {"plan": [], "turns": step}
            checkpoint["channel_versions"] = {"plan": "00000001", "turns": version}
            config = saver.put(config, checkpoint, {"source": "loop", "step": step}, {"turns": version})
