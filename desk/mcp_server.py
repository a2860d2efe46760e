"""Serving a team to MCP clients: they give goals and ask how runs stand. Deciding is for people, elsewhere."""

from __future__ import annotations

import asyncio
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from signoff.desk.cli.opening import open_run
from signoff.desk.cli.terminal import say
from signoff.desk.mcp_runs import Finished, Runs, Standing
from signoff.errors import SettingsError
from signoff.settings import Settings
from signoff.tools.mcp.session import need_sdk

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

_HOST = "127.0.0.1"
_PATH = "/mcp"
_INSTRUCTIONS = (
    "A supervised team: it works on a goal, and people sign off what it wants done outside. Start a run, ask how it "
    "stands, and fetch the result once it is done. A run that waits is decided by people, who were told how; no tool "
    "here can do that."
)

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Any, Any], Awaitable[None]]
"""An ASGI application."""


def serve_team(
    team: str, *, sources: Path | None, out: Path | None, model: str | None, budget: str | None, port: int | None
) -> None:
    """Serve until the client leaves, or until Ctrl-C over HTTP."""
    settings = open_run(team, "any goal", sources=sources, out=out, model=model, budget=budget)
    server = build_server(team, settings)
    try:
        if port is None:
            asyncio.run(server.run_stdio_async())
        else:
            _serve_http(server, settings, port)
    except KeyboardInterrupt:
        say(Console(stderr=True), "Stopped. Runs are kept: resume them with `signoff resume`.")


def build_server(team: str, settings: Settings) -> FastMCP[Any]:
    """The tools by which a client works with this team."""
    need_sdk()
    from mcp.server.fastmcp import FastMCP

    server: FastMCP[Any] = FastMCP(
        f"signoff {team}", _INSTRUCTIONS, log_level="ERROR", host=_HOST, streamable_http_path=_PATH
    )
    runs = Runs(team, settings)

    async def start_run(goal: str, wait_seconds: float = 0) -> Standing:
        """Give the team a goal. The run goes on by itself; wait_seconds (up to 60) waits until it ends or is held."""
        return await asyncio.to_thread(runs.start, goal, wait_seconds)

    async def run_status(run: str, wait_seconds: float = 0) -> Standing:
        """Tell how a run stands, and what it waits for; wait_seconds (up to 60) waits until that changes."""
        return await asyncio.to_thread(runs.standing, run, wait_seconds)

    async def run_result(run: str) -> Finished:
        """Give what a run has made and done. Nothing is given before it is done."""
        return await asyncio.to_thread(runs.result, run)

    async def resume_run(run: str, wait_seconds: float = 0) -> Standing:
        """Go on with a run that was cut off, or that was decided without going on. It decides nothing."""
        return await asyncio.to_thread(runs.resume, run, wait_seconds)

    for tool in (start_run, run_status, run_result, resume_run):
        server.tool()(tool)
    return server


def _serve_http(server: FastMCP[Any], settings: Settings, port: int) -> None:
    import uvicorn

    console = Console(stderr=True)
    token = settings.mcp_token.get_secret_value() or secrets.token_urlsafe(24)
    endpoint = _listen(port)
    config = uvicorn.Config(only_with(token, server.streamable_http_app()), log_config=None, access_log=False)
    host, bound = endpoint.getsockname()[:2]
    say(console, "Serving. Clients send the header `Authorization: Bearer TOKEN`. Ctrl-C ends it.")
    known = "" if settings.mcp_token.get_secret_value() else f" {token}"
    sys.stdout.write(f"http://{host}:{bound}{_PATH}{known}\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[endpoint])


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server((_HOST, port))
    except OSError as error:
        problem = f"port {port} cannot be used ({error.strerror})"
        raise SettingsError("--port", problem, "Name another, or 0 for a free one.") from error


def only_with(token: str, app: App) -> App:
    """The application for those who send this token; others learn nothing."""
    wanted = f"Bearer {token}".encode()

    async def guarded(scope: Scope, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            given = dict(scope["headers"]).get(b"authorization", b"")
            if not secrets.compare_digest(given, wanted):
                await send(
                    {"type": "http.response.start", "status": 401, "headers": [(b"www-authenticate", b"Bearer")]}
                )
                await send({"type": "http.response.body", "body": b""})
                return
        await app(scope, receive, send)

    return guarded
