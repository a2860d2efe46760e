"""The supervisor: rules first, a model only where they leave a choice, a person where both are at their end."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, RemoveMessage, SystemMessage
from langgraph.config import get_stream_writer
from langgraph.types import Command
from pydantic import BaseModel, Field, create_model

from signoff.agents.agent import Agent
from signoff.agents.models import model_name, translate
from signoff.agents.usage import NO_USAGE, Usage, add_usage, call_usage
from signoff.errors import ModelRefused
from signoff.graphs.control import pause
from signoff.graphs.plan import failures_in_a_row, revise_plan
from signoff.graphs.routing import candidates, is_complete, judge, rejections
from signoff.graphs.state import (
    Assignment,
    Node,
    PlanStep,
    StoredProposal,
    TeamState,
    Update,
    unheard,
    what_was_said,
)
from signoff.settings import load_settings

_INSTRUCTIONS = (
    "You supervise a team. Choose who works next so that the goal is reached, or 'person' if the team cannot go on "
    "without one. Give the reason in one sentence and, if it helps, instructions for that step."
)


class Choice(BaseModel):
    """The supervisor's typed decision."""

    next: str = Field(description="Role of the agent that works next, or 'person'")
    reason: str = Field(max_length=400, description="Why, in one sentence")
    instructions: str = Field("", max_length=1000, description="What that agent should heed in this step")


@dataclass(frozen=True, kw_only=True)
class Supervisor:
    """Who routes the work, and its limits. Without a model the first in order is chosen, and a stall asks a person."""

    model: BaseChatModel | None = None
    max_turns: int | None = None
    """Agent turns before a person is asked; None: `SIGNOFF_MAX_TURNS`."""
    max_rounds: int | None = None
    """Rejections of one artifact before a person is asked; None: `SIGNOFF_MAX_ROUNDS`."""


@dataclass(frozen=True)
class _Limits:
    """Turns and rounds after which a person is asked."""

    turns: int
    rounds: int


@dataclass(frozen=True)
class _Pause:
    """Why the team cannot go on by itself."""

    reason: str


@dataclass(frozen=True)
class _Open:
    """What the rules leave to a model: the agents that may work, and why it is asked."""

    agents: list[Agent[Any]]
    why: str
    stalled: bool


def build_supervisor(agents: Sequence[Agent[Any]], supervisor: Supervisor) -> Node:
    """The supervisor node of a team."""

    @cache
    def limits() -> _Limits:
        """Settings are read once, when the first run is routed."""
        settings = load_settings()
        return _Limits(supervisor.max_turns or settings.max_turns, supervisor.max_rounds or settings.max_rounds)

    def supervise(state: TeamState) -> Command[Any]:
        if state.get("proposals"):
            return Command(goto="gate", update={"messages": _announce(state["messages"], state["proposals"][0])})
        artifacts, plan = state["artifacts"], state.get("plan", [])
        told = _tell(agents, state)
        if told is not None and not state["run"]["ended"] and _limit_reached(limits(), state) is None:
            return _assign(state, agents, told, state.get("usage", NO_USAGE))
        if state["run"]["ended"] or is_complete(agents, artifacts) or _was_refused(state):
            return Command(goto="finish", update={"plan": revise_plan(plan, agents, artifacts, None)})
        found, usage = _next(agents, supervisor, limits(), state)
        total = add_usage(state.get("usage", NO_USAGE), usage)
        if isinstance(found, _Pause):
            serial = len(state.get("outcomes", []))
            question = pause(state["run"]["id"], serial, found.reason, limits().turns)
            return Command(
                goto="gate",
                update={
                    "proposals": [question],
                    "plan": revise_plan(plan, agents, artifacts, None),
                    "usage": total,
                    "messages": _announce(state["messages"], question),
                },
            )
        return _assign(state, agents, found, total)

    return supervise


def _assign(state: TeamState, agents: Sequence[Agent[Any]], found: Assignment, total: Usage) -> Command[Any]:
    """Put an agent to work."""
    update: Update = {
        "assignment": found,
        "turns": state.get("turns", 0) + 1,
        "plan": revise_plan(state.get("plan", []), agents, state["artifacts"], found),
        "usage": total,
    }
    get_stream_writer()({"agent": found["agent"], "turn": update["turns"], "reason": found["reason"]})
    return Command(goto=found["agent"], update=update)


def _tell(agents: Sequence[Agent[Any]], state: TeamState) -> Assignment | None:
    """Let whoever proposed something hear why it was not done, so that they may propose otherwise."""
    for outcome in unheard(state):
        for agent in agents:
            failed = len(failures_in_a_row(state.get("plan", []), agent.role))
            if agent.role == outcome["role"] and failed < agent.limits.attempts:
                return Assignment(agent=agent.role, reason=what_was_said(outcome), instructions="")
    return None


