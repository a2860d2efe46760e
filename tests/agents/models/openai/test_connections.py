"""The pool beneath `Endpoint`, over a server that says byte for byte what a test tells it to."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import openai
import pytest
from langchain_openai.chat_models.base import OpenAIConnectionError, OpenAITimeoutError
from yarl import URL

from signoff.agents.models.openai.chat_model import Endpoint
from signoff.agents.models.openai.connections import moved_within
from signoff.testing import ScriptedServer

CHOICES = [{"index": 0, "message": {"role": "assistant", "content": "Paris"}, "finish_reason": "stop"}]
ANSWER = json.dumps({"id": "c1", "object": "chat.completion", "model": "m", "choices": CHOICES}).encode()
HEADERS = "x-request-id: r1\r\nx-ratelimit-remaining-tokens: 99\r\nRetry-After: 2\r\nServer: raw\r\n"


@dataclass
class RawServer:
    """Where it is, and what came to it."""

    url: str = ""
    connections: int = 0
    open: int = 0
    most_open: int = 0
    heads: list[str] = field(default_factory=list)


Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]
"""Writes a response."""


@asynccontextmanager
async def serving(answer: Answer, context: ssl.SSLContext | None = None) -> AsyncIterator[RawServer]:
    """Answer every request on loopback so, keeping connections alive."""
    seen = RawServer()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                length = next(line for line in head.lower().splitlines() if line.startswith("content-length"))
                await reader.readexactly(int(length.split(":")[1]))
                seen.heads.append(head)
                seen.open += 1
                seen.most_open = max(seen.most_open, seen.open)
                await answer(writer)
                seen.open -= 1
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client is done
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    seen.url = f"{'https' if context else 'http'}://127.0.0.1:{port}/v1"
    try:
        yield seen
    finally:
        server.close()


async def say_paris(writer: asyncio.StreamWriter) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{HEADERS}Content-Length: {len(ANSWER)}\r\n\r\n"
    writer.write(head.encode() + ANSWER)


def stream_of(*events: str, end: str = "data: [DONE]\n\n") -> Answer:
    """A stream of these lines, which closes its connection at the end."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{HEADERS}Connection: close\r\n\r\n"
        writer.write((head + "".join(events) + end).encode())
        await writer.drain()
        writer.close()

    return answer


def piece(text: str | None, finish: str | None = None) -> str:
    delta = {} if text is None else {"role": "assistant", "content": text}
    return f"data: {json.dumps({'id': 'c1', 'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}]})}\n\n"


def endpoint(url: str, **options: Any) -> Endpoint:
    return Endpoint(**{"model": "m", "base_url": url, "api_key": "test", "max_retries": 0, "timeout": 5.0, **options})


async def streamed(model: Endpoint) -> list[Any]:
    return [chunk async for chunk in model.astream("Hi")]


