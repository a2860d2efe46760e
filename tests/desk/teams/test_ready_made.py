"""Ready-made teams that declare an input, at the command line, over MCP, and found again for their runs."""

import asyncio
import shutil
from pathlib import Path
from typing import Any

import pytest
from small_shop import CHECK, SEEN, make_shop

from signoff import Run
from signoff.desk.cli.run import Ways, team_for
from signoff.desk.protocols.mcp_server import build_server
from signoff.fleet import read_state
from signoff.graphs.teams import new_team
from signoff.graphs.teams.competitors import Comparison
from signoff.settings import Settings, load_settings

MARKET = Path(__file__).parents[2] / "graphs" / "teams" / "market"
WORDS = ("run", "competitors", "web frameworks", "--companies", "OtterWeb, sealframe", "--categories", "licence")


@pytest.fixture
def market(home: Path) -> Path:
    return Path(shutil.copytree(MARKET, home / "market"))


def test_its_help_has_an_option_for_each_field(signoff: Any) -> None:
    shown = signoff("run", "competitors", "--help").out
    for option in ("--companies TEXT", "--categories TEXT", "--sources TEXT", "--web / --no-web", "--out TEXT"):
        assert option in shown
    assert "imported from" not in shown


def test_a_run_of_it_is_started_decided_and_written(market: Path, home: Path, signoff: Any) -> None:
    done = signoff(*WORDS, "--sources", "market", "--out", "r.md", "--yes")
    assert done.code == 0, done.err
    assert "Model: offline" in done.err
    assert "| OtterWeb | BSD-3-Clause [1] |" in (home / "r.md").read_text()
    assert (home / "r.csv").read_text() == "company,licence\nOtterWeb,BSD-3-Clause\nsealframe,MIT\n"


def test_a_run_of_it_goes_on_without_being_told_its_team(market: Path, home: Path, signoff: Any) -> None:
    waits = signoff(*WORDS, "--sources", "market", "--json")
    assert waits.json["status"] == "waiting"
    approved = signoff("approve", waits.json["approval"], "--yes")
    assert approved.code == 0, approved.err
    assert (home / "report.md").exists()
    assert Run.open(waits.json["run"]).artifact(Comparison).rows == ("OtterWeb", "sealframe")


def test_what_does_not_fit_is_said_before_a_run_is_begun(market: Path, home: Path, signoff: Any) -> None:
    wrong = signoff(*WORDS, "--sources", "nowhere")
    assert wrong.code != 0
    assert "--sources" in wrong.err
    assert "there is no such folder" in wrong.err
    assert not (home / ".signoff" / "signoff.db").exists()


def test_it_is_drawn_like_the_others(signoff: Any) -> None:
    drawn = signoff("graph", "competitors").out
    for role in ("scout", "analyst", "researcher", "writer", "reviewer"):
        assert role in drawn


def test_what_it_is_served_with_is_where_runs_without_sources_look(market: Path) -> None:
    settings, team = team_for("competitors", Ways(sources=market))
    assert team is not None
    run = Run.start(team, {"goal": "web frameworks", "companies": ["OtterWeb"]}, settings=settings)
    assert run.artifact(Comparison).cell("OtterWeb", "version").value == "3.1.0"


def test_an_mcp_client_starts_it_with_its_fields(market: Path) -> None:
    settings = load_settings()
    server = build_server(new_team("competitors", settings), settings).sdk
    (start,) = [tool for tool in asyncio.run(server.list_tools()) if tool.name == "start_run"]
    assert {"goal", "companies", "categories", "sources", "web", "out"} <= start.inputSchema["properties"].keys()
    given = {"goal": "web frameworks", "companies": ["OtterWeb"], "sources": "market", "wait_seconds": 30}
    answer: Any = asyncio.run(server.call_tool("start_run", given))
    told = answer[1]
    assert told["waits_for"][0]["action"] == "publish_report"
    assert "Comparison" in read_state(told["run"], Settings())["artifacts"]


# The teams that change repositories


WORK: dict[str, Any] = {
    "code": {"codemod": "echo '# seen' >> shop/app.py"},
    "refactor": {"codemod": [SEEN], "files": ["shop/app.py"]},
}
GIVES = {"code": "Change", "refactor": "Refactoring"}


@pytest.mark.parametrize("name", WORK)
def test_an_mcp_client_starts_it_with_its_fields_and_is_told_what_waits(name: str, home: Path) -> None:
    shop = make_shop(home / "shop")
    settings = load_settings()
    server = build_server(new_team(name, settings), settings).sdk
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
    assert f": {home / 'shop'} (no model calls" in done.err
    assert (home / "shop/shop/app.py").read_text().endswith("# seen\n")
    (known,) = signoff("runs", "--json").json
    assert "shop/app.py" in signoff("show", known["id"]).out
    shutil.rmtree(home / "shop")
    missing = signoff(*words)
    assert missing.code != 0
    assert "--repo" in missing.err
