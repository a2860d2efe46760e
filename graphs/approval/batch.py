"""A batch: proposals of one kind that wait together are one question, and each is decided by itself.

An answer may speak of all of them, of some, or of one. What it does not say clearly of each leaves those pending:

    {"decisions": [d, d, …]}                          one for each, in the order in which they were shown
    {"decisions": [{"type": …, "approval_id": …}]}    of those that are named
    {"a-1…": d, "a-2…": d}                            of those that are named, `d` also as a word
    {"type": "approve", "batch_sha256": …}            the same of all that were shown
    "approve all", "reject all"                       the same
    one decision that names nothing                   of the first alone: what a client says that shows one question
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from signoff.checkpoints import check_storable, digest, readable_text
from signoff.checkpoints.ledger import Approval
from signoff.graphs.approval.answers import parse_answer, shown_value
from signoff.graphs.approval.decision import Rules
from signoff.graphs.approval.description import cautions_of, question_payload
from signoff.graphs.approval.questions import CONTROLS
from signoff.graphs.errors import BadAnswer
from signoff.tools import Action

MOST: Final = 100
"""Proposals in one question; more wait for the next."""
_ALL = re.compile(r"(approve|reject)\s+all\s*[.!]?")
_APPROVAL_ID = re.compile(r"a-[0-9a-f]{6,}")


def is_batched(approval: Approval, action: Action[Any] | None, rules: Rules) -> bool:
    """Whether it may be one question with others of its kind.

    What cannot be undone may not, unless policy says so. What carries a warning never may: it is looked at alone.
    """
    if action is None or action.form is not None or approval.action in CONTROLS or cautions_of(approval):
        return False
    allowed = rules(approval.proposed_by, approval.action, approval.shown).batch
    return action.risk != "irreversible" if allowed is None else allowed


def batch_of(approvals: Sequence[Approval], action: Action[Any] | None, rules: Rules) -> tuple[Approval, ...]:
    """The open ones of these that are one question with the first; the first alone if it is asked alone."""
    first, kind = approvals[0], (approvals[0].proposed_by, approvals[0].action)
    alike = [one for one in approvals if (one.proposed_by, one.action) == kind and one.status == "pending"]
    if len(alike) < 2 or first.status != "pending" or not is_batched(first, action, rules):
        return (first,)
    return tuple(islice((one for one in alike if is_batched(one, action, rules)), MOST))


def batch_sha256(approvals: Sequence[Approval]) -> str:
    """Digest of what is asked about: each approval with the digest of its arguments, in whatever order."""
    return digest(sorted([one.id, one.shown_sha256] for one in approvals))


def batch_payload(approvals: Sequence[Approval], action: Action[Any], problems: Sequence[str]) -> dict[str, Any]:
    """What is asked, as clients render several actions; those that show one action show the first."""
    parts = [
        question_payload(one, action, problem, among=len(approvals))
        for one, problem in zip(approvals, problems, strict=True)
    ]
    named = ("approval_id", "args_sha256", "expires_at", "risk", "flags", "authority", "agreed")
    return {
        **parts[0],
        "action_requests": [
            {**part["action_requests"][0], "approval_id": part["approval_id"], "args_sha256": part["args_sha256"]}
            for part in parts
        ],
        "review_configs": [part["review_configs"][0] for part in parts],
        "batch": [{name: part[name] for name in named} for part in parts],
        "batch_sha256": batch_sha256(approvals),
    }


@dataclass
class BatchAnswer:
    """What an answer says of each that it speaks of."""

    said: dict[str, Any] = field(default_factory=dict)
    """By approval: an answer to it alone, as `read_answer` reads one."""
    unclear: dict[str, str] = field(default_factory=dict)
    """By approval: why it is not clear what is said of it."""

    def add(self, approval: Approval, answer: Any) -> None:
        """One more thing that is said of it; two that differ say nothing."""
        if approval.id in self.unclear:
            return
        if approval.id in self.said and self.said[approval.id] != answer:
            del self.said[approval.id]
            self.unclear[approval.id] = "The answer says two things of it."
        else:
            self.said[approval.id] = answer


def read_batch(answer: Any, asked: Sequence[Approval], interrupt_id: str = "") -> BatchAnswer:
    """What an answer says of each of these, which were shown together in this order; BadAnswer if of none, and why."""
    try:
        check_storable(answer)
        return _read(answer, asked, interrupt_id)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BadAnswer(f"The answer cannot be kept: {readable_text(str(error))[:200]}.") from error


def _read(answer: Any, asked: Sequence[Approval], interrupt_id: str) -> BatchAnswer:
    ids = {one.id: one for one in asked}
    for _ in range(6):  # deeper than any client wraps
        if isinstance(answer, str):
            if found := _ALL.fullmatch(answer.strip().lower()):
                return _of_all({"type": found[1]}, asked)
            answer = parse_answer(answer)
        elif isinstance(answer, list):
            if len(answer) != 1:
                return _listed(answer, asked)
            answer = answer[0]
        elif not isinstance(answer, dict):
            raise BadAnswer(f"The answer is {shown_value(answer)}, which is no decision.")
        elif "batch_sha256" in answer:
            if answer["batch_sha256"] != batch_sha256(asked):
                raise BadAnswer("The answer is for another question, or one that was edited since (batch_sha256).")
            rest = {name: value for name, value in answer.items() if name != "batch_sha256"}
            if "type" in rest:
                return _of_all(rest, asked, named=True)
            answer = rest
        elif isinstance(listed := answer.get("decisions"), list) and len(listed) > 1:
            if {"approval_id", "args_sha256"} & answer.keys():
                raise BadAnswer("The answer names one question, and holds several decisions.")
            return _listed(listed, asked)
        elif "decisions" in answer or "type" in answer:
            found_one = _named(answer, asked) or asked[0]
            return BatchAnswer({found_one.id: answer})
        elif len(answer) == 1 and interrupt_id in answer:
            answer = answer[interrupt_id]
        else:
            return _keyed(answer, ids)
    raise BadAnswer("The answer is nested too deeply.")


def _of_all(decision: dict[str, Any], asked: Sequence[Approval], *, named: bool = False) -> BatchAnswer:
    """The same said of each of them; with `named` the answer says by itself which these are."""
    if decision.get("type") not in ("approve", "accept", "reject", "ignore", "respond"):
        raise BadAnswer(f"{shown_value(decision.get('type'))} cannot be said of all: approve or reject, or name each.")
    if {"args", "edited_action"} & decision.keys():
        raise BadAnswer("The answer is for all of them, and carries the arguments of one.")
    return BatchAnswer({one.id: {one.id: decision} if named else decision for one in asked})


def _keyed(answer: Mapping[Any, Any], ids: Mapping[str, Approval]) -> BatchAnswer:
    read = BatchAnswer({name: {name: inner} for name, inner in answer.items() if name in ids})
    if not read.said:
        strangers = [str(name) for name in answer if isinstance(name, str) and _APPROVAL_ID.fullmatch(name)]
        if strangers:
            raise BadAnswer(f"The answer is for the question {strangers[0]}, which is not asked here.")
        raise BadAnswer("The answer has no 'type' and no 'decisions'.")
    return read


def _listed(decisions: Sequence[Any], asked: Sequence[Approval]) -> BatchAnswer:
    """One for each in their order, or of those alone that are named."""
    read = BatchAnswer()
    named = [_named(decision, asked) for decision in decisions]
    fits = len(decisions) == len(asked)
    in_place = fits and all(name is None or name.id == asked[place].id for place, name in enumerate(named))
    if not in_place and not any(named):
        raise BadAnswer(f"The answer holds {len(decisions)} decisions, where {len(asked)} are asked about.")
    for place, (decision, name) in enumerate(zip(decisions, named, strict=True)):
        if name is not None:
            read.add(name, decision)
        elif in_place:
            read.add(asked[place], decision)
    return read


def _named(decision: Any, asked: Sequence[Approval]) -> Approval | None:
    """Which of them a decision says that it is about; None if it does not say. BadAnswer if it is none of them."""
    for level in _levels(decision):
        if "approval_id" in level:
            for one in asked:
                if one.id == level["approval_id"]:
                    return one
            raise BadAnswer(f"The answer is for another question (approval_id {shown_value(level['approval_id'])}).")
        if "args_sha256" in level:
            for one in asked:  # of two that are alike it makes no difference
                if one.shown_sha256 == level["args_sha256"]:
                    return one
            raise BadAnswer(f"The answer is for another question (args_sha256 {shown_value(level['args_sha256'])}).")
        if len(level) == 1:
            for one in asked:
                if one.id in level:
                    return one
    return None


def _levels(decision: Any) -> Iterator[Mapping[Any, Any]]:
    """The objects that are wrapped around one decision."""
    for _ in range(6):
        if isinstance(decision, list) and len(decision) == 1:
            decision = decision[0]
        elif isinstance(decision, Mapping):
            yield decision
            decision = decision.get("decisions")
        else:
            return