def run(main: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(main)


def test_headers_about_limits_and_the_request_are_on_the_message() -> None:
    async def main() -> Any:
        async with serving(say_paris) as server:
            return await endpoint(server.url).ainvoke("Hi")

    headers = run(main()).response_metadata["headers"]
    assert headers == {"x-request-id": "r1", "x-ratelimit-remaining-tokens": "99", "retry-after": "2"}


def test_headers_are_on_the_first_chunk_of_a_stream() -> None:
    async def main() -> Any:
        async with serving(stream_of(piece("Pa"), piece("ris"), piece(None, "stop"))) as server:
            return await streamed(endpoint(server.url))

    first, *others = run(main())
    assert first.response_metadata["headers"]["x-request-id"] == "r1"
    assert not any("headers" in chunk.response_metadata for chunk in others)


def test_calls_one_after_the_other_share_a_connection() -> None:
    async def main() -> RawServer:
        async with serving(say_paris) as server:
            for key in ("one", "two", "three"):
                await endpoint(server.url, api_key=key).ainvoke("Hi")
            return server

    assert run(main()).connections == 1


def test_a_stream_that_was_read_leaves_its_connection_to_the_next_call() -> None:
    async def chunked(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for event in (piece("Paris"), piece(None, "stop"), "data: [DONE]\n\n"):
            writer.write(f"{len(event):x}\r\n{event}\r\n".encode())
        # The end of the response comes after the end of the answer.
        asyncio.get_running_loop().call_later(0.02, writer.write, b"0\r\n\r\n")

    async def main() -> RawServer:
        async with serving(chunked) as server:
            for _ in range(3):
                await streamed(endpoint(server.url))
            return server

    assert run(main()).connections == 1


def test_calls_beyond_the_bound_wait_their_turn_outside_of_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signoff.agents.models.openai.connections.most_connections", lambda: 2)

    async def take_a_while(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.05)
        await say_paris(writer)

    async def main() -> RawServer:
        async with serving(take_a_while) as server:
            model = endpoint(server.url, total_timeout=0.2)
            await asyncio.gather(*(model.ainvoke("Hi") for _ in range(20)))
            return server

    seen = run(main())
    assert (seen.most_open, len(seen.heads)) == (2, 20)


def test_hundreds_of_calls_at_once_are_answered() -> None:
    async def main() -> list[Any]:
        async with serving(say_paris) as server:
            model = endpoint(server.url)
            return await asyncio.gather(*(model.ainvoke("Hi") for _ in range(300)))

    assert [answer.content for answer in run(main())] == ["Paris"] * 300


def test_threads_and_loops_may_share_a_model() -> None:
    with ScriptedServer(["Paris"] * 12) as server:
        model = endpoint(server.url)
        answers: list[str] = []

        def work() -> None:
            answers.append(str(model.invoke("Hi").content))
            answers.append(str(asyncio.run(model.ainvoke("Hi")).content))

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == ["Paris"] * 12


def test_an_event_may_be_cut_anywhere_and_have_any_ends_of_lines() -> None:
    text = (piece("Zü") + ": alive\n\n" + "event: x\nid: 7\n" + piece("rich 東京") + piece(None, "stop")).replace(
        "\n", "\r\n"
    )

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for byte in (text + "data: [DONE]\r\n\r\n").encode():
            writer.write(b"1\r\n" + bytes([byte]) + b"\r\n")
            await asyncio.sleep(0)
        writer.write(b"0\r\n\r\n")

    async def main() -> Any:
        async with serving(drip) as server:
            return await streamed(endpoint(server.url))

    assert "".join(chunk.content for chunk in run(main())) == "Zürich 東京"


def test_a_stream_may_end_without_saying_that_it_is_done() -> None:
    async def main() -> Any:
        async with serving(stream_of(piece("Paris"), piece(None, "stop"), end="")) as server:
            return await streamed(endpoint(server.url))

    assert "".join(chunk.content for chunk in run(main())) == "Paris"


@pytest.mark.parametrize("end", ["", "data: {", "data: {}"])
def test_a_stream_that_ends_before_the_answer_does_was_dropped(end: str) -> None:
    async def main() -> Any:
        async with serving(stream_of(piece("Par"), end=end)) as server:
            return await streamed(endpoint(server.url))

    with pytest.raises(OpenAIConnectionError, match="unfinished"):
        run(main())


@pytest.mark.parametrize("alive", [b"", b": alive\n\n"], ids=["silent", "only kept alive"])
def test_a_stream_that_stalls_is_a_timeout(alive: bytes) -> None:
    async def stall(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + piece("Par").encode())
        while not writer.is_closing():
            writer.write(alive)
            await asyncio.sleep(0.01)

    async def main() -> Any:
        async with serving(stall) as server:
            return await streamed(endpoint(server.url, timeout=None, stream_chunk_timeout=0.1))

    with pytest.raises(OpenAITimeoutError):
        run(main())


def test_an_answer_that_drips_for_too_long_is_a_timeout() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b" ")
            await asyncio.sleep(0.01)

    async def main() -> Any:
        async with serving(drip) as server:
            return await endpoint(server.url, total_timeout=0.1).ainvoke("Hi")

    with pytest.raises(OpenAITimeoutError):
        run(main())


def test_a_cancelled_call_ends_at_once_and_gives_its_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("signoff.agents.models.openai.connections.most_connections", lambda: 1)
    begun = asyncio.Event()

    async def hang_once(writer: asyncio.StreamWriter) -> None:
        if not begun.is_set():
            begun.set()
            await asyncio.sleep(60)
        await say_paris(writer)

    async def main() -> Any:
        async with serving(hang_once) as server:
            model = endpoint(server.url)
            call = asyncio.create_task(model.ainvoke("Hi"))
            await begun.wait()
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            answer = await model.ainvoke("Hi")
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            return answer

    assert run(main()).content == "Paris"


def test_the_event_loop_goes_on_while_a_long_answer_is_read() -> None:
    long = json.dumps({"choices": [{**CHOICES[0], "message": {"role": "assistant", "content": "x" * 10_000_000}}]})

    async def say_much(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(long)}\r\n\r\n".encode() + long.encode())
        await writer.drain()

    async def main() -> int:
        turns = 0

        async def watch() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with serving(say_much) as server:
            watching = asyncio.create_task(watch())
            answer = await endpoint(server.url).ainvoke("Hi")
            watching.cancel()
            assert len(str(answer.content)) == 10_000_000
        return turns

    assert run(main()) > 20


def test_the_environments_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> RawServer:
        async with serving(say_paris) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
            assert (await endpoint("http://models.invalid/v1").ainvoke("Hi")).content == "Paris"
            return proxy

    assert run(main()).heads[0].startswith("POST http://models.invalid/v1/chat/completions HTTP/1.1")


def test_no_proxy_is_used_where_the_environment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ScriptedServer(["Paris"]) as server:
        assert asyncio.run(endpoint(server.url).ainvoke("Hi")).content == "Paris"


def test_a_proxy_of_the_model_comes_before_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")

    async def main() -> Any:
        async with serving(say_paris) as proxy:
            model = endpoint("http://models.invalid/v1", openai_proxy=proxy.url.removesuffix("/v1"))
            return await model.ainvoke("Hi")

    assert run(main()).content == "Paris"


def test_only_an_authority_that_is_trusted_is_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = own_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate)

    async def main() -> Any:
        async with serving(say_paris, context) as server:
            return await endpoint(server.url).ainvoke("Hi")

    with pytest.raises(OpenAIConnectionError, match="certificate"):
        run(main())
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    assert run(main()).content == "Paris"


