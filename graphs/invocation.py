"""Who calls, and on what thread: what an invocation of a team's graph says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from langchain_core.runnables import RunnableConfig

from signoff.agents import current_payer
from signoff.checkpoints import digest_text
from signoff.checkpoints.ledger import Person


def calling_person(config: RunnableConfig) -> Person:
    """The person that the server authenticated, their permissions as roles; nameless if it did not.

    Whom the server calls the user is who that is, and what they may: LangGraph Server refuses the other keys from its
    clients, but Aegra takes them. A program of your own vouches for whom it names by setting `langgraph_auth_user_id`.
    A plain `Command(resume=…)` says nothing of who sends it.
    """
    given = config.get("configurable", {})
    name, permissions = given.get("langgraph_auth_user_id"), given.get("langgraph_auth_permissions")
    if "langgraph_auth_user" in given:
        user = given["langgraph_auth_user"]
        if user is None:
            return Person("")  # let in without being asked
        name, own = _told(user, "identity"), _told(user, "permissions")
        permissions = permissions if own is None else own
    return Person(str(name or ""), frozenset(map(str, permissions or ())))


def _told(user: Any, name: str) -> Any:
    """What a server's user says of themselves: some are dicts, others objects."""
    return user.get(name) if isinstance(user, Mapping) else getattr(user, name, None)


def thread_of(config: RunnableConfig) -> str:
    """What a team's runs on this thread are named after; empty without a thread.

    A team inside a larger graph has a name of its own, or two of them would share their runs; one that stands as an
    agent has the name of that agent's step.
    """
    if (step := current_payer()) is not None and step.hires is not None:
        return step.hires.name
    given = config.get("configurable", {})
    thread, parent = str(given.get("thread_id") or ""), str(given.get("checkpoint_ns") or "").rpartition("|")[0]
    return f"{thread}.{digest_text(parent)[:8]}" if thread and parent else thread


def is_own_run(run_id: str, config: RunnableConfig) -> bool:
    """Whether a run in the state is this thread's: the state can be edited to name another."""
    thread = thread_of(config)
    name, tilde, number = run_id.rpartition("~")
    return not thread or run_id == thread or (bool(tilde) and name == thread and number.isdecimal())
