"""What stands beside LangGraph Server, if its langgraph.json names `app` as that of its http: the page, at /desk."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from signoff.desk.web.guarding import App, Scope, addresses, check_settings, is_here, own_addresses
from signoff.error_base import MissingExtra, SettingsError
from signoff.settings import load_settings

if TYPE_CHECKING:  # the server warns of what takes long to import: all that the page is made of is, when it starts
    from signoff.desk.protocols.asgi import Protocols

PAGE: Final = "/desk"
"""Where the page is: at / the server has addresses of its own."""
SERVER: Final = "LANGGRAPH_API_URL"
"""Where the development server says in the environment that it listens."""
_USUAL: Final = "http://127.0.0.1:2024"
_OPEN: Final = ("/internal/", "/deploy/")
"""Where the development server answers everybody, without asking who that is: it tells any thread, empties all, and has
the project's folder deployed."""


@dataclass(frozen=True)
class Beside:
    """What is served beside the server."""

    page: App
    meanwhile: AbstractContextManager[None]
    """What goes on as long as it is served."""
    spoken: Protocols | None = None
    """What programs speak, at /teams."""
    told: Callable[[], None] = lambda: None
    """Called, in a thread, as soon as the server is about to listen."""


class Part:
    """One application of several, which are made when the server starts."""

    def __init__(self, made: Callable[[], App]) -> None:
        self._made = made

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer."""
        await self._made()(scope, receive, send)


class Closed:
    """The server, without what it has for its own tests and for Studio."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer; or say that there is nothing."""
        path = str(scope.get("path", "")).removeprefix(scope.get("root_path", ""))
        app = Response(status_code=404) if f"{path}/".startswith(_OPEN) else self._app
        await app(scope, receive, send)


def app_beside(make: Callable[[], Beside], *, speaks: bool = False) -> Starlette:
    """The application that the server takes in, of what this makes: in a thread, as it must not be kept waiting.

    With `speaks` what programs speak is served too.
    """
    made = list[Beside]()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        made[:] = [beside := await asyncio.to_thread(make)]
        async with AsyncExitStack() as stack:
            stack.enter_context(beside.meanwhile)
            if beside.spoken is not None:
                await stack.enter_async_context(beside.spoken.serving())
            await asyncio.to_thread(beside.told)
            yield

    programs: Any = Part(lambda: made[0].spoken or made[0].page)
    routes: list[BaseRoute] = [Route(PAGE, _to_the_page), Mount(PAGE, Part(lambda: made[0].page))]
    if speaks:
        routes += [Route(path, programs, include_in_schema=False) for path in ("/teams", "/teams/{rest:path}")]
    return Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Closed)])


def _to_the_page(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}{PAGE}/")


def _by_the_settings() -> Beside:
    try:
        from signoff.checkpoints import configured_ledger
        from signoff.desk.driving import sweeping
        from signoff.desk.web.application import page_at
        from signoff.desk.web.context import PageContext
        from signoff.desk.web.identity import Identity
        from signoff.desk.web.oidc import Provider
    except ImportError as error:
        raise MissingExtra("The page", "web") from error
    settings = load_settings()
    check_settings(settings)
    address = settings.address or os.environ.get(SERVER) or _USUAL
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError("SIGNOFF_ADDRESS", f"{address!r} is no address", "Write it as https://agents.example.org.")
    is_own = not settings.address and (is_here(parts.hostname) or parts.hostname in ("0.0.0.0", "::"))
    served = own_addresses(parts.port or 80) if is_own else [address]
    ledger, origin = configured_ledger(settings), addresses(served[0])[1]
    identity = Identity(ledger, is_secure=parts.scheme == "https", provider=Provider.of(settings), origin=origin)
    return Beside(page_at(served, PageContext(settings, ledger, identity)), sweeping(ledger))


app = app_beside(_by_the_settings)
