"""Sessions with a server: a program that is started or an address that is reached, asked for its tools, and left again.

The library's own way to a program takes lines of any length, in time that grows with their square, on the loop that all
share; so a program is spoken with here, in a group of processes of its own that ends with all that it started."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import signal
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from signoff.error_base import MissingExtra
from signoff.tools.errors import McpUnusable, ToolError
from signoff.tools.mcp.offer import Offer, list_tools
from signoff.tools.mcp.server import McpServer, ThroughBroker
from signoff.tools.storage.child_environment import clean_environment
from signoff.tools.web.addresses import is_loopback

if TYPE_CHECKING:
    from mcp import ClientSession
    from mcp.shared.message import SessionMessage

    from signoff.tools.broker.broker import Broker

_VARIABLE = re.compile(r"\$\{(\w+)\}")
_READ_SECONDS = 300.0
"""How long an answer over HTTP may make no progress; what a call may take is limited by itself."""
_LARGEST = 32_000_000
"""Bytes of one message."""
_LEAVING_SECONDS = 2.0
"""How long a program may take to end by itself, and then after being asked to."""
_KEPT = 64
"""Pieces of at most 4 kB of what a program says to its standard error."""
_TOLD = 300

SENT: ContextVar[list[str | int] | None] = ContextVar("signoff_mcp_sent", default=None)
"""Where the ids of the requests of a call are noted, so that it can be taken back."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server by its name, and the broker of the secrets that it needs."""

    name: str
    server: McpServer
    broker: Broker | None = None


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
) -> AsyncIterator[tuple[ClientSession, Offer]]:
    """A session with the server, and what it offers; McpUnusable if there can be none, within the time it may take.

    `on_end` is called when it ends by itself, `on_change` when the server says that it offers other tools.
    """
    need_sdk()
    from mcp import ClientSession, types

    # Nothing that a server says shall reach the terminal through a logger that nobody has set up.
    if not logging.getLogger("mcp").handlers:
        logging.getLogger("mcp").addHandler(logging.NullHandler())

    async def on_message(message: Any) -> None:
        if isinstance(getattr(message, "root", None), types.ToolListChangedNotification):
            on_change()

    stderr = StandardError()
    began = False
    try:
        async with AsyncExitStack() as stack:
            connect = _over_http(peer) if peer.server.url else _as_program(peer, stderr)
            read, write = await stack.enter_async_context(connect)
            session = ClientSession(
                cast(Any, Incoming(read, on_end)),
                cast(Any, Outgoing(write)),
                message_handler=on_message,
                client_info=types.Implementation(name="signoff", version="1"),
            )
            await stack.enter_async_context(session)
            async with asyncio.timeout(peer.server.start_seconds):
                await session.initialize()
                offer = await list_tools(session)
            began = True
            yield session, offer
    except Exception as error:
        if began:
            raise
        raise McpUnusable(peer.name, _problem(error, peer.server), stderr.told) from error
    finally:
        stderr.close()


def _as_program(peer: Peer, stderr: StandardError) -> AbstractAsyncContextManager[tuple[Any, Any]]:
    """The streams of a server that is a program."""
    server, broker = peer.server, _broker_of(peer)
    way = broker.environment_for(tool_name(peer.name)) if broker is not None else {}
    env = clean_environment(**_filled(server.env), **way)
    return run_program(server.command, env=env, cwd=server.cwd, errors=stderr.pipe)


@asynccontextmanager
async def _over_http(peer: Peer) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a server that is reached over HTTP."""
    import httpx
    from mcp.client.streamable_http import streamable_http_client

    server, broker = peer.server, _broker_of(peer)
    timeout = httpx.Timeout(server.start_seconds, read=max(_READ_SECONDS, server.limits.seconds))
    options: dict[str, Any] = {"trust_env": not is_loopback(urlsplit(server.url).hostname or "")}
    if broker is not None:
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
        folder = str(server.cwd or Path.cwd())
        return f"there is no program {server.command[0]!r}, or no folder {folder!r} to start it in"
    if isinstance(first, TimeoutError):
        return f"it did not answer within {server.start_seconds:g} seconds"
    if isinstance(first, LookupError):
        return str(first.args[0]) if first.args else type(first).__name__
    return f"{type(first).__name__}: {first}"[:300]


class _Stream(AbstractAsyncContextManager[Any]):
    """A stream of messages, as the library wants it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Outgoing(_Stream):
    """Messages to a server; the ids of requests are noted."""

    async def send(self, message: SessionMessage) -> None:
        from mcp.types import JSONRPCRequest

        root, noted = message.message.root, SENT.get()
        if noted is not None and isinstance(root, JSONRPCRequest):
            noted.append(root.id)
        await self._stream.send(message)


