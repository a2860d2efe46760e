"""A deadline for a call that blocks: it is left behind in its thread when its time is over."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextvars import copy_context
from typing import TypeVar

T = TypeVar("T")


class TimeIsOver(Exception):
    """The call did not return in time. It goes on in its thread: nobody knows what will come of it."""


def call_within(seconds: float | None, call: Callable[[], T]) -> T:
    """What the call returns or raises; TimeIsOver if it has not after so many seconds. None: it is waited for."""
    if seconds is None:
        return call()
    ended: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def run() -> None:
        try:
            ended.put((call(), None))
        except BaseException as error:  # it is raised again where the call is waited for
            ended.put((None, error))

    threading.Thread(target=copy_context().run, args=(run,), name="signoff call", daemon=True).start()
    try:
        result, error = ended.get(timeout=seconds)
    except queue.Empty:
        raise TimeIsOver(f"it did not return within {seconds:g} seconds") from None
    if error is not None:
        raise error
    return result  # type: ignore[return-value]  # T itself may be None
