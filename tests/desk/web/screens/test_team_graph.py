"""A run's team as a drawing."""

from typing import Any

import pytest

from signoff import Agent, Artifact, Policy, Team
from signoff.desk.web.screens.team_graph import draw


class Wood(Artifact):
    text: str


class Nails(Artifact):
    text: str


class House(Artifact):
    text: str


def make(_task: Any) -> Any:
    return None


AGENTS: tuple[Agent[Any], ...] = (
    Agent(role="feller", gives=Wood, function=make),
    Agent(role="smith", gives=Nails, function=make),
    Agent(role="builder", needs=(Wood, Nails), gives=House, function=make),
)
TEAM = Team(name="builders", agents=list(AGENTS), policy=Policy({}))


def plan(*statuses: str) -> list[Any]:
    return [
        {"agent": agent.role, "gives": agent.gives.__name__, "status": status, "note": "", "final": False}
        for agent, status in zip(AGENTS, statuses, strict=False)
    ]


def drawn(team: Team | str, gate: str = "", *statuses: str) -> tuple[dict[str, tuple[int, str]], set[tuple[str, str]]]:
    found = draw(plan(*(statuses or ("completed", "in_progress", "pending"))), team, gate)
    assert found is not None
    columns = sorted({box.x for box in found.boxes})
    boxes = {box.name: (columns.index(box.x), box.status) for box in found.boxes}
    assert len({(box.x, box.y) for box in found.boxes}) == len(boxes)
    assert all(box.x + box.wide < found.wide and box.y + box.high < found.high for box in found.boxes)
    return boxes, {(a.name, b.name) for a, b in found.lines}


def test_who_needs_nobody_stands_left_and_who_needs_both_to_their_right() -> None:
    boxes, lines = drawn(TEAM)
    assert boxes == {"feller": (0, "completed"), "smith": (0, "in progress"), "builder": (1, "pending")}
    assert lines == {("feller", "builder"), ("smith", "builder")}


def test_the_gate_stands_behind_whoever_nobody_needs() -> None:
    boxes, lines = drawn(TEAM, "waiting")
    assert boxes["gate"] == (2, "waiting")
    assert ("builder", "gate") in lines
    assert ("feller", "gate") not in lines


def test_a_team_that_only_another_program_knows_stands_in_the_order_of_its_plan() -> None:
    boxes, lines = drawn("it is somebody's own")
    assert [boxes[name][0] for name in ("feller", "smith", "builder")] == [0, 1, 2]
    assert lines == {("feller", "smith"), ("smith", "builder")}


@pytest.mark.parametrize("number", [0, 1])
def test_one_alone_needs_no_drawing(number: int) -> None:
    assert draw(plan(*["pending"] * number), TEAM, "") is None
