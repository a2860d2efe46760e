"""Needs and gives: who can work next follows from what is there, what is rejected and what is out of date."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from types import MappingProxyType
from typing import Any, Literal

from signoff.agents import Agent, Artifact, Verdict, given_by, given_by_actions
from signoff.agents.safety import flags_of
from signoff.checkpoints import check_storable
from signoff.error_base import TeamError
from signoff.graphs.approval.answers import misfit
from signoff.graphs.routing.planning import PLAN, before_plan, check_team, is_told_otherwise, planners, sub_goal
from signoff.graphs.state import (
    SUPERVISOR,
    Assignment,
    PlanStep,
    StoredArtifact,
    StoredOutcome,
    TeamState,
    Update,
    ended_steps,
    plan_step,
)
from signoff.tools import Action, Proposal

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
    for name, actions in action_givers(agents).items():
        for role, action in actions:
            if any(agent.gives.__name__ == name for agent in agents):
                other = f"Agent {givers[name][0]!r} gives {name!r}"
                raise TeamError(f"{other}, and so does the action {action.name!r}. Let one of them.")
            givers.setdefault(name, []).append(role)
    check_team(agents)
    graph: dict[str, set[str]] = {}
    before, planning = before_plan(agents), {planner.role for planner in planners(agents)}
    for agent in agents:
        for need in agent.needs:
            if need.__name__ not in givers:
                raise TeamError(f"Agent {agent.role!r} needs {need.__name__!r}, which {_tell_nobody(agents, need)}.")
        graph[agent.role] = {role for need in agent.needs for role in givers[need.__name__]}
        graph[agent.role] |= set() if agent.role in before else planning
    try:
        places = {role: place for place, role in enumerate(TopologicalSorter(graph).static_order())}
    except CycleError as error:
        raise TeamError(f"These agents wait for each other: {' → '.join(error.args[1])}.") from error
    return sorted(agents, key=lambda agent: places[agent.role])


def _tell_nobody(agents: Agents, need: type[Artifact]) -> str:
    """That nobody gives an artifact; what is given in the work on an item is that item's alone."""
    for agent in agents:
        for action in agent.at_gate if agent.each is not None else ():
            if given_by(action) is need:
                where = f"{action.name!r} gives {agent.role!r} for one item at a time"
                return f"{where}: let it stand in what is given for an item, and {agent.role!r} give all of them"
    return "no agent of the team gives, and no action of one"


def judge(agents: Agents, artifacts: Artifacts) -> dict[str, Standing]:
    """Where each artifact of the team stands, by name. What an action gave is never out of date: it happened."""
    rejected = set(rejections(agents, artifacts))
    standings: dict[str, Standing] = {
        name: "rejected" if name in rejected else "ready" if name in artifacts else "missing"
        for name in action_givers(agents)
    }
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
    """The artifacts whose present version a verdict does not accept, with the verdict's notes.

    What an action gave goes back to whoever proposed it, once: their own artifact is rejected until they worked again.
    """
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
        if (own := _proposed_by(agents, judged, about)) is None:
            continue
        answered = artifacts[own].get("answers", {}) if own in artifacts else {}
        if own in artifacts and answered.get(agent.gives.__name__) != stored["version"]:
            found[own] = (*found.get(own, ()), *verdict["notes"])
    return found


def _proposed_by(agents: Agents, given: StoredArtifact, name: str) -> str | None:
    """The artifact of the agent whose action gave this one; None if it was not given by an action."""
    givers = {role for role, _ in action_givers(agents).get(name, ())}
    return next((one.gives.__name__ for one in agents if one.role in givers and one.role == given["by"]), None)


def answered_verdicts(agents: Agents, artifacts: Artifacts, role: str) -> dict[str, int]:
    """Versions of the verdicts on what this role's actions gave, which it has heard of once it worked."""
    mine = {name for name, givers in action_givers(agents).items() if role in dict(givers)}
    names = [agent.gives.__name__ for agent in agents if issubclass(agent.gives, Verdict)]
    return {
        name: artifacts[name]["version"]
        for name in names
        if name in artifacts and artifacts[name]["value"]["about"] in mine
    }


