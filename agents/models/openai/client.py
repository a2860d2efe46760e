"""Calls over the wire: letters out, completions and chunks in, trouble as the exceptions of `ChatOpenAI`."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import aiohttp
import openai

from signoff.agents.models.openai.connections import Letter, TooLong, pause_before_retry, read_body, sent
from signoff.agents.models.openai.errors import dropped, interrupted, malformed, rejected, timed_out

T = TypeVar("T")

_LAST_BYTES_SECONDS = 0.1
"""How long to wait for the end of a stream that said it is done, so that its connection can be used again."""


@dataclass(frozen=True)
class Completion:
    """An answer in one piece."""

    content: dict[str, Any]
    headers: Mapping[str, str]


async def complete(letter: Letter, retries: int) -> Completion:
    """Ask for a completion; an openai.APIError once the retries are used up or another try cannot help."""
    response, body = await _tried(lambda: _fetch(letter), retries)
    try:
        content = json.loads(body)
    except ValueError as error:  # of JSON or of UTF-8
        shown = body.decode(errors="replace")
        raise malformed(letter.url, response.status, response.headers, shown, "it is no JSON") from error
    if problem := _problem_with(content):
        raise malformed(letter.url, response.status, response.headers, content, problem)
    return Completion(content, response.headers)


@asynccontextmanager
async def open_stream(letter: Letter, retries: int) -> AsyncIterator[Stream]:
    """Ask for a stream of chunks; errors as those of `complete`, until its head is there."""
    response, opened = await _tried(lambda: _open(letter), retries)
    async with opened:
        yield Stream(letter, response)


class Stream:
    """An answer chunk by chunk."""

    def __init__(self, letter: Letter, response: aiohttp.ClientResponse) -> None:
        self.letter, self.response = letter, response
        self.waiting_since = time.monotonic()
        """When the last chunk came: a connection that is only kept alive brings none."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the response."""
        return self.response.headers

    async def chunks(self, longest_wait: float | None) -> AsyncGenerator[dict[str, Any], None]:
        """The chunks to the last; openai.APIError if the stream breaks off, or is only kept alive for too long."""
        finished, seen = False, 0
        async for event in read_events(self._pieces()):
            if event == b"[DONE]":
                finished = True
                break
            if event:
                chunk = self._chunk(event)
                self.waiting_since, seen = time.monotonic(), seen + 1
                finished = finished or any(choice.get("finish_reason") for choice in chunk["choices"])
                yield chunk
            elif longest_wait and time.monotonic() - self.waiting_since > longest_wait:
                raise timed_out(self.letter.url)
        if not finished:
            raise self._unfinished(seen)
        await self._read_to_the_end()

    async def _pieces(self) -> AsyncIterator[bytes]:
        with _translated(self.letter):
            async for piece in self.response.content.iter_any():
                yield piece

    def _chunk(self, event: bytes) -> dict[str, Any]:
        try:
            chunk = json.loads(event)
        except ValueError as error:
            raise self._malformed(event.decode(errors="replace"), "an event of it is no JSON") from error
        if not isinstance(chunk, dict):
            raise self._malformed(chunk, "an event of it is no object")
        if chunk.get("error"):
            raise interrupted(self.letter.url, chunk["error"])
        choices = [{"delta": {}, **choice} for choice in chunk.get("choices") or ()]
        return {**chunk, "choices": choices}

    def _unfinished(self, seen: int) -> openai.APIError:
        kind = self.response.content_type
        if not seen and kind != "text/event-stream":
            return self._malformed(kind, "it is no stream of events")
        return dropped(self.letter.url, f"Connection error: the stream ended unfinished, after {seen} chunks.")

    def _malformed(self, body: object, problem: str) -> openai.APIError:
        return malformed(self.letter.url, self.response.status, self.headers, body, problem)

    async def _read_to_the_end(self) -> None:
        try:
            async with asyncio.timeout(_LAST_BYTES_SECONDS):
                await self.response.content.read()
        except (TimeoutError, aiohttp.ClientError):
            self.response.close()  # the answer is complete, only its connection is not fit for another


async def _fetch(letter: Letter) -> tuple[aiohttp.ClientResponse, bytes]:
    """One try at a whole answer."""
    with _translated(letter):
        async with sent(letter) as response:
            body = await read_body(response)
    if response.status >= 400:
        raise rejected(letter.url, response.status, response.headers, body)
    return response, body


async def _open(letter: Letter) -> tuple[aiohttp.ClientResponse, AsyncExitStack]:
    """One try at the head of an answer, and what is to be closed after it."""
    with _translated(letter):
        async with AsyncExitStack() as stack:
            response = await stack.enter_async_context(sent(letter))
            if response.status < 400:
                return response, stack.pop_all()
            body = await read_body(response)
    raise rejected(letter.url, response.status, response.headers, body)


async def _tried(attempt: Callable[[], Awaitable[T]], retries: int) -> T:
    """What comes of it, tried again as often as it may be and can help."""
    tries = 0
    while True:
        tries += 1
        try:
            return await attempt()
        except openai.APIError as error:
            pause = pause_before_retry(error, tries)
            if pause is None or tries > retries:
                raise
        await asyncio.sleep(pause)


@contextmanager
def _translated(letter: Letter) -> Iterator[None]:
    """Trouble of the transport as what `ChatOpenAI` raises."""
    try:
        yield
    except TimeoutError as error:
        raise timed_out(letter.url) from error
    except (aiohttp.ClientError, OSError) as error:
        raise dropped(letter.url, f"Connection error: {error or type(error).__name__}.") from error
    except TooLong as error:
        raise malformed(letter.url, 200, {}, "", str(error)) from error


def _problem_with(content: Any) -> str:
    """Why this is no completion; empty if it is one."""
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}, no object"
    if content.get("error"):
        return "it is an error"
    choices = content.get("choices")
    if not isinstance(choices, list) or not choices:
        return "it has no choices"
    if not all(isinstance(choice, dict) and isinstance(choice.get("message"), dict) for choice in choices):
        return "a choice of it has no message"
    return ""


async def read_events(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The data of each event, in order; comments that only keep the connection alive come as empty data.

    What stands after the last end of a line was cut off, and is left out.
    """
    data: list[bytes] = []
    async for line in _lines(pieces):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield data[0] if len(data) == 1 else b"\n".join(data)
            data = []
        elif line.startswith(b":"):
            yield b""
    if data:
        yield b"\n".join(data)


async def _lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines without their ends; a line of any length is put together once."""
    begun: list[bytes] = []
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        begun.append(first)
        for line in others:
            yield b"".join(begun).removesuffix(b"\r")
            begun = [line]
