"""The teams that change repositories, at the command line and over MCP."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_shop import CHECK, SEEN, make_shop

from signoff import Run
from signoff.desk.mcp_server import build_server
from signoff.fleet import read_state
from signoff.graphs.teams import new_team
from signoff.settings import Settings, load_settings

WORK: dict[str, Any] = {
    "code": {"codemod": "echo '# seen' >> shop/app.py"},
    "refactor": {"codemod": [SEEN], "files": ["shop/app.py"]},
}
GIVES = {"code": "Change", "refactor": "Refactoring"}


@pytest.mark.parametrize("name", WORK)
def test_an_mcp_client_starts_it_with_its_fields_and_is_told_what_waits(name: str, home: Path) -> None:
    shop = make_shop(home / "shop")
    settings = load_settings()
    server = build_server(new_team(name, settings), settings)
    (start,) = [tool for tool in asyncio.run(server.list_tools()) if tool.name == "start_run"]
    assert {"goal", "repo", "check", "codemod", "may_edit", "branch"} <= start.inputSchema["properties"].keys()
    given = {"goal": "Mark it", "repo": str(shop), "check": [CHECK], "wait_seconds": 50, **WORK[name]}
    answer: Any = asyncio.run(server.call_tool("start_run", given))
    told = answer[1]
    assert told["waits_for"][0]["action"] == "apply_to_project"
    assert GIVES[name] in read_state(told["run"], Settings())["artifacts"]
    Run.open(told["run"]).approve()
    assert (shop / "shop/app.py").read_text().endswith("# seen\n")


@pytest.mark.parametrize("name", WORK)
def test_signoff_mcp_serve_knows_it(name: str, signoff: Any) -> None:
    assert "No ready-made team" not in signoff("mcp", "serve", name, "--help").err
    assert name in signoff("mcp", "serve", "nosuchteam").err


def test_a_refactoring_is_run_approved_and_told_at_the_command_line(home: Path, signoff: Any) -> None:
    make_shop(home / "shop")
    shown = signoff("run", "refactor", "--help").out
    for option in ("--codemod TEXT", "--unit-check TEXT", "--goal-check TEXT", "--lines INT", "--partly"):
        assert option in shown
    words = (
        "run",
        "refactor",
        "Mark it",
        "--repo",
        "shop",
        "--check",
        CHECK,
        "--codemod",
        SEEN,
        "--files",
        "shop/app.py",
    )
    done = signoff(*words, "--yes")
    assert done.code == 0, done.err
    assert "coder: shop/app.py: runs the codemod" in done.err
    assert (home / "shop/shop/app.py").read_text().endswith("# seen\n")
    (known,) = signoff("runs", "--json").json
    assert "shop/app.py" in signoff("show", known["id"]).out
    shutil.rmtree(home / "shop")
    missing = signoff(*words)
    assert missing.code != 0
    assert "--repo" in missing.err
