"""Policy enforcement: what policy says of a proposal opens its approval in the ledger, and holds until it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from signoff.checkpoints import canonical, digest
from signoff.checkpoints.ledger import QUESTION, SETTLE_OUTCOME, Approval, Ledger, Question
from signoff.graphs.approval.answers import misfit
from signoff.graphs.approval.decision import Rules
from signoff.graphs.approval.questions import CONTROLS, may_raise
from signoff.graphs.policy.policy import Rate, Ruling
from signoff.graphs.state import FOLLOW_PLAN, RAISE_BUDGET, StoredProposal
from signoff.settings import load_settings
from signoff.tools import Action

Actions = Mapping[str, Action[Any]]

NO_ACTION = "no agent of the team has this action"


@dataclass(frozen=True)
class Enforcement:
    """A team's actions and its policy for them, as they stand now."""

    actions: Actions
    rules: Rules
    rates: Callable[[str], Sequence[Rate]]
    """How many actions of one run may be done, for proposals of this role."""

    def action(self, name: str) -> Action[Any] | None:
        """None if no agent of the team has it any more; the team's own questions are always there."""
        return CONTROLS.get(name) or self.actions.get(name)

    def open(self, ledger: Ledger, proposal: StoredProposal, run_id: str) -> Approval:
        """The approval of a proposal that has none: open, allowed or denied, as policy rules.

        UnknownRun if the thread's run is not in this ledger: it was begun with another one.
        """
        ledger.runs.get(run_id)
        ruling = self._ruling(ledger, proposal, run_id, 0, ledger.approvals.rejected(run_id))
        question = self._question(proposal, run_id)
        if ruling.kind == "deny":
            return ledger.approvals.deny(question, why=ruling.why)
        if ruling.kind == "allow":
            return ledger.approvals.allow(question, why=ruling.why)
        return self._ask(ledger, question, ruling)

    def open_early(self, ledger: Ledger, waiting: Sequence[StoredProposal], run_id: str) -> None:
        """The approvals of proposals that wait behind another, of those that have none: only what policy asks about.

        What is known of the run is read once for all.
        """
        known = ledger.approvals.decided([proposal["id"] for proposal in waiting])
        fresh = [(ahead, one) for ahead, one in enumerate(waiting, start=1) if one["id"] not in known]
        rejected = ledger.approvals.rejected(run_id) if fresh else {}
        for ahead, proposal in fresh:
            ruling = self._ruling(ledger, proposal, run_id, ahead, rejected)
            if ruling.kind == "ask":
                self._ask(ledger, self._question(proposal, run_id), ruling)

    def _ask(self, ledger: Ledger, question: Question, ruling: Ruling) -> Approval:
        hours = load_settings().approval_hours if ruling.hours is None else ruling.hours
        return ledger.approvals.ask(
            question,
            expires_in=None if question.action in CONTROLS and ruling.hours is None else hours * 3600,
            authority=ruling.authority,
            why=ruling.why,
        )

    def _ruling(
        self,
        ledger: Ledger,
        proposal: StoredProposal,
        run_id: str,
        ahead: int,
        rejected: Mapping[tuple[str, str], Approval],
    ) -> Ruling:
        action = self.action(proposal["action"])
        if action is None:
            return Ruling("deny", why=NO_ACTION)
        if problem := _misfit(action, proposal["args"]):
            return Ruling("deny", why=problem)
        if proposal["action"] in CONTROLS and proposal["action"] != FOLLOW_PLAN:
            return _control_ruling(ledger, proposal, run_id)
        before = rejected.get((proposal["action"], digest(proposal["args"])))
        if before is not None:
            why = f"the same was rejected before by {before.decided_by}: {before.decision_reason}"
            return Ruling("deny", why=why.rstrip(": "))
        ruling = self.rules(proposal["by"], proposal["action"], proposal["args"])
        if ruling.authority.four_eyes and not ledger.runs.get(run_id).requested_by:
            why = "somebody else than the requester must decide, and nobody knows who asked for this run"
            return Ruling("deny", why=why)
        if action.form is not None:  # nothing outside, which rates are about; and nobody answers it but a person
            return Ruling("ask", why="it is a question") if ruling.kind == "allow" else ruling
        if ruling.kind == "allow" and proposal.get("flags"):
            ruling = Ruling("ask", why="orders were found in the texts that it was made from")
        if proposal["action"] == FOLLOW_PLAN:  # nothing outside, which rates are about
            return ruling
        return self._within_rates(ledger, ruling, self.rates(proposal["by"]), run_id, ahead)

    def _within_rates(self, ledger: Ledger, ruling: Ruling, rates: Sequence[Rate], run_id: str, ahead: int) -> Ruling:
        for rate in rates:
            since = "" if rate.seconds is None else canonical.later(-rate.seconds)
            if ruling.kind == "deny" or ledger.effects.count(run_id, since=since) + ahead < rate.count:
                continue
            if rate.then == "deny":
                ruling = Ruling("deny", why=f"{rate.describe()} are allowed")
            elif ruling.kind == "allow":
                ruling = Ruling("ask", why=f"{rate.describe()} are allowed")
        return ruling

    def denial(self, ledger: Ledger, approval: Approval) -> str:
        """Why what was approved may not be done all the same, by policy as it stands now; empty if it may.

        What was edited past policy, what was approved under a weaker policy than today's, and what is one too many for
        its run. What was called before is no longer policy's to allow.
        """
        if approval.action in CONTROLS or ledger.effects.of_approval(approval.id) is not None:
            return ""
        ruling = self.rules(approval.proposed_by, approval.action, approval.args)
        if ruling.kind == "deny":
            return ruling.why
        asked = approval.decided_by != "policy"
        if ruling.kind == "ask" and not (asked and approval.authority.covers(ruling.authority)):
            return f"it needs another decision now: {ruling.authority.describe()} ({ruling.why})"
        strict = [rate for rate in self.rates(approval.proposed_by) if rate.then == "deny"]
        return self._within_rates(ledger, Ruling("ask"), strict, approval.run_id, ahead=0).why

    def _question(self, proposal: StoredProposal, run_id: str) -> Question:
        action = self.action(proposal["action"])
        return Question(
            proposal_id=proposal["id"],
            run_id=run_id,
            action=proposal["action"],
            args=proposal["args"],
            reason=proposal["reason"],
            risk="external" if action is None else action.risk if action.form is None else QUESTION,
            proposed_by=proposal["by"],
            flags=tuple(proposal.get("flags", ())),
        )


