"""The web tools against a server on loopback."""

from __future__ import annotations

import gzip
import ipaddress
import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from langchain_core.tools import BaseTool

from signoff.tools.web import Reach, is_public, web_tools

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
}


class Web(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        self.server.seen.append((self.path, self.headers["Host"]))  # type: ignore[attr-defined]  # set by the fixture
        if parts.path.startswith("/to/"):
            self.answer(302, "text/plain", b"", location=parts.path[4:] or "/to/")
        elif parts.path == "/loop":
            self.answer(301, "text/plain", b"", location="/loop")
        elif parts.path == "/endless":
            self.send_response(200)
            self.send_header("Content-Type", "text/plain")
            self.end_headers()
            while True:
                self.wfile.write(b"word " * 200)
        elif parts.path == "/bomb":
            self.answer(200, "text/plain", gzip.compress(b"x" * 50_000_000), encoding="gzip")
        elif parts.path == "/search":
            asked = parse_qs(parts.query)
            results = [
                {"title": "One\n", "url": "http://one.example/", "content": "About  it."},
                {"title": "No address"},
            ]
            results += [{"title": str(asked), "url": f"http://{at}.example/"} for at in range(30)]
            self.answer(200, "application/json", json.dumps({"results": results}).encode())
        elif parts.path in PAGES:
            self.answer(200, *PAGES[parts.path])
        else:
            self.answer(404, "text/plain", b"nothing here")

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
    seen: list[tuple[str, str]]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has read enough hangs up; that is no error."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Web) as running:
        running.seen = []
        threading.Thread(target=running.serve_forever, args=[0.01], daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def site(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def fetch() -> BaseTool:
    (tool,) = web_tools(fetch=True, reach=Reach(allow_private=True))
    return tool


def test_there_are_no_web_tools_unless_configured() -> None:
    assert web_tools() == ()
    assert [tool.name for tool in web_tools(search_url="http://127.0.0.1/", fetch=True)] == ["web_search", "web_fetch"]


def test_a_search_gives_titles_addresses_and_excerpts(site: str, server: Server) -> None:
    (search,) = web_tools(search_url=f"{site}/search?language=en")
    said = search.invoke({"query": "a & b", "limit": 2})
    assert said.startswith("2 results.")
    assert "[1] One\nhttp://one.example/\nAbout it." in said
    assert "[2] {'language': ['en'], 'q': ['a & b'], 'format': ['json']}\nhttp://0.example/" in said
    assert "[3]" not in said


@pytest.mark.parametrize("path", ["/page", "/data", "/nothing", "/loop"])
def test_a_search_that_fails_is_text_the_model_can_act_on(site: str, path: str) -> None:
    (search,) = web_tools(search_url=site + path)
    said = search.invoke({"query": "x"})
    assert said.startswith("The web search ")
    assert said.endswith("Go on without it.")


def test_a_search_endpoint_that_is_not_there_is_text_too() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (search,) = web_tools(search_url=f"http://127.0.0.1:{port}/")
    assert search.invoke({"query": "x"}).startswith("The web search failed: ")
    assert "query" in search.invoke({"query": ""})


def test_a_page_is_fetched_as_text_with_its_address(site: str, fetch: BaseTool) -> None:
    said = fetch.invoke({"url": f" {site}/page "})
    assert said.startswith(f"{site}/page, characters 0 to ")
    assert said.endswith("\n\nSkladba\n\nAntonín Dvořák.")


def test_other_text_is_fetched_too(site: str, fetch: BaseTool) -> None:
    assert fetch.invoke({"url": f"{site}/odd"}).endswith("Käse")
    assert fetch.invoke({"url": f"{site}/data"}).endswith("name: svc")
    assert fetch.invoke({"url": f"{site}/text"}).endswith("A line.\n\nAnother.")


def test_a_long_page_is_fetched_in_parts(site: str, fetch: BaseTool) -> None:
    said = fetch.invoke({"url": f"{site}/long"})
    assert said.endswith("(It goes on at start=10000.)")
    assert "characters 10000 to 20" in fetch.invoke({"url": f"{site}/long", "start": 10000})
    assert "start must be smaller" in fetch.invoke({"url": f"{site}/long", "start": 99999})


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/image", "it is image/png, not text"),
        ("/binary", "not a text file"),
        ("/large", "more than 2 MB"),
        ("/bomb", "more than 2 MB"),
        ("/nothing", "404"),
        ("/loop", "more than 5 redirects"),
        ("/to/file:///etc/passwd", "is not an http:// or https:// address"),
        ("/to/http://user:secret@127.0.0.1/", "a user name"),
    ],
)
def test_a_page_that_cannot_be_fetched_is_text_that_says_why(
    site: str, fetch: BaseTool, path: str, problem: str
) -> None:
    said = fetch.invoke({"url": site + path})
    assert said.startswith("Not fetched: ")
    assert problem in said


def test_a_redirect_is_followed(site: str, fetch: BaseTool) -> None:
    assert fetch.invoke({"url": f"{site}/to//text"}).startswith(f"{site}/text, characters")


def test_a_page_that_takes_too_long_is_given_up(site: str) -> None:
    (fetch,) = web_tools(fetch=True, reach=Reach(allow_private=True, seconds=0.2, most_bytes=10**12))
    assert fetch.invoke({"url": f"{site}/endless"}) == "Not fetched: it takes too long."


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1:{port}/text",
        "http://localhost:{port}/text",
        "http://0.0.0.0:{port}/text",
        "http://[::1]:{port}/text",
        "http://[::ffff:127.0.0.1]:{port}/text",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "ftp://127.0.0.1/",
        "file:///etc/passwd",
        "gopher://x",
        "http://",
        "http:///x",
        "//x",
        "",
        "\0",
        "http://[::1",
        "http://127.0.0.1:99999/",
        "javascript:alert(1)",
    ],
)
def test_addresses_inside_a_network_and_odd_ones_are_refused(server: Server, url: str) -> None:
    (fetch,) = web_tools(fetch=True)
    said = fetch.invoke({"url": url.format(port=server.server_port)})
    assert said.startswith("Not fetched: ")
    assert server.seen == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "intern.example"])
