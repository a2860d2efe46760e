"""The one session with a server that a process has, opened by the first call and again after it ended."""

from __future__ import annotations

import asyncio
import atexit
import os
import time
from collections.abc import Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from signoff.checkpoints import canonical_json
from signoff.concurrency import submit
from signoff.error_base import MissingExtra
from signoff.tools.errors import McpLost, McpNotCalled, McpUnusable
from signoff.tools.mcp.offer import McpTool, Offer, list_tools
from signoff.tools.mcp.session import SENT, Peer, open_session

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.types import CallToolResult

_MOST_ENDINGS = 5
"""Endings in a row, without an answer in between, after which a server is left alone for a while."""
_REST_SECONDS = 60.0
_FIRST_PAUSE = 0.02
"""Before a server that has ended is started again; doubled each time."""
_CLOSING_SECONDS = 5.0
_FORGOTTEN = 32600
"""What the library says where an HTTP server no longer knows a session."""
_KEY = "signoff/idempotency-key"


@dataclass
class _SessionState:
    """What becomes of a session, from its first moment."""

    leave: asyncio.Event = field(default_factory=asyncio.Event)
    """Set to end it."""
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once it is closed, whoever ended it."""
    ended: bool = False
    """Whether the server has ended it."""
    changed: bool = False
    """Whether the server has said that it offers other tools now."""
    error: BaseException | None = None
    """What broke it."""

    def end(self) -> None:
        self.ended = True

    def change(self) -> None:
        self.changed = True


@dataclass
class _OpenSession:
    """A session that was opened."""

    session: ClientSession
    offer: Offer
    holder: asyncio.Task[None]
    state: _SessionState
    asked: int = 0
    """How many calls wait for their answers."""


class Connection:
    """Calls tools of one server. Everything in it happens in the loop of the sessions."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._live: _OpenSession | None = None
        self._opening = asyncio.Lock()
        self._endings, self._rests_until = 0, 0.0

    async def call(self, tool: McpTool, arguments: Mapping[str, Any], *, key: str = "", again: bool) -> CallToolResult:
        """What the server answers; with `again`, a call that got lost is made a second time.

        McpNotCalled where it surely was not called, McpLost where nobody knows.
        """
        try:
            return await self._call_once(tool, arguments, key)
        except McpNotCalled as error:
            if not error.passing:
                raise
        except McpLost:
            if not again or self._live is not None:  # a server that is still there was slow, or answered nonsense
                raise
        return await self._call_once(tool, arguments, key)

    async def close(self) -> None:
        """End the session, and the program if there is one."""
        live, self._live = self._live, None
        if live is not None:
            live.state.leave.set()
            await asyncio.wait([live.holder], timeout=_CLOSING_SECONDS)

    async def _call_once(self, tool: McpTool, arguments: Mapping[str, Any], key: str) -> CallToolResult:
        name, server = tool.name, self._peer.name
        try:
            live = await self._open()
        except McpUnusable as error:
            raise McpNotCalled(server, name, str(error).rstrip(".")) from error
        offered = live.offer.tools.get(name)
        if offered is None or offered.sha256 != tool.sha256:
            how = "the server no longer offers it" if offered is None else "the server describes it otherwise now"
            raise McpNotCalled(
                server, name, f"{how} than when it was accepted; a person has to look (`signoff mcp list {server}`)"
            )
        result = await self._ask(live, tool, arguments, key)
        self._endings = 0
        return result

    async def _ask(self, live: _OpenSession, tool: McpTool, arguments: Mapping[str, Any], key: str) -> CallToolResult:
        """Send the call and wait; a call that takes too long is taken back."""
        from anyio import BrokenResourceError, ClosedResourceError
        from mcp import McpError, types
        from pydantic import ValidationError

        meta = types.RequestParams.Meta.model_validate({_KEY: key}) if key else None
        params = types.CallToolRequestParams(name=tool.name, arguments=dict(arguments), _meta=meta)
        request = types.ClientRequest(types.CallToolRequest(params=params))
        server, name, seconds = self._peer.name, tool.name, self._peer.server.limits.seconds
        sent: list[str | int] = []
        SENT.set(sent)
        # Not call_tool: that reads the server's schema of results, which nothing here relies on.
        asking = live.session.send_request(request, types.CallToolResult)
        try:
            async with asyncio.timeout(seconds):
                return await _while_open(live, asking)
        except (ClosedResourceError, BrokenResourceError) as error:
            await self._drop(live)
            raise McpNotCalled(server, name, "the server has ended", passing=True) from error
        except _Broken as error:
            await self._drop(live)
            why = f"the connection broke ({error})"
            raise (McpNotCalled(server, name, why) if error.surely_not else McpLost(server, name, why)) from error
        except McpError as error:
            if live.state.ended:
                await self._drop(live)
                raise McpLost(server, name, f"the server ended before it answered ({error})") from error
            if error.error.code == _FORGOTTEN:
                await self._drop(live)
                raise McpNotCalled(server, name, "the server has forgotten the session", passing=True) from error
            if error.error.code in (types.INVALID_PARAMS, types.METHOD_NOT_FOUND, types.INVALID_REQUEST):
                raise McpNotCalled(server, name, f"the server refused it ({error})"[:600]) from error
            raise McpLost(server, name, f"the server answered with an error ({error})"[:600]) from error
        except ValidationError as error:
            raise McpLost(server, name, "the server answered with what is no result") from error
        except TimeoutError as error:
            await _take_back(live.session, sent, "it took too long")
            raise McpLost(server, name, f"it gave no answer within {seconds:g} seconds") from error
        except asyncio.CancelledError:
            await _take_back(live.session, sent, "nobody waits for it any more")
            raise

    async def _open(self) -> _OpenSession:
        """The session, opened if there is none, with what the server offers now."""
        async with self._opening:
            live = self._live
            if live is not None and live.state.ended:
                await self._drop(live)
                live = None
            if live is None:
                live = await self._opened()
            if live.state.changed:
                await self._look_again(live)
            return live

    async def _look_again(self, live: _OpenSession) -> None:
        """Ask for the tools that the server offers otherwise now; until it says which, none of them is called."""
        live.state.changed = False
        try:
            async with asyncio.timeout(self._peer.server.start_seconds):
                live.offer = await list_tools(live.session)
        except BaseException as error:
            live.state.change()
            if not isinstance(error, Exception):
                raise
            why = "it says that its tools have changed, and does not say how"
            raise McpUnusable(self._peer.name, f"{why} ({type(error).__name__})") from error

    async def _opened(self) -> _OpenSession:
        wait = self._rests_until - time.monotonic()
        if self._endings >= _MOST_ENDINGS and wait > 0:
            raise McpUnusable(
                self._peer.name, f"it ended {self._endings} times in a row; it is tried again in {wait:.0f} seconds"
            )
        if self._endings:
            await asyncio.sleep(_FIRST_PAUSE * 2 ** min(self._endings, _MOST_ENDINGS))
        ready: asyncio.Future[tuple[ClientSession, Offer]] = asyncio.get_running_loop().create_future()
        state = _SessionState()
        holder = asyncio.create_task(self._keep(ready, state))
        try:
            session, offer = await ready
        except asyncio.CancelledError:
            holder.cancel()
            raise
        except McpUnusable:
            self._count_ending()
            raise
        self._live = _OpenSession(session, offer, holder, state)
        return self._live

    async def _keep(self, ready: asyncio.Future[tuple[ClientSession, Offer]], state: _SessionState) -> None:
        """Hold the session open in one task from its beginning to its end, as its library wants it."""
        try:
            async with open_session(self._peer, on_end=state.end, on_change=state.change) as opened:
                ready.set_result(opened)
                await state.leave.wait()
        except (McpUnusable, MissingExtra) as error:
            if not ready.done():
                ready.set_exception(error)
        except BaseExceptionGroup as error:
            state.error = error
        finally:
            state.end()
            state.gone.set()
            if not ready.done():
                ready.cancel()

    async def _drop(self, live: _OpenSession) -> None:
        """Leave a session that has ended."""
        if self._live is live:
            self._live = None
            self._count_ending()
        live.state.leave.set()
        await asyncio.wait([live.holder], timeout=_CLOSING_SECONDS)

    def _count_ending(self) -> None:
        self._endings += 1
        self._rests_until = time.monotonic() + _REST_SECONDS


