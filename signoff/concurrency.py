"""Between threads and event loops: the one loop in the background, waiting for it, and threads for code that blocks."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import aclosing
from contextvars import ContextVar, copy_context
from functools import cache, partial
from queue import SimpleQueue
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_LAST_WORDS = 2.0
"""Seconds that somebody who was interrupted waits for what he waited for to end."""
_WIDTH = 32
"""Threads of one pool."""

_depth: ContextVar[int] = ContextVar("signoff_thread_depth", default=0)


class _Background:
    """An event loop, and the thread that it runs in."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self.thread = threading.Thread(target=self._serve, name="signoff background", daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            runner.run(self._over.wait())

    def stop(self) -> None:
        self.loop.call_soon_threadsafe(self._over.set)


_opening = threading.Lock()
_open: list[_Background] = []


def submit(work: Coroutine[Any, Any, T]) -> Future[T]:
    """Let the loop in the background do this; cancelling the future cancels the work."""
    return asyncio.run_coroutine_threadsafe(work, _shared().loop)


def run(work: Coroutine[Any, Any, T], *, alone: bool = False) -> T:
    """Run this in the background and return what it returns, with the caller's context variables.

    Any thread may wait so, also one where another event loop runs. What interrupts the wait, such as Ctrl-C, cancels
    the work. Called by code that itself runs in the background, or `alone`, it gets a loop of its own: a loop cannot
    wait for itself, and work that blocks its loop should block nobody else's.
    """
    shared = _shared()
    own = _Background() if alone or threading.current_thread() is shared.thread else None
    loop = (own or shared).loop
    done: Future[T] = Future()
    context = copy_context()
    started: list[asyncio.Task[T]] = []

    def start() -> None:
        task = loop.create_task(work, context=context)
        started.append(task)
        task.add_done_callback(lambda ended: _hand_over(ended, done))

    loop.call_soon_threadsafe(start)
    try:
        return done.result()
    except BaseException:
        if not done.done():
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in started])
            wait([done], _LAST_WORDS)  # what it used is written down, even if the process ends now
        raise
    finally:
        if own is not None:
            own.stop()


def _hand_over(task: asyncio.Task[T], done: Future[T]) -> None:
    if done.cancelled():
        return
    if task.cancelled():
        done.cancel()
        done.set_running_or_notify_cancel()  # only then is who waits for it told
    elif (error := task.exception()) is not None:
        done.set_exception(error)
    else:
        done.set_result(task.result())


def _shared() -> _Background:
    """The background of this process: a forked child has another."""
    with _opening:
        if not _open or _open[0].pid != os.getpid():
            _open[:] = [_Background()]
        return _open[0]


def stream(source: AsyncGenerator[T, None]) -> Iterator[T]:
    """What an asynchronous generator yields, as it comes, for a caller without a loop; ended when nobody listens on."""
    parts: SimpleQueue[tuple[T] | BaseException | None] = SimpleQueue()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[None] | None]] = []

    async def play() -> None:
        running.append((asyncio.get_running_loop(), asyncio.current_task()))
        async with aclosing(source):
            async for part in source:
                parts.put((part,))

    def work() -> None:
        try:
            run(play())
            parts.put(None)
        except BaseException as error:  # whatever it is, it belongs to who listens
            parts.put(error)

    thread = threading.Thread(target=copy_context().run, args=(work,), daemon=True)
    thread.start()
    try:
        while (part := parts.get()) is not None:
            if isinstance(part, BaseException):
                raise part
            yield part[0]
    finally:
        for loop, task in running:
            if thread.is_alive() and task is not None:
                loop.call_soon_threadsafe(task.cancel)
        thread.join()


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call it in a thread, with the caller's context variables, and wait for it without blocking the event loop.

    The pools are by depth, so that what waits for other such code can never starve it.
    """
    context, depth = copy_context(), _depth.get()
    context.run(_depth.set, depth + 1)
    work = partial(context.run, partial(function, *args, **kwargs))
    return await asyncio.get_running_loop().run_in_executor(_pool(os.getpid(), depth), work)


@cache
def _pool(_pid: int, depth: int) -> ThreadPoolExecutor:
    """The pool of this process (a forked child has none of its parent's threads) for calls made at this depth."""
    return ThreadPoolExecutor(_WIDTH, thread_name_prefix=f"signoff {depth}")
