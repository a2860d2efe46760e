"""The gate: the one node where a proposal is allowed, asked about or refused. The ledger decides, not the answer.

The node may be run again at any time, from its first line. It has no effect outside the ledger, asks the ledger first,
and raises its question once: LangGraph saves an answer before we see it, so a bad one must not raise, or the thread
would raise for ever; it routes back here instead, with the reason in the next question.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from langchain_core.messages import ToolMessage
from langchain_core.runnables import RunnableConfig
from langgraph.types import Command, Interrupt, interrupt

from signoff.checkpoints.approvals import Approval, Question
from signoff.checkpoints.ledger import Ledger
from signoff.errors import AlreadyDecided, BadAnswer
from signoff.graphs.answers import Decision, read_answer
from signoff.graphs.control import CONTROLS, SETTLE_OUTCOME
from signoff.graphs.policy import Ask, Policy
from signoff.graphs.state import NodeWithConfig, Outcome, StoredProposal, TeamState, Update, settle_first
from signoff.tools.action import Action

Next = Command[Literal["gate", "act", "supervisor"]]
Actions = dict[str, Action[Any]]


def build_gate(
    actions: Actions, policy: Policy, ledger: Callable[[], Ledger], hours: Callable[[], float]
) -> NodeWithConfig:
    """The gate node of a team; `hours` is how long a question stays open unless policy says otherwise."""

    def gate(state: TeamState, config: RunnableConfig) -> Next:
        if not state.get("proposals"):
            return Command(goto="supervisor")
        proposal = state["proposals"][0]
        control = proposal["action"] in CONTROLS
        rule = Ask() if control else policy.rule(proposal["action"])
        action = CONTROLS.get(proposal["action"]) or actions.get(proposal["action"])
        if action is None or rule == "deny":
            return _settle(state, proposal, "denied", "policy does not allow it", by="policy")
        question = _question(state, proposal, action)
        approvals = ledger().approvals
        if rule == "allow":
            approval = approvals.allow(question, by="policy")
        else:
            open_for = None if control else (rule.hours if rule.hours is not None else hours()) * 3600
            approval = approvals.ask(question, expires_in=open_for)
        if not is_of(approval, proposal, state["run"]["id"]):
            return _settle(state, proposal, "denied", "it is not what the ledger knows under its id", by="policy")
        if approval.status == "pending":
            ledger().runs.set_status(approval.run_id, "waiting", f"{approval.action} waits for approval {approval.id}")
            answer = interrupt(_payload(approval, action, state.get("problem", "")))
            try:
                decision = read_answer(answer, approval, action, _interrupt_id(config))
                approval = _decide(ledger(), decision, approval, _who(config))
            except BadAnswer as error:
                return Command(goto="gate", update={"problem": str(error)})
        return _follow(state, proposal, approval, ledger())

    return gate


def _follow(state: TeamState, proposal: StoredProposal, approval: Approval, ledger: Ledger) -> Next:
    """Go where the ledger's decision leads."""
    ledger.runs.set_status(approval.run_id, "running")
    if approval.status == "approved":
        return Command(goto="act", update={"problem": ""})
    if proposal["action"] == SETTLE_OUTCOME:
        ledger.effects.abandon(str(proposal["args"]["effect"]), f"given up by {approval.decided_by}")
    status: Literal["rejected", "expired"] = "rejected" if approval.status == "rejected" else "expired"
    return _settle(state, proposal, status, approval.decision_reason, by=approval.decided_by)


def is_of(approval: Approval, proposal: StoredProposal, run_id: str) -> bool:
    """Whether the approval is about just this proposal: the state can be edited, the ledger decides."""
    known = (approval.proposal_id, approval.run_id, approval.action, approval.shown)
    return known == (proposal["id"], run_id, proposal["action"], proposal["args"])


def _interrupt_id(config: RunnableConfig) -> str:
    """Id of the question this execution of the node raises."""
    return Interrupt.from_ns(None, ns=str(config.get("configurable", {}).get("checkpoint_ns", ""))).id


def _decide(ledger: Ledger, decision: Decision, approval: Approval, who: str) -> Approval:
    """Write the decision into the ledger; whatever stands there already wins."""
    try:
        if decision.kind == "approve":
            return ledger.approvals.approve(approval.id, by=who, args=decision.args)
        return ledger.approvals.reject(approval.id, by=who, reason=decision.reason)
    except AlreadyDecided:
        return ledger.approvals.get(approval.id)


def _question(state: TeamState, proposal: StoredProposal, action: Action[Any]) -> Question:
    return Question(
        proposal_id=proposal["id"],
        run_id=state["run"]["id"],
        action=proposal["action"],
        args=proposal["args"],
        reason=proposal["reason"],
        risk=action.risk,
        proposed_by=proposal["by"],
    )


def _payload(approval: Approval, action: Action[Any], problem: str) -> dict[str, Any]:
    """What is asked, as agent-inbox, agent-chat-ui, deep-agents-ui and Studio render it, and what our desk needs."""
    request = {
        "name": approval.action,
        "args": approval.shown,
        "arguments": approval.shown,  # agent-inbox reads this name
        "description": describe(approval, action, problem),
    }
    review = {"action_name": approval.action, "allowed_decisions": ["approve", "edit", "reject"]}
    return {
        "action_requests": [request],
        "review_configs": [review],
        "approval_id": approval.id,
        "args_sha256": approval.shown_sha256,
        "expires_at": approval.expires_at,
        "risk": approval.risk,
        "run_id": approval.run_id,
    }


def describe(approval: Approval, action: Action[Any], problem: str = "") -> str:
    """The question in Markdown: a bad answer's problem first, then who proposes what and why, then the preview."""
    parts = [f"**Your last answer did not count.** {problem}"] if problem else []
    parts.append(f"**{approval.proposed_by}** proposes **{approval.action}**. {approval.reason}".strip())
    if action.preview is not None:
        parts.append(action.preview(action.arguments.model_validate(approval.shown)))
    else:
        parts.append(action.description)
    return "\n\n".join(parts)


def _who(config: RunnableConfig) -> str:
    """Who answers, as far as the server knows; a plain `Command(resume=…)` says nothing of that."""
    return str(config.get("configurable", {}).get("langgraph_auth_user_id") or "whoever resumed the thread")


def _settle(
    state: TeamState,
    proposal: StoredProposal,
    status: Literal["rejected", "denied", "expired"],
    detail: str,
    *,
    by: str,
) -> Next:
    outcome = Outcome(
        proposal=proposal["id"], action=proposal["action"], status=status, detail=detail, by=by, result={}
    )
    update: Update = settle_first(state, outcome)
    return Command(goto="supervisor", update={**update, "messages": [outcome_message(outcome)]})


def outcome_message(outcome: Outcome) -> ToolMessage:
    """The answer to the proposal's tool call in the conversation."""
    by = f" by {outcome['by']}" if outcome["by"] else ""
    detail = f": {outcome['detail']}" if outcome["detail"] else ""
    return ToolMessage(
        content=f"{outcome['action']} {outcome['status']}{by}{detail}.".replace("..", "."),
        tool_call_id=outcome["proposal"],
        name=outcome["action"],
        id=f"outcome-{outcome['proposal']}",
        status="success" if outcome["status"] == "done" else "error",
    )
