"""In a team: the agent changes its copy, a person reads the patch at the gate, and it is done once."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from signoff import Agent, Artifact, Ledger, Policy, Task, Team
from signoff.tools.action import Action, Proposal
from signoff.tools.files.project import Project
from signoff.tools.files.tools import file_tools
from signoff.tools.git.tools import git_tools
from signoff.tools.tool import Tool


class Change(Artifact):
    said: str


def team_of(project: Project, forge: Any, remote: Path, ledger: Ledger) -> Team:
    """A mender that edits a file and proposes to apply it, and to open a pull request."""
    found = [*file_tools(project), *git_tools(project, remote=str(remote), github=forge.github())]
    tools = {one.name: one for one in found if isinstance(one, Tool)}
    actions = {one.name: one for one in found if isinstance(one, Action)}

    def work(task: Task) -> Change:
        tools["edit_file"].invoke({"path": "README.md", "old": "Tin", "new": "Can"})
        tools["git_branch"].invoke({"name": "fix"})
        tools["git_commit"].invoke({"message": "Call it a can"})
        return Change(said=tools["show_changes"].invoke({}))

    def propose(change: Change, task: Task) -> list[Proposal]:
        applying, opening = actions["apply_to_project"], actions["open_pull_request"]
        sha256 = re.search("changes=([0-9a-f]{64})", change.said)
        assert sha256 is not None
        return [
            applying.propose(applying.arguments.model_validate({"changes": sha256[1]})),
            opening.propose(opening.arguments.model_validate({"branch": "fix", "title": "Call it a can"})),
        ]

    mender = Agent(role="mender", gives=Change, function=work, actions=tuple(actions.values()), propose=propose)
    policy = Policy({"apply_to_project": "ask", "open_pull_request": "ask"})
    return Team(agents=[mender], policy=policy, ledger=ledger)


def approve(state: dict[str, Any]) -> Command[Any]:
    """Yes to the very question."""
    asked = state["__interrupt__"][0].value
    return Command(resume={"type": "approve", "approval_id": asked["approval_id"]})


def test_what_a_person_read_and_approved_is_applied_and_opened(
    project: Project, folder: Path, remote: Path, forge: Any, tmp_path: Path, as_person: Callable[..., str]
) -> None:
    ledger = Ledger(str(tmp_path / "signoff.db"))
    graph = team_of(project, forge, remote, ledger).compile(checkpointer=InMemorySaver())
    config = RunnableConfig(configurable={"thread_id": "r-1"})
    first = graph.invoke({"goal": "call it a can"}, config)
    question = first["__interrupt__"][0].value
    shown = str(question)
    assert "-# Tin" in shown
    assert "+# Can" in shown
    assert (folder / "README.md").read_text() == "# Tin\n"
    second = graph.invoke(approve(first), config)
    assert (folder / "README.md").read_text() == "# Can\n"
    assert forge.pulls == []
    assert "Opens a pull request" in str(second["__interrupt__"][0].value)
    last = graph.invoke(approve(second), config)
    assert "__interrupt__" not in last
    assert [pull["title"] for pull in forge.pulls] == ["Call it a can"]
    assert as_person(remote, "show", "fix:README.md") == "# Can"
    ledger.close()
