"""Questions the team itself asks, through the same gate: go on after a limit, more budget, and what came of a call."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Self

from pydantic import BaseModel, Field, model_validator

from signoff.agents import NO_USAGE, Payer, Say, Usage, budgets_of, current_payer, say_nothing
from signoff.checkpoints import digest
from signoff.checkpoints.errors import BudgetExhausted
from signoff.checkpoints.ledger import SETTLE_OUTCOME, WAYS_TO_SETTLE, Effect, Ledger
from signoff.checkpoints.ledger.budgets import NO_LIMIT, Budget
from signoff.graphs.routing.planning import TeamPlan
from signoff.graphs.state import CONTINUE_RUN, FOLLOW_PLAN, RAISE_BUDGET, SUPERVISOR, StoredProposal, TeamState
from signoff.settings import load_settings
from signoff.tools import Action, Proposal
from signoff.wording import as_block, counted

_LONGEST = 500
"""Characters of the arguments that are repeated when it is asked what came of a call."""


class Continuation(BaseModel, extra="forbid"):
    """How a run goes on after it paused."""

    turns: int = Field(ge=1, le=1000, description="Agent turns it may take before it pauses again")
    instructions: str = Field("", description="What the next agent is told")


class Raise(BaseModel, extra="forbid"):
    """What is added to a budget that is used up."""

    scope: str = Field(description="Whose budget it is")
    usd: float | None = Field(default=None, ge=0, le=1_000_000, description="US dollars more")
    tokens: int | None = Field(default=None, ge=0, le=10**15, description="Tokens more")
    steps: int | None = Field(default=None, ge=0, le=10**12, description="Calls of a model more")
    seconds: float | None = Field(
        default=None, ge=0, le=10**9, description="Seconds more that calls of a model may take"
    )

    @model_validator(mode="after")
    def _check_more(self) -> Self:
        if not any((self.usd, self.tokens, self.steps, self.seconds)):
            raise ValueError("it adds nothing; to refuse, reject it")
        return self

    @property
    def by(self) -> Budget:
        return Budget(usd=self.usd, tokens=self.tokens, steps=self.steps, seconds=self.seconds)


class Settlement(BaseModel, extra="forbid"):
    """What a person found out about an action whose outcome is not known."""

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


def _preview_plan(plan: TeamPlan) -> str:
    """Who does what, and what each answer means."""
    ways = (
        "Approve: the team works by it. Edit: `steps`, one for each agent, in the order in which they work. Reject: "
        "with a reason, whoever made it makes it anew; without one, or if nobody can, the run stops here."
    )
    return f"{as_block(plan.markdown)}\n\n{ways}"


def describe_scope(scope: str) -> str:
    """Whose budget this is, in words; the names are those of `scopes_of`."""
    level, _, name = scope.partition(":")
    match level:
        case "call":
            return f"one call of {name.rpartition('/')[2]}"
        case "agent" | "child":
            return f"{name.rpartition('/')[2]} in this run"
        case "run":
            return "this run"
        case "team":
            team, _, day = name.rpartition("@")
            return f"team {team} on {day} (UTC)"
        case _:
            return f"everything together on {name} (UTC)"


def _preview_settlement(_settlement: Settlement) -> str:
    """What each answer means. Which call it is about stands in the reason."""
    told = []
    for way in WAYS_TO_SETTLE:
        changes = " and ".join(f"`{name}` to `{value}`".lower() for name, value in way.changes.items())
        told.append(f"- {way.verb.capitalize()}{changes and f' {changes}'}: {way.means}.")
    return "\n".join(told)


def _control(name: str, description: str, arguments: type[BaseModel], **more: Any) -> Action[Any]:
    """A question of the team's own; to call it again would change nothing more."""
    return Action(
        name=name, description=description, arguments=arguments, call=_nothing, risk="write", idempotent=True, **more
    )


