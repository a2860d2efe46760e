"""The supervisor: rules first, a model only where they leave a choice, a person where both are at their end."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langchain_core.runnables import Runnable
from langgraph.config import get_stream_writer
from langgraph.types import Command
from pydantic import BaseModel, Field, ValidationError, create_model

from signoff.agents import NO_USAGE, Agent, Usage, add_usage, call_usage, check_model, paying
from signoff.agents.errors import ModelRefused, RecordingError, UnknownPrice
from signoff.agents.models import Tiers, tiers_of
from signoff.checkpoints import digest
from signoff.checkpoints.errors import BudgetExhausted, StoreError
from signoff.error_base import SettingsError
from signoff.graphs.approval.questions import Account, ask_for_budget, ask_plan, pause
from signoff.graphs.nodes.runnable import TeamNode
from signoff.graphs.routing.assigning import Limits, Open, Pause, assign, instructions_of, limit_reached, tell
from signoff.graphs.routing.needs_and_gives import is_complete, judge, order_agents, revise_plan, skipped
from signoff.graphs.routing.planning import PLAN, at_work, members_of, plan_for, planners
from signoff.graphs.routing.sending import go_on, is_at_items
from signoff.graphs.state import (
    FOLLOW_PLAN,
    SUPERVISOR,
    Assignment,
    PlanStep,
    StoredProposal,
    TeamState,
    Update,
    is_awaited,
    unheard,
    was_refused,
    what_was_said,
)
from signoff.settings import load_settings
from signoff.wording import make_visible


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

    def __post_init__(self) -> None:
        check_model(self.model, "Supervisor")


def build_supervisor(
    agents: Sequence[Agent[Any]], supervisor: Supervisor, account: Account, *, asks_plan: bool = False
) -> TeamNode:
    """The supervisor's node; with `asks_plan` a team without a planner has a plan as well, for a person to see."""
    route = _Route(order_agents(agents), supervisor, asks_plan=asks_plan)

    def supervise(state: TeamState) -> Command[Any]:
        asked = route.next(state)
        if isinstance(asked, Command):
            return asked
        with _deciding(route, account, state, asked):
            asked.answer = asked.model().invoke(_prompt(route.agents, state, asked.question))
        return asked.command

    async def asupervise(state: TeamState) -> Command[Any]:
        asked = route.next(state)
        if isinstance(asked, Command):
            return asked
        with _deciding(route, account, state, asked):
            asked.answer = await asked.model().ainvoke(_prompt(route.agents, state, asked.question))
        return asked.command

    def prepare() -> None:
        account.prepare()
        _ = route.limits, route.tiers, route.asks_plan

    return TeamNode("supervisor", supervise, asupervise, prepare)


@dataclass
class _Asked:
    """What the supervisor's model is asked, its answer, and what follows from it."""

    question: Open
    tiers: Tiers
    tier: str
    answer: Any = None
    command: Command[Any] = field(default_factory=Command)

    def model(self) -> Runnable[Any, Any]:
        """The model, held to the roles that may work now."""
        allowed: Any = Literal[(*(agent.role for agent in self.question.agents), "person")]
        form = create_model("Choice", __base__=Choice, next=(allowed, ...))
        return self.tiers.model(self.tier).with_structured_output(form, include_raw=True, method="json_schema")


@contextmanager
def _deciding(route: _Route, account: Account, state: TeamState, asked: _Asked) -> Iterator[None]:
    """Charge the model's call to the run, and take its answer, or the lack of one, for a decision."""
    payer, question = account.payer(state["run"]["id"], SUPERVISOR), asked.question
    try:
        with paying(payer):
            yield
        asked.command = route.follow(state, *_read(question, asked.answer))
    except BudgetExhausted as error:
        doing = f"The supervisor was choosing who works next. {question.why}"
        asked.command = route.ask(state, ask_for_budget(state, error, payer, doing))
    except _NOT_FOR_A_PERSON:
        raise
    except ValidationError:
        asked.command = route.follow(state, Pause(f"{question.why} {_NO_CHOICE}"))
    except Exception as error:  # a model's client may raise anything; without an answer a person is asked
        problem = getattr(error, "problem", error)
        reason = f"{question.why.rstrip('.')}. The supervisor's model did not answer: {problem}."
        asked.command = route.follow(state, Pause(reason))


