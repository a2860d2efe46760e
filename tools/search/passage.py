"""A passage: a piece of a stored document, as search returns it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar


@dataclass(frozen=True)
class Passage:
    """A run of whole paragraphs, one list, one table or one block of code from one document."""

    id: int
    source: str
    """Path of the document, relative to the sources folder, with '/'."""
    title: str
    heading: str
    """Headings above it, outermost first, joined by ' › '."""
    text: str
    """Exactly `document[start : start + len(text)]` of the stored text."""
    start: int
    kind: str
    """'prose', 'list', 'table' or 'code'."""
    rank: float
    """bm25 of the match; higher is better."""


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
