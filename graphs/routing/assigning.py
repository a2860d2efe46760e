"""Assigning: by what rules the next agent follows from the state, how hard it tries, and when a person is asked."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from signoff.agents import Agent, Artifact, Verdict
from signoff.agents.models import Tiers
from signoff.checkpoints import digest, digest_text
from signoff.graphs.routing.needs_and_gives import candidates, failures_in_a_row, judge, rejections
from signoff.graphs.routing.planning import PLAN, before_plan, planners
from signoff.graphs.state import Assignment, PlanStep, TeamState, Turn, ended_steps, is_awaited, unheard, what_was_said


@dataclass(frozen=True)
class Limits:
    """Turns and rounds after which a person is asked."""

    turns: int
    rounds: int


@dataclass(frozen=True)
class Pause:
    """Why the team cannot go on by itself."""

    reason: str


@dataclass(frozen=True)
class Open:
    """What the rules leave to a model: the agents that may work, and why it is asked."""

    agents: list[Agent[Any]]
    why: str
    stalled: bool


def assign(agents: Sequence[Agent[Any]], limits: Limits, state: TeamState) -> Assignment | Pause | Open:
    """Who works next, why nobody can, or what a model is asked; the agents come in working order."""
    return limit_reached(limits, state) or _apply_rules(agents, state)


def tell(agents: Sequence[Agent[Any]], state: TeamState) -> Assignment | None:
    """Let whoever proposed something hear why it was not done, so that they may propose otherwise."""
    for outcome in (found for found in unheard(state) if not is_awaited(found)):
        for agent in agents:
            failed = len(failures_in_a_row(state.get("plan", []), agent.role))
            if agent.role == outcome["role"] and failed < agent.limits.attempts:
                return Assignment(agent=agent.role, reason=what_was_said(outcome), instructions="", stronger=0)
    return None


def limit_reached(limits: Limits, state: TeamState) -> Pause | None:
    """Why a person is asked before anybody works again, if the run is at a limit or changes nothing any more."""
    turns = state.get("turns", 0)
    if turns >= (state.get("turn_limit") or limits.turns):
        return Pause(f"The team has taken {turns} turns, its limit, and is not done.")
    for name, rounds in state.get("rounds", {}).items():
        if rounds >= limits.rounds:
            was = "made anew" if name == PLAN else "rejected"
            return Pause(f"{name} was {was} {rounds} times, the limit.")
    idle = find_idleness(state.get("trail") or [])
    return Pause(idle) if idle else None


def instructions_of(state: TeamState) -> str:
    """What a person said when the run went on; it holds for the next step only."""
    assignment = state.get("assignment")
    return assignment["instructions"] if assignment and not assignment["agent"] else ""


def _apply_rules(agents: Sequence[Agent[Any]], state: TeamState) -> Assignment | Pause | Open:
    artifacts, plan = state["artifacts"], state.get("plan", [])
    ready = candidates(agents, artifacts)
    if not ready:
        return Pause(f"Nobody can work: {json.dumps(judge(agents, artifacts))}.")
    wanted = ready[0].gives
    failures = {agent.role: failures_in_a_row(plan, agent.role) for agent in ready}
    able = [
        agent
        for agent in ready
        if agent.gives is wanted
        and len(failures[agent.role]) < agent.limits.attempts * (1 + growth_of(agent))
        and not any(step["final"] for step in failures[agent.role])
    ]
    if not able:
        tried = "; ".join(f"{role}: {steps[-1]['note']}" for role, steps in failures.items() if steps)
        why = f"{wanted.__name__} could not be made. {tried}"
        return _plan_anew(agents, plan, failures, why) or Open(ready, why, stalled=True)
    if len(able) > 1 and not any(failures.values()):
        return Open(able, f"{len(able)} agents can give {wanted.__name__}.", stalled=False)
    return _try(able[0], agents, state, failures)


def _plan_anew(
    agents: Sequence[Agent[Any]], plan: Sequence[PlanStep], failures: Mapping[str, list[PlanStep]], why: str
) -> Assignment | None:
    """Have the plan changed by whoever made it, once for each failure; None if nobody did, or they change nothing."""
    if failures.keys() & before_plan(agents):
        return None
    answered = ended_steps(plan)[-1:]
    for planner in planners(agents):
        failed = len(failures_in_a_row(plan, planner.role))
        if failed < planner.limits.attempts and not any(
            step["agent"] == planner.role for step in answered if not failed
        ):
            told = f"The plan did not work: {why} Change it so that it does."
            return Assignment(agent=planner.role, reason=f"{why} It plans anew.", instructions=told, stronger=0)
    return None


def _try(
    chosen: Agent[Any], agents: Sequence[Agent[Any]], state: TeamState, failures: dict[str, list[PlanStep]]
) -> Assignment | Pause:
    """Put it to work as hard as what happened before asks for: told what repeats, then with a stronger model."""
    name, failed = chosen.gives.__name__, failures[chosen.role]
    rejected = state.get("rounds", {}).get(name, 0) if name in rejections(agents, state["artifacts"]) else 0
    circle, growth = find_circle((state.get("trail") or []), name), growth_of(chosen)
    if circle.times >= (PAUSE if growth else STRONGER):
        return Pause(f"{circle.what}, {circle.times} times.")
    steps = max(len(failed) // chosen.limits.attempts, rejected, circle.times - STRONGER + 1)
    stronger = max(min(steps, growth), 0)
    told = [instructions_of(state)]
    if chosen.model is not None and failed:
        told.append(f"Your last try failed: {failed[-1]['note']}. Do it in another way.")
    if chosen.model is not None and circle.times >= NUDGE:
        told.append(f"You go in circles: {circle.what}. Change what you do.")
    reason = _reason(chosen, agents, state, failures)
    if circle.times >= NUDGE:
        reason = f"{reason} It is told that {circle.what}."
    if stronger:
        reason = f"{reason} {'A stronger model does this step.' if growth == 1 else f'A model {stronger} stronger.'}"
    return Assignment(agent=chosen.role, reason=reason, instructions=" ".join(filter(None, told)), stronger=stronger)


def growth_of(agent: Agent[Any]) -> int:
    """By how many tiers a step of this agent can grow."""
    if not isinstance(agent.model, Tiers):
        return 0
    steps = 0
    while agent.model.can_grow(agent.tier, steps):
        steps += 1
    return steps


def _reason(
    chosen: Agent[Any], agents: Sequence[Agent[Any]], state: TeamState, failures: dict[str, list[PlanStep]]
) -> str:
    name = chosen.gives.__name__
    if failures[chosen.role]:
        return f"Tries again after: {failures[chosen.role][-1]['note']}"
    if failed := [role for role, steps in failures.items() if steps]:
        return f"Takes over from {failed[0]}: {failures[failed[0]][-1]['note']}"
    if name in rejections(agents, state["artifacts"]):
        return f"{name} was rejected and goes back to be mended."
    if name in state["artifacts"]:
        return f"{name} is out of date."
    return f"{name} is missing and all it needs is there."


NUDGE: Final = 1
"""Repetitions after which the agent is told of them."""
STRONGER: Final = 2
"""Repetitions after which a stronger model does the step."""
PAUSE: Final = 3
"""Repetitions after which a person is asked."""
IDLE_TURNS: Final = 8
"""Turns of the whole team without anything new, after which a person is asked."""
IDLE_CALLS: Final = 60
"""Calls of models without anything new, after which a person is asked."""
REMEMBERED: Final = 200
"""Turns that are looked back at."""
_NUMBER: Final = re.compile(r"\d+")


@dataclass(frozen=True)
class Circle:
    """What repeats, in words, and how often it did."""

    what: str
    times: int


def turn_given(agent: str, artifact: Artifact, value: dict[str, Any], calls: int) -> Turn:
    """What an artifact changed; of a verdict only what it asks for counts, however it is put."""
    if isinstance(artifact, Verdict) and not artifact.accepted:
        mark = digest([artifact.about, sorted(artifact.notes)])
        return Turn(agent=agent, about=artifact.about, mark=f"notes {mark}", failed=False, calls=calls)
    return Turn(agent=agent, about=type(artifact).__name__, mark=digest(value), failed=False, calls=calls)


def turn_failed(agent: str, about: str, problem: str, calls: int) -> Turn:
    """What a failure changed: nothing, but not every failure is the same; numbers in it make no difference."""
    words = _NUMBER.sub("#", problem)
    return Turn(agent=agent, about=about, mark=digest_text(words), failed=True, calls=calls)


def followed_by(trail: Sequence[Turn], turn: Turn) -> list[Turn]:
    return [*trail[1 - REMEMBERED :], turn]


def find_circle(trail: Sequence[Turn], about: str) -> Circle:
    """How often the turns about an artifact came back to where they had been; not at all: 0 times."""
    turns = [turn for turn in trail if turn["about"] == about]
    given = [turn for turn in turns if not turn["failed"] and not turn["mark"].startswith("notes ")]
    notes = [turn for turn in turns if turn["mark"].startswith("notes ")]
    failed = [turn for turn in turns if turn["failed"]]
    unchanged = len(given) > 1 and given[-1]["mark"] == given[-2]["mark"]
    came_back = "came back unchanged" if unchanged else "goes to and fro between versions that were there before"
    found = [
        Circle(f"{about} {came_back}", _repeats(given)),
        Circle(f"the notes on {about} are the same as before", _repeats(notes)),
        Circle(f"{about} fails in the same way again and again", _repeats(failed)),
    ]
    return max(found, key=lambda circle: circle.times)


def find_idleness(trail: Sequence[Turn]) -> str:
    """Why a person should look at the run as a whole; empty while it gets on."""
    seen: set[tuple[str, str]] = set()
    turns = calls = 0
    for turn in trail:
        key = (turn["about"], turn["mark"])
        if key in seen or turn["failed"]:
            turns, calls = turns + 1, calls + turn["calls"]
        else:
            turns = calls = 0
        seen.add(key)
    if turns >= IDLE_TURNS:
        return f"The last {turns} turns changed nothing."
    if calls >= IDLE_CALLS:
        return f"The last {calls} calls of models, in {turns} turns, changed nothing."
    return ""


def _repeats(turns: Sequence[Turn]) -> int:
    """Turns at the end of the trail in a row, each of which came back to an earlier one."""
    seen: set[str] = set()
    repeats = 0
    for turn in turns:
        repeats = repeats + 1 if turn["mark"] in seen else 0
        seen.add(turn["mark"])
    return repeats
