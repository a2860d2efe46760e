"""What stands before every request to the page: its address, its size and pace, where it comes from; and its headers.

Agents' output is text of others, and an attacker's if he can. It is escaped everywhere; should some of it ever stand in
a page as markup, this policy runs none of it: no script but ours, no attribute of htmx without this response's nonce.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, MutableMapping, Sequence
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from signoff.error_base import SettingsError
from signoff.settings import Settings

POLICY: Final = (
    "default-src 'none'; script-src 'self' 'nonce-{nonce}'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy of every response."""
_HEADERS: Final = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
LARGEST: Final = 2_000_000
"""Bytes of a request."""
_PER_MINUTE: Final = {"POST": 120.0, "GET": 1200.0}
"""Requests of one client."""
SIGN_INS_PER_MINUTE: Final = 10.0
_NAMED: Final = "--address, or SIGNOFF_ADDRESS beside LangGraph Server,"
_CLIENTS: Final = 10_000
"""So many clients are told apart; the one that was heard of longest ago is forgotten."""

_log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
"""An ASGI application."""


class Pace:
    """How often something may be done: so many times a minute by each, as a bucket that fills all the time."""

    def __init__(self, per_minute: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._most, self._clock = per_minute, clock
        self._seen: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def seconds_to_wait(self, who: str) -> float:
        """Do it once more: 0 if that is allowed now, else how long to wait."""
        now = self._clock()
        left, at = self._seen.pop(who, (self._most, now))
        left = min(self._most, left + (now - at) * self._most / 60)
        allowed = left >= 1
        self._seen[who] = (left - 1 if allowed else left, now)
        if len(self._seen) > _CLIENTS:
            self._seen.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / self._most


class Guarded:
    """The application for those who ask for it by its own address, from its own pages, at a human's pace."""

    def __init__(self, app: App, *, hosts: Collection[str], origins: Collection[str]) -> None:
        self._app, self._hosts, self._origins = app, frozenset(hosts), frozenset(origins)
        self._paces = {method: Pace(often) for method, often in _PER_MINUTE.items()}

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer, or refuse in one line."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope.setdefault("state", {})["nonce"] = nonce
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

        async def send_with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_headers(nonce)]
            await send(message)

        if problem := self._problem(scope, headers):
            await _refuse(send_with_headers, *problem)
            return
        try:
            await self._app(scope, at_most(LARGEST, receive), send_with_headers)
        except Exception as error:  # Starlette raises again what its handler has told of, and logged with a number
            _log.debug("told on the page: %s", error)

    def _problem(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str, float] | None:
        host, method = headers.get("host", ""), scope["method"]
        if host.lower() not in self._hosts:
            return 421, f"This page is not served at {host!r:.100}. {_NAMED} names where it is.", 0
        if not headers.get("content-length", "0").isdecimal() or int(headers.get("content-length", "0")) > LARGEST:
            return 413, "The request is too large.", 0
        if method not in ("GET", "HEAD", "POST"):
            return 405, "There are only GET and POST here.", 0
        if method == "POST" and not self._is_from_here(headers):
            return 403, "The request does not come from this page. Open the page itself, and try again.", 0
        client = (scope.get("client") or ("",))[0]
        pace = self._paces["POST" if method == "POST" else "GET"]
        if wait := pace.seconds_to_wait(client):
            return 429, f"Too many requests. Try again in {wait:.0f} seconds.", max(wait, 1)
        return None

    def _is_from_here(self, headers: dict[str, str]) -> bool:
        """Whether a browser says that one of our own pages sends it; other programs say nothing of that."""
        if (origin := headers.get("origin")) is not None:
            return origin.lower() in self._origins
        return headers.get("sec-fetch-site", "same-origin") == "same-origin"


def check_settings(settings: Settings) -> None:
    """SettingsError for settings with which nobody could sign in, or decide."""
    if settings.tenant:
        remedy = f"Leave it out, and keep people to theirs: signoff people --give NAME=tenant:{settings.tenant}"
        raise SettingsError("SIGNOFF_TENANT", "the page keeps who is signed in, and what they decide", remedy)


def addresses(url: str) -> tuple[str, str]:
    """Host and origin of an address, as browsers send them."""
    parts = urlsplit(url)
    return parts.netloc.lower(), f"{parts.scheme}://{parts.netloc}".lower()


def own_addresses(port: int) -> list[str]:
    """Where somebody reaches a server on their own machine."""
    return [f"http://{name}:{port}" for name in ("127.0.0.1", "localhost")]


def is_here(host: str) -> bool:
    """Whether only this machine reaches what is served there."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _headers(nonce: str) -> Sequence[tuple[bytes, bytes]]:
    told = {"content-security-policy": POLICY.format(nonce=nonce), **_HEADERS}
    return [(name.encode(), value.encode()) for name, value in told.items()]


def at_most(most: int, receive: Any) -> Any:
    """Receive no more than that of a body whose length is not told."""
    got = 0

    async def receive_some() -> Any:
        nonlocal got
        message = await receive()
        got += len(message.get("body", b""))
        return {"type": "http.disconnect"} if got > most else message

    return receive_some


async def _refuse(send: Any, status: int, why: str, wait: float) -> None:
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"cache-control", b"no-store")]
    headers += [(b"retry-after", f"{wait:.0f}".encode())] if wait else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": f"{why}\n".encode()})