def not_accepted(agents: Agents, state: TeamState, role: str) -> list[tuple[StoredOutcome, str]]:
    """What was done for this role and gave what was not accepted, each with why."""
    given = [one for one in state.get("outcomes", []) if one.get("gave") and one["role"] == role]
    notes = rejections(agents, state["artifacts"]) if given else {}
    return [
        (one, ": ".join(filter(None, [f"the {gave} that it gave was not accepted", "; ".join(notes[gave])])))
        for one in given
        if (gave := one["gave"]) in notes
    ]


def told_of_before(before: Sequence[tuple[StoredOutcome, str]], proposal: Proposal) -> list[str]:
    """What a person is to know of an action that was done before just so, and what it gave was not accepted."""
    for outcome, why in before:
        if (outcome["action"], outcome.get("args")) == (proposal.action, proposal.args):
            return [f"{proposal.action} was done before with the same arguments, and {why}"]
    return []


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
    standings = judge(agents, artifacts)
    return all(standings[agent.gives.__name__] == "ready" for agent in agents)


def action_givers(agents: Agents) -> dict[str, list[tuple[str, Action[Any]]]]:
    """The artifacts that actions give, by name: who proposes which."""
    found: dict[str, list[tuple[str, Action[Any]]]] = {}
    for agent in agents:
        for name, action in given_by_actions(agent):
            found.setdefault(name, []).append((agent.role, action))
    return found


def skipped(agents: Agents, state: TeamState, working: str = "") -> dict[str, str]:
    """The agents that will not work, and why: an action should have given what they need, and it will not come.

    The agents come in working order, so that whoever gives what another needs is looked at before. `working` is the
    role that is put to work, whatever it gave before.
    """
    standings, by_action = judge(agents, state["artifacts"]), action_givers(agents)
    notes = rejections(agents, state["artifacts"])
    why, lost, coming = dict[str, str](), dict[str, str](), set[str]()
    for agent in agents:
        name, needs = agent.gives.__name__, [need.__name__ for need in agent.needs]
        for need in needs:
            if need not in by_action or standings[need] == "ready":
                continue
            proposers = {role for role, _ in by_action[need]}
            if not coming & {one.gives.__name__ for one in agents if one.role in proposers and one.role not in why}:
                before = next((why[role] for role in why if role in proposers), "")
                lost[need] = before or _why_lost(
                    need, [action for _, action in by_action[need]], state, notes.get(need, ())
                )
        found = next((lost[need] for need in needs if need in lost), "")
        if standings[name] != "ready" and found:
            why[agent.role] = found
            if all(other.role in why for other in agents if other.gives is agent.gives):
                lost[name] = found
        elif standings[name] != "ready" or coming.intersection(needs) or agent.role == working:
            coming.add(name)
    return why


def _why_lost(name: str, actions: Sequence[Action[Any]], state: TeamState, notes: Sequence[str]) -> str:
    """Why no action gave the artifact: what became of the last of them that was proposed."""
    if name in state["artifacts"]:
        return ": ".join([f"{name} was not accepted", *filter(None, ["; ".join(notes)])])
    names = {action.name for action in actions}
    known = [one for one in reversed(state.get("outcomes", [])) if one["action"] in names]
    if not known:
        return f"nobody proposed {' or '.join(sorted(names))}"
    # The same proposed once more after a person rejected it is denied for that.
    same = [one for one in known if one["action"] == known[0]["action"] and one.get("proposed") == known[0]["proposed"]]
    return _tell_undone(next((one for one in same if one["status"] != "denied"), known[0]))


