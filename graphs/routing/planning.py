"""Planning: what a plan may say of a team, and what follows from it: who works, in what order, and on what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Self

from pydantic import BaseModel, Field, ValidationError, model_validator

from signoff.agents import Agent, SubGoal, Task, Verdict, WorkPlan, given_by_actions
from signoff.agents.errors import WorkFailed
from signoff.checkpoints import digest
from signoff.error_base import TeamError
from signoff.graphs.state import StoredArtifact

PLAN = WorkPlan.__name__
"""Name of the plan among the artifacts."""
DEAF = "works without a model, so that this changes nothing: give it one with --model"


class Member(BaseModel, extra="forbid", frozen=True):
    """An agent, as a plan sees it: what it needs of the others that the plan is for."""

    role: str
    needs: tuple[str, ...] = ()
    gives: str
    reads_goals: bool = Field(default=True, exclude_if=bool)
    """Left out where it does."""


class TeamPlan(BaseModel, extra="forbid", frozen=True):
    """A plan together with the team that it is for, so that whoever changes it can be told whether it holds."""

    steps: tuple[SubGoal, ...] = Field(description="Who works, in this order, and on what")
    agents: tuple[Member, ...] = Field(description="The agents that it is for")
    judges: tuple[str, ...] = Field(default=(), description="Those of them that judge the others' work")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problem := self.problem():
            raise ValueError(problem)
        return self

    def problem(self) -> str:
        """Why the team could not work by it, in one line; empty if it can."""
        members, order = {member.role: member for member in self.agents}, [step.agent for step in self.steps]
        if not order:
            return f"the plan has no steps; the agents are {', '.join(members)}"
        for place, role in enumerate(order):
            if role not in members:
                near = get_close_matches(role, members, 1)
                meant = f" (did you mean {near[0]!r}?)" if near else ""
                return f"there is no agent {role!r}{meant} that could be planned for, only {', '.join(members)}"
            if role in order[:place]:
                return f"{role!r} is in the plan twice"
        return next(filter(None, (self._unmet(role, order) for role in order)), "") or self._unjudged(order)

    def _unmet(self, role: str, order: Sequence[str]) -> str:
        """What this agent of the plan needs and would not have."""
        member = next(member for member in self.agents if member.role == role)
        for need in member.needs:
            givers = [other.role for other in self.agents if other.gives == need]
            planned = [giver for giver in givers if giver in order]
            if not planned:
                return f"{' or '.join(map(repr, givers))} is left out, and {role!r} needs its {need}"
            if all(order.index(giver) > order.index(role) for giver in planned):
                return f"{role!r} comes before {planned[0]!r}, whose {need} it needs"
        return ""

    def _unjudged(self, order: Sequence[str]) -> str:
        """Who would judge what the plan's agents make, and is left out."""
        given = {member.gives for member in self.agents if member.role in order}
        for member in self.agents:
            if member.role in self.judges and member.role not in order and given.issuperset(member.needs):
                return f"{member.role!r} is left out, which judges what the others make"
        return ""

    @property
    def markdown(self) -> str:
        """The plan, agent by agent; what stands beside each is what follows from the team."""
        members, lines = {member.role: member for member in self.agents}, list[str]()
        for place, step in enumerate(self.steps, 1):
            member = members[step.agent]
            needs = f"needs {', '.join(member.needs)}, " if member.needs else ""
            judges = ", judges" if step.agent in self.judges else ""
            lines.append(f"{place}. {step.agent} ({needs}gives {member.gives}{judges})")
            lines += [f"   Goal: {step.goal}"] if step.goal else []
            lines += [f"   Part: {part}" for part in step.parts]
            if (step.goal or step.parts) and not member.reads_goals:
                lines.append(f"   {step.agent} {DEAF}")
        planned = {step.agent for step in self.steps}
        for member in self.agents:
            if member.role not in planned:
                needs = f"needs {', '.join(member.needs)}, " if member.needs else ""
                judges = ", judges" if member.role in self.judges else ""
                lines.append(f"Left out: {member.role} ({needs}gives {member.gives}{judges})")
        return "\n".join(lines)


def planners(agents: Sequence[Agent[Any]]) -> list[Agent[Any]]:
    """The agents that give the plan: none, one, or several that can take over from each other."""
    return [agent for agent in agents if agent.gives is WorkPlan]


def before_plan(agents: Sequence[Agent[Any]]) -> set[str]:
    """Roles that work before there is a plan: those who give it, and whose work they need; empty if nobody does."""
    found, wanted = set[str](), {PLAN}
    while new := [agent for agent in agents if wanted & gives_of(agent) and agent.role not in found]:
        found |= {agent.role for agent in new}
        wanted |= {need.__name__ for agent in new for need in agent.needs}
    return found


