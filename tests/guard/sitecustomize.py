"""Lets no socket of this process reach anything but loopback.

`tests/conftest.py` loads it into pytest and puts this folder on PYTHONPATH, so that every Python a test starts loads
it before any other code. An audit hook cannot be taken out again. It sees what goes through Python's `socket` module;
an extension that opens sockets of its own, and a program that is not Python, go unseen. uvloop is such an extension,
and servers use it when they can, so it counts as not installed.
"""

from __future__ import annotations

import sys
from typing import Any


class NetworkBlocked(RuntimeError):
    """A test tried to leave loopback. Not an OSError, so that no client takes it for a server that is down."""

    def __init__(self, event: str, target: object) -> None:
        self.event, self.target = event, target
        super().__init__(f"Tests stay on loopback: {event} to {target!r} was blocked. Point it at 127.0.0.1.")


def block(event: str, args: tuple[Any, ...]) -> None:
    """Raise NetworkBlocked if this audit event is about a host beyond loopback."""
    if not event.startswith("socket."):
        return
    match event.removeprefix("socket."):
        case "connect" | "sendto" | "sendmsg" | "bind":
            endpoint, address = args
            if not _is_local(endpoint, address):
                raise NetworkBlocked(event, address)
        case "getaddrinfo" | "gethostbyname" | "gethostbyaddr":
            if not _is_loopback(args[0]):
                raise NetworkBlocked(event, args[0])
        case "getnameinfo":
            if not _is_loopback(args[0][0]):
                raise NetworkBlocked(event, args[0])


def _is_local(endpoint: Any, address: Any) -> bool:
    import socket  # late, like ipaddress: every Python that a test starts would pay for it

    if endpoint.family in (socket.AF_INET, socket.AF_INET6):
        # A message on a connected socket names no address.
        return address is None or _is_loopback(address[0])
    return bool(endpoint.family == getattr(socket, "AF_UNIX", None))


def _is_loopback(host: str | bytes | None) -> bool:
    import ipaddress

    name = host.decode("ascii", "replace") if isinstance(host, bytes) else host
    if name is None or name == "localhost":  # None asks for this machine itself
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)


def _load_shadowed() -> None:
    """Run the sitecustomize that this file hides, if there is one."""
    import os
    from importlib.machinery import PathFinder
    from importlib.util import module_from_spec

    here = os.path.dirname(os.path.abspath(__file__))
    spec = PathFinder.find_spec("sitecustomize", [entry for entry in sys.path if os.path.abspath(entry) != here])
    if spec is not None and spec.loader is not None:
        spec.loader.exec_module(module_from_spec(spec))


sys.addaudithook(block)
for event_loop in ("uvloop", "zuvloop"):
    sys.modules[event_loop] = None  # type: ignore[assignment]  # None marks a module that must not be imported
if __name__ == "sitecustomize":
    _load_shadowed()
