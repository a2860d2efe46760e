"""A2A 1.0: a run is a task. One that waits is INPUT_REQUIRED, with links to where people decide; no message does."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from datetime import datetime
from typing import Any, Final

from a2a.helpers import proto_helpers as make
from a2a.server.context import ServerCallContext
from a2a.server.request_handlers.request_handler import RequestHandler
from a2a.server.routes import (
    DefaultServerCallContextBuilder,
    create_agent_card_routes,
    create_jsonrpc_routes,
)
from a2a.types import a2a_pb2 as types
from a2a.utils import errors
from starlette.requests import Request
from starlette.routing import BaseRoute

from signoff.checkpoints.ledger import RUN_CLIENT, Person, RunRecord
from signoff.desk.errors import SignInNeeded
from signoff.desk.following import Told
from signoff.desk.offers import GoalInput, Offer
from signoff.desk.protocols.access import still_known
from signoff.desk.replies import Standing, refusal_of, text_of
from signoff.desk.service import Service
from signoff.error_base import SignoffError
from signoff.graphs.errors import BadInput
from signoff.installation import VERSION

_MOST_TASKS: Final = 100
_WORKING = types.TASK_STATE_WORKING
_STATES: Final[Mapping[str, types.TaskState]] = {
    "running": types.TASK_STATE_WORKING,
    "waiting": types.TASK_STATE_INPUT_REQUIRED,
    "done": types.TASK_STATE_COMPLETED,
    "stopped": types.TASK_STATE_REJECTED,
    "failed": types.TASK_STATE_FAILED,
}
_OVER: Final = (
    types.TASK_STATE_COMPLETED,
    types.TASK_STATE_REJECTED,
    types.TASK_STATE_FAILED,
    types.TASK_STATE_CANCELED,
)
_LIKE: Final[Mapping[str, type[errors.A2AError]]] = {
    "unknown": errors.TaskNotFoundError,
    "bad_input": errors.InvalidParamsError,
    "bad_answer": errors.InvalidParamsError,
    "busy": errors.UnsupportedOperationError,
    "failed": errors.InternalError,
}
"""By the code of a refusal; any other is an invalid request."""
_DECIDES_NOTHING: Final = "A message decides nothing, whatever it says: people decide, signed in as themselves."

Part = types.Task | types.TaskStatusUpdateEvent | types.TaskArtifactUpdateEvent


def card_of(offer: Offer, url: str) -> types.AgentCard:
    """What other agents are told of a team before they ask it for anything."""
    bearer = types.SecurityScheme(
        http_auth_security_scheme=types.HTTPAuthSecurityScheme(
            scheme="bearer", description="A token of somebody who may ask: signoff people --token NAME"
        )
    )
    required = types.SecurityRequirement(schemes={"token": types.StringList()})
    modes = ["text/plain", "application/json"]
    skill = types.AgentSkill(
        id=offer.slug, name=offer.name, description=offer.about, tags=["supervised", "approval"], input_modes=modes
    )
    return types.AgentCard(
        name=offer.name,
        description=offer.about,
        version=VERSION,
        supported_interfaces=[types.AgentInterface(url=url, protocol_binding="JSONRPC", protocol_version="1.0")],
        capabilities=types.AgentCapabilities(streaming=True),
        security_schemes={"token": bearer},
        security_requirements=[required],
        default_input_modes=modes,
        default_output_modes=modes,
        skills=[skill],
    )


def routes_of(service: Service, offer: Offer, address: str) -> list[BaseRoute]:
    """The card of one team, which everybody may read, and where tasks are sent."""
    path = f"/teams/{offer.slug}/a2a"
    card = create_agent_card_routes(card_of(offer, f"{address}{path}"), card_url=f"{path}/.well-known/agent-card.json")
    return [*card, *create_jsonrpc_routes(TaskHandler(service, offer), path, context_builder=_Context())]


class _Context(DefaultServerCallContextBuilder):
    """A call knows whose it is."""

    def build(self, request: Request) -> ServerCallContext:
        context = super().build(request)
        context.state.update(person=request.state.person, again=request.state.again)
        return context


@contextmanager
def _refusing() -> Iterator[None]:
    """What is refused is an error of A2A, with the code that it has in every protocol."""
    try:
        yield
    except SignoffError as error:
        refusal = refusal_of(error)
        kind = _LIKE.get(refusal.code, errors.InvalidRequestError)
        raise kind(refusal.text, data={"code": refusal.code}) from error


class TaskHandler(RequestHandler):
    """The tasks of one team. What the SDK keeps in a store of its own is asked of the ledger here."""

    def __init__(self, service: Service, offer: Offer) -> None:
        self._service, self._offer = service, offer

    async def on_get_task(self, params: types.GetTaskRequest, context: ServerCallContext) -> types.Task | None:
        with _refusing():
            person = _caller(context)
            record = await self._service.find(params.id, person, self._offer)
            return await self._task(record, person)

    async def on_list_tasks(
        self, params: types.ListTasksRequest, context: ServerCallContext
    ) -> types.ListTasksResponse:
        if params.page_size < 0 or params.page_token:
            raise errors.InvalidParamsError(
                "There is one page, of 100 tasks at most: no page_token, no negative page_size."
            )
        with _refusing():
            person = _caller(context)
            if params.context_id:
                records = list(reversed(await self._service.thread(self._offer, params.context_id, person)))
            else:
                records = await self._service.newest(self._offer, person, _MOST_TASKS)
            tasks = [await self._task(record, person) for record in records]
            wanted = [task for task in tasks if params.status in (types.TASK_STATE_UNSPECIFIED, task.status.state)]
            size = min(params.page_size or _MOST_TASKS, _MOST_TASKS)
            return types.ListTasksResponse(tasks=wanted[:size], page_size=size, total_size=len(wanted))

    async def on_cancel_task(self, params: types.CancelTaskRequest, context: ServerCallContext) -> types.Task | None:
        with _refusing():
            person = _caller(context)
            record = await self._service.find(params.id, person, self._offer)
            if (task := await self._task(record, person)).status.state in _OVER:
                raise errors.TaskNotCancelableError(
                    f"Task {record.id} is over: {task.status.message or record.status}."
                )
            await self._service.cancel(record.id, person, self._offer)
            return await self._task(await self._service.find(record.id, person, self._offer), person)

    async def on_message_send(self, params: types.SendMessageRequest, context: ServerCallContext) -> types.Task:
        with _refusing():
            person = _caller(context)
            record = await self._begun(params, person)
            if not params.configuration.return_immediately:
                async with aclosing(self._heard(record, context, through=False)) as events:
                    async for _ in events:
                        continue
            return await self._task(await self._service.find(record.id, person, self._offer), person)

    async def on_message_send_stream(
        self, params: types.SendMessageRequest, context: ServerCallContext
    ) -> AsyncGenerator[Part, None]:
        with _refusing():
            person = _caller(context)
            record = await self._begun(params, person)
            yield make.new_task(record.id, _context_id(record), types.TASK_STATE_SUBMITTED)
            async for part in self._parts(record, context, through=False):
                yield part

    async def on_subscribe_to_task(
        self, params: types.SubscribeToTaskRequest, context: ServerCallContext
    ) -> AsyncGenerator[Part, None]:
        with _refusing():
            person = _caller(context)
            record = await self._service.find(params.id, person, self._offer)
            task = await self._task(record, person)
            if task.status.state in _OVER:
                raise errors.UnsupportedOperationError(f"Task {record.id} is over: get it.", data={"code": "ended"})
            yield task
            async for part in self._parts(record, context, through=True):
                yield part

    async def on_create_task_push_notification_config(self, params: Any, context: Any) -> Any:
        """What is pushed is told by webhooks of the settings, which no client names."""
        raise errors.PushNotificationNotSupportedError(f"{type(params).__name__}: not here, {_caller(context).name}.")

    on_get_task_push_notification_config = on_create_task_push_notification_config
    on_list_task_push_notification_configs = on_create_task_push_notification_config
    on_delete_task_push_notification_config = on_create_task_push_notification_config

    async def on_get_extended_agent_card(self, params: Any, context: Any) -> types.AgentCard:
        """There is one card, which everybody may read."""
        raise errors.ExtendedAgentCardNotConfiguredError(f"{type(params).__name__}: none for {_caller(context).name}.")

    async def _begun(self, params: types.SendMessageRequest, person: Person) -> RunRecord:
        """The run that a message begins, or began; a message to a task is refused, as it decides nothing."""
        message = params.message
        if params.configuration.HasField("task_push_notification_config"):
            raise errors.PushNotificationNotSupportedError("Nothing is pushed to clients: subscribe to the task.")
        if message.task_id:
            record = await self._service.find(message.task_id, person, self._offer)
            task = await self._task(record, person)
            where = "" if task.status.state in _OVER else " ".join(make.get_text_parts(task.status.message.parts))
            said = f"{_DECIDES_NOTHING} {where}" if where else f"Task {record.id} is over. Begin another one."
            raise errors.UnsupportedOperationError(said.strip(), data={"code": "bad_answer" if where else "ended"})
        if not message.parts:
            raise BadInput(self._offer.name, "message", "has no parts")
        data = [one for one in make.get_data_parts(message.parts) if isinstance(one, dict)]
        given = data[0] if data else self._offer.read(make.get_message_text(message))
        if isinstance(given, dict):
            given = {name: _whole(value) for name, value in given.items()}
            if self._offer.takes is GoalInput and not data:
                given = make.get_message_text(message)
        return await self._service.start(self._offer, given, person, thread=message.context_id, said=message.message_id)

    async def _parts(
        self, record: RunRecord, context: ServerCallContext, *, through: bool
    ) -> AsyncGenerator[Part, None]:
        """What happens, until the task waits or is over."""
        async with aclosing(self._heard(record, context, through=through)) as events:
            async for told in events:
                async for part in self._told(record, _caller(context), told):
                    yield part

    async def _heard(
        self, record: RunRecord, context: ServerCallContext, *, through: bool
    ) -> AsyncGenerator[Told, None]:
        """The same as it is told, to somebody who is known meanwhile: else SignInNeeded."""
        person = _caller(context)
        async with aclosing(self._service.follow(record.id, person, through=through, offer=self._offer)) as events:
            async for told in events:
                if told is not None:
                    yield told
                    continue
                person, known = await still_known(person, context.state["again"])
                if not known:
                    raise SignInNeeded

    async def _told(self, record: RunRecord, person: Person, told: Told) -> AsyncGenerator[Part, None]:
        event, ids = told.event, _ids(record)
        if event.kind == "stands":
            now = await self._task(await self._service.find(record.id, person, self._offer), person)
            for artifact in now.artifacts:
                yield types.TaskArtifactUpdateEvent(**ids, artifact=artifact, last_chunk=True)
            yield types.TaskStatusUpdateEvent(**ids, status=now.status)
        elif event.text:
            said = make.new_text_message(f"{event.agent}: {event.text}", **ids)
            yield types.TaskStatusUpdateEvent(**ids, status=types.TaskStatus(state=_WORKING, message=said))

    async def _task(self, record: RunRecord, person: Person) -> types.Task:
        standing = await self._service.standing(record.id, person, self._offer)
        state, artifacts = _STATES[standing.status], []
        if standing.status == "stopped" and standing.note.startswith("cancelled by "):
            state = types.TASK_STATE_CANCELED
        if standing.status == "waiting" and not standing.waits_for:
            state = _WORKING  # it was decided, and goes on
        if standing.status == "done":
            finished = await self._service.result(record.id, person, self._offer)
            made = {"outcomes": finished.outcomes, **finished.artifacts}
            artifacts = [make.new_data_artifact(name, {name: value}, artifact_id=name) for name, value in made.items()]
            artifacts = [make.new_text_artifact("result", text_of(finished), artifact_id="result"), *artifacts]
        message = _message(record, standing)
        status = types.TaskStatus(state=state, message=message, timestamp=datetime.fromisoformat(record.updated_at))
        return types.Task(id=record.id, context_id=_context_id(record), status=status, artifacts=artifacts)


def _caller(context: ServerCallContext) -> Person:
    person: Person = context.state["person"]
    if context.tenant and context.tenant not in person.tenants:
        raise errors.TaskNotFoundError(f"{person.name} is not of the tenant {context.tenant!r:.60}.")
    return person


def _context_id(record: RunRecord) -> str:
    kept = record.options.get(RUN_CLIENT)
    return str(kept.get("thread") or record.id) if isinstance(kept, dict) else record.id


def _ids(record: RunRecord) -> Any:
    return {"task_id": record.id, "context_id": _context_id(record)}


def _message(record: RunRecord, standing: Standing) -> types.Message:
    """How a task stands, in words; and what it asks, with where people decide."""
    ids = _ids(record)
    if not standing.waits_for:
        return make.new_text_message(standing.note or standing.status, **ids)
    lines = [
        f"A person decides {one.action} ({one.approval}): {one.people_decide_at or one.people_decide_with}."
        for one in standing.waits_for
    ]
    asked = [one.model_dump() for one in standing.waits_for]
    parts = [make.new_text_part(" ".join(lines)), make.new_data_part({"questions": asked})]
    return make.new_message(parts, **ids)


def _whole(value: Any) -> Any:
    """A number as it was sent: the wire has only floating ones."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
