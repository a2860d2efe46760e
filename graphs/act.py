"""The act node: the only place where an action is called. Claimed in the ledger first, recorded there after."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from langgraph.types import Command
from pydantic import ValidationError

from signoff.checkpoints.approvals import Approval
from signoff.checkpoints.digest import check_storable, readable_text
from signoff.checkpoints.effects import Effect
from signoff.checkpoints.ledger import Ledger
from signoff.checkpoints.owner import current_owner
from signoff.errors import ActionFailed
from signoff.graphs.control import CONTINUE_RUN, SETTLE_OUTCOME, ask_outcome
from signoff.graphs.gate import Actions, is_of, outcome_message
from signoff.graphs.state import (
    Assignment,
    Node,
    Outcome,
    StoredProposal,
    TeamState,
    Update,
    ended_steps,
    plan_step,
    settle_first,
)
from signoff.tools.action import Action

Next = Command[Literal["gate", "supervisor"]]


def build_act(actions: Actions, ledger: Callable[[], Ledger]) -> Node:
    """The act node of a team."""

    def act(state: TeamState) -> Next:
        if not state.get("proposals"):
            return Command(goto="supervisor")
        proposal = state["proposals"][0]
        approval = ledger().approvals.of_proposal(proposal["id"])
        if approval is None or approval.status != "approved" or not is_of(approval, proposal, state["run"]["id"]):
            return Command(goto="gate")
        if proposal["action"] == CONTINUE_RUN:
            return _go_on(state, proposal, approval)
        if proposal["action"] == SETTLE_OUTCOME:
            _settle_effect(ledger(), approval)
            return Command(goto="supervisor", update=_settle(state, _outcome(proposal, approval, "done", {})))
        effect = perform(ledger(), approval, actions[proposal["action"]])
        if effect.status == "unknown":
            question = ask_outcome(state["run"]["id"], len(state.get("outcomes", [])), effect.key, effect.error)
            return Command(goto="supervisor", update={"proposals": [question, *state["proposals"]]})
        status: Literal["done", "failed", "abandoned"] = (
            effect.status if effect.status in ("done", "failed") else "abandoned"
        )
        outcome = _outcome(proposal, approval, status, effect.result, effect.error)
        return Command(goto="supervisor", update=_settle(state, outcome))

    return act


def perform(ledger: Ledger, approval: Approval, action: Action[Any]) -> Effect:
    """Bring the approved action to its outcome: done once, or surely not, or unknown."""
    claim = ledger.effects.claim(approval, owner=current_owner())
    effect = claim.effect
    if not claim.fresh:
        if effect.status == "unknown":
            known = _read_back(ledger, approval, action, effect)
            callable_again = known is None or (known.status == "unknown" and action.idempotent)
        else:
            known, callable_again = effect, effect.status == "released"
        if not callable_again:
            return known or effect
        if not ledger.effects.reclaim(effect.key, owner=current_owner()):
            return ledger.effects.claim(approval, owner=current_owner()).effect  # somebody was faster: RunBusy, or done
    return _call(ledger, approval, action, effect.key)


def _call(ledger: Ledger, approval: Approval, action: Action[Any], key: str) -> Effect:
    try:
        arguments = action.arguments.model_validate(approval.args)
    except ValidationError as error:
        return ledger.effects.fail(key, f"the approved arguments do not fit {action.name}: {error}")
    try:
        result = action.call(arguments, key)
    except ActionFailed as error:
        return ledger.effects.fail(key, error.problem)
    except BaseException as error:
        # Whatever stopped the call, it may have taken effect before: only ActionFailed promises that it did not.
        problem = f"{action.name} ended in {type(error).__name__}: {error}"
        lost = ledger.effects.lose(key, problem)
        if not isinstance(error, Exception):
            raise
        return _read_back(ledger, approval, action, lost) or ledger.effects.fail(key, problem)
    return ledger.effects.finish(key, _keepable(result))


def _keepable(result: Any) -> dict[str, Any]:
    """The result as the ledger keeps it: it was done, whatever its author returned."""
    try:
        kept = dict(result)
        check_storable(kept)
    except (ValueError, TypeError, RecursionError):
        return {"unreadable": readable_text(repr(result)[:500])}
    return kept


def _read_back(ledger: Ledger, approval: Approval, action: Action[Any], effect: Effect) -> Effect | None:
    """What the action's own read-back tells of an unknown outcome: done, still unknown, or None if surely not done."""
    if action.reconcile is None:
        return effect
    try:
        result = action.reconcile(action.arguments.model_validate(approval.args), effect.key)
    except Exception as error:  # a read-back is somebody else's code; while it fails, nothing is known
        return ledger.effects.lose(effect.key, f"{effect.error}; its read-back failed: {error}")
    if result is None:
        return None
    if not isinstance(result, Mapping):
        return ledger.effects.lose(effect.key, f"{effect.error}; its read-back gave {type(result).__name__}, no result")
    return ledger.effects.finish(effect.key, _keepable(result))


def _settle_effect(ledger: Ledger, approval: Approval) -> None:
    """Write what a person found out; an action that did not happen is called again by the next act."""
    key = str(approval.args["effect"])
    if approval.args["happened"] == "yes":
        ledger.effects.finish(key, {"confirmed_by": approval.decided_by})
    else:
        ledger.effects.release(key, f"did not happen, says {approval.decided_by}")


def _go_on(state: TeamState, proposal: StoredProposal, approval: Approval) -> Next:
    """Raise the limit: counters start afresh, the plan remembers why."""
    instructions = str(approval.args.get("instructions", ""))
    note = plan_step("person", "", "completed", f"{approval.decided_by}: go on. {instructions}".strip())
    update: Update = {
        **_settle(state, _outcome(proposal, approval, "done", {})),
        "turn_limit": state.get("turns", 0) + int(approval.args["turns"]),
        "rounds": {},
        "plan": [*ended_steps(state.get("plan", [])), note],
        "assignment": Assignment(agent="", reason="", instructions=instructions),
    }
    return Command(goto="supervisor", update=update)


def _settle(state: TeamState, outcome: Outcome) -> Update:
    return {**settle_first(state, outcome), "messages": [outcome_message(outcome)]}


def _outcome(
    proposal: StoredProposal,
    approval: Approval,
    status: Literal["done", "failed", "abandoned"],
    result: dict[str, Any],
    detail: str = "",
) -> Outcome:
    return Outcome(
        proposal=proposal["id"],
        action=proposal["action"],
        status=status,
        detail=detail,
        by=approval.decided_by,
        result=result,
    )
