"""Streams: what goes between us and a server, with what a server should not send left out."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.shared.message import SessionMessage

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
        """Send it."""
        from mcp.types import JSONRPCRequest

        root, noted = message.message.root, SENT.get()
        if noted is not None and isinstance(root, JSONRPCRequest):
            noted.append(root.id)
        await self._stream.send(message)

    async def aclose(self) -> None:
        """Close it."""
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
        """Close it."""
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
