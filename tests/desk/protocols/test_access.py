"""Who may ask, and what every client is told that is refused before a protocol reads what it says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ag_ui", reason="the extra `protocols` is not installed")

import httpx
from doors import serving, tokens_of, unknown_token

from signoff.desk.protocols.asgi import Protocols, protocols_app
from signoff.desk.service import Service
from signoff.desk.web.identity import Identity
from signoff.error_base import SettingsError
from signoff.installation import extra_command


def asked(service: Service, *requests: tuple[str, str, dict[str, Any]]) -> list[httpx.Response]:
    """What is answered to these requests of ann's, unless they say whose they are."""
    tokens = tokens_of(service.ledger, ann=())

    async def work() -> list[httpx.Response]:
        async with serving(service, tokens) as place, httpx.AsyncClient(base_url=place.address, timeout=60) as client:
            told = []
            for method, path, how in requests:
                headers = {**place.headers("ann"), **how.pop("headers", {})}
                told.append(await client.request(method, path, headers=headers, **how))
            return told

    return asyncio.run(work())


def test_whoever_is_not_known_learns_nothing_but_what_a_card_says(service: Service) -> None:
    nobody = {"headers": {"Authorization": f"Bearer {unknown_token()}"}}
    paths = ("/teams", "/teams/post/runs", "/teams/post/ag-ui", "/teams/post/a2a", "/teams/post/mcp", "/teams/none/x")
    answers = asked(
        service,
        *(("POST", path, {**nobody, "json": {}}) for path in paths),
        ("GET", "/teams", {"headers": {"Authorization": "Basic YW5uOmFubg=="}}),
        ("GET", "/teams/post/a2a/.well-known/agent-card.json", {"headers": {"Authorization": ""}}),
    )
    assert {one.status_code for one in answers[:-1]} == {401}
    assert {one.json()["code"] for one in answers[:-1]} == {"not_signed_in"}
    card = answers[-1].json()
    assert [one["protocolVersion"] for one in card["supportedInterfaces"]] == ["1.0"]
    assert (card["name"], card["capabilities"]["streaming"], [*card["securitySchemes"]]) == ("post", True, ["token"])


def test_other_hosts_large_requests_and_garbage_are_refused(service: Service) -> None:
    async def untold() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    paths = [f"/teams/post/{name}" for name in ("runs", "ag-ui", "a2a", "mcp")]
    answers = asked(
        service,
        ("GET", "/teams", {"headers": {"Host": "evil.example.org"}}),
        *(("POST", path, {"content": body}) for path in paths for body in (b"x" * 3_000_000, untold())),
        ("POST", "/teams/post/runs", {"content": b"\xff\xfe{"}),
        ("POST", "/teams/post/runs", {"json": [1]}),
        ("POST", "/teams/post/runs", {"json": {"goal": 7}}),
        ("POST", "/teams/none/runs", {"json": {"goal": "x"}}),
        ("GET", "/teams/post/runs/r-none", {}),
        ("GET", "/teams/post/nowhere", {}),
        ("DELETE", "/teams/post/runs", {}),
    )
    codes = [(one.status_code, one.json()["code"]) for one in answers]
    assert codes == [
        (421, "unknown"),
        *[(413, "bad_input")] * 8,
        (422, "bad_answer"),
        (422, "bad_answer"),
        (422, "bad_input"),
        (404, "unknown"),
        (404, "unknown"),
        (404, "unknown"),
        (404, "unknown"),
    ]
    assert service.ledger.runs.list() == []


def test_a_request_that_is_sent_twice_with_a_key_begins_one_run(service: Service) -> None:
    begin = ("POST", "/teams/post/runs", {"json": {"goal": "write Ida"}, "headers": {"Idempotency-Key": "k"}})
    first, again, teams = asked(service, begin, (begin[0], begin[1], dict(begin[2])), ("GET", "/teams", {}))
    assert first.json()["run"] == again.json()["run"]
    assert [one["team"] for one in teams.json()["teams"]] == ["post", "two", "soon", "asks"]
    service.background.wait(first.json()["run"], 60)


