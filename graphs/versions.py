"""Versions: whether a run that began with one version of its team can go on with another, and what is in its way.

A run keeps, in its state, the version that its team declared and a digest of the team's shape. Where both are the
same it goes on. Where not, what it holds is compared with the team as it is now: that decides, not the digest.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, Protocol, cast

from pydantic import BaseModel, PydanticUserError, ValidationError

from signoff.agents import Agent, Artifact, WorkPlan, given_by
from signoff.checkpoints import digest
from signoff.graphs.approval.answers import misfit
from signoff.graphs.approval.enforcement import Actions
from signoff.graphs.approval.questions import CONTROLS
from signoff.graphs.errors import TeamChanged
from signoff.graphs.state import SUPERVISOR, merge_items

Migrate = Callable[[dict[str, Any], str], Mapping[str, Any]]
"""Given a run's state and the version that it has, what of the state is to be changed so that it fits this version;
whatever it raises says why that cannot be."""
_LENGTH: Final = 16
_KEPT: Final = 512


class Versioned(Protocol):
    """What a run is compared with: a team."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def shape(self) -> str: ...
    @property
    def migrate(self) -> Migrate | None: ...
    def misfits(self, state: Mapping[str, Any]) -> list[str]:
        """What the state of a run holds that this team could not go on with."""


def is_current(team: Versioned, state: Mapping[str, Any]) -> bool:
    """Whether a run in this state is at this version of the team, has ended, or has not begun."""
    run = state.get("run")
    if run is None or run["ended"]:
        return True
    return (run.get("version", ""), run.get("shape", "")) == (team.version, team.shape)


def migration(team: Versioned, state: Mapping[str, Any], more: Sequence[str] = ()) -> dict[str, Any] | None:
    """What of the state is to be changed so that the run goes on with this team; None if it goes on as it is.

    `more` is what else is in its way, and no migration of this state mends. TeamChanged if it cannot go on.
    """
    run = state["run"]
    began = run.get("version", "")
    changes: dict[str, Any] | None = None
    wrong = team.misfits(state)
    if (wrong or began != team.version) and team.migrate is not None:
        try:
            changes = dict(team.migrate(copy.deepcopy(dict(state)), began))
            items = merge_items(state.get("items") or {}, changes.get("items") or {})
            wrong = team.misfits({**state, **changes, "items": items})
        except Exception as error:  # whatever a team's own function raises says why it does not go on
            wrong = [f"its migration failed with {type(error).__name__}: {error}"]
    elif began != team.version:
        wrong = [*wrong, "the team has no migration"]
    if wrong or more:
        raise TeamChanged(run["id"], team.name, began, team.version, [*wrong, *more])
    stamp = {"version": team.version, "shape": team.shape}
    return None if changes is None else {**changes, "run": {**run, **stamp}}


def shape_of(
    agents: Sequence[Agent[Any]], actions: Actions, takes: type[BaseModel] | None, within: Mapping[str, str]
) -> str:
    """A digest of what a run's state depends on; `within`: the shapes of teams that stand as agents, by role."""
    roles = {
        agent.role: [
            agent.gives.__name__,
            sorted(need.__name__ for need in agent.needs),
            agent.each is not None,
            within.get(agent.role, ""),
        ]
        for agent in agents
    }
    kinds = {name: _schema(kind) for name, kind in kinds_of(agents).items()}
    proposed = {name: _schema(cast(Any, action.arguments)) for name, action in actions.items()}
    return digest([roles, kinds, proposed, _schema(takes)])[:_LENGTH]


def kinds_of(agents: Sequence[Agent[Any]]) -> dict[str, type[Artifact]]:
    """The types of the artifacts that a team's agents, and their actions, give, by name."""
    by_actions = [kind for agent in agents for action in agent.at_gate if (kind := given_by(action)) is not None]
    kinds: list[type[Artifact]] = [WorkPlan, *(agent.gives for agent in agents), *by_actions]
    return {kind.__name__: kind for kind in kinds}


def misfits(agents: Sequence[Agent[Any]], actions: Actions, state: Mapping[str, Any]) -> list[str]:
    """What this state holds that a team of these agents could not go on with, in words; empty if it can."""
    return list(dict.fromkeys([*_lost_roles(agents, state), *_changed_kinds(agents, state), *_open(actions, state)]))


def _lost_roles(agents: Sequence[Agent[Any]], state: Mapping[str, Any]) -> Iterator[str]:
    """Agents that are at work, or whose work waits, and that are gone or work otherwise."""
    roles = {agent.role: agent for agent in agents}
    at_items = {
        role for role, rows in (state.get("items") or {}).items() if any(not row["is_joined"] for row in rows.values())
    }
    at_work = {step["agent"] for step in state.get("plan") or () if step["status"] == "in_progress"}
    at_work |= set(state.get("held") or ()) | at_items
    at_work |= {proposal["by"] for proposal in state.get("proposals") or ()}
    for role in sorted(at_work - {SUPERVISOR}):
        if role not in roles:
            yield f"agent {role!r} is at work in it, and no agent of the team any more"
        elif role in at_items and roles[role].each is None:
            yield f"agent {role!r} works item by item in it, and in one piece now"


def _changed_kinds(agents: Sequence[Agent[Any]], state: Mapping[str, Any]) -> Iterator[str]:
    """Artifacts that are no longer such as their types have them; what nobody gives is in nobody's way."""
    kinds = kinds_of(agents)
    for name, stored in (state.get("artifacts") or {}).items():
        kind = kinds.get(name)
        if kind is not None and (problem := _problem(kind, stored["value"])):
            yield f"its artifact {name} does not fit any more ({problem})"


def _open(actions: Actions, state: Mapping[str, Any]) -> Iterator[str]:
    """Proposals that wait, and whose actions are gone or take other arguments."""
    for proposal in state.get("proposals") or ():
        name = proposal["action"]
        if name in CONTROLS:
            continue
        if name not in actions:
            yield f"it proposes {name!r}, which is no action of the team any more"
        elif problem := _problem(actions[name].arguments, proposal["args"]):
            yield f"what it proposes to {name!r} does not fit any more ({problem})"


def _problem(kind: type[BaseModel], value: Any) -> str:
    try:
        kind.model_validate(value)
    except ValidationError as error:
        return misfit(error)
    return ""


@lru_cache(maxsize=_KEPT)
def _schema(kind: Any) -> str:
    """A digest of a model's JSON schema; where it has none its name, and nothing of None."""
    if kind is None:
        return ""
    try:
        return digest(kind.model_json_schema())[:_LENGTH]
    except PydanticUserError:
        return str(kind.__qualname__)
