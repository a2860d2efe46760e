"""The gate: the one node where a proposal is allowed, asked about or refused. The ledger decides, not the answer.

The node may be run again at any time, from its first line. It has no effect outside the ledger, asks the ledger first,
and raises its question once: LangGraph saves an answer before we see it, so a bad one must not raise, or the thread
would raise for ever; it routes back here instead, with the reason in the next question.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.types import Command, Interrupt, interrupt

from signoff.agents import OutcomeStatus, gate_span
from signoff.checkpoints import canonical, digest
from signoff.checkpoints.errors import AlreadyDecided
from signoff.checkpoints.ledger import SETTLE_OUTCOME, Approval, Ledger, Person
from signoff.error_base import SignoffError
from signoff.graphs.approval.answers import Decision, read_answer, read_reply
from signoff.graphs.approval.decision import decide
from signoff.graphs.approval.description import question_payload, standing_after
from signoff.graphs.approval.enforcement import NO_ACTION, Enforcement, first_decided
from signoff.graphs.errors import BadAnswer
from signoff.graphs.invocation import calling_person
from signoff.graphs.routing.needs_and_gives import keep_given
from signoff.graphs.state import (
    NodeWithConfig,
    StoredProposal,
    TeamState,
    Update,
    is_about,
    is_own_run,
    question_over,
    settle_first,
)
from signoff.settings import load_settings
from signoff.tools import Action, Words

Next = Command[Literal["gate", "act", "supervisor"]]

_SAY_IT_AGAIN = (
    "Your last answer did not count. It does not say which question it is for, and another one was settled or changed "
    "a moment ago: it may have been meant for that. If you mean this one, send it again, or with its approval_id."
)


def build_gate(policy: Enforcement, ledger: Callable[[], Ledger]) -> NodeWithConfig:
    def gate(state: TeamState, config: RunnableConfig) -> Next:
        if not state.get("proposals"):
            return Command(goto="supervisor")
        with gate_span(state["proposals"][0]["action"], state["run"]["id"]):
            return _Visit(state, config, policy, ledger()).pass_on()

    return gate


@dataclass(frozen=True)
class _Visit:
    """One execution of the node."""

    state: TeamState
    config: RunnableConfig
    policy: Enforcement
    ledger: Ledger

    def pass_on(self) -> Next:
        """Where the run goes next."""
        first, *others = self.state["proposals"]
        if not is_own_run(self.run_id, self.config):
            return self._settle("denied", "the state names a run that is not this thread's")
        known = self.ledger.approvals.of_proposal(first["id"])
        if known is not None and not is_about(known, first, self.run_id):
            return self._rename(first)
        approval = known or self.policy.open(self.ledger, first, self.run_id)
        action = self.policy.action(first["action"])
        if action is None and approval.status in ("pending", "approved"):
            self.ledger.approvals.close(approval.id, by="policy", reason=NO_ACTION)
            return self._settle("denied", NO_ACTION)
        waiting = [other for place, other in enumerate(others, 1) if self._is_open(other, ahead=place)]
        if approval.status == "pending" and action is not None:
            return self._ask(first, approval, action, waiting)
        return self._follow(first, approval)

    @property
    def run_id(self) -> str:
        return self.state["run"]["id"]

    def _is_open(self, proposal: StoredProposal, ahead: int) -> bool:
        """Whether a proposal that waits behind others can be decided already; opened if policy asks about it."""
        known = self.ledger.approvals.of_proposal(proposal["id"])
        if known is not None:
            return is_about(known, proposal, self.run_id)
        return self.policy.open_early(self.ledger, proposal, self.run_id, ahead) is not None

    def _ask(
        self, first: StoredProposal, approval: Approval, action: Action[Any], waiting: list[StoredProposal]
    ) -> Next:
        seen = (self.state.get("shown") or {}).get(first["id"], approval.proposed_sha256)
        if seen != approval.shown_sha256:
            # An answer that arrives now was given to what stood here before.
            return self._again(approval, "Its arguments were edited: this is what is asked about now.", **_changed())
        note = f"{approval.action} waits for approval {approval.id}"
        self.ledger.runs.set_status(approval.run_id, "waiting", note)
        caller = calling_person(self.config)
        left_by = self._begin(approval, caller)
        try:
            answer = interrupt(question_payload(approval, action, self.state.get("problem", "")))
        except GraphInterrupt:
            self._end(approval, caller, left_by)
            decided = first_decided(self.ledger, waiting)
            if decided is None:
                raise
            # Put first: the supervisor announces what is first.
            rest = [proposal for proposal in self.state["proposals"] if proposal["id"] != decided["id"]]
            return Command(goto="supervisor", update={"proposals": [decided, *rest], "problem": ""})
        # Nothing may be raised from here on: LangGraph would keep the answer, for whoever resumes the thread next.
        try:
            if left_by:
                raise BadAnswer(f"A process ended while it read an answer of {left_by}, and it may be that one.")
            decision = read_answer(answer, approval, action, _interrupt_id(self.config))
            # Words about a proposal decide nothing; as an answer to another question they would.
            if (decision.kind == "approve" or action.form is not None) and self._may_be_late(decision, approval):
                return self._again(approval, _SAY_IT_AGAIN, asked_again=canonical.now())
            now = decide(self.ledger, approval, decision, self.policy.rules, by=caller)
        except AlreadyDecided:
            now = self.ledger.approvals.get(approval.id)  # what stands in the ledger wins
        except (SignoffError, OSError) as error:
            return self._again(approval, f"Your last answer did not count. {error}")
        finally:
            with suppress(SignoffError):  # what is left behind only has the next answer asked for once more
                self._end(approval, caller, left_by)
        if now.status == "pending":
            edited = _changed() if now.shown_sha256 != approval.shown_sha256 else {}
            return self._again(now, standing_after(approval, now), **edited)
        return self._follow(first, now)

    def _begin(self, approval: Approval, caller: Person) -> str:
        """Write down who may be answering; return whose answer another execution left behind, if not this caller's.

        LangGraph keeps an answer until its node has returned, but not whose it was: a process that dies in between
        would leave it to be read in the name of whoever resumes the thread.
        """
        name = caller.name or "nobody knows who"
        left = self.ledger.approvals.of_proposal(approval.proposal_id)
        left_by = left.answering if left is not None else ""
        if not (caller.name or approval.authority.needs_names or left_by):
            return ""
        self.ledger.approvals.begin_answer(approval.id, left_by or name)
        return left_by if left_by != name else ""

    def _end(self, approval: Approval, caller: Person, left_by: str) -> None:
        if caller.name or approval.authority.needs_names or left_by:
            self.ledger.approvals.end_answer(approval.id)

    def _may_be_late(self, decision: Decision, approval: Approval) -> bool:
        """Whether an approval may have been given to another question: sent twice, or overtaken by another decision."""
        if decision.names == "question":
            return False
        about = digest(decision.args) if decision.kind == "approve" else approval.shown_sha256
        if decision.names == "arguments" and not self.ledger.approvals.has_twin(approval, about):
            return False
        settled_at, asked_again = self.state.get("settled_at", ""), self.state.get("asked_again", "")
        seconds = load_settings().confirm_seconds
        if not settled_at or _age(settled_at) >= seconds:
            return False
        return not asked_again or _age(asked_again) < seconds / 30

    def _again(self, approval: Approval, problem: str, *, asked_again: str = "", **more: Any) -> Next:
        shown = {approval.proposal_id: approval.shown_sha256}
        return Command(goto="gate", update={"problem": problem, "shown": shown, "asked_again": asked_again, **more})

    def _rename(self, changed: StoredProposal) -> Next:
        """A proposal that was changed in the state is another one, which nobody has decided."""
        identity = digest([self.run_id, changed["id"], changed["action"], changed["args"]])
        renamed: StoredProposal = {**changed, "id": f"p-{identity[:12]}"}
        update = {"proposals": [renamed, *self.state["proposals"][1:]], **_changed()}
        return Command(goto="supervisor", update=update)

    def _follow(self, proposal: StoredProposal, approval: Approval) -> Next:
        """Go where the ledger's decision leads."""
        self.ledger.runs.set_status(approval.run_id, "running")
        if approval.status == "approved":
            if why := self.policy.denial(self.ledger, approval):
                return self._settle("denied", why)
            return Command(goto="act", update=question_over())
        if proposal["action"] == SETTLE_OUTCOME and approval.decided_by != "policy":
            effect, claim = str(proposal["args"]["effect"]), int(proposal["args"]["claim"])
            given_up = f"given up by {approval.decided_by}"
            try:
                self.ledger.effects.settle(effect, "abandoned", claim=claim, error=given_up, answer=approval)
            except AlreadyDecided:
                return Command(goto="gate")  # taken back this moment
        action = self.policy.action(proposal["action"])
        if approval.status == "answered" and action is not None and action.form is not None:
            return self._settle_reply(approval, action)
        return self._settle(_outcome_status(approval), approval.decision_reason, by=approval.decided_by)

    def _settle_reply(self, approval: Approval, action: Action[Any]) -> Next:
        """The answer to a question is its outcome; one that does not fit any more is none."""
        by, said = approval.decided_by, approval.decision_reason
        try:
            result = read_reply(said, action)
        except BadAnswer as error:
            return self._settle("failed", f"{by} answered {said!r:.200}, and {error.problem}", by=by)
        spelled = {name: value if isinstance(value, str) else json.dumps(value) for name, value in result.items()}
        told = said if action.form is Words else "; ".join(map(": ".join, spelled.items()))
        give = partial(keep_given, action, self.state)
        update = settle_first(self.state, "answered", by=by, detail=told, result=result, give=give)
        return Command(goto="supervisor", update=update)

    def _settle(self, status: OutcomeStatus, detail: str, *, by: str = "policy") -> Next:
        return Command(goto="supervisor", update=settle_first(self.state, status, by=by, detail=detail))


def _changed() -> Update:
    """What is asked about has changed: an answer to what stood there may still arrive."""
    return {"settled_at": canonical.now()}


def _age(moment: str) -> float:
    """Seconds since a moment that the state names; none have passed since one that makes no sense."""
    try:
        return canonical.seconds_since(moment)
    except (TypeError, ValueError):
        return 0.0


def _interrupt_id(config: RunnableConfig) -> str:
    """Id of the question this execution of the node raises."""
    return Interrupt.from_ns(None, ns=str(config.get("configurable", {}).get("checkpoint_ns", ""))).id


def _outcome_status(approval: Approval) -> OutcomeStatus:
    if approval.status == "rejected" and approval.decided_by == "policy":
        return "denied"
    return cast(OutcomeStatus, approval.status)  # what is not approved is called the same
