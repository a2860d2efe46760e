"""Items in stages: a stage begins when all of the one before have ended, and finds what came of them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from signoff import Agent, Artifact, Each, Row, Run, Task, Team
from signoff.agents import item_by_item
from signoff.errors import TeamError


class Step(BaseModel):
    name: str
    stage: int


class Found(Artifact):
    text: str


class Table(Artifact):
    lines: tuple[str, ...]


STEPS = [Step(name="a", stage=0), Step(name="sum", stage=1), Step(name="b", stage=0), Step(name="top", stage=2)]


def look(task: Task) -> Found:
    if task.item.name == "b" and "fail" in task.goal:
        raise ValueError("no road")
    return Found(text=f"{task.item.name}({' '.join(row.gave.text if row.gave else row.problem for row in task.rows)})")


def join(rows: Sequence[Row[Found]], task: Task) -> Table:
    assert task.rows == ()
    return Table(lines=tuple(row.gave.text if row.gave else row.problem for row in rows))


def team(**each: Any) -> Team:
    one = Agent(role="scout", gives=Found, function=look)
    scout = item_by_item(
        one, items=lambda _task: STEPS, of=Step, gives=Table, join=join, stage=lambda step: int(step.stage), **each
    )
    return Team(name="stages", agents=[scout])


def test_a_stage_finds_what_came_of_all_lower_ones_in_their_order(home: Path) -> None:
    found = Run.start(team(), "look").artifact(Table)
    assert found.lines == ("a()", "sum(a() b())", "b()", "top(a() sum(a() b()) b())")


def test_what_failed_in_a_lower_stage_is_found_with_its_reason(home: Path) -> None:
    found = Run.start(team(), "look and fail").artifact(Table)
    assert found.lines[1].startswith("sum(a() ValueError: no road (test_stages.py, line ")


def test_a_stage_is_the_same_for_an_event_loop(home: Path) -> None:
    run = asyncio.run(Run.astart(team(), "look"))
    assert run.artifact(Table).lines[3] == "top(a() sum(a() b()) b())"


def test_without_stages_nobody_finds_anything_of_others(home: Path) -> None:
    each = Each(items=lambda _task: STEPS, of=Step, gives=Found, join=join, function=look)
    scout = Agent(role="scout", gives=Table, each=each)
    found = Run.start(Team(name="flat", agents=[scout]), "look").artifact(Table)
    assert found.lines == ("a()", "sum()", "b()", "top()")


def test_an_agent_that_works_by_items_already_cannot_be_made_one_again() -> None:
    with pytest.raises(TeamError, match="item by item already"):
        item_by_item(team().agents[0], items=lambda _task: STEPS, of=Step, gives=Table, join=join)
