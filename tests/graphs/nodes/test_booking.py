"""What the calls of a run took is booked with its next call, and always before something follows from it."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from pydantic import BaseModel
from sqlalchemy import Engine, event

from signoff import Action, Agent, Artifact, Ledger, Policy, Team, tool
from signoff.agents.models.openai.chat_model import Endpoint
from signoff.checkpoints.ledger.budgets import reservations
from signoff.testing import ScriptedServer, calls, gives
from signoff.tools import Proposal

CONFIG: RunnableConfig = {"configurable": {"thread_id": "r-1"}}


class Notes(Artifact):
    text: str


class Draft(Notes):
    pass


class Report(Notes):
    pass


class Mail(BaseModel):
    to: str


@pytest.fixture(autouse=True)
def patient(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits to be written with others waits for ever: whatever is on disk was waited for."""
    del home
    monkeypatch.setattr(reservations, "_LONGEST_ALONG", 3600.0)
    monkeypatch.setenv("SIGNOFF_PRICES", '{"scripted": {"input": 1, "output": 4}}')
    monkeypatch.setenv("SIGNOFF_MODEL_RETRIES", "0")


def model_at(server: ScriptedServer) -> Endpoint:
    return Endpoint(model="scripted", base_url=server.url, api_key="test", max_retries=0)


def booked(ledger: Ledger) -> tuple[int, int]:
    """How many calls of the run are written down, and what is still held."""
    spent = next(iter(ledger.spending.by("run", "r-1")), None)
    return (spent.calls - spent.assumed if spent else 0), ledger.budgets.standing("run:r-1").held.steps


@contextmanager
def commits_of_budgets() -> Iterator[list[object]]:
    """The transactions that end with what the thread of the budgets writes."""
    seen: list[object] = []

    def see(connection: object) -> None:
        if threading.current_thread().name == "budgets":
            seen.append(connection)

    event.listen(Engine, "commit", see)
    try:
        yield seen
    finally:
        event.remove(Engine, "commit", see)


def play(graph: Any, way: str) -> Mapping[str, Any]:
    found: Mapping[str, Any]
    if way == "sync":
        found = graph.invoke({"goal": "Write"}, CONFIG)
    else:
        found = asyncio.run(graph.ainvoke({"goal": "Write"}, CONFIG))
    return found


@pytest.mark.parametrize("way", ["sync", "async"])
def test_steps_of_one_call_each_share_the_commits_of_those_that_follow(ledger: Ledger, way: str) -> None:
    with ScriptedServer([gives(Notes(text="a")), gives(Draft(text="b")), gives(Report(text="c"))]) as server:
        team = Team(
            name="press",
            agents=[
                Agent(role="clerk", gives=Notes, model=model_at(server)),
                Agent(role="writer", needs=(Notes,), gives=Draft, model=model_at(server)),
                Agent(role="editor", needs=(Draft,), gives=Report, model=model_at(server)),
            ],
            ledger=ledger,
            budget="$1",
        )
        graph = team.compile(checkpointer=InMemorySaver())
        with commits_of_budgets() as seen:
            result = play(graph, way)
    assert result["run"]["ended"] == "done"
    assert len(seen) <= 3 + 1  # a reservation each, and the end
    assert booked(ledger) == (3, 0)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_before_a_person_is_asked_all_is_booked(ledger: Ledger, way: str) -> None:
    send = Action(name="send", description="Sends.", arguments=Mail, call=lambda mail, key: {})
    with ScriptedServer([gives(Notes(text="a"))]) as server:
        clerk = Agent(
            role="clerk",
            gives=Notes,
            model=model_at(server),
            actions=(send,),
            propose=lambda notes, task: [Proposal(action="send", args={"to": "ann"}, reason="due")],
        )
        team = Team(name="press", agents=[clerk], ledger=ledger, budget="$1", policy=Policy({"send": "ask"}))
        result = play(team.compile(checkpointer=InMemorySaver()), way)
    assert result["__interrupt__"]
    assert booked(ledger) == (1, 0)


def test_a_step_that_is_cut_off_has_booked_what_it_asked_before(ledger: Ledger) -> None:
    begun = asyncio.Event()

    @tool(risk="read")
    async def look(place: str) -> str:
        """Look somewhere."""
        begun.set()
        await asyncio.sleep(3600)
        return f"Nothing in {place}."

    async def cut_off(graph: Any) -> None:
        playing = asyncio.create_task(graph.ainvoke({"goal": "Write"}, CONFIG))
        await begun.wait()
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing
        assert booked(ledger) == (1, 0)

    with ScriptedServer([calls("look", place="here")]) as server:
        clerk = Agent(role="clerk", gives=Notes, model=model_at(server), tools=(look,))
        team = Team(name="press", agents=[clerk], ledger=ledger, budget="$1")
        asyncio.run(cut_off(team.compile(checkpointer=InMemorySaver())))
