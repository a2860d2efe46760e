"""A server on loopback that remembers what it was sent, and brokers in front of it."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, unquote_to_bytes

import pytest

from signoff.tools.broker.broker import Broker

SECRET = "plant+ed/Secret&4711"
"""It looks different in nearly every spelling, and like no secret that is known by its looks."""

ABORT = b"hang up"

WriteSecrets = Callable[[str], Path]
"""Writes a file of secrets that only this user may read."""


@dataclass
class Seen:
    """A request that arrived."""

    method: str
    path: str
    headers: dict[str, str]
    """What is sent twice has both values, with a comma."""
    body: bytes


@dataclass
class Site:
    """The server."""

    port: int
    secret: str = SECRET
    seen: list[Seen] = field(default_factory=list)
    going_on: threading.Event = field(default_factory=threading.Event)
    """What `/slow` and `/events` wait for."""
    arrived: threading.Event = field(default_factory=threading.Event)
    """Set once `/slow` was asked."""

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]  # set by new_site
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): ", ".join(self.headers.get_all(name, ())) for name in self.headers}
        site.seen.append(Seen(self.command, self.path, headers, body))
        said = headers.get("authorization", "").removeprefix("Bearer ")
        match self.path.partition("?")[0]:
            case "/elsewhere":
                self.answer(b"", status=302, location=f"http://localhost:{site.port}/stolen")
            case "/pieces":
                self.answer_in_pieces([said[at : at + 3].encode() for at in range(0, len(said), 3)])
            case "/spelled":
                told = [said, base64.b64encode(b"u:" + said.encode()).decode(), said.encode().hex(), json.dumps(said)]
                self.answer("\n".join(told).encode())
            case "/zipped":
                self.answer(gzip.compress(said.encode()), coding="gzip")
            case "/coded":
                self.answer(said.encode(), coding="zstd-of-tomorrow")
            case "/coded-of-old":
                self.answer(gzip.compress(said.encode()), coding="x-gzip")
            case "/coded-and-not":
                self.answer(gzip.compress(said.encode()), coding="gzip\r\nContent-Encoding: identity")
            case "/coded-on-its-way":
                self.answer_in_pieces([gzip.compress(said.encode())], way="gzip, chunked")
            case "/cookie":
                self.answer(b"", cookie="session=abc")
            case "/large":
                self.answer(b"x" * 3_000_000)
            case "/slow":
                site.arrived.set()
                site.going_on.wait(30)
                self.answer(b"late")
            case "/events":
                self.answer_in_pieces([b"data: 1\n\n", None, b"data: 2\n\n"])
            case "/broken-off":
                self.answer_in_pieces([unquote_to_bytes(self.path.partition("?")[2]), None, ABORT])
            case "/told":
                echo = unquote(self.path.partition("?")[2])
                self.answer(echo.encode(), location=f"/{echo}", echo=echo)
            case _:
                self.answer(json.dumps({"path": self.path, "headers": headers}).encode(), echo=said)

    do_POST = do_DELETE = do_GET

    def answer(
        self, body: bytes, *, status: int = 200, location: str = "", coding: str = "", cookie: str = "", echo: str = ""
    ) -> None:
        self.send_response(status)
        for name, value in (
            ("Location", location),
            ("Content-Encoding", coding),
            ("Set-Cookie", cookie),
            ("X-Echo", echo),
            ("Content-Length", str(len(body))),
        ):
            if value:
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def answer_in_pieces(self, pieces: list[bytes | None], way: str = "chunked") -> None:
        """Chunks; None waits for the test, and ABORT hangs up."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", way)
        self.end_headers()
        for piece in pieces:
            if piece is None:
                self.server.site.going_on.wait(30)  # type: ignore[attr-defined]  # set by new_site
            elif piece is ABORT:
                self.connection.shutdown(socket.SHUT_RDWR)
                self.close_connection = True
                return
            else:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Those who hang up are meant to."""


@pytest.fixture(scope="session")
def server(serving: Any) -> Iterator[Site]:
    server = Server(("127.0.0.1", 0), Handler)
    server.site = Site(server.server_address[1])  # type: ignore[attr-defined]  # for the handler
    with serving(server):
        yield server.site  # type: ignore[attr-defined]


@pytest.fixture
def site(server: Site) -> Iterator[Site]:
    """The server, as if nobody had asked it yet."""
    server.seen.clear()
    server.going_on.clear()
    server.arrived.clear()
    yield server
    server.going_on.set()


@pytest.fixture
def write_secrets(tmp_path: Path) -> WriteSecrets:
    return partial(write_private, tmp_path / "secrets.toml")


def write_private(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o600)
    return path


@pytest.fixture(scope="session")
def started(server: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """One that lets `api` read, and post below /in; `sandbox` read without a secret; and both stay on 127.0.0.1."""
    folder = tmp_path_factory.mktemp("broker")
    path = write_private(
        folder / "secrets.toml",
        f"""
        [limits]
        seconds = 20
        megabytes = 1

        [secrets.main]
        value = "{SECRET}"
        [[secrets.main.rules]]
        hosts = ["127.0.0.1:{server.port}"]
        tools = ["api"]
        scheme = "http"
        private = true
        [[secrets.main.rules]]
        hosts = ["127.0.0.1:{server.port}"]
        methods = ["POST"]
        paths = ["/in/*"]
        tools = ["api"]
        scheme = "http"
        private = true
        [[secrets.main.rules]]
        hosts = ["127.0.0.1:{server.port}"]
        tools = ["basic"]
        basic = "me:{{secret}}"
        scheme = "http"
        private = true
        [[secrets.main.rules]]
        hosts = ["127.0.0.1:{server.port}"]
        tools = ["query"]
        query = "key"
        scheme = "http"
        private = true
        [[secrets.main.rules]]
        hosts = ["127.0.0.1:{server.port}"]
        tools = ["outside"]
        scheme = "http"

        [[open]]
        hosts = ["127.0.0.1:{server.port}"]
        tools = ["sandbox"]
        tunnel = true
        scheme = "http"
        private = true
        [[open]]
        hosts = ["localhost:{server.port}"]
        tools = ["sandbox"]
        tunnel = true
        private = true
        [[open]]
        hosts = ["localhost:1"]
        tools = ["sandbox"]
        private = true
        """,
    )
    with Broker.start(path, home=folder / "kept") as started:
        yield started


@pytest.fixture
def broker(started: Broker) -> Broker:
    """A broker that was not asked yet; tests that end one start their own."""
    started.log.unlink(missing_ok=True)
    return started


@pytest.fixture
def say(broker: Broker) -> Callable[..., bytes]:
    """What the broker answers to these very bytes, at its port or at a door."""
    return partial(_say, broker)


def _say(broker: Broker, raw: bytes, door: Path | None = None) -> bytes:
    address = broker.address().rpartition(":")[2]
    kind = socket.AF_INET if door is None else socket.AF_UNIX
    with socket.socket(kind) as wire:
        wire.connect(("127.0.0.1", int(address)) if door is None else str(door))
        wire.sendall(raw)
        wire.shutdown(socket.SHUT_WR)
        parts = []
        while part := wire.recv(65_536):
            parts.append(part)
    return b"".join(parts)
