"""The plan: what was done and what failed, then what the rules say is still to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from signoff.agents.agent import Agent
from signoff.graphs.routing.routing import Artifacts, judge
from signoff.graphs.state import Assignment, PlanStep, ended_steps, plan_step


def revise_plan(
    plan: Sequence[PlanStep], agents: Sequence[Agent[Any]], artifacts: Artifacts, assignment: Assignment | None
) -> list[PlanStep]:
    """The steps already ended, the one assigned now, and those that will follow; the agents come in working order."""
    ended = ended_steps(plan)
    standings = judge(agents, artifacts)
    begun: list[PlanStep] = []
    changing = {name for name, standing in standings.items() if standing != "ready"}
    planned: set[str] = set()
    if assignment is not None:
        gives = next(agent.gives.__name__ for agent in agents if agent.role == assignment["agent"])
        begun = [plan_step(assignment["agent"], gives, "in_progress", assignment["reason"])]
        planned, changing = {gives}, changing | {gives}
    following = []
    for agent in agents:
        name = agent.gives.__name__
        if name in changing or any(need.__name__ in changing for need in agent.needs):
            changing.add(name)
            if name not in planned:
                planned.add(name)
                following.append(plan_step(agent.role, name, "pending"))
    return [*ended, *begun, *following]


def failures_in_a_row(plan: Sequence[PlanStep], role: str) -> list[PlanStep]:
    """The agent's last failed steps, newest last; empty if its last succeeded or a person said to go on."""
    found: list[PlanStep] = []
    for step in reversed(plan):
        if step["agent"] == "person" or (step["agent"] == role and step["status"] == "completed"):
            break
        if step["agent"] == role and step["status"] == "failed":
            found.append(step)
    return found[::-1]
