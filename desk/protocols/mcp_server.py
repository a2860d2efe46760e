"""Serving a team to MCP clients: they give goals and ask how runs stand. Deciding is for people, elsewhere.

What a team needs and is not given is asked of the client's user, where the client can ask them. With version 2 of the
SDK both of its protocols are spoken.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import secrets
import socket
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from importlib import import_module
from importlib.util import find_spec
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, Field, create_model
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
_ASKED_SECONDS: Final = 600.0
"""How long a client may take to have its user say what is missing."""
_START: Final = (
    "Give the team a goal. The run goes on by itself; wait_seconds (up to 60) waits until it ends or is held."
)
_NOT_GIVEN: Final = object()
_PERSON, _CONTEXT, _TOLD = "signoff_person", "signoff_context", "signoff_told"
"""Parameters of tools that no client gives, named as no field of an input is."""
_SIMPLE: Final[Mapping[str, type]] = {"string": str, "integer": int, "number": float, "boolean": bool}
_FORMATS: Final = ("date", "date-time", "email", "uri")
"""What a client can ask for: fields of these kinds, strings of these formats."""
_INSTRUCTIONS: Final = (
    "A supervised team: it works on a goal, and people sign off what it wants done outside. Start a run, ask how it "
    "stands, and fetch the result once it is done. A run that waits is decided by people, who were told how; no tool "
    "here can do that."
)

Caller = Callable[[Any], Person]
"""Who calls a tool, by the context of the call."""
Ask = Callable[[Any, dict[str, Any]], Awaitable[dict[str, Any]]]
"""What a tool is given, once the client's user has said what was missing."""


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
        needs = [name for name, field in offer.takes.model_fields.items() if field.is_required()]
        self.sdk = _needing({"start_run": needs}, make)(
            f"signoff {offer.name}", instructions=_INSTRUCTIONS, log_level="ERROR"
        )
        ask, told = _ask_amid_the_call(offer), None
        if resolve is not None:
            ask, told = _told_before, _asked_before(offer, needs, context, resolve)
        self.sdk.tool()(_as_tool(self._start_with_input(offer.takes), context, caller, refused, ask, told))
        for tool in (self.run_status, self.run_result, self.resume_run, self.cancel_run):
            self.sdk.tool()(_as_tool(tool, context, caller, refused))

    def app(self) -> App:
        """The server over HTTP, at its path; whoever serves it runs its `sdk.session_manager` meanwhile."""
        logging.getLogger("mcp.server.streamable_http").addFilter(_is_news)
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

        async def start_run(person: Person, /, **given: Any) -> Standing:
            wait_seconds = 0 if "wait_seconds" in fields else given.pop("wait_seconds", 0)
            given = {name: value for name, value in given.items() if value is not _NOT_GIVEN}
            return await self._start(person, given, wait_seconds)

        waits = {} if "wait_seconds" in fields else {"wait_seconds": FieldInfo(annotation=float, default=0)}
        about = kind.__dict__.get("__doc__") if kind is not GoalInput else ""
        start_run.__doc__ = "\n".join(filter(None, (_START, about)))
        start_run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # a tool's schema comes from it
            [
                inspect.Parameter(_PERSON, inspect.Parameter.POSITIONAL_ONLY),
                *(
                    inspect.Parameter(
                        name,
                        inspect.Parameter.KEYWORD_ONLY,
                        annotation=Annotated[field.annotation, field],
                        default=Field(default_factory=lambda: _NOT_GIVEN) if field.is_required() else field,
                    )
                    for name, field in {**fields, **waits}.items()
                ),
            ],
            return_annotation=Standing,
        )
        return start_run


def _is_news(record: logging.LogRecord) -> bool:
    """Whether to log it: that a client has left is an error to version 1 of the SDK, with all that was going on."""
    return not (record.exc_info and isinstance(record.exc_info[1], import_module("anyio").ClosedResourceError))


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


def _needing(needs: Mapping[str, Sequence[str]], make: Any) -> Any:
    """A server whose tools tell what they need. The SDK itself takes calls without, so that it can be asked for."""

    async def list_tools(self: Any) -> Any:
        tools = []
        for tool in await make.list_tools(self):
            name = "input_schema" if hasattr(tool, "input_schema") else "inputSchema"
            changed = {**getattr(tool, name), **({"required": [*needs[tool.name]]} if needs.get(tool.name) else {})}
            tools.append(tool.model_copy(update={name: changed}))
        return tools

    return type(make.__name__, (make,), {"list_tools": list_tools})


