"""A run's team as a drawing: who gives what to whom, who is at work, and what waits at the gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final

from signoff.graphs import PlanStep, Team

_WIDE, _HIGH, _ACROSS, _DOWN, _EDGE = 150, 44, 50, 22, 8
"""Of a box, between two of them, and around all; in the units of the drawing."""
_MOST: Final = 40
"""Boxes that are drawn; a plan with more is a table alone."""
GATE: Final = "gate"


@dataclass(frozen=True)
class Box:
    """An agent, or the gate."""

    name: str
    about: str
    status: str
    x: int
    y: int

    wide, high = _WIDE, _HIGH

    @property
    def middle(self) -> int:
        return self.y + _HIGH // 2


@dataclass(frozen=True)
class Drawing:
    """Boxes in columns, from left to right, and the lines between them."""

    boxes: Sequence[Box]
    lines: Sequence[tuple[Box, Box]]

    edge = _EDGE

    @property
    def wide(self) -> int:
        return max(box.x for box in self.boxes) + _WIDE + _EDGE

    @property
    def high(self) -> int:
        return max(box.y for box in self.boxes) + _HIGH + _EDGE


def draw(plan: Sequence[PlanStep], team: Team | str, gate: str) -> Drawing | None:
    """The plan's agents, and the gate if it stands there; None if there is nothing that a drawing would add.

    Without the team nobody knows who needs what: the agents stand in the order of the plan.
    """
    steps = {step["agent"]: step for step in plan}
    if not 1 < len(steps) + bool(gate) <= _MOST:
        return None
    before = _before(list(steps), {step["gives"]: name for name, step in steps.items()}, team)
    if gate:
        is_needed = {other for others in before.values() for other in others}
        before[GATE] = [name for name in steps if name not in is_needed]
    columns = _columns(before)
    boxes = dict[str, Box]()
    for column, names in enumerate(columns):
        for row, name in enumerate(names):
            about, status = (steps[name]["gives"], steps[name]["status"]) if name in steps else ("", gate)
            place = (_EDGE + column * (_WIDE + _ACROSS), _EDGE + row * (_HIGH + _DOWN))
            boxes[name] = Box(name, about, status.replace("_", " "), *place)
    lines = [(boxes[other], boxes[name]) for name, others in before.items() for other in others]
    return Drawing(list(boxes.values()), lines)


def _before(names: Sequence[str], givers: Mapping[str, str], team: Team | str) -> dict[str, list[str]]:
    """Whose work each agent needs; one that needs nobody's begins."""
    if isinstance(team, str):
        return {name: list(names[max(place - 1, 0) : place]) for place, name in enumerate(names)}
    needs = {agent.role: [kind.__name__ for kind in agent.needs] for agent in team.agents}
    found = {name: [givers[kind] for kind in needs.get(name, ()) if kind in givers] for name in names}
    return {name: [other for other in others if other != name] for name, others in found.items()}


def _columns(before: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Each to the right of all that it needs."""
    order, columns = TopologicalSorter(before), list[list[str]]()
    order.prepare()
    while order.is_active():
        columns.append(list(order.get_ready()))
        order.done(*columns[-1])
    return columns
