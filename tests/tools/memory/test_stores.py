"""Where memories are: in a file, on a server, in the store of a graph; shared by processes, and somebody else's."""

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import warm
from langgraph.store.memory import InMemoryStore
from langgraph.store.sqlite.aio import AsyncSqliteStore

from signoff import Agent, Artifact, Policy, Task, Team
from signoff.errors import DatabaseUnusable, ForeignDatabase, MissingExtra
from signoff.settings import load_settings
from signoff.tools.action import Act, acting
from signoff.tools.memory import Memory, memory_tools
from signoff.tools.memory.item import Note


class Answer(Artifact):
    pass


def test_the_store_of_the_graph_is_used_where_there_is_one(desk: Any) -> None:
    store = InMemoryStore()
    note = Note(subject="Acme", text="It pays late.")
    desk.start(("remember", note.model_dump(mode="json")), store=store)
    assert desk.kept == []
    given = Memory.open(desk.settings, store=store)
    assert [memory.text for memory in given.list()] == ["It pays late."]
    given.forget(given.list(), by="ann")
    assert given.list() == []


def test_a_server_whose_store_is_async_is_no_different(desk: Any, home: Path) -> None:
    told: list[str] = []

    def learn(task: Task) -> Answer:
        told.append(desk.recall("late"))
        return Answer()

    _, remember, _ = memory_tools(desk.memory, team="clerks")
    wish = remember.propose(Note(subject="Acme", text="It pays late."))
    clerk = Agent(role="clerk", gives=Answer, function=learn, actions=(remember,), propose=lambda given, task: [wish])
    team = Team(agents=[clerk], policy=Policy({"remember": "allow"}), ledger=desk.ledger, name="clerks")

    async def serve() -> None:
        async with AsyncSqliteStore.from_conn_string(str(home / "server.db")) as store:
            await store.setup()
            graph = team.compile(store=store)
            for goal in ("learn", "use it"):
                await graph.ainvoke({"goal": goal}, {"configurable": {"thread_id": goal}})
            (item,) = await store.asearch(("signoff", "memory", "clerks"))
            assert item.value["text"] == "It pays late."

    asyncio.run(serve())
    assert "no memories" in told[0]
    assert "It pays late." in told[1]
    assert desk.kept == []


def test_several_processes_share_a_memory_from_its_first_use_on(desk: Any, database: str) -> None:
    command = [sys.executable, str(Path(__file__).with_name("memory_crowd.py")), database]
    crowd = [
        warm.start([*command, str(number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for number in range(2)
    ]
    for one in crowd:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n"
    for one in crowd:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in crowd:
        one.communicate(timeout=60)
    assert [one.returncode for one in crowd] == [0, 0]
    assert sorted(memory.text for memory in desk.memory.list(team="t")) == [
        f"text {number} {at}" for number in range(2) for at in (0, 2, 4)
    ]
    assert not list(Path(database).parent.glob(".memory.db-*"))


def test_the_file_of_the_memory_stands_beside_the_database_and_is_private(home: Path) -> None:
    for database, name in (("", ".signoff/memory.db"), ("x/my.db", "x/my-memory.db")):
        memory = Memory.open(load_settings(database=database or None))
        assert memory.list() == []
        assert not (home / name).exists()
        assert memory.drop_expired() == 0
        keep_one(memory)
        assert (home / name).stat().st_mode & 0o777 == 0o600


def keep_one(memory: Memory) -> None:
    _, remember, _ = memory_tools(memory, team="t")
    with acting(Act(run_id="r", team="t", goal="g", agent="a", approval_id="a-1", approved_by="ann")):
        remember.call(Note(subject="s", text="t"), "0" * 64)


def test_a_file_that_is_somebody_elses_is_left_alone(home: Path) -> None:
    folder = home / ".signoff"
    folder.mkdir()
    with closing(sqlite3.connect(folder / "memory.db")) as other:
        other.execute("CREATE TABLE diary (day)")
    memory = Memory.open()
    with pytest.raises(ForeignDatabase, match="diary"):
        memory.list()
    (folder / "memory.db").write_bytes(b"this is no database, but a text of some length" * 100)
    with pytest.raises(ForeignDatabase):
        memory.list()


def test_a_damaged_file_is_told_in_one_line(home: Path) -> None:
    memory = Memory.open()
    keep_one(memory)
    file = home / ".signoff" / "memory.db"
    file.write_bytes(file.read_bytes()[:4096] + b"\xff" * 40_000)
    with pytest.raises((DatabaseUnusable, ForeignDatabase)):
        memory.list()


def test_a_missing_package_is_told_in_one_line_before_anything_is_approved(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "langgraph.store.sqlite", None)
    with pytest.raises(MissingExtra, match=r"\[memory\]"):
        Memory.open()
    assert Memory.open(store=InMemoryStore()).list() == []
