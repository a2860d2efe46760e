"""Who may do what on LangGraph Server, if its langgraph.json names this: docs/server.md says how.

Everybody sends a token of theirs, as to the other protocols, and decides under that name with the roles of the ledger.
Threads, runs and schedules are of the tenant of whoever makes them; for others they are as if there were none.
"""

from __future__ import annotations

from typing import Any, Final

from langgraph_sdk import Auth

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Person
from signoff.concurrency import undisturbed
from signoff.desk.errors import SignInNeeded
from signoff.desk.web.identity import Identity
from signoff.error_base import SettingsError
from signoff.settings import load_settings

TENANT: Final = "signoff_tenant"
"""Where the metadata of a thread says whose it is."""
_CUTS: Final = ("interrupt", "rollback")
"""What the server can do with a run that goes on when something new is said, and what may end it amid an action."""

auth = Auth()


@auth.authenticate
async def authenticate(headers: dict[Any, Any]) -> Auth.types.MinimalUserDict:
    """Whose token is sent, as that of a bearer or, as chats and inboxes of others do, as an API key.

    LangGraph Server tells headers as bytes, Aegra as text.
    """
    sent = {_text(name).lower(): _text(value) for name, value in headers.items()}
    scheme, _, token = sent.get("authorization", "").partition(" ")
    token = (token if scheme.lower() == "bearer" else sent.get("x-api-key", "")).strip()
    person = await undisturbed(_holder, token)
    if person is None:
        raise Auth.exceptions.HTTPException(401, str(SignInNeeded()))
    return {"identity": person.name, "permissions": sorted(person.roles)}


@auth.on
async def authorize(ctx: Auth.types.AuthContext, value: Any) -> dict[str, Any] | None:
    """Which things are theirs, as a filter of the metadata; HTTPException for what nobody may."""
    if isinstance(ctx.user, Auth.types.StudioUser):
        raise _refusal(403, 'Nobody knows who that is. In langgraph.json, "auth" needs "disable_studio_auth": true.')
    if ctx.resource == "assistants" and ctx.action in ("read", "search"):
        return None
    if ctx.resource not in ("threads", "crons"):
        raise _refusal(403, f"The {ctx.resource} of this server are not changed by clients: langgraph.json says them.")
    if value.get("multitask_strategy") in _CUTS or (value.get("payload") or {}).get("multitask_strategy") in _CUTS:
        raise _refusal(422, 'What goes on is not cut off. Send multitask_strategy "reject" or "enqueue".')
    person = Person(ctx.user.identity, frozenset(ctx.permissions))
    if not person.roles:  # whose schedule begins a run is told by name alone
        person = await undisturbed(_known, person)
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


def _text(given: str | bytes) -> str:
    return given.decode("latin-1") if isinstance(given, bytes) else given


def _holder(token: str) -> Person | None:
    return Identity(configured_ledger(load_settings())).known_by(token)


def _known(person: Person) -> Person:
    return configured_ledger(load_settings()).people.known(person)


def _refusal(status: int, text: str) -> Exception:
    return Auth.exceptions.HTTPException(status, text)
