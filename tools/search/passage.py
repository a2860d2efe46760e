"""A passage: a piece of a stored document, as search returns it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_BAR: Final = 0.42
"""Least share of the question's words that one of the first passages has if the question is answered at all."""
_BAR_WITH_MEANING: Final = 0.90
"""Least sum of that share and of how alike question and passage are in meaning."""
_FIRST: Final = 3
"""Passages that are judged."""


@dataclass(frozen=True)
class Passage:
    """Paragraphs under one heading, a list with the line that introduces it, a table or code, from one document."""

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
    """bm25 of the match as a share of the best one's, with twice the likeness in meaning if that is looked at."""
    share: float = 0.0
    """How much of the question's words it has, the rarer ones weighing more, from 0 to 1."""
    likeness: float | None = None
    """Cosine between question and passage; None if meanings are not looked at."""


def may_answer(found: Sequence[Passage]) -> bool:
    """Whether one of the first passages has enough of the question to answer it."""
    return any(
        passage.share >= _BAR if passage.likeness is None else passage.share + passage.likeness >= _BAR_WITH_MEANING
        for passage in found[:_FIRST]
    )
