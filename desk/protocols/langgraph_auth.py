"""Who may do what on LangGraph Server, if its langgraph.json names this: docs/server.md says how.

Everybody sends a token of theirs, as to the other protocols, and decides under that name with the roles of the ledger.
Threads, runs and schedules are of the tenant of whoever makes them; for others they are as if there were none.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from langgraph_sdk import Auth

from signoff.checkpoints import CurrentLedger
from signoff.checkpoints.errors import DatabaseGone, StoreError
from signoff.checkpoints.ledger import Person
from signoff.concurrency import undisturbed
from signoff.desk.errors import SignInNeeded
from signoff.desk.web.identity import Identity
from signoff.error_base import SettingsError

TENANT: Final = "signoff_tenant"
"""Where the metadata of a thread says whose it is."""
_CUTS: Final = ("interrupt", "rollback")
"""What the server can do with a run that goes on when something new is said, and what may end it amid an action."""
_WEBHOOKS: Final = "LANGGRAPH_WEBHOOKS"
"""Where the server keeps in the environment what its langgraph.json says of webhooks."""
_log = logging.getLogger(__name__)

T = TypeVar("T")


class Guard:
    """Who is known, and which things are theirs, by the people of a ledger."""

    def __init__(self, identity: Callable[[], Identity]) -> None:
        self._identity = identity

    async def authenticate(self, headers: dict[Any, Any]) -> Auth.types.MinimalUserDict:
        """Whose token is sent, as that of a bearer or, as chats and inboxes of others do, as an API key.

        LangGraph Server tells headers as bytes, Aegra as text.
        """
        sent = {_text(name).lower(): _text(value) for name, value in headers.items()}
        scheme, _, token = sent.get("authorization", "").partition(" ")
        token = (token if scheme.lower() == "bearer" else sent.get("x-api-key", "")).strip()
        person = await self._ask(lambda identity: identity.known_by(token))
        if person is None:
            raise _refusal(401, str(SignInNeeded()))
        return {"identity": person.name, "permissions": sorted(person.roles)}

    async def authorize(self, ctx: Auth.types.AuthContext, value: Any) -> dict[str, Any] | None:
        """Which things are theirs, as a filter of the metadata; HTTPException for what nobody may."""
        if isinstance(ctx.user, Auth.types.StudioUser):
            raise _refusal(
                403, 'Nobody knows who that is. In langgraph.json, "auth" needs "disable_studio_auth": true.'
            )
        if ctx.resource == "assistants" and ctx.action in ("read", "search"):
            return None
        if ctx.resource not in ("threads", "crons"):
            theirs = f"The {ctx.resource} of this server are not changed by clients"
            raise _refusal(403, f"{theirs}: langgraph.json says them.")
        said = _said(value)
        if said("multitask_strategy") & {*_CUTS}:
            raise _refusal(422, 'What goes on is not cut off. Send multitask_strategy "reject" or "enqueue".')
        if any(said("webhook")) and not os.environ.get(_WEBHOOKS):
            told = 'It would be told all of a run. In langgraph.json, "webhooks" says to which addresses that may go.'
            raise _refusal(422, f"No webhook is called that a client names. {told}")
        person = Person(ctx.user.identity, frozenset(ctx.permissions))
        if not person.roles:  # whose schedule begins a run is told by name alone
            person = await self._ask(partial(_known, person))
        try:
            tenant = person.tenant
        except SettingsError as error:
            raise _refusal(403, str(error)) from error
        is_changed = ctx.action == "update" and bool(value.get("metadata"))
        if is_changed and value["metadata"].pop(TENANT, tenant) != tenant and not person.sees_all:
            raise _refusal(403, f"{TENANT!r} says whose it is, and nobody changes that.")
        if ctx.action == "create" or (ctx.action == "create_run" and not person.sees_all):
            if value.get("metadata") is None:
                value["metadata"] = {}
            value["metadata"][TENANT] = tenant
        return None if person.sees_all else {TENANT: tenant}

    async def _ask(self, ask: Callable[[Identity], T]) -> T:
        """What the ledger says. One that was replaced while it was open is told of once, and then opened as it is."""

        def asked() -> T:
            try:
                return ask(self._identity())
            except DatabaseGone:
                return ask(self._identity())

        try:
            return await undisturbed(asked)
        except StoreError as error:
            _log.error("nobody is known: %s", error)
            raise _refusal(503, "Nobody can be known: the ledger cannot be read. The server's log says why.") from error


def auth_by(guard: Guard) -> Auth:
    """What LangGraph Server asks about everything that clients do."""
    auth = Auth()
    auth.authenticate(guard.authenticate)
    auth.on(guard.authorize)
    return auth


def _said(value: Mapping[str, Any]) -> Callable[[str], set[str]]:
    """What is said under a name, wherever the server keeps it of a run, and of a schedule."""
    parts = [value, value.get("payload") or {}, value.get("kwargs") or {}]
    return lambda name: {str(part.get(name) or "") for part in parts if isinstance(part, Mapping)}


def _text(given: str | bytes) -> str:
    return given.decode("latin-1") if isinstance(given, bytes) else given


def _known(person: Person, identity: Identity) -> Person:
    return identity.ledger.people.known(person)


def _refusal(status: int, text: str) -> Exception:
    return Auth.exceptions.HTTPException(status, text)


_ledger = CurrentLedger()
guard = Guard(lambda: Identity(_ledger()))
auth = auth_by(guard)
