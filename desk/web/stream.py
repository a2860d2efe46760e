"""Live: one stream of events a browser, which says that something changed; what did, the lists ask for themselves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from signoff.checkpoints.ledger import Ledger
from signoff.desk.web.context import PageContext, entry_number

_LOOKS_EVERY: Final = 1.0
"""Seconds between two looks at the ledger, one for all who listen."""
_BEATS_EVERY: Final = 15.0
"""Seconds after which a line says that the stream is alive, and it is asked whether its session still is."""
_MOST: Final = 200
"""Streams of one process."""


@dataclass
class Changes:
    """What the ledger's log says is new, looked at once for all who listen."""

    ledger: Ledger
    listeners: int = 0
    _seq: int = -1
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _looking: asyncio.Task[None] | None = None
    _runs: tuple[str, ...] = ()

    async def next(self, seq: int) -> tuple[int, tuple[str, ...]]:
        """Once the log has an entry after this one: the newest's number, and the runs that it may be about."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        while seq >= self._seq:
            await self._news.wait()
        return self._seq, self._runs

    async def newest(self) -> int:
        """The number of the newest entry."""
        return (await run_in_threadpool(self.ledger.inbox.changed_since, -1))[0]

    async def _look(self) -> None:
        self._seq = max(self._seq, await self.newest())
        self._tell()
        while self.listeners:
            await asyncio.sleep(_LOOKS_EVERY)
            seq, runs = await run_in_threadpool(self.ledger.inbox.changed_since, self._seq)
            if seq > self._seq:
                self._seq, self._runs = seq, tuple(runs)
                self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()


async def events(request: Request) -> Response:
    """The stream. Each event has the number of the log's newest entry, and a browser that comes back says its last."""
    context: PageContext = request.app.state.page
    changes: Changes = request.app.state.changes
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
                seq, runs = await asyncio.wait_for(changes.next(seq), _BEATS_EVERY)
            except TimeoutError:
                if await run_in_threadpool(context.identity.visitor, request) is None:
                    return
                yield ": alive\n\n"
                continue
            yield f"id: {seq}\nevent: changed\ndata: {json.dumps({'runs': runs})}\n\n"
    finally:
        changes.listeners -= 1