def test_errors_of_an_address_are_connection_errors() -> None:
    with pytest.raises(openai.APIConnectionError):
        asyncio.run(endpoint("ftp://127.0.0.1/v1").ainvoke("Hi"))


def moved(target: str, times: int) -> Answer:
    """Sends so many requests elsewhere, then answers."""
    left = iter(range(times))

    async def answer(writer: asyncio.StreamWriter) -> None:
        if next(left, None) is None:
            await say_paris(writer)
        else:
            writer.write(f"HTTP/1.1 308 Permanent Redirect\r\nLocation: {target}\r\nContent-Length: 0\r\n\r\n".encode())

    return answer


def test_a_redirect_within_the_server_is_followed_and_the_prompt_sent_again() -> None:
    async def main() -> Any:
        async with serving(moved("/v2/chat/completions", 1)) as server:
            return (await endpoint(server.url).ainvoke("Hi")).content, [head.split()[:2] for head in server.heads]

    assert run(main()) == ("Paris", [["POST", "/v1/chat/completions"], ["POST", "/v2/chat/completions"]])


@pytest.mark.parametrize("times", [1, 99])
def test_another_server_gets_neither_prompt_nor_key_and_no_redirect_goes_on_for_ever(times: int) -> None:
    async def main() -> int:
        async with serving(say_paris) as other:
            target = "/v1/chat/completions" if times > 1 else f"{other.url}/chat/completions"
            async with serving(moved(target, times)) as server:
                with pytest.raises(openai.APIStatusError, match="it has moved to"):
                    await endpoint(server.url).ainvoke("Hi")
                assert len(server.heads) <= 6
            return len(other.heads)

    assert run(main()) == 0


@pytest.mark.parametrize(
    ("asked", "target", "is_followed"),
    [
        ("http://api.test/v1", "http://api.test:80/v2", True),
        ("http://api.test/v1", "https://api.test/v1", True),
        ("https://api.test/v1", "http://api.test/v1", False),
        ("http://api.test/v1", "http://api.test:1/v1", False),
        ("https://api.test/v1", "https://api.test:8443/v1", False),
        ("https://api.test/v1", "https://sub.api.test/v1", False),
        ("https://api.test/v1", "https://api.test.evil.test/v1", False),
        ("https://api.test/v1", "https://user:pass@api.test/v1", False),
        ("https://api.test/v1", "https://api.test@evil.test/v1", False),
        ("https://api.test/v1", "//evil.test/v1", False),
        ("https://api.test/v1", "file:///etc/passwd", False),
    ],
)
def test_only_what_is_surely_the_same_server_gets_prompt_and_key_again(
    asked: str, target: str, is_followed: bool
) -> None:
    response = SimpleNamespace(url=URL(asked), status=307, headers={"Location": target})
    assert (moved_within(response) is not None) is is_followed  # type: ignore[arg-type]  # what is read of a response


def own_certificate(folder: Path) -> Path:
    """A certificate for 127.0.0.1 that nobody trusts, with its key."""
    from ipaddress import ip_address

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name.from_rfc4514_string("CN=test")
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "own.pem"
    form = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(serialization.Encoding.PEM))
    return path
