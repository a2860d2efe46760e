"""Serving a team to MCP clients: they give goals and ask how runs stand. Deciding is for people, elsewhere.

With version 2 of the SDK both of its protocols are spoken, and a goal that is missing is asked for.
"""

from __future__ import annotations

import asyncio
import inspect
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from rich.console import Console

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Person
from signoff.desk.cli.terminal import say
from signoff.desk.offers import GoalInput, Offer
from signoff.desk.protocols.access import App, only_with
from signoff.desk.replies import Finished, Standing, refusal_of
from signoff.desk.service import Service
from signoff.error_base import MissingExtra, SettingsError, SignoffError
from signoff.graphs import Team
from signoff.settings import Settings

_HOST: Final = "127.0.0.1"
_PATH: Final = "/mcp"
_MOST_SECONDS: Final = 60.0
_INSTRUCTIONS: Final = (
    "A supervised team: it works on a goal, and people sign off what it wants done outside. Start a run, ask how it "
    "stands, and fetch the result once it is done. A run that waits is decided by people, who were told how; no tool "
    "here can do that."
)

Caller = Callable[[Any], Person]
"""Who calls a tool, by the context of the call."""


def sender(context: Any) -> Person:
    """Who sent the request of a call, whom the server in front of it knows."""
    person: Person = context.request_context.request.state.person
    return person


def serve_team(team: str | Team, settings: Settings, port: int | None) -> None:
    """Serve until the client leaves; over HTTP, if there is a port, until Ctrl-C."""
    server = build_server(team, settings)
    try:
        if port is None:
            asyncio.run(server.sdk.run_stdio_async())
        else:
            _serve_http(server, settings, port)
    except KeyboardInterrupt:
        say(Console(stderr=True), "Stopped. Runs are kept: resume them with `signoff resume`.")


def build_server(team: str | Team, settings: Settings) -> McpTeam:
    """The server of one team for the user of the settings."""
    service = Service(settings, configured_ledger(settings), [Offer(team)])
    return McpTeam(service, service.offers[0], lambda _: Person(settings.user_name))


class McpTeam:
    """The tools by which clients work with one team. They read what stands here: names, parameters, docstrings."""

    def __init__(self, service: Service, offer: Offer, caller: Caller, path: str = _PATH) -> None:
        self._service, self._offer, self._path = service, offer, path
        make, context, refused, resolve = _sdk()
        self.sdk = make(f"signoff {offer.name}", instructions=_INSTRUCTIONS, log_level="ERROR")
        begin = self.start_run if offer.takes is GoalInput else self._start_with_input(offer.takes)
        if resolve is not None and offer.takes is GoalInput:
            begin = _asking(self.start_run, resolve)
        for tool in (begin, self.run_status, self.run_result, self.resume_run, self.cancel_run):
            self.sdk.tool()(_as_tool(tool, context, caller, refused))

    def app(self) -> App:
        """The server over HTTP, at its path; whoever serves it runs its `sdk.session_manager` meanwhile."""
        security = import_module("mcp.server.transport_security").TransportSecuritySettings
        guarded_around = security(enable_dns_rebinding_protection=False)
        if _is_new():
            app: App = self.sdk.streamable_http_app(
                streamable_http_path=self._path, transport_security=guarded_around, host=_HOST
            )
            return app
        self.sdk.settings.streamable_http_path = self._path
        self.sdk.settings.transport_security = guarded_around
        found: App = self.sdk.streamable_http_app()
        return found

    async def start_run(self, person: Person, goal: str, wait_seconds: float = 0) -> Standing:
        """Give the team a goal. The run goes on by itself; wait_seconds (up to 60) waits until it ends or is held."""
        return await self._start(person, goal, wait_seconds)

    async def run_status(self, person: Person, run: str, wait_seconds: float = 0) -> Standing:
        """Tell how a run stands, and what it waits for; wait_seconds (up to 60) waits until that changes."""
        await self._wait(run, person, wait_seconds)
        return await self._service.standing(run, person, self._offer)

    async def run_result(self, person: Person, run: str) -> Finished:
        """Give what a run has made and done. Nothing is given before it is done."""
        return await self._service.result(run, person, self._offer)

    async def resume_run(self, person: Person, run: str, wait_seconds: float = 0) -> Standing:
        """Go on with a run that was cut off, or that was decided without going on. It decides nothing."""
        await self._service.resume(run, person, self._offer)
        return await self.run_status(person, run, wait_seconds)

    async def cancel_run(self, person: Person, run: str) -> Standing:
        """End a run: what it waits for is closed as refused, and nothing more is done outside."""
        return await self._service.cancel(run, person, self._offer)

    async def _start(self, person: Person, given: Any, wait_seconds: float) -> Standing:
        record = await self._service.start(self._offer, given, person)
        return await self.run_status(person, record.id, wait_seconds)

    async def _wait(self, run: str, person: Person, seconds: float) -> None:
        if not seconds > 0:
            return
        try:
            async with (
                asyncio.timeout(min(seconds, _MOST_SECONDS)),
                aclosing(self._service.follow(run, person, offer=self._offer)) as told,
            ):
                async for _ in told:
                    continue
        except TimeoutError:
            return

    def _start_with_input(self, kind: type[BaseModel]) -> Callable[..., Awaitable[Standing]]:
        """How a run is started with the fields of an input, as a function whose parameters they are."""
        fields = dict(kind.model_fields)
        if "goal" not in fields:
            fields["goal"] = FieldInfo(annotation=str, default="", description="What the team is to do.")

        async def start_run(person: Person, **given: Any) -> Standing:
            wait_seconds = 0 if "wait_seconds" in fields else given.pop("wait_seconds", 0)
            return await self._start(person, given, wait_seconds)

        waits = {} if "wait_seconds" in fields else {"wait_seconds": FieldInfo(annotation=float, default=0)}
        start_run.__doc__ = "\n".join(filter(None, (McpTeam.start_run.__doc__, kind.__dict__.get("__doc__"))))
        start_run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # a tool's schema comes from it
            [
                inspect.Parameter("person", inspect.Parameter.KEYWORD_ONLY),
                *(
                    inspect.Parameter(
                        name,
                        inspect.Parameter.KEYWORD_ONLY,
                        annotation=Annotated[field.annotation, field],
                        default=inspect.Parameter.empty if field.is_required() else field,
                    )
                    for name, field in {**fields, **waits}.items()
                ),
            ],
            return_annotation=Standing,
        )
        return start_run


