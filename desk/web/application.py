"""The page as a Starlette application: its addresses, and what is shown when something goes wrong."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from functools import partial
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.errors import StoreError, UnknownApproval, UnknownRun
from signoff.checkpoints.ledger import Ledger, Person
from signoff.desk.errors import NotThere, PageError, SignInNeeded, SignInRefused, TooFast, UnknownKey
from signoff.desk.web.context import PageContext, Visit, address_of, deed, read_form
from signoff.desk.web.files import send_asset
from signoff.desk.web.guarding import App, Guarded, addresses
from signoff.desk.web.identity import Identity
from signoff.desk.web.oidc import Provider
from signoff.desk.web.screens import (
    approval_pages,
    artifact_pages,
    eval_pages,
    fleet_pages,
    record_pages,
    run_pages,
    start_pages,
)
from signoff.desk.web.stream import events
from signoff.error_base import RunError, SettingsError, SignoffError
from signoff.settings import Settings, load_settings

_log = logging.getLogger(__name__)


def build_app(context: PageContext, *, hosts: Collection[str], origins: Collection[str]) -> App:
    """The page for browsers that reach it at one of these hosts, from pages of these origins."""
    routes = [
        Route("/", approval_pages.inbox),
        Route("/approvals/{id}", approval_pages.approval),
        Route("/approvals/{id}", approval_pages.decide, methods=["POST"]),
        Route("/approvals/{id}/whole", approval_pages.whole),
        Route("/approvals/{id}/snooze", approval_pages.snooze, methods=["POST"]),
        Route("/batches/{id}", approval_pages.batch),
        Route("/batches/{id}", approval_pages.decide_batch, methods=["POST"]),
        Route("/runs", run_pages.runs),
        Route("/runs/{id}", run_pages.run),
        Route("/runs/{id}", run_pages.go_on, methods=["POST"]),
        Route("/runs/{id}/cancel", run_pages.cancel, methods=["POST"]),
        Route("/runs/{id}/fork", start_pages.choose_step),
        Route("/runs/{id}/fork", start_pages.fork, methods=["POST"]),
        Route("/runs/{id}/artifacts/{name}", artifact_pages.artifact),
        Route("/runs/{id}/quotes/{number:int}", artifact_pages.quote),
        Route("/runs/{id}/tables/{table}/{number:int}", artifact_pages.cell),
        Route("/fleet", fleet_pages.fleet),
        Route("/fleet/jobs/{run}", fleet_pages.change_job, methods=["POST"]),
        Route("/fleet/schedules", fleet_pages.schedules),
        Route("/fleet/schedules/{name}", fleet_pages.change_schedule, methods=["POST"]),
        Route("/fleet/workers", fleet_pages.workers),
        Route("/fleet/evals", eval_pages.evals),
        Route("/fleet/evals/{of}/{id}", eval_pages.evaluation),
        Route("/fleet/evals/{of}/{id}/runs/{run}", eval_pages.run),
        Route("/memory", record_pages.memory),
        Route("/memory/{id}", record_pages.forget, methods=["POST"]),
        Route("/audit", record_pages.audit),
        Route("/audit", record_pages.verify, methods=["POST"]),
        Route("/budgets", record_pages.budgets),
        Route("/people", record_pages.people),
        Route("/people", record_pages.change_people, methods=["POST"]),
        Route("/start", start_pages.start),
        Route("/start/{team:path}", start_pages.fill_in),
        Route("/start/{team:path}", start_pages.begin, methods=["POST"]),
        Route("/events", events),
        Route("/sign-in", sign_in),
        Route("/sign-in", take_key, methods=["POST"]),
        Route("/sign-in/provider", go_to_provider),
        Route("/sign-in/provider/back", come_from_provider),
        Route("/sign-out", sign_out, methods=["POST"]),
        Route("/files/{version}/{name}", partial(send_asset, context.assets)),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={SignoffError: refuse, 404: not_there, 405: not_there, Exception: fail},
    )
    app.state.page = context
    return Guarded(app, hosts=hosts, origins=origins)


def page_at(served: Sequence[str], context: PageContext) -> App:
    """The page for browsers that reach it at these addresses."""
    hosts, origins = zip(*map(addresses, served), strict=True)
    return build_app(context, hosts=hosts, origins=origins)


def desk_app(
    address: str, *, settings: Settings | None = None, ledger: Ledger | None = None, teams: Sequence[str] = ()
) -> App:
    """The page for a server of your own, to be mounted in it; everybody signs in.

    `address` is where browsers reach that server, such as `https://agents.example.org`; `teams` are those that people
    may start runs of, as MODULE:NAME. SettingsError if it is no address.
    """
    host, origin = addresses(address)
    if not host or urlsplit(address).scheme not in ("http", "https"):
        raise SettingsError("desk_app", f"{address!r} is no address", "Write it as https://agents.example.org.")
    settings = settings or load_settings()
    ledger = ledger or configured_ledger(settings)
    identity = Identity(ledger, is_secure=origin.startswith("https:"), provider=Provider.of(settings), origin=origin)
    context = PageContext(settings, ledger, identity, teams_offered=tuple(teams))
    return page_at([address], context)


async def go_to_provider(request: Request) -> Response:
    """Have somebody sign in with the provider."""
    context: PageContext = request.app.state.page
    _check_pace(context, request)
    return await run_in_threadpool(context.identity.go_out, request)


async def come_from_provider(request: Request) -> Response:
    """Let in whom the provider knows, and the ledger."""
    context: PageContext = request.app.state.page
    _check_pace(context, request)

    def enter() -> Response:
        response = context.to(request, "/")
        context.identity.begin(context.identity.come_back(request), response)
        return response

    return await run_in_threadpool(enter)


def _check_pace(context: PageContext, request: Request) -> None:
    client = request.client.host if request.client else ""
    if wait := context.sign_ins.seconds_to_wait(client):
        raise TooFast(wait)


async def sign_in(request: Request) -> Response:
    """Take the key of the link that was printed, or ask for a token."""
    context: PageContext = request.app.state.page
    if key := request.query_params.get("key", ""):
        return await run_in_threadpool(_begin, context, request, lambda: context.identity.owner_by(key))
    return await run_in_threadpool(_ask_in, context, request, 200, "")


async def take_key(request: Request) -> Response:
    """Sign in with a token."""
    context: PageContext = request.app.state.page
    form = await read_form(request)
    request.state.destination = _own_path(form.get("to", ""))
    return await run_in_threadpool(
        _begin, context, request, lambda: context.identity.known_by(form.get("token", "").strip())
    )


def _begin(context: PageContext, request: Request, known: Callable[[], Person | None]) -> Response:
    _check_pace(context, request)
    person = known()
    if person is None:
        raise UnknownKey
    response = context.to(request, getattr(request.state, "destination", "/"))
    context.identity.begin(person, response)
    return response


def _ask_in(context: PageContext, request: Request, status: int, problem: str) -> Response:
    """The screen on which people sign in."""
    identity = context.identity
    host = identity.provider.host if identity.provider else ""
    values = {"problem": problem, "owner": identity.owner, "provider": host, "to": _destination(request)}
    return context.render(request, "sign_in.html", status, **values)


def _destination(request: Request) -> str:
    """Where whoever signs in now wanted to go: of a form, or of a fetched part, the screen in which it stands."""
    if known := getattr(request.state, "destination", ""):
        return str(known)
    prefix, here = request.scope.get("root_path", ""), request.url
    if here.path == f"{prefix}/sign-in":
        return _own_path(request.query_params.get("to", ""))
    found = urlsplit(str(here))
    if request.method == "POST" or "hx-request" in request.headers:
        found = urlsplit(request.headers.get("referer", ""))
    return _own_path(found.path.removeprefix(prefix) + (f"?{found.query}" if found.query else ""))


def _own_path(said: str) -> str:
    """A path of this page and no other's; the inbox for anything else."""
    is_own = said[:1] == "/" and said[1:2] not in ("/", "\\") and said.isprintable() and len(said) < 2000
    return "/" if not is_own or said.startswith("/sign-in") else said