SAYS = b"""", "runId": "r", "messages": [{"id": "m", "role": "user", "content": "write Ida"}], "tools": [],
    "context": [], "state": {}}"""


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"garbage", "bad_input"),
        (b"{}", "bad_input"),
        (b'{"threadId": "t", "threadId": "u' + SAYS, "bad_input"),
        (b'{"threadId": "\\ud800' + SAYS, "bad_input"),
        (b"[" * 99_999, "bad_input"),
        (b'{"threadId": "' + b"t" * 9000 + SAYS, "bad_input"),
        (b'{"threadId": "t", "runId": "r", "messages": [], "tools": [], "context": [], "state": {}}', "unknown"),
    ],
)
def test_what_ag_ui_cannot_read_ends_with_a_run_error(service: Service, body: bytes, code: str) -> None:
    (answer,) = asked(service, ("POST", "/teams/post/ag-ui", {"content": body}))
    last = answer.text.strip().splitlines()[-1]
    assert '"type":"RUN_ERROR"' in last
    assert f'"code":"{code}"' in last


def test_a2a_says_what_it_does_not_offer_instead_of_leaving_it_out(service: Service) -> None:
    message = {"messageId": "m", "role": "ROLE_USER", "parts": [{"text": "write Ida"}]}
    push = {"taskPushNotificationConfig": {"url": "http://127.0.0.1:9/told"}}
    calls: list[tuple[str, dict[str, Any]]] = [
        ("SendMessage", {"message": message, "configuration": push}),
        ("SendStreamingMessage", {"message": message, "configuration": push}),
        ("ListTasks", {"pageSize": -1}),
        ("ListTasks", {"pageToken": "more"}),
    ]
    bodies = [{"jsonrpc": "2.0", "id": 1, "method": method, "params": params} for method, params in calls]
    version = {"headers": {"A2A-Version": "1.0"}}
    answers = asked(service, *(("POST", "/teams/post/a2a", {"json": body, **version}) for body in bodies))
    codes = [-32003, -32003, -32602, -32602]
    assert [f'"code":{code}' in one.text.replace(" ", "") for one, code in zip(answers, codes, strict=True)] == [
        True
    ] * 4
    assert service.ledger.runs.list() == []


def test_a_stream_ends_once_the_token_is_taken(service: Service) -> None:
    service.beats_every, tokens = 0.05, tokens_of(service.ledger, ann=())

    async def work() -> list[str]:
        async with serving(service, tokens) as place, httpx.AsyncClient(headers=place.headers("ann")) as client:
            base, lines = f"{place.address}/teams/post/runs", list[str]()
            run = (await client.post(base, json={"goal": "write Ida"}, timeout=60)).json()["run"]
            async with client.stream("GET", f"{base}/{run}/events", timeout=60) as stream:
                async for line in stream.aiter_lines():
                    lines.append(line)
                    if line == ": alive" and "event: stands" in lines:
                        await asyncio.to_thread(service.ledger.people.take_keys, by="root", name="ann")
            return lines

    lines = asyncio.run(work())
    assert "event: stands" in lines
    assert lines[-2:] == [": alive", ""]


def test_a_package_that_is_missing_is_named_and_the_other_protocols_are_spoken(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for gone in ("signoff.desk.protocols.a2a_server", "a2a"):
        monkeypatch.setitem(sys.modules, gone, None)
    spoken = Protocols(service, Identity(service.ledger), ["x"], "http://x").spoken
    assert spoken["A2A"].endswith(extra_command("protocols"))
    assert [name for name, why in spoken.items() if not why] == ["plain HTTP", "AG-UI", "MCP"]


def test_the_command_says_what_it_needs(signoff: Any, home: Path) -> None:
    said = signoff("serve", "--protocols")
    assert (said.code, "--team shop.py:orders" in said.err) == (1, True)
    for address in ("agents.example.org", "ftp://x"):
        with pytest.raises(SettingsError, match="is no address"):
            protocols_app(address, [])
