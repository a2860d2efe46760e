"""Attempts to reach somebody outside."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable

from means import World, run, tried


def tcp_to_the_host(world: World) -> str | None:
    return tried(
        loopback=lambda: socket.create_connection(("127.0.0.1", world["tcp"]), 2),
        any_address=lambda: socket.create_connection(("0.0.0.0", world["tcp"]), 2),
        six=lambda: socket.create_connection(("::ffff:127.0.0.1", world["tcp"]), 2),
    )


def udp_to_the_host(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"out", ("127.0.0.1", world["udp"]))


def a_way_to_the_internet(world: World) -> str | None:
    """Sends nothing: connecting a UDP socket only looks for a route, here to an address that nobody has."""

    def route(family: int, address: str) -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as seeker:
            seeker.connect((address, 53))

    return tried(four=lambda: route(socket.AF_INET, "192.0.2.1"), six=lambda: route(socket.AF_INET6, "2001:db8::1"))


def interfaces(world: World) -> str | None:
    with open("/proc/net/dev") as file:
        names = [line.split(":")[0].strip() for line in file.readlines()[2:]]
    # The kernel makes some tunnels in every namespace; they are down.
    others = [name for name in names if name not in ("lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0")]
    return f"there are {others}" if others else None


def names_of_hosts(world: World) -> str | None:
    try:
        return f"found {socket.getaddrinfo('example.org', 80)}"
    except OSError as error:
        return print(error)


def a_unix_socket_by_its_path(world: World) -> str | None:
    with socket.socket(socket.AF_UNIX) as client:
        return tried(path=lambda: client.connect(world["unix"]))


def an_abstract_unix_socket(world: World) -> str | None:
    with socket.socket(socket.AF_UNIX) as client:
        return tried(abstract=lambda: client.connect("\0" + world["abstract"]))


def services_of_the_system(world: World) -> str | None:
    def connect(path: str) -> Callable[[], None]:
        def step() -> None:
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)

        return step

    run = ("docker.sock", "podman/podman.sock", "containerd/containerd.sock", "systemd/private")
    paths = [f"/run/{name}" for name in (*run, "dbus/system_bus_socket", "systemd/notify", "door")]
    return tried(**{path: connect(path) for path in paths})


def sockets_below_the_network(world: World) -> str | None:
    return tried(
        packet=lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
        raw=lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1),
    )


def signals(world: World) -> str | None:
    return tried(term=lambda: os.kill(world["pid"], signal.SIGTERM), group=lambda: os.killpg(world["pid"], 9))


if __name__ == "__main__":
    run(globals())
