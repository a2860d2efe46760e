"""Faults of an endpoint, one row each: what ten calls come to, alone and with a model that stands in.

The endpoint is raw bytes on loopback, written from what servers, proxies and networks do, in this process. Prices are
those of a dear model, so that what is booked for nothing is seen. `python3 make.py bench -- faults` takes about 3
minutes; `--only WORD` takes those rows alone.
"""

import argparse
import asyncio
import gzip
import json
import os
import platform
import socket
import ssl
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

CALLS: Final = 10
AT_ONCE: Final = 5
TIMEOUT: Final = 2.0
PATIENCE: Final = 12.0
CELLS_AT_ONCE: Final = 8
PRICES: Final = {name: {"input": 1.25, "output": 10.0} for name in ("first", "second")}
MOST_TOKENS: Final = 8192
"""Of an answer: such a call costs 8.2 cents at worst."""

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Fault = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""What the endpoint does with a request once it has been read."""


def completion(usage: Any = "told", text: str = "Paris", **more: Any) -> dict[str, Any]:
    if usage == "told":
        usage = {"prompt_tokens": 12, "completion_tokens": 3, "total_tokens": 15}
    choices = [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]
    found = {"id": "c", "object": "chat.completion", "created": 0, "model": "first", "choices": choices, **more}
    return found if usage is None else {**found, "usage": usage}


def says(status: str, body: Any, kind: str = "application/json", **headers: str) -> Fault:
    """Answer with this."""
    sent = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    told = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\n{told}Content-Length: {len(sent)}\r\n\r\n"

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head.encode() + sent)

    return answer


def error(status: str, message: str, code: str | None = None, **headers: str) -> Fault:
    return says(status, {"error": {"message": message, "type": code, "code": code}}, **headers)


def sends(*pieces: bytes, pause: float = 0.0, then: str = "close") -> Fault:
    """Send these pieces with a pause after each, then `close`, `reset` or `hang`."""

    async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(pause)
        if then == "hang":
            await asyncio.sleep(60)
        elif then == "reset":
            reset(writer)
        else:
            writer.close()

    return answer


def reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    writer.transport.abort()


PAGE: Final = "<!doctype html><html><head><title>Sign in</title></head><body>Welcome to the proxy</body></html>"
BAD_GATEWAY: Final = "<html><head><title>502 Bad Gateway</title></head><body><center>nginx</center></body></html>"
TOO_LARGE: Final = "<html><head><title>413 Request Entity Too Large</title></head><body>nginx</body></html>"
HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 400\r\n\r\n"
EVENTS: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
STREAMED: Final = (
    b'data: {"choices": [{"delta": {"content": "Paris"}, "finish_reason": "stop"}]}\n\n'
    b'data: {"choices": [], "usage": {"prompt_tokens": 12, "completion_tokens": 3}}\n\ndata: [DONE]\n\n'
)
WHOLE: Final = json.dumps(completion())
FAULTS: Final[dict[str, Fault]] = {
    "reset after the request": sends(then="reset"),
    "closed after the request": sends(),
    "hangs after the request": sends(then="hang"),
    "hangs amid its answer": sends(HEAD + b'{"id": "c", "cho', then="hang"),
    "cut amid its answer": sends(HEAD + b'{"id": "c", "cho'),
    "drips": sends(HEAD, *[b" "] * 100, pause=0.3),
    "no HTTP": sends(b"SSH-2.0-OpenSSH_9.6\r\n"),
    "200, a page": says("200 OK", PAGE, "text/html"),
    "200, empty": says("200 OK", ""),
    "200, {}": says("200 OK", {}),
    "200, no choices": says("200 OK", completion(usage=None, choices=[])),
    "200, usage, no choices": says("200 OK", completion(choices=[])),
    "200, an error": says("200 OK", {"error": {"message": "upstream unavailable", "code": 502}}),
    "200, a choice without message": says("200 OK", completion(choices=[{"index": 0}])),
    "200, cut JSON": says("200 OK", WHOLE[:90]),
    "200, text/plain": says("200 OK", WHOLE, "text/plain"),
    "200, stream nobody asked for": says("200 OK", f"data: {WHOLE}\n\ndata: [DONE]\n\n", "text/event-stream"),
    "200, cp1252 and says so": says(
        "200 OK",
        json.dumps(completion(text="Caf\u00e9"), ensure_ascii=False).encode("cp1252"),
        "text/json; charset=cp1252",
    ),
    "200, latin-1": says("200 OK", json.dumps(completion(text="Caf\u00e9"), ensure_ascii=False).encode("latin-1")),
    "200, 10 MB": says("200 OK", completion(text="word " * 2_000_000)),
    "200, gzip bomb": says("200 OK", gzip.compress(b" " * 200_000_000, 9), Content_Encoding="gzip"),
    "200, no gzip though it says so": says("200 OK", WHOLE, Content_Encoding="gzip"),
    "200, negative usage": says("200 OK", completion({"prompt_tokens": -12, "completion_tokens": 3})),
    "200, usage in strings": says("200 OK", completion({"prompt_tokens": "12", "completion_tokens": "3"})),
    "200, usage of floats": says("200 OK", completion({"prompt_tokens": 12.0, "completion_tokens": 3.0})),
    "200, no usage": says("200 OK", completion(None)),
    "204": says("204 No Content", ""),
    "301 elsewhere": says("301 Moved Permanently", "", Location="https://models.invalid/v2/chat/completions"),
    "307 elsewhere": says("307 Temporary Redirect", "", Location="https://models.invalid/v2/chat/completions"),
    "308 to itself": says("308 Permanent Redirect", "", Location="/v1/chat/completions"),
    "400 too long (vLLM)": error("400 Bad Request", "The decoder prompt (length 9) exceeds maximum model length of 8"),
    "400 too long (Anthropic)": error("400 Bad Request", "input length and `max_tokens` exceed context limit: 9 > 8"),
    "400 too long (Gemini)": error("400 Bad Request", "The input token count (9) exceeds the maximum number (8)."),
    "422 too long (TGI)": error("422 Unprocessable", "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000"),
    "429 too large (OpenAI)": error("429 Too Many Requests", "Request too large for gpt-4 on tokens per min: Limit 9"),
    "413 of a proxy": says("413 Request Entity Too Large", TOO_LARGE, "text/html"),
    "400": error("400 Bad Request", "Unknown parameter: 'x'."),
    "401": error("401 Unauthorized", "Incorrect API key provided.", "invalid_api_key"),
    "402": error("402 Payment Required", "Insufficient credits."),
    "403": error("403 Forbidden", "Country not supported."),
    "404 model": error("404 Not Found", "The model 'first' does not exist.", "model_not_found"),
    "404 path": says("404 Not Found", "404 page not found", "text/plain"),
    "429": error("429 Too Many Requests", "Slow down."),
    "429 no quota": error("429 Too Many Requests", "You exceeded your current quota.", "insufficient_quota"),
    "408": error("408 Request Timeout", "Request timed out."),
    "500": error("500 Internal Server Error", "The server had an error."),
    "502 page": says("502 Bad Gateway", BAD_GATEWAY, "text/html"),
    "503": says("503 Service Unavailable", "no healthy upstream", "text/plain"),
    "503 Retry-After": says("503 Service Unavailable", "busy", "text/plain", Retry_After="1"),
    "504 page": says(
        "504 Gateway Time-out", BAD_GATEWAY.replace("502 Bad Gateway", "504 Gateway Time-out"), "text/html"
    ),
    "524": error("524 A Timeout Occurred", "The origin did not answer in time."),
    "200, an error 504": says("200 OK", {"error": {"message": "upstream timed out", "code": 504}}),
    "529": error("529 Overloaded", "Overloaded", "overloaded_error"),
    "stream cut": sends(EVENTS + b'data: {"choices": [{"delta": {"content": "Pa"}}]}\n\n'),
    "stream of garbage": sends(EVENTS + b"data: \x00\xff\xfe not json\n\n"),
    "stream, a page": says("200 OK", PAGE, "text/html"),
    "stream, an error first": sends(EVENTS + b'data: {"error": {"message": "engine failed", "code": 500}}\n\n'),
}
"""What is done once a request is there."""
BEFORE: Final = ("no such host", "nobody listens", "hangs at connect", "no TLS there", "certificate nobody trusts")
"""What goes wrong before there is one."""


@dataclass
class Place:
    """Where the endpoint is, and how many requests came there."""

    url: str
    requests: int = 0


@asynccontextmanager
async def listening(fault: Fault, context: ssl.SSLContext | None = None) -> AsyncIterator[Place]:
    """An endpoint with this fault."""
    place = Place("")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while not writer.is_closing():
                if (first := await reader.readexactly(1)) == b"\x16":  # TLS, which this server does not speak
                    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                    break
                head = (first + await reader.readuntil(b"\r\n\r\n")).lower()
                await reader.readexactly(int(head.partition(b"content-length:")[2].split()[0]))
                place.requests += 1
                await fault(reader, writer)
                await writer.drain()
        with suppress(ConnectionError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context, backlog=100)
    place.url = f"http{'s' if context else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield place
    finally:
        server.close()


@asynccontextmanager
async def with_fault(name: str, folder: Path) -> AsyncIterator[Place]:
    """The endpoint of this row."""
    if name in FAULTS:
        async with listening(FAULTS[name]) as place:
            yield place
    elif name == "no such host":
        yield Place("https://api.exampel.invalid/v1")
    elif name == "no TLS there":
        async with listening(FAULTS["500"]) as place:
            place.url = place.url.replace("http:", "https:")
            yield place
    elif name == "certificate nobody trusts":
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate(folder))
        async with listening(says("200 OK", WHOLE), context) as place:
            yield place
    else:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            place = Place(f"http://127.0.0.1:{taken.getsockname()[1]}/v1")
            if name == "nobody listens":
                yield place
                return
            taken.listen(0)  # a full queue of connections: further ones hang
            waiting = [socket.socket() for _ in range(4)]
            for each in waiting:
                each.setblocking(False)
                with suppress(BlockingIOError):
                    each.connect(taken.getsockname())
            await asyncio.sleep(0.1)
            yield place
            for each in waiting:
                each.close()


def certificate(folder: Path) -> Path:
    """A certificate for this machine that nobody trusts, with its key."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name, now = (
        ec.generate_private_key(ec.SECP256R1()),
        x509.Name.from_rfc4514_string("CN=test"),
        datetime.now(UTC),
    )
    there = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now).not_valid_after(now + timedelta(days=1)).add_extension(there, critical=False)
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain)
        + made.sign(key, hashes.SHA256()).public_bytes(pem)
    )
    return file


