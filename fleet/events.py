"""Events: what whoever watches a run is told while it is driven."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from signoff.agents import Usage
from signoff.graphs import PlanStep


@dataclass(frozen=True)
class Event:
    """Something that happened while a run was driven."""

    kind: Literal["turn", "says", "plan"]
    agent: str = ""
    text: str = ""
    done: int = 0
    total: int = 0
    """How much there is to do, 0 if there is nothing to count."""
    plan: tuple[PlanStep, ...] = ()
    usage: Usage | None = None


Watch = Callable[[Event], None]
"""Is told what happens while a run is driven."""


def look_away(_event: Event) -> None:
    """Watch nothing."""


def read_events(mode: str, part: Any) -> Iterator[Event]:
    """What a part of a graph's stream tells of."""
    if mode == "custom" and isinstance(part, dict):
        if "turn" in part:
            yield Event("turn", agent=part["agent"], text=part["reason"], done=part["turn"])
        elif "says" in part:
            yield Event("says", agent=part["agent"], text=part["says"], done=part["done"], total=part["total"])
    elif mode == "updates" and isinstance(part, dict):
        for update in part.values():
            if isinstance(update, dict) and ("plan" in update or "usage" in update):
                yield Event("plan", plan=tuple(update.get("plan", ())), usage=update.get("usage"))
