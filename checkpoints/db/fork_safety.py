"""A process forks only while it has no connection to a file.

SQLite keeps the locks of a process in its memory. A forked child inherits the memory but not the locks: it would take
for its own what the parent alone holds, and what it wrote could be lost when the parent closes the file.
"""

from __future__ import annotations

import os
import threading
from functools import cache
from typing import Protocol
from weakref import WeakSet


class Forking(Protocol):
    """Something that has connections."""

    def before_fork(self) -> None:
        """Close all connections, and open none until `after_fork`."""

    def after_fork(self) -> None:
        """Connections may be opened again, in the parent and in the child."""


_watched: WeakSet[Forking] = WeakSet()
_stopped: list[Forking] = []
_forking = threading.RLock()  # two threads may fork at once


def watch_forks(holder: Forking) -> None:
    """Have the holder told before and after each fork, for as long as it lives."""
    _register()
    _watched.add(holder)


@cache
def _register() -> None:
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after)


def _before() -> None:
    _forking.acquire()
    for holder in list(_watched):
        holder.before_fork()
        _stopped.append(holder)


def _after() -> None:
    while _stopped:
        _stopped.pop().after_fork()
    _forking.release()
