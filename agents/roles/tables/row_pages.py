"""Which documents, and pages of the web, are about which row of a table; and which rows they are about."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from signoff.agents.agent import Task
from signoff.agents.artifacts import StoredText, key_of, name_key, names_in
from signoff.agents.roles.researcher import say_skipped
from signoff.agents.roles.tables.table_researcher import Pages
from signoff.error_base import SettingsError
from signoff.settings import Settings
from signoff.tools.errors import PageRefused, SearchFailed, SourcesEmpty, Unreadable
from signoff.tools.search import Library, Sources, SourcesAndPages
from signoff.tools.web import Web

_ASIDE: Final = frozenset(
    """
    client python py sdk driver api cpu gpu db database core server cloud io ai lib library pricing price docs about
    documentation overview faq readme metadata index page website home homepage security features product profile
    """.split()
)
"""What may follow a name in that of a document about it."""
_NAME_LABELS: Final = frozenset(
    map(key_of, ("Name", "Company", "Company name", "Product", "Vendor", "Supplier", "Package"))
)
_PART: Final = re.compile(r"\s+[-–—|·:]\s+|[:|]\s+")
_FEWEST_ROWS: Final = 2
"""Rows of a table that make a document one about several."""
_MOST_WORDS: Final = 5
"""Of a name."""
_TOP: Final = 2_000
"""Characters of a page in which it says whom it is about."""


def distinct(names: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names, each once as it was given first, and what was given again, as 'otter is Otter'."""
    first: dict[str, str] = {}
    again: list[str] = []
    for given in names:
        name = " ".join(given.split())
        known = first.get(name_key(name) or name)
        if name and known is None:
            first[name_key(name) or name] = name
        elif name:
            again.append(f"{name} is {known}" if known != name else f"{name}, twice")
    return tuple(first.values()), tuple(again)


@dataclass(frozen=True)
class Shelf:
    """The documents of a library, by whom they are about."""

    texts: Mapping[str, StoredText]
    subjects: Mapping[str, tuple[str, ...]]
    """Of each document the names by which it calls its subject, the surest first."""

    @classmethod
    def of(cls, library: Library) -> Shelf:
        texts = {source: StoredText.of(library, source) for source in library.paths()}
        titles = {source: next((one.title for one in library.passages_of(source)), "") for source in texts}
        return cls(texts, {source: tuple(_subjects(text, titles[source])) for source, text in texts.items()})

    def about(self, names: Sequence[str]) -> dict[str, tuple[tuple[str, ...], tuple[str, ...]]]:
        """Of each name the documents about it alone, and those about several that have a row about it."""
        keys = {name_key(name): name for name in names}
        own = {name: list[str]() for name in names}
        shared: dict[str, list[str]] = {name: [] for name in names}
        for source, subjects in self.subjects.items():
            if (name := _whom(subjects, keys)) is not None:
                own[name].append(source)
                continue
            for key in names_in([self.texts[source]]) & keys.keys():
                shared[keys[key]].append(source)
        return {name: (tuple(own[name]), tuple(shared[name])) for name in names}

    def named(self, about: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]) -> dict[str, tuple[str, ...]]:
        """Which of these names the documents about each of them hold."""
        by_word: dict[str, dict[str, str]] = {}
        for name in about:
            key = key_of(name)
            by_word.setdefault(key.partition(" ")[0], {})[name] = f" {key} "
        found = {}
        for name, (own, _) in about.items():
            text = f" {' '.join(key_of(self.texts[source].text) for source in own)} "
            near = (one for word in dict.fromkeys(text.split()) for one in by_word.get(word, {}).items())
            found[name] = tuple(other for other, key in near if key in text)
        return found

    def names(self) -> tuple[str, ...]:
        """Whom the documents are about: their subjects, and the rows of documents about several."""
        found: list[str] = []
        for source, subjects in self.subjects.items():
            text = self.texts[source]
            if len(rows := _rows_of(text)) >= _FEWEST_ROWS and not _is_named(text):
                found += rows
            elif subjects and (_is_named(text) or f" {name_key(subjects[0])} " in f" {key_of(_body(text))} "):
                found.append(subjects[0])
        return distinct(found)[0]


