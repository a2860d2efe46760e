"""Deciding: an answer that was understood is held against policy and written into the ledger."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signoff.checkpoints import is_same
from signoff.checkpoints.errors import NotAnswered
from signoff.checkpoints.ledger import Approval, Authority, Ledger, Person
from signoff.error_base import RunError
from signoff.graphs.approval.answers import Decision
from signoff.graphs.approval.questions import CONTROLS
from signoff.graphs.errors import BadAnswer
from signoff.graphs.policy.policy import Ruling

Rules = Callable[[str, str, Mapping[str, Any]], Ruling]
"""What policy says of an action that a role proposes with these arguments."""


@dataclass(frozen=True)
class Result:
    """What came of an answer to one question, of several that were answered at once."""

    approval: Approval
    """As it stands now."""
    problem: str = ""
    """Why the answer did not decide it; empty if it did."""


def decide(ledger: Ledger, approval: Approval, decision: Decision, rules: Rules, *, by: str | Person) -> Approval:
    """The approval after the decision, still pending if more people must agree.

    `approval` is what the person saw. BadAnswer if policy denies what they made of it; AlreadyDecided, NotAllowed and
    ChangedSince as the ledger finds.
    """
    if decision.kind == "reject":
        return ledger.approvals.reject(approval.id, by=by, reason=decision.reason)
    if decision.kind == "approve" and approval.is_question:
        raise NotAnswered(approval.id)
    if decision.kind == "respond" and approval.action in CONTROLS:
        raise BadAnswer("Words do not answer this: approve, edit or reject it.")
    if decision.kind == "respond":
        return ledger.approvals.respond(approval.id, by=by, message=decision.reason)
    return ledger.approvals.approve(
        approval.id,
        by=by,
        args=decision.args,
        authority=_authority(approval, decision.args, rules),
        sha256=approval.shown_sha256,
        reason=decision.reason,
    )


def decide_each(
    ledger: Ledger,
    asked: Sequence[Approval],
    decision: Callable[[Approval], Decision],
    rules_of: Callable[[Approval], Rules],
    *,
    by: str | Person,
) -> list[Result]:
    """What comes of deciding each of these by itself: one that cannot be decided keeps no other from it.

    What is wrong with the only one is raised.
    """
    results = list[Result]()
    for approval in asked:
        try:
            results.append(Result(decide(ledger, approval, decision(approval), rules_of(approval), by=by)))
        except RunError as error:
            if len(asked) == 1:
                raise
            results.append(Result(ledger.approvals.get(approval.id), str(error)))
    return results


def _authority(approval: Approval, args: Mapping[str, Any], rules: Rules) -> Authority:
    """Who must agree to these arguments, beyond those who must agree to what was shown."""
    if approval.action in CONTROLS or is_same(args, approval.shown):
        return Authority()
    ruling = rules(approval.proposed_by, approval.action, args)
    if ruling.kind == "deny":
        raise BadAnswer(f"Policy does not allow these arguments: {ruling.why}.")
    return ruling.authority
