"""A web of one host, on loopback."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from signoff.tools.web.request import Reach
from signoff.tools.web.snapshots import Snapshots
from signoff.tools.web.tools import Web, web_tools

PAGES: dict[str, tuple[str, bytes]] = {
    "/page": (
        "text/html; charset=iso-8859-2",
        "<title>Skladba</title><nav>x</nav><p>Antonín Dvořák.</p>".encode("iso-8859-2"),
    ),
    "/odd": ("text/html; charset=no-such", "<p>Käse</p>".encode()),
    "/data": ("application/json", b'{"name": "svc"}'),
    "/text": ("text/plain", b"A line.\n\nAnother."),
    "/long": ("text/plain", b"word " * 4000),
    "/image": ("image/png", b"\x89PNG"),
    "/binary": ("text/plain", b"\0\0"),
    "/large": ("text/plain", b"x" * 2_000_001),
    "/empty": ("text/html", b"<html></html>"),
    "/private/page": ("text/plain", b"Not for robots."),
}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers["Host"], dict(self.headers)))
        path = self.path.partition("?")[0]
        if path == "/robots.txt":
            status, text = self.server.robots
            self.answer(status, "text/plain", text.encode(), location="/elsewhere" if status == 302 else "")
        elif path.startswith("/to/"):
            self.answer(302, "text/plain", b"", location=self.path[4:] or "/to/")
        elif path == "/loop":
            self.answer(301, "text/plain", b"", location="/loop")
        elif path in ("/endless", "/drip"):
            self.drip(b"word " * 200 if path == "/endless" else b"x")
        elif path == "/packed-and-more":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.send_header("Content-Encoding", "gzip")
            self.end_headers()
            self.wfile.write(gzip.compress(b"Unpacked."))
            while not self.server.stopped.is_set():
                self.wfile.write(b"x" * 65_536)
        elif path == "/slow-head":
            self.wfile.write(b"HTTP/1.1 200 OK\r\n")
            self.drip_head()
        elif path in ("/bomb", "/small", "/deflated", "/unknown", "/lie"):
            packed = {
                "/bomb": ("gzip", gzip.compress(b"x" * 50_000_000)),
                "/small": ("gzip", gzip.compress(b"Unpacked.")),
                "/deflated": ("deflate", zlib.compress(b"Unpacked.")),
                "/unknown": ("zstd", b"\x28\xb5\x2f\xfd"),
                "/lie": ("gzip", b"not packed at all"),
            }[path]
            self.answer(200, "text/plain", packed[1], encoding=packed[0])
        elif path in self.server.pages:
            self.answer(200, *self.server.pages[path])
        else:
            self.answer(404, "text/plain", b"nothing here")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.seen.append((self.path, body.decode(), dict(self.headers)))
        self.answer(200, *self.server.pages[self.path])

    def drip(self, piece: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.end_headers()
        while not self.server.stopped.wait(0 if len(piece) > 1 else 0.01):
            self.wfile.write(piece)

    def drip_head(self) -> None:
        while not self.server.stopped.wait(0.01):
            self.wfile.write(b"X: y\r\n")

    def answer(self, status: int, kind: str, body: bytes, *, location: str = "", encoding: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = dict(PAGES)
        self.robots = (404, "")
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.stopped = threading.Event()

    @property
    def site(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def asked(self) -> list[str]:
        """The paths that were asked for, but for robots.txt."""
        return [path for path, _, _ in self.seen if path != "/robots.txt"]

    def finds(self, path: str, answer: Any) -> str:
        """Answer searches at this path with this JSON; its address."""
        self.pages[path] = ("application/json", json.dumps(answer).encode())
        return self.site + path

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has read enough hangs up; that is no error."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=[0.01], daemon=True).start()
        yield running
        running.stopped.set()
        running.shutdown()


@pytest.fixture
def site(server: Server) -> str:
    return server.site


@pytest.fixture
def web(home: Path) -> Callable[..., Web]:
    """Opens a web that reaches every host, also those inside a network, unless a test says otherwise."""

    def open_web(*, fetch: bool = True, **options: Any) -> Web:
        search = options.pop("search", None)
        given: dict[str, Any] = {"private": ("*",), "pause": 0.0} | options
        return Web(Snapshots(home / ".signoff"), search=search, fetch=fetch, reach=Reach(**given))

    return open_web


@pytest.fixture
def fetch(web: Callable[..., Web]) -> BaseTool:
    (tool,) = web_tools(web())
    return tool
