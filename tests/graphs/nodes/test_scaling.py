"""What a run takes for each of its items stays the same however many there are: counted, at some and at four times."""

from __future__ import annotations

import asyncio
import cProfile
import pstats
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from desks import Meeting
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command
from pydantic import BaseModel
from sqlalchemy import Engine, event

from signoff import Action, Agent, Artifact, Each, Ledger, Limits, Policy, SqliteCheckpointer, Task, Team
from signoff.checkpoints.saver.encoding.serializer import StrictSerializer
from signoff.tools import Proposal

pytestmark = pytest.mark.usefixtures("at_once")

FEW, MANY = 16, 64
"""At a width of 1 four times as many are sent by fours."""
GOAL = " ".join(f"item{number}" for number in range(64))
"""So many that they are sent by fours."""


class Note(Artifact):
    text: str


class Notes(Artifact):
    texts: tuple[str, ...]


class Filed(Artifact):
    number: int


class Ticket(BaseModel):
    title: str


class Scales(StrictSerializer):
    """Weighs what a saver packs."""

    packed = 0

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        kind, packed = super().dumps_typed(obj)
        self.packed += len(packed)
        return kind, packed


class Took(NamedTuple):
    """What a run took, in all."""

    steps: int
    """Of the graph."""
    packed: int
    """Bytes that the saver packed."""
    calls: int
    """Calls of functions in the thread of the graph's nodes."""
    statements: int
    """Of the ledger."""


@contextmanager
def counted() -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def reader(function: Any, width: int) -> Agent[Notes]:
    return Agent(
        role="reader",
        gives=Notes,
        each=Each(
            items=lambda task: task.goal.split(),
            gives=Note,
            function=function,
            join=lambda rows, _task: Notes(texts=tuple(row.gave.text for row in rows if row.gave)),
        ),
        limits=Limits(width=width),
    )


def work(home: Path, items: int, *, is_alone: bool) -> Took:
    """A team that works on so many items one by one, and files a ticket for each as a person allows it."""
    filed: list[str] = []

    def file(ticket: Ticket, _key: str) -> dict[str, str]:
        filed.append(ticket.title)
        return {"title": ticket.title}

    def propose(_: Filed, task: Task) -> list[Proposal]:
        return [action.propose(Ticket(title=text), "It was noted.") for text in task.need(Notes).texts]

    risk: Any = "irreversible" if is_alone else "write"
    action = Action(name="file", description="Files a ticket.", arguments=Ticket, call=file, risk=risk)
    notes = reader(lambda task: Note(text=f"{task.item} {'is noted at length ' * 20}"), width=1)
    clerk = Agent(
        role="clerk",
        needs=(Notes,),
        gives=Filed,
        function=lambda task: Filed(number=len(task.need(Notes).texts)),
        actions=(action,),
        propose=propose,
    )
    scales, profile, config = Scales(), cProfile.Profile(), RunnableConfig(configurable={"thread_id": f"r-{items}"})
    ledger = Ledger(home / f"{items}.db")
    with SqliteCheckpointer(":memory:", serde=scales) as saver, counted() as statements:
        team = Team(agents=[notes, clerk], ledger=ledger, policy=Policy({"file": "ask"}))
        graph = team.compile(checkpointer=saver)
        given: Any = {"goal": " ".join(f"item{number}" for number in range(items))}
        profile.enable()
        for _ in range(items + 1):
            result = graph.invoke(given, config)
            if "__interrupt__" not in result:
                break
            given = Command(resume={"decisions": [{"type": "approve"}]} if is_alone else "approve all")
        profile.disable()
        steps = (graph.get_state(config).metadata or {})["step"]
    ledger.close()
    assert result["run"]["ended"] == "done"
    assert len(set(filed)) == len(filed) == items
    calls = pstats.Stats(profile).total_calls  # type: ignore[attr-defined]  # typeshed does not know it
    return Took(steps, scales.packed, calls, len(statements))


def test_four_times_as_many_items_take_hardly_more_steps_and_the_same_for_each(home: Path) -> None:
    few, many = (work(home, items, is_alone=False) for items in (FEW, MANY))
    assert many.steps <= few.steps + 6  # where acting is slow it takes another step now and then
    for counts in ((few.packed, many.packed), (few.calls, many.calls), (few.statements, many.statements)):
        assert counts[1] / MANY <= 1.3 * counts[0] / FEW


def test_a_question_costs_the_same_however_many_wait_behind_it(home: Path) -> None:
    few, many = (work(home, items, is_alone=True) for items in (6, 24))
    assert many.statements / 24 <= 1.2 * few.statements / 6


@pytest.mark.parametrize("is_async", [False, True])
def test_of_many_items_that_are_sent_at_once_no_more_than_the_width_are_worked_on(home: Path, is_async: bool) -> None:
    meeting = Meeting()

    def meet(task: Task) -> Note:
        meeting.attend()
        return Note(text=task.item)

    with closing(Ledger(home / "signoff.db")) as ledger:
        graph = Team(agents=[reader(meet, 2)], ledger=ledger).compile(checkpointer=InMemorySaver())
        given, config = {"goal": GOAL}, RunnableConfig(configurable={"thread_id": "r-1"})
        result = asyncio.run(graph.ainvoke(given, config)) if is_async else graph.invoke(given, config)
    assert meeting.most == 2
    assert result["artifacts"]["Notes"]["value"]["texts"] == GOAL.split()


def test_a_run_that_is_to_leave_off_begins_no_other_item_and_goes_on_with_those_that_are_missing(home: Path) -> None:
    control, worked = RunControl(), list[str]()

    def work_once(task: Task) -> Note:
        control.request_drain()
        worked.append(task.item)
        return Note(text=task.item)

    with closing(Ledger(home / "signoff.db")) as ledger:
        graph = Team(agents=[reader(work_once, 1)], ledger=ledger).compile(checkpointer=InMemorySaver())
        config = RunnableConfig(configurable={"thread_id": "r-1"})
        with pytest.raises(GraphDrained):
            graph.invoke({"goal": GOAL}, config, control=control)
        assert worked == ["item0"]
        result = graph.invoke(None, config)
    assert sorted(worked) == sorted(GOAL.split())
    assert result["artifacts"]["Notes"]["value"]["texts"] == GOAL.split()
