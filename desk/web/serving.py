"""The command `signoff serve`: the page on this machine, or, with everybody signed in, at an address of your own."""

from __future__ import annotations

import logging
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import typer
from rich.console import Console

from signoff.checkpoints import configured_ledger
from signoff.checkpoints.ledger import Ledger
from signoff.desk.cli.terminal import say
from signoff.error_base import MissingExtra, SettingsError, SignoffError
from signoff.settings import Settings, load_settings

_HERE: Final = "127.0.0.1"
_SWEEPS_EVERY: Final = 30.0
"""Seconds."""
_log = logging.getLogger(__name__)


def serve(
    port: Annotated[int, typer.Option(min=0, max=65_535, metavar="PORT", help="0 takes a free one.")] = 8765,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Where it listens; elsewhere than on this machine needs --address.")
    ] = _HERE,
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
) -> int:
    """Serve a page where people see what runs do, and decide what they propose. Here it prints a link, yours alone.

    With --address everybody signs in with a token of their own: `signoff people --token NAME` gives one.
    """
    try:
        import uvicorn

        from signoff.desk.web.application import build_app
        from signoff.desk.web.guarding import addresses
        from signoff.desk.web.identity import Identity
        from signoff.desk.web.oidc import Provider
    except ImportError as error:
        raise MissingExtra("The page", "web") from error
    settings = load_settings()
    if settings.tenant:
        remedy = f"Leave it out, and keep people to theirs: signoff people --give NAME=tenant:{settings.tenant}"
        raise SettingsError("SIGNOFF_TENANT", "the page keeps who is signed in, and what they decide", remedy)
    ledger, console = configured_ledger(settings), Console(stderr=True)
    provider = Provider.of(settings) if address else None
    _check(ledger, host, address, can_sign_in=provider is not None)
    if protocols and not team:
        raise SettingsError("--protocols", "no team is named that they are about", "Name it: --team shop.py:orders")
    endpoint = _listen(host, port)
    bound = endpoint.getsockname()[1]
    own = [f"http://{name}:{bound}" for name in (_HERE, "localhost")]
    served = [address.rstrip("/")] if address else own
    if address:
        secure = address.startswith("https:")
        identity = Identity(ledger, is_secure=secure, provider=provider, origin=addresses(address)[1])
    else:
        identity = Identity.of_owner(ledger, settings.user_name)
    spoken = _spoken(settings, identity, team or (), served) if protocols else None
    app = _page(build_app, settings, identity, team or (), served, spoken, is_own=not address)
    config = uvicorn.Config(app, log_config=None, access_log=False, server_header=False, timeout_graceful_shutdown=3)
    how = f"at {provider.host}, or with a token" if provider else "with a token"
    who = f"Everybody signs in {how}" if address else f"The link is {settings.user_name}'s alone"
    say(console, f"Serving {ledger.database}. {who}. Ctrl-C ends it; runs are kept.")
    if spoken is not None:
        _say_spoken(spoken, served[0], console)
    link = f"/sign-in?key={identity.link_key}" if identity.link_key else "/"
    sys.stdout.write(f"{served[0]}{link}\n")
    sys.stdout.flush()
    _run(uvicorn.Server(config), endpoint, ledger, console)
    return 0


def _page(
    build_app: Any,
    settings: Settings,
    identity: Any,
    named: Sequence[str],
    served: Sequence[str],
    spoken: Any,
    *,
    is_own: bool,
) -> Any:
    """The page at these addresses, and beside it what programs speak, if they do."""
    from signoff.desk.web.context import PageContext
    from signoff.desk.web.guarding import addresses
    from signoff.desk.web.screens.start_pages import offered_here

    hosts, origins = zip(*map(addresses, served), strict=True)
    offered, service = offered_here(tuple(named), is_own=is_own), None if spoken is None else spoken.service
    context = PageContext(settings, identity.ledger, identity, teams_offered=offered, served=service)
    page = build_app(context, hosts=hosts, origins=origins)
    return page if spoken is None else spoken.beside(page)


def _spoken(settings: Settings, identity: Any, named: Sequence[str], served: Sequence[str]) -> Any:
    """What programs speak to these teams."""
    from signoff.desk.offers import read_offers
    from signoff.desk.protocols.asgi import Protocols
    from signoff.desk.service import Service
    from signoff.desk.web.guarding import addresses

    service = Service(settings, identity.ledger, read_offers(named, settings), page=served[0])
    return Protocols(service, identity, [addresses(one)[0] for one in served], served[0])


def _say_spoken(spoken: Any, address: str, console: Console) -> None:
    for offer in spoken.service.offers:
        say(console, f"Team {offer.name}, for programs: {address}/teams/{offer.slug}/ and ag-ui, a2a, mcp or runs")
    say(console, "They send `Authorization: Bearer TOKEN`: the key of the link, or one of signoff people --token NAME.")
    for why in filter(None, spoken.spoken.values()):
        say(console, f"Not spoken: {why}", "yellow")


def _run(server: Any, endpoint: socket.socket, ledger: Ledger, console: Console) -> None:
    over = threading.Event()
    sweeping = threading.Thread(target=_sweep, args=(ledger, over), name="signoff sweep", daemon=True)
    sweeping.start()
    try:
        with suppress(KeyboardInterrupt):
            server.run(sockets=[endpoint])
    finally:
        over.set()
    say(console, "Stopped. Runs are kept: resume them with `signoff resume`.")


def _sweep(ledger: Ledger, over: threading.Event) -> None:
    """Close what expires and tell of what escalates, as `signoff notify` does."""
    while not over.wait(_SWEEPS_EVERY):
        try:
            ledger.approvals.sweep()
        except SignoffError as error:  # such as a database that is locked for long: the next time finds the same
            _log.warning("what expired was not closed: %s", error)


def _check(ledger: Ledger, host: str, address: str, *, can_sign_in: bool) -> None:
    """SettingsError for what would let in whoever is not known."""
    parts = urlsplit(address)
    if address and (parts.scheme not in ("http", "https") or not parts.hostname or parts.path.strip("/")):
        raise SettingsError("--address", f"{address!r} is no address", "Write it as https://desk.example.org.")
    if not address and not _is_here(host):
        problem = f"{host!r} is not this machine alone, and the page would be served to whoever reaches it"
        raise SettingsError("--host", problem, "Say where browsers reach it: --address https://desk.example.org")
    if address and parts.scheme == "http" and not _is_here(parts.hostname or ""):
        problem = f"{address!r} is read by anybody on the way, tokens too"
        raise SettingsError("--address", problem, "Put it behind a server that speaks https, and name that.")
    if address and not can_sign_in and not any(key.use == "token" for key in ledger.people.known_keys()):
        raise SettingsError("--address", "nobody could sign in", "Give somebody a token: signoff people --token NAME")


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), port), family=family)
    except OSError as error:
        problem = f"port {port} of {host} cannot be used ({error.strerror or error})"
        raise SettingsError("--port", problem, "Name another, or 0 for a free one.") from error