@dataclass(frozen=True)
class Libraries:
    """The documents of runs, each of which may have a folder of its own; opened once for each folder."""

    settings: Settings
    web: Web | None
    """What a run may use, if it asks for it."""
    opened: dict[tuple[str, bool], Library] = field(default_factory=dict)

    def of(self, folder: str, *, on_web: bool = False) -> Library:
        """The documents of a folder, and of what the run fetches; SettingsError if there is neither."""
        folder = folder or str(self.settings.sources or "")
        if on_web and self.web is None:
            raise SettingsError("--web", "is asked for, and the web is closed", "Open it: docs/tools/web.md.")
        if not folder and not on_web:
            raise SettingsError("--sources", "is not set", "Name a folder of documents.")
        if (known := self.opened.get((folder, on_web))) is not None:
            return known
        place = Path(folder) if folder else self.settings.home / "sources" / "none"
        if not folder:
            place.mkdir(parents=True, exist_ok=True)
        sources = Sources.open(place, home=self.settings.home, max_file_mb=self.settings.max_file_mb)
        library = sources if self.web is None or not on_web else SourcesAndPages(sources, self.web.snapshots)
        return self.opened.setdefault((folder, on_web), library)

    def check(self, folder: str, *, on_web: bool = False) -> None:
        """SettingsError if there is neither a folder nor the web, or nothing to read in the folder alone."""
        library = self.of(folder, on_web=on_web)
        if not isinstance(library, Sources):
            return  # pages are fetched in the run
        try:
            library.check()
        except SourcesEmpty as error:
            problem = f"there is nothing to read in {error.folder!r}: {error.seen}"
            remedy = f"Add documents ({error.kinds}), or name another folder."
            raise SettingsError("--sources", problem, remedy) from error

    def of_run(self, task: Task) -> Library:
        """The documents that a run's input names in `sources`, and what it fetches if that opens the `web`."""
        return self.of(getattr(task.input, "sources", ""), on_web=getattr(task.input, "web", False))

    def web_of(self, task: Task) -> Web | None:
        """The web, if the run's input opens it."""
        return self.web if getattr(task.input, "web", False) else None


def refresh(library: Library, task: Task) -> None:
    """Bring the index of a library up to date, and say what is looked at and what cannot be read."""
    report = library.refresh(lambda at: task.say("reads the documents", done=at.done, total=at.total))
    say_skipped(report.skipped, task)


def read_pages(
    library: Library,
    own: Sequence[str],
    shared: Sequence[str] = (),
    problems: Sequence[str] = (),
    others: Sequence[str] = (),
) -> Pages:
    """The documents of a row, as they are stored now; `others` are names of other rows."""
    about, several = ([StoredText.of(library, source) for source in some] for some in (own, shared))
    return Pages(tuple(about), tuple(several), tuple(problems), tuple(others))


def browse(name: str, question: str, web: Web, *, most: int = 3) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Sources of the pages about a name that a search of the web finds, fetched; and why others could not be had.

    A page that nowhere at its top names it is another's, and left out.
    """
    try:
        results = web.search(f"{name} {question}", most)
    except SearchFailed as error:
        return (), (str(error),)
    sources, problems = list[str](), list[str]()
    for result in results:
        try:
            page = web.fetch(result.url)
        except PageRefused as error:
            problems.append(f"{result.url}: {error.problem}")
        except Unreadable as error:
            problems.append(f"{result.url}: {error.reason}")
        else:
            top = key_of(f"{page.title} {web.snapshots.text(page.source)[:_TOP]}")
            if f" {name_key(name)} " in f" {top} ":
                sources.append(page.source)
    return tuple(dict.fromkeys(sources)), tuple(problems)


def _subjects(text: StoredText, title: str) -> Iterator[str]:
    """What a document calls its subject: by a label, in its title, in its name."""
    if named := _is_named(text):
        yield named
        return
    first = _PART.split(title)[0].strip()
    if first and len(first.split()) <= _MOST_WORDS and f" {name_key(first)} " in f" {key_of(_body(text))} ":
        yield first
    path = PurePosixPath(text.source)
    yield path.stem
    yield from (part for part in reversed(path.parts[:-1]))


def _body(text: StoredText) -> str:
    """A document without its first line, which may be its title."""
    return text.text.partition("\n")[2]


def _rows_of(text: StoredText) -> list[str]:
    """Whom the rows of a document's tables are about, where the first column says that it names somebody."""
    firsts = [one for one in text.stated if one.row and one.value == one.row]
    return list(dict.fromkeys(one.row for one in firsts if key_of(one.label) in _NAME_LABELS))


def _is_named(text: StoredText) -> str:
    """What a label at the document's head says that it is about; empty if none does."""
    head = text.text[:_TOP]
    named = (
        one.value for one in text.stated if one.end <= len(head) and not one.row and key_of(one.label) in _NAME_LABELS
    )
    return next((name for name in named if len(name.split()) <= _MOST_WORDS), "")


def _whom(subjects: Sequence[str], keys: Mapping[str, str]) -> str | None:
    """The name that a document is about: as it calls it, or with what may stand beside; the longest that fits."""
    for subject in map(name_key, subjects):
        if subject in keys:
            return keys[subject]
        words = subject.split()
        for end in range(len(words) - 1, 0, -1):
            aside = all(word in _ASIDE or word.isdigit() for word in words[end:])
            if aside and (key := " ".join(words[:end])) in keys:
                return keys[key]
    return None
