"""Ranking: one order made of several, by reciprocal rank fusion."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Final, TypeVar

K = TypeVar("K", bound=Hashable)

_SMOOTHING: Final = 60
"""As in Cormack, Clarke and Büttcher (2009): how little the first places differ."""


def fuse(rankings: Iterable[Sequence[K]]) -> list[K]:
    """What stands in any of the rankings, best first: by its places in all of them, whatever their scores mean."""
    worth: dict[K, float] = {}
    for ranking in rankings:
        for place, item in enumerate(ranking, 1):
            worth[item] = worth.get(item, 0.0) + 1 / (_SMOOTHING + place)
    return sorted(worth, key=lambda item: -worth[item])
