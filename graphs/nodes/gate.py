"""The gate: the one node where a proposal is allowed, asked about or refused. The ledger decides, not the answer.

The node may be run again at any time, from its first line. It has no effect outside the ledger, asks the ledger first,
and raises its question once: LangGraph saves an answer before we see it, so a bad one must not raise, or the thread
would raise for ever; it routes back here instead, with the reason in the next question.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, cast

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphInterrupt
from langgraph.types import Command, Interrupt, interrupt

from signoff.agents import OutcomeStatus, Span, gate_span
from signoff.checkpoints import canonical, digest
from signoff.checkpoints.errors import AlreadyDecided
from signoff.checkpoints.ledger import SETTLE_OUTCOME, Approval, Ledger, Person
from signoff.error_base import SignoffError
from signoff.graphs.approval.answers import Decision, read_answer, read_reply
from signoff.graphs.approval.batch import MOST, batch_of, batch_payload, is_batched, read_batch
from signoff.graphs.approval.decision import Result, decide
from signoff.graphs.approval.description import question_payload, standing_after
from signoff.graphs.approval.enforcement import NO_ACTION, Enforcement, first_decided
from signoff.graphs.errors import BadAnswer
from signoff.graphs.invocation import calling_person, is_own_run
from signoff.graphs.routing.needs_and_gives import keep_given
from signoff.graphs.state import (
    NodeWithConfig,
    StoredProposal,
    TeamState,
    Update,
    is_about,
    question_over,
    renamed,
    settle_first,
)
from signoff.settings import load_settings
from signoff.tools import Action, Words

Next = Command[Literal["gate", "act", "supervisor"]]

Asked = tuple[StoredProposal, Approval]
"""A proposal, and the question about it."""

_NOT_COUNTED = "Your last answer did not count. {}"
_SAY_IT_AGAIN = (
    "Your last answer did not count. It does not say which question it is for, and another one was settled or changed "
    "a moment ago: it may have been meant for that. If you mean this one, send it again, or with its approval_id."
)


def _trace(span: Span, approval: Approval) -> None:
    """Tell whoever traces how a question stands; not who decided it, nor why: that is in the ledger."""
    by = ("policy" if approval.decided_by == "policy" else "person") if approval.decided_by else "nobody"
    told = {"id": approval.id, "action": approval.action, "risk": approval.risk, "status": approval.status, "by": by}
    span.told("approval", **told, edited=approval.edited, args_sha256=approval.args_sha256 or approval.shown_sha256)


def build_gate(policy: Enforcement, ledger: Callable[[], Ledger]) -> NodeWithConfig:
    def gate(state: TeamState, config: RunnableConfig) -> Next:
        if not state.get("proposals"):
            return Command(goto="supervisor")
        with gate_span(state["proposals"][0]["action"], state["run"]["id"]) as span:
            return _Visit(state, config, policy, ledger(), span).pass_on()

    return gate


@dataclass(frozen=True)
class _Visit:
    """One execution of the node."""

    state: TeamState
    config: RunnableConfig
    policy: Enforcement
    ledger: Ledger
    span: Span

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
        # Of a batch that was shown an answer may be half read, by a process that died: what it says of the rest counts.
        is_shown = len(shown := self.state.get("shown") or {}) > 1 and first["id"] in shown
        if action is not None and (approval.status == "pending" or is_shown):
            self.policy.open_early(self.ledger, others, self.run_id)
            return self._ask((first, approval), others, action)
        return self._follow(first, approval)

    @property
    def run_id(self) -> str:
        return self.state["run"]["id"]

    def _known(self, proposals: Sequence[StoredProposal]) -> Iterator[Asked]:
        """Those of these proposals that were opened, each with its approval."""
        known = self.ledger.approvals.of_proposals([proposal["id"] for proposal in proposals])
        for proposal in proposals:
            approval = known.get(proposal["id"])
            if approval is not None and is_about(approval, proposal, self.run_id):
                yield proposal, approval

    def _ask(self, waiting: Asked, others: Sequence[StoredProposal], action: Action[Any]) -> Next:
        asked, shown = self._together(waiting, others, action), self.state.get("shown") or {}
        if all(one.status != "pending" for _, one in asked):
            return self._follow(*waiting)
        if len(asked) > 1 and shown.keys() != _digests(asked).keys():
            # Kept first, so that an answer in their order is known to be about just these.
            return Command(goto="gate", update={"shown": _digests(asked)})
        for proposal, one in asked:
            if one.status == "pending" and shown.get(proposal["id"], one.proposed_sha256) != one.shown_sha256:
                # An answer that arrives now was given to what stood here before.
                edited = Result(one, "Its arguments were edited: this is what is asked about now.")
                return self._again(asked, [edited], **_changed())
        more = f" and {len(asked) - 1} more of its kind" if len(asked) > 1 else ""
        first = waiting[1]
        self.ledger.runs.set_status(first.run_id, "waiting", f"{first.action} waits for approval {first.id}{more}")
        caller = calling_person(self.config)
        left_by = self._begin(asked, caller)
        for _, one in asked:
            _trace(self.span, one)
        try:
            answer = interrupt(_payload(asked, action))
        except GraphInterrupt:
            self._end(asked, caller, left_by)
            decided = first_decided(self.ledger, self.state["proposals"])
            if decided is None:
                raise
            return self._go_on_with([decided["id"]])
        # Nothing may be raised from here on: LangGraph would keep the answer, for whoever resumes the thread next.
        try:
            if left_by:
                raise BadAnswer(f"A process ended while it read an answer of {left_by}, and it may be that one.")
            results = self._take(answer, asked, action, caller)
        except (SignoffError, OSError) as error:
            results = [Result(first, _NOT_COUNTED.format(error))]
        finally:
            with suppress(SignoffError):  # what is left behind only has the next answer asked for once more
                self._end(asked, caller, left_by)
        decided_now = [result.approval for result in results if result.approval.status != "pending"]
        if not decided_now:
            return self._again(asked, results)
        if len(asked) == 1:
            return self._follow(waiting[0], decided_now[0])
        return self._go_on_with([one.proposal_id for one in decided_now], results)

    def _together(self, first: Asked, others: Sequence[StoredProposal], action: Action[Any]) -> list[Asked]:
        """The first with those that are one question with it: as they were shown, if they were.

        Of the others no more are read than one question holds, however many wait.
        """
        shown = self.state.get("shown") or {}
        if len(shown) > 1 and first[0]["id"] in shown:
            asked = [first, *self._known([proposal for proposal in others if proposal["id"] in shown])]
            if len(asked) == len(shown):
                return asked
        if first[1].status != "pending" or not is_batched(first[1], action, self.policy.rules):
            return [first]
        alike = [one for one in others if (one["by"], one["action"]) == (first[0]["by"], first[0]["action"])]
        found: list[Asked] = [first]
        batch: tuple[Approval, ...] = (first[1],)
        for start in range(0, len(alike), MOST):
            found += self._known(alike[start : start + MOST])
            batch = batch_of([approval for _, approval in found], action, self.policy.rules)
            if len(batch) == MOST:
                break
        ids = {approval.id for approval in batch}
        return [one for one in found if one[1].id in ids]

    def _take(self, answer: Any, asked: Sequence[Asked], action: Action[Any], caller: Person) -> list[Result]:
        """What comes of an answer for each of those that it speaks of; BadAnswer if it speaks of none."""
        interrupt_id = _interrupt_id(self.config)
        if len(asked) == 1:
            return [self._decide(asked[0][1], action, answer, caller, interrupt_id)]
        read = read_batch(answer, [approval for _, approval in asked], interrupt_id)
        results = [Result(one, _NOT_COUNTED.format(read.unclear[one.id])) for _, one in asked if one.id in read.unclear]
        for _, one in asked:
            if one.id in read.said:
                results.append(self._decide(one, action, read.said[one.id], caller, interrupt_id))
        return results

    def _decide(
        self, approval: Approval, action: Action[Any], answer: Any, caller: Person, interrupt_id: str
    ) -> Result:
        """Write the decision in an answer into the ledger, or say why there is none."""
        try:
            decision = read_answer(answer, approval, action, interrupt_id)
            # Words about a proposal decide nothing; as an answer to another question they would.
            if (decision.kind == "approve" or action.form is not None) and self._may_be_late(decision, approval):
                return Result(approval, _SAY_IT_AGAIN)
            now = decide(self.ledger, approval, decision, self.policy.rules, by=caller)
        except AlreadyDecided:
            now = self.ledger.approvals.get(approval.id)  # what stands in the ledger wins
        except (SignoffError, OSError) as error:
            return Result(approval, _NOT_COUNTED.format(error))
        return Result(now, standing_after(approval, now) if now.status == "pending" else "")

    def _begin(self, asked: Sequence[Asked], caller: Person) -> str:
        """Write down who may be answering; return whose answer another execution left behind, if not this caller's.

        LangGraph keeps an answer until its node has returned, but not whose it was: a process that dies in between
        would leave it to be read in the name of whoever resumes the thread. The first of a batch says it for all.
        """
        name, approval = caller.name or "nobody knows who", asked[0][1]
        left = self.ledger.approvals.of_proposal(approval.proposal_id)
        left_by = left.answering if left is not None else ""
        if not (caller.name or left_by or _needs_names(asked)):
            return ""
        self.ledger.approvals.begin_answer(approval.id, left_by or name)
        return left_by if left_by != name else ""

    def _end(self, asked: Sequence[Asked], caller: Person, left_by: str) -> None:
        if caller.name or left_by or _needs_names(asked):
            self.ledger.approvals.end_answer(asked[0][1].id)

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

    def _again(self, asked: Sequence[Asked], results: Sequence[Result], **more: Any) -> Next:
        """Ask once more, and say why."""
        now = {result.approval.id: result.approval for result in results}
        shown = _digests([(proposal, now.get(approval.id, approval)) for proposal, approval in asked])
        edited = _changed() if shown != _digests(asked) else {}
        late = any(result.problem == _SAY_IT_AGAIN for result in results)
        update = {"proposals": self._told(results), "shown": shown, "asked_again": canonical.now() if late else ""}
        return Command(goto="gate", update={**update, **edited, **more})

    def _go_on_with(self, decided: Sequence[str], results: Sequence[Result] = ()) -> Next:
        """What was decided out of turn goes on first: the supervisor announces what is first."""
        proposals = sorted(self._told(results), key=lambda proposal: proposal["id"] not in decided)
        return Command(goto="supervisor", update={"proposals": proposals, "shown": {}})

    def _told(self, results: Sequence[Result]) -> list[StoredProposal]:
        """The proposals, each with why the last answer did not decide it."""
        problems = {result.approval.proposal_id: result.problem for result in results}
        return [
            {**proposal, "problem": problems.get(proposal["id"], "")}
            if proposal["id"] in problems or proposal.get("problem")
            else proposal
            for proposal in self.state["proposals"]
        ]

    def _rename(self, changed: StoredProposal) -> Next:
        """A proposal that was changed in the state is another one, which nobody has decided."""
        update = {"proposals": [renamed(changed, self.run_id), *self.state["proposals"][1:]], **_changed()}
        return Command(goto="supervisor", update=update)

    def _follow(self, proposal: StoredProposal, approval: Approval) -> Next:
        """Go where the ledger's decision leads."""
        _trace(self.span, approval)
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
        given = {name: value for name, value in result.items() if value not in ("", None)}
        spelled = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
        told = said if action.form is Words else "; ".join(map(": ".join, spelled.items()))
        give = partial(keep_given, action, self.state)
        update = settle_first(self.state, "answered", by=by, detail=told, result=result, give=give)
        return Command(goto="supervisor", update=update)

    def _settle(self, status: OutcomeStatus, detail: str, *, by: str = "policy") -> Next:
        return Command(goto="supervisor", update=settle_first(self.state, status, by=by, detail=detail))


def _payload(asked: Sequence[Asked], action: Action[Any]) -> dict[str, Any]:
    problems = [proposal.get("problem", "") for proposal, _ in asked]
    if len(asked) > 1:
        return batch_payload([approval for _, approval in asked], action, problems)
    return question_payload(asked[0][1], action, problems[0])


def _digests(asked: Sequence[Asked]) -> dict[str, str]:
    return {proposal["id"]: approval.shown_sha256 for proposal, approval in asked}


def _needs_names(asked: Sequence[Asked]) -> bool:
    return any(approval.authority.needs_names for _, approval in asked)


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
