"""What tools are answered tells them nothing about a secret that they do not know already."""

from __future__ import annotations

import base64
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO
from urllib.parse import quote, urlsplit

import pytest

from signoff.tools.broker.broker import Broker
from tests.tools.broker.conftest import SECRET

OTHER = "Zq7!Zq7!Zq7!Zq7!Zq7!"
SPELLINGS = (
    SECRET.encode(),
    quote(SECRET, safe="").encode(),
    SECRET.encode().hex().encode(),
    base64.b64encode(SECRET.encode()),
)


@contextmanager
def answered(broker: Broker, site: Any, tool: str, said: bytes) -> Iterator[BinaryIO]:
    """The content of an answer that is broken off once the test lets it go on, with its chunks as they arrive."""
    proxy = urlsplit(broker.proxy_for(tool))
    token = base64.b64encode(f"{proxy.username}:{proxy.password}".encode()).decode()
    target = f"http://127.0.0.1:{site.port}/broken-off?{quote(said, safe='')}"
    site.going_on.clear()
    with socket.create_connection(("127.0.0.1", proxy.port or 0), timeout=20) as wire, wire.makefile("rb") as answer:
        wire.sendall(f"GET {target} HTTP/1.1\r\nHost: x\r\nProxy-Authorization: Basic {token}\r\n\r\n".encode())
        while answer.readline().strip():
            pass
        yield answer


def chunk(answer: BinaryIO) -> bytes:
    return answer.read(int(answer.readline(), 16) + 2)[:-2]


def rest(answer: BinaryIO) -> bytes:
    try:
        return answer.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize("spelling", SPELLINGS, ids=["plain", "address", "hex", "base64"])
def test_an_answer_to_a_request_without_a_secret_arrives_at_once_whatever_it_ends_with(
    broker: Broker, site: Any, spelling: bytes
) -> None:
    for size in range(1, len(spelling) + 2):
        said = (b"x" + spelling + b"y")[: size + 1]
        with answered(broker, site, "sandbox", said) as answer:
            assert chunk(answer) == said
            site.going_on.set()
            assert rest(answer) == b""


def test_where_an_answer_is_held_back_does_not_depend_on_the_secret_that_was_sent(broker: Broker, site: Any) -> None:
    """A host that repeats what it is asked for is enough to guess at it, without being anybody's accomplice."""
    for size in range(1, len(SECRET)):
        for guess in (SECRET[:size], OTHER[:size]):
            for said, passed in (
                (f"line\n{guess}", b"line\n"),
                ("." * 3000 + guess, b"." * (3000 + size - 1024)),
                (guess * 200, (guess * 200).encode()[: max(0, 200 * size - 1024)]),
            ):
                if not passed:
                    continue
                with answered(broker, site, "api", said.encode()) as answer:
                    assert chunk(answer) == passed
                    site.going_on.set()
                    assert rest(answer) == b""


def test_only_the_secret_that_was_sent_is_taken_out_of_an_answer(broker: Broker, site: Any) -> None:
    told = f"a {SECRET} b"
    with broker.client("sandbox") as without, broker.client("api") as api:
        plain, scrubbed = (client.get(f"{site.url}/told?{quote(told)}") for client in (without, api))
    assert (plain.text, plain.headers["x-echo"], plain.headers["location"]) == (told, told, f"/{told}")
    assert (scrubbed.text, scrubbed.headers["x-echo"]) == ("a [redacted] b", "a [redacted] b")
    assert scrubbed.headers["location"] == "/a [redacted] b"


def test_a_tool_is_shown_another_secret_as_the_server_tells_it(write_secrets: Any, site: Any, tmp_path: Any) -> None:
    """What a server knows it may tell; to take it out for a tool that was not given it would confirm a guess."""
    rule = f"hosts = ['127.0.0.1:{site.port}']\nscheme = 'http'\nprivate = true"
    path = write_secrets(
        f"[secrets.one]\nvalue = 'first-4711'\n[[secrets.one.rules]]\n{rule}\ntools = ['one']\n"
        f"[secrets.two]\nvalue = 'second-4712'\n[[secrets.two.rules]]\n{rule}\ntools = ['two']\n"
    )
    with Broker.start(path, home=tmp_path) as broker, broker.client("two") as two:
        answer = two.get(f"{site.url}/told?first-4711,second-4712")
    assert answer.text == "first-4711,[redacted]"
