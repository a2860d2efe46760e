"""Questions the team itself asks, through the same gate: go on after a limit, and settle an unknown outcome."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from signoff.checkpoints.digest import digest
from signoff.checkpoints.effects import Effect
from signoff.graphs.state import StoredProposal
from signoff.tools.action import Action, Proposal

CONTINUE_RUN = "continue_run"
SETTLE_OUTCOME = "settle_outcome"

_LONGEST = 500
"""Characters of the arguments that are repeated when it is asked what came of a call."""


class Continuation(BaseModel):
    """How a run goes on after it paused."""

    model_config = ConfigDict(extra="forbid")

    turns: int = Field(ge=1, le=1000, description="Agent turns it may take before it pauses again")
    instructions: str = Field("", description="What the next agent is told")


class Settlement(BaseModel):
    """What a person found out about an action whose outcome is not known."""

    model_config = ConfigDict(extra="forbid")

    effect: str = Field(description="The effect's key")
    claim: int = Field(ge=1, description="Which call of it: the first, the second, …")
    happened: Literal["yes", "no"] = Field("yes", description="Whether it happened")
    retry: bool = Field(True, description="If it did not happen: whether it is called again")


def _nothing(_arguments: BaseModel, _key: str) -> Mapping[str, Any]:
    """Do nothing outside: the decision is the whole effect."""
    return {}


def _preview_turns(continuation: Continuation) -> str:
    return f"Approve: the team tries again, for up to {continuation.turns} more turns. Reject: the run stops here."


CONTROLS: dict[str, Action[Any]] = {
    CONTINUE_RUN: Action(
        name=CONTINUE_RUN,
        description="Goes on for more agent turns.",
        arguments=Continuation,
        call=_nothing,
        preview=_preview_turns,
        risk="write",
        idempotent=True,
    ),
    SETTLE_OUTCOME: Action(
        name=SETTLE_OUTCOME,
        description=(
            "Approve: it happened. Edit `happened` to 'no': it did not, and is called again, unless you also edit "
            "`retry` to false. Reject: give it up, its outcome unknown, and go on."
        ),
        arguments=Settlement,
        call=_nothing,
        fixed=frozenset({"effect", "claim"}),
        risk="write",
        idempotent=True,
    ),
}


def pause(run_id: str, serial: int, reason: str, turns: int) -> StoredProposal:
    """The question whether the run should go on."""
    return store_proposal(
        run_id,
        "supervisor",
        serial,
        Proposal(action=CONTINUE_RUN, args={"turns": turns, "instructions": ""}, reason=reason),
    )


def ask_outcome(effect: Effect, called_with: Mapping[str, Any]) -> StoredProposal:
    """The question whether an action happened: one for each call, whoever asks it, in whatever fork."""
    args = {"effect": effect.key, "claim": effect.claims, "happened": "yes", "retry": True}
    what = json.dumps(dict(called_with), ensure_ascii=False)
    shown = what if len(what) <= _LONGEST else f"{what[:_LONGEST]}…"
    reason = f"Did {effect.action} happen? It was called with {shown}, and nobody knows: {effect.error}."
    question = Proposal(action=SETTLE_OUTCOME, args=args, reason=reason)
    return store_proposal(effect.run_id, "act", effect.claims, question)


def store_proposal(run_id: str, by: str, serial: int, proposal: Proposal) -> StoredProposal:
    """The proposal as the state keeps it; its id is the same when the step that made it is done again."""
    identity = digest([run_id, by, serial, proposal.action, proposal.args])
    return StoredProposal(
        id=f"p-{identity[:12]}", action=proposal.action, args=proposal.args, reason=proposal.reason, by=by
    )
