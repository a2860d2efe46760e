"""Questions the team itself asks, through the same gate: go on after a limit, more budget, and what came of a call."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from signoff.checkpoints.canonical import digest
from signoff.checkpoints.ledger.budgets.model import Budget
from signoff.checkpoints.ledger.effects import Effect
from signoff.graphs.state import CONTINUE_RUN, RAISE_BUDGET, StoredProposal
from signoff.tools.action import Action, Proposal

SETTLE_OUTCOME = "settle_outcome"

_LONGEST = 500
"""Characters of the arguments that are repeated when it is asked what came of a call."""


class Continuation(BaseModel):
    """How a run goes on after it paused."""

    model_config = ConfigDict(extra="forbid")

    turns: int = Field(ge=1, le=1000, description="Agent turns it may take before it pauses again")
    instructions: str = Field("", description="What the next agent is told")


class Raise(BaseModel):
    """What is added to a budget that is used up."""

    model_config = ConfigDict(extra="forbid")

    scope: str = Field(description="Whose budget it is")
    usd: float | None = Field(None, ge=0, le=1_000_000, description="US dollars more")
    tokens: int | None = Field(None, ge=0, le=10**15, description="Tokens more")
    steps: int | None = Field(None, ge=0, le=10**12, description="Calls of a model more")
    seconds: float | None = Field(None, ge=0, le=10**9, description="Seconds more that calls of a model may take")

    @model_validator(mode="after")
    def _check_more(self) -> Self:
        if not any((self.usd, self.tokens, self.steps, self.seconds)):
            raise ValueError("it adds nothing; to refuse, reject it")
        return self

    @property
    def by(self) -> Budget:
        """What is added."""
        return Budget(usd=self.usd, tokens=self.tokens, steps=self.steps, seconds=self.seconds)


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


def _preview_raise(raised: Raise) -> str:
    return (
        f"Approve: {describe_scope(raised.scope)} may use {raised.by} more, and the run goes on where it was. "
        "Edit: another amount; all that it names is added. Reject: the run stops here."
    )


def describe_scope(scope: str) -> str:
    """Whose budget this is, in words; the names are those of `scopes_of`."""
    level, _, name = scope.partition(":")
    match level:
        case "call":
            return f"one call of {name.rpartition('/')[2]}"
        case "agent":
            return f"{name.rpartition('/')[2]} in this run"
        case "run":
            return "this run"
        case "team":
            team, _, day = name.rpartition("@")
            return f"team {team} on {day} (UTC)"
        case _:
            return f"everything together on {name} (UTC)"


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
    RAISE_BUDGET: Action(
        name=RAISE_BUDGET,
        description="Adds everything that its arguments name to a budget that is used up.",
        arguments=Raise,
        call=_nothing,
        preview=_preview_raise,
        fixed=frozenset({"scope"}),
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


def store_proposal(run_id: str, by: str, serial: int, proposal: Proposal, flags: Sequence[str] = ()) -> StoredProposal:
    """The proposal as the state keeps it; its id is the same when the step that made it is done again."""
    identity = digest([run_id, by, serial, proposal.action, proposal.args])
    return StoredProposal(
        id=f"p-{identity[:12]}",
        action=proposal.action,
        args=proposal.args,
        reason=proposal.reason,
        by=by,
        flags=list(flags),
    )
