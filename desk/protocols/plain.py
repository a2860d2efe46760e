"""Plain HTTP: runs as JSON, what happens in them as server-sent events, and answers of the people who decide."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import aclosing
from functools import wraps
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from signoff.checkpoints import read_once
from signoff.checkpoints.ledger import Person
from signoff.desk.errors import NotThere
from signoff.desk.following import Told
from signoff.desk.offers import Offer
from signoff.desk.protocols.access import still_known
from signoff.desk.replies import refusal_of
from signoff.desk.service import Service
from signoff.error_base import SignoffError
from signoff.graphs.errors import BadAnswer

SSE: Mapping[str, str] = {"cache-control": "no-store", "x-accel-buffering": "no"}
"""Headers of a stream of events, so that nothing on the way holds it back."""
Answer = Callable[["Call"], Awaitable[Response]]


class Call:
    """One request of somebody who is known, about a team that is served."""

    def __init__(self, service: Service, request: Request) -> None:
        self.service, self.request = service, request
        self.person: Person = request.state.person
        self.run = str(request.path_params.get("run", ""))

    @property
    def offer(self) -> Offer:
        """The team of the address; NotThere if none is served there."""
        offer = self.service.offer(self.request.path_params["team"])
        if offer is None:
            raise NotThere("team")
        return offer

    async def is_still_known(self) -> bool:
        """Whether the token is still somebody's, and the run still theirs: asked now and then while they listen."""
        self.person, known = await still_known(self.person, self.request.state.again)
        return known

    async def body(self) -> dict[str, Any]:
        """The JSON object that was sent; BadAnswer if it is none."""
        try:
            found = read_once((await self.request.body()).decode() or "{}")
        except ValueError as error:
            raise BadAnswer(f"The body is no JSON: {error!s:.100}.") from error
        if not isinstance(found, dict):
            raise BadAnswer("The body is no JSON object.")
        return found


def routes_of(service: Service) -> list[Route]:
    """The addresses of plain HTTP."""

    def at(path: str, answer: Answer, method: str = "GET") -> Route:
        return Route(path, _answering(service, answer), methods=[method])

    return [
        at("/teams", teams),
        at("/teams/{team}/runs", start, "POST"),
        at("/teams/{team}/runs/{run}", standing),
        at("/teams/{team}/runs/{run}/events", events),
        at("/teams/{team}/runs/{run}/result", result),
        at("/teams/{team}/runs/{run}/cancel", cancel, "POST"),
        at("/teams/{team}/runs/{run}/answers/{approval}", answer, "POST"),
    ]


def _answering(service: Service, work: Answer) -> Callable[[Request], Awaitable[Response]]:
    @wraps(work)
    async def respond(request: Request) -> Response:
        try:
            return await work(Call(service, request))
        except SignoffError as error:
            refusal = refusal_of(error)
            return JSONResponse({"error": refusal.text, "code": refusal.code}, refusal.status)

    return respond


async def teams(call: Call) -> Response:
    """The teams that are served, and what each takes."""
    told = [
        {"team": one.slug, "about": one.about, "input": one.takes.model_json_schema()} for one in call.service.offers
    ]
    return JSONResponse({"teams": told})


async def start(call: Call) -> Response:
    """Begin a run with the fields of the body; the header `Idempotency-Key` has a request sent twice begin one."""
    key = call.request.headers.get("idempotency-key", "")
    given, offer = await call.body(), call.offer
    record = await call.service.start(
        offer, given, call.person, thread=key and f"key {call.person.name} {key}", said=key
    )
    return JSONResponse((await call.service.standing(record.id, call.person, offer)).model_dump(), 201)


async def standing(call: Call) -> Response:
    """How a run stands, with all that it asks, for those who decide it."""
    found = await call.service.standing(call.run, call.person, call.offer)
    asked = await call.service.asked(call.run, call.person, call.offer)
    return JSONResponse({**found.model_dump(exclude={"waits_for"}), "questions": asked})


async def result(call: Call) -> Response:
    """What a run has made and done."""
    return JSONResponse((await call.service.result(call.run, call.person, call.offer)).model_dump())


async def cancel(call: Call) -> Response:
    """End a run."""
    return JSONResponse((await call.service.cancel(call.run, call.person, call.offer)).model_dump())


async def answer(call: Call) -> Response:
    """Decide what is asked; `args_sha256` in the body says what was seen."""
    approval = str(call.request.path_params["approval"])
    record = await call.service.find(call.run, call.person, call.offer)
    given = await call.body()
    now = await call.service.answer(approval, given, call.person, offer=call.offer, run=record.id)
    return JSONResponse({"approval": now.id, "status": now.status, "run": now.root})


async def events(call: Call) -> Response:
    """What happens in a run until it ends, as server-sent events; `Last-Event-ID` goes on after that one."""
    await call.service.find(call.run, call.person, call.offer)
    after = call.request.headers.get("last-event-id", "")
    return StreamingResponse(_lines(call, after), 200, SSE, "text/event-stream")


async def _lines(call: Call, after: str) -> AsyncIterator[str]:
    following = call.service.follow(call.run, call.person, after=after, through=True, offer=call.offer)
    async with aclosing(following) as events:
        async for told in events:
            if told is not None:
                yield await _line(call, told)
            elif await call.is_still_known():
                yield ": alive\n\n"
            else:
                return


async def _line(call: Call, told: Told) -> str:
    data = told.event.to_json()
    if told.event.kind == "stands":
        asked = await call.service.asked(call.run, call.person, call.offer)
        data = json.dumps({"status": told.event.status, "text": told.event.text, "questions": asked})
    return f"id: {told.id}\nevent: {told.event.kind}\ndata: {data}\n\n"
