"""Threads for code that blocks: pools by depth, so that what waits for other such code can never starve it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar, copy_context
from functools import cache, partial
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_WIDTH = 32
"""Threads of one pool."""

_depth: ContextVar[int] = ContextVar("signoff_thread_depth", default=0)


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread, with the caller's context variables, and wait for it without blocking the event loop."""
    context, depth = copy_context(), _depth.get()
    context.run(_depth.set, depth + 1)
    work = partial(context.run, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_pool(os.getpid(), depth), work)


@cache
def _pool(_pid: int, depth: int) -> ThreadPoolExecutor:
    """The pool of this process (a forked child has none of its parent's threads) for calls made at this depth."""
    return ThreadPoolExecutor(_WIDTH, thread_name_prefix=f"signoff {depth}")
