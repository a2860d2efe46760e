"""The report team and our saver, unchanged, on LangGraph's development server, driven by its own client."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langgraph_dev import serving
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

from signoff.checkpoints.saver.saver import SqliteCheckpointer

QUESTION = "Why does the tide rise and fall?"
DATABASE = Path(".signoff", "signoff.db")
PATIENT = """
import asyncio
import operator
from typing import Annotated, TypedDict

from langgraph.graph import START, StateGraph


class State(TypedDict):
    lines: Annotated[list[str], operator.add]
    waits: bool


async def write(state: State) -> dict:
    return {"lines": ["written"]}


async def rest(state: State) -> dict:
    if state["waits"]:
        await asyncio.Event().wait()
    return {"lines": ["rested"]}


graph = StateGraph(State).add_sequence([write, rest]).add_edge(START, "write")
"""
"""A graph that writes a line, and then waits for ever if it is told to."""


DOORS = """
from typing import Literal

from signoff import Agent, Artifact, Team
from signoff.tools import ask_person


class Door(Artifact):
    which: Literal["front", "back"]


class Request(Artifact):
    title: str


class Paint(Artifact):
    text: str


ask = ask_person("Which door is it?", Door)
reader = Agent(
    role="reader",
    gives=Request,
    function=lambda task: Request(title=task.goal),
    actions=(ask,),
    propose=lambda request, task: [ask.propose({})],
)
painter = Agent(
    role="painter", needs=(Door,), gives=Paint, function=lambda task: Paint(text=f"{task.need(Door).which} is painted")
)
doors = Team(name="doors", agents=[reader, painter])
graph = Team(name="house", agents=[doors.as_agent(gives=Paint)]).graph()
"""
"""A team that asks a person, as the agent of another one."""


@pytest.fixture(params=["its own saver", "our saver"])
def client(home: Path, request: pytest.FixtureRequest) -> Iterator[SyncLangGraphClient]:
    docs = home / "docs"
    docs.mkdir()
    (docs / "tides.md").write_text(
        "# Tides\n\nThe tide rises and falls twice a day because the moon pulls the water of the ocean.\n"
        "The difference between high and low water is called the tidal range.\n"
    )
    (home / "patient.py").write_text(PATIENT)
    (home / "doors.py").write_text(DOORS)
    graphs = {
        "agent": "signoff.graphs.teams.report:graph",
        "patient": "./patient.py:graph",
        "doors": "./doors.py:graph",
    }
    config: dict[str, Any] = {"graphs": graphs}
    if request.param == "our saver":
        config["checkpointer"] = {"path": "signoff.checkpoints.saver.langgraph_server.checkpointer"}
    with serving(home, config) as url:
        client = get_sync_client(url=url)
        try:
            yield client
        finally:
            client.http.client.close()


def _run(client: SyncLangGraphClient, thread: str, *, assistant: str = "agent", **given: Any) -> dict[str, Any]:
    client.runs.wait(thread, assistant, **given)
    state = client.threads.get(thread)
    return dict(state)


def test_a_run_is_interrupted_resumed_and_done(client: SyncLangGraphClient, home: Path) -> None:
    thread = client.threads.create()["thread_id"]
    state = _run(client, thread, input={"messages": [{"role": "user", "content": QUESTION}]})
    assert state["status"] == "interrupted", (home / "server.log").read_text()
    ((question,),) = [list(found) for found in state["interrupts"].values()]
    (request,) = question["value"]["action_requests"]
    assert request["name"] == "publish_report"
    assert "the moon pulls the water of the ocean" in request["args"]["content"]
    assert not (home / "report.md").exists()

    state = _run(client, thread, command={"resume": "perhaps"})
    assert state["status"] == "interrupted"
    ((question,),) = [list(found) for found in state["interrupts"].values()]
    assert "did not count" in question["value"]["action_requests"][0]["description"]

    state = _run(client, thread, command={"resume": {"decisions": [{"type": "approve"}]}})
    assert state["status"] == "idle"
    assert state["values"]["run"]["ended"] == "done"
    assert (home / "report.md").read_text() == request["args"]["content"]
    _a_question_is_answered(client)


def _a_question_is_answered(client: SyncLangGraphClient) -> None:
    """In a server that is up already: what is no answer is asked for again, and what fits is the outcome."""
    thread = client.threads.create()["thread_id"]
    state = _run(client, thread, assistant="doors", input={"goal": "paint the door"})
    for wrong in ({"decisions": [{"type": "approve"}]}, {"which": "side"}):
        state = _run(client, thread, assistant="doors", command={"resume": wrong})
        assert state["status"] == "interrupted"
    ((question,),) = [list(found) for found in state["interrupts"].values()]
    assert "which: Input should be 'front' or 'back'" in question["value"]["action_requests"][0]["description"]
    state = _run(client, thread, assistant="doors", command={"resume": [{"type": "response", "args": "front"}]})
    assert state["status"] == "idle"
    assert state["values"]["artifacts"]["Paint"]["value"] == {"text": "front is painted"}


def _lines(client: SyncLangGraphClient, thread: str) -> list[str]:
    state: Any = client.threads.get_state(thread)
    return list(state["values"]["lines"])


def _steps(thread: str) -> int:
    with SqliteCheckpointer(DATABASE) as saver:
        return len(list(saver.list({"configurable": {"thread_id": thread}})))


def _wait_for(client: SyncLangGraphClient, thread: str, lines: list[str]) -> None:
    for _ in range(300):
        state: Any = client.threads.get_state(thread)
        if state["values"] and state["values"].get("lines") == lines and _steps(thread) >= 2:
            return
        time.sleep(0.1)  # another process has to get somewhere; there is nothing to wait on
    raise AssertionError(state)


def _a_run_is_rolled_back(client: SyncLangGraphClient, home: Path) -> None:
    """It leaves nothing and blocks nobody."""
    thread, other = (client.threads.create()["thread_id"] for _ in range(2))
    assert _run(client, thread, assistant="patient", input={"lines": ["first"], "waits": False})["status"] == "idle"
    before = _steps(thread)
    second: Any = {"lines": ["second"], "waits": True}
    client.runs.create(thread, "patient", input=second)
    _wait_for(client, thread, ["first", "written", "rested", "second", "written"])
    assert _steps(thread) > before
    third: Any = {"lines": ["third"], "waits": False}
    assert _run(client, thread, assistant="patient", input=third, multitask_strategy="rollback")["status"] == "idle", (
        home / "server.log"
    ).read_text()
    assert _lines(client, thread) == ["first", "written", "rested", "third", "written", "rested"]
    assert _steps(thread) == 2 * before
    assert _run(client, other, assistant="patient", input={"lines": [], "waits": False})["status"] == "idle"
    assert _lines(client, other) == ["written", "rested"]


@pytest.mark.parametrize("client", ["our saver"], indirect=True)
def test_threads_are_copied_pruned_and_deleted_and_a_run_that_is_rolled_back_leaves_nothing(
    client: SyncLangGraphClient, home: Path
) -> None:
    thread = client.threads.create()["thread_id"]
    _run(client, thread, assistant="patient", input={"lines": [], "waits": False})
    made: list[Any] = [client.threads.copy(thread) for _ in range(2)]  # type: ignore[func-returns-value]  # it does return it
    copies = [copy["thread_id"] for copy in made]
    for copy in copies:
        assert _steps(copy) == _steps(thread) > 1
        assert _lines(client, copy) == ["written", "rested"]
    _run(client, copies[0], assistant="patient", input={"lines": ["more"], "waits": False})
    assert _lines(client, thread) == ["written", "rested"]
    assert client.threads.prune([copies[0]], strategy="delete")["pruned_count"] == 1
    client.threads.delete(copies[1])
    assert [_steps(name) for name in copies] == [0, 0]
    assert _lines(client, thread) == ["written", "rested"]
    log = (home / "server.log").read_text()
    assert "Using custom checkpointer: SqliteCheckpointer" in log
    assert [line for line in log.splitlines() if "[warning" in line or "[error" in line] == []
    _a_run_is_rolled_back(client, home)
