"""What a model is offered in a step of an agent: made once for each agent, not for each step."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel

from signoff.agents.agent import Agent
from signoff.agents.loop.json_mode import answer_format, tell_actions
from signoff.agents.models.registry import Tiers, tiers_of
from signoff.agents.safety.injection import RULE
from signoff.error_base import TeamError
from signoff.tools import Action, Tool


@dataclass(frozen=True)
class Toolset:
    """Tools and actions by name, and the form that ends the step."""

    role: str
    system: str
    """The system prompt, the same in every step of the agent so that a provider's cache finds it again."""
    form: type[BaseModel]
    tiers: Tiers
    tools: Mapping[str, Tool]
    actions: Mapping[str, Action[Any]]
    specs: list[dict[str, Any]]
    """What is offered, in OpenAI's format of functions; the form is the last."""

    @property
    def gives(self) -> str:
        """Name of the form that ends the step."""
        return self.form.__name__

    @cached_property
    def names(self) -> str:
        """What can be called, for a model that called something else."""
        return ", ".join(str(spec["function"]["name"]) for spec in self.specs)

    @cached_property
    def system_for_json(self) -> str:
        """The system prompt of a model that answers with one action as JSON."""
        return f"{self.system}\n\n{tell_actions(self.specs)}"

    @cached_property
    def any_action(self) -> dict[str, Any]:
        """The response format of a turn that may do anything."""
        return answer_format(self.specs)

    @cached_property
    def form_only(self) -> dict[str, Any]:
        """The response format of a turn that must give the form."""
        return answer_format(self.specs, form_only=True)


_made: dict[int, Toolset] = {}


def toolset_of(agent: Agent[Any]) -> Toolset:
    """What a model is offered in a step of this agent; kept as long as the agent is."""
    key = id(agent)
    if key not in _made:
        _made[key] = _compose(agent)
        weakref.finalize(agent, _made.pop, key, None)
    return _made[key]


def _compose(agent: Agent[Any]) -> Toolset:
    if agent.model is None:
        raise TeamError(f"Agent {agent.role!r} has no model.")
    form = agent.form or agent.gives
    offered = {action.name: action for action in agent.offered}
    specs = [
        *(convert_to_openai_tool(tool) for tool in agent.in_loop),
        *(_spec(action.name, action.description, action.arguments) for action in offered.values()),
        _spec(form.__name__, f"Give the finished work. {form.__doc__ or ''}".strip(), form),
    ]
    names = [spec["function"]["name"] for spec in specs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise TeamError(f"Agent {agent.role!r} has two tools named {min(twice)!r}. Rename one.")
    return Toolset(
        role=agent.role,
        system=f"You are the {agent.role} of a team. {agent.instructions}".strip() + f" {RULE}",
        form=form,
        tiers=tiers_of(agent.model),
        tools={tool.name: tool for tool in agent.in_loop},
        actions=offered,
        specs=specs,
    )


def _spec(name: str, description: str, arguments: type[BaseModel]) -> dict[str, Any]:
    """A function in OpenAI's format."""
    parameters = convert_to_openai_tool(arguments)["function"]["parameters"]
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}
