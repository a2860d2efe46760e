"""The planner: says which agents work, in what order, and what each is to do towards the goal. Gives WorkPlan."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Artifact, SubGoal, WorkPlan
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.prompts import prompt
from signoff.tools import Action, Tool


def planner(
    *,
    model: BaseChatModel | Tiers | None = None,
    needs: tuple[type[Artifact], ...] = (),
    tools: Sequence[Tool | Action[Any]] = (),
) -> Agent[WorkPlan]:
    """An agent that plans for the others; without a model everybody does what their role says, in working order."""
    return Agent(
        role="planner",
        instructions=prompt("planner"),
        needs=needs,
        gives=WorkPlan,
        function=plan_by_rules,
        model=model,
        tools=tools,
    )


def plan_by_rules(task: Task) -> WorkPlan:
    """All agents in the order that follows from what they need; nothing is asked of them beyond their roles."""
    return WorkPlan(steps=tuple(SubGoal(agent=member["role"]) for member in task.team))
