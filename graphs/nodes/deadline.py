"""A deadline for a call that blocks: it is left behind in its thread when its time is over."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class TimeIsOver(Exception):
    """The call did not return in time. It goes on in its thread: nobody knows what will come of it."""


def call_within(seconds: float | None, call: Callable[[], T], leave: Callable[[Future[T]], None]) -> T:
    """What the call returns or raises; TimeIsOver if it has not after so many seconds. None: it is waited for.

    `leave` is given what will come of a call that is left behind, be it for the time or for an interrupt.
    """
    if seconds is None:
        return call()
    coming: Future[T] = Future()

    def run() -> None:
        try:
            result = call()
        except BaseException as error:  # it is raised again where the call is waited for
            coming.set_exception(error)
        else:
            coming.set_result(result)

    threading.Thread(target=copy_context().run, args=(run,), name="signoff call", daemon=True).start()
    ended = False
    try:
        ended = bool(wait([coming], min(seconds, threading.TIMEOUT_MAX)).done)
    finally:
        if not ended:
            leave(coming)
    if not ended:
        raise TimeIsOver(f"it did not return within {seconds:g} seconds")
    return coming.result()
