"""Budgets in a team: who pays for a step, and what a person is asked when a budget is used up."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from signoff.agents.extractive.text import counted
from signoff.agents.run_context import Payer, Say, budgets_of, current_payer, say_nothing
from signoff.agents.usage import NO_USAGE, Usage
from signoff.checkpoints.ledger.budgets.model import NO_LIMIT, Budget
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import BudgetExhausted
from signoff.graphs.approval.questions import Raise, describe_scope, store_proposal
from signoff.graphs.state import RAISE_BUDGET, StoredProposal, TeamState
from signoff.settings import load_settings
from signoff.tools.action import Proposal

_CALLS_AT_LEAST = 5
"""Calls like the next one that a budget of nothing is proposed to be raised for."""
SUPERVISOR = "supervisor"
"""Whom the calls of the supervisor's own model are charged to."""


@dataclass(frozen=True)
class Account:
    """Whose ledger and budgets the models of a team are called on."""

    ledger: Callable[[], Ledger]
    team: str
    run_budget: Budget | None = None
    """None: as the settings say."""
    limits: Mapping[str, Budget] = field(default_factory=dict)
    """Budgets of single roles in one run."""

    @cached_property
    def budgets(self) -> dict[str, Budget]:
        """Limits by level. Settings are read once, when the first step begins."""
        found = budgets_of(load_settings())
        return found if self.run_budget is None else {**found, "run": self.run_budget}

    @cached_property
    def _payers(self) -> dict[str, Payer]:
        """The payer of each role, but for the run."""
        return {}

    def prepare(self) -> None:
        """Read the settings and open the ledger, which may block."""
        _ = self.budgets
        self.ledger()

    def payer(self, run_id: str, role: str, say: Say = say_nothing) -> Payer:
        """Who pays for a step of this role; a tape that is played or recorded around the run stays in place."""
        base = self._payers.get(role)
        if base is None:
            own = self.limits.get(role, NO_LIMIT)
            budgets = {**self.budgets, "agent": own} if own.is_limited else self.budgets
            base = self._payers[role] = Payer(ledger=self.ledger(), team=self.team, role=role, budgets=budgets)
        around = current_payer()
        return replace(base, run_id=run_id, say=say, tape=around.tape if around is not None else None)


def ask_for_budget(state: TeamState, error: BudgetExhausted, payer: Payer, doing: str) -> StoredProposal:
    """The question whether a budget is raised; `doing` is what was going on, as a sentence."""
    reason = (
        f"The budget of {describe_scope(error.scope)} does not cover the next call: {_said(error.what, error.spent)} "
        f"of {_said(error.what, error.limit)} is spent, and the call may take {_said(error.what, error.wanted)}. "
        f"{doing} {_costs(state.get('usage', NO_USAGE))}"
    )
    args = Raise.model_validate({"scope": error.scope, error.what: _more(error, payer)}).model_dump(mode="json")
    serial = len(state.get("outcomes", []))
    return store_proposal(
        state["run"]["id"], SUPERVISOR, serial, Proposal(action=RAISE_BUDGET, args=args, reason=reason)
    )


def _more(error: BudgetExhausted, payer: Payer) -> float | int:
    """As much as the budget was at first, and at least enough for the next call."""
    first = getattr(payer.budgets.get(error.scope.partition(":")[0], NO_LIMIT), error.what) or 0
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


def raised_by(args: Mapping[str, Any]) -> tuple[str, Budget]:
    """Whose budget a person raised, and by how much."""
    raised = Raise.model_validate(dict(args))
    return raised.scope, raised.by


def may_raise(scope: str, run_id: str) -> bool:
    """Whether a run may ask about this budget: its own, or one that it shares with others; the state can be edited."""
    level, _, name = scope.partition(":")
    if level == "run":
        return name == run_id
    if level in ("agent", "call"):
        return name.startswith(f"{run_id}/")
    return level in ("team", "day") and bool(name)
