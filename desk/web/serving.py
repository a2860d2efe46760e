"""The command `signoff serve`: the page on this machine, or, with everybody signed in, at an address of your own."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Annotated, Any
from urllib.parse import urlsplit

import typer
from rich.console import Console

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Ledger
from signoff.desk.cli.terminal import say
from signoff.desk.driving import sweeping
from signoff.desk.web.guarding import addresses, check_settings, is_here, own_addresses
from signoff.error_base import MissingExtra, SettingsError
from signoff.settings import Settings, load_settings


def serve(
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="0 takes a free one.")] = 8765,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where it listens; elsewhere than on this machine needs --address.")
    ] = "127.0.0.1",
    address: Annotated[
        str, typer.Option(metavar="URL", help="Where browsers reach it, such as https://desk.example.org.")
    ] = "",
    team: Annotated[
        list[str] | None,
        typer.Option(metavar="MODULE:NAME", help="A team that people may start runs of; can be given several times."),
    ] = None,
    protocols: Annotated[
        bool, typer.Option("--protocols", help="Serve these teams to programs too: AG-UI, A2A, MCP and plain HTTP.")
    ] = False,
    langgraph: Annotated[
        bool,
        typer.Option("--langgraph", help="Serve them as graphs of LangGraph Server too; the page is at /desk then."),
    ] = False,
) -> int:
    """Serve a page where people see what runs do, and decide what they propose. Here it prints a link, yours alone.

    With --address everybody signs in with a token of their own: `signoff people --token NAME` gives one.
    """
    try:
        import uvicorn  # noqa: F401  # looked for before anything is done

        from signoff.desk.web.application import page_at
        from signoff.desk.web.identity import Identity
        from signoff.desk.web.oidc import Provider
    except ImportError as error:
        extra = "server" if langgraph else "protocols" if protocols else "web"  # what brings the page's packages, too
        raise MissingExtra("The page", extra) from error
    settings = load_settings()
    check_settings(settings)
    ledger, console = configured_ledger(settings), Console(stderr=True)
    provider = Provider.of(settings) if address else None
    _check(ledger, host, address, can_sign_in=provider is not None)
    _check_programs(team, protocols=protocols, langgraph=langgraph)
    endpoint = _listen(host, port)
    bound = endpoint.getsockname()[1]
    served = [address.rstrip("/")] if address else own_addresses(bound)
    if address:
        secure = address.startswith("https:")
        identity = Identity(ledger, is_secure=secure, provider=provider, origin=addresses(address)[1])
    else:
        identity = Identity.of_owner(ledger, settings.user_name)
    place = Place(settings, identity, tuple(team or ()), served, at="/desk" if langgraph else "")
    spoken = _spoken(place) if protocols else None
    page = page_at(served, _context(place, spoken, is_own=not address))
    tell = partial(_tell, place, spoken, console)
    if langgraph:
        endpoint.close()
        _run_langgraph(place, page, spoken, tell, host, bound)
    else:
        tell()
        with sweeping(ledger), suppress(KeyboardInterrupt):
            _run(page if spoken is None else spoken.beside(page), endpoint)
    say(console, "Stopped. Runs are kept: resume them with `signoff resume`.")
    return 0


@dataclass(frozen=True)
class Place:
    """What is served, to whom, and where."""

    settings: Settings
    identity: Any
    named: tuple[str, ...]
    """The teams."""
    served: Sequence[str]
    """Its addresses."""
    at: str
    """Where the page is there."""

    @property
    def page(self) -> str:
        """The address of the page."""
        return f"{self.served[0]}{self.at}"


def _context(place: Place, spoken: Any, *, is_own: bool) -> Any:
    """What the page shows, over what programs speak to, if they do."""
    from signoff.desk.web.context import PageContext
    from signoff.desk.web.screens.start_pages import offered_here

    offered, service = offered_here(place.named, is_own=is_own), None if spoken is None else spoken.service
    identity = place.identity
    return PageContext(place.settings, identity.ledger, identity, teams_offered=offered, served=service)


def _spoken(place: Place) -> Any:
    """What programs speak to these teams."""
    from signoff.desk.offers import read_offers
    from signoff.desk.protocols.asgi import Protocols
    from signoff.desk.service import Service

    offers = read_offers(place.named, place.settings)
    service = Service(place.settings, place.identity.ledger, offers, page=place.page)
    return Protocols(service, place.identity, [addresses(one)[0] for one in place.served], place.served[0])


def _tell(place: Place, spoken: Any, console: Console) -> None:
    """Say what is served where, and to whom, and print the link."""
    provider, key = place.identity.provider, place.identity.link_key
    how = f"at {provider.host}, or with a token" if provider else "with a token"
    who = f"The link is {place.identity.owner}'s alone" if key else f"Everybody signs in {how}"
    say(console, f"Serving {place.identity.ledger.database}. {who}. Ctrl-C ends it; runs are kept.")
    if place.at:
        say(console, f"LangGraph Server: {place.served[0]}")
    for offer in spoken.service.offers if spoken else ():
        say(
            console,
            f"Team {offer.name}, for programs: {place.served[0]}/teams/{offer.slug}/ and ag-ui, a2a, mcp or runs",
        )
    if spoken or place.at:
        which = "the key of the link, or one of" if key else "one of"
        say(console, f"Programs send `Authorization: Bearer TOKEN`: {which} signoff people --token NAME.")
    for why in filter(None, spoken.spoken.values() if spoken else ()):
        say(console, f"Not spoken: {why}", "yellow")
    link = f"/sign-in?key={key}" if key else "/"
    sys.stdout.write(f"{place.page}{link}\n")
    sys.stdout.flush()


def _run(app: Any, endpoint: socket.socket) -> None:
    import uvicorn

    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=3)
    uvicorn.Server(config).run(sockets=[endpoint])


def _langgraph() -> Any:
    try:
        return import_module("signoff.desk.protocols.langgraph_serving")
    except ImportError as error:
        raise MissingExtra("LangGraph Server", "server") from error


def _run_langgraph(place: Place, page: Any, spoken: Any, tell: Callable[[], None], host: str, port: int) -> None:
    from signoff.desk.offers import read_offers
    from signoff.desk.protocols.langgraph_app import Beside

    offers = spoken.service.offers if spoken else read_offers(place.named, place.settings)
    beside = Beside(page, sweeping(place.identity.ledger), spoken, tell)
    with suppress(KeyboardInterrupt):
        _langgraph().serve_langgraph(offers, beside, place.identity, place.settings, host=host, port=port)


def _check_programs(team: Sequence[str] | None, *, protocols: bool, langgraph: bool) -> None:
    """SettingsError for programs that are served no team, and where the server of graphs is not installed."""
    for option, is_given in (("--protocols", protocols), ("--langgraph", langgraph)):
        if is_given and not team:
            raise SettingsError(option, "no team is named that they are about", "Name it: --team shop.py:orders")
    if langgraph:
        _langgraph().langgraph_cli()


def _check(ledger: Ledger, host: str, address: str, *, can_sign_in: bool) -> None:
    """SettingsError for what would let in whoever is not known."""
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/")):
        raise SettingsError("--address", f"{address!r} is no address", "Write it as https://desk.example.org.")
    if not address and not is_here(host):
        problem = f"{host!r} is not this machine alone, and the page would be served to whoever reaches it"
        raise SettingsError("--host", problem, "Say where browsers reach it: --address https://desk.example.org")
    if address and parts.scheme == "http" and not is_here(parts.hostname or ""):
        problem = f"{address!r} is read by anybody on the way, tokens too"
        raise SettingsError("--address", problem, "Put it behind a server that speaks https, and name that.")
    if address and not can_sign_in and not any(key.use == "token" for key in ledger.people.known_keys()):
        raise SettingsError("--address", "nobody could sign in", "Give somebody a token: signoff people --token NAME")


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        problem = f"port {port} of {host} cannot be used ({error.strerror or error})"
        raise SettingsError("--port", problem, "Name another, or 0 for a free one.") from error
