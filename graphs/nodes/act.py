"""The act node: the only place where an action is called. Claimed in the ledger first, recorded there after."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, TypeVar, cast

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import get_runtime
from langgraph.types import Command

from signoff.agents import OutcomeStatus, act_span, current_payer, paying
from signoff.checkpoints import check_storable, describe_owner, digest, readable_text, working
from signoff.checkpoints.errors import AlreadyDecided, RunBusy, StoreError
from signoff.checkpoints.ledger import SETTLE_OUTCOME, Approval, Effect, Ledger, Outcome
from signoff.concurrency import await_result, begin, is_cancellable
from signoff.graphs.approval.enforcement import Enforcement
from signoff.graphs.approval.questions import CONTROLS, Raise, ask_outcome, describe_scope
from signoff.graphs.invocation import is_own_run
from signoff.graphs.routing.needs_and_gives import keep_given
from signoff.graphs.routing.planning import PLAN
from signoff.graphs.state import (
    FOLLOW_PLAN,
    RAISE_BUDGET,
    SUPERVISOR,
    Assignment,
    NodeWithConfig,
    StoredArtifact,
    StoredProposal,
    TeamState,
    Update,
    ended_steps,
    is_about,
    plan_step,
    settle_first,
)
from signoff.tools import Act, Action, acting
from signoff.tools.errors import ActionFailed, ActionPostponed

Next = Command[Literal["gate", "supervisor"]]

_TOGETHER, _PART_TOGETHER, _SECONDS_TOGETHER = 100, 8, 30.0
"""How many are called in one step of the graph, or which part of many more, and for how long others are begun.