@deed
def sign_out(visit: Visit) -> Response:
    """Forget this browser."""
    response = visit.to("/sign-in")
    visit.context.identity.end(visit.request, response)
    return response


async def refuse(request: Request, error: Exception) -> Response:
    """What we can say ourselves of what went wrong."""
    context: PageContext = request.app.state.page
    if isinstance(error, SignInNeeded | SignInRefused | UnknownKey | TooFast):
        problem = "" if isinstance(error, SignInNeeded) else str(error)
        response = await run_in_threadpool(_ask_in, context, request, error.status, problem)
        if "hx-request" in request.headers:
            to = _destination(request)
            address = address_of("/sign-in", to="" if to == "/" else to)
            response.headers["hx-redirect"] = f"{request.scope.get('root_path', '')}{address}"
        return response
    status = _status_of(error)
    return await _tell(request, status, str(error), "" if status < 500 else _noted(error))


def _status_of(error: Exception) -> int:
    match error:
        case PageError():
            return error.status
        case UnknownRun() | UnknownApproval():
            return 404
        case RunError():
            return 422
        case StoreError():
            return 503
        case _:
            return 500


def _noted(error: Exception) -> str:
    """A number by which the error is found in the log."""
    number = secrets.token_hex(4)
    _log.error("error %s", number, exc_info=error)
    return number


async def not_there(request: Request, _error: Exception) -> Response:
    """No such address."""
    return await _tell(request, 404, str(NotThere()), "")


async def fail(request: Request, error: Exception) -> Response:
    """What nobody expected: the log has it, the page its number."""
    return await _tell(request, 500, "Something went wrong here. Nothing was decided by it.", _noted(error))


async def _tell(request: Request, status: int, problem: str, number: str) -> Response:
    context: PageContext = request.app.state.page

    def show() -> Response:
        with suppress(SignInNeeded):  # whoever is signed in finds the way back
            context.visitor(request)
        return context.render(request, "error.html", status, problem=problem, number=number)

    try:
        return await run_in_threadpool(show)
    except SignoffError:  # the ledger itself cannot be read
        request.state.visitor = None
        return context.render(request, "error.html", status, problem=problem, number=number)
