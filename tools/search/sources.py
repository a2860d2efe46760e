"""Sources: a folder of documents, indexed for full-text search."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Lock

from signoff.checkpoints.errors import DatabaseUnusable
from signoff.error_base import MissingExtra
from signoff.tools.documents.limited_reader import read_document_apart
from signoff.tools.documents.reader import READABLE, kind_of
from signoff.tools.errors import SourcesEmpty, SourcesMissing, UnknownSource, Unreadable
from signoff.tools.search.embeddings import Embedder
from signoff.tools.search.folder import Found, Skipped as Skipped, list_files, read_bytes
from signoff.tools.search.index import Entry, Index
from signoff.tools.search.passage import Passage
from signoff.tools.search.ranking import any_of, beginnings, share, weigh, words_of
from signoff.tools.storage.own_database import choose_path, is_damage

_CANDIDATES = 30
"""Passages with the question's words that are put in order by meaning as well."""
_COPIES = 4
"""Times as many passages are looked through for those that are no copies."""
_MEANING = 2.0
"""What likeness in meaning weighs beside the words."""
_OF_CODE, _OF_A_LINE, _LINE = 0.3, 0.2, 150
"""Shares of the best rank that code and a short text lose; characters up to which a text is one."""
_LONGEST_QUESTION = 2000
"""Characters of a question whose meaning is looked at."""
_BATCH_DOCUMENTS, _BATCH_CHARACTERS, _BATCH_SECONDS = 100, 1_000_000, 1.0


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
    """A folder of documents, indexed for full-text search. Threads and processes may share it."""

    def __init__(self, folder: Path, index: Index, most_bytes: int, embedder: Embedder | None = None) -> None:
        self.folder = folder
        self._index = index
        self._most_bytes = most_bytes
        self._embedder = embedder
        self._refreshing = Lock()

    @classmethod
    def open(
        cls,
        folder: Path | str,
        *,
        database: Path | str | None = None,
        home: Path | str = ".signoff",
        max_file_mb: float = 20.0,
        embedder: Embedder | None = None,
    ) -> Sources:
        """Open the folder's index, by default `<home>/sources/<name>-<hash>.db`; nothing is read yet.

        With an `embedder`, such as `MiniLM()`, what has the words is put in order by meaning too.
        """
        place = Path(folder).expanduser()
        if not place.is_dir():
            raise SourcesMissing(folder)
        place = place.resolve()
        usual = choose_path(Path(home) / "sources", place.name, str(place))
        index = Index(usual if database is None else Path(database))
        return cls(place, index, int(max_file_mb * 1_000_000), embedder)

    def refresh(self, progress: Watch | None = None) -> IndexReport:
        """Bring the index up to date with the folder; SourcesEmpty, MissingExtra if nothing in it can be read."""
        watch = progress or _ignore
        with self._refreshing:
            try:
                return self._refresh(watch)
            except DatabaseUnusable as error:
                if not is_damage(error.__cause__):
                    raise
                self._index.renew()
                return self._refresh(watch)

    def _refresh(self, watch: Watch) -> IndexReport:
        started = time.monotonic()
        if not self.folder.is_dir():
            raise SourcesMissing(self.folder)
        files, skips = list_files(self.folder)
        known = {skip.path: skip for skip in self._index.skipped()}
        before = set(self._index.paths())
        kept: set[str] = set()
        new: set[str] = set()
        batch = _Batch(self._index)
        seen: Entry | Skipped | None
        missing: MissingExtra | None = None
        for done, file in enumerate(files, 1):
            try:
                seen = self._look(file, known)
            except MissingExtra as error:  # which may be installed by the next time
                seen, missing = Skipped(file.name, str(error)), error
            if isinstance(seen, Skipped):
                skips.append(seen)
            else:
                kept.add(file.name)
            if isinstance(seen, Entry):
                new.add(file.name)
                batch.add(seen)
            watch(IndexProgress(done, len(files), file.name))
        batch.flush()
        gone = set(self._index.paths()) - kept
        self._index.remove(sorted(gone))
        self._index.set_skipped(skips)
        if not kept:
            raise missing or SourcesEmpty(self.folder, len(skips), READABLE)
        return IndexReport(
            added=len(new - before),
            changed=len(new & before),
            removed=len(gone),
            unchanged=len(kept - new),
            skipped=tuple(self.skipped()),
            documents=self.documents,
            passages=self.passages,
            seconds=time.monotonic() - started,
        )

    def _look(self, file: Found, known: dict[str, Skipped]) -> Entry | Skipped | None:
        """What to store of a file, or why not; None if it is stored already."""
        digest = ""
        try:
            kind_of(file.name)
            raw = read_bytes(file.path, self._most_bytes)
            digest = hashlib.sha256(raw).hexdigest()
            if self._index.digest_of(file.name) == digest:
                return None
            if file.name in known and known[file.name].sha256 == digest:
                return known[file.name]
            return Entry(file.name, digest, len(raw), read_document_apart(file.name, raw))
        except Unreadable as error:
            return Skipped(file.name, error.reason, "" if error.passing else digest)

    def beside(self, index: Index) -> Sources:
        """The same search over another index, which no folder is behind; `add` fills it."""
        return Sources(self.folder, index, self._most_bytes, self._embedder)

    def add(self, entries: Sequence[Entry]) -> None:
        """Store these documents as well; the next refresh forgets those that are not in the folder."""
        self._index.put(entries)

    def search(self, query: str, *, limit: int = 50) -> list[Passage]:
        """Passages with any of the query's words, best first; with an embedder, by their meaning too."""
        words = words_of(query)
        if not words or limit < 1:
            return []
        most = limit if self._embedder is None else max(limit, _CANDIDATES)
        found = _distinct(self._index.match(any_of(words), _COPIES * most))[:most]
        if not found and (begun := beginnings(words)):
            found = _distinct(self._index.match(begun, _COPIES * most))[:most]
        if not found:
            return []
        weights = weigh(self.document_frequency(words), self.passages)
        held = self.held(words, found)
        best = found[0].rank or 1.0
        ranked = [replace(one, rank=one.rank / best - _lacks(one), share=share(held[one.id], weights)) for one in found]
        return self._by_meaning(query, sorted(ranked, key=lambda one: -one.rank))[:limit]

    def _by_meaning(self, query: str, found: Sequence[Passage]) -> list[Passage]:
        """The passages with the first of them in the order of words and meaning together."""
        if self._embedder is None:
            return list(found)
        asked = self._embedder.embed(query[:_LONGEST_QUESTION])
        near: list[Passage] = []
        for one in found[:_CANDIDATES]:
            above = ". ".join(filter(None, (one.title, one.heading.replace(" › ", ". "))))
            likeness = float(asked @ self._embedder.embed(f"{above}\n{one.text}"))
            near.append(replace(one, rank=one.rank + _MEANING * likeness, likeness=likeness))
        return sorted(near, key=lambda one: -one.rank) + list(found[_CANDIDATES:])

    def held(self, words: Sequence[str], passages: Sequence[Passage]) -> dict[int, set[str]]:
        return self._index.held(words, [passage.id for passage in passages])

    def text(self, source: str) -> str:
        text = self._index.text(source)
        if text is None:
            raise UnknownSource(source)
        return text

    def origin(self, source: str) -> str:  # noqa: ARG002  # other libraries have pages of the web
        return ""

    def paths(self) -> list[str]:
        return self._index.paths()

    def document_frequency(self, words: Sequence[str]) -> dict[str, int]:
        return {word: self._index.frequency(word) for word in words}

    def passages_of(self, source: str) -> list[Passage]:
        passages = self._index.passages(source)
        if not passages:
            raise UnknownSource(source)
        return passages

    @property
    def documents(self) -> int:
        return self._index.count("documents")

    @property
    def passages(self) -> int:
        return self._index.count("passages")

    def skipped(self) -> list[Skipped]:
        return self._index.skipped()

    def close(self) -> None:
        self._index.close()


