"""Deciding at the desk: whoever decides, at the command line, on the page or elsewhere, decides by `record_verdict`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

from signoff.checkpoints.errors import ChangedSince, NotAllowed
from signoff.checkpoints.jobs import DEFAULT_TENANT
from signoff.checkpoints.ledger import SETTLE_OUTCOME, Approval, Ledger, Person, RunRecord
from signoff.fleet import Run
from signoff.graphs import FOLLOW_PLAN
from signoff.graphs.approval import CONTROLS, Decision, decide as decide_question, read_reply, say_reply
from signoff.graphs.errors import BadAnswer
from signoff.tools import Action

Verb = Literal["approve", "edit", "reject", "respond", "revoke"]
Made = Callable[[Action[Any]], Any]
"""What a person made of what was shown: the arguments of an edit, or the answer to a question."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What somebody decides."""

    kind: Verb
    by: str | Person
    said: str = ""
    """The reason, or the message."""
    sha256: str = ""
    """Digest, or its beginning, of the arguments that were seen; empty: nobody says so."""


@dataclass(frozen=True)
class Answer:
    """A way to answer, and what it means."""

    verb: Verb
    means: str
    changes: Mapping[str, str | bool] = field(default_factory=dict)
    """The arguments that this edit sets."""


def record_verdict(
    ledger: Ledger, approval: Approval, verdict: Verdict, opened: Callable[[], Run], made: Made
) -> Approval:
    """Write the decision into the ledger: the approval as it stands then, still pending if more people must agree.

    `opened` is its run with its team, asked for only where that has a say. Refusals are as `Run.approve` tells them.
    """
    by, decisions = verdict.by, ledger.approvals
    if isinstance(by, Person) and not is_theirs(ledger, by, record := ledger.runs.get(approval.root)):
        raise NotAllowed(
            approval.id, str(by), f"its run is of the tenant {tenant_of(ledger, record)!r}, and they are not"
        )
    is_control = approval.action in CONTROLS
    if verdict.kind == "revoke":
        if is_control and approval.action != SETTLE_OUTCOME:
            raise BadAnswer(f"{approval.action} is the team's own question, and was acted on when it was answered.")
        return decisions.revoke(approval.id, by=by, reason=verdict.said)
    if approval.status != "pending":
        raise approval.already_decided()
    if not approval.shown_sha256.startswith(verdict.sha256):
        raise ChangedSince(approval.id, approval.shown_sha256)
    match verdict.kind:
        case "reject":
            return decisions.reject(approval.id, by=by, reason=verdict.said)
        case "respond" | "edit" if approval.is_question:
            action = opened().action_of(approval)
            reply = say_reply(read_reply(made(action), action), action)
            return decide_question(ledger, approval, Decision("respond", {}, reply), _no_rules, by=by)
        case "respond":
            # The team's own questions are not answered with words.
            return decide_question(ledger, approval, Decision("respond", {}, verdict.said), _no_rules, by=by)
        case "approve":
            sha256 = verdict.sha256 or approval.shown_sha256
            return decisions.approve(approval.id, by=by, sha256=sha256, reason=verdict.said)
        case _ if is_control:
            edited = Decision("approve", made(CONTROLS[approval.action]), verdict.said)
            return decide_question(ledger, approval, edited, _no_rules, by=by)
        case _:
            run = opened()
            edited = Decision("approve", made(run.action_of(approval)), verdict.said)
            return decide_question(ledger, approval, edited, run.team_of(approval).rules, by=by)


def tenant_of(ledger: Ledger, record: RunRecord) -> str:
    """Whose a run is: it says so itself, or the job whose work it is; empty: nobody's in particular."""
    if record.tenant:
        return record.tenant
    job = ledger.jobs.get(record.root)
    return "" if job is None or job.tenant == DEFAULT_TENANT else job.tenant


def is_theirs(ledger: Ledger, person: Person, record: RunRecord) -> bool:
    """Whether somebody may see this run, and decide in it what policy lets them."""
    return person.sees_all or tenant_of(ledger, record) in person.tenants


def may_not(approval: Approval, person: Person) -> str:
    """Why this person may not approve it now; empty if they may."""
    return approval.authority.objection(
        person, requester=approval.requested_by, asked_at=approval.requested_at, approves=True
    )


def _no_rules(_role: str, action: str, _args: Mapping[str, Any]) -> NoReturn:
    """The team's own questions, and words, are not held against policy."""
    raise BadAnswer(f"{action} cannot be approved so.")


def answers_to(approval: Approval) -> list[Answer]:
    """The ways to answer what is asked, and what each means."""
    if approval.is_question:
        return [
            Answer("respond", "it is the answer; or field by field, with --set NAME=VALUE"),
            Answer("reject", "it is declined; whoever asked goes on without an answer"),
        ]
    if approval.ways:
        return [Answer(way.verb, way.means, way.changes) for way in approval.ways]
    if approval.action == FOLLOW_PLAN:
        return [
            Answer("approve", "the team works by it"),
            Answer("edit", "the team works by it, as you change it"),
            Answer("reject", "told why, whoever made it makes it anew; otherwise the run stops"),
        ]
    if approval.action in CONTROLS:
        return [
            Answer("approve", "the run goes on, as the arguments say"),
            Answer("edit", "the run goes on, as you change the arguments"),
            Answer("reject", "the run stops"),
        ]
    return [
        Answer("approve", "it is called once, with exactly these arguments"),
        Answer("edit", "it is called once, with the arguments as you change them"),
        Answer("reject", "it is not called; told why, the agent may propose otherwise"),
        Answer("respond", "it is not called now; the agent reads what you say, and works once more"),
    ]
