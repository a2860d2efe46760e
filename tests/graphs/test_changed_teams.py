"""A team that is changed while its run waits: policy counts as it stands when the action would be called, and what the
run holds is compared with the team as that is when it goes on."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from signoff import Action, Agent, Artifact, Ask, Draft, Policy, Run, Task, Team
from signoff.errors import TeamChanged

APPROVE = {"decisions": [{"type": "approve"}]}


@pytest.mark.parametrize(
    ("now", "why"),
    [
        (Policy({"pay": "deny"}), "rule 1 of pay"),
        (Policy(), "does not name"),
        (Policy({"pay": Ask(role="finance")}), "needs another decision now: role finance"),
        (Policy({"pay": Ask(quorum=2)}), "needs another decision now: 2 people"),
    ],
)
def test_an_approval_under_a_weaker_policy_is_not_enough(office: Any, now: Policy, why: str) -> None:
    question = office.question(office.start())
    office.ledger.approvals.approve(question["approval_id"], by="ann")
    office.policy = now
    result = office.run(None)
    assert (office.paid, result["outcomes"][0]["status"]) == ([], "denied")
    assert why in result["outcomes"][0]["detail"]


def test_an_approval_under_a_stricter_policy_is_enough(office: Any) -> None:
    office.policy = Policy({"pay": Ask(quorum=2)})
    question = office.question(office.start())
    office.ledger.approvals.approve(question["approval_id"], by="ann")
    office.ledger.approvals.approve(question["approval_id"], by="bea")
    office.policy = Policy({"pay": "ask"})
    office.run(None)
    assert len(office.paid) == 1


def test_what_was_done_stays_done_whatever_policy_says_later(office: Any) -> None:
    def cut_off() -> None:
        raise KeyboardInterrupt

    office.change(reconcile=lambda payment, key: {"receipt": "found"} if office.paid else None)
    office.after_paying = cut_off
    office.start()
    with pytest.raises(KeyboardInterrupt):
        office.answer(APPROVE)
    office.policy = Policy({"pay": "deny"})
    result = office.run(None)
    assert (len(office.paid), result["outcomes"][0]["status"]) == (1, "done")


@pytest.mark.parametrize("approved", [False, True])
def test_an_action_that_is_gone_is_denied_and_its_question_closed(office: Any, approved: bool) -> None:
    question = office.question(office.start())
    if approved:
        office.ledger.approvals.approve(question["approval_id"], by="ann")
    arguments = office.action.arguments
    office.action = Action(name="transfer", description="Pays.", arguments=arguments, call=lambda payment, key: {})
    office.policy = Policy({"transfer": "ask"})
    result = office.run(None)
    assert (office.paid, result["outcomes"][0]["status"]) == ([], "denied")
    assert "no agent of the team has this action" in result["outcomes"][0]["detail"]
    assert office.ledger.approvals.pending() == []


class Mail(BaseModel):
    to: str


class Facts(Artifact):
    number: int


class Digits(Facts):
    pass


def facts(task: Task) -> Facts:
    return Facts(number=1)


def write(task: Task) -> Draft:
    return Draft(title="Mail", markdown=f"{task.need(Facts).number}", method="extracted")


SEND = Action(name="send_mail", description="Sends.", arguments=Mail, call=lambda mail, key: {})
FINDER = Agent(role="finder", gives=Facts, function=facts)
CLERK = Agent(
    role="clerk",
    gives=Draft,
    needs=(Facts,),
    function=write,
    actions=(SEND,),
    propose=lambda draft, task: [SEND.propose(Mail(to="ann"), "so")],
)
TEAM = Team(agents=[FINDER, CLERK], policy=Policy({"send_mail": "ask"}), name="post")


def other_facts() -> Team:
    class Facts(Artifact):
        number: int
        unit: str

    finder = Agent(role="finder", gives=Facts, function=lambda task: Facts(number=1, unit="m"))
    return replace(TEAM, agents=[finder, replace(CLERK, needs=(Facts,))])


def other_arguments() -> Team:
    class Numbers(BaseModel):
        to: int

    action = Action(name="send_mail", description="Sends.", arguments=Numbers, call=lambda mail, key: {})
    return replace(TEAM, agents=[FINDER, replace(CLERK, actions=(action,))])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: replace(TEAM, agents=[FINDER, replace(CLERK, role="writer")]), "agent 'clerk' is at work in it"),
        (other_facts, r"its artifact Facts does not fit any more \(unit"),
        (other_arguments, r"what it proposes to 'send_mail' does not fit any more \(to"),
        (lambda: replace(TEAM, version="2"), "and cannot go on with version '2': the team has no migration"),
    ],
)
@pytest.mark.usefixtures("home")
def test_a_run_that_holds_what_its_team_no_longer_takes_stays_as_it_is_and_says_why(
    change: Callable[[], Team], why: str
) -> None:
    run = Run.start(TEAM, "Write to Ann.")
    with pytest.raises(TeamChanged, match=why):
        Run.open(run.id, team=change()).approve()
    assert run.record.status == "waiting"
    assert Run.open(run.id, team=TEAM).resume().status == "done"


@pytest.mark.usefixtures("home")
def test_a_run_goes_on_with_more_agents_and_other_functions() -> None:
    run = Run.start(TEAM, "Write to Ann.")
    more = Agent(role="filer", gives=Digits, function=lambda task: Digits(number=2), needs=(Draft,))
    again = Run.open(run.id, team=replace(TEAM, agents=[FINDER, replace(CLERK, instructions="Be brief."), more]))
    assert again.approve().values["outcomes"][0]["status"] == "done"


@pytest.mark.usefixtures("home")
def test_a_role_is_renamed_by_a_migration_and_its_work_is_not_done_again() -> None:
    def rename(state: dict[str, Any], version: str) -> dict[str, Any]:
        assert version == ""
        return {"proposals": [one | {"by": "writer"} for one in state["proposals"]]}

    run, worked = Run.start(TEAM, "Write to Ann."), list[str]()

    def again(task: Task) -> Draft:
        worked.append(task.goal)
        return write(task)

    team = replace(TEAM, agents=[FINDER, replace(CLERK, role="writer", function=again)], migrate=rename)
    assert Run.open(run.id, team=team).approve().status == "done"
    assert worked == []