def test_a_name_is_judged_by_every_address_it_has(server: Server, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    real = socket.getaddrinfo

    def answer(asked: Any, *args: Any, **options: Any) -> Any:
        assert asked == host
        public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))
        return [public, *real("127.0.0.1", *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    (fetch,) = web_tools(fetch=True)
    assert "is an address inside a network" in fetch.invoke({"url": f"http://{host}:{server.server_port}/text"})
    assert server.seen == []


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
        ("fc00::1", False),
        ("ff02::1", False),
        ("::", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::808:808", True),
        ("2002:7f00:1::", False),
    ],
)
def test_which_addresses_are_public(address: str, public: bool) -> None:
    assert is_public(ipaddress.ip_address(address)) is public


def test_the_address_that_was_checked_is_the_one_connected_to(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = socket.getaddrinfo, []

    def answer(host: Any, *args: Any, **options: Any) -> Any:
        if host == "shop.example":
            asked.append(host)
            host = "127.0.0.1" if len(asked) == 1 else "127.0.0.99"  # a name that changes its mind
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    (fetch,) = web_tools(fetch=True, reach=Reach(allow_private=True))
    said = fetch.invoke({"url": f"http://shop.example:{server.server_port}/text"})
    assert said.startswith(f"http://shop.example:{server.server_port}/text, characters")
    assert asked == ["shop.example"]
    assert server.seen == [("/text", f"shop.example:{server.server_port}")]


def test_a_host_that_does_not_exist_is_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    (fetch,) = web_tools(fetch=True)
    assert fetch.invoke({"url": "http://nowhere.example/"}) == "Not fetched: there is no host 'nowhere.example'."
