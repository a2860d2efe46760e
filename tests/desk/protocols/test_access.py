"""Who may ask, and what every client is told that is refused before a protocol reads what it says."""

import asyncio
import json
import time
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
from signoff.fleet import Event
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


def test_keys_that_differ_late_begin_two_runs_and_one_that_is_too_long_none(service: Service) -> None:
    def begin(key: str) -> tuple[str, str, dict[str, Any]]:
        return "POST", "/teams/post/runs", {"json": {"goal": "write Ida"}, "headers": {"Idempotency-Key": key}}

    one, other, none = asked(service, *(begin("k" * size + end) for size, end in ((300, "1"), (300, "2"), (2000, ""))))
    assert one.json()["run"] != other.json()["run"]
    assert (none.status_code, none.json()["code"]) == (422, "bad_input")


def test_a_name_that_is_there_twice_among_very_many_keeps_nobody_waiting(service: Service) -> None:
    body = ",".join(f'"a{number}":0' for number in range(100_000))
    began = time.process_time()
    (told,) = asked(service, ("POST", "/teams/post/runs", {"content": f'{{{body},"a99999":1}}'}))
    assert (told.status_code, "'a99999' is there twice" in told.json()["error"]) == (422, True)
    assert time.process_time() - began < 20  # minutes, if each is looked for among all before it


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


@pytest.mark.parametrize("protocol", ["runs", "ag-ui", "a2a"])
@pytest.mark.parametrize("is_silent", [True, False])
def test_a_stream_ends_once_the_token_is_taken(
    service: Service, protocol: str, is_silent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.beats_every, tokens = 0.05, tokens_of(service.ledger, ann=())

    async def work() -> str:
        async with (
            serving(service, tokens) as place,
            httpx.AsyncClient(headers={**place.headers("ann"), "A2A-Version": "1.0"}, timeout=60) as client,
        ):
            base = f"{place.address}/teams/post"
            run = (await client.post(f"{base}/runs", json={"goal": "write Ida"})).json()["run"]
            service.background.wait(run, 60)
            saying = asyncio.create_task(_say(service, run)) if not is_silent else None
            call = {"jsonrpc": "2.0", "id": 1, "method": "SubscribeToTask", "params": {"id": run}}
            ways: dict[str, Any] = {
                "runs": ("GET", f"{base}/runs/{run}/events", {}),
                "ag-ui": ("POST", f"{base}/ag-ui", {"content": b'{"threadId": "t' + SAYS}),
                "a2a": ("POST", f"{base}/a2a", {"json": call}),
            }
            method, url, how = ways[protocol]
            if protocol == "ag-ui":  # which does not wait for people: it is at work as long as the test says
                monkeypatch.setattr(service, "_stands", lambda _run: None)
            text, is_taken = "", False
            async with client.stream(method, url, **how) as stream, asyncio.timeout(30):
                async for part in stream.aiter_text():
                    text += part
                    if not is_taken:
                        await asyncio.to_thread(service.ledger.people.take_keys, by="root", name="ann")
                        is_taken = True
            if saying is not None:
                saying.cancel()
            return text

    text = asyncio.run(work())
    assert protocol == "runs" or "Sign in first" in text


async def _say(service: Service, run: str) -> None:
    """Have a run tell something all the time."""
    while True:
        for feed in [service.feeds.of(run), *service.feeds._feeds.values()]:
            feed.add(Event("says", "clerk", text="and so on"))
        await asyncio.sleep(0.01)  # as a run at work does


def test_of_several_answers_none_counts_if_one_does_not(service: Service) -> None:
    async def work() -> list[str]:
        tokens = tokens_of(service.ledger, ann=("finance",), bob=())
        async with serving(service, tokens) as place, httpx.AsyncClient(timeout=60) as client:
            told = list[str]()
            for team, who in (("post", "ann"), ("two", "bob")):
                url, body = f"{place.address}/teams/{team}/ag-ui", json.loads(b'{"threadId": "t' + SAYS)
                body["messages"][0]["content"] = "write Ida Bo"
                text = (await client.post(url, json=body, headers=place.headers(who))).text
                last = json.loads(text.strip().splitlines()[-1].removeprefix("data: "))
                first, second = [one["id"] for one in last["outcome"]["interrupts"]]
                payloads = [{"approved": True}, {"approved": "perhaps"}] if team == "post" else [{"approved": True}] * 2
                body["resume"] = [
                    {"interruptId": id_, "status": "resolved", "payload": payload}
                    for id_, payload in zip((first, second), payloads, strict=True)
                ]
                text = (await client.post(url, json=body, headers=place.headers(who))).text
                told.append(json.loads(text.strip().splitlines()[-1].removeprefix("data: "))["code"])
            return told

    assert asyncio.run(work()) == ["bad_answer", "not_allowed"]
    assert len(service.ledger.approvals.pending()) == 4


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