def gives_of(agent: Agent[Any]) -> set[str]:
    """Names of what comes of its work: its artifact, and those that its actions give."""
    return {agent.gives.__name__, *dict(given_by_actions(agent))}


def plan_for(agents: Sequence[Agent[Any]], steps: Sequence[SubGoal] | Sequence[Mapping[str, Any]]) -> TeamPlan:
    """The plan for these agents; pydantic's ValidationError says why it cannot be. They come in working order."""
    members, judges = members_of(agents)
    return TeamPlan.model_validate({"steps": [_plain(step) for step in steps], "agents": members, "judges": judges})


def members_of(agents: Sequence[Agent[Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """The agents that a plan is for, in the order given, and the roles of those who judge."""
    before = before_plan(agents)
    free = [agent for agent in agents if agent.role not in before]
    # What an action gives comes with the work of whoever proposes it.
    made = {name: agent.gives.__name__ for agent in reversed(free) for name in gives_of(agent)}
    made |= {agent.gives.__name__: agent.gives.__name__ for agent in free}
    members = [
        {
            "role": agent.role,
            "needs": [made[need.__name__] for need in agent.needs if need.__name__ in made],
            "gives": agent.gives.__name__,
            **({} if agent.reads_goals else {"reads_goals": False}),
        }
        for agent in free
    ]
    return members, [agent.role for agent in free if issubclass(agent.gives, Verdict)]


def at_work(agents: Sequence[Agent[Any]], artifacts: Mapping[str, StoredArtifact]) -> list[Agent[Any]]:
    """The agents that work by the plan, in its order; all of them without one, or if the team has changed since."""
    steps = _steps(artifacts)
    if not steps:
        return list(agents)
    members, judges = members_of(agents)
    plan = TeamPlan.model_construct(
        steps=tuple(SubGoal.model_validate(step) for step in steps.values()),
        agents=tuple(Member.model_validate(member) for member in members),
        judges=tuple(judges),
    )
    if plan.problem():
        return list(agents)
    before, places = before_plan(agents), {role: place for place, role in enumerate(steps)}
    planned = [agent for agent in agents if agent.role in before or agent.role in places]
    return sorted(planned, key=lambda agent: places.get(agent.role, -1))


def sub_goal(artifacts: Mapping[str, StoredArtifact], role: str) -> SubGoal:
    """What the plan has this agent do; empty if it says nothing of it."""
    return SubGoal.model_validate(_steps(artifacts).get(role) or {"agent": role})


def told_by_plan(artifacts: Mapping[str, StoredArtifact], role: str) -> str:
    """Digest of what the plan has this agent do; empty if that is nothing beyond its role."""
    step = sub_goal(artifacts, role)
    return digest([step.goal, list(step.parts)]) if step.told else ""


def is_told_otherwise(artifacts: Mapping[str, StoredArtifact], stored: StoredArtifact) -> bool:
    """Whether the plan has whoever gave this do something else by now than what it was made for."""
    return stored["by"] in _steps(artifacts) and told_by_plan(artifacts, stored["by"]) != stored.get("told", "")


def check_plan(agent: Agent[Any], agents: Sequence[Agent[Any]], plan: WorkPlan, task: Task) -> WorkPlan:
    """The plan that this agent gave, looked at by its own check; WorkFailed if the team could not work by it."""
    plan = plan if agent.check is None else agent.check(plan, task)
    try:
        plan_for(agents, plan.steps)
    except ValidationError as error:
        problem = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise WorkFailed(agent.role, f"gave a plan that the team cannot work by: {problem}") from error
    return plan


def check_team(agents: Sequence[Agent[Any]]) -> None:
    """TeamError if an agent plans where nobody is left to plan for, or gives something that only is called a plan."""
    for agent in agents:
        if agent.gives.__name__ == PLAN and agent.gives is not WorkPlan:
            raise TeamError(
                f"Agent {agent.role!r} gives a {PLAN} of its own. Give signoff.{PLAN}, or call it otherwise."
            )
    if planners(agents) and len(before_plan(agents)) == len(agents):
        raise TeamError(f"Agent {planners(agents)[0].role!r} gives the plan, and nobody is left that it could be for.")


def _steps(artifacts: Mapping[str, StoredArtifact]) -> dict[str, dict[str, Any]]:
    stored = artifacts.get(PLAN)
    return {step["agent"]: step for step in stored["value"]["steps"]} if stored is not None else {}


def _plain(step: SubGoal | Mapping[str, Any]) -> Any:
    return step.model_dump(mode="json") if isinstance(step, SubGoal) else step
