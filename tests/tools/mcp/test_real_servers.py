"""Servers that nobody here wrote."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from signoff.tools.action import Action
from signoff.tools.mcp.config import Accepted
from signoff.tools.mcp.server import McpServer
from signoff.tools.mcp.tools import look_at, mcp_tools
from signoff.tools.storage.blobs import Blobs
from signoff.tools.tool import Tool


def tools_of(server: McpServer) -> dict[str, Any]:
    offer = look_at("s", server)
    assert dict(offer.unusable) == {}
    Accepted().keep("s", offer.tools)
    return {one.name.removeprefix("s_"): one for one in mcp_tools({"s": server})}


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(
            f"{name} is not on the path: npm install --global @modelcontextprotocol/{name.removeprefix('mcp-')}"
        )
    return found


def call(tool: Any, **arguments: Any) -> str:
    assert isinstance(tool, Tool)
    return str(tool.invoke(arguments))


def do(action: Any, **arguments: Any) -> Mapping[str, Any]:
    assert isinstance(action, Action)
    return action.call(action.arguments.model_validate(arguments), "key")


@pytest.mark.skipif(find_spec("mcp_server_git") is None, reason="mcp-server-git is not installed")
def test_the_git_server_of_the_protocol_s_authors_reads_freely_and_commits_as_an_action(home: Path) -> None:
    project = home / "project"
    project.mkdir()
    git = ("git", "-C", str(project), "-c", "user.name=T", "-c", "user.email=t@example.org")
    subprocess.run([*git, "init", "--quiet"], check=True)
    (project / "tides.md").write_text("High water at six.\n")
    identity = {"GIT_AUTHOR_NAME": "T", "GIT_AUTHOR_EMAIL": "t@example.org"}
    committer = {"GIT_COMMITTER_NAME": "T", "GIT_COMMITTER_EMAIL": "t@example.org"}
    tools = tools_of(
        McpServer(
            command=(sys.executable, "-m", "mcp_server_git"),
            env=identity | committer,
            risks={"git_status": "read", "git_log": "read", "git_add": "write", "git_commit": "write"},
        )
    )
    place = str(project)
    assert "tides.md" in call(tools["git_status"], repo_path=place)
    assert "staged" in do(tools["git_add"], repo_path=place, files=["tides.md"])["answer"]
    assert "committed" in do(tools["git_commit"], repo_path=place, message="The tides")["answer"]
    assert "The tides" in call(tools["git_log"], repo_path=place)
    assert tools["git_reset"].risk == "external"
    assert call(tools["git_status"], repo_path=str(home / "gone")).startswith("It failed: ")


def test_the_filesystem_server_of_the_protocol_s_authors_stays_in_its_folder(home: Path) -> None:
    place = home / "place"
    place.mkdir()
    (place / "tides.md").write_text("High water at six.")
    command = (program("mcp-server-filesystem"), str(place))
    tools = tools_of(McpServer(command=command, risks={"read_*": "read", "list_*": "read"}, atomic=("*",)))
    assert call(tools["read_text_file"], path=str(place / "tides.md")) == "High water at six."
    assert call(tools["read_text_file"], path="/etc/passwd").startswith("It failed: Access denied")
    do(tools["write_file"], path=str(place / "new.md"), content="Low water at noon.")
    assert (place / "new.md").read_text() == "Low water at noon."


def test_the_server_of_everything_answers_in_every_kind(home: Path) -> None:
    tools = tools_of(McpServer(command=(program("mcp-server-everything"),), risks={"*": "read"}))
    assert call(tools["get-sum"], a=1, b=2) == "The sum of 1 and 2 is 3."
    assert "It was called wrongly: a: 'x' is not of type 'number'" in call(tools["get-sum"], a="x", b=2)
    picture = call(tools["get-tiny-image"])
    assert "image/png" in picture
    kept = next(word.rstrip("]") for word in picture.split() if len(word.rstrip("]")) == 64)
    assert Blobs().read(kept).startswith(b"\x89PNG")
    assert "temperature" in call(tools["get-structured-content"], location="Chicago")