def _next(
    agents: Sequence[Agent[Any]], supervisor: Supervisor, limits: _Limits, state: TeamState
) -> tuple[Assignment | _Pause, Usage]:
    """Who works next, or why nobody can; and what asking a model for it used."""
    limit = _limit_reached(limits, state)
    if limit is not None:
        return limit, NO_USAGE
    ruled = _apply_rules(agents, state)
    if isinstance(ruled, _Open):
        return _ask_model(agents, supervisor, state, ruled)
    return ruled, NO_USAGE


def _limit_reached(limits: _Limits, state: TeamState) -> _Pause | None:
    turns = state.get("turns", 0)
    if turns >= (state.get("turn_limit") or limits.turns):
        return _Pause(f"The team has taken {turns} turns, its limit, and is not done.")
    for name, rounds in state.get("rounds", {}).items():
        if rounds >= limits.rounds:
            return _Pause(f"{name} was rejected {rounds} times, the limit.")
    return None


def _apply_rules(agents: Sequence[Agent[Any]], state: TeamState) -> Assignment | _Pause | _Open:
    artifacts, plan = state["artifacts"], state.get("plan", [])
    ready = candidates(agents, artifacts)
    if not ready:
        return _Pause(f"Nobody can work: {json.dumps(judge(agents, artifacts))}.")
    wanted = ready[0].gives
    failures = {agent.role: failures_in_a_row(plan, agent.role) for agent in ready}
    able = [
        agent
        for agent in ready
        if agent.gives is wanted
        and len(failures[agent.role]) < agent.limits.attempts
        and not any(step["final"] for step in failures[agent.role])
    ]
    if not able:
        tried = "; ".join(f"{role}: {steps[-1]['note']}" for role, steps in failures.items() if steps)
        return _Open(ready, f"{wanted.__name__} could not be made. {tried}", stalled=True)
    if len(able) > 1 and not any(failures.values()):
        return _Open(able, f"{len(able)} agents can give {wanted.__name__}.", stalled=False)
    chosen = able[0]
    return Assignment(
        agent=chosen.role, reason=_reason(chosen, agents, state, failures), instructions=_instructions(state)
    )


def _reason(
    chosen: Agent[Any], agents: Sequence[Agent[Any]], state: TeamState, failures: dict[str, list[PlanStep]]
) -> str:
    name = chosen.gives.__name__
    if failures[chosen.role]:
        return f"Tries again after: {failures[chosen.role][-1]['note']}"
    failed = [role for role, steps in failures.items() if steps]
    if failed:
        return f"Takes over from {failed[0]}: {failures[failed[0]][-1]['note']}"
    if name in rejections(agents, state["artifacts"]):
        return f"{name} was rejected and goes back to be mended."
    if name in state["artifacts"]:
        return f"{name} is out of date."
    return f"{name} is missing and all it needs is there."


def _instructions(state: TeamState) -> str:
    """What a person said when the run went on; it holds for the next step only."""
    assignment = state.get("assignment")
    return assignment["instructions"] if assignment and not assignment["agent"] else ""


def _ask_model(
    agents: Sequence[Agent[Any]], supervisor: Supervisor, state: TeamState, question: _Open
) -> tuple[Assignment | _Pause, Usage]:
    """Let the model choose; without one, the first of several able agents works, and a stall goes to a person."""
    if supervisor.model is None:
        if question.stalled:
            return _Pause(question.why), NO_USAGE
        first = question.agents[0]
        return Assignment(
            agent=first.role, reason="First of those who can.", instructions=_instructions(state)
        ), NO_USAGE
    roles = [agent.role for agent in question.agents]
    allowed: Any = Literal[(*roles, "person")]
    form = create_model("Choice", __base__=Choice, next=(allowed, ...))
    name = model_name(supervisor.model)
    try:
        answer = supervisor.model.with_structured_output(form, include_raw=True).invoke(
            _prompt(agents, state, question)
        )
    except Exception as error:  # a model's client may raise anything; a supervisor without one asks a person
        known = translate(error, name)
        if isinstance(known, ModelRefused):
            raise known from error
        return _Pause(f"{question.why} The supervisor's model did not answer: {known or error}"), NO_USAGE
    raw, choice = answer["raw"], answer["parsed"]  # type: ignore[index]  # include_raw gives a dict
    used = call_usage(name, raw)
    if not isinstance(choice, Choice) or choice.next == "person":
        reason = choice.reason if isinstance(choice, Choice) else "The supervisor's model gave no usable decision."
        return _Pause(f"{question.why} {reason}"), used
    return Assignment(agent=choice.next, reason=choice.reason, instructions=choice.instructions), used


def _prompt(agents: Sequence[Agent[Any]], state: TeamState, question: _Open) -> list[AnyMessage]:
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


def _was_refused(state: TeamState) -> bool:
    """Whether a person answered the last pause with no."""
    outcomes = state.get("outcomes", [])
    return bool(outcomes) and outcomes[-1]["action"] == "continue_run" and outcomes[-1]["status"] != "done"


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
