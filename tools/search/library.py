"""A library: what can be searched and quoted, be it a folder of documents or that and pages of the web."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Protocol

from signoff.tools.errors import SourcesEmpty, UnknownSource
from signoff.tools.search.index import Entry, Index
from signoff.tools.search.passage import Passage
from signoff.tools.search.sources import IndexReport, Sources, Watch
from signoff.tools.web.snapshots import Snapshots, is_snapshot

_MOST_RUNS = 16
"""Runs whose pages are held ready for searching."""


class Library(Protocol):
    """What can be searched and quoted; `Sources` is one, and `SourcesAndPages`."""

    @property
    def folder(self) -> Path: ...
    @property
    def documents(self) -> int: ...
    @property
    def passages(self) -> int: ...
    def paths(self) -> list[str]: ...

    def refresh(self, progress: Watch | None = None) -> IndexReport:
        """Bring the index up to date with the folder."""

    def search(self, query: str, *, limit: int = 50) -> list[Passage]:
        """Passages with any of the query's words, best first."""

    def shares(self, query: str, passages: Sequence[Passage]) -> dict[int, float]:
        """How much of the query each of the passages has, by the passage's id: as `Passage.share`."""

    def text(self, source: str) -> str:
        """The whole stored text of a document; UnknownSource if there is none."""

    def origin(self, source: str) -> str:
        """Address and date of a page of the web; empty for a document of the folder."""

    def document_frequency(self, words: Sequence[str]) -> dict[str, int]:
        """In how many passages each word occurs, stemmed as the index stems: in text, headings, title or path."""

    def passages_of(self, source: str) -> list[Passage]:
        """All passages of a document in reading order; UnknownSource if there is none."""

    def close(self) -> None:
        """Close what is open; harmless when closed already."""


class SourcesAndPages:
    """A folder of documents, and the pages that the run at work has fetched: each run sees its own."""

    def __init__(self, sources: Sources, snapshots: Snapshots) -> None:
        self.sources, self.snapshots = sources, snapshots
        self._lock = Lock()
        self._open: OrderedDict[str, tuple[tuple[str, ...], Sources]] = OrderedDict()

    @property
    def folder(self) -> Path:
        return self.sources.folder

    @property
    def documents(self) -> int:
        return sum(part.documents for part in self._parts())

    @property
    def passages(self) -> int:
        return sum(part.passages for part in self._parts())

    def refresh(self, progress: Watch | None = None) -> IndexReport:
        """Bring the index up to date with the folder, which may be empty."""
        try:
            return self.sources.refresh(progress)
        except SourcesEmpty:
            skipped = tuple(self.sources.skipped())
            return IndexReport(0, 0, 0, 0, skipped, self.documents, self.passages, 0.0)

    def search(self, query: str, *, limit: int = 50) -> list[Passage]:
        """Passages with any of the query's words, best first, of the folder and of pages together."""
        found = [one for part in self._parts() for one in self._numbered(part, part.search(query, limit=limit))]
        return sorted(found, key=lambda one: -one.rank)[:limit]

    def shares(self, query: str, passages: Sequence[Passage]) -> dict[int, float]:
        pages = self._pages()
        found = self.sources.shares(query, [one for one in passages if one.id > 0])
        if pages is not None:
            of_pages = pages.shares(query, [replace(one, id=-one.id) for one in passages if one.id < 0])
            found |= {-id: share for id, share in of_pages.items()}
        return found

    def text(self, source: str) -> str:
        return self.snapshots.text(source) if is_snapshot(source) else self.sources.text(source)

    def origin(self, source: str) -> str:
        return self.snapshots.find(source).origin if is_snapshot(source) else ""

    def paths(self) -> list[str]:
        return [path for part in self._parts() for path in part.paths()]

    def document_frequency(self, words: Sequence[str]) -> dict[str, int]:
        counts = [part.document_frequency(words) for part in self._parts()]
        return {word: sum(count[word] for count in counts) for word in words}

    def passages_of(self, source: str) -> list[Passage]:
        if not is_snapshot(source):
            return self.sources.passages_of(source)
        pages = self._pages()
        if pages is not None and source in self.snapshots.visited():
            return self._numbered(pages, pages.passages_of(source))
        found = self.snapshots.document(self.snapshots.find(source))
        return [
            Passage(0, source, found.title, span.heading, found.text[span.start : span.end], span.start, span.kind, 0.0)
            for span in found.spans
        ]

    def close(self) -> None:
        with self._lock:
            for _, pages in self._open.values():
                pages.close()
            self._open.clear()
        self.sources.close()

    def _parts(self) -> list[Sources]:
        pages = self._pages()
        return [self.sources] if pages is None else [self.sources, pages]

    def _numbered(self, part: Sources, passages: Sequence[Passage]) -> list[Passage]:
        """The passages of pages have negative numbers, so that no two of the library have the same."""
        return list(passages) if part is self.sources else [replace(one, id=-one.id) for one in passages]

    def _pages(self) -> Sources | None:
        """The index of the run's pages, with all of them in it; None if it has none."""
        run, visited = self.snapshots.run, self.snapshots.visited()
        if not visited:
            return None
        with self._lock:
            indexed, pages = self._open.pop(run, ((), None))
            if pages is None:
                pages = self.sources.beside(Index(self.snapshots.home / "sources" / f"web-{run}.db"))
            if indexed != visited:
                pages.add([entry for source in visited if source not in indexed for entry in self._entries(source)])
            self._open[run] = visited, pages
            while len(self._open) > _MOST_RUNS:
                self._open.popitem(last=False)  # not closed: a step may be reading it
            return pages

    def _entries(self, source: str) -> list[Entry]:
        """A page for the index; none if it is not what was fetched, so that nobody finds it."""
        try:
            snapshot = self.snapshots.find(source)
            document = self.snapshots.document(snapshot)
        except UnknownSource:
            return []
        return [Entry(source, snapshot.text_sha256, len(document.text), document)]
