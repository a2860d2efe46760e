"""Workspaces: a folder for each run, found again when it is resumed, thrown away at its end."""

from __future__ import annotations

import gc
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Artifact
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import StoreError
from signoff.graphs.team import Team
from signoff.testing import ScriptedModel, calls, gives
from signoff.tools.storage.workspaces import Workspaces
from signoff.tools.tool import Tool, tool


class Found(Artifact):
    """What was found."""


def noting(workspaces: Workspaces) -> Tool:
    @tool(risk="sandboxed")
    def note(text: str) -> str:
        """Note a text in the workspace."""
        with (workspaces.current() / "notes.txt").open("a") as notes:
            notes.write(text)
        return (workspaces.current() / "notes.txt").read_text()

    return note


def test_only_this_user_may_enter_a_workspace(home: Path) -> None:
    assert stat.S_IMODE(Workspaces(home).of("run").stat().st_mode) == 0o700


def test_a_run_finds_its_workspace_again_and_no_other_runs(home: Path) -> None:
    first, again = Workspaces(home), Workspaces(home)
    assert first.of("one") == again.of("one") != again.of("two")


@pytest.mark.parametrize("name", ["../../etc", "a/b", "x" * 5000, "", "\x00", "\ud800"])
def test_a_thread_may_have_any_name(home: Path, name: str) -> None:
    assert Workspaces(home).of(name).parent == home / "workspaces"


def test_outside_of_a_run_every_object_has_one_of_its_own(home: Path) -> None:
    first, second = Workspaces(home), Workspaces(home)
    assert first.current() == first.current() != second.current()


def test_a_workspace_is_removed_whatever_the_modes_in_it_and_links_are_not_followed(home: Path) -> None:
    outside = home / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    workspaces = Workspaces(home)
    deep = workspaces.of("run") / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")
    os.symlink(outside, deep / "link")
    for folder in (deep, deep.parent, workspaces.of("run")):
        folder.chmod(0)
    workspaces.remove("run")
    workspaces.remove("run")
    assert list((home / "workspaces").iterdir()) == []
    assert (outside / "kept.txt").read_text() == "kept"


@pytest.mark.skipif(not hasattr(os, "fwalk"), reason="needs folders that are opened one from the other")
def test_a_workspace_is_removed_though_its_paths_are_longer_than_the_system_takes(home: Path) -> None:
    workspaces = Workspaces(home)
    here = os.open(workspaces.of("run"), os.O_RDONLY)
    for _ in range(20):
        os.mkdir("d" * 250, dir_fd=here)
        below = os.open("d" * 250, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    workspaces.remove("run")
    assert list((home / "workspaces").iterdir()) == []


def test_the_steps_of_a_run_share_a_workspace_that_is_gone_at_its_end(ledger: Ledger, home: Path) -> None:
    workspaces = Workspaces(home / ".signoff")
    script = [calls("note", text="a"), calls("note", text="b"), gives(Found())]
    model = ScriptedModel(script)
    agent = Agent(role="finder", gives=Found, model=model, tools=(noting(workspaces),))
    graph = Team(agents=[agent], ledger=ledger).compile(checkpointer=InMemorySaver())
    graph.invoke({"goal": "g"}, {"configurable": {"thread_id": "t-1"}})
    seen = [str(call.messages[-1].content) for call in model.calls[1:]]
    assert ["ab" in text for text in seen] == [False, True]
    assert list(workspaces.folder.iterdir()) == []


def test_a_run_that_is_resumed_finds_what_it_wrote(ledger: Ledger, home: Path) -> None:
    workspaces, tries = Workspaces(home / ".signoff"), []

    def work(task: Task) -> Found:
        place = workspaces.current() / "notes.txt"
        tries.append(place.exists())
        place.write_text("noted")
        if len(tries) == 1:
            raise StoreError("The power went.")
        return Found()

    agent = Agent(role="finder", gives=Found, function=work)
    graph = Team(agents=[agent], ledger=ledger).compile(checkpointer=InMemorySaver())
    config: Any = {"configurable": {"thread_id": "t-2"}}
    with pytest.raises(StoreError):
        graph.invoke({"goal": "g"}, config)
    graph.invoke(None, config)
    assert tries == [False, True]


def test_a_workspace_outside_of_a_run_goes_with_the_object_it_was_made_for(home: Path) -> None:
    workspaces = Workspaces(home)
    (workspaces.current() / "file").write_text("x")
    del workspaces
    gc.collect()
    assert list((home / "workspaces").iterdir()) == []