CONTROLS = {
    CONTINUE_RUN: _control(CONTINUE_RUN, "Goes on for more agent turns.", Continuation, preview=_preview_turns),
    RAISE_BUDGET: _control(
        RAISE_BUDGET,
        "Adds everything that its arguments name to a budget that is used up.",
        Raise,
        preview=_preview_raise,
        fixed=frozenset({"scope"}),
    ),
    FOLLOW_PLAN: _control(
        FOLLOW_PLAN,
        "Has the team work by this plan.",
        TeamPlan,
        preview=_preview_plan,
        fixed=frozenset({"agents", "judges"}),
    ),
    SETTLE_OUTCOME: _control(
        SETTLE_OUTCOME,
        "Says what came of a call.",
        Settlement,
        preview=_preview_settlement,
        fixed=frozenset({"effect", "claim"}),
    ),
}


def pause(run_id: str, serial: int, reason: str, turns: int) -> StoredProposal:
    """The question whether the run should go on."""
    question = Proposal(action=CONTINUE_RUN, args={"turns": turns, "instructions": ""}, reason=reason)
    return store_proposal(run_id, SUPERVISOR, serial, question)


def ask_plan(state: TeamState, plan: TeamPlan, by: str, flags: Sequence[str]) -> StoredProposal:
    """The question whether the team is to work by this plan, which policy answers unless somebody wants to see it."""
    made = "It follows from what each agent needs and gives." if by == SUPERVISOR else f"{by} made it for the goal."
    question = Proposal(action=FOLLOW_PLAN, args=plan.model_dump(mode="json"), reason=f"The plan. {made}")
    return store_proposal(state["run"]["id"], by, len(state.get("outcomes", [])), question, flags)


def ask_outcome(effect: Effect, called_with: Mapping[str, Any]) -> StoredProposal:
    """The question whether an action happened: one for each call, whoever asks it, in whatever fork."""
    args = {"effect": effect.key, "claim": effect.claims, "happened": "yes", "retry": True}
    what = json.dumps(dict(called_with), ensure_ascii=False)
    shown = what if len(what) <= _LONGEST else f"{what[:_LONGEST]}…"
    was = "to be called" if effect.is_copied else "called"
    reason = (
        f"Did {effect.action} happen? It was {was} with {shown} at {effect.call}, and nobody knows: {effect.error}."
    )
    question = Proposal(action=SETTLE_OUTCOME, args=args, reason=reason)
    return store_proposal(effect.run_id, "act", effect.claims, question)


def store_proposal(
    run_id: str, by: str, serial: int, proposal: Proposal, flags: Sequence[str] = (), item: str = ""
) -> StoredProposal:
    """The proposal as the state keeps it; its id is the same when the step that made it is done again."""
    identity = digest([run_id, by, serial, proposal.action, proposal.args, *([item] if item else [])])
    stored = StoredProposal(
        id=f"p-{identity[:12]}",
        action=proposal.action,
        args=proposal.args,
        reason=": ".join(filter(None, (item, proposal.reason))),
        by=by,
        flags=list(flags),
    )
    return {**stored, "item": item} if item else stored


_CALLS_AT_LEAST = 5
"""Calls like the next one that a budget of nothing is proposed to be raised for."""