def _form_of(kind: type[BaseModel], given: Mapping[str, Any]) -> type[BaseModel] | None:
    """What is needed and was not given, as a client can ask its user for it; None if it cannot, or all is there."""
    known, asked = kind.model_json_schema()["properties"], dict[str, Any]()
    for name, field in kind.model_fields.items():
        value = given.get(name, _NOT_GIVEN)
        if not field.is_required() or (value is not _NOT_GIVEN and not (isinstance(value, str) and not value.strip())):
            continue
        told = known.get(field.alias or name, {})
        simple: Any = _SIMPLE.get(told.get("type", ""))
        if simple is None:
            return None
        if simple is str and len(told.get("enum", ())) > 1:
            simple = Literal[tuple(told["enum"])]
        shown = {"format": told["format"]} if told.get("format") in _FORMATS else None
        asked[name] = (simple, Field(description=field.description, json_schema_extra=shown))
    return create_model(kind.__name__, **asked) if asked else None


def _can_ask(capabilities: Any) -> bool:
    """Whether a client shows its user forms."""
    can = getattr(capabilities, "elicitation", None)
    return can is not None and (getattr(can, "form", None) is not None or getattr(can, "url", None) is None)


def _words(offer: Offer, form: type[BaseModel]) -> str:
    return f"What is the team {offer.name!r} given? It needs: {', '.join(form.model_fields)}."


def _ask_amid_the_call(offer: Offer) -> Ask:
    """By version 1 of the SDK. What users say is input, never a decision."""

    async def ask(context: Any, given: dict[str, Any]) -> dict[str, Any]:
        form = _form_of(offer.takes, given)
        if form is None or not _can_ask(getattr(context.session.client_params, "capabilities", None)):
            return given
        try:
            async with asyncio.timeout(_ASKED_SECONDS):
                told = await context.session.elicit_form(
                    message=_words(offer, form),
                    requestedSchema=form.model_json_schema(),
                    related_request_id=context.request_id,
                )
        except TimeoutError:
            return given
        said = told.content if told.action == "accept" and told.content else {}
        return {**given, **{name: said[name] for name in form.model_fields if name in said}}

    return ask


class _Nothing(BaseModel):
    """What is told where nothing is asked."""


def _asked_before(offer: Offer, needs: Sequence[str], context: Any, resolve: Any) -> Any:
    """By version 2 of the SDK, in both protocols: the type of a parameter that is asked for before the call."""

    async def find(**known: Any) -> Any:
        form = _form_of(offer.takes, known)
        if form is None or not _can_ask(known[_CONTEXT].client_capabilities):
            return _Nothing()
        return resolve.Elicit(_words(offer, form), form)

    named = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in (_CONTEXT, *needs)]
    find.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]  # the SDK gives what it names
    find.__annotations__ = {_CONTEXT: context, **dict.fromkeys(needs, Any), "return": Any}
    return Annotated[resolve.ElicitationResult[BaseModel], resolve.Resolve(find)]


async def _told_before(_context: Any, given: dict[str, Any]) -> dict[str, Any]:
    told = given.pop(_TOLD)
    return {**given, **told.data.model_dump()} if told.action == "accept" else given


def _as_tool(
    work: Callable[..., Awaitable[Any]],
    context: Any,
    caller: Caller,
    refused: type[Exception],
    ask: Ask | None = None,
    told: Any = None,
) -> Callable[..., Awaitable[Any]]:
    """A function as the SDK reads it: without whoever calls, whom the context of the call tells."""
    known = inspect.signature(work, eval_str=True)
    inner = list(known.parameters.values())[1:]
    outer = [inspect.Parameter(_CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation=context)]
    if told is not None:
        outer.append(inspect.Parameter(_TOLD, inspect.Parameter.KEYWORD_ONLY, annotation=told))

    async def call(**given: Any) -> Any:
        of_call = given.pop(_CONTEXT)
        person = caller(of_call)
        try:
            return await work(person, **(given if ask is None else await ask(of_call, given)))
        except SignoffError as error:
            refusal = refusal_of(error)
            raise refused(f"{refusal.code}: {refusal.text}") from error

    call.__name__, call.__doc__ = work.__name__, work.__doc__
    changed = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in inner), *outer]
    call.__signature__ = known.replace(parameters=changed)  # type: ignore[attr-defined]  # as above
    call.__annotations__ = {one.name: one.annotation for one in changed} | {"return": known.return_annotation}
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
