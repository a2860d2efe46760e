"""What this process remembers of threads it wrote, so that only what is new is written."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from signoff.checkpoints.saver.encoding.chunks import Seen
from signoff.checkpoints.saver.encoding.delta import Holder

_MOST_THREADS: Final = 1024
_MOST_BYTES: Final = 256 * 2**20
ITEM_BYTES: Final = 300
"""About what is kept to remember one item."""


class Outdated(Exception):
    """What is remembered of a thread no longer holds: it was deleted or pruned, or a write it built on failed."""


@dataclass(slots=True)
class Space:
    """The last checkpoint of a namespace that was put: the values of its channels, and the rest of it."""

    values: Holder
    rest: Holder | None = None  # only if it is large
    checkpoint_id: str = ""


class Memory:
    """What is remembered of one thread. `place` is the thread's number and era, from the first write on."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.place: tuple[int, int] | None = None
        self.seen = Seen()
        self.size = 0  # about how many bytes are kept alive by it, at most
        self._spaces: dict[str, Space] = {}

    def take(self, ns: str, checkpoint_id: str | None) -> Space | None:
        """The memory of this checkpoint, which is the taker's from now on."""
        space = self._spaces.get(ns)
        return None if space is None or space.checkpoint_id != checkpoint_id else self._spaces.pop(ns)

    def has(self, ns: str, checkpoint_id: str) -> bool:
        """Whether this checkpoint is remembered."""
        space = self._spaces.get(ns)
        return space is not None and space.checkpoint_id == checkpoint_id

    def put(self, ns: str, space: Space) -> None:
        """Remember a checkpoint that was put."""
        self._spaces[ns] = space


class Memories:
    """The threads that were in use last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._threads: OrderedDict[str, Memory] = OrderedDict()
        self._size = 0
        self._opening = 0

    def get(self, thread: str, opening: int) -> Memory:
        """The memory of this thread, new if there is none; others are forgotten if there are too many.

        `opening` numbers the opened file: what was remembered of one that was closed since may not be so in the next.
        """
        with self._lock:
            if opening != self._opening:
                self._threads.clear()
                self._size, self._opening = 0, opening
            memory = self._threads.get(thread)
            if memory is None:
                memory = self._threads[thread] = Memory()
                if len(self._threads) > _MOST_THREADS:
                    self._size -= self._threads.popitem(last=False)[1].size
            else:
                self._threads.move_to_end(thread)
            return memory

    def grow(self, thread: str, memory: Memory, size: int) -> None:
        """Count what was stored; forget the threads that were longest not in use, if it is too much."""
        with self._lock:
            if self._threads.get(thread) is memory:
                memory.size += size
                self._size += size
                while self._size > _MOST_BYTES and len(self._threads) > 1:
                    self._size -= self._threads.popitem(last=False)[1].size

    def forget(self, thread: str, memory: Memory | None = None) -> None:
        """Forget a thread; only this memory of it, if one is given."""
        with self._lock:
            known = self._threads.get(thread)
            if known is not None and (memory is None or known is memory):
                del self._threads[thread]
                self._size -= known.size

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._threads.clear()
            self._size = 0
