"""Runs with child runs: a team that stands as an agent, as the handle of the run, and a recording, show it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import update

from signoff import Action, Agent, Artifact, Ask, Policy, Proposal, Run, Task, Team
from signoff.checkpoints import configured_ledger, working
from signoff.checkpoints.ledger import Ledger, Question
from signoff.checkpoints.ledger.schema import runs as table
from signoff.errors import AlreadyDecided, ChildRun, RunBusy
from signoff.fleet import Event, record, replay, standings
from signoff.settings import load_settings
from signoff.tools import ask_person


class Mail(BaseModel):
    to: str
    text: str = "Dear all"


class Letters(Artifact):
    to: tuple[str, ...]


class Report(Artifact):
    text: str


class Post:
    """A team that writes letters, which stands as the agent of one that reports of it, and what it sent."""

    def __init__(self, *, then: str = "", drops: bool = False, rule: Any = "ask") -> None:
        self.sent: list[str] = []
        self.drops = drops
        self.ledger: Ledger = configured_ledger(load_settings())
        send = Action(name="send_mail", description="Sends.", arguments=Mail, call=self._send)
        asks = ask_person("Is it urgent?", name="ask_urgent")

        def propose(letters: Letters, task: Task) -> list[Proposal]:
            if task.goal == "ask" and not task.outcomes:
                return [asks.propose({})]
            return [send.propose(Mail(to=name)) for name in letters.to]

        mailer = Agent(
            role="mailer",
            gives=Letters,
            function=lambda task: Letters(to=tuple(task.goal.split())),
            actions=(send, asks),
            propose=propose,
        )
        mails = Team(name="mails", agents=[mailer], policy=Policy({"send_mail": rule, "ask_urgent": "allow"}))
        report = Agent(role="reporter", needs=(Letters,), gives=Report, function=lambda task: Report(text="sent"))
        # Its own action of the same name is not asked about.
        own = Action(
            name="send_mail", description="Else.", arguments=Mail, call=lambda mail, key: {}, fixed=frozenset({"to"})
        )
        boss = Agent(role="boss", needs=(Report,), gives=Closed, function=lambda task: Closed(), actions=(own,),
                     propose=lambda closed, task: [own.propose(Mail(to=then))] if then else [])  # fmt: skip
        self.team = Team(
            name="post",
            agents=[mails.as_agent(gives=Letters), report, boss],
            policy=Policy({"send_mail": "ask"}),
            ledger=self.ledger,
        )

    def _send(self, mail: Mail, key: str) -> dict[str, Any]:
        if self.drops:
            self.drops = False
            raise ConnectionError("the line dropped")
        self.sent.append(mail.to)
        return {"to": mail.to}


class Closed(Artifact):
    text: str = "closed"


@pytest.fixture
def post(home: Path) -> Post:
    del home
    return Post()


def test_what_a_child_asks_is_what_the_run_asks(post: Post) -> None:
    run = Run.start(post.team, "ann")
    (child,) = run.children
    assert (run.status, run.asked.run_id, run.asked.shown["to"]) == ("waiting", child.id, "ann")
    assert str(run.standing) == "waiting"
    run.approve(args={"to": "ann", "text": "Dear Ann"})
    assert (run.status, run.artifact(Report).text, post.sent) == ("done", "sent", ["ann"])
    assert [str(one) for one in standings(post.ledger, run.children)] == ["done"]


def test_several_are_decided_one_by_one_and_another_process_goes_on(
    home: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    del home
    monkeypatch.setenv("SIGNOFF_DATABASE", database)  # of the checkpoints, too
    post = Post(rule=Ask(batch=False))
    run = Run.start(post.team, "ann bob")
    first, second = run.approvals
    run.approve(approval=second.id, drive=False)
    again = Run.open(run.id, team=post.team).resume()
    assert (again.status, [one.id for one in again.approvals], post.sent) == ("waiting", [first.id], ["bob"])
    again.approve()
    assert (again.status, post.sent) == ("done", ["bob", "ann"])
    post.ledger.close()


def test_resumed_without_a_decision_it_waits_as_before(post: Post) -> None:
    run = Run.start(post.team, "ann")
    entries = len(post.ledger.audit.entries(run.id))
    assert run.resume().status == "waiting"
    told = [entry.event for entry in post.ledger.audit.entries(run.id)[entries:]]
    assert told == ["taken", "let go"]  # nothing was done again


def test_a_question_to_a_person_is_answered_through_the_run(post: Post) -> None:
    run = Run.start(post.team, "ask")
    assert (run.asked.is_question, run.asked.action) == (True, "ask_urgent")
    run.respond("yes")
    run.approve()
    assert (run.status, post.sent) == ("done", ["ask"])


def test_each_question_is_about_the_action_of_the_team_that_asks(home: Path) -> None:
    del home
    post = Post(then="bob")
    run = Run.start(post.team, "ann")
    assert "Sends." in run._repr_markdown_()
    run.approve()
    assert (run.asked.path, run.action_of(run.asked).description) == ((), "Else.")
    run.approve()
    assert (run.status, post.sent) == ("done", ["ann"])


def test_a_child_is_not_opened_by_itself_and_says_of_what_it_is_one(post: Post) -> None:
    run = Run.start(post.team, "ann")
    (child,) = run.children
    with pytest.raises(
        ChildRun, match=rf"is the work of mails in run {run.id}, and goes on with that: `signoff resume"
    ):
        Run.open(child.id, team=post.team)
    with pytest.raises(ChildRun):
        run._driver.drive(child.id, post.team)


def test_what_its_agents_say_is_heard_as_what_the_agent_says(post: Post) -> None:
    heard: list[Event] = []
    Run.start(post.team, "ann", watch=heard.append)
    assert [(event.agent, event.text.partition(":")[0]) for event in heard if event.kind == "says"] == [
        ("mails", "mailer")
    ]
    assert {step["agent"] for event in heard for step in event.plan} == {"mails", "reporter", "boss"}


def test_a_run_that_was_cut_off_in_a_call_of_a_child_says_so(home: Path) -> None:
    del home
    post = Post(drops=True)
    run = Run.start(post.team, "ann").approve()
    assert run.asked.action == "settle_outcome"
    (effect,) = post.ledger.effects.of_run(run.children[0].id)
    post.ledger.runs.set_status(run.id, "running")
    post.ledger.runs.set_status(run.children[0].id, "running")
    around, child = standings(post.ledger, [run.record, *run.children])
    assert (str(around), str(child)) == ("cut off while send_mail was being called",) * 2
    assert effect.status == "unknown"
    with working() as owner:
        post.ledger.runs.claim(run.id, owner, seconds=60)
        assert [str(one) for one in standings(post.ledger, [run.record, *run.children])] == ["running", "running"]


def test_an_outcome_cannot_be_taken_back_once_the_child_has_ended(home: Path) -> None:
    del home
    post = Post(drops=True, then="bob")
    run = Run.start(post.team, "ann").approve()
    asked = run.asked
    run.approve()
    assert run.asked.path == ()
    with pytest.raises(AlreadyDecided, match=r"its run, the work of mails in run .*, has ended"):
        run.revoke(asked.id)
    assert run.approve().status == "done"


def test_a_plan_is_seen_first_and_a_dry_run_sends_nothing(post: Post) -> None:
    run = Run.start(post.team, "ann", ask_plan=True, dry_run=True)
    assert [step["agent"] for step in run.asked.shown["steps"]] == ["mails", "reporter", "boss"]
    run.approve()
    assert (run.asked.action, run.asked.dry_run) == ("send_mail", True)
    run.approve()
    assert (run.status, post.sent) == ("done", [])


def test_a_recording_of_it_is_played_with_what_was_decided_in_its_children(post: Post, tmp_path: Path) -> None:
    run = Run.start(post.team, "ann bob", drive=False)
    with record(run, tmp_path / "run.jsonl"):
        run.resume()
        run.approve(approval=run.approvals[0].id)
        run.approve(args={"to": "bob", "text": "Dear Bob"})
    assert (run.status, post.sent) == ("done", ["ann", "bob"])
    folder = tmp_path / "empty"
    folder.mkdir()
    now, then = replay(tmp_path / "run.jsonl", folder, team=post.team)
    assert now == then
    assert [(one["args"]["to"], one["status"]) for one in now.proposals] == [("ann", "approved"), ("bob", "approved")]
    assert (now.status, post.sent) == ("done", ["ann", "bob"])


def test_whoever_was_replaced_writes_nothing_of_a_child_either(post: Post) -> None:
    run = Run.start(post.team, "ann")
    (child,) = run.children
    runs = post.ledger.runs
    runs.claim(run.id, "here:1:1:1", seconds=60)
    with post.ledger.write() as connection:
        connection.execute(update(table).where(table.c.id == run.id).values(owner="another:1:1:1"))
    for write in (
        lambda: runs.set_status(child.id, "running"),
        lambda: post.ledger.approvals.ask(
            Question("p-1", child.id, "send_mail", {}, "", "external", "mailer"), expires_in=None
        ),
    ):
        with pytest.raises(RunBusy):
            write()


def test_it_is_driven_and_decided_in_an_event_loop(post: Post) -> None:
    async def work() -> Run:
        run = await Run.astart(post.team, "ann")
        assert run.status == "waiting"
        return await run.aapprove()

    assert (asyncio.run(work()).status, post.sent) == ("done", ["ann"])
