"""AG-UI 1.0: a run that waits ends with its questions as interrupts, and goes on with the answers to all of them.

An interrupt's id names the question and the version of it that was shown: an answer to anything else is a RUN_ERROR.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Final, Literal

from ag_ui import core
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from signoff.checkpoints import read_once
from signoff.checkpoints.errors import ChangedSince, UnknownApproval
from signoff.checkpoints.ledger import Approval, RunRecord
from signoff.concurrency import undisturbed
from signoff.desk.errors import NotThere, RunUnderWay, SignInNeeded
from signoff.desk.following import Told
from signoff.desk.protocols.plain import SSE, Call
from signoff.desk.replies import refusal_of, text_of
from signoff.desk.service import ENDED, Service
from signoff.error_base import SignoffError
from signoff.fleet import Event
from signoff.graphs.errors import BadAnswer

_SEEN: Final = 16
"""Digits of the digest of the arguments in an interrupt's id."""
_FAILED: Final = "failed"


def routes_of(service: Service) -> list[Route]:
    """The one address of AG-UI for each team."""

    async def run_agent(request: Request) -> Response:
        body = await request.body()
        lines = _lines(Call(service, request), body)
        return StreamingResponse(lines, 200, SSE, "text/event-stream")

    return [Route("/teams/{team}/ag-ui", run_agent, methods=["POST"])]


async def _lines(call: Call, body: bytes) -> AsyncIterator[str]:
    try:
        read_once(body.decode())  # the models would take the last of two that are called the same
        given = core.RunAgentInput.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        yield _refused(f"{'.'.join(map(str, first['loc']))}: {first['msg']}")
        return
    except (ValueError, RecursionError) as error:
        yield _refused(f"The body is no JSON: {error!s:.100}")
        return
    yield _line(core.RunStartedEvent(thread_id=given.thread_id, run_id=given.run_id))
    try:
        session = Session(call, given)
        async with aclosing(session.events()) as events:
            async for id_, event in events:
                if event is not None:
                    yield _line(event, id_)
                elif await call.is_still_known():
                    yield ": alive\n\n"
                else:
                    raise SignInNeeded
    except SignoffError as error:
        refusal = refusal_of(error)
        yield _line(core.RunErrorEvent(message=refusal.text, code=refusal.code))


def _refused(why: str) -> str:
    return _line(core.RunErrorEvent(message=f"{why}. Nothing was decided.", code="bad_input"))


def _line(event: core.BaseEvent, id_: str = "") -> str:
    named = f"id: {id_}\n" if id_ else ""
    return f"{named}data: {event.model_dump_json(by_alias=True, exclude_none=True)}\n\n"


