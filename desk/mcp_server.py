"""Serving a team to MCP clients: they give goals and ask how runs stand. Deciding is for people, elsewhere."""

from __future__ import annotations

import asyncio
import inspect
import secrets
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import BaseModel, Field
from pydantic.fields import FieldInfo
from rich.console import Console

from signoff.agents import budgets_of
from signoff.checkpoints import configured_ledger
from signoff.checkpoints.errors import UnknownRun
from signoff.desk.cli.terminal import say
from signoff.desk.driving import MOST_AT_ONCE, Background
from signoff.error_base import SettingsError
from signoff.fleet import Run, standings
from signoff.graphs import Team
from signoff.graphs.teams import OWN, new_team
from signoff.settings import Settings
from signoff.tools.mcp import need_sdk
from signoff.wording import one_line

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
T = TypeVar("T")


def serve_team(team: str | Team, settings: Settings, port: int | None) -> None:
    """Serve until the client leaves; over HTTP, if there is a port, until Ctrl-C."""
    server = build_server(team, settings)
    try:
        if port is None:
            asyncio.run(server.run_stdio_async())
        else:
            _serve_http(server, settings, port)
    except KeyboardInterrupt:
        say(Console(stderr=True), "Stopped. Runs are kept: resume them with `signoff resume`.")


def build_server(team: str | Team, settings: Settings) -> FastMCP[Any]:
    """The tools by which a client works with this team: the report team by its name, or somebody's own."""
    need_sdk()
    from mcp.server.fastmcp import FastMCP

    server: FastMCP[Any] = FastMCP(
        f"signoff {team if isinstance(team, str) else team.name}",
        _INSTRUCTIONS,
        log_level="ERROR",
        host=_HOST,
        streamable_http_path=_PATH,
    )
    runs = Runs(team, settings)
    start = runs.start_run if isinstance(team, str) or team.input is None else _start_with_input(runs, team.input)
    for tool in (start, runs.run_status, runs.run_result, runs.resume_run):
        server.tool()(_in_thread(tool))
    return server


def _start_with_input(runs: Runs, kind: type[BaseModel]) -> Callable[..., Standing]:
    """How a run is started with the fields of an input, as a function whose parameters they are."""
    fields = dict(kind.model_fields)
    if "goal" not in fields:
        fields["goal"] = FieldInfo(annotation=str, default="", description="What the team is to do.")

    def start_run(**given: Any) -> Standing:
        wait_seconds = 0 if "wait_seconds" in fields else given.pop("wait_seconds", 0)
        return runs.start(given, wait_seconds)

    waits = {} if "wait_seconds" in fields else {"wait_seconds": FieldInfo(annotation=float, default=0)}
    start_run.__doc__ = "\n".join(filter(None, (Runs.start_run.__doc__, kind.__dict__.get("__doc__"))))
    start_run.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # it is where a tool's schema comes from
        [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                annotation=Annotated[field.annotation, field],
                default=inspect.Parameter.empty if field.is_required() else field,
            )
            for name, field in {**fields, **waits}.items()
        ],
        return_annotation=Standing,
    )
    return start_run


