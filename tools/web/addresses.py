"""Addresses: which may be reached, and the number that stands for a host's name from the check to the connection."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from contextlib import suppress
from fnmatch import fnmatchcase

from signoff.tools.errors import AddressRefused

Number = ipaddress.IPv4Address | ipaddress.IPv6Address
"""The numeric address of a host."""

_UNICAST = ipaddress.ip_network("2000::/3")
"""All that is handed out of IPv6."""
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
"""IPv6 forms that carry an IPv4 address in their last 32 bits."""


def is_public(address: Number) -> bool:
    """Whether anybody can reach this address; one that wraps another is judged by that."""
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return False
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64 or address in _COMPATIBLE:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
        if address not in _UNICAST:
            return False
    return address.is_global and not address.is_multicast


def is_loopback(host: str) -> bool:
    """Whether a host, by its name or number, is this machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_listed(host: str, patterns: Sequence[str]) -> bool:
    """Whether a host is one of these, names or patterns such as `*.example.org`."""
    name = host.lower().rstrip(".")
    return any(fnmatchcase(name, pattern.lower()) for pattern in patterns)


def resolve(host: str, port: int) -> tuple[Number, ...]:
    """Every numeric address of a host, in the system's order; AddressRefused if it has none."""
    with suppress(ValueError):  # a name
        return (ipaddress.ip_address(host),)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError, ValueError) as error:
        raise AddressRefused(host, "there is no host of this name") from error
    numbers = dict.fromkeys(ipaddress.ip_address(str(row[4][0])) for row in found)
    if not numbers:
        raise AddressRefused(host, "there is no host of this name")
    return tuple(numbers)


def pin(host: str, port: int, *, private: Sequence[str] = ()) -> tuple[Number, ...]:
    """The numbers to connect to in place of the name, checked; the name must not be looked up again after this.

    `private`: hosts that may lie inside a network, as names or patterns such as `*.intern.example`; `*` is every host.
    Of several addresses all must be public: a name that has one of each is a trick.
    """
    numbers = resolve(host, port)
    if not is_listed(host, private) and not all(map(is_public, numbers)):
        raise AddressRefused(host, "it lies inside a network, and only public addresses are reached")
    return numbers
