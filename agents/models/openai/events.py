"""Server-sent events, as streamed completions come."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator


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