Each step keeps what is known of all: were there as many steps as actions, a run would take the square of their number.
"""
_OUTCOME_SECONDS = 4.0
"""How long an action that is being called has yet to return when somebody cancels the run."""


def build_act(policy: Enforcement, ledger: Callable[[], Ledger], *, dry_run: bool) -> NodeWithConfig:
    """The act node of a team; with `dry_run` it calls nothing.

    Of proposals of one kind that are approved already, it calls one after the other, a few for each step of the graph:
    what each came to is in the ledger before the next is claimed.
    """
    return _Acts(policy, ledger, dry_run).act


@dataclass(frozen=True)
class _Acts:
    policy: Enforcement
    ledger: Callable[[], Ledger]
    dry_run: bool

    def act(self, state: TeamState, config: RunnableConfig) -> Next:
        if not state.get("proposals"):
            return Command(goto="supervisor")
        went, until = self._first(state, config, self._approval(state)), time.monotonic() + _SECONDS_TOGETHER
        for _ in range(max(_TOGETHER, len(state["proposals"]) // _PART_TOGETHER) - 1):
            update: Any = went.update
            has_time = time.monotonic() < until and not get_runtime().drain_requested
            if went.goto != "supervisor" or not _goes_on(update, has_time):
                break
            then = cast(TeamState, {**state, **update})
            approval = self._next(state["proposals"][0], then)
            if approval is None:
                break
            following: Any = self._first(then, config, approval)
            if following.goto != "supervisor" or not following.update:
                break  # whatever it is, the supervisor comes to it next
            said = [*update.get("messages", []), *following.update.get("messages", [])]
            went = Command(goto="supervisor", update={**update, **following.update, "messages": said})
        return went

    def _approval(self, state: TeamState) -> Approval | None:
        return self.ledger().approvals.of_proposal(state["proposals"][0]["id"])

    def _next(self, done: StoredProposal, state: TeamState) -> Approval | None:
        """The approval of what waits now, if that is one of its kind and may be called."""
        following = state["proposals"][0]
        if (following["action"], following["by"]) != (done["action"], done["by"]):
            return None
        approval = self._approval(state)
        if approval is None or approval.status != "approved" or approval.action in CONTROLS:
            return None
        return None if self.policy.denial(self.ledger(), approval) else approval

    def _first(self, state: TeamState, config: RunnableConfig, approval: Approval | None) -> Next:
        proposal, run_id = state["proposals"][0], state["run"]["id"]
        if (
            approval is None
            or approval.status != "approved"
            or not is_about(approval, proposal, run_id)
            or not is_own_run(run_id, config)
        ):
            return Command(goto="gate")
        if approval.action in CONTROLS:
            try:
                return Command(goto="supervisor", update=_follow_answer(self.ledger(), state, approval))
            except AlreadyDecided:
                return Command(goto="gate")  # taken back this moment
        by = approval.decided_by
        if self.dry_run or approval.dry_run:
            self.ledger().effects.skip(approval)
            args = approval.args
            skipped = settle_first(state, "skipped", by=by, detail="dry run: not called", args=args, result=args)
            return Command(goto="supervisor", update=skipped)
        action = self.policy.action(approval.action)
        if action is None:
            return Command(goto="gate")
        try:
            with act_span(action.name, run_id, args=approval.args):
                effect = perform(self.ledger(), approval, action)
        except AlreadyDecided:
            return Command(goto="gate")  # taken back this moment
        if effect.status in ("claimed", "released"):
            raise RunBusy(run_id, effect.claimed_by, who=describe_owner(effect.claimed_by), calls=action.name)
        if effect.status == "unknown":
            question = ask_outcome(effect, approval.args)
            return Command(goto="supervisor", update={"proposals": [question, *state["proposals"]]})
        status: OutcomeStatus = effect.status if effect.status in ("done", "failed") else "abandoned"
        settled = settle_first(
            state,
            status,
            by=by,
            detail=effect.error,
            args=approval.args,
            result=effect.result,
            give=partial(keep_given, action, state) if action.gives is not None else None,
        )
        return Command(goto="supervisor", update=settled)


def _goes_on(update: Update, has_time: bool) -> bool:
    """Whether the next is called at once: all went as it should, and nobody waits for what the last gave."""
    outcomes = update.get("outcomes", [])
    is_done = bool(outcomes) and outcomes[-1]["status"] in ("done", "skipped")
    return is_done and has_time and bool(update.get("proposals")) and "artifacts" not in update


def _follow_answer(ledger: Ledger, state: TeamState, approval: Approval) -> Update:
    """Do what was decided on a question of the team's own; the plan remembers why it goes on."""
    by, args = approval.decided_by, approval.args
    if approval.action == SETTLE_OUTCOME:
        _settle_effect(ledger, approval)
        return settle_first(state, "done", by=by)
    if approval.action == RAISE_BUDGET:
        raised = Raise.model_validate(args)
        ledger.budgets.raise_limit(raised.scope, raised.by, key=approval.proposal_id)
        update = settle_first(state, "done", by=by, result=args)
        note = f"{by}: {describe_scope(raised.scope)} may use more."
    elif approval.action == FOLLOW_PLAN:
        return {**settle_first(state, "done", by=by), **_follow_plan(state, approval)}
    else:
        instructions = str(args.get("instructions", ""))
        update = {
            **settle_first(state, "done", by=by),
            "turn_limit": state.get("turns", 0) + int(args["turns"]),
            "rounds": {},
            "trail": [],
            "assignment": Assignment(agent="", reason="", instructions=instructions),
        }
        note = f"{by}: go on. {instructions}".strip()
    return {**update, "plan": [*ended_steps(state.get("plan", [])), plan_step("person", "", "completed", note)]}


def _follow_plan(state: TeamState, approval: Approval) -> Update:
    """The plan as it was approved is what the team works by from now on."""
    by, steps = approval.decided_by, approval.args["steps"]
    asked = by != "policy"
    made: StoredArtifact = state["artifacts"].get(PLAN) or {
        "by": approval.proposed_by,
        "version": 0,
        "built_on": {},
        "value": {},
    }
    same = made["value"] == {"steps": steps}
    plan: StoredArtifact = {**made, "version": made["version"] + (not same), "value": {"steps": steps}}
    edited = approval.args["steps"] != approval.proposed["steps"]
    note = f"{by}: {'the plan was changed' if edited else 'the plan is right'}." if asked else "The plan is followed."
    step = plan_step("person" if asked else SUPERVISOR, "", "completed", note)
    update: Update = {
        "artifacts": {**state["artifacts"], PLAN: plan},
        "followed": digest(steps),
        "plan": [*ended_steps(state.get("plan", [])), step],
    }
    return {**update, "trail": []} if asked else update


