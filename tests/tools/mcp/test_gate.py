"""What is not said to read happens at the gate: once, and after a person agreed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from signoff.agents.agent import Agent
from signoff.agents.artifacts import Artifact
from signoff.checkpoints.canonical import digest
from signoff.errors import ActionFailed, BadAnswer, McpLost
from signoff.fleet.run import Run
from signoff.graphs.policy.policy import Policy
from signoff.graphs.policy.rules import When
from signoff.graphs.team import Team
from signoff.tools.action import Action, Proposal
from signoff.tools.mcp.config import Accepted
from signoff.tools.mcp.offer import McpTool
from signoff.tools.mcp.server import McpServer
from signoff.tools.mcp.tools import mcp_tools

Use = Callable[..., dict[str, Any]]


class Wish(Artifact):
    """What is wanted."""

    text: str


def start(action: Action[Any], policy: Any = "ask", args: dict[str, Any] | None = None) -> Run:
    """A run of a team whose one agent proposes this action."""
    wanted = {"text": "high water at six"} if args is None else args
    clerk = Agent(
        role="clerk",
        gives=Wish,
        function=lambda task: Wish(text=task.goal),
        actions=(action,),
        propose=lambda wish, task: [Proposal(action=action.name, args=wanted)],
    )
    return Run.start(Team(agents=[clerk], policy=Policy({action.name: policy})), "Write it down.")


def notes(folder: Path, name: str = "notes") -> list[str]:
    file = folder / name
    return file.read_text().splitlines() if file.exists() else []


def test_a_tool_nothing_is_said_of_is_asked_about_and_happens_once(quick: Use, folder: Path) -> None:
    note = quick(risks={})["note"]
    run = start(note)
    assert run.approval is not None
    assert (run.approval.action, run.approval.risk) == ("quick_note", "external")
    assert notes(folder) == []
    run.approve()
    assert run.status == "done"
    assert notes(folder) == ["high water at six"]
    (outcome,) = run.values["outcomes"]
    assert outcome["result"] == {"server": "quick", "tool": "note", "answer": "high water at six"}
    (key,) = notes(folder, "keys")
    assert len(key) > 20


def test_an_edit_is_held_to_the_schema_of_the_server(quick: Use, folder: Path) -> None:
    run = start(quick(risks={})["note"])
    with pytest.raises(BadAnswer, match="text: 7 is not of type 'string'"):
        run.approve(args={"text": 7})
    run.approve(args={"text": "low water at noon"})
    assert notes(folder) == ["low water at noon"]


def test_policy_may_rule_on_the_arguments(quick: Use, folder: Path) -> None:
    note = quick(risks={})["note"]
    run = start(note, policy=[When("allow", text="high water*"), "deny"])
    assert (run.status, notes(folder)) == ("done", ["high water at six"])
    start(note, policy=[When("allow", text="low*"), "deny"])
    assert len(notes(folder)) == 1


def test_arguments_that_do_not_fit_are_never_asked_about(quick: Use, folder: Path) -> None:
    run = start(quick(risks={})["note"], args={"text": None})
    assert run.approval is None or run.approval.action != "quick_note"
    assert notes(folder) == []


def test_after_a_lost_connection_a_person_says_what_happened(quick: Use, folder: Path) -> None:
    run = start(quick(risks={})["note_and_die"]).approve()
    assert run.approval is not None
    assert run.approval.action == "settle_outcome"
    assert notes(folder) == ["high water at six"]
    run.approve(args={**run.approval.shown, "happened": "yes"})
    assert run.status == "done"
    assert notes(folder) == ["high water at six"]


def test_after_an_error_nobody_knows_unless_the_user_does(quick: Use, folder: Path) -> None:
    run = start(quick(risks={})["note_and_fail"]).approve()
    assert run.approval is not None
    assert run.approval.action == "settle_outcome"
    action = quick(risks={}, atomic=("note_*",))["note_and_fail"]
    with pytest.raises(ActionFailed, match="the server answered with an error: hello"):
        action.call(action.arguments(text="hello"), "key")


def test_an_action_is_not_called_again_after_its_call_was_lost(quick: Use, folder: Path) -> None:
    action = quick(risks={})["note_and_die"]
    with pytest.raises(McpLost, match="what came of it is unknown: the server ended before it answered"):
        action.call(action.arguments(text="once"), "key")
    assert notes(folder) == ["once"]


def test_what_surely_was_not_called_has_failed(quick: Use, folder: Path) -> None:
    tools = quick(risks={})
    with pytest.raises(ActionFailed, match="the server refused it"):
        tools["refuse"].call(tools["refuse"].arguments(text=""), "key")
    (folder / "says").write_text("Something else.")
    assert tools["change"].call(tools["change"].arguments(text="yes"), "key")["answer"] == "yes"
    with pytest.raises(ActionFailed, match="describes it otherwise now"):
        tools["note"].call(tools["note"].arguments(text="hello"), "key")
    assert notes(folder) == []


def described(**properties: Any) -> Action[Any]:
    tool = McpTool(name="do", description="It does.", schema={"type": "object", "properties": properties})
    Accepted().keep("a", {"do": tool})
    (action,) = mcp_tools({"a": McpServer(command=("program", "--flag"))})
    assert isinstance(action, Action)
    return action


def test_the_person_who_decides_sees_server_tool_and_every_argument() -> None:
    action = described(code={"type": "string"})
    text = "```\nnot the end of the block\n````"
    shown = action.preview(action.arguments(code=text, other=1)) if action.preview else ""
    assert shown.startswith("Calls `do` of the MCP server `a` (`program --flag`).\n\n`````json\n{")
    assert shown.endswith("\n}\n`````")
    assert '"other": 1' in shown


def test_arguments_are_kept_exactly_as_they_were_given() -> None:
    action = described(n={"type": "number"})
    names = ["model_config", "schema", "copy", "self", "__class__", "_x", "a-b", "größe", "model_dump", "config", ""]
    args = {"n": 1.0, **{name: [None, True, {"deep": ["text", 2]}] for name in names}}
    read = action.arguments.model_validate(args)
    assert digest(read.model_dump(mode="json")) == digest(args)
    with pytest.raises(ValidationError, match="n: 'x' is not of type 'number'"):
        action.arguments.model_validate({"n": "x"})
