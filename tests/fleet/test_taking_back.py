"""What somebody said of a call that broke off can be taken back even after the run has ended, if that was all."""

from typing import Any

import pytest
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Policy, Run, Task, Team
from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Approval, Ledger
from signoff.errors import AlreadyDecided
from signoff.settings import load_settings


class Mail(BaseModel):
    to: str


class Letter(Artifact):
    text: str


class Notice(Artifact):
    text: str


class Office:
    """A clerk that sends a mail; the line drops in the first call, before anything was sent."""

    def __init__(self, *, follows: bool = False) -> None:
        self.sent: list[str] = []
        self.drops, self.told = True, list[str]()
        send = Action(name="send_mail", description="Sends.", arguments=Mail, call=self._send)
        clerk = Agent(
            role="clerk",
            gives=Letter,
            function=lambda task: Letter(text="Dear Ann"),
            actions=(send,),
            propose=lambda letter, task: [send.propose(Mail(to="ann"), "It is due.")],
        )
        porter = Agent(
            role="porter",
            needs=(Letter,),
            gives=Notice,
            function=self._tell,
            actions=(send,),
            propose=lambda notice, task: [send.propose(Mail(to="bob"), "He asked.")],
        )
        self.ledger: Ledger = configured_ledger(load_settings())
        agents: list[Agent[Any]] = [clerk, porter] if follows else [clerk]
        self.team = Team(agents=agents, policy=Policy({"send_mail": "ask"}), name="office", ledger=self.ledger)

    def _tell(self, task: Task) -> Notice:
        self.told.append(task.goal)
        return Notice(text="sent")

    def _send(self, mail: Mail, key: str) -> dict[str, Any]:
        if self.drops:
            self.drops = False
            raise ConnectionError("the line dropped")
        self.sent.append(mail.to)
        return {"to": mail.to}

    def in_doubt(self) -> tuple[Run, Approval]:
        """A run that asks what came of its call."""
        run = Run.start(self.team, "write to ann").approve(by="ann")
        (asked,) = run.approvals
        assert asked.action == "settle_outcome"
        return run, asked


@pytest.fixture
def office(home: Any) -> Office:
    del home
    return Office()


def answer(run: Run, said: str) -> None:
    match said:
        case "it happened":
            run.approve(by="ann")
        case "it failed":
            run.approve(by="ann", args={"happened": "no", "retry": False})
        case _:
            run.reject(by="ann")


@pytest.mark.parametrize("said", ["it happened", "it failed", "given up"])
def test_a_run_that_ended_with_a_wrong_answer_is_opened_again_and_goes_on_from_the_question(
    office: Office, said: str
) -> None:
    run, asked = office.in_doubt()
    answer(run, said)
    assert run.status in ("done", "stopped")
    assert office.ledger.approvals.revoke(asked.id, by="ann").status == "pending"
    assert (run.status, [one.id for one in run.approvals]) == ("waiting", [asked.id])
    run.resume()
    assert (run.status, office.sent) == ("waiting", [])
    run.approve(by="ann", args={"happened": "no"})
    assert (run.status, office.sent) == ("done", ["ann"])
    assert [found["status"] for found in run.values["outcomes"] if found["action"] == "send_mail"] == ["done"]
    assert office.ledger.audit.verify().problems == ()


def test_it_can_be_answered_before_the_run_is_resumed_and_by_another_process(office: Office) -> None:
    run, asked = office.in_doubt()
    run.reject(by="ann")
    assert [one.id for one in run.revoke(asked.id, by="ann").approvals] == [asked.id]
    office.ledger.approvals.approve(asked.id, by="ann", args={**asked.shown, "happened": "no"})
    again = Run.open(run.id, team=office.team).resume()
    assert (again.status, office.sent) == ("done", ["ann"])


def test_an_answer_may_be_taken_back_as_often_as_nothing_follows(office: Office) -> None:
    run, asked = office.in_doubt()
    for said in ("it happened", "given up", "it failed"):
        answer(run, said)
        office.ledger.approvals.revoke(asked.id, by="ann")
        run = Run.open(run.id, team=office.team).resume()
    run.approve(by="ann")
    assert (run.status, office.sent, office.ledger.audit.verify().problems) == ("done", [], ())


def test_once_something_was_proposed_after_it_the_answer_stays_and_it_is_said_why(home: Any) -> None:
    del home
    office = Office(follows=True)
    run, asked = office.in_doubt()
    run.approve(by="ann")
    assert [one.shown for one in run.approvals] == [{"to": "bob"}]
    with pytest.raises(AlreadyDecided, match=r"the run has gone on from it \(after it something was proposed\)"):
        office.ledger.approvals.revoke(asked.id, by="ann")
    run.approve(by="ann")
    assert (run.status, office.sent) == ("done", ["bob"])


def test_somebody_who_tries_in_vain_does_not_make_it_possible(home: Any) -> None:
    del home
    office = Office(follows=True)
    run, asked = office.in_doubt()
    run.approve(by="ann")
    for _ in range(3):
        with pytest.raises(AlreadyDecided, match="gone on from it"):
            office.ledger.approvals.revoke(asked.id, by="ann")
    assert run.resume().status == "waiting"


def test_once_it_was_called_again_the_answer_stays_and_it_is_said_why(office: Office) -> None:
    run, asked = office.in_doubt()
    run.approve(by="ann", args={"happened": "no"})
    assert (run.status, office.sent) == ("done", ["ann"])
    with pytest.raises(AlreadyDecided, match="send_mail was called again since"):
        office.ledger.approvals.revoke(asked.id, by="ann")
    assert run.resume().status == "done"
    assert office.sent == ["ann"]