def perform(ledger: Ledger, approval: Approval, action: Action[Any]) -> Effect:
    """Bring the approved action to its outcome: done once, or surely not, or unknown."""
    with ExitStack() as held:
        if (step := current_payer()) is not None:  # what an action runs is no child of who hired this run
            held.enter_context(paying(replace(step, hires=None)))
        owner = held.enter_context(working())
        claim = ledger.effects.claim(approval, owner=owner)
        effect = claim.effect
        if not claim.fresh:
            if effect.status == "unknown":
                known = _read_back(ledger, approval, action, effect)
                callable_again = known is None or (known.status == "unknown" and action.idempotent)
            else:
                known, callable_again = effect, effect.status == "released"
            if not callable_again:
                return known or effect
            claim_number = ledger.effects.reclaim(effect, owner=owner)
            if not claim_number:
                # Somebody was faster: RunBusy, or done. Or a call that took too long still goes on.
                return ledger.effects.claim(approval, owner=owner).effect
            effect = replace(effect, claims=claim_number)
        return _call(ledger, approval, action, effect, HeldClaim(ledger, effect, owner, held))


def _call(ledger: Ledger, approval: Approval, action: Action[Any], effect: Effect, held: HeldClaim) -> Effect:
    key, claim = effect.key, effect.claims
    try:
        arguments = action.arguments.model_validate(approval.args)
    except Exception as error:  # a validator is somebody else's code; nothing was called yet
        return ledger.effects.fail(key, f"the approved arguments do not fit {action.name}: {error}", claim=claim)
    held.check()
    seconds = action.limits.seconds if action.limits is not None else None
    act = Act(
        run_id=approval.run_id,
        team=approval.team,
        goal=approval.goal,
        agent=approval.proposed_by,
        approval_id=approval.id,
        approved_by=approval.decided_by,
        flags=approval.flags,
    )
    try:
        with acting(act):
            result = call_within(seconds, partial(action.call, arguments, key), held.leave)
    except TimeIsOver as error:
        # It may yet take effect: a read-back that does not see it now would not tell.
        return ledger.effects.lose(key, f"{action.name}: {error}", claim=claim, goes_on=True)
    except ActionPostponed as error:
        ledger.effects.record(key, claim, Outcome("released", error=error.problem))
        raise
    except ActionFailed as error:
        return ledger.effects.fail(key, error.problem, claim=claim)
    except BaseException as error:
        # Whatever stopped the call, it may have taken effect before: only ActionFailed promises that it did not.
        problem = f"{action.name} ended in {type(error).__name__}: {error}"
        if not isinstance(error, Exception):
            with suppress(StoreError):  # whoever stops it is not made to wait; this process still knows
                cut_off = Outcome("unknown", error=problem, goes_on=held.is_left)
                ledger.effects.record(key, claim, cut_off, patient=False)
            raise
        lost = ledger.effects.lose(key, problem, claim=claim, goes_on=held.is_left)
        return _read_back(ledger, approval, action, lost) or ledger.effects.fail(key, problem, claim=claim)
    return ledger.effects.finish(key, keepable(result), claim=claim)


def _read_back(ledger: Ledger, approval: Approval, action: Action[Any], effect: Effect) -> Effect | None:
    """What the action's own read-back tells of an unknown outcome: done, still unknown, or None if surely not done."""
    if action.reconcile is None or effect.status != "unknown":
        return effect
    claim = effect.claims
    try:
        result = action.reconcile(action.arguments.model_validate(approval.args), effect.key)
    except Exception as error:  # a read-back is somebody else's code; while it fails, nothing is known
        return ledger.effects.lose(effect.key, f"{effect.error}; its read-back failed: {error}", claim=claim)
    if result is None:
        ledger.effects.record_read_back(effect.key, "it did not happen")
        return None
    if not isinstance(result, Mapping):
        gave = f"{effect.error}; its read-back gave {type(result).__name__}, no result"
        return ledger.effects.lose(effect.key, gave, claim=claim)
    ledger.effects.record_read_back(effect.key, "it happened")
    return ledger.effects.finish(effect.key, keepable(result), claim=claim)


