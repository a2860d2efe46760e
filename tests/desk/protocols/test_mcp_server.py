"""A team served to a real MCP client: it may ask for work, and cannot sign anything off."""

import asyncio
import os
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import date
from pathlib import Path
from typing import Any, Literal

import pytest
import warm
from crates import asks, make_crate, write_knots, write_records
from pydantic import BaseModel, Field
from small_shop import CHECK, SEEN, make_shop
from stand_in import git

pytest.importorskip("mcp", reason="the extra `mcp` is not installed")

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.fastmcp.exceptions import ToolError
from mcp.shared.memory import create_connected_server_and_client_session as connected
from mcp.types import ElicitRequestParams, ElicitResult

from signoff import Agent, Artifact, Task, Team
from signoff.checkpoints.opening import configured_ledger
from signoff.desk.protocols.mcp_server import build_server
from signoff.fleet.run import Run
from signoff.settings import load_settings

GUARD = str(Path(__file__).parents[2] / "guard")
SERVE = ("-P", "-m", "signoff", "mcp", "serve", "report", "--sources", "docs")
TEAMS = Path(__file__).parents[2] / "graphs" / "teams"


@asynccontextmanager
async def client(log: Path, serve: Sequence[str] = SERVE) -> AsyncIterator[ClientSession]:
    """A client of a server that it has started."""
    program = StdioServerParameters(command=sys.executable, args=list(serve), env={"PYTHONPATH": GUARD})
    with log.open("w") as errors:
        async with stdio_client(program, errlog=errors) as (read, write), ClientSession(read, write) as session:
            await session.initialize()
            yield session