def _distinct(found: Sequence[Passage]) -> list[Passage]:
    """The passages without copies of one that is there: a file that stands in a folder ten times answers once."""
    first: dict[str, Passage] = {}
    for one in found:
        first.setdefault(" ".join(one.text.split()), one)
    return list(first.values())


def _lacks(passage: Passage) -> float:
    """What a passage loses of its rank that has the words but seldom answers: code, and a line, which bm25 likes."""
    return _OF_CODE * (passage.kind == "code") + _OF_A_LINE * (len(passage.text) < _LINE)


def _ignore(_: IndexProgress) -> None:
    """What is told where nobody watches."""


class _Batch:
    """Documents that are stored together: one transaction each would be slow, one for all would lock others out."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._entries: list[Entry] = []
        self._characters = 0
        self._since = time.monotonic()

    def add(self, entry: Entry) -> None:
        """Take a document, and store those taken when they are many, large or waiting for long."""
        self._entries.append(entry)
        self._characters += len(entry.document.text)
        waited = time.monotonic() - self._since
        if len(self._entries) >= _BATCH_DOCUMENTS or self._characters >= _BATCH_CHARACTERS or waited >= _BATCH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Store what was taken."""
        if self._entries:
            self._index.put(self._entries)
        self._entries, self._characters, self._since = [], 0, time.monotonic()
