"""A new user's way with the docs' own file and commands: a team is run, read and approved, served, and embedded."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from langgraph_dev import serving
from terminals import Terminal

pytest.importorskip("mcp", reason="the extra `mcp` is not installed")

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

PAGE = (Path(__file__).parents[2] / "docs" / "teams.md").read_text()
SIGNOFF = ("-m", "signoff")
EMBEDDED = """
import asyncio
from leads import team
from signoff import Run


async def main() -> None:
    run = await Run.astart(team, {"campaign": "spring", "limit": 1}, drive=False)
    async for event in run.astream():
        print(event.kind, [approval.shown["to"] for approval in event.approvals])
    await run.aapprove(by="ann")
    print(run.status, run.values["outcomes"][0]["status"])


asyncio.run(main())
"""


@pytest.fixture
def project(home: Path) -> Path:
    """A folder with the file that the page shows, a team with a typed input and two tools, as a graph as well."""
    (block,) = [block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "class LeadsInput(" in block]
    assert block.count("@tool(") == 2
    assert "`graph = team.graph()`" in PAGE
    (home / "leads.py").write_text(f"{block}\ngraph = team.graph()\n")
    return home


def signoff(command: str) -> Terminal:
    """A command of the page, at a terminal."""
    assert command in PAGE
    return Terminal(*SIGNOFF, *command.split()[1:])


def test_a_team_is_run_with_live_progress_and_approved_the_next_day_by_who_has_read_all_of_it(project: Path) -> None:
    with signoff("signoff run leads.py:team --campaign spring --limit 2") as terminal:
        terminal.until("Leads is ready.")
        terminal.until("approve, edit, reject or later?")
        terminal.press("l\n")
        assert terminal.end() == 3
    (asked,) = set(re.findall(r"signoff approve (a-\w+)", terminal.shown))
    with Terminal(*SIGNOFF, "approve", asked) as terminal:  # the next day: all that there is of it is the folder
        terminal.until("Its arguments, exactly:")
        terminal.until('"to": "ann@example.org"')
        terminal.until("approve? [y/N]")
        terminal.press("y\n")
        terminal.until('"to": "bob@example.org"')
        terminal.until("approve, edit, reject or later?")
        terminal.press("a\n")
        assert terminal.end() == 0, terminal.shown
    assert "is done" in terminal.shown


def test_it_is_served_over_mcp(project: Path) -> None:
    command = "signoff mcp serve leads.py:team"
    assert f"`{command}`" in PAGE
    program = StdioServerParameters(command=sys.executable, args=[*SIGNOFF, *command.split()[1:]], cwd=project)

    async def work() -> dict[str, Any]:
        async with stdio_client(program) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            (start,) = [tool for tool in (await session.list_tools()).tools if tool.name == "start_run"]
            assert start.inputSchema["required"] == ["campaign"]
            answer = await session.call_tool("start_run", {"campaign": "spring", "limit": 1, "wait_seconds": 60})
            return answer.structuredContent or {}

    assert asyncio.run(work())["status"] == "waiting"


def test_it_is_served_by_langgraph_server_with_its_fields(project: Path) -> None:
    assert '`"graphs": {"leads": {"path": "./leads.py:graph"}}`' in PAGE

    async def work(url: str) -> dict[str, Any]:
        async with streamable_http_client(f"{url}/mcp/") as (read, write, _), ClientSession(read, write) as session:
            await session.initialize()
            (leads,) = (await session.list_tools()).tools
            return {"name": leads.name, **leads.inputSchema["properties"]}

    with serving(project, {"graphs": {"leads": {"path": "./leads.py:graph"}}}) as url:
        served = asyncio.run(work(url))
    assert served["name"] == "leads"
    assert served["campaign"]["description"] == "Which campaign it is."


def test_it_is_embedded_in_a_program_that_hears_what_happens(project: Path) -> None:
    (project / "program.py").write_text(EMBEDDED)
    with Terminal("program.py") as terminal:
        assert terminal.end() == 0, terminal.shown
    assert "turn []" in terminal.shown
    assert "stands ['ann@example.org']" in terminal.shown
    assert "done done" in terminal.shown
