"""Live: one stream of events a browser, which says that something changed; what did, the lists ask for themselves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from signoff.desk.following import Changes
from signoff.desk.web.context import PageContext, entry_number

_BEATS_EVERY: Final = 15.0
"""Seconds after which a line says that the stream is alive, and it is asked whether its session still is."""
_MOST: Final = 200
"""Streams of one process."""


async def events(request: Request) -> Response:
    """The stream. Each event has the number of the log's newest entry, and a browser that comes back says its last."""
    context: PageContext = request.app.state.page
    changes = context.service.changes
    await run_in_threadpool(context.visitor, request)
    if changes.listeners >= _MOST:
        return PlainTextResponse("Too many streams. The lists look by themselves.\n", 503)
    last = entry_number(request.headers.get("last-event-id", ""))
    seq = await changes.newest() if last is None else last
    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(_told(context, request, changes, seq), 200, headers, "text/event-stream")


async def _told(context: PageContext, request: Request, changes: Changes, seq: int) -> AsyncIterator[str]:
    changes.listeners += 1
    try:
        yield f"id: {seq}\nretry: 3000\n\n"
        while True:
            try:
                seq, _ = await asyncio.wait_for(changes.next(seq), _BEATS_EVERY)
            except TimeoutError:
                if await run_in_threadpool(context.identity.visitor, request) is None:
                    return
                yield ": alive\n\n"
                continue
            yield f"id: {seq}\nevent: changed\ndata: {seq}\n\n"
    finally:
        changes.listeners -= 1
