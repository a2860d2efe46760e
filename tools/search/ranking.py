"""What a question looks for: its words, how SQLite's full-text index is asked for them, and what each weighs."""

from __future__ import annotations

import math
import re
import sqlite3
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Final

STOP_WORDS: Final = frozenset(
    """
    a about again all also although am an and any anybody anyone anything are as at be because been being but by can
    could did do does doing either else even ever everybody everyone everything for from getting had has have having
    he her here hers herself him himself his how i if in into is it its itself just many may me much my myself
    neither no nor not now of on once or our ours ourselves quite rather really shall she should since so some
    somebody someone something still such than that the their theirs them themselves then there these they this
    though to too unless until very was we were what when where whether which while who whom whose why will with
    would yet you your yours yourself
    """.split()
)
"""Words that ask, point and join. No other is left out, however frequent: it may be the name of what is asked about."""
_ASKING: Final = re.compile(r"\bhow (?:long|old|often|far|soon|come)\b")
"""Questions of two words, of which the second is not in the answer: how *old* must it be?"""

SEARCH_TABLE: Final = (
    "create virtual table {} using fts5"
    "(text, heading, title, path, content='', tokenize='porter unicode61 remove_diacritics 2')"
)

_UNSPACED: Final = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Characters of scripts without spaces between words."""
_EACH: Final = re.compile(f"([{_UNSPACED}])")
_VERSION: Final = re.compile(r"(?<![^\W_])v(?=\d)", re.IGNORECASE)
"""How names of files and titles write 'version'."""
_TOKEN: Final = re.compile(
    rf"(?P<run>[{_UNSPACED}]+)|\d+(?:[.,:]\d+)+|(?:(?![{_UNSPACED}])\w)+(?:['’](?:(?![{_UNSPACED}])\w)+)*"
)
_TAIL: Final = re.compile(r"['’](?:s|re|ve|ll|d|m)$")
_DENIED: Final = re.compile(r"n['’]t$")
_PART: Final = re.compile(r"[^\W_]+")
_MOST_WORDS: Final = 64
"""Words that are looked for; more make a search slow and no better."""
_LONGEST: Final = 20_000
"""Characters of a question that are read."""


def words_of(question: str) -> tuple[str, ...]:
    """The words to look for, each once, without stop words unless there are no others; of a script without spaces
    pairs of neighbours.
    """
    asked = question[:_LONGEST].lower()
    told = _all_words(_ASKING.sub("how", asked))
    telling = [word for word in told if word not in STOP_WORDS and not _DENIED.search(word)]
    return tuple(dict.fromkeys(telling or _all_words(asked)))[:_MOST_WORDS]


@lru_cache(maxsize=64)
def other_words(question: str) -> Mapping[str, frozenset[str]]:
    """Other words for those of the question, each with what of the question it may stand for: people ask in words that
    documents do not have.
    """
    words, asked = words_of(question), question[:_LONGEST].lower()
    others: dict[str, frozenset[str]] = {}
    held = words_in([" . ".join(name for name in group if " " not in name) for group in _groups()], words)
    for group, said in zip(_groups(), held, strict=True):
        named = said.union(*(words_of(name) for name in group if " " in name and name in asked))
        for other in group if named else ():
            if not named.issuperset(words_of(other)):
                others[other] = others.get(other, frozenset()) | named.intersection(words)
    return others


@cache
def _groups() -> tuple[tuple[str, ...], ...]:
    read = tomllib.loads(Path(__file__).with_name("synonyms.toml").read_text("utf-8"))
    return tuple(tuple(group.split(", ")) for group in read["groups"])


def _all_words(text: str) -> list[str]:
    return [word for match in _TOKEN.finditer(text) for word in _words(match)]


def _words(match: re.Match[str]) -> list[str]:
    if run := match["run"]:
        return [run[at : at + 2] for at in range(max(1, len(run) - 1))]
    word = _TAIL.sub("", match[0])
    return [word] if _PART.search(word) else []


def spaced(text: str) -> str:
    """The text as it is indexed: every character of a script without spaces is a word, and 'v2' is 'version 2'."""
    return _VERSION.sub("version ", _EACH.sub(r" \1 ", text))


def phrase(word: str) -> str:
    """The word in the index's own language; one of several parts counts only as a whole."""
    return f'"{" ".join(_PART.findall(spaced(word)[:1000]))}"'


def any_of(words: Iterable[str]) -> str:
    return " OR ".join(map(phrase, words))


def beginnings(words: Iterable[str]) -> str:
    """What begins as the words do, for when no word of a question is there in the form that it has."""
    return " OR ".join(f"{phrase(word[: max(4, len(word) - 3)])}*" for word in words if len(word) > 4)


def weigh(counts: Mapping[str, int], total: int) -> dict[str, float]:
    """What each word weighs, by how rare it is among `total` texts; one that none has weighs as much as the rarest."""
    return {word: math.log(1 + max(total, 1) / max(count, 1)) for word, count in counts.items()}


def share(held: Collection[str], weights: Mapping[str, float]) -> float:
    """How much of the words is held, by weight, from 0 to 1."""
    whole = sum(weights.values())
    return sum(weights[word] for word in held) / whole if whole else 0.0


def order(texts: Sequence[tuple[str, ...]], question: str) -> list[int]:
    """The places of the texts that have any of the question's words, best first.

    A text is up to four parts: itself, its headings, its title, its path.
    """
    words = words_of(question)
    if not words:
        return []
    with _indexed(texts) as index:
        found = index.execute("select rowid from texts where texts match ? order by rank, rowid", [any_of(words)])
        return [int(at) for (at,) in found]


def words_in(texts: Sequence[str], words: Sequence[str]) -> list[set[str]]:
    """Which of the words each of the texts has, in any form of English words."""
    held: list[set[str]] = [set() for _ in texts]
    with _indexed([(text,) for text in texts]) as index:
        for word in words:
            for (at,) in index.execute("select rowid from texts where texts match ?", [phrase(word)]):
                held[at].add(word)
    return held


@contextmanager
def _indexed(texts: Sequence[tuple[str, ...]]) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:")) as index:
        index.execute(SEARCH_TABLE.format("texts"))
        rows = ((at, *map(spaced, (*text, "", "", "")[:4])) for at, text in enumerate(texts))
        index.executemany("insert into texts (rowid, text, heading, title, path) values (?, ?, ?, ?, ?)", rows)
        yield index