class Session:
    """One request: what the client says, and the run of its thread that it is about."""

    def __init__(self, call: Call, given: core.RunAgentInput) -> None:
        self._call, self._given, self._service = call, given, call.service
        self._offer, self._person, self._step = call.offer, call.person, ""

    async def events(self) -> AsyncGenerator[tuple[str, core.BaseEvent | None], None]:
        """What happens from now on, each with its id; None: nothing for a while."""
        wanted = self._given.forwarded_props
        wanted = wanted.get("signoff") if isinstance(wanted, dict) else None
        runs = await self._service.thread(self._offer, self._given.thread_id, self._person)
        if wanted == "cancel":
            record = await self._cancelled(runs)
        elif self._given.resume:
            record = await self._answered(runs, self._given.resume)
        else:
            record = await self._begun(runs)
        after = self._call.request.headers.get("last-event-id", "")
        following = self._service.follow(record.id, self._person, after=after, offer=self._offer)
        async with aclosing(following) as told:
            async for one in told:
                if one is None:
                    yield "", None
                    continue
                async for event in self._told(record, one):
                    yield one.id, event

    async def _begun(self, runs: Sequence[RunRecord]) -> RunRecord:
        """The run that the last message of the user begins, or began: whoever sends it again comes back to it."""
        asked = [one for one in self._given.messages if one.role == "user"]
        if not asked:
            if not runs:
                raise NotThere("conversation")
            return runs[-1]
        text = _text(asked[-1].content)
        thread = self._given.thread_id
        return await self._service.start(
            self._offer, self._offer.read(text), self._person, thread=thread, said=asked[-1].id
        )

    async def _cancelled(self, runs: Sequence[RunRecord]) -> RunRecord:
        if not runs:
            raise NotThere("conversation")
        await self._service.cancel(runs[-1].id, self._person, self._offer)
        return runs[-1]

    async def _answered(self, runs: Sequence[RunRecord], entries: Sequence[core.ResumeEntry]) -> RunRecord:
        """The run, once every question that it asks is decided; nothing is if one answer is to something else."""
        record = next((one for one in reversed(runs) if one.status not in ENDED), runs[-1] if runs else None)
        found = [await undisturbed(self._meant, record, one.interrupt_id) for one in entries]
        if record is None:  # no entry, or it would have been refused
            raise NotThere("conversation")
        if len({one.id for one in found}) < len(found):
            raise BadAnswer("A question is answered twice.")
        pending = await undisturbed(self._service.ledger.approvals.pending, record.id)
        if missing := {one.id for one in pending} - {one.id for one in found}:
            raise BadAnswer(f"Every open question is answered at once, and {min(missing)} is not.")
        answers = [
            (approval.id, _payload(entry, approval), entry.interrupt_id.partition(".")[2])
            for approval, entry in zip(found, entries, strict=True)
        ]
        await self._service.answer_all(answers, self._person, offer=self._offer, run=record.id)
        return record

    def _meant(self, record: RunRecord | None, interrupt_id: str) -> Approval:
        """The open question that an id names, in just this version."""
        id_, _, seen = interrupt_id.partition(".")
        approval = self._service.ledger.inbox.find(id_)
        if record is None or approval is None or approval.root != record.id:
            raise UnknownApproval(id_)
        if approval.status != "pending":
            raise approval.already_decided()
        if len(seen) != _SEEN or not approval.shown_sha256.startswith(seen):
            raise ChangedSince(approval.id, approval.shown_sha256)
        return approval

    async def _told(self, record: RunRecord, told: Told) -> AsyncIterator[core.BaseEvent]:
        event = told.event
        match event.kind:
            case "turn":
                for one in self._steps(event.agent):
                    yield one
            case "says":
                said = {"agent": event.agent, "text": event.text, "done": event.done, "total": event.total}
                yield core.CustomEvent(name="signoff.says", value=said)
            case "plan":
                yield core.StateSnapshotEvent(snapshot=_state(record, event))
            case _:
                for one in self._steps(""):
                    yield one
                async for one in self._stands(record, event):
                    yield one

    def _steps(self, agent: str) -> list[core.BaseEvent]:
        ended: list[core.BaseEvent] = [core.StepFinishedEvent(step_name=self._step)] if self._step else []
        self._step = agent
        return ended + ([core.StepStartedEvent(step_name=agent)] if agent else [])

    async def _stands(self, record: RunRecord, event: Event) -> AsyncIterator[core.BaseEvent]:
        ids = {"thread_id": self._given.thread_id, "run_id": self._given.run_id}
        if event.status == "waiting" and event.approvals:
            asked = await self._service.asked(record.id, self._person, self._offer)
            outcome = core.RunFinishedInterruptOutcome(interrupts=[_interrupt(one) for one in asked])
            yield core.RunFinishedEvent(**ids, outcome=outcome)
        elif event.status in ENDED:
            finished = await self._service.result(record.id, self._person, self._offer)
            shown = {**_state(record, event), "artifacts": finished.artifacts, "outcomes": finished.outcomes}
            yield core.StateSnapshotEvent(snapshot=shown)
            if text := text_of(finished):
                message = f"{record.id}-said"
                yield core.TextMessageStartEvent(message_id=message, role="assistant")
                yield core.TextMessageContentEvent(message_id=message, delta=text)
                yield core.TextMessageEndEvent(message_id=message)
            is_cancelled = event.status == "stopped" and event.text.startswith("cancelled by ")
            kind = core.RunFinishedCancelledOutcome if is_cancelled else core.RunFinishedSuccessOutcome
            yield core.RunFinishedEvent(**ids, outcome=kind(), result={"run": record.id, "status": event.status})
        elif event.status == "failed":
            yield core.RunErrorEvent(message=event.text or "The run failed.", code=_FAILED)
        else:
            raise RunUnderWay(record.id, str(event.status))


def _interrupt(asked: dict[str, Any]) -> core.Interrupt:
    """A question as clients show it."""
    is_question = asked["risk"] == "question"
    reason: Literal["input_required", "tool_call"] = "input_required" if is_question else "tool_call"
    shown = asked.get("action_requests", [{}])[0]
    schema = asked["schema"]
    if not is_question:
        parts = {"approved": {"type": "boolean"}, "editedArgs": schema, "reason": {"type": "string"}}
        schema = {"type": "object", "properties": parts, "required": ["approved"]}
    return core.Interrupt(
        id=f"{asked['approval']}.{asked['args_sha256'][:_SEEN]}",
        reason=reason,
        message=shown.get("description") or asked["reason"],
        response_schema=schema,
        expires_at=asked["expires_at"] or None,
        metadata={name: value for name, value in asked.items() if name not in ("schema", "expires_at")},
    )


def _payload(entry: core.ResumeEntry, approval: Approval) -> Any:
    """An answer as every desk reads it; what was given up is refused, and nothing is guessed."""
    if entry.status == "cancelled":
        return {"type": "reject", "message": "given up by the client"}
    given = entry.payload
    if not isinstance(given, dict) or "approved" not in given or approval.is_question:
        return given
    if strangers := set(given) - {"approved", "editedArgs", "reason"}:
        raise BadAnswer(f"The answer has {min(strangers)!r}, which means nothing here.")
    approved, args = given["approved"], given.get("editedArgs")
    if approved is False and args is None:
        return {"type": "reject", "message": str(given.get("reason") or "")}
    if approved is not True:
        raise BadAnswer("'approved' is neither true nor false, or refuses what it edits.")
    return {"type": "approve"} if args is None else {"type": "edit", "args": {"name": approval.action, "args": args}}


def _state(record: RunRecord, event: Event) -> dict[str, Any]:
    state: dict[str, Any] = {"run": record.id, "status": event.status or "running"}
    if event.plan:
        state["plan"] = [dict(step) for step in event.plan]
    return {**state, "usage": dict(event.usage)} if event.usage is not None else state


def _text(content: Any) -> str:
    """What a message says in words."""
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(str(part.text) for part in parts if getattr(part, "type", "") == "text")