class _Broken(Exception):
    """The session was closed while a call waited."""

    def __init__(self, error: BaseException | None, *, alone: bool) -> None:
        import httpx

        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        refused = isinstance(error, httpx.HTTPStatusError) and 400 <= error.response.status_code < 500
        never_arrived = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
        # With several calls under way nobody knows which of them it was.
        self.surely_not = alone and (refused or never_arrived)
        super().__init__(f"{type(error).__name__}: {error}"[:300] if error is not None else "it was closed")


async def _while_open(live: _OpenSession, asking: Coroutine[Any, Any, CallToolResult]) -> CallToolResult:
    """The answer; _Broken if the session closes before it comes, of which its library tells nobody who waits."""
    answer, gone = asyncio.ensure_future(asking), asyncio.ensure_future(live.state.gone.wait())
    live.asked += 1
    try:
        await asyncio.wait([answer, gone], return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise _Broken(live.state.error, alone=live.asked == 1)
    finally:
        live.asked -= 1
        answer.cancel()
        gone.cancel()


async def _take_back(session: ClientSession, sent: list[str | int], reason: str) -> None:
    """Tell the server to stop; that it does is up to it."""
    from anyio import BrokenResourceError, ClosedResourceError
    from mcp import types

    for request in sent:
        params = types.CancelledNotificationParams(requestId=request, reason=reason)
        notification = types.ClientNotification(types.CancelledNotification(params=params))
        with suppress(ClosedResourceError, BrokenResourceError, TimeoutError):
            async with asyncio.timeout(1):
                await session.send_notification(notification)


_connections: dict[tuple[int, str], Connection] = {}


async def connection_to(peer: Peer) -> Connection:
    """The connection to this server that the process has."""
    if not _connections:
        atexit.register(close_servers)
    server = peer.server
    reached = [list(server.command), dict(server.env), str(server.cwd), server.url, list(server.touches.secrets)]
    how = [peer.name, str(peer.broker and peer.broker.secrets), reached, server.limits.seconds, server.start_seconds]
    return _connections.setdefault((os.getpid(), canonical_json(how)), Connection(peer))


def close_servers() -> None:
    """End every session, and the programs that were started; the next call opens a new one."""
    mine = [key for key in _connections if key[0] == os.getpid()]
    if not mine:
        return
    connections = [_connections.pop(key) for key in mine]

    async def close() -> None:
        await asyncio.gather(*(connection.close() for connection in connections))

    with suppress(TimeoutError):
        submit(close()).result(2 * _CLOSING_SECONDS)
