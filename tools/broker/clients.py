"""Clients that go through the broker: they speak of https, and let the broker do it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Any

import httpx2

if TYPE_CHECKING:
    from signoff.tools.broker.broker import Broker


def new_client(broker: Broker, tool: str, options: dict[str, Any]) -> httpx2.Client:
    """A client with the rights of a tool."""
    return httpx2.Client(transport=_Through(broker, tool), trust_env=False, **options)


def new_async_client(broker: Broker, tool: str, options: dict[str, Any]) -> httpx2.AsyncClient:
    """A client with the rights of a tool, for `await`."""
    return httpx2.AsyncClient(transport=_AsyncThrough(broker, tool), trust_env=False, **options)


class _Through(httpx2.BaseTransport):
    def __init__(self, broker: Broker, tool: str) -> None:
        self._broker, self._tool = broker, tool
        self._inner: dict[str, httpx2.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it through the broker that runs now."""
        proxy = self._broker.proxy_for(self._tool)
        with self._lock:
            if proxy not in self._inner:
                self._inner[proxy] = httpx2.HTTPTransport(proxy=proxy, trust_env=False)
        try:
            response = self._inner[proxy].handle_request(_plain(request))
        except httpx2.TransportError as error:
            raise _told(self._broker, request, error) from error
        assert isinstance(response.stream, httpx2.SyncByteStream)
        response.stream = _Content(response.stream, self._broker, request)
        return response

    def close(self) -> None:
        """Close the connections."""
        for inner in self._inner.values():
            inner.close()


class _AsyncThrough(httpx2.AsyncBaseTransport):
    def __init__(self, broker: Broker, tool: str) -> None:
        self._broker, self._tool = broker, tool
        self._inner: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send it through the broker that runs now."""
        proxy = await asyncio.to_thread(self._broker.proxy_for, self._tool)
        if proxy not in self._inner:
            self._inner[proxy] = httpx2.AsyncHTTPTransport(proxy=proxy, trust_env=False)
        try:
            response = await self._inner[proxy].handle_async_request(_plain(request))
        except httpx2.TransportError as error:
            raise await asyncio.to_thread(_told, self._broker, request, error) from error
        assert isinstance(response.stream, httpx2.AsyncByteStream)
        response.stream = _AsyncContent(response.stream, self._broker, request)
        return response

    async def aclose(self) -> None:
        """Close the connections."""
        for inner in self._inner.values():
            await inner.aclose()


class _Content(httpx2.SyncByteStream):
    """The content of an answer on its way."""

    def __init__(self, inner: httpx2.SyncByteStream, broker: Broker, request: httpx2.Request) -> None:
        self._inner, self._broker, self._request = inner, broker, request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._inner
        except httpx2.TransportError as error:
            raise _told(self._broker, self._request, error) from error

    def close(self) -> None:
        """Read no more."""
        self._inner.close()


class _AsyncContent(httpx2.AsyncByteStream):
    def __init__(self, inner: httpx2.AsyncByteStream, broker: Broker, request: httpx2.Request) -> None:
        self._inner, self._broker, self._request = inner, broker, request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except httpx2.TransportError as error:
            raise await asyncio.to_thread(_told, self._broker, self._request, error) from error

    async def aclose(self) -> None:
        """Read no more."""
        await self._inner.aclose()


def _plain(request: httpx2.Request) -> httpx2.Request:
    """The request as the broker takes it: with https it would be a tunnel, in which nothing can be added."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(scheme="http", port=request.url.port),
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions,
    )


def _told(broker: Broker, request: httpx2.Request, error: httpx2.TransportError) -> httpx2.TransportError:
    """What happened: if the broker ended, that it did."""
    if isinstance(error, httpx2.TimeoutException) or not broker.has_ended():
        return error
    return httpx2.ProxyError(
        f"The broker of secrets ended during {request.method} {request.url.host}; whether the server did it is not "
        "known. The next request starts the broker again.",
        request=request,
    )