@dataclass(frozen=True)
class Row:
    """What ten calls came to."""

    ok: int
    requests: int
    usd: float
    seconds: float
    said: str


async def measure(name: str, *, stood_in: bool) -> Row:
    """Ten calls, five at once."""
    from signoff.agents.models.guarded import guard
    from signoff.agents.models.openai.chat_model import Endpoint
    from signoff.agents.models.settings import CallSettings
    from signoff.agents.run_context import Payer, paying
    from signoff.checkpoints.ledger.budgets import Budget
    from signoff.checkpoints.ledger.ledger import Ledger
    from signoff.errors import SignoffError
    from signoff.settings import load_settings

    told = load_settings(prices=PRICES, model_timeout=TIMEOUT, model_patience=PATIENCE, max_output_tokens=MOST_TOKENS)
    settings = replace(CallSettings.of(told), idle_timeout=TIMEOUT)
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place = await stack.enter_async_context(with_fault(name, folder))
        reply = sends(EVENTS + STREAMED) if name.startswith("stream") else says("200 OK", completion())
        good = await stack.enter_async_context(listening(reply))
        where = {"first": place.url, "second": good.url} if stood_in else {"first": place.url}
        chain = [
            Endpoint(model=model, base_url=url, api_key="test", timeout=TIMEOUT, total_timeout=TIMEOUT, max_retries=0)
            for model, url in where.items()
        ]
        ledger = Ledger(folder / "faults.db")
        stack.callback(ledger.close)
        model, places = guard(*chain, settings=settings), asyncio.Semaphore(AT_ONCE)
        payer = Payer(ledger=ledger, run_id="r", team="t", role="writer", budgets={"run": Budget(usd=100)})

        async def ask(_number: int) -> str:
            async with places:
                try:
                    with paying(payer):
                        if name.startswith("stream"):
                            return "".join([part.text async for part in model.astream("Where?")])
                        return (await model.ainvoke("Where?")).text
                except SignoffError as problem:
                    return f"!{type(problem).__name__}: {problem}"

        began = time.monotonic()
        answers = await asyncio.gather(*map(ask, range(CALLS)))
        took = time.monotonic() - began
        failed = Counter(" ".join(answer[1:].split()) for answer in answers if answer.startswith("!"))
        said = "; ".join(f"{times}× {text}" for text, times in failed.most_common())
        if held := ledger.budgets.standing("run:r").held.nusd:
            said += f" STILL HELD: ${held / 1e9:.3f}"
        spent = sum(each.usd for each in await asyncio.to_thread(ledger.spending.by, "run"))
        return Row(CALLS - failed.total(), place.requests, spent, took, said)


