"""Choosing: the supervisor's model is asked where the rules leave a choice, and answers with a typed decision."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable
from pydantic import BaseModel, Field, ValidationError, create_model

from signoff.agents.agent import Agent
from signoff.agents.models.registry import Tiers, tiers_of
from signoff.agents.usage import NO_USAGE, Usage, call_usage
from signoff.errors import BudgetExhausted, ModelRefused, SettingsError, StoreError, TapeError, UnknownPrice
from signoff.graphs.routing.assigning import Open, Pause, instructions_of
from signoff.graphs.routing.routing import judge
from signoff.graphs.state import Assignment, TeamState

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
