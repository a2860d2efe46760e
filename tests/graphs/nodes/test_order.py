"""Items in an order: one begins when those that it comes after have ended, and finds what came of just these."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel

from signoff import Agent, Artifact, Each, Row, Run, Task, Team
from signoff.agents import item_by_item
from signoff.errors import TeamError


class Step(BaseModel):
    name: str
    after: tuple[str, ...] = ()


class Found(Artifact):
    text: str


class Table(Artifact):
    lines: tuple[str, ...]


STEPS = [Step(name="a"), Step(name="sum", after=("b", "a")), Step(name="b"), Step(name="top", after=("sum",))]


def look(task: Task) -> Found:
    if task.item.name == "b" and "fail" in task.goal:
        raise ValueError("no road")
    return Found(text=f"{task.item.name}({' '.join(row.gave.text if row.gave else row.problem for row in task.rows)})")


def join(rows: Sequence[Row[Found]], task: Task) -> Table:
    assert task.rows == ()
    return Table(lines=tuple(row.gave.text if row.gave else row.problem for row in rows))


def team(steps: Sequence[Step] = STEPS, function: Callable[[Task], Found] = look, join: Any = join) -> Team:
    one = Agent(role="scout", gives=Found, function=function)
    scout = item_by_item(
        one, items=lambda _task: steps, of=Step, gives=Table, join=join, after=lambda step: tuple(step.after)
    )
    return Team(name="steps", agents=[scout])


def test_an_item_finds_what_came_of_those_that_it_comes_after_as_it_names_them(home: Path) -> None:
    found = Run.start(team(), "look").artifact(Table)
    assert found.lines == ("a()", "sum(b() a())", "b()", "top(sum(b() a()))")


def test_what_failed_before_it_is_found_with_its_reason(home: Path) -> None:
    found = Run.start(team(), "look and fail").artifact(Table)
    assert found.lines[1].startswith("sum(ValueError: no road (test_order.py, line ")


def test_the_order_is_the_same_for_an_event_loop(home: Path) -> None:
    run = asyncio.run(Run.astart(team(), "look"))
    assert run.artifact(Table).lines[3] == "top(sum(b() a()))"


def test_without_an_order_nobody_finds_anything_of_others(home: Path) -> None:
    each = Each(items=lambda _task: STEPS, of=Step, gives=Found, join=join, function=look)
    scout = Agent(role="scout", gives=Table, each=each)
    found = Run.start(Team(name="flat", agents=[scout]), "look").artifact(Table)
    assert found.lines == ("a()", "sum()", "b()", "top()")


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([Step(name="a", after=("c",))], "'a' among its items comes after 'c', which is none of them"),
        ([Step(name="a", after=("b",)), Step(name="b", after=("a",))], "its items come after each other in a circle"),
        ([Step(name="a", after=("a",))], "its items come after each other in a circle: a, a"),
    ],
)
def test_an_order_that_can_never_be_is_said_before_any_work(home: Path, steps: list[Step], problem: str) -> None:
    worked = list[str]()

    def work(task: Task) -> Found:
        worked.append(task.item.name)
        return look(task)

    run = Run.start(team(steps, work), "look")
    assert run.approval is not None  # whether to go on
    assert problem in str(run.approval)
    assert worked == []


def test_an_item_is_sent_the_rows_that_it_comes_after_and_no_others(home: Path) -> None:
    """What is sent grows with the items and not with their square."""
    steps = [Step(name="0"), *(Step(name=str(at), after=(str(at - 1),)) for at in range(1, 30))]
    graph = team(steps).graph().compile(InMemorySaver())
    told = graph.stream({"goal": "look"}, {"configurable": {"thread_id": "1"}}, stream_mode="tasks")
    sent = [task["input"]["ended"] for task in told if "item" in task.get("input", {})]
    assert Counter(map(len, sent)) == {0: 1, 1: 29}


def test_where_one_is_done_again_what_comes_after_it_is_too(home: Path) -> None:
    tries: Counter[str] = Counter()

    def work(task: Task) -> Found:
        tries[task.item.name] += 1
        if task.item.name == "a" and tries["a"] < 3:
            raise ValueError("no road")
        return look(task)

    def join_whole(rows: Sequence[Row[Found]], task: Task) -> Table:
        if any(row.problem for row in rows):
            raise ValueError("not enough")
        return join(rows, task)

    run = Run.start(team([Step(name="b", after=("a",)), Step(name="a"), Step(name="c")], work, join_whole), "look")
    assert run.artifact(Table).lines == ("b(a())", "a()", "c()")
    assert tries == {"a": 3, "b": 2, "c": 1}


def test_an_agent_that_works_by_items_already_cannot_be_made_one_again() -> None:
    with pytest.raises(TeamError, match="item by item already"):
        item_by_item(team().agents[0], items=lambda _task: STEPS, of=Step, gives=Table, join=join)