class _Route:
    """Where a run goes from the supervisor."""

    def __init__(self, agents: Sequence[Agent[Any]], supervisor: Supervisor, *, asks_plan: bool) -> None:
        self.agents = agents
        self._supervisor, self._asks_plan = supervisor, asks_plan

    @cached_property
    def limits(self) -> Limits:
        """Settings are read once, when the first run is routed."""
        given, settings = self._supervisor, load_settings()
        return Limits(given.max_turns or settings.max_turns, given.max_rounds or settings.max_rounds)

    @cached_property
    def asks_plan(self) -> bool:
        """Whether a person sees what there is to do before anybody works, even if nobody plans."""
        return self._asks_plan or load_settings().ask_plan

    @cached_property
    def tiers(self) -> Tiers | None:
        """The models that choose among several agents, if there are any."""
        return None if self._supervisor.model is None else tiers_of(self._supervisor.model)

    def next(self, state: TeamState) -> Command[Any] | _Asked:
        """What the rules say: to the gate, to an agent, to the end; or what is left to a model."""
        if state.get("proposals"):
            return Command(goto="gate", update={"messages": _announce(state["messages"], state["proposals"][0])})
        if state["run"]["ended"] or was_refused(state):
            return self._finish(state)
        held = next((agent.role for agent in self.agents if agent.role in (state.get("held") or {})), None)
        if held is not None:
            return self._go_on(state, held)
        for agent in self.agents:
            if is_at_items(state, agent):
                return self._send(state, agent)
        told = tell(self.agents, state)
        if told is not None and limit_reached(self.limits, state) is None:
            return self.follow(state, told)
        if (question := self._plan(state)) is not None:
            return self.ask(state, question) if isinstance(question, dict) else self.follow(state, question)
        left_out = self._skipped(state)
        agents = [agent for agent in at_work(self.agents, state["artifacts"]) if agent.role not in left_out]
        if is_complete(agents, state["artifacts"]):
            return self._finish(state)
        found = assign(agents, self.limits, state)
        if isinstance(found, Open) and self.tiers is not None:
            return _Asked(found, self.tiers, self._supervisor.tier)
        return self.follow(state, _choose_without(state, found) if isinstance(found, Open) else found)

    def _plan(self, state: TeamState) -> StoredProposal | Pause | None:
        """The plan, if it is to be decided before anybody works by it; a pause if a rejected one was not made anew."""
        stored, makers = state["artifacts"].get(PLAN), planners(self.agents)
        if not makers:
            if not self.asks_plan or state.get("followed"):
                return None
            plan = plan_for(self.agents, [{"agent": member["role"]} for member in members_of(self.agents)[0]])
            return ask_plan(state, plan, SUPERVISOR, ())
        if stored is None or judge(self.agents, state["artifacts"])[PLAN] != "ready":
            return None
        if digest(stored["value"]["steps"]) == state.get("followed", ""):
            return None
        for outcome in unheard(state, stored["by"]):
            if outcome["action"] == FOLLOW_PLAN:
                return limit_reached(self.limits, state) or Pause(
                    f"The plan could not be made anew. {what_was_said(outcome)}"
                )
        return ask_plan(state, plan_for(self.agents, stored["value"]["steps"]), stored["by"], stored.get("flags", ()))

    def follow(self, state: TeamState, found: Assignment | Pause, used: Usage = NO_USAGE) -> Command[Any]:
        """Put an agent to work, or ask a person."""
        if isinstance(found, Pause):
            serial = len(state.get("outcomes", []))
            return self.ask(state, pause(state["run"]["id"], serial, found.reason, self.limits.turns), used)
        turn = state.get("turns", 0) + 1
        update: Update = {
            "assignment": found,
            "turns": turn,
            "plan": self._revised(state, found),
        }
        if used["calls"]:
            update["usage"] = add_usage(state.get("usage", NO_USAGE), used)
        get_stream_writer()({"agent": found["agent"], "turn": turn, "reason": found["reason"]})
        return Command(goto=found["agent"], update=update)

    def ask(self, state: TeamState, question: StoredProposal, used: Usage = NO_USAGE) -> Command[Any]:
        update: Update = {
            "proposals": [question],
            "plan": self._revised(state, None),
            "usage": add_usage(state.get("usage", NO_USAGE), used),
            "messages": _announce(state["messages"], question),
        }
        return Command(goto="gate", update=update)

    def _finish(self, state: TeamState) -> Command[Any]:
        plan = self._revised(state, None)
        return Command(goto="finish", update={"plan": plan, "held": {}} if state.get("held") else {"plan": plan})

    def _go_on(self, state: TeamState, role: str) -> Command[Any]:
        """The agent whose step was held goes on, in the same turn."""
        waited = dict.fromkeys(outcome["action"] for outcome in unheard(state, role) if is_awaited(outcome))
        reason = (
            f"Goes on, as it is known what became of {', '.join(waited)}."
            if waited
            else "Goes on where its budget had ended."
        )
        same: Assignment = {**state["assignment"], "agent": role, "reason": reason}
        update = {"assignment": same, "plan": self._revised(state, same)}
        get_stream_writer()({"agent": role, "turn": state["turns"], "reason": reason})
        return Command(goto=role, update=update)

    def _send(self, state: TeamState, agent: Agent[Any]) -> Command[Any]:
        """Work goes on at those of its items that can be worked on now; at none, the agent asks, or joins them."""
        going = go_on(state, agent)
        same: Assignment = {**state["assignment"], "agent": agent.role}
        plan = self._revised(state, {**same, "reason": going.told})
        get_stream_writer()({"agent": agent.role, "says": going.told, "done": 0, "total": 0})
        return Command(goto=going.sent or agent.role, update={"assignment": same, "plan": plan, **going.update})

    def _revised(self, state: TeamState, assignment: Assignment | None) -> list[PlanStep]:
        artifacts, working = state["artifacts"], assignment["agent"] if assignment is not None else ""
        left_out = self._skipped(state, working)
        return revise_plan(state.get("plan", []), at_work(self.agents, artifacts), artifacts, assignment, left_out)

    def _skipped(self, state: TeamState, working: str = "") -> dict[str, str]:
        planned = {agent.role for agent in at_work(self.agents, state["artifacts"])}
        return skipped([agent for agent in self.agents if agent.role in planned], state, working)


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

_NOT_FOR_A_PERSON = (BudgetExhausted, ModelRefused, SettingsError, StoreError, RecordingError, UnknownPrice)
"""Errors that going on cannot mend."""

_NO_CHOICE = "The supervisor's model gave no usable decision."


class Choice(BaseModel):
    """The supervisor's typed decision."""

    next: str = Field(description="Role of the agent that works next, or 'person'")
    reason: str = Field(max_length=400, description="Why, in one sentence")
    instructions: str = Field("", max_length=1000, description="What that agent should heed in this step")


def _choose_without(state: TeamState, question: Open) -> Assignment | Pause:
    """Without a model the first of several able agents works, and a stall goes to a person."""
    if question.stalled:
        return Pause(question.why)
    first = question.agents[0].role
    return Assignment(agent=first, reason="First of those who can.", instructions=instructions_of(state), stronger=0)


def _read(question: Open, answer: Any) -> tuple[Assignment | Pause, Usage]:
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
    return [SystemMessage(_INSTRUCTIONS), HumanMessage(make_visible(json.dumps(situation, ensure_ascii=False)))]
