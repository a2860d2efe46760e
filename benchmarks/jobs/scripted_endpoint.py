"""A fast endpoint that answers the scripted report job, whoever's team does it: a process of its own on loopback.

It keeps nothing of a conversation: who asks (`You are the researcher`) and what was said so far tell what comes next.
It sends an answer `delay` seconds after its request, to thousands at once, and counts calls and their bytes. It may
have a rate limit, with the headers that tell of it, and answer one of so many requests with a fault.
`signoff.testing.ScriptedServer` has a thread for each connection and keeps what was asked: with a thousand at once its
work would be measured, not the team's.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, get_args

from signoff.testing.allowance import Allowance, Counting, Meter

ROLES = ("researcher", "analyst", "writer", "reviewer")
FOUND = "Found in the documents: "
"""How a result of the search tool begins."""
DONE = "This is the work of the "
"""How the work of a role begins."""

_SENTENCE = "The tide rises and falls twice a day because the moon pulls the water of the ocean towards itself. "
WORK: dict[str, dict[str, Any]] = {
    "researcher": {"findings": [{"source": f"tides-{n}.md", "text": f"{_SENTENCE}({n})"} for n in range(1, 9)]},
    "analyst": {"themes": [{"title": f"Theme {n}", "summary": _SENTENCE * 2} for n in range(1, 5)], "answer": [1, 2]},
    "writer": {"title": "The tide", "markdown": "\n\n".join(f"{_SENTENCE * 3}[{n}]" for n in range(1, 9))},
    "reviewer": {"accepted": True, "notes": []},
}
"""What each role gives, as JSON; teams that hand on text get it as text."""


@dataclass
class Counts:
    """What came in."""

    calls: int = 0
    prompt_bytes: int = 0
    most_at_once: int = 0
    connections: int = 0
    refused: int = 0
    faults: int = 0


class Exchange(asyncio.Protocol):
    """One connection; requests come with a length, and one after the other."""

    def __init__(self, counts: Counts, delay: float, meter: Meter | None, every: int = 0) -> None:
        self.counts, self.delay, self.meter, self.waiting = counts, delay, meter, bytearray()
        self.every = every
        """Of so many calls one is answered with a fault; 0: none is."""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.counts.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # the base class's name
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.waiting += data
        while (end := self.waiting.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.waiting[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].partition(b"\r\n")[0]) if at > 0 else 0
            if len(self.waiting) < end + 4 + length:
                return
            body = bytes(self.waiting[end + 4 : end + 4 + length])
            del self.waiting[: end + 4 + length]
            self.take(head, body)

    def take(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            self.say("200 OK", {}, json.dumps(asdict(self.counts)).encode())
            return
        headers, refusal = ({}, None) if self.meter is None else self.meter.admit()
        if refusal is not None:
            self.counts.refused += 1
            error = {"message": refusal.message, "type": "requests", "param": None, "code": refusal.code}
            self.say("429 Too Many Requests", refusal.headers, json.dumps({"error": error}).encode())
            return
        self.counts.calls += 1
        self.counts.prompt_bytes += len(body)
        if self.every and self.counts.calls % self.every == 0:
            self.fail(headers)
            return
        reply = answer(json.loads(body), len(body))
        asyncio.get_running_loop().call_later(self.delay, self.say, "200 OK", headers, reply)

    def fail(self, headers: Mapping[str, str]) -> None:
        """One fault after the other: an error of the server, no answer, none in time for a proxy, half an answer."""
        self.counts.faults += 1
        kind, loop = self.counts.faults % 4, asyncio.get_running_loop()
        if kind == 1 and self.transport is not None:
            self.transport.abort()
            return
        status, body = [
            ("500 Internal Server Error", b'{"error": {"message": "server_error"}}'),
            ("", b""),
            ("503 Service Unavailable", b"<html>503</html>"),
            ("200 OK", b'{"id": "c", "cho'),
        ][kind]
        loop.call_later(self.delay, self.say, status, headers, body)

    def say(self, status: str, headers: Mapping[str, str], body: bytes) -> None:
        if self.transport is not None:
            told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = f"HTTP/1.1 {status}\r\n{told}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)


def answer(request: dict[str, Any], size: int) -> bytes:
    """The completion for this request."""
    messages = request["messages"]
    tools = [tool["function"]["name"] for tool in request.get("tools") or ()]
    said = "\n".join(str(message.get("content") or "") for message in messages)
    role = next((role for role in ROLES if f"You are the {role}" in said), "supervisor")
    message: dict[str, Any] = {"role": "assistant", "content": None}
    if role == "supervisor":
        following = next((role for role in ROLES if DONE + role not in said), "")
        if following and f"transfer_to_{following}" in tools:
            message["tool_calls"] = [_call(f"transfer_to_{following}", {})]
        else:
            message["content"] = (
                json.dumps({"next": following or "finish"}) if "response_format" in request else "Done."
            )
    elif role == "researcher" and (searched := said.count(FOUND)) < 2:
        message["tool_calls"] = [_call("search", {"query": ("tide moon", "spring tide")[searched]})]
    elif given := [name for name in tools if name != "search" and not name.startswith("transfer_")]:
        message["tool_calls"] = [_call(given[0], WORK[role])]
    elif "response_format" in request:
        message["content"] = json.dumps(WORK[role])
    else:
        message["content"] = f"{DONE}{role}.\n{json.dumps(WORK[role])}"
    finish = "tool_calls" if "tool_calls" in message else "stop"
    reply = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": finish}],
    }
    tokens = size // 4, len(json.dumps(message)) // 4
    usage = {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)}
    return json.dumps({**reply, "usage": usage}).encode()


def _call(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    number = next(_CALLS)  # ids must differ within a conversation
    return {"id": f"call_{number}", "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


_CALLS = count(1)


@dataclass(frozen=True)
class ScriptedEndpoint:
    """A running endpoint, as those that use it see it."""

    url: str

    def counts(self) -> Counts:
        """What came in so far."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=30) as response:
            return Counts(**json.load(response))


@contextmanager
def scripted_endpoint(
    delay: float = 0.2, *, limit: int = 0, counting: Counting = "fixed", every: int = 0
) -> Iterator[ScriptedEndpoint]:
    """The endpoint, in a process of its own, while the block runs; `limit` requests a second, or 0 for any number.

    `every`: of so many calls one is answered with a fault; 0: none is.
    """
    command = [sys.executable, __file__, str(delay), str(limit), counting, str(every)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield ScriptedEndpoint(process.stdout.readline().decode().strip())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


async def serve(delay: float, limit: int, counting: Counting, every: int) -> None:
    counts, loop = Counts(), asyncio.get_running_loop()
    meter = Meter(Allowance(limit, 1.0, counting)) if limit else None
    server = await loop.create_server(lambda: Exchange(counts, delay, meter, every), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    ended = asyncio.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()  # until whoever started this process is gone
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("delay", type=float, help="seconds before each answer")
    parser.add_argument("limit", type=int, help="requests a second; 0: any number")
    parser.add_argument("counting", choices=get_args(Counting), help="how they are counted")
    parser.add_argument("every", type=int, nargs="?", default=0, help="of so many calls one is a fault; 0: none")
    asked = parser.parse_args()
    asyncio.run(serve(asked.delay, asked.limit, asked.counting, asked.every))
