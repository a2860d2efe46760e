"""The supervisor: rules first, a model only where they leave a choice, a person where both are at their end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langchain_core.runnables import Runnable
from langgraph.config import get_stream_writer
from langgraph.types import Command
from pydantic import BaseModel, Field, ValidationError, create_model

from signoff.agents.agent import Agent
from signoff.agents.models.registry import Tiers, tiers_of
from signoff.agents.run_context import paying
from signoff.agents.usage import NO_USAGE, Usage, add_usage, call_usage
from signoff.errors import BudgetExhausted, ModelRefused, SettingsError, StoreError, TapeError, UnknownPrice
from signoff.graphs.approval.questions import SUPERVISOR, Account, ask_for_budget, pause
from signoff.graphs.nodes.agent import TeamNode
from signoff.graphs.routing.assigning import Limits, Open, Pause, assign, instructions_of, limit_reached, tell
from signoff.graphs.routing.routing import is_complete, judge, order_agents, revise_plan
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


_INSTRUCTIONS = (
    "You supervise a team. Choose who works next so that the goal is reached, or 'person' if the team cannot go on "
    "without one. Give the reason in one sentence and, if it helps, instructions for that step."
)

_NOT_FOR_A_PERSON = (BudgetExhausted, ModelRefused, SettingsError, StoreError, TapeError, UnknownPrice)
"""Errors that going on cannot mend."""

_NO_CHOICE = "The supervisor's model gave no usable decision."

Chosen = tuple[Assignment | Pause, Usage]
"""Who works next or why a person is asked, and what asking used."""


class Choice(BaseModel):
    """The supervisor's typed decision."""

    next: str = Field(description="Role of the agent that works next, or 'person'")
    reason: str = Field(max_length=400, description="Why, in one sentence")
    instructions: str = Field("", max_length=1000, description="What that agent should heed in this step")


def choose_without(state: TeamState, question: Open) -> Assignment | Pause:
    """Without a model the first of several able agents works, and a stall goes to a person."""
    if question.stalled:
        return Pause(question.why)
    first = question.agents[0].role
    return Assignment(agent=first, reason="First of those who can.", instructions=instructions_of(state), stronger=0)


class Chooser:
    """Asks the supervisor's model, from a sync or an async graph."""

    def __init__(self, agents: Sequence[Agent[Any]], model: BaseChatModel | Tiers, tier: str) -> None:
        self._agents, self._tiers, self._tier = agents, tiers_of(model), tier

    def choose(self, state: TeamState, question: Open) -> Chosen:
        """Let the model choose."""
        try:
            return _read(question, self._asked(question).invoke(_prompt(self._agents, state, question)))
        except Exception as error:
            return _unanswered(question, error)

    async def achoose(self, state: TeamState, question: Open) -> Chosen:
        """Let the model choose, without blocking the event loop."""
        try:
            return _read(question, await self._asked(question).ainvoke(_prompt(self._agents, state, question)))
        except Exception as error:
            return _unanswered(question, error)

    def _asked(self, question: Open) -> Runnable[Any, Any]:
        allowed: Any = Literal[(*(agent.role for agent in question.agents), "person")]
        form = create_model("Choice", __base__=Choice, next=(allowed, ...))
        model = self._tiers.model(self._tier)
        return model.with_structured_output(form, include_raw=True, method="json_schema")


def _unanswered(question: Open, error: Exception) -> Chosen:
    """A model's client may raise anything; a supervisor without an answer asks a person."""
    if isinstance(error, _NOT_FOR_A_PERSON):
        raise error
    if isinstance(error, ValidationError):
        return Pause(f"{question.why} {_NO_CHOICE}"), NO_USAGE
    return Pause(f"{question.why} The supervisor's model did not answer: {getattr(error, 'problem', error)}."), NO_USAGE


def _read(question: Open, answer: Any) -> Chosen:
    used, choice = call_usage(answer["raw"]), answer["parsed"]
    if not isinstance(choice, Choice) or choice.next == "person":
        reason = choice.reason if isinstance(choice, Choice) else _NO_CHOICE
        return Pause(f"{question.why} {reason}"), used
    assigned = Assignment(agent=choice.next, reason=choice.reason, instructions=choice.instructions, stronger=0)
    return assigned, used


def _prompt(agents: Sequence[Agent[Any]], state: TeamState, question: Open) -> list[AnyMessage]:
    situation = {
        "goal": state["run"]["goal"],
        "question": question.why,
        "may work now": [agent.role for agent in question.agents],
        "team": [agent.described for agent in agents],
        "artifacts": judge(agents, state["artifacts"]),
        "plan so far": [
            {"agent": step["agent"], "status": step["status"], "note": step["note"]} for step in state.get("plan", [])
        ],
    }
    return [SystemMessage(_INSTRUCTIONS), HumanMessage(json.dumps(situation, ensure_ascii=False))]
