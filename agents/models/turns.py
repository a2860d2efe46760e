"""A queue in which those who share something take turns."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Turns(Generic[T]):
    """Waiting items, by share: one of each share in turn, first come first served within a share."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """The items in the order they would be taken."""
        lines = [iter(line) for line in self._lines.values()]
        while lines:
            going = []
            for line in lines:
                for item in line:
                    yield item
                    going.append(line)
                    break
            lines = going

    def peek(self) -> T | None:
        """The item that would be taken next; None if none waits."""
        return next(iter(self._lines.values()))[0] if self._lines else None

    def put(self, share: str, item: T) -> None:
        """Let an item wait."""
        self._lines.setdefault(share, deque()).append(item)
        self._length += 1

    def take(self) -> T:
        """The next item; its share is last in line from now on. IndexError if none waits."""
        if not self._lines:
            raise IndexError("nothing waits")
        share, line = next(iter(self._lines.items()))
        item = line.popleft()
        self._length -= 1
        if line:
            self._lines.move_to_end(share)
        else:
            del self._lines[share]
        return item

    def remove(self, share: str, item: T) -> bool:
        """Take an item out of the line; False if it does not wait."""
        line = self._lines.get(share)
        if line is None or item not in line:
            return False
        line.remove(item)
        self._length -= 1
        if not line:
            del self._lines[share]
        return True
