"""A passage: a piece of a stored document, as search returns it."""

from __future__ import annotations

from dataclasses import dataclass


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