def first_decided(ledger: Ledger, waiting: Sequence[StoredProposal]) -> StoredProposal | None:
    """The first proposal that a person has decided out of turn, and that nothing was done about yet."""
    # What was claimed before waits for the question what came of it, which is ahead of it.
    decided = ledger.approvals.decided([proposal["id"] for proposal in waiting])
    return next((proposal for proposal in waiting if decided.get(proposal["id"])), None)


def _control_ruling(ledger: Ledger, proposal: StoredProposal, run_id: str) -> Ruling:
    """The team's own questions: anybody says whether it goes on; what happened is for those who could approve it."""
    if proposal["action"] == RAISE_BUDGET:
        around = (run for run, _ in ledger.runs.get(run_id).path)
        if not may_raise(proposal["args"]["scope"], run_id, *around):
            return Ruling("deny", why="it is another run's budget")
    if proposal["action"] != SETTLE_OUTCOME:
        return Ruling("ask", why="the team asks whether to go on")
    effect = ledger.effects.get(str(proposal["args"]["effect"]))
    if effect is None or effect.run_id != run_id:
        return Ruling("deny", why="the run has no such effect")
    authority = ledger.approvals.get(effect.approval_id).authority
    return Ruling("ask", authority, why="nobody knows whether it happened")


def _misfit(action: Action[Any], args: Mapping[str, Any]) -> str:
    """Why the arguments are none for this action; empty if they are."""
    try:
        read = action.arguments.model_validate(args).model_dump(mode="json")
    except Exception as error:  # a validator is somebody else's code
        return f"the arguments do not fit {action.name}: {misfit(error)}"
    # What policy rules on and a person sees must be what the action gets.
    return "" if digest(read) == digest(args) else f"{action.name} would read the arguments as something else"
