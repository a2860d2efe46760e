"""Sources: a folder of documents, indexed for full-text search."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from signoff.tools.passage import Passage


@dataclass(frozen=True)
class Skipped:
    """A file that was not indexed."""

    path: str
    reason: str
    """Why, in words a person understands."""


@dataclass(frozen=True)
class IndexProgress:
    """How far a refresh is."""

    done: int
    total: int
    path: str


@dataclass(frozen=True)
class IndexReport:
    """What a refresh did."""

    added: int
    changed: int
    removed: int
    unchanged: int
    skipped: tuple[Skipped, ...]
    documents: int
    passages: int
    seconds: float


Watch = Callable[[IndexProgress], None]
"""Is told of every file a refresh has looked at."""


class Sources:
    """A folder of documents, indexed for full-text search."""

    folder: Path

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        database: Path | str | None = None,
        home: Path | str = ".signoff",
        max_file_mb: float = 20.0,
    ) -> Sources:
        """Open the folder's index, by default `<home>/sources/<name>-<hash>.db`; nothing is read yet."""
        raise NotImplementedError

    def refresh(self, progress: Watch | None = None) -> IndexReport:
        """Bring the index up to date with the folder; SourcesEmpty if nothing in it can be read."""
        raise NotImplementedError

    def search(self, query: str, *, limit: int = 50) -> list[Passage]:
        """Passages with any of the query's words, best first."""
        raise NotImplementedError

    def text(self, source: str) -> str:
        """The whole stored text of a document; UnknownSource if there is none."""
        raise NotImplementedError

    def document_frequency(self, words: Sequence[str]) -> dict[str, int]:
        """In how many passages each word occurs, stemmed as the index stems."""
        raise NotImplementedError

    def neighbours(self, passage_id: int, before: int = 1, after: int = 1) -> list[Passage]:
        """The passages next to this one in its document, without itself."""
        raise NotImplementedError

    def passages_of(self, source: str) -> list[Passage]:
        """All passages of a document in reading order; UnknownSource if there is none."""
        raise NotImplementedError

    @property
    def documents(self) -> int:
        """Number of documents in the index."""
        raise NotImplementedError

    def passages(self) -> int:
        """Number of passages in the index."""
        raise NotImplementedError

    def skipped(self) -> list[Skipped]:
        """Files the last refresh could not index, and why."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the index; harmless when closed already."""
        raise NotImplementedError
