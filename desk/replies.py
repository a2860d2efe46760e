"""What those who are served are told: how a run stands, what it asks, what it made, and why something is refused.

The same whatever it is said in, so that no protocol knows another outcome than the page does.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, Field

from signoff.checkpoints.errors import (
    AlreadyDecided,
    ChangedSince,
    NotAllowed,
    NotAnswered,
    RunBusy,
    StoreError,
    UnknownApproval,
    UnknownRun,
)
from signoff.checkpoints.ledger import Approval
from signoff.desk.errors import NotThere, PageError, RunUnderWay, SignInNeeded, UnknownKey
from signoff.error_base import RunError, SettingsError, SignoffError, TeamError
from signoff.fleet import Run, Standing as InWords
from signoff.fleet.errors import RunElsewhere
from signoff.graphs.approval import question_payload
from signoff.graphs.errors import BadAnswer, BadInput
from signoff.tools import Action
from signoff.wording import one_line


@dataclass(frozen=True)
class Refusal:
    """Why something does not count."""

    code: str
    status: int
    """That of HTTP."""
    text: str


_REFUSALS: Final[Sequence[tuple[type[Exception] | tuple[type[Exception], ...], str, int]]] = (
    ((UnknownRun, UnknownApproval, NotThere), "unknown", 404),
    ((SignInNeeded, UnknownKey), "not_signed_in", 401),
    (NotAllowed, "not_allowed", 403),
    (AlreadyDecided, "already_decided", 409),
    (ChangedSince, "changed", 409),
    ((RunUnderWay, RunBusy, RunElsewhere), "busy", 409),
    ((BadAnswer, NotAnswered), "bad_answer", 422),
    (BadInput, "bad_input", 422),
    (RunError, "refused", 422),
    ((TeamError, SettingsError), "unusable", 422),
    (StoreError, "unavailable", 503),
)


def refusal_of(error: SignoffError) -> Refusal:
    """What one that was refused is told, in whatever protocol."""
    if isinstance(error, AlreadyDecided) and error.status == "expired":
        return Refusal("expired", 409, str(error))
    if isinstance(error, PageError) and not isinstance(error, NotThere | SignInNeeded | UnknownKey | RunUnderWay):
        return Refusal("refused", error.status, str(error))
    code, status = next(
        ((code, status) for kind, code, status in _REFUSALS if isinstance(error, kind)), ("failed", 500)
    )
    return Refusal(code, status, str(error))


class Question(BaseModel):
    """What a run waits for."""

    approval: str
    action: str
    risk: str
    reason: str
    people_decide_with: str = Field(description="The command by which a person decides")
    people_decide_at: str = Field("", description="The page where a person decides, if one is served")
    expires_at: str = ""


class Standing(BaseModel):
    """How a run stands."""

    run: str
    status: str = Field(description="running, waiting (for a person), done, stopped or failed")
    note: str = ""
    plan: list[str] = Field(default_factory=list, description="What was done and what is to do")
    waits_for: list[Question] = Field(default_factory=list)


class Finished(BaseModel):
    """What a run has made and done; empty while it is not done."""

    run: str
    status: str
    note: str
    artifacts: dict[str, Any] = Field(default_factory=dict)
    outcomes: list[dict[str, Any]] = Field(
        default_factory=list, description="What was done outside, and by whose leave"
    )


def standing_of(run: Run, stands: InWords, said: str, page: str) -> Standing:
    """How a run stands; `said` is why it could not be driven further, `page` where people decide."""
    record = stands.record
    return Standing(
        run=record.id,
        status=record.status,
        note=one_line(" ".join(stands.news) or record.note or said),
        plan=[one_line(f"{one['status']}: {one['agent']} {one['gives']} {one['note']}") for one in run.plan],
        waits_for=[question_of(one, page) for one in run.approvals],
    )


def question_of(approval: Approval, page: str) -> Question:
    """What is asked, for those who cannot decide it: without the arguments, which a person may still refuse."""
    return Question(
        approval=approval.id,
        action=approval.action,
        risk=approval.risk,
        reason=one_line(approval.reason),
        people_decide_with="; ".join(f"{way.command(approval.id)} ({way.means})" for way in approval.ways)
        or f"signoff approve {approval.id}, or signoff reject {approval.id}",
        people_decide_at=f"{page}/approvals/{approval.id}" if page else "",
        expires_at=approval.expires_at,
    )


def asked_of(approval: Approval, action: Action[Any] | None, page: str) -> dict[str, Any]:
    """What is asked, for people who decide it: all of it, as the gate asks, and where it can be decided."""
    shown = {} if action is None else question_payload(approval, action, "")
    schema = {} if action is None else (action.form or action.arguments).model_json_schema()
    told = {**question_of(approval, page).model_dump(), "args_sha256": approval.shown_sha256}
    return {**shown, **told, "schema": schema}


def finished_of(run: Run) -> Finished:
    """What a run has made and done. Nothing is given before it is done: somebody may still refuse it."""
    record = run.record
    if record.status != "done":
        note = one_line(record.note) or "It is not done, and nothing is given before it is."
        return Finished(run=record.id, status=record.status, note=note)
    return Finished(
        run=record.id,
        status=record.status,
        note=one_line(record.note),
        artifacts={name: artifact.model_dump(mode="json") for name, artifact in run.artifacts.items()},
        outcomes=[dict(outcome) for outcome in run.values.get("outcomes", [])],
    )


def text_of(finished: Finished) -> str:
    """What came of a run, in words: the report that it wrote, or how it ended."""
    draft = finished.artifacts.get("Draft", {}).get("markdown")
    return draft if isinstance(draft, str) else finished.note