async def ask(session: ClientSession, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await session.call_tool(tool, arguments)
    assert not answer.isError, answer.content
    assert answer.structuredContent is not None
    return answer.structuredContent


def test_a_client_starts_a_run_and_gets_its_result_once_a_person_has_signed_it_off(
    documents: Path, home: Path, tmp_path: Path
) -> None:
    async def work() -> None:
        async with client(tmp_path / "log") as session:
            names = {tool.name for tool in (await session.list_tools()).tools}
            assert names == {"start_run", "run_status", "run_result", "resume_run", "cancel_run"}
            held = await ask(session, "start_run", goal="When are spring tides?", wait_seconds=60)
            run = held["run"]
            assert held["status"] == "waiting"
            (question,) = held["waits_for"]
            assert (question["action"], question["risk"]) == ("publish_report", "write")
            assert "moon" not in str(held)

            again = await ask(session, "resume_run", run=run, wait_seconds=60)
            assert (again["status"], again["waits_for"]) == ("waiting", [question])
            early = await ask(session, "run_result", run=run)
            assert (early["status"], early["artifacts"], early["outcomes"]) == ("waiting", {}, [])
            assert not (home / "report.md").exists()

            await asyncio.to_thread(Run.open(run).approve, by="Ada")
            done = await ask(session, "run_result", run=run)
            assert done["status"] == "done"
            assert "full moon" in done["artifacts"]["Draft"]["markdown"]
            assert [(one["action"], one["by"]) for one in done["outcomes"]] == [("publish_report", "Ada")]
            assert (home / "report.md").exists()

            wrong = await session.call_tool("run_status", {"run": "r-nothing"})
            assert wrong.isError
            assert "No run 'r-nothing'" in str(wrong.content)

    asyncio.run(work())
    assert (tmp_path / "log").read_text().startswith("Model: offline")


def test_a_run_that_was_cut_off_with_its_client_is_resumed_by_the_next(documents: Path, tmp_path: Path) -> None:
    async def work() -> None:
        async with client(tmp_path / "first") as session:
            run = (await ask(session, "start_run", goal="When are spring tides?"))["run"]
        # What the end of a process breaks off in the middle may be noted as failed.
        configured_ledger(load_settings()).runs.set_status(run, "failed", "cut off")
        async with client(tmp_path / "second") as session:
            assert (await ask(session, "resume_run", run=run, wait_seconds=60))["status"] == "waiting"

    asyncio.run(work())


def test_leads_are_asked_for_by_a_client_and_written_as_people_decide_elsewhere(home: Path, tmp_path: Path) -> None:
    given = {"rubric": "packages.toml", "suppress": "suppress.txt", "sources": "packages"}
    given = {name: str(TEAMS / file) for name, file in given.items()}

    async def work() -> None:
        async with client(tmp_path / "log", [*SERVE[:5], "leads"]) as session:
            (start,) = [tool for tool in (await session.list_tools()).tools if tool.name == "start_run"]
            assert start.inputSchema["required"] == ["rubric"]
            wrong = await session.call_tool("start_run", {**given, "rubric": "none.toml"})
            assert "there is no file" in str(wrong.content)
            held = await ask(session, "start_run", **given, crm=str(home / "crm.db"), wait_seconds=60)
            assert [one["action"] for one in held["waits_for"]] == ["confirm_lead"] * 5
            assert not (home / "crm.db").exists()
            asked = []
            run = await asyncio.to_thread(Run.open, held["run"])
            while run.approval is not None:
                names = {one.shown.get("name"): one.id for one in run.approvals}
                asked.append((run.approval.action, len(names)))
                if run.approval.action == "write_lead":
                    await asyncio.to_thread(run.reject, approval=names["sealframe"], by="Ada", drive=False)
                await asyncio.to_thread(run.approve, approval=run.alike(), by="Ada")
            assert asked == [("confirm_lead", 5), ("write_lead", 2), ("schedule_followup", 1), ("publish_report", 1)]
            done = await ask(session, "run_result", run=held["run"])
            assert done["status"] == "done"
            written = [one for one in done["outcomes"] if one["action"] == "write_lead"]
            assert sorted((one["status"], one["by"]) for one in written) == [("done", "Ada"), ("rejected", "Ada")]

    asyncio.run(work())
    with sqlite3.connect(home / "crm.db") as crm:
        assert crm.execute("SELECT name FROM leads").fetchall() == [("otterdb",)]


def test_competitors_are_compared_for_a_client_and_published_once_a_person_agrees(home: Path, tmp_path: Path) -> None:
    given = {"goal": "web frameworks", "sources": str(TEAMS / "market"), "categories": ["licence", "python version"]}

    async def work() -> None:
        async with client(tmp_path / "log", [*SERVE[:5], "competitors"]) as session:
            held = await ask(session, "start_run", **given, wait_seconds=60)
            assert [one["action"] for one in held["waits_for"]] == ["confirm_companies"]
            run = await asyncio.to_thread(Run.open, held["run"])
            await asyncio.to_thread(run.approve, args={"companies": ["sealframe", "cormorant-client"]}, by="Ada")
            again = await ask(session, "run_status", run=held["run"])
            assert [one["action"] for one in again["waits_for"]] == ["publish_report"]
            assert not (home / "report.md").exists()
            await asyncio.to_thread(run.approve, by="Ada")
            done = await ask(session, "run_result", run=held["run"])
            states = {(one["row"], one["column"]): one["state"] for one in done["artifacts"]["Comparison"]["cells"]}
            assert (done["status"], len(states)) == ("done", 4)
            assert states["cormorant-client", "python version"] == "contradiction"

    asyncio.run(work())
    assert "≥ 3.10 / ≥ 3.9" in (home / "report.md").read_text()


def test_vulnerabilities_are_mended_for_a_client_where_a_person_agrees_to_each(home: Path, tmp_path: Path) -> None:
    repos = [make_crate(home / name) for name in ("rope", "sail")]
    for repo in repos:
        git(repo, "clone", "-q", "--bare", str(repo), f"{repo}.git")
        git(repo, "remote", "add", "origin", f"{repo}.git")
    records, wheels = write_records(home / "advisories"), write_knots(home / "wheels")
    given = asks(repos, records, [wheels], home / "out.md", pr="bare")

    def pulls(repo: Path) -> list[str]:
        return git(Path(f"{repo}.git"), "for-each-ref", "--format=%(refname)", "refs/signoff/pulls").split()

    async def work() -> None:
        async with client(tmp_path / "log", [*SERVE[:5], "remediation"]) as session:
            (start,) = [tool for tool in (await session.list_tools()).tools if tool.name == "start_run"]
            assert sorted(start.inputSchema["required"]) == ["advisories", "repos"]
            wrong = await session.call_tool("start_run", {**given, "repos": [str(home)]})
            assert "not a git repository" in str(wrong.content)
            held = await ask(session, "start_run", **given, wait_seconds=60)
            assert [one["action"] for one in held["waits_for"]] == ["open_pull_request"] * 2
            run = await asyncio.to_thread(Run.open, held["run"])
            ids = {Path(one.shown["folder"]).name: one.id for one in run.approvals}
            await asyncio.to_thread(run.reject, "after the release", approval=ids["sail"], by="Ada", drive=False)
            await asyncio.to_thread(run.approve, approval=ids["rope"], by="Ada")
            assert [len(pulls(repo)) for repo in repos] == [1, 0]
            status = await ask(session, "run_status", run=held["run"])
            assert [one["action"] for one in status["waits_for"]] == ["publish_report"]
            await asyncio.to_thread(run.approve, by="Ada")
            done = await ask(session, "run_result", run=held["run"])
            assert done["status"] == "done"
            assert [one["status"] for one in done["outcomes"] if one["action"] == "open_pull_request"] == [
                "done", "rejected",
            ]  # fmt: skip
            assert "2 repositories: 2 fixed." in done["artifacts"]["Draft"]["markdown"]

    asyncio.run(work())
    assert "rejected" in (home / "out.md").read_text()


def test_a_refactoring_is_done_for_a_client_and_applied_once_a_person_agrees(home: Path, tmp_path: Path) -> None:
    shop = make_shop(home / "shop")
    given = {"goal": "Mark it", "repo": str(shop), "check": [CHECK], "codemod": [SEEN], "lines": 9}

    async def work() -> None:
        async with client(tmp_path / "log", [*SERVE[:5], "refactor"]) as session:
            refused = await ask(session, "start_run", **given, wait_seconds=60)
            run = await asyncio.to_thread(Run.open, refused["run"])
            await asyncio.to_thread(run.reject, "not before the release", by="Ada")
            told = await ask(session, "run_result", run=refused["run"])
            assert (told["status"], told["artifacts"]) == ("stopped", {})
            assert "rejected by Ada: not before the release" in told["note"]
            assert git(shop, "status", "--porcelain") == ""
            held = await ask(session, "start_run", **given, wait_seconds=60)
            assert [one["action"] for one in held["waits_for"]] == ["apply_to_project"]
            run = await asyncio.to_thread(Run.open, held["run"])
            await asyncio.to_thread(run.approve, by="Ada")
            done = await ask(session, "run_result", run=held["run"])
            assert (done["status"], [one["by"] for one in done["outcomes"]]) == ("done", ["Ada"])
            assert [one["status"] for one in done["artifacts"]["Units"]["results"]] == ["done"] * 4

    asyncio.run(work())
    assert (shop / "shop/app.py").read_text().endswith("# seen\n")


def test_over_http_only_whoever_has_the_token_is_heard(documents: Path) -> None:
    env = {**os.environ, "SIGNOFF_MCP_TOKEN": "the-token"}
    server = warm.start(
        [sys.executable, *SERVE, "--port", "0"], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        assert url.startswith("http://127.0.0.1:")
        assert "the-token" not in url

        async def talk() -> set[str]:
            async with httpx.AsyncClient() as stranger:
                for headers in ({}, {"Authorization": "Bearer other"}):
                    assert (await stranger.post(url, json={}, headers=headers)).status_code == 401
            async with (
                httpx.AsyncClient(headers={"Authorization": "Bearer the-token"}) as known,
                streamable_http_client(url, http_client=known) as (read, write, _),
                ClientSession(read, write) as session,
            ):
                await session.initialize()
                return {tool.name for tool in (await session.list_tools()).tools}

        assert "start_run" in asyncio.run(talk())
    finally:
        server.terminate()
        server.wait()
        assert server.stdout is not None
        server.stdout.close()


def test_what_cannot_be_served_is_told_in_one_line(signoff: Any, documents: Path) -> None:
    assert "No ready-made team 'other'" in signoff("mcp", "serve", "other", "--sources", documents).err
    said = signoff("mcp", "serve", "report", "--sources", documents / "gone")
    assert said.code == 1
    assert "No folder" in said.err


class Note(Artifact):
    text: str


class Near(BaseModel):
    city: str


class NoteInput(BaseModel):
    """Notes about a place."""

    place: str = Field(description="Where.")
    limit: int = Field(3, gt=0)
    since: date = Field(default_factory=date.today)
    near: list[Near] = []


def note(task: Task) -> Note:
    return Note(text=f"{task.goal} ({task.input.limit}, {task.input.near})")


def test_a_team_of_ones_own_is_served_with_the_fields_of_its_input(home: Path) -> None:
    team = Team(name="notes", input=NoteInput, agents=[Agent(role="scout", gives=Note, function=note)])
    settings = load_settings()
    server = build_server(team, settings).sdk

    async def ask_for(tool: str, **given: Any) -> Any:
        _, told = await server.call_tool(tool, given)
        return told

    async def work() -> None:
        (start,) = [tool for tool in await server.list_tools() if tool.name == "start_run"]
        assert start.inputSchema["required"] == ["place"]
        assert start.inputSchema["properties"]["place"]["description"] == "Where."
        assert start.inputSchema["properties"]["limit"]["exclusiveMinimum"] == 0
        assert start.inputSchema["properties"].keys() == {*NoteInput.model_fields, "goal", "wait_seconds"}
        assert "Notes about a place." in (start.description or "")
        done = await ask_for("start_run", place="Ulm", near=[{"city": "Bonn"}], wait_seconds=60)
        result = await ask_for("run_result", run=done["run"])
        assert "Notes about a place: place = Ulm, limit = 3" in result["artifacts"]["Note"]["text"]
        assert "city='Bonn'" in result["artifacts"]["Note"]["text"]
        for wrong in ({}, {"place": "Ulm", "limit": 0}, {"place": "sk-test-0123456789abcdefghij"}):
            with pytest.raises(ToolError):
                await ask_for("start_run", **wrong)
        assert configured_ledger(settings).runs.get(done["run"]).input["place"] == "Ulm"

    asyncio.run(work())


class Visit(BaseModel):
    """A visit to a place."""

    place: str = Field(description="Where.", min_length=2)
    person: str
    way: Literal["by train", "on foot"]
    day: date
    nights: int = Field(gt=0)
    limit: int = 3


class Round(Visit):
    near: list[Near]


def test_a_client_that_can_ask_its_user_is_asked_for_all_that_is_missing(home: Path) -> None:
    said: dict[str, Any] = {"person": "Ann", "way": "on foot", "day": "2026-05-01", "nights": 2, "limit": 9}
    asked = list[Any]()

    async def say(context: Any, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params)
        return ElicitResult(action="accept" if said else "decline", content=said or None)

    async def start(kind: type[BaseModel], can_ask: bool = True, **given: Any) -> Any:
        team = Team(name="visits", input=kind, agents=[Agent(role="scout", gives=Note, function=visit)])
        server = build_server(team, load_settings()).sdk
        async with connected(server, elicitation_callback=say if can_ask else None) as client:
            (tool,) = [one for one in (await client.list_tools()).tools if one.name == "start_run"]
            assert tool.inputSchema["required"] == [
                name for name, one in kind.model_fields.items() if one.is_required()
            ]
            started = await client.call_tool("start_run", {**given, "wait_seconds": 60})
            if started.isError:
                return started.content[0].text  # type: ignore[union-attr]  # an error is told as text
            assert started.structuredContent is not None
            run = started.structuredContent["run"]
            return (await client.call_tool("run_result", {"run": run})).structuredContent["artifacts"]["Note"]["text"]  # type: ignore[index]  # as above

    async def work() -> None:
        assert await start(Visit, place="Ulm", person=" ") == "Ann to Ulm on foot, 2026-05-01, 2 nights of 3"
        (form,) = [one.requestedSchema for one in asked]
        assert [*form["properties"]] == form["required"] == ["person", "way", "day", "nights"]
        assert form["properties"]["way"]["enum"] == ["by train", "on foot"]
        assert form["properties"]["day"]["format"] == "date"
        wrong = await start(Visit, place="Ulm", nights=0)
        assert (len(asked), "nights" in wrong) == (1, True)  # what is wrong is told, not asked for again
        said["nights"] = 0
        assert "bad_input" in await start(Visit, place="Ulm")
        said.clear()
        assert "bad_input" in await start(Visit, place="Ulm")
        assert len(asked) == 3
        for kind, can_ask in ((Round, True), (Visit, False)):  # no form has room for a list of things
            assert "bad_input" in await start(kind, can_ask, place="Ulm")
        assert len(asked) == 3

    asyncio.run(work())
    assert len(configured_ledger(load_settings()).runs.list()) == 1


def visit(task: Task) -> Note:
    to = task.input
    return Note(text=f"{to.person} to {to.place} {to.way}, {to.day}, {to.nights} nights of {to.limit}")
