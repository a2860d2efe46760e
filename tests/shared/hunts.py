"""Parts of the long hunts: 320 are all of them. Each has every sixteenth hunt, and does a twentieth of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

GROUPS, PARTS = 16, 20

Thing = TypeVar("Thing")


@dataclass(frozen=True)
class Part:
    """One of some parts of a hunt; the only one of one is all of it."""

    index: int = 0
    parts: int = 1

    def of(self, things: Sequence[Thing]) -> list[Thing]:
        """Which of these are its."""
        return list(things[self.index :: self.parts])

    def number(self, times: int) -> int:
        """How many of so many times are its."""
        return len(range(self.index, times, self.parts))
