"""What tools may ask for through the broker, and what they get to see."""

from __future__ import annotations

import asyncio
import base64
import json
import select
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx2
import pytest

from signoff.tools.broker.broker import Broker

Say = Callable[..., bytes]


def head(broker: Broker, tool: str) -> str:
    """The header that shows the token of a tool."""
    pair = urlsplit(broker.proxy_for(tool)).netloc.partition("@")[0]
    return f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode()}"


def test_a_secret_is_added_for_its_tool_host_and_method_and_does_not_come_back(broker: Broker, site: Any) -> None:
    with broker.client("api") as client:
        answer = client.get(f"{site.url}/x?y=1")
    assert site.seen[0].headers["authorization"] == f"Bearer {site.secret}"
    assert (answer.status_code, answer.json()["path"]) == (200, "/x?y=1")
    assert answer.headers["x-echo"] == "[redacted]"
    assert answer.json()["headers"]["authorization"] == "Bearer [redacted]"
    assert "proxy-authorization" not in site.seen[0].headers


def test_a_secret_can_be_a_password_or_a_parameter_too(broker: Broker, site: Any) -> None:
    with broker.client("basic") as basic, broker.client("query") as query:
        basic.get(f"{site.url}/x")
        answer = query.get(f"{site.url}/x?key=mine&other=1")
    assert (
        base64.b64decode(site.seen[0].headers["authorization"].removeprefix("Basic ")) == f"me:{site.secret}".encode()
    )
    assert site.seen[1].path == f"/x?other=1&key={quote(site.secret, safe='')}"
    assert answer.json()["path"] == "/x?other=1&key=[redacted]"


@pytest.mark.parametrize(
    ("tool", "method", "url", "why"),
    [
        ("other", "GET", "https://127.0.0.1:{port}/", "other may not reach 127.0.0.1"),
        ("api", "GET", "https://localhost:{port}/", "api may not reach localhost"),
        ("api", "GET", "https://127.0.0.1:1/", "api may not reach 127.0.0.1:1"),
        ("api", "DELETE", "https://127.0.0.1:{port}/", "api may not DELETE at 127.0.0.1, only GET, HEAD, POST"),
        ("api", "TRACE", "https://127.0.0.1:{port}/", "api may not TRACE"),
        ("api", "POST", "https://127.0.0.1:{port}/out", "api may not POST this path of 127.0.0.1"),
        ("api", "POST", "https://127.0.0.1:{port}/in/%2e%2e/out", "leads back"),
        ("api", "POST", "https://127.0.0.1:{port}/in/..;/out", "leads back"),
        ("api", "POST", "https://127.0.0.1:{port}/in/%252e%252e%252fout", "leads back"),
        ("outside", "GET", "https://127.0.0.1:{port}/", "it lies inside a network"),
    ],
)
def test_what_no_rule_allows_is_refused_in_one_line(
    broker: Broker, site: Any, tool: str, method: str, url: str, why: str
) -> None:
    with broker.client(tool) as client:
        answer = client.request(method, url.format(port=site.port))
    assert (answer.status_code, answer.headers["x-signoff-broker"]) == (403 if "back" not in why else 400, "refused")
    assert why in answer.text
    assert answer.text.count("\n") == 1
    with pytest.raises(httpx2.HTTPStatusError, match="Refused by the broker"):
        answer.raise_for_status()
    assert site.seen == []


def test_an_allowed_path_is_reached(broker: Broker, site: Any) -> None:
    with broker.client("api") as client:
        assert client.post(f"{site.url}/in/x", content=b"four").status_code == 200
    assert (site.seen[0].body, site.seen[0].headers["content-length"]) == (b"four", "4")


def test_only_the_token_of_a_tool_gives_its_rights(broker: Broker, site: Any, say: Say) -> None:
    token = urlsplit(broker.proxy_for("sandbox")).password
    wrong = [
        "X: y",
        f"Proxy-Authorization: Basic {base64.b64encode(f'api:{token}'.encode()).decode()}",
        "Proxy-Authorization: Basic ???",
        "Proxy-Authorization: Bearer abc",
        f"{head(broker, 'api')}\r\n{head(broker, 'sandbox')}",
    ]
    for shown in wrong:
        raw = f"GET http://127.0.0.1:{site.port}/x HTTP/1.1\r\nHost: x\r\n{shown}\r\n\r\n"
        assert say(raw.encode()).startswith(b"HTTP/1.1 407 ")
    assert site.seen == []


