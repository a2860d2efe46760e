"""Pages are fetched within limits, and from nowhere that they should not be fetched from."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.tools import BaseTool

from signoff.tools.web.tools import Web, web_tools

OpenWeb = Callable[..., Web]


def test_a_page_is_fetched_as_text_with_its_source_title_address_and_date(site: str, fetch: BaseTool) -> None:
    said = fetch.invoke({"url": f" {site}/page "})
    head, _, text = said.partition("\n\n")
    assert head.startswith(f"web:{site[7:]}/page@")
    assert f" | Skladba | {site}/page, fetched 20" in head
    assert text == "Antonín Dvořák."


def test_other_text_is_fetched_too(site: str, fetch: BaseTool) -> None:
    assert fetch.invoke({"url": f"{site}/odd"}).endswith("\n\nKäse")
    assert fetch.invoke({"url": f"{site}/data"}).endswith("\n\nname: svc")
    assert fetch.invoke({"url": f"{site}/text"}).endswith("\n\nA line.\n\nAnother.")
    assert fetch.invoke({"url": f"{site}/small"}).endswith("\n\nUnpacked.")
    assert fetch.invoke({"url": f"{site}/deflated"}).endswith("\n\nUnpacked.")
    assert fetch.invoke({"url": f"{site}/packed-and-more"}).endswith("\n\nUnpacked.")


def test_a_long_page_is_fetched_in_parts(site: str, fetch: BaseTool) -> None:
    assert fetch.invoke({"url": f"{site}/long"}).endswith("(It goes on at start=10000.)")
    assert "characters 10000 to 19999 of 19999" in fetch.invoke({"url": f"{site}/long", "start": 10000})
    assert "start must be smaller" in fetch.invoke({"url": f"{site}/long", "start": 99999})


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/image", "it is image/png, not text"),
        ("/binary", "not a text file"),
        ("/empty", "is no text in it"),
        ("/large", "more than 2 MB"),
        ("/bomb", "more than 2 MB"),
        ("/unknown", "it is packed as 'zstd', which was not asked for"),
        ("/lie", "it is not gzip, although it says so"),
        ("/nothing", "answers 404 Not Found"),
        ("/loop", "more than 5 redirects"),
        ("/to/file:///etc/passwd", "is not an http:// or https:// address"),
        ("/to/http://user:secret@127.0.0.1/", "a user name"),
        ("/to/http://[", "is not an http:// or https:// address"),
    ],
)
def test_a_page_that_cannot_be_fetched_is_text_that_says_why(
    site: str, fetch: BaseTool, path: str, problem: str
) -> None:
    said = fetch.invoke({"url": site + path})
    assert said.startswith("Not fetched: ")
    assert problem in said
    assert "robots.txt" not in said


def test_a_redirect_is_followed_and_the_page_is_known_by_where_it_was_found(site: str, fetch: BaseTool) -> None:
    assert fetch.invoke({"url": f"{site}/to//text"}).startswith(f"web:{site[7:]}/text@")


@pytest.mark.parametrize("path", ["/endless", "/drip", "/slow-head"])
def test_a_page_that_takes_too_long_is_given_up(site: str, web: OpenWeb, path: str) -> None:
    (fetch,) = web_tools(web(seconds=0.3, most_bytes=10**12))
    assert fetch.invoke({"url": site + path}) == "Not fetched: it takes longer than 0.3 seconds."


def test_a_page_can_be_fetched_where_an_event_loop_runs(site: str, fetch: BaseTool) -> None:
    async def ask() -> str:
        return str(fetch.invoke({"url": f"{site}/text"}))

    assert asyncio.run(ask()).endswith("Another.")


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/text",
        "http://0.0.0.0/text",
        "http://[::1]/text",
        "http://[::ffff:127.0.0.1]/text",
        "http://[64:ff9b::127.0.0.1]/",
        "http://169.254.169.254/latest/meta-data/",
        "http://10.0.0.1/",
        "http://8.8.8.8:{port}/",
        "http://127.0.0.1:{port}/text",
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
        "http://127.0.0.1/" + "x" * 2000,
    ],
)
def test_addresses_inside_a_network_and_odd_ones_are_refused(server: Any, web: OpenWeb, url: str) -> None:
    (fetch,) = web_tools(web(private=()))
    assert fetch.invoke({"url": url.format(port=server.server_port)}).startswith("Not fetched: ")
    assert server.seen == []


def test_a_redirect_into_the_network_is_refused(server: Any, web: OpenWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    (fetch,) = web_tools(web(private=("outside.example",)))
    real = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, *args, **options: real("127.0.0.1", *args, **options))
    said = fetch.invoke({"url": f"http://outside.example:{server.server_port}/to/http://inside.example/text"})
    assert said == "Not fetched: 'inside.example': it lies inside a network, and only public addresses are reached."
    assert [path for path in server.asked if not path.startswith("/to/")] == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "intern.example"])
def test_a_name_is_judged_by_every_address_it_has(
    server: Any, web: OpenWeb, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    real = socket.getaddrinfo

    def answer(asked: Any, *args: Any, **options: Any) -> Any:
        assert asked == host
        public = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", 80))
        return [public, *real("127.0.0.1", *args, **options)]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    (fetch,) = web_tools(web(private=()))
    assert "it lies inside a network" in fetch.invoke({"url": f"http://{host}/text"})
    assert server.seen == []


def test_the_address_that_was_checked_is_the_one_connected_to(
    server: Any, fetch: BaseTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked = socket.getaddrinfo, []

    def answer(host: Any, *args: Any, **options: Any) -> Any:
        if host == "shop.example":
            asked.append(host)
            host = "127.0.0.1"
        return real(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert fetch.invoke({"url": f"http://shop.example:{server.server_port}/text"}).startswith("web:shop.example:")
    assert [host for _, host, _ in server.seen] == [f"shop.example:{server.server_port}"] * 2
    assert len(asked) == len(server.seen)  # once for each request, not again when connecting


def test_the_next_address_of_a_host_is_tried_when_one_does_not_answer(
    server: Any, fetch: BaseTool, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = socket.getaddrinfo

    def answer(host: Any, *args: Any, **options: Any) -> Any:
        found = real("127.0.0.1" if host == "shop.example" else host, *args, **options)
        dead = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.9.9.9", server.server_port))
        return [dead, *found] if host == "shop.example" else found

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    assert fetch.invoke({"url": f"http://shop.example:{server.server_port}/text"}).endswith("Another.")


def test_only_the_hosts_that_are_listed_are_fetched_from(server: Any, web: OpenWeb) -> None:
    (fetch,) = web_tools(web(hosts=("*.example.org",)))
    assert "is not among the hosts" in fetch.invoke({"url": f"{server.site}/text"})
    assert fetch.touches.hosts == ("*.example.org",)
    assert server.seen == []


def test_a_host_that_does_not_exist_is_text(web: OpenWeb, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer(*_: Any, **__: Any) -> Any:
        raise socket.gaierror("no such host")

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    (fetch,) = web_tools(web())
    said = fetch.invoke({"url": "http://nowhere.example/"})
    assert said == "Not fetched: 'nowhere.example': there is no host of this name."


def test_a_server_that_is_not_there_is_text(fetch: BaseTool) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert fetch.invoke({"url": f"http://127.0.0.1:{port}/"}).startswith("Not fetched: ")


@pytest.mark.parametrize("says", ["header", "page"])
def test_an_encoding_that_takes_for_ever_to_undo_is_not_believed(server: Any, fetch: BaseTool, says: str) -> None:
    text = b"a" * 1_000_000 + b"-" + b"k9z0a" * 100_000
    head = b'<meta charset="punycode">' if says == "page" else b""
    server.pages["/slow"] = ("text/html" + ("; charset=punycode" if says == "header" else ""), head + text)
    assert " of 1500001." in fetch.invoke({"url": f"{server.site}/slow"})
