"""No test leaves loopback, neither in this process nor in one it starts."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

# RFC 5737 and 3849 keep these addresses for documentation: nothing answers there.
ADDRESSES = ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "0.0.0.0"]

LOOK_UPS: list[Callable[[], Any]] = [
    lambda: socket.getaddrinfo("example.com", 443),
    lambda: socket.getaddrinfo(b"example.com", 443),
    lambda: socket.gethostbyname("example.com"),
    lambda: socket.gethostbyname_ex("127.example.com"),
    lambda: socket.gethostbyaddr("192.0.2.1"),
    lambda: socket.getnameinfo(("192.0.2.1", 80), 0),
]

blocked = pytest.raises(RuntimeError, match="Tests stay on loopback")


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_connection_leaves_loopback(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family) as endpoint:
        endpoint.settimeout(0.5)
        with pytest.raises(RuntimeError, match=f"socket.connect to .*{address}"):
            endpoint.connect((address, 9))
        with blocked:
            endpoint.connect_ex((address, 9))


@pytest.mark.parametrize("address", ADDRESSES)
def test_no_datagram_leaves_loopback(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as endpoint:
        with pytest.raises(RuntimeError, match=r"socket\.sendto"):
            endpoint.sendto(b"", (address, 9))
        with pytest.raises(RuntimeError, match=r"socket\.sendmsg"):
            endpoint.sendmsg([b""], [], 0, (address, 9))


@pytest.mark.parametrize("look_up", LOOK_UPS)
def test_no_name_is_looked_up(look_up: Callable[[], Any]) -> None:
    with blocked:
        look_up()


def test_nobody_can_listen_beyond_loopback() -> None:
    with socket.socket() as endpoint, blocked:
        endpoint.bind(("", 0))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.9.9.9", "localhost"])
def test_loopback_works(address: str) -> None:
    with socket.create_server((address, 0)) as server, socket.create_connection(server.getsockname()) as client:
        accepted, _ = server.accept()
        with accepted:
            client.sendall(b"hello")
            assert accepted.recv(5) == b"hello"


def test_a_unix_socket_works(home: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind("s")
        server.listen()
        client.connect("s")


def test_a_child_process_cannot_leave_loopback() -> None:
    child = run("import socket; socket.create_connection(('192.0.2.1', 9), timeout=0.5)")
    assert child.returncode == 1
    assert "NetworkBlocked: Tests stay on loopback: socket.getaddrinfo to '192.0.2.1' was blocked" in child.stderr
    child = run("import socket; socket.socket().connect(('192.0.2.1', 9))")
    assert "NetworkBlocked: Tests stay on loopback: socket.connect to ('192.0.2.1', 9) was blocked" in child.stderr


def test_a_child_process_cannot_look_up_a_name() -> None:
    child = run("import urllib.request; urllib.request.urlopen('https://example.com/', timeout=0.5)")
    assert child.returncode == 1
    assert "NetworkBlocked: Tests stay on loopback: socket.getaddrinfo to 'example.com' was blocked" in child.stderr


def test_a_grandchild_cannot_either() -> None:
    child = run(
        """
        import subprocess, sys
        code = "import socket; socket.gethostbyname('example.com')"
        sys.exit(subprocess.run([sys.executable, "-c", code]).returncode)
        """
    )
    assert child.returncode == 1
    assert "NetworkBlocked" in child.stderr


def test_an_event_loop_that_opens_its_own_sockets_cannot_be_imported() -> None:
    child = run("import uvloop")
    assert "ModuleNotFoundError: import of uvloop halted" in child.stderr


def test_a_child_process_reaches_loopback() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        child = run(f"import socket; socket.create_connection({server.getsockname()!r}).close(); print('reached')")
    assert child.stdout == "reached\n", child.stderr


def test_another_sitecustomize_still_runs(home: Path) -> None:
    (home / "sitecustomize.py").write_text("import builtins; builtins.greeting = 'hello'")
    path = os.pathsep.join([os.environ["PYTHONPATH"], str(home)])
    child = run("print(greeting); import socket; socket.gethostbyname('example.com')", PYTHONPATH=path)
    assert child.stdout == "hello\n"
    assert "NetworkBlocked" in child.stderr


@pytest.fixture(scope="module")
def somebodys_settings() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("OPENAI_API_KEY", "SIGNOFF_MODEL", "LANGSMITH_API_KEY", "LANGCHAIN_TRACING_V2", "https_proxy"):
            patch.setenv(name, "http://192.0.2.1:9")
        yield


@pytest.mark.usefixtures("somebodys_settings")
def test_nobodys_settings_reach_a_test(home: Path) -> None:
    assert Path.cwd() == home
    assert "http://192.0.2.1:9" not in os.environ.values()
    assert os.environ["LANGSMITH_TRACING"] == "false"
