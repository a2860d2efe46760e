"""Events: what whoever watches a run is told while it is driven."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from signoff.agents import Usage
from signoff.checkpoints.ledger import Approval, Status
from signoff.graphs import PlanStep


@dataclass(frozen=True)
class Event:
    """Something that happened while a run was driven."""

    kind: Literal["turn", "says", "plan", "stands"]
    """turn: an agent begins to work, `done` turns are taken with it; says: it tells what it does; plan: the plan or the
    usage changed; stands: the last one, once the run has ended or waits for a person."""
    agent: str = ""
    text: str = ""
    """Why it is the agent's turn, what it says, or the note of the run."""
    done: int = 0
    total: int = 0
    """How much there is to do, 0 if there is nothing to count."""
    plan: tuple[PlanStep, ...] = ()
    usage: Usage | None = None
    status: Status | None = None
    """Of `stands`: where the run stands now."""
    approvals: tuple[Approval, ...] = ()
    """Of `stands`: what a person is asked, oldest first."""

    def to_json(self) -> str:
        """One line of JSON with what the event has, as a page or another program is sent it."""
        found = {name: value for name, value in asdict(self).items() if value not in ("", 0, (), None)}
        return json.dumps(found, default=str, ensure_ascii=False)


Watch = Callable[[Event], None]
"""Is told what happens while a run is driven."""


def look_away(_event: Event) -> None:
    """Watch nothing."""


def read_events(place: Sequence[str], mode: str, part: Any) -> Iterator[Event]:
    """What a part of a graph's stream tells of; what comes from a graph within is what the agent around it says."""
    if place:
        told = part if mode == "custom" and isinstance(part, dict) else {}
        if isinstance(role := told.get("agent"), str) and isinstance(text := told.get("says", told.get("reason")), str):
            agent, *within = [name.partition(":")[0] for name in place]
            inside = "/".join([*within, role])
            yield Event("says", agent, f"{inside}: {text}", done=told.get("done", 0), total=told.get("total", 0))
    elif mode == "custom" and isinstance(part, dict):
        if "turn" in part:
            yield Event("turn", agent=part["agent"], text=part["reason"], done=part["turn"])
        elif "says" in part:
            yield Event("says", agent=part["agent"], text=part["says"], done=part["done"], total=part["total"])
    elif mode == "updates" and isinstance(part, dict):
        for update in part.values():
            if isinstance(update, dict) and ("plan" in update or "usage" in update):
                yield Event("plan", plan=tuple(update.get("plan", ())), usage=update.get("usage"))
