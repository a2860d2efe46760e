"""What this process remembers of threads it wrote, so that only what is new is written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from signoff.checkpoints.saver.encoding.chunks import Seen
from signoff.checkpoints.saver.encoding.delta import StoredContainer

_MOST_THREADS: Final = 1024
_MOST_BYTES: Final = 256 * 2**20
ITEM_BYTES: Final = 300
"""About what is kept to remember one item."""


class Outdated(Exception):
    """What is remembered of a thread no longer holds: it was deleted or pruned, or a write it built on failed."""


@dataclass(slots=True)
class CachedCheckpoint:
    """The last checkpoint of a namespace that was put: the values of its channels, and the rest of it."""

    values: StoredContainer
    rest: StoredContainer | None = None  # only if it is large
    checkpoint_id: str = ""


class ThreadCache:
    """What is remembered of one thread. `place` is the thread's number and era, from the first write on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.place: tuple[int, int] | None = None
        self.seen = Seen()
        self.size = 0  # about how many bytes are kept alive by it, at most
        self._checkpoints: dict[str, CachedCheckpoint] = {}

    def take(self, ns: str, checkpoint_id: str | None) -> CachedCheckpoint | None:
        """This checkpoint if it is cached; it is the taker's from now on."""
        cached = self._checkpoints.get(ns)
        return None if cached is None or cached.checkpoint_id != checkpoint_id else self._checkpoints.pop(ns)

    def has(self, ns: str, checkpoint_id: str) -> bool:
        cached = self._checkpoints.get(ns)
        return cached is not None and cached.checkpoint_id == checkpoint_id

    def put(self, ns: str, cached: CachedCheckpoint) -> None:
        self._checkpoints[ns] = cached


class ThreadCaches:
    """The threads that were in use last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: OrderedDict[str, ThreadCache] = OrderedDict()
        self._size = 0
        self._opening = 0

    def get(self, thread: str, opening: int) -> ThreadCache:
        """The cache of this thread, new if there is none; others are forgotten if there are too many.

        `opening` numbers the opened file: what was remembered of one that was closed since may not be so in the next.
        """
        with self._lock:
            if opening != self._opening:
                self._threads.clear()
                self._size, self._opening = 0, opening
            cache = self._threads.get(thread)
            if cache is None:
                cache = self._threads[thread] = ThreadCache()
                if len(self._threads) > _MOST_THREADS:
                    self._size -= self._threads.popitem(last=False)[1].size
            else:
                self._threads.move_to_end(thread)
            return cache

    def grow(self, thread: str, cache: ThreadCache, size: int) -> None:
        """Count what was stored; forget the threads that were longest not in use, if it is too much."""
        with self._lock:
            if self._threads.get(thread) is cache:
                cache.size += size
                self._size += size
                while self._size > _MOST_BYTES and len(self._threads) > 1:
                    self._size -= self._threads.popitem(last=False)[1].size

    def forget(self, thread: str, cache: ThreadCache | None = None) -> None:
        """Forget a thread; only this cache of it, if one is given."""
        with self._lock:
            known = self._threads.get(thread)
            if known is not None and (cache is None or known is cache):
                del self._threads[thread]
                self._size -= known.size

    def clear(self) -> None:
        with self._lock:
            self._threads.clear()
            self._size = 0