def test_a_door_gives_the_rights_of_its_tool_and_no_others(broker: Broker, site: Any, say: Say) -> None:
    asked = f"GET http://127.0.0.1:{site.port}/x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    assert say(f"{asked}\r\n".encode(), broker.door).startswith(b"HTTP/1.1 200 ")
    assert say(f"{asked}{head(broker, 'api')}\r\n\r\n".encode(), broker.door).startswith(b"HTTP/1.1 200 ")
    assert all("authorization" not in seen.headers for seen in site.seen)
    assert broker.door_for("nobody") is None
    for tool, mode in (("sandbox", 0o666), ("api", 0o600)):  # a sandbox has another user
        door = broker.door_for(tool)
        assert door is not None
        assert (door.stat().st_mode & 0o777, door.parent.stat().st_mode & 0o777) == (mode, 0o700)


@pytest.mark.parametrize(
    ("tool", "authority", "status"),
    [
        ("api", "127.0.0.1:{port}", b"403"),
        ("sandbox", "127.0.0.1:{port}", b"403"),
        ("sandbox", "localhost:1", b"403"),
        ("sandbox", "localhost", b"400"),
        ("api", "localhost:{port}", b"403"),
        ("sandbox", "localhost:{port}", b"200"),
    ],
)
def test_a_tunnel_leads_only_where_no_secret_does_and_a_rule_says_so(
    broker: Broker, site: Any, tool: str, authority: str, status: bytes
) -> None:
    with socket.create_connection(("127.0.0.1", int(broker.address().rpartition(":")[2]))) as wire:
        target = authority.format(port=site.port)
        wire.sendall(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{head(broker, tool)}\r\n\r\n".encode())
        with wire.makefile("rb") as answer:
            assert answer.readline().split()[1] == status
            if status == b"200":
                assert answer.readline() == b"\r\n"
                wire.sendall(b"GET /through HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert answer.readline() == b"HTTP/1.1 200 OK\r\n"
    assert [seen.path for seen in site.seen] == (["/through"] if status == b"200" else [])


def test_a_redirect_to_another_host_takes_no_secret_there(broker: Broker, site: Any) -> None:
    with broker.client("api", follow_redirects=True) as client:
        answer = client.get(f"{site.url}/elsewhere")
    assert (answer.status_code, answer.url.path) == (403, "/stolen")
    assert [seen.path for seen in site.seen] == ["/elsewhere"]


@pytest.mark.parametrize(
    ("headers", "gone"),
    [
        ("Connection: Authorization, close", ""),
        ("Authorization: Bearer mine", ""),
        ("authorization: Bearer mine\r\nAUTHORIZATION: Bearer mine", ""),
        ("X-HTTP-Method-Override: DELETE", "x-http-method-override"),
        ("X_Http_Method_Override: DELETE", "x_http_method_override"),
        ("X-Method: DELETE", "x-method"),
        ("Destination: /admin", "destination"),
        ("Sudo: root", "sudo"),
        ("Private-Token: mine", "private-token"),
        ("X-Amz-Security-Token: mine", "x-amz-security-token"),
        ("X-Signoff-Never-Heard-Of: 1", "x-signoff-never-heard-of"),
        ("Content_Type: text/html", "content_type"),
        ("X-Original-URL: /admin", "x-original-url"),
        ("X-Host: evil.example", "x-host"),
        ("Cookie: session=mine", "cookie"),
        ("Range: bytes=0-3", "range"),
        ("Host: evil.example", "x"),
        ("Forwarded: for=10.0.0.1", "forwarded"),
        ("Connection: X-Own, close\r\nX-Own: 1", "x-own"),
    ],
)
def test_no_header_changes_what_was_decided(broker: Broker, site: Any, say: Say, headers: str, gone: str) -> None:
    host = "" if headers.startswith("Host") else "Host: x\r\n"
    raw = f"GET http://127.0.0.1:{site.port}/x HTTP/1.1\r\n{host}{head(broker, 'api')}\r\n{headers}\r\n\r\n"
    assert say(raw.encode()).startswith(b"HTTP/1.1 200 ")
    assert site.seen[0].headers["authorization"] == f"Bearer {site.secret}"
    assert site.seen[0].headers["host"] == f"127.0.0.1:{site.port}"
    assert gone not in site.seen[0].headers


def test_what_a_request_says_of_itself_is_handed_on(broker: Broker, site: Any) -> None:
    said = {"Accept": "a/b", "Idempotency-Key": "1", "If-None-Match": '"2"', "MCP-Session-Id": "3", "User-Agent": "4"}
    own = {"Authorization": "Bearer mine", "Cookie": "mine=1", "Range": "bytes=0-3"}
    with broker.client("api") as api, broker.client("sandbox") as sandbox:
        api.get(f"{site.url}/x", headers=said | own)
        sandbox.get(f"{site.url}/x", headers=said | own | {"X-Other": "5"})
    with_secret, without = (seen.headers for seen in site.seen)
    assert {name.lower(): value for name, value in said.items()}.items() <= with_secret.items()
    assert (with_secret["authorization"], "range" in with_secret) == (f"Bearer {site.secret}", False)
    assert {name.lower(): value for name, value in (said | own).items()}.items() <= without.items()
    assert "x-other" not in without


@pytest.mark.parametrize(
    ("request_line", "headers"),
    [
        ("POST http://127.0.0.1:{port}/in/x", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0"),
        ("POST http://127.0.0.1:{port}/in/x", "Content-Length: 4\r\nContent-Length: 5"),
        ("GET http://127.0.0.1:{port}/x", "Authorization : Bearer mine"),
        ("GET /x", ""),
        ("GET ftp://127.0.0.1:{port}/x", ""),
        ("GET http://me:pass@127.0.0.1:{port}/x", ""),
        ("GET http://127.0.0.1:{port}\\@localhost/x", ""),
        ("GET http://127.0.0.1:{port}/x#y", ""),
        ("GET http://127.0.0.1:{port}/in/../x", ""),
        ("GET http://[::1/x", ""),
        ("GET http://127.0.0.1:99999/x", ""),
        ("GET http://exa%6dple/x", ""),
    ],
)
def test_a_request_that_can_be_read_in_two_ways_is_refused(
    broker: Broker, site: Any, say: Say, request_line: str, headers: str
) -> None:
    line = request_line.format(port=site.port)
    raw = f"{line} HTTP/1.1\r\nHost: x\r\n{head(broker, 'api')}\r\n{headers}\r\n\r\n".replace(
        "\r\n\r\n\r\n", "\r\n\r\n"
    )
    assert say(raw.encode()).startswith(b"HTTP/1.1 400 ")
    assert site.seen == []


@pytest.mark.parametrize("path", ["/pieces", "/spelled", "/zipped"])
def test_an_echo_is_taken_out_however_it_arrives(broker: Broker, site: Any, path: str) -> None:
    with broker.client("api") as client:
        answer = client.get(site.url + path)
    assert answer.status_code == 200
    secret = site.secret.encode()
    for spelling in (
        secret,
        quote(site.secret, safe="").encode(),
        secret.hex().encode(),
        base64.b64encode(secret)[:-4],
    ):
        assert spelling not in answer.content
    assert b"[redacted]" in answer.content


@pytest.mark.parametrize("path", ["/coded", "/coded-of-old", "/coded-and-not", "/coded-on-its-way"])
def test_an_answer_that_cannot_be_looked_into_is_not_passed_on(broker: Broker, site: Any, path: str) -> None:
    with broker.client("api") as client:
        answer = client.get(site.url + path)
    assert (answer.status_code, "coded in a way" in answer.text) == (502, True)


def test_a_session_opened_with_a_secret_stays_at_the_broker(broker: Broker, site: Any) -> None:
    with broker.client("api") as client:
        assert "set-cookie" not in client.get(f"{site.url}/cookie").headers


def test_an_answer_is_passed_on_while_it_is_made(broker: Broker, site: Any) -> None:
    with broker.client("api") as client, client.stream("GET", f"{site.url}/events") as answer:
        parts = answer.iter_bytes()
        assert next(parts) == b"data: 1\n\n"
        site.going_on.set()
        assert b"".join(parts) == b"data: 2\n\n"


def test_what_is_too_large_is_cut_off(broker: Broker, site: Any) -> None:
    with broker.client("api") as client:
        with pytest.raises(httpx2.RemoteProtocolError):
            client.get(f"{site.url}/large")
        assert client.post(f"{site.url}/in/x", content=b"x" * 1_100_000).status_code == 413
        assert client.get(f"{site.url}/x").status_code == 200
    assert [seen.path for seen in site.seen] == ["/large", "/x"]


def test_what_takes_too_long_is_given_up(write_secrets: Callable[[str], Path], site: Any, tmp_path: Path) -> None:
    path = write_secrets(
        f"limits.seconds = 0.2\n[[open]]\nhosts = ['127.0.0.1:{site.port}']\ntools = ['api']\n"
        "scheme = 'http'\nprivate = true"
    )
    with Broker.start(path, home=tmp_path) as broker, broker.client("api") as client:
        answer = client.get(f"{site.url}/slow")
    assert (answer.status_code, "took more than 0.2 s" in answer.text) == (504, True)


def test_a_server_that_is_not_there_is_told_as_such(write_secrets: Callable[[str], Path], tmp_path: Path) -> None:
    with socket.socket() as bound:  # it listens to nobody
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        rule = f"[[open]]\nhosts = ['127.0.0.1:{port}']\ntools = ['api']\nscheme = 'http'\nprivate = true"
        with Broker.start(write_secrets(rule), home=tmp_path) as broker, broker.client("api") as client:
            answer = client.get(f"https://127.0.0.1:{port}/")
    assert (answer.status_code, "no connection to 127.0.0.1" in answer.text) == (502, True)


def test_a_name_leads_into_no_network_either(write_secrets: Callable[[str], Path], site: Any, tmp_path: Path) -> None:
    rule = f"[[open]]\nhosts = ['localhost:{site.port}']\ntools = ['api']\nscheme = 'http'\ntunnel = true"
    with Broker.start(write_secrets(rule), home=tmp_path) as broker:
        with broker.client("api") as client:
            answer = client.get(f"https://localhost:{site.port}/")
        assert (answer.status_code, "it lies inside a network" in answer.text) == (403, True)
        with httpx2.Client(proxy=broker.proxy_for("api")) as client, pytest.raises(httpx2.ProxyError, match="403"):
            client.get(f"https://localhost:{site.port}/")
    assert site.seen == []


def test_many_requests_at_once_keep_apart(broker: Broker, site: Any) -> None:
    with broker.client("api") as api, broker.client("sandbox") as sandbox, ThreadPoolExecutor(8) as pool:
        asked = [(client, at) for at in range(30) for client in (api, sandbox)]
        answers = list(pool.map(lambda one: one[0].get(f"{site.url}/{one[1]}").json(), asked))
    assert [answer["path"] for answer in answers] == [f"/{at}" for _, at in asked]
    assert ["authorization" in answer["headers"] for answer in answers] == [True, False] * 30


def test_the_async_client_goes_the_same_way(broker: Broker, site: Any) -> None:
    async def ask() -> tuple[httpx2.Response, httpx2.Response]:
        async with broker.async_client("api") as client:
            return await client.get(f"{site.url}/pieces"), await client.delete(f"{site.url}/x")

    allowed, refused = asyncio.run(ask())
    assert (allowed.text, refused.status_code) == ("[redacted]", 403)


def test_the_journal_tells_each_request_without_secrets(broker: Broker, site: Any) -> None:
    with broker.client("api") as client:
        client.get(f"{site.url}/a/{quote(site.secret, safe='')}?token={site.secret}")
        client.delete(f"{site.url}/b")
    lines = [json.loads(line) for line in broker.log.read_text().splitlines()]
    assert [line.pop("at")[:2] for line in lines] == ["20", "20"]
    common = {"tool": "api", "host": "127.0.0.1"}
    assert lines == [
        {**common, "method": "GET", "path": "/a/[redacted]", "status": 200, "secret": "main"},
        {**common, "method": "DELETE", "path": "/b", "status": 403, "secret": ""},
    ]
    assert broker.log.stat().st_mode & 0o777 == 0o600


def test_a_request_that_waits_is_told_to_go_on(broker: Broker, site: Any) -> None:
    asked = f"POST http://127.0.0.1:{site.port}/in/x HTTP/1.1\r\nHost: x\r\n{head(broker, 'api')}\r\n"
    with (
        socket.create_connection(("127.0.0.1", int(broker.address().rpartition(":")[2]))) as wire,
        wire.makefile("rb") as answer,
    ):
        wire.sendall(f"{asked}Expect: 100-continue\r\nContent-Length: 4\r\n\r\n".encode())
        assert answer.readline().split()[1] == b"100"
        wire.sendall(b"four")
        assert (answer.readline(), answer.readline().split()[1]) == (b"\r\n", b"200")
    assert site.seen[0].body == b"four"


def test_what_many_requests_send_at_once_is_bounded(broker: Broker, site: Any) -> None:
    port = int(broker.address().rpartition(":")[2])
    said = f"POST http://127.0.0.1:{site.port}/in/x HTTP/1.1\r\nHost: x\r\n{head(broker, 'api')}\r\n"
    begun = f"{said}Content-Length: 1000000\r\n\r\n".encode() + b"x" * 990_000
    with ExitStack() as stack:
        wires = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(5)]
        for wire in wires:
            wire.sendall(begun)
        (answered, *_), _, _ = select.select(wires, [], [], 60)
        assert answered.recv(100).startswith(b"HTTP/1.1 503 ")
        assert site.seen == []
    with broker.client("api") as client:
        posts = (client.post(f"{site.url}/in/x", content=b"x" * 900_000).status_code for _ in range(1_000))
        assert 200 in posts  # those that hung up hold nothing any more
