"""What programs speak, as one ASGI application beside the page; and what goes on with it as long as it is served."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Ledger
from signoff.desk.errors import NotThere
from signoff.desk.offers import Offer, checked
from signoff.desk.protocols import plain
from signoff.desk.protocols.access import App, Known, Scope
from signoff.desk.replies import refusal_of
from signoff.desk.service import Service
from signoff.desk.web.guarding import addresses
from signoff.desk.web.identity import Identity
from signoff.error_base import MissingExtra, SettingsError
from signoff.graphs import Team
from signoff.settings import Settings, load_settings

_CARD = "/.well-known/agent-card.json"


def protocols_app(
    address: str,
    teams: Sequence[str | Team],
    *,
    page: str = "",
    settings: Settings | None = None,
    ledger: Ledger | None = None,
) -> Protocols:
    """The protocols for a server of your own, at the root of its host: everybody sends a token of theirs.

    `address` is where clients reach it, such as `https://agents.example.org`; `teams` are your own, or named as
    MODULE:NAME; `page` is where people decide, if that is served. SettingsError if it is no address.
    """
    host, _ = addresses(address)
    if not host or urlsplit(address).scheme not in ("http", "https"):
        raise SettingsError("protocols_app", f"{address!r} is no address", "Write it as https://agents.example.org.")
    settings = settings or load_settings()
    ledger = ledger or configured_ledger(settings)
    offers = checked([Offer.named(one, settings) if isinstance(one, str) else Offer(one) for one in teams])
    return Protocols(Service(settings, ledger, offers, page=page), Identity(ledger), [host], address)


class Protocols:
    """The application, and which protocols it speaks: those whose packages are installed."""

    def __init__(self, service: Service, identity: Identity, hosts: Collection[str], address: str) -> None:
        self.service, self._address = service, address.rstrip("/")
        self.spoken: dict[str, str] = {"plain HTTP": ""}
        """By name; the reason why one is not spoken, else empty."""
        self._servers: list[Any] = []
        self._mcp: dict[str, App] = {}
        routes: list[BaseRoute] = [*plain.routes_of(service)]
        routes += self._speak("AG-UI", self._ag_ui)
        routes += self._speak("A2A", self._a2a)
        routes += self._speak("MCP", self._add_mcp)
        handlers: dict[Any, Any] = {404: _not_there, 405: _not_there}
        self._routed = Starlette(routes=routes, lifespan=lambda _: self.serving(), exception_handlers=handlers)
        self._known = Known(self._choose, identity, hosts, lambda path: path.endswith(_CARD))

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        """Answer whoever is known."""
        await self._known(scope, receive, send)

    def beside(self, page: App) -> App:
        """Both in one application: what lies below /teams is for programs, all else the page."""

        async def either(scope: Scope, receive: Any, send: Any) -> None:
            path = scope.get("path", "")
            is_ours = scope["type"] == "lifespan" or path == "/teams" or path.startswith("/teams/") or path == _CARD
            await (self if is_ours else page)(scope, receive, send)

        return either

    async def _choose(self, scope: Scope, receive: Any, send: Any) -> None:
        app = self._mcp.get(scope.get("path", "").rstrip("/"), self._routed)
        await app(scope, receive, send)

    def _speak(self, name: str, build: Callable[[], Sequence[BaseRoute]]) -> Sequence[BaseRoute]:
        try:
            found = build()
        except MissingExtra as error:
            self.spoken[name] = str(error)
            return ()
        self.spoken[name] = ""
        return found

    def _ag_ui(self) -> Sequence[BaseRoute]:
        found: Sequence[BaseRoute] = load_protocol("ag_ui").routes_of(self.service)
        return found

    def _a2a(self) -> Sequence[BaseRoute]:
        module = load_protocol("a2a_server")
        return [
            route for offer in self.service.offers for route in module.routes_of(self.service, offer, self._address)
        ]

    def _add_mcp(self) -> Sequence[BaseRoute]:
        module = load_protocol("mcp_server")
        for offer in self.service.offers:
            path = f"/teams/{offer.slug}/mcp"
            server = module.McpTeam(self.service, offer, module.sender, path)
            self._mcp[path] = server.app()
            self._servers.append(server.sdk)
        return ()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """What goes on as long as it is served, where no server calls this for it."""
        async with AsyncExitStack() as stack:
            for server in self._servers:
                await stack.enter_async_context(server.session_manager.run())
            await self.service.recover()
            yield


def load_protocol(name: str) -> ModuleType:
    """The file of a protocol; MissingExtra where its package is not installed."""
    try:
        return import_module(f"signoff.desk.protocols.{name}")
    except ImportError as error:
        raise MissingExtra({"ag_ui": "AG-UI", "a2a_server": "A2A"}.get(name, name), "protocols") from error


async def _not_there(_request: Request, _error: Exception) -> Response:
    refusal = refusal_of(NotThere("address"))
    return JSONResponse({"error": refusal.text, "code": refusal.code}, refusal.status)