async def main(only: str) -> Mapping[str, tuple[Row, Row]]:
    cells = asyncio.Semaphore(CELLS_AT_ONCE)

    async def cell(name: str, *, stood_in: bool) -> Row:
        async with cells:
            return await measure(name, stood_in=stood_in)

    names = [name for name in (*BEFORE, *FAULTS) if only in name]
    async with asyncio.TaskGroup() as group:
        tasks = {name: tuple(group.create_task(cell(name, stood_in=both)) for both in (False, True)) for name in names}
    return {name: (alone.result(), other.result()) for name, (alone, other) in tasks.items()}


def shown(rows: Mapping[str, tuple[Row, Row]], *, markdown: bool, width: int | None) -> None:
    table = Table(box=box.MARKDOWN if markdown else box.SIMPLE_HEAD)
    for title in ("fault", "ok", "requests", "$", "s", "ok", "requests", "$", "s"):
        table.add_column(title, justify="left" if title == "fault" else "right", no_wrap=True)
    table.add_column("what is said, alone", overflow="fold")
    for name, pair in rows.items():
        cells = [f"{one.ok} {one.requests} {one.usd:.3f} {one.seconds:.1f}".split() for one in pair]
        table.add_row(
            name, *cells[0], *cells[1], pair[0].said + (f" | STOOD IN: {pair[1].said}" if pair[1].said else "")
        )
    console = Console(width=width)
    packages = ", ".join(f"{name} {version(name)}" for name in ("signoff", "aiohttp", "langchain-core"))
    console.print(
        f"{CALLS} calls, {AT_ONCE} at once; a try takes {TIMEOUT:g} s and a call {PATIENCE:g} s at most. First four "
        f"figures: alone; then: with a model that stands in. Python {platform.python_version()}, {packages}.",
    )
    console.print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="rows whose name has this word")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown")
    asked = parser.parse_args()
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    shown(asyncio.run(main(asked.only)), markdown=asked.markdown, width=400 if asked.markdown else None)
