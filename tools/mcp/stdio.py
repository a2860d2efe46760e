"""A server that is a program: started in a group of its own, spoken with line by line, ended with all that it started.

The library's own way takes lines of any length, in time that grows with their square, on the loop that all share.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO, Any

from signoff.errors import ToolError

_LARGEST = 32_000_000
"""Bytes of one message."""
_LEAVING_SECONDS = 2.0
"""How long a program may take to end by itself, and then after being asked to."""


@asynccontextmanager
async def run_program(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None, errors: IO[str]
) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of messages from and to the program, which ends with the context."""
    import anyio
    from mcp.shared.message import SessionMessage

    process = await asyncio.create_subprocess_exec(
        shutil.which(command[0], path=env.get("PATH")) or command[0],  # Windows starts no scripts by their names
        *command[1:],
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=errors,
        env=dict(env),
        cwd=cwd,
        limit=_LARGEST,
        start_new_session=True,
    )
    said, heard = anyio.create_memory_object_stream[SessionMessage](0)
    to_send, sending = anyio.create_memory_object_stream[SessionMessage](0)
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(_listen, process, said)
            group.start_soon(_speak, process, sending)
            try:
                yield heard, to_send
            finally:
                group.cancel_scope.cancel()
    finally:
        for stream in (said, heard, to_send, sending):
            stream.close()
        await asyncio.shield(asyncio.ensure_future(_end(process)))


async def _listen(process: asyncio.subprocess.Process, said: Any) -> None:
    """Pass on what the program says; lines that are no messages are left out."""
    from mcp.shared.message import SessionMessage
    from mcp.types import JSONRPCMessage
    from pydantic import ValidationError

    assert process.stdout is not None
    async with said:
        while line := await _next_line(process.stdout):
            with suppress(ValidationError):
                await said.send(SessionMessage(JSONRPCMessage.model_validate_json(line)))


async def _next_line(stdout: asyncio.StreamReader) -> bytes:
    try:
        return await stdout.readline()
    except ValueError:
        raise ToolError(f"it sent a message of more than {_LARGEST // 1_000_000} MB") from None


async def _speak(process: asyncio.subprocess.Process, sending: Any) -> None:
    """Tell the program what it is sent; once it has ended, that shows in what it says no more."""
    assert process.stdin is not None
    async with sending:
        async for message in sending:
            line = message.message.model_dump_json(by_alias=True, exclude_none=True) + "\n"
            with suppress(ConnectionError):
                process.stdin.write(line.encode())
                await process.stdin.drain()


async def _end(process: asyncio.subprocess.Process) -> None:
    """Close its input, then ask it, then make it."""
    assert process.stdin is not None
    process.stdin.close()
    for number in (None, signal.SIGTERM, getattr(signal, "SIGKILL", signal.SIGTERM)):
        if number is not None:
            _signal(process, number)
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVING_SECONDS):
                await process.wait()
                break
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))  # what it left running


def _signal(process: asyncio.subprocess.Process, number: int) -> None:
    """Send a signal to the program and to what it has started."""
    with suppress(ProcessLookupError, PermissionError):
        if os.name == "posix":
            os.killpg(process.pid, number)
        elif process.returncode is None:
            process.send_signal(number)


_KEPT = 64
"""Pieces of at most 4 kB."""
_TOLD = 300


class LastWords:
    """Reads a pipe to its end in a thread, so that no program waits for it and nothing of it reaches the terminal."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque(maxlen=_KEPT)
        reading, writing = os.pipe()
        self.pipe: IO[str] = os.fdopen(writing, "w", encoding="utf-8")
        """What the program gets as its standard error."""
        self._reader = threading.Thread(target=self._read, args=(reading,), name="signoff mcp stderr", daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Close our end; the thread ends with the last process that has the other."""
        self.pipe.close()

    @property
    def told(self) -> str:
        """The last of it in one line, without anything that a terminal would act on."""
        text = b"".join(self._pieces).decode("utf-8", "replace")
        line = " ".join("".join(mark if mark.isprintable() else " " for mark in text).split())
        return line[-_TOLD:]

    def _read(self, reading: int) -> None:
        with os.fdopen(reading, "rb", buffering=0) as pipe:
            while piece := pipe.read(4096):
                self._pieces.append(piece)
