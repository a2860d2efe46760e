"""Needs and gives: who can work next follows from what is there, what is rejected and what is out of date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any, Literal

from signoff.agents import Agent, Verdict
from signoff.error_base import TeamError
from signoff.graphs.routing.planning import PLAN, before_plan, check_team, is_told_otherwise, planners, sub_goal
from signoff.graphs.state import SUPERVISOR, Assignment, PlanStep, StoredArtifact, ended_steps, plan_step

Standing = Literal["missing", "rejected", "stale", "ready"]
"""missing: not given yet; rejected: a verdict on it does not accept it; stale: something it was built on is newer, or
the plan has its giver do something else by now."""

Agents = Sequence[Agent[Any]]
Artifacts = Mapping[str, StoredArtifact]


def order_agents(agents: Agents) -> list[Agent[Any]]:
    """The agents so that each comes after those it needs; TeamError if that cannot be."""
    roles = [agent.role for agent in agents]
    if not agents:
        raise TeamError("A team needs at least one agent.")
    if len(set(roles)) < len(roles):
        raise TeamError(f"Two agents have the role {next(role for role in roles if roles.count(role) > 1)!r}.")
    givers: dict[str, list[str]] = {}
    for agent in agents:
        givers.setdefault(agent.gives.__name__, []).append(agent.role)
    check_team(agents)
    graph: dict[str, set[str]] = {}
    before, planning = before_plan(agents), {planner.role for planner in planners(agents)}
    for agent in agents:
        for need in agent.needs:
            if need.__name__ not in givers:
                raise TeamError(f"Agent {agent.role!r} needs {need.__name__!r}, which no agent of the team gives.")
        graph[agent.role] = {role for need in agent.needs for role in givers[need.__name__]}
        graph[agent.role] |= set() if agent.role in before else planning
    try:
        places = {role: place for place, role in enumerate(TopologicalSorter(graph).static_order())}
    except CycleError as error:
        raise TeamError(f"These agents wait for each other: {' → '.join(error.args[1])}.") from error
    return sorted(agents, key=lambda agent: places[agent.role])


def judge(agents: Agents, artifacts: Artifacts) -> dict[str, Standing]:
    """Where each artifact of the team stands, by name."""
    rejected = set(rejections(agents, artifacts))
    standings: dict[str, Standing] = {}
    for agent in agents:
        name = agent.gives.__name__
        artifact = artifacts.get(name)
        if artifact is None:
            standings[name] = "missing"
        elif name in rejected:
            standings[name] = "rejected"
        elif is_told_otherwise(artifacts, artifact) or any(
            artifacts[need]["version"] != version for need, version in artifact["built_on"].items()
        ):
            standings[name] = "stale"
        else:
            standings[name] = "ready"
    return standings


def rejections(agents: Agents, artifacts: Artifacts) -> dict[str, tuple[str, ...]]:
    """The artifacts whose present version a verdict does not accept, with the verdict's notes."""
    found: dict[str, tuple[str, ...]] = {}
    for agent in agents:
        stored = artifacts.get(agent.gives.__name__)
        if stored is None or not issubclass(agent.gives, Verdict):
            continue
        verdict = stored["value"]
        about = verdict["about"]
        judged = artifacts.get(about)
        if verdict["accepted"] or judged is None or stored["built_on"].get(about) != judged["version"]:
            continue
        found[about] = (*found.get(about, ()), *verdict["notes"])
    return found


def candidates(agents: Agents, artifacts: Artifacts) -> list[Agent[Any]]:
    """The agents that can work now: what they need is ready and what they give is not. In the order they come in."""
    standings, before = judge(agents, artifacts), before_plan(agents)
    return [
        agent
        for agent in agents
        if standings[agent.gives.__name__] != "ready"
        and all(standings[need.__name__] == "ready" for need in agent.needs)
        and (not before or agent.role in before or standings[PLAN] == "ready")
    ]


def is_complete(agents: Agents, artifacts: Artifacts) -> bool:
    return all(standing == "ready" for standing in judge(agents, artifacts).values())


def revise_plan(
    plan: Sequence[PlanStep], agents: Sequence[Agent[Any]], artifacts: Artifacts, assignment: Assignment | None
) -> list[PlanStep]:
    """The steps already ended, the one assigned now, and those that will follow; the agents come in working order."""
    steps = ended_steps(plan)
    changing = {name for name, standing in judge(agents, artifacts).items() if standing != "ready"}
    planned: set[str] = set()
    if assignment is not None:
        gives = next(agent.gives.__name__ for agent in agents if agent.role == assignment["agent"])
        steps.append(plan_step(assignment["agent"], gives, "in_progress", assignment["reason"]))
        planned, changing = {gives}, changing | {gives}
    for agent in agents:
        name = agent.gives.__name__
        if name in changing or any(need.__name__ in changing for need in agent.needs):
            changing.add(name)
            if name not in planned:
                planned.add(name)
                steps.append(plan_step(agent.role, name, "pending", sub_goal(artifacts, agent.role).goal))
    return steps


def failures_in_a_row(plan: Sequence[PlanStep], role: str) -> list[PlanStep]:
    """The agent's last failed steps, newest last, since its last success, a new plan, or a person's word to go on."""
    found: list[PlanStep] = []
    for step in reversed(plan):
        if step["agent"] in ("person", SUPERVISOR) or (step["agent"] == role and step["status"] == "completed"):
            break
        if step["agent"] == role and step["status"] == "failed":
            found.append(step)
    return found[::-1]