def _is_new() -> bool:
    return find_spec("mcp.server.mcpserver") is not None


def _sdk() -> tuple[Any, Any, Any, Any]:
    """Of the installed version: its server, a call's context, the error of a call, what has a client asked or None."""
    try:
        new = _is_new()
    except ImportError as error:
        raise MissingExtra("MCP", "mcp") from error
    if new:
        found = import_module("mcp.server.mcpserver")
        refused = import_module("mcp.server.mcpserver.exceptions").ToolError
        return found.MCPServer, found.Context, refused, import_module("mcp.server.mcpserver.resolve")
    try:
        found = import_module("mcp.server.fastmcp")
    except ImportError as error:
        raise MissingExtra("MCP", "mcp") from error
    return found.FastMCP, found.Context, import_module("mcp.server.fastmcp.exceptions").ToolError, None


def _asking(start: Callable[..., Awaitable[Standing]], resolve: Any) -> Callable[..., Awaitable[Standing]]:
    """The same, asking the client's user for a goal where none is given. What they say is a goal, never a decision."""

    def ask(goal: str) -> Any:
        return GoalInput(goal=goal) if goal.strip() else resolve.Elicit("What is the team to do?", GoalInput)

    ask.__annotations__["return"] = GoalInput | resolve.Elicit[GoalInput]

    async def start_run(person: Person, told: GoalInput, goal: str = "", wait_seconds: float = 0) -> Standing:
        return await start(person, told.goal or goal, wait_seconds)

    start_run.__doc__, told = start.__doc__, Annotated[GoalInput, resolve.Resolve(ask)]
    known = inspect.signature(start_run, eval_str=True)
    changed = [one.replace(annotation=told) if one.name == "told" else one for one in known.parameters.values()]
    start_run.__signature__ = known.replace(parameters=changed)  # type: ignore[attr-defined]  # as above
    return start_run


def _as_tool(
    work: Callable[..., Awaitable[Any]], context: Any, caller: Caller, refused: type[Exception]
) -> Callable[..., Awaitable[Any]]:
    """A function as the SDK reads it: without whoever calls, whom the context of the call tells."""
    known = inspect.signature(work, eval_str=True)
    inner = [one for one in known.parameters.values() if one.name != "person"]
    outer = inspect.Parameter("ctx", inspect.Parameter.KEYWORD_ONLY, annotation=context)

    async def call(**given: Any) -> Any:
        person = caller(given.pop("ctx"))
        try:
            return await work(person=person, **given)
        except SignoffError as error:
            refusal = refusal_of(error)
            raise refused(f"{refusal.code}: {refusal.text}") from error

    call.__name__, call.__doc__ = work.__name__, work.__doc__
    changed = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in inner]
    call.__signature__ = known.replace(parameters=[*changed, outer])  # type: ignore[attr-defined]  # as above
    call.__annotations__ = {one.name: one.annotation for one in (*changed, outer)} | {"return": known.return_annotation}
    return call


def _serve_http(server: McpTeam, settings: Settings, port: int) -> None:
    import uvicorn

    console = Console(stderr=True)
    token = settings.mcp_token.get_secret_value() or secrets.token_urlsafe(24)
    try:
        endpoint = socket.create_server((_HOST, port))
    except OSError as error:
        problem = f"port {port} cannot be used ({error.strerror})"
        raise SettingsError("--port", problem, "Name another, or 0 for a free one.") from error
    config = uvicorn.Config(only_with(token, server.app()), log_config=None, access_log=False)
    host, bound = endpoint.getsockname()[:2]
    say(console, "Serving. Clients send the header `Authorization: Bearer TOKEN`. Ctrl-C ends it.")
    known = "" if settings.mcp_token.get_secret_value() else f" {token}"
    sys.stdout.write(f"http://{host}:{bound}{_PATH}{known}\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[endpoint])
