"""How text is cut into words, which of them carry meaning, and when two of them are the same word."""

from __future__ import annotations

import re
import tomllib
from functools import cache, lru_cache
from pathlib import Path

_TOKEN = re.compile(
    r"\d+(?:[.,:]\d+)+|[cC]\+\+|[cCfF]#"
    r"|(?P<ideographs>[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+)"
    r"|(?:(?![\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff])[^\W_])+(?:['’](?:s|t|re|ve|ll|d|m)\b)?"
)
_CONTRACTION = re.compile(r"['’](?:s|re|ve|ll|d|m)$")
_VOWEL_GROUP = re.compile(r"[aeiouy]+[^aeiouy]+")
_HAS_VOWEL = re.compile(r"[aeiouy]")
_SHORT_END = re.compile(r"[^aeiou][aeiouy][^aeiouywx]$")


@cache
def _lists() -> dict[str, list[str]]:
    """The word lists, by name."""
    kept = tomllib.loads(Path(__file__).with_name("words.toml").read_text(encoding="utf-8"))
    return {name: listed.split() for name, listed in kept.items()}


@cache
def _words_of(name: str) -> frozenset[str]:
    return frozenset(_lists()[name])


@cache
def stems_of(name: str) -> frozenset[str]:
    """The stems of the words of a list."""
    return frozenset(map(stem, _lists()[name]))


@cache
def pairs_of(name: str) -> tuple[tuple[str, str], ...]:
    """The pairs of a list of pairs."""
    return tuple((first, second) for first, _, second in (pair.partition(":") for pair in _lists()[name]))


@cache
def _base_forms() -> dict[str, str]:
    """Irregular and short forms, and the words they stand for."""
    return dict(pairs_of("irregular") + pairs_of("short"))


def tokens(text: str) -> list[str]:
    """The words of a text in small letters and in order; runs of ideographs become pairs of neighbours."""
    found: list[str] = []
    for match in _TOKEN.finditer(text):
        word = match.group()
        if match["ideographs"]:
            found += [word[i : i + 2] for i in range(max(1, len(word) - 1))]
        else:
            found.append(_CONTRACTION.sub("", word.lower()).replace("’", "'"))
    return found


def content(text: str) -> list[str]:
    """The words that carry meaning, in order."""
    return [word for word in tokens(text) if carries_meaning(word)]


def is_stop_word(word: str) -> bool:
    """True for words too common to tell one text from another."""
    return word in _words_of("stop_words")


def carries_meaning(word: str) -> bool:
    """True unless it is a stop word or a lone letter that is not a name of its own."""
    return word not in _words_of("stop_words") and (len(word) > 1 or word.isdigit() or not word.isascii())


@lru_cache(maxsize=1 << 16)
def stem(word: str) -> str:
    """The word without its inflection: 'groups', 'grouped' and 'grouping' are one, 'group'."""
    word = _uninflected(word)
    if len(word) > 3 and word.isascii() and word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "i"
    return _without_e(word)


def _uninflected(word: str) -> str:
    """The word in singular or infinitive, as far as its ending tells."""
    word = _base_forms().get(word, word)
    if len(word) < 4 or not (word.isascii() and word.isalpha()):
        return word
    word = _without_plural(word)
    for ending in ("ing", "ed"):
        rest = word.removesuffix(ending)
        if rest != word and not word.endswith("eed") and len(rest) > 1 and _HAS_VOWEL.search(rest):
            return _restored(rest)
    return word


def _without_plural(word: str) -> str:
    if word.endswith("sses"):
        return word[:-2]
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word[:-1]
    if word.endswith(("xes", "ches", "shes", "zzes")):
        return word[:-2]
    return word if word.endswith(("ss", "us", "is")) or not word.endswith("s") else word[:-1]


def _restored(rest: str) -> str:
    """Undoes what an ending did to the word: 'runn' is 'run', 'cod' is 'code'."""
    if len(rest) == 2 or rest.endswith(("at", "bl", "iz", "is", "uc", "dg")):
        return rest + "e"
    if rest[-1] == rest[-2] and rest[-1] not in "aeiouylsz" and len(rest) > 3:
        return rest[:-1]
    if len(_VOWEL_GROUP.findall(rest)) == 1 and _SHORT_END.search(rest):
        return rest + "e"
    return rest


def _without_e(word: str) -> str:
    rest = word[:-1]
    if not word.endswith("e") or len(word) < 4:
        return word
    groups = len(_VOWEL_GROUP.findall(rest))
    return rest if groups > 1 or (groups == 1 and not _SHORT_END.search(rest)) else word
