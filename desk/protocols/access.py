"""Who may ask: those who send a token of theirs, to the address that is served, at a program's pace."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from functools import partial
from typing import Any, Final

from signoff.checkpoints.ledger import Person
from signoff.concurrency import undisturbed
from signoff.desk.errors import SignInNeeded
from signoff.desk.replies import Refusal, refusal_of
from signoff.desk.web.guarding import LARGEST, Pace
from signoff.desk.web.identity import Identity

_PER_MINUTE: Final = 1200.0
"""Requests of one person."""
_WRONG_PER_MINUTE: Final = 30.0
"""Requests of one client without a token that is somebody's."""

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
"""An ASGI application."""


class Known:
    """The application for those who are known by the token that they send; others read only what is public."""

    def __init__(self, app: App, identity: Identity, hosts: Collection[str], public: Callable[[str], bool]) -> None:
        self._app, self._identity, self._hosts, self._public = app, identity, frozenset(hosts), public
        self._pace, self._wrong = Pace(_PER_MINUTE), Pace(_WRONG_PER_MINUTE)

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer, or refuse in one line of JSON."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        client, length = (scope.get("client") or ("",))[0], headers.get("content-length", "0")
        if headers.get("host", "").lower() not in self._hosts:
            problem = f"Nothing is served at {headers.get('host', '')!r:.100}. --address names where it is."
            await refuse(send, Refusal("unknown", 421, problem))
        elif not length.isdecimal() or int(length) > LARGEST:
            await refuse(send, Refusal("bad_input", 413, "The request is too large."))
        elif self._public(scope["path"]):
            await self._app(scope, receive, send)
        elif (person := await self._person(headers.get("authorization", ""))) is None:
            wait = self._wrong.seconds_to_wait(client)
            slower = Refusal("too_fast", 429, f"Too many tries. Wait {wait:.0f} seconds.")
            await refuse(send, slower if wait else refusal_of(SignInNeeded()))
        elif wait := self._pace.seconds_to_wait(person.name):
            await refuse(send, Refusal("too_fast", 429, f"Too many requests. Wait {max(wait, 1):.0f} seconds."))
        else:
            again = partial(self._person, headers["authorization"])
            scope.setdefault("state", {}).update(person=person, again=again)
            if (whole := await _whole(receive)) is None:
                await refuse(send, Refusal("bad_input", 413, "The request is too large, or was cut off."))
            else:
                await self._app(scope, whole, send)

    async def _person(self, given: str) -> Person | None:
        scheme, _, token = given.partition(" ")
        return await undisturbed(self._known, token.strip()) if scheme.lower() == "bearer" else None

    def _known(self, token: str) -> Person | None:
        person = self._identity.known_by(token)
        if person is None or person.roles:
            return person
        return Person(person.name, self._identity.ledger.people.list().get(person.name, frozenset()))


async def still_known(person: Person, again: Callable[[], Awaitable[Person | None]]) -> tuple[Person, bool]:
    """Somebody who listens, with the roles of now, and whether their token still is one, and their tenants the same."""
    now = await again()
    known = now is not None and now.tenants == person.tenants
    return (now if now is not None and known else person), known


async def _whole(receive: Any) -> Any:
    """What is received, the body at once, as every protocol reads it; None if more is sent than may be, or less."""
    body, is_more = bytearray(), True
    while is_more:
        message = await receive()
        body += message.get("body", b"")
        if message["type"] == "http.disconnect" or len(body) > LARGEST:
            return None
        is_more = message.get("more_body", False)
    parts = iter([{"type": "http.request", "body": bytes(body), "more_body": False}])

    async def receive_again() -> Any:
        return next(parts, None) or await receive()

    return receive_again


async def refuse(send: Any, refusal: Refusal) -> None:
    """Say why, as plain HTTP does."""
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    headers += [(b"www-authenticate", b"Bearer")] if refusal.status == 401 else []
    body = json.dumps({"error": refusal.text, "code": refusal.code}, ensure_ascii=False).encode()
    await send({"type": "http.response.start", "status": refusal.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def only_with(token: str, app: App) -> App:
    """The application for those who send this token; others learn nothing."""
    wanted = f"Bearer {token}".encode()

    async def guarded(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(given, wanted):
                await send(
                    {"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]}
                )
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    return guarded