def _settle_effect(ledger: Ledger, approval: Approval) -> None:
    """Write what a person found out; an action that is to be called again is called by the next act."""
    args, by = approval.args, approval.decided_by
    settle = partial(ledger.effects.settle, args["effect"], claim=args["claim"], answer=approval)
    if args["happened"] == "yes":
        settle("done", result={"confirmed_by": by})
    elif args["retry"]:
        settle("released", error=f"did not happen, says {by}")
    else:
        settle("failed", error=f"did not happen, says {by}, and is not to be called again")


class HeldClaim:
    """A claim that is renewed until its call has ended, so that nobody calls the action while it may still take effect.

    That is at the end of `held`, or when a call that is left behind ends.
    """

    def __init__(self, ledger: Ledger, effect: Effect, owner: str, held: ExitStack) -> None:
        self._effects, self._effect, self._owner, self._held = ledger.effects, effect, owner, held
        self.is_left = False
        """Whether the call goes on, and nobody waits for it."""
        held.enter_context(ledger.keep_alive.renewing(self._renew, effect.key))

    def check(self) -> None:
        """RunBusy if it was taken over: this process may have slept since, and its arguments were somebody's code."""
        self._effects.check(self._effect, self._owner)

    def leave(self, coming: Future[Any]) -> None:
        """Nobody waits for the call any more; what will come of it is recorded when it does."""
        self.is_left, self._held = True, self._held.pop_all()
        coming.add_done_callback(self._record)

    def _record(self, coming: Future[Any]) -> None:
        """What came late: a person may have said something else by then, which stays."""
        key, claim, error = self._effect.key, self._effect.claims, coming.exception()
        effects = self._effects
        with self._held, suppress(StoreError):  # it stays unknown, and held no longer than this process lives
            if error is None:
                effects.finish(key, keepable(coming.result()), claim=claim)
            elif isinstance(error, ActionPostponed):
                effects.record(key, claim, Outcome("released", error=error.problem))
            elif isinstance(error, ActionFailed):
                effects.fail(key, error.problem, claim=claim)
            else:
                problem = f"{self._effect.action} ended in {type(error).__name__}: {error}"
                effects.lose(key, problem, claim=claim)
            effects.let_go(key, claim=claim)

    def _renew(self, key: str) -> None:
        self._effects.renew(key, self._owner, is_left=self.is_left)


def keepable(result: Any) -> dict[str, Any]:
    """The result as the ledger keeps it: it was done, whatever its author returned."""
    try:
        kept = dict(result)
        check_storable(kept)
    except (ValueError, TypeError, RecursionError):
        return {"unreadable": readable_text(repr(result)[:500])}
    return kept


T = TypeVar("T")


class TimeIsOver(Exception):
    """The call did not return in time. It goes on in its thread: nobody knows what will come of it."""


def call_within(seconds: float | None, call: Callable[[], T], leave: Callable[[Future[T]], None]) -> T:
    """What the call returns or raises; TimeIsOver if it has not after so many seconds. None: it is waited for.

    Whoever cancels the run waits a little for it: what came of it is better known than not. `leave` is given what will
    come of a call that is left behind, be it for the time or for an interrupt.
    """
    if seconds is None and not is_cancellable():
        return call()
    coming = begin(call)
    ended = False
    try:
        ended = await_result(coming, seconds, grace=_OUTCOME_SECONDS)
    finally:
        if not ended:
            leave(coming)
    if not ended and seconds is not None:
        raise TimeIsOver(f"it did not return within {seconds:g} seconds")
    return coming.result()