@dataclass(frozen=True)
class Account:
    """Whose ledger and budgets the models of a team are called on."""

    ledger: Callable[[], Ledger]
    team: str
    run_budget: Budget | None = None
    """None: as the settings say."""
    limits: Mapping[str, Budget] = field(default_factory=dict)
    """Budgets of single roles in one run."""
    _payers: dict[str, Payer] = field(default_factory=dict, init=False)
    """The payer of each role, but for the run."""

    @cached_property
    def budgets(self) -> dict[str, Budget]:
        """Limits by level. Settings are read once, when the first step begins."""
        found = budgets_of(load_settings())
        return found if self.run_budget is None else {**found, "run": self.run_budget}

    def prepare(self) -> None:
        """Read the settings and open the ledger, which may block."""
        _ = self.budgets
        self.ledger()

    def payer(self, run_id: str, role: str, say: Say = say_nothing, item: str = "", share: int = 0) -> Payer:
        """Who pays for a step of this role; a cassette that is played or recorded around the run stays in place.

        With a `share` its work on this item is held to this part of the role's budget, or else of the run's: 4 is a
        quarter.
        """
        base = self._payers.get(role)
        if base is None:
            own = self.limits.get(role, NO_LIMIT)
            budgets = {**self.budgets, "agent": own} if own.is_limited else self.budgets
            base = self._payers[role] = Payer(
                ledger=self.ledger(), team=self.team, role=role, budgets=budgets, settles_later=True
            )  # a `LedgerNode` waits for that
        around, budgets = current_payer(), dict(base.budgets)
        within = around if around is not None and around.hires is not None else None
        if within is not None:  # whose limits hold for all of it
            budgets = {"agent": self.limits.get(role, NO_LIMIT)}
        cassette = around.cassette if around is not None else None
        payer = replace(base, run_id=run_id, say=say, item=item, budgets=budgets, cassette=cassette, within=within)
        return replace(payer, budgets={**budgets, "item": payer.narrowest.shared_by(share)}) if share else payer


def ask_for_budget(state: TeamState, error: BudgetExhausted, payer: Payer, doing: str) -> StoredProposal:
    """The question whether a budget is raised; `doing` is what was going on, as a sentence."""
    others = f"{_said(error.what, error.promised)} is promised to {counted(error.runs, 'run')} that began before, "
    reason = (
        f"The budget of {describe_scope(error.scope)} does not cover the next call: {_said(error.what, error.spent)} "
        f"of {_said(error.what, error.limit)} is spent, {others if error.runs else ''}"
        f"and the call may take {_said(error.what, error.wanted)}. {doing} {_costs(state.get('usage', NO_USAGE))}"
    )
    if payer.within is not None:
        reason = f"{reason} It is a child of run {payer.account.run_id}, which pays for it."
    args = Raise.model_validate({"scope": error.scope, error.what: _more(error, payer)}).model_dump(mode="json")
    serial = len(state.get("outcomes", []))
    question = Proposal(action=RAISE_BUDGET, args=args, reason=reason)
    return store_proposal(state["run"]["id"], SUPERVISOR, serial, question)


def _more(error: BudgetExhausted, payer: Payer) -> float | int:
    """As much as the budget was at first, and at least enough for the next call."""
    first = getattr(payer.limit_of(error.scope), error.what) or 0
    missing = max(error.spent + error.wanted - error.limit, 0) * (1 if first else _CALLS_AT_LEAST)
    if error.what == "usd":
        return max(first, math.ceil(missing * 100) / 100) or 0.01
    return max(first, math.ceil(missing)) or 1


def _said(what: str, amount: float) -> str:
    """An amount with its unit, however large."""
    values: dict[str, Any] = {what: amount if what in ("usd", "seconds") else int(amount)}
    return str(Budget.model_construct(None, **values))


def _costs(usage: Usage) -> str:
    if not usage["calls"]:
        return "The run has called no model before."
    tokens = usage["input_tokens"] + usage["output_tokens"]
    made = f"{counted(usage['calls'], 'call')}: {counted(tokens, 'token')}, ${usage['cost_usd']:.4f}"
    return f"Before this step the run made {made}."


def may_raise(scope: str, *runs: str) -> bool:
    """Whether a run may ask about this budget: its own, or one that it shares with others; the state can be edited.

    `runs` are the run, and those around it.
    """
    level, _, name = scope.partition(":")
    if level == "run":
        return name in runs
    if level in ("agent", "call", "child"):
        return name.rpartition("/")[0] in runs
    return level in ("team", "day") and bool(name)