def _in_thread(work: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """The same for clients, which are served meanwhile."""

    @wraps(work)
    async def wait(*args: Any, **kwargs: Any) -> T:
        return await asyncio.to_thread(work, *args, **kwargs)

    return wait


def _serve_http(server: FastMCP[Any], settings: Settings, port: int) -> None:
    import uvicorn

    console = Console(stderr=True)
    token = settings.mcp_token.get_secret_value() or secrets.token_urlsafe(24)
    try:
        endpoint = socket.create_server((_HOST, port))
    except OSError as error:
        problem = f"port {port} cannot be used ({error.strerror})"
        raise SettingsError("--port", problem, "Name another, or 0 for a free one.") from error
    config = uvicorn.Config(only_with(token, server.streamable_http_app()), log_config=None, access_log=False)
    host, bound = endpoint.getsockname()[:2]
    say(console, "Serving. Clients send the header `Authorization: Bearer TOKEN`. Ctrl-C ends it.")
    known = "" if settings.mcp_token.get_secret_value() else f" {token}"
    sys.stdout.write(f"http://{host}:{bound}{_PATH}{known}\n")
    sys.stdout.flush()
    uvicorn.Server(config).run(sockets=[endpoint])


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


_MOST_SECONDS = 60.0
_ENDED = ("done", "stopped")
"""A run that failed can go on: it may have been cut off at the end of the process that drove it."""


class Question(BaseModel):
    """What a run waits for."""

    approval: str
    action: str
    risk: str
    reason: str
    people_decide_with: str = Field(description="The command by which a person decides")


class Standing(BaseModel):
    """How a run stands."""

    run: str
    status: str = Field(description="running, waiting (for a person), done, stopped or failed")
    note: str = ""
    plan: list[str] = Field(default_factory=list, description="What was done and what is to do")
    waits_for: list[Question] = Field(default_factory=list)


class Finished(BaseModel):
    """What a run has made and done; empty while it is not done."""

    run: str
    status: str
    note: str
    artifacts: dict[str, Any] = Field(default_factory=dict)
    outcomes: list[dict[str, Any]] = Field(
        default_factory=list, description="What was done outside, and by whose leave"
    )


class Runs:
    """The runs of one team that this process drives, and those of the same team that it may tell about.

    What `build_server` offers of it, clients read as it stands here: names, parameters and docstrings.
    """

    def __init__(self, team: str | Team, settings: Settings) -> None:
        self._own = None if isinstance(team, str) else team
        self._team, self._settings = team if isinstance(team, str) else team.name, settings
        self._background = Background()
        self._lock = threading.Lock()

    def start_run(self, goal: str, wait_seconds: float = 0) -> Standing:
        """Give the team a goal. The run goes on by itself; wait_seconds (up to 60) waits until it ends or is held."""
        return self.start(goal, wait_seconds)

    def start(self, given: str | Mapping[str, Any], wait_seconds: float) -> Standing:
        """The same with whatever the team takes."""
        settings = self._settings
        with self._lock:
            self._check_room()
            team = self._own or new_team(self._team, settings)
            budget = team.run_budget or budgets_of(settings)["run"]
            run = Run.start(team, given, settings=settings, drive=False, budget=budget)
            self._background.drive(run.id, run.resume)
        return self.run_status(run.id, wait_seconds)

    def resume_run(self, run: str, wait_seconds: float = 0) -> Standing:
        """Go on with a run that was cut off, or that was decided without going on. It decides nothing."""
        opened = self._open(run)
        with self._lock:
            if opened.id not in self._background.alive and opened.status not in _ENDED:
                self._check_room()
                self._background.drive(opened.id, opened.resume)
        return self.run_status(opened.id, wait_seconds)

    def run_status(self, run: str, wait_seconds: float = 0) -> Standing:
        """Tell how a run stands, and what it waits for; wait_seconds (up to 60) waits until that changes."""
        opened = self._open(run)
        self._background.wait(opened.id, min(max(wait_seconds, 0), _MOST_SECONDS))
        record = opened.record
        (stands,) = standings(configured_ledger(self._settings), [record])
        note = record.note or self._background.said_at_the_end(record.id)
        return Standing(
            run=record.id,
            status=record.status,
            note=one_line(" ".join(stands.news) or note),
            plan=[one_line(f"{one['status']}: {one['agent']} {one['gives']} {one['note']}") for one in opened.plan],
            waits_for=[
                Question(
                    approval=one.id,
                    action=one.action,
                    risk=one.risk,
                    reason=one_line(one.reason),
                    people_decide_with="; ".join(f"{way.command(one.id)} ({way.means})" for way in one.ways)
                    or f"signoff approve {one.id}, or signoff reject {one.id}",
                )
                for one in opened.approvals
            ],
        )

    def run_result(self, run: str) -> Finished:
        """Give what a run has made and done. Nothing is given before it is done."""
        opened = self._open(run)
        record = opened.record
        if record.status != "done":  # somebody may still refuse it
            note = one_line(record.note) or "It is not done, and nothing is given before it is."
            return Finished(run=record.id, status=record.status, note=note)
        return Finished(
            run=record.id,
            status=record.status,
            note=one_line(record.note),
            artifacts={name: artifact.model_dump(mode="json") for name, artifact in opened.artifacts.items()},
            outcomes=[dict(outcome) for outcome in opened.values.get("outcomes", [])],
        )

    def _open(self, run_id: str) -> Run:
        """A run of this team; of others it is as if there were none."""
        record = configured_ledger(self._settings).runs.get(run_id)
        own = {} if self._own is None else self._own.options
        if record.team != self._team or record.options.get(OWN) != own.get(OWN):
            raise UnknownRun(run_id)
        return Run.open(record.id, team=self._own, settings=self._settings)

    def _check_room(self) -> None:
        alive = self._background.alive
        if len(alive) >= MOST_AT_ONCE:
            problem = f"{len(alive)} runs are under way here ({', '.join(alive)})"
            raise SettingsError("start_run", problem, "Wait until one of them ends or waits for a person.")
