"""McpServer: how a server of tools is reached, and what risk the user sees in its tools."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

import httpx

from signoff.error_base import TeamError
from signoff.tools.action import NOTHING, LoopRisk, Risk, ToolLimits, Touches
from signoff.tools.broker.broker import Broker
from signoff.tools.web.addresses import is_loopback

McpRisk = LoopRisk | Risk
"""What a user may say of a tool; of a tool nothing is said of it is `external`, so that a person is asked."""

UNKNOWN: Risk = "external"
_RISKS = (*get_args(LoopRisk), *get_args(Risk))
_LIMITS = ToolLimits()
_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")


@dataclass(frozen=True, kw_only=True)
class McpServer:
    """An MCP server: a program that is started here (`command`), or an address (`url`), https or on this machine."""

    command: tuple[str, ...] = ()
    """The program and its arguments, started without a shell by the first call, with your rights: it is in no sandbox.

    Models are shown what it was accepted to offer, so that it need not run for a team to be built."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Variables it is given besides the few that programs need; `${NAME}` is taken from the environment when it starts.
    """
    cwd: Path | None = None
    url: str = ""
    """Address of a server that speaks streamable HTTP."""
    risks: Mapping[str, McpRisk] = field(default_factory=dict)
    """Risk by the tool's name, or by a pattern of names such as `read_*`; a name comes before patterns, of these the
    first that fits. What no entry fits can only be proposed, as `external`."""
    idempotent: tuple[str, ...] = ()
    """Names or patterns of tools that may be called again with the same arguments without changing anything more."""
    atomic: tuple[str, ...] = ()
    """Names or patterns of tools that have surely done nothing when they answer with an error."""
    touches: Touches = NOTHING
    limits: ToolLimits = _LIMITS
    """Of one call."""
    start_seconds: float = 60.0
    """How long it may take to start and to list its tools."""

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise TeamError(f"{self!r}: give a command or a url, one of them.")
        if isinstance(self.command, str) or not all(isinstance(word, str) and word for word in self.command):
            raise TeamError(f"{self!r}: command is the program and its arguments, as in ('npx', '-y', 'NAME').")
        if self.url:
            _check_url(self.url)
        for tool, risk in self.risks.items():
            if risk not in _RISKS:
                raise TeamError(f"McpServer: {risk!r} of {tool!r} is no risk. Say one of {', '.join(_RISKS)}.")
        for name in ("idempotent", "atomic"):
            if isinstance(getattr(self, name), str):
                raise TeamError(f"McpServer: {name} is a tuple of names or patterns, as in ('put_*',).")
        # Copied, so that nothing that happens to the caller's changes what is allowed.
        for name in ("env", "risks"):
            object.__setattr__(self, name, dict(getattr(self, name)))
        object.__setattr__(self, "command", tuple(self.command))

    def risk_of(self, tool: str) -> McpRisk:
        """What the user says of this tool, whatever the server says of it."""
        if tool in self.risks:
            return self.risks[tool]
        return next((risk for pattern, risk in self.risks.items() if fnmatchcase(tool, pattern)), UNKNOWN)

    def __repr__(self) -> str:
        # Values of variables are left out: they may be secrets.
        how = f"url={self.url!r}" if self.url else f"command={self.command!r}"
        return f"McpServer({how}, env={sorted(self.env)!r}, risks={dict(self.risks)!r})"


def fits(tool: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(tool, pattern) for pattern in patterns)


def check_names(servers: Mapping[str, McpServer]) -> None:
    """TeamError if a server's name cannot be the beginning of a tool's name."""
    for name in servers:
        if not _NAME.fullmatch(name):
            raise TeamError(f"MCP server {name!r}: use up to 32 letters, digits, '_' and '-'.")


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or parts.scheme not in ("https", "http"):
        raise TeamError(f"McpServer(url={url!r}): that is no address of a server. Write https://HOST/PATH.")
    if parts.username or parts.password:
        raise TeamError(f"McpServer at {parts.hostname!r}: a password stands in its address. Let the broker add it.")
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        raise TeamError(f"McpServer(url={url!r}): http is for this machine only. Use https.")


class ThroughBroker(httpx.AsyncBaseTransport):
    """Sends every request through the broker that runs now; it speaks https with the server, whatever we say to it."""

    def __init__(self, broker: Broker, tool: str) -> None:
        self._broker, self._tool = broker, tool
        self._inner: dict[str, httpx.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
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
        for inner in self._inner.values():
            await inner.aclose()