class Incoming(_Stream):
    """Messages from a server that are what the protocol says; the library would print others to the terminal."""

    def __init__(self, stream: Any, on_end: Callable[[], None]) -> None:
        super().__init__(stream)
        self._on_end = on_end

    def __aiter__(self) -> Incoming:
        return self

    async def __anext__(self) -> SessionMessage:
        async for message in self._stream:
            if not isinstance(message, Exception) and _is_sound(message.message.root):
                return message  # type: ignore[no-any-return]  # the stream is one of SessionMessage and Exception
        self._on_end()
        raise StopAsyncIteration


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


# A server that is a program


@asynccontextmanager
async def run_program(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, errors: IO[str]
) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of messages from and to the program, which ends with the context."""
    import anyio
    from mcp.shared.message import SessionMessage

    process = await asyncio.create_subprocess_exec(
        shutil.which(command[0], path=env.get("PATH")) or command[0],  # Windows starts no scripts by their names
        *command[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        env=dict(env),
        cwd=cwd,
        limit=_LARGEST,
        start_new_session=True,
    )
    said, heard = anyio.create_memory_object_stream[SessionMessage](0)
    to_send, sending = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_listen, process, said)
            group.start_soon(_speak, process, sending)
            try:
                yield heard, to_send
            finally:
                group.cancel_scope.cancel()
    finally:
        for stream in (said, heard, to_send, sending):
            stream.close()
        await asyncio.shield(asyncio.ensure_future(_end(process)))


async def _listen(process: asyncio.subprocess.Process, said: Any) -> None:
    """Pass on what the program says; lines that are no messages are left out."""
    from mcp.shared.message import SessionMessage
    from mcp.types import JSONRPCMessage
    from pydantic import ValidationError

    assert process.stdout is not None
    async with said:
        while line := await _next_line(process.stdout):
            with suppress(ValidationError):
                await said.send(SessionMessage(JSONRPCMessage.model_validate_json(line)))


async def _next_line(stdout: asyncio.StreamReader) -> bytes:
    try:
        return await stdout.readline()
    except ValueError:
        raise ToolError(f"it sent a message of more than {_LARGEST // 1_000_000} MB") from None


async def _speak(process: asyncio.subprocess.Process, sending: Any) -> None:
    """Tell the program what it is sent; once it has ended, that shows in what it says no more."""
    assert process.stdin is not None
    async with sending:
        async for message in sending:
            line = message.message.model_dump_json(by_alias=True, exclude_none=True) + "\n"
            with suppress(ConnectionError):
                process.stdin.write(line.encode())
                await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its input, then ask it, then make it."""
    assert process.stdin is not None
    process.stdin.close()
    for number in (None, signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if number is not None:
            _signal(process, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                await process.wait()
                break
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))  # what it left running


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to the program and to what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, number)
        elif process.returncode is None:
            process.send_signal(number)


class StandardError:
    """Reads a pipe to its end in a thread, so that no program waits for it and nothing of it reaches the terminal."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque(maxlen=_KEPT)
        reading, writing = os.pipe()
        self.pipe: IO[str] = os.fdopen(writing, "w", encoding="utf-8")
        """What the program gets as its standard error."""
        self._reader = threading.Thread(target=self._read, args=(reading,), name="signoff mcp stderr", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Close our end; the thread ends with the last process that has the other."""
        self.pipe.close()

    @property
    def told(self) -> str:
        """The last of it in one line, without anything that a terminal would act on."""
        text = b"".join(self._pieces).decode("utf-8", "replace")
        line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
        return line[-_TOLD:]

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while piece := pipe.read(4096):
                self._pieces.append(piece)
