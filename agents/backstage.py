"""The backstage: one event loop of the process, in a thread of its own, for callers that have none to wait in."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import Any, TypeVar

T = TypeVar("T")

_LAST_WORDS = 2.0
"""Seconds that somebody who was interrupted waits for what he waited for to end."""


class _Backstage:
    """The loop and its thread."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="signoff backstage", daemon=True)
        self.thread.start()


_opening = threading.Lock()
_open: list[_Backstage] = []


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run this to its end, with the caller's context variables, and return what it returns; any thread may wait so.

    What interrupts the wait, such as Ctrl-C, cancels it. Called by code that runs backstage itself, it gets a loop of
    its own, since the backstage cannot wait for itself.
    """
    stage = _opened()
    if threading.current_thread() is stage.thread:
        return _elsewhere(coroutine)
    done: Future[T] = Future()
    context = copy_context()
    started: list[asyncio.Task[T]] = []

    def start() -> None:
        task = stage.loop.create_task(coroutine, context=context)
        started.append(task)
        task.add_done_callback(lambda ended: _hand_over(ended, done))

    stage.loop.call_soon_threadsafe(start)
    try:
        return done.result()
    except BaseException:
        if done.done():
            raise
        stage.loop.call_soon_threadsafe(lambda: [task.cancel() for task in started])
        wait([done], _LAST_WORDS)  # what it used is written down, even if the process ends now
        raise


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


def _elsewhere(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run it in a thread and a loop made for it."""
    done: Future[T] = Future()
    context = copy_context()

    def work() -> None:
        try:
            done.set_result(context.run(asyncio.run, coroutine))
        except BaseException as error:  # whatever it is, it belongs to who waits
            done.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return done.result()


def _opened() -> _Backstage:
    """The backstage of this process: a forked child has another."""
    with _opening:
        if not _open or _open[0].pid != os.getpid():
            _open[:] = [_Backstage()]
        return _open[0]
