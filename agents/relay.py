"""An asynchronous stream for a caller that has no event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from contextvars import copy_context
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Generic, TypeVar

from signoff.agents import backstage

T = TypeVar("T")


@dataclass(frozen=True)
class _Part(Generic[T]):
    value: T


def relay(source: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an asynchronous generator yields, as it comes; it runs backstage, and is ended when nobody listens on."""
    parts: SimpleQueue[_Part[T] | BaseException | None] = SimpleQueue()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None] | None]] = []

    async def play() -> None:
        running.append((asyncio.get_running_loop(), asyncio.current_task()))
        async with aclosing(source):
            async for part in source:
                parts.put(_Part(part))

    def work() -> None:
        try:
            backstage.run(play())
            parts.put(None)
        except BaseException as error:  # whatever it is, it belongs to who listens
            parts.put(error)

    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        while (part := parts.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            yield part.value
    finally:
        for loop, task in running:
            if thread.is_alive() and task is not None:
                loop.call_soon_threadsafe(task.cancel)
        thread.join()
