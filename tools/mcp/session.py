"""Sessions: a server started or reached, asked for its tools, and left again."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from signoff.errors import McpUnusable, MissingExtra
from signoff.tools.mcp.offer import McpTool, Offer, offer_of
from signoff.tools.mcp.server import McpServer, is_here
from signoff.tools.mcp.stdio import LastWords, run_program
from signoff.tools.storage.child_environment import clean_environment

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.shared.message import SessionMessage

    from signoff.tools.broker.broker import Broker

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_READ_SECONDS = 300.0
"""How long an answer over HTTP may make no progress; what a call may take is limited by itself."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server by its name, and the broker of the secrets that it needs."""

    name: str
    server: McpServer
    broker: Broker | None = None


@dataclass(frozen=True)
class Opened:
    """A session, and what the server offered when it began."""

    session: ClientSession
    offer: Offer


def need_sdk() -> None:
    """Nothing, or MissingExtra if the MCP SDK is not installed, or one that others brought and that is too new."""
    try:
        import mcp  # noqa: F401 - whether it is there

        found = version("mcp")
    except ImportError as error:
        raise MissingExtra("MCP", "mcp") from error
    if not found.startswith("1."):
        problem = f"needs the package mcp 1, and {found} is installed (servers that need it: in a venv of their own)"
        raise MissingExtra("MCP", "mcp", problem)


@asynccontextmanager
async def open_session(
    peer: Peer, *, on_end: Callable[[], None], on_change: Callable[[], None]
) -> AsyncIterator[Opened]:
    """A session with the server, and its offer; McpUnusable if there can be none, within the time it may take.

    `on_end` is called when it ends by itself, `on_change` when the server says that it offers other tools.
    """
    need_sdk()
    from mcp import ClientSession, types

    keep_quiet()

    async def heed(message: Any) -> None:
        if isinstance(getattr(message, "root", None), types.ToolListChangedNotification):
            on_change()

    words = LastWords()
    began = False
    try:
        async with AsyncExitStack() as stack:
            connect = _reached(peer) if peer.server.url else _started(peer, words)
            read, write = await stack.enter_async_context(connect)
            session = ClientSession(
                cast(Any, Incoming(read, on_end)),
                cast(Any, Outgoing(write)),
                message_handler=heed,
                client_info=types.Implementation(name="signoff", version="1"),
            )
            await stack.enter_async_context(session)
            async with asyncio.timeout(peer.server.start_seconds):
                await session.initialize()
                offer = await list_tools(session)
            began = True
            yield Opened(session, offer)
    except Exception as error:
        if began:
            raise
        raise McpUnusable(peer.name, _problem(error, peer.server), words.told) from error
    finally:
        words.close()


async def list_tools(session: ClientSession) -> Offer:
    """What the server offers now, as LangChain's adapter reads it."""
    from langchain_mcp_adapters.tools import load_mcp_tools

    return offer_of([_tool_of(tool) for tool in await load_mcp_tools(session)])


def _tool_of(tool: Any) -> McpTool:
    hints = {name: value for name, value in (tool.metadata or {}).items() if name.endswith("Hint")}
    return McpTool(name=tool.name, description=tool.description, schema=tool.args_schema, hints=hints)


@asynccontextmanager
async def _started(peer: Peer, words: LastWords) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a server that is a program."""
    server, broker = peer.server, _broker_of(peer)
    way = broker.environment_for(tool_name(peer.name)) if broker is not None else {}
    env = clean_environment(**_filled(server.env), **way)
    async with run_program(server.command, env=env, cwd=server.cwd, errors=words.pipe) as streams:
        yield streams


@asynccontextmanager
async def _reached(peer: Peer) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a server that is reached over HTTP."""
    import httpx
    from mcp.client.streamable_http import streamable_http_client

    server, broker = peer.server, _broker_of(peer)
    timeout = httpx.Timeout(server.start_seconds, read=max(_READ_SECONDS, server.limits.seconds))
    options: dict[str, Any] = {"trust_env": not is_here(server.url)}
    if broker is not None:
        from signoff.tools.mcp.server import ThroughBroker

        options = {"transport": ThroughBroker(broker, tool_name(peer.name))}
    async with (
        httpx.AsyncClient(timeout=timeout, **options) as client,
        streamable_http_client(server.url, http_client=client) as (read, write, _),
    ):
        yield read, write


def tool_name(server: str) -> str:
    """The name under which the file of secrets gives rights to an MCP server."""
    return f"mcp_{server}"


def _broker_of(peer: Peer) -> Broker | None:
    """The broker, if the server needs secrets; LookupError if it does and there is none."""
    secrets = peer.server.touches.secrets
    if secrets and peer.broker is None:
        raise LookupError(f"it needs {', '.join(secrets)}, and there is no broker of secrets (SIGNOFF_SECRETS)")
    return peer.broker if secrets else None


def _filled(env: Mapping[str, str]) -> dict[str, str]:
    """The variables with `${NAME}` replaced; McpUnusable's reason if one is not set."""

    def take(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise LookupError(f"the variable {found[1]!r}, which it is to be given, is not set")
        return os.environ[found[1]]

    return {name: _VARIABLE.sub(take, value) for name, value in env.items()}


def _problem(error: BaseException, server: McpServer) -> str:
    """Why there is no session, in a few words."""
    first = error
    while isinstance(first, BaseExceptionGroup):
        first = first.exceptions[0]
    if isinstance(first, FileNotFoundError) and not server.url:
        return (
            f"there is no program {server.command[0]!r}, or no folder {str(server.cwd or Path.cwd())!r} to start it in"
        )
    if isinstance(first, TimeoutError):
        return f"it did not answer within {server.start_seconds:g} seconds"
    if isinstance(first, LookupError):
        return str(first.args[0]) if first.args else type(first).__name__
    return f"{type(first).__name__}: {first}"[:300]


SENT: ContextVar[list[str | int] | None] = ContextVar("signoff_mcp_sent", default=None)
"""Where the ids of the requests of a call are noted, so that it can be taken back."""


def keep_quiet() -> None:
    """Let nothing that a server says reach the terminal through a logger that nobody has set up."""
    logger = logging.getLogger("mcp")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


class Outgoing:
    """Messages to a server; the ids of requests are noted."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def send(self, message: SessionMessage) -> None:
        from mcp.types import JSONRPCRequest

        root, noted = message.message.root, SENT.get()
        if noted is not None and isinstance(root, JSONRPCRequest):
            noted.append(root.id)
        await self._stream.send(message)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Outgoing:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


class Incoming:
    """Messages from a server that are what the protocol says; the library would print others to the terminal."""

    def __init__(self, stream: Any, on_end: Callable[[], None]) -> None:
        self._stream, self._on_end = stream, on_end

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> SessionMessage:
        async for message in self._stream:
            if not isinstance(message, Exception) and _is_sound(message.message.root):
                return message  # type: ignore[no-any-return]  # the stream is one of SessionMessage and Exception
        self._on_end()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Incoming:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()


def _is_sound(root: Any) -> bool:
    """Whether a message is an answer to a number of ours, or a request or notification that there is."""
    from mcp.types import JSONRPCNotification, JSONRPCRequest, ServerNotification, ServerRequest
    from pydantic import ValidationError

    if not isinstance(root, JSONRPCRequest | JSONRPCNotification):
        return type(root.id) is int
    kind = ServerRequest if isinstance(root, JSONRPCRequest) else ServerNotification
    try:
        kind.model_validate(root.model_dump(by_alias=True, mode="json", exclude_none=True))
    except ValidationError:
        return False
    return True
