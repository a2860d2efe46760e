"""Who calls: what an invocation of a team's graph says of the person behind it."""

from __future__ import annotations

from langchain_core.runnables import RunnableConfig

from signoff.checkpoints.ledger import Person


def calling_person(config: RunnableConfig) -> Person:
    """The person that LangGraph Server authenticated, their permissions as roles; nameless if it did not.

    The server refuses these keys from clients. A program of your own vouches for whom it names by setting
    `langgraph_auth_user_id`. A plain `Command(resume=…)` says nothing of who sends it.
    """
    given = config.get("configurable", {})
    if "langgraph_auth_user" in given and given["langgraph_auth_user"] is None:
        return Person("")  # let in without being asked
    permissions = given.get("langgraph_auth_permissions") or ()
    return Person(str(given.get("langgraph_auth_user_id") or ""), frozenset(map(str, permissions)))
