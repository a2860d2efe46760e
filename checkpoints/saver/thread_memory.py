"""What the writer remembers of threads it wrote, so that only what is new is written: digests, none of the values."""

from __future__ import annotations

import os
from collections import OrderedDict
from typing import Final

from signoff.checkpoints.saver.encoding.streams import Stream

_TOKEN_BYTES: Final = 8
_MOST_BYTES: Final = 48 * 2**20
_MOST_SEEN: Final = 4096
_SEEN_BYTES: Final = 260
_LEAST_BYTES: Final = 1500
"""About what the smallest thread takes, and the smallest namespace."""


VALUES, REST = 0, 1
Streams = dict[str | int, Stream]
"""What is large of the checkpoint of a namespace that was put last: channels by their names, VALUES and REST."""


class ThreadRow:
    """A thread's row, as this transaction sees it. Whoever changes it renews its token."""

    __slots__ = ("before", "fence", "name", "next", "no", "owner", "owner_until", "token")

    def __init__(self, name: str, no: int, next: int, token: bytes, owner: str, owner_until: float, fence: int) -> None:
        self.name, self.no, self.next, self.token, self.before = name, no, next, token, token
        self.owner, self.owner_until, self.fence = owner, owner_until, fence

    def take_number(self) -> int:
        """The next free number of a row."""
        self.next += 1
        return self.next - 1

    def renew(self) -> None:
        """Have whatever is remembered of the thread no longer hold."""
        if self.token == self.before:
            self.token = os.urandom(_TOKEN_BYTES)


class ThreadMemory:
    """One thread, as it was when its row had this token."""

    def __init__(self, token: bytes) -> None:
        self.token = token
        self.seen: OrderedDict[bytes, bytes] = OrderedDict()
        self.seen_bytes = 0
        self.spaces: OrderedDict[str, tuple[Streams, int]] = OrderedDict()


class ThreadMemories:
    """What is remembered of all threads: those that were written last, up to so many bytes. The writer's alone."""

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        self._most = most_bytes
        self._threads: OrderedDict[str, ThreadMemory] = OrderedDict()
        self.size = 0
        """Bytes of memory, about."""

    def of(self, thread: str, token: bytes) -> ThreadMemory:
        """What is remembered of a thread, nothing if its row has another token: others wrote it, or it was restored."""
        memory = self._threads.get(thread)
        if memory is not None and memory.token != token:
            self.forget(thread)
            memory = None
        if memory is None:
            memory = self._threads[thread] = ThreadMemory(token)
            self.size += _LEAST_BYTES
        self._threads.move_to_end(thread)
        return memory

    def put(self, thread: str, ns: str, streams: Streams) -> None:
        """Remember what was stored last of a namespace; what was longest not in use is forgotten if it is too much."""
        memory = self._threads[thread]
        size = _LEAST_BYTES + sum([stream.size for stream in streams.values()])
        before = memory.spaces.pop(ns, None)
        self.size += size - (before[1] if before is not None else 0)
        memory.spaces[ns] = streams, size
        self.note_seen(memory)

    def note_seen(self, memory: ThreadMemory) -> None:
        """Count what was seen since, and forget what is too much."""
        while len(memory.seen) > _MOST_SEEN:
            memory.seen.popitem(last=False)
        before, memory.seen_bytes = memory.seen_bytes, len(memory.seen) * _SEEN_BYTES
        self.size += memory.seen_bytes - before
        while self.size > self._most and self._threads:
            oldest, known = next(iter(self._threads.items()))
            if len(known.spaces) > 1:
                self.size -= known.spaces.popitem(last=False)[1][1]
            else:
                self.forget(oldest)

    def forget(self, thread: str) -> None:
        known = self._threads.pop(thread, None)
        if known is not None:
            self.size -= sum([size for _, size in known.spaces.values()]) + known.seen_bytes + _LEAST_BYTES

    def clear(self) -> None:
        self._threads.clear()
        self.size = 0
