"""Requests to a server through the broker, which adds what the server must be sent; nobody here ever has it."""

from __future__ import annotations

import asyncio

import httpx

from signoff.tools.broker.broker import Broker


class ThroughBroker(httpx.AsyncBaseTransport):
    """Sends every request through the broker that runs now; it speaks https with the server, whatever we say to it."""

    def __init__(self, broker: Broker, tool: str) -> None:
        self._broker, self._tool = broker, tool
        self._inner: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it."""
        proxy = await asyncio.to_thread(self._broker.proxy_for, self._tool)
        if proxy not in self._inner:
            self._inner[proxy] = httpx.AsyncHTTPTransport(proxy=proxy, trust_env=False)
        # With https it would be a tunnel, in which nothing can be added.
        plain = httpx.Request(
            request.method,
            request.url.copy_with(scheme="http"),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return await self._inner[proxy].handle_async_request(plain)

    async def aclose(self) -> None:
        """Close the connections."""
        for inner in self._inner.values():
            await inner.aclose()
