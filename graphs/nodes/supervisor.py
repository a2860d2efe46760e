"""The supervisor: rules first, a model only where they leave a choice, a person where both are at their end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, RemoveMessage
from langgraph.config import get_stream_writer
from langgraph.types import Command

from signoff.agents.agent import Agent
from signoff.agents.models.registry import Tiers
from signoff.agents.run_context import paying
from signoff.agents.usage import NO_USAGE, Usage, add_usage
from signoff.errors import BudgetExhausted
from signoff.graphs.approval.budgeting import SUPERVISOR, Account, ask_for_budget
from signoff.graphs.approval.questions import pause
from signoff.graphs.nodes.choosing import Chooser, choose_without
from signoff.graphs.nodes.node import TeamNode
from signoff.graphs.routing.assigning import Limits, Open, Pause, assign, limit_reached, tell
from signoff.graphs.routing.plan import revise_plan
from signoff.graphs.routing.routing import is_complete, order_agents
from signoff.graphs.state import Assignment, StoredProposal, TeamState, Update, was_refused
from signoff.settings import load_settings


@dataclass(frozen=True, kw_only=True)
class Supervisor:
    """Who routes the work, and its limits. Without a model the first in order is chosen, and a stall asks a person."""

    model: BaseChatModel | Tiers | None = None
    tier: str = "smart"
    """Which of the tiers' models it is."""
    max_turns: int | None = None
    """Agent turns before a person is asked; None: `SIGNOFF_MAX_TURNS`."""
    max_rounds: int | None = None
    """Rejections of one artifact before a person is asked; None: `SIGNOFF_MAX_ROUNDS`."""


def build_supervisor(agents: Sequence[Agent[Any]], supervisor: Supervisor, account: Account) -> TeamNode:
    """The supervisor node of a team."""
    route = _Route(order_agents(agents), supervisor)

    @cache
    def chooser() -> Chooser | None:
        return Chooser(route.agents, supervisor.model, supervisor.tier) if supervisor.model is not None else None

    def supervise(state: TeamState) -> Command[Any]:
        found, asked = route.next(state), chooser()
        if not isinstance(found, Open):
            return found
        if asked is None:
            return route.follow(state, choose_without(state, found))
        payer = account.payer(state["run"]["id"], SUPERVISOR)
        try:
            with paying(payer):
                chosen, used = asked.choose(state, found)
        except BudgetExhausted as error:
            return route.ask(state, ask_for_budget(state, error, payer, _doing(found)))
        return route.follow(state, chosen, used)

    async def asupervise(state: TeamState) -> Command[Any]:
        found, asked = route.next(state), chooser()
        if not isinstance(found, Open):
            return found
        if asked is None:
            return route.follow(state, choose_without(state, found))
        payer = account.payer(state["run"]["id"], SUPERVISOR)
        try:
            with paying(payer):
                chosen, used = await asked.achoose(state, found)
        except BudgetExhausted as error:
            return route.ask(state, ask_for_budget(state, error, payer, _doing(found)))
        return route.follow(state, chosen, used)

    def prepare() -> None:
        account.prepare()
        _ = route.limits, chooser()

    return TeamNode("supervisor", supervise, asupervise, prepare)


class _Route:
    """Where a run goes from the supervisor."""

    def __init__(self, agents: Sequence[Agent[Any]], supervisor: Supervisor) -> None:
        self.agents = agents
        self._supervisor = supervisor
        self._limits: Limits | None = None

    @property
    def limits(self) -> Limits:
        """Settings are read once, when the first run is routed."""
        if self._limits is None:
            given, settings = self._supervisor, load_settings()
            self._limits = Limits(given.max_turns or settings.max_turns, given.max_rounds or settings.max_rounds)
        return self._limits

    def next(self, state: TeamState) -> Command[Any] | Open:
        """What the rules say: to the gate, to an agent, to the end; or what is left to a model."""
        if state.get("proposals"):
            return Command(goto="gate", update={"messages": _announce(state["messages"], state["proposals"][0])})
        if state["run"]["ended"] or was_refused(state):
            return self._finish(state)
        held = next((agent.role for agent in self.agents if agent.role in (state.get("held") or {})), None)
        if held is not None:
            return self._go_on(state, held)
        told = tell(self.agents, state)
        if told is not None and limit_reached(self.limits, state) is None:
            return self.follow(state, told)
        if is_complete(self.agents, state["artifacts"]):
            return self._finish(state)
        found = assign(self.agents, self.limits, state)
        return found if isinstance(found, Open) else self.follow(state, found)

    def follow(self, state: TeamState, found: Assignment | Pause, used: Usage = NO_USAGE) -> Command[Any]:
        """Put an agent to work, or ask a person."""
        if isinstance(found, Pause):
            serial = len(state.get("outcomes", []))
            return self.ask(state, pause(state["run"]["id"], serial, found.reason, self.limits.turns), used)
        turn = state.get("turns", 0) + 1
        update: Update = {
            "assignment": found,
            "turns": turn,
            "plan": revise_plan(state.get("plan", []), self.agents, state["artifacts"], found),
        }
        if used["calls"]:
            update["usage"] = add_usage(state.get("usage", NO_USAGE), used)
        get_stream_writer()({"agent": found["agent"], "turn": turn, "reason": found["reason"]})
        return Command(goto=found["agent"], update=update)

    def ask(self, state: TeamState, question: StoredProposal, used: Usage = NO_USAGE) -> Command[Any]:
        """Ask a person, at the gate."""
        update: Update = {
            "proposals": [question],
            "plan": revise_plan(state.get("plan", []), self.agents, state["artifacts"], None),
            "usage": add_usage(state.get("usage", NO_USAGE), used),
            "messages": _announce(state["messages"], question),
        }
        return Command(goto="gate", update=update)

    def _finish(self, state: TeamState) -> Command[Any]:
        plan = revise_plan(state.get("plan", []), self.agents, state["artifacts"], None)
        return Command(goto="finish", update={"plan": plan, "held": {}} if state.get("held") else {"plan": plan})

    def _go_on(self, state: TeamState, role: str) -> Command[Any]:
        """The agent whose budget was raised goes on, in the same turn."""
        reason = "Goes on where its budget had ended."
        same: Assignment = {**state["assignment"], "agent": role, "reason": reason}
        update = {"assignment": same, "plan": revise_plan(state["plan"], self.agents, state["artifacts"], same)}
        get_stream_writer()({"agent": role, "turn": state["turns"], "reason": reason})
        return Command(goto=role, update=update)


def _doing(question: Open) -> str:
    return f"The supervisor was choosing who works next. {question.why}"


def _announce(messages: Sequence[AnyMessage], proposal: StoredProposal) -> list[AnyMessage]:
    """The proposal as a tool call in the last message: chat clients show their approval card only there."""
    marker = f"ask-{proposal['id']}-"
    earlier = [message for message in messages if (message.id or "").startswith(marker)]
    if earlier and messages[-1] is earlier[-1]:
        return []
    call = {"name": proposal["action"], "args": proposal["args"], "id": proposal["id"], "type": "tool_call"}
    message = AIMessage(proposal["reason"], name=proposal["by"], tool_calls=[call], id=f"{marker}{len(messages)}")
    removed: list[AnyMessage] = [RemoveMessage(id=message.id or "") for message in earlier]  # type: ignore[misc]  # add_messages takes it
    return [*removed, message]
