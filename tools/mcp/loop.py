"""The loop: one event loop in a thread of its own, where the sessions of all servers live, whoever calls them."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Let the loop do this; cancelling the future cancels the work."""
    return asyncio.run_coroutine_threadsafe(work, _started(os.getpid()))


def wait_for(work: Coroutine[Any, Any, T]) -> T:
    """Let the loop do this and wait for it, also where another loop runs in this thread."""
    future = submit(work)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise


@cache
def _started(_pid: int) -> asyncio.AbstractEventLoop:
    """The loop of this process: a forked child has none of its parent's threads."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name="signoff mcp", daemon=True).start()
    return loop
