"""Which addresses may be reached, in every form that they can be written in."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, strategies as st

from signoff.errors import AddressRefused
from signoff.tools.web.addresses import Number, is_listed, is_public, pin

V4 = st.ip_addresses(v=4)
WRAPPINGS: list[Callable[[int], int]] = [
    lambda number: 0xFFFF << 32 | number,  # ::ffff:a.b.c.d
    lambda number: number,  # ::a.b.c.d
    lambda number: 0x0064FF9B << 96 | number,  # 64:ff9b::a.b.c.d
    lambda number: 0x2002 << 112 | number << 80 | 1,  # 2002:aabb:ccdd::1
    lambda number: 0x2001 << 112 | (number ^ 0xFFFFFFFF),  # Teredo
]
INSIDE = [
    "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 198.18.0.0/15",
    "224.0.0.0/4 240.0.0.0/4 ::1/128 fc00::/7 fe80::/10 fec0::/10 ff00::/8 2001:db8::/32 64:ff9b:1::/48 100::/64",
]
NETWORKS = [ipaddress.ip_network(network) for line in INSIDE for network in line.split()]


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2001:4860:4860::8888", True),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("224.0.0.1", False),
        ("240.0.0.1", False),
        ("255.255.255.255", False),
        ("fe80::1", False),
        ("2001:4860:4860::8888%eth0", False),
        ("fc00::1", False),
        ("ff02::1", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
        ("::127.0.0.1", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


@given(st.sampled_from(NETWORKS).flatmap(lambda network: st.ip_addresses(network=network)))
def test_nothing_of_a_network_that_is_not_routed_is_public(address: Number) -> None:
    assert not is_public(address)


@given(V4, st.sampled_from(WRAPPINGS))
def test_an_address_in_another_is_judged_by_the_inner_one(
    inner: ipaddress.IPv4Address, wrap: Callable[[int], int]
) -> None:
    outer = ipaddress.IPv6Address(wrap(int(inner)))
    assert is_public(outer) <= is_public(inner)  # never the outer one without the inner one


@given(V4.filter(lambda address: not is_public(address)), st.sampled_from(["{}", "{:#x}", "{:#o}", "0x{:08x}"]))
def test_a_number_written_otherwise_is_the_same_number(address: ipaddress.IPv4Address, form: str) -> None:
    host = form.format(int(address)).replace("0o", "0")

    def answer(asked: str, *_: Any, **__: Any) -> Any:  # as the system reads it; the tests' guard lets no name through
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (socket.inet_ntoa(socket.inet_aton(asked)), 80))]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", answer)
        with pytest.raises(AddressRefused, match="inside a network"):
            pin(host, 80)


@pytest.mark.parametrize("name", ["127.0.0.1", "::1", "localhost"])
def test_a_host_inside_is_reached_only_if_it_is_listed(name: str) -> None:
    with pytest.raises(AddressRefused, match="inside a network"):
        pin(name, 80)
    with pytest.raises(AddressRefused, match="inside a network"):
        pin(name, 80, private=("other.example", "*.intern.example"))
    assert pin(name, 80, private=(name.upper(),))
    assert pin(name, 80, private=("*",))


@pytest.mark.parametrize(
    ("host", "patterns", "listed"),
    [
        ("docs.example.org", ("*.example.org",), True),
        ("DOCS.example.org.", ("*.example.org",), True),
        ("example.org", ("*.example.org",), False),
        ("evilexample.org", ("*.example.org", "example.org"), False),
        ("example.org.evil.net", ("*.example.org", "example.org"), False),
        ("anything", ("*",), True),
        ("anything", (), False),
    ],
)
def test_a_list_of_hosts_holds_names_and_patterns(host: str, patterns: tuple[str, ...], listed: bool) -> None:
    assert is_listed(host, patterns) is listed