def _tell_undone(outcome: StoredOutcome) -> str:
    """What became of an action that gave nothing, as part of a sentence."""
    action, said = outcome["action"], f": {outcome['detail']}" if outcome["detail"] else ""
    by = f" by {outcome['by']}" if outcome["by"] and outcome["by"] != "policy" else ""
    match outcome["status"]:
        case "done":
            return f"{action} was done, but {outcome['detail']}"
        case "denied":
            return f"policy does not allow {action}{said}"
        case "expired":
            return f"nobody decided {action} in time"
        case "abandoned":
            return f"nobody knows whether {action} happened"
        case "skipped":
            return f"{action} was not called, as this is a dry run"
        case "failed":
            return f"{action} failed{said}"
        case status:
            return f"{action} was {status}{by}{said}"


def keep_given(action: Action[Any], state: TeamState, outcome: StoredOutcome) -> tuple[StoredOutcome, Update]:
    """The outcome of the first proposal, and the state's artifacts with what its result became.

    A result that does not fit is one line in the outcome's detail, and no artifact: what was done stays done.
    """
    kind, result = given_by(action), outcome["result"]
    if kind is None or outcome["status"] not in ("done", "answered"):
        return outcome, {}
    if problem := _misfit(kind, result):
        known = set(result) != {"confirmed_by"}  # what a person said of an unknown outcome
        told = f"what it returned is no {kind.__name__}: {problem}"
        unknown = f"what it returned is not known, so that there is no {kind.__name__}"
        return {**outcome, "detail": told if known else unknown}, {}
    if state["proposals"][0].get("item"):
        return outcome, {}  # it is that item's, which is told of it
    artifacts, name = state["artifacts"], kind.__name__
    said = flags_of(json.dumps(result, ensure_ascii=False), action.name) if action.form is None else ()
    given = StoredArtifact(
        by=outcome["role"],
        version=artifacts[name]["version"] + 1 if name in artifacts else 1,
        built_on={},
        value=kind.model_validate(result).model_dump(mode="json"),
        flags=list(dict.fromkeys((*state["proposals"][0].get("flags", ()), *said))),
    )
    return {**outcome, "gave": name}, {"artifacts": {**artifacts, name: given}}


def _misfit(kind: type[Artifact], result: Mapping[str, Any]) -> str:
    """Why a result is no such artifact, in a few words; empty if it is one."""
    try:
        given = kind.model_validate(result)
        kept = given.model_dump(mode="json")
        check_storable([kept, given.brief()])
        same = kind.model_validate(kept).model_dump(mode="json") == kept
    except Exception as error:  # a validator is somebody else's code, and the action was called
        return misfit(error)
    return "" if same else "it does not read back as it was"


def revise_plan(
    plan: Sequence[PlanStep],
    agents: Sequence[Agent[Any]],
    artifacts: Artifacts,
    assignment: Assignment | None,
    left_out: Mapping[str, str] = MappingProxyType({}),
) -> list[PlanStep]:
    """The steps already ended, the one assigned now, and those that will follow; the agents come in working order.

    `left_out` are the roles that are skipped, and why.
    """
    steps = ended_steps(plan)
    standings, by_action = judge(agents, artifacts), action_givers(agents)
    changing = {name for name, standing in standings.items() if standing != "ready"}
    # What an action gave changes only if who proposed it works again.
    working = {agent.role for agent in agents if standings[agent.gives.__name__] != "ready"}
    changing -= {name for name in by_action if name in artifacts and not working & dict(by_action[name]).keys()}
    planned: set[str] = set()
    if assignment is not None:
        gives = next(agent.gives.__name__ for agent in agents if agent.role == assignment["agent"])
        steps.append(plan_step(assignment["agent"], gives, "in_progress", assignment["reason"]))
        planned, changing = {gives}, changing | {gives}
    for agent in agents:
        name = agent.gives.__name__
        if name in changing or any(need.__name__ in changing for need in agent.needs):
            changing.add(name)
            if agent.role in left_out:
                steps.append(plan_step(agent.role, name, "skipped", left_out[agent.role]))
            elif name not in planned:
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
