"""Contradictions between quotes: sentences that say nearly the same and differ in what matters, and which is later."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from signoff.agents.artifacts import Conflict, Quote
from signoff.agents.extractive import text as words
from signoff.agents.extractive.sentences import split

_ALIKE = 0.6
"""Share of all their words that two sentences about the same thing have in common."""
_FEWEST = 3
"""Words they must have in common."""
_MOST = 5
_NEGATION = re.compile(
    r"\b(?:not|no|never|cannot|neither|nor|without|none|nobody|nothing)\b|n['’]t\b",
    re.IGNORECASE,
)
_SPELT = {
    spelt: number
    for number, spelt in enumerate("zero one two three four five six seven eight nine ten eleven twelve".split())
} | {"fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "sixty": 60, "ninety": 90}
_FIGURE = re.compile(
    rf"(?P<money>[$€£]|\b(?:USD|EUR|GBP) ?)?(?<![\w.])(?P<number>\d+(?:[.,]\d+)*|(?:{'|'.join(_SPELT)})\b)"
    r"(?:[ -]?(?P<unit>%|[^\W\d_]+))?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _Statement:
    """A sentence, taken apart."""

    about: frozenset[str]
    """Stems that carry meaning."""
    said: frozenset[str]
    """All stems."""
    figures: frozenset[tuple[str, str]]
    """Number and unit."""
    others: frozenset[str]
    """Numbers without a unit: versions, dates, sections."""
    negations: int
    shown: dict[str, str]
    """By unit, the figure as it is written."""


def find_conflicts(quotes: Sequence[Quote]) -> tuple[Conflict, ...]:
    """Pairs of quotes that seem to disagree, few and rather too few than too many."""
    read = [(quote, [_read(clause) for clause in _clauses(quote.text)]) for quote in quotes]
    found = (
        Conflict(first=one.id, second=other.id, why=why + _later(one, other))
        for (one, first), (other, second) in combinations(read, 2)
        if (why := next(_differences(first, second), ""))
    )
    return tuple(conflict for conflict, _ in zip(found, range(_MOST), strict=False))


def _clauses(text: str) -> list[str]:
    return [clause for sentence in split(text) for clause in re.split(r"(?<=\w); ", sentence.text)]


def _later(one: Quote, other: Quote) -> str:
    """Which of the two is later, if their titles, headings or names tell."""
    first, second = (date_of(quote.title, quote.heading, quote.source) for quote in (one, other))
    if first and second and first[: len(second)] != second[: len(first)]:
        later, date = ("first", first) if first > second else ("second", second)
        return f"; the {later} is of {date}, and later"
    versions = version_of(one.title), version_of(other.title)
    if versions[0] and versions[1] and versions[0][0] == versions[1][0] and versions[0] != versions[1]:
        return f"; the {'first' if versions[0] > versions[1] else 'second'} is of the later version"
    return ""


def _read(sentence: str) -> _Statement:
    figures: set[tuple[str, str]] = set()
    others: set[str] = set()
    shown: dict[str, str] = {}
    for match in _FIGURE.finditer(sentence):
        number = str(_SPELT.get(match["number"].lower(), match["number"].lower().rstrip(",.")))
        unit = _unit(match, number)
        if unit:
            figures.add((number, unit))
            shown[unit] = match[0].strip() if unit != "money" else f"{match['money']}{match['number']}"
        else:
            others.add(number)
    counted = {number for number, _ in figures} | others | set(_SPELT)
    about = {words.stem(word) for word in words.content(sentence) if word not in counted} - {
        unit for _, unit in figures
    }
    said = frozenset(map(words.stem, words.tokens(sentence)))
    return _Statement(
        frozenset(about), said, frozenset(figures), frozenset(others), len(_NEGATION.findall(sentence)), shown
    )


def _unit(match: re.Match[str], number: str) -> str:
    if match["money"]:
        return "money"
    unit = (match["unit"] or "").lower()
    if unit == "%" or words.stem(unit) in words.stems_of("measures"):
        return words.stem(unit)
    is_thing = (
        unit.endswith("s") and not words.is_stop_word(unit) and "." not in number and not match["number"].isalpha()
    )
    return words.stem(unit) if is_thing else ""


def _differences(first: Sequence[_Statement], second: Sequence[_Statement]) -> Iterator[str]:
    for one in first:
        for other in second:
            if why := _difference(one, other):
                yield why


def _difference(one: _Statement, other: _Statement) -> str:
    """Why two statements disagree; empty if they do not, or are not about the same thing."""
    shared = len(one.about & other.about)
    if shared < _FEWEST or one.others != other.others:
        return ""
    apart = one.about ^ other.about
    if opposed := _opposed(one, other):
        close = shared >= _ALIKE * (len(one.about | other.about) - 2)
        return opposed if close and one.negations % 2 == other.negations % 2 else ""
    if shared < _ALIKE * len(one.about | other.about):
        return ""
    if one.negations % 2 != other.negations % 2:
        return "one says it, the other denies it" if one.figures == other.figures and len(apart) <= 2 else ""
    units = {unit for _, unit in one.figures} & {unit for _, unit in other.figures}
    changed = sorted(unit for unit in units if _of(one, unit) != _of(other, unit))
    if len(changed) != 1 or len(_of(one, changed[0])) != 1 or len(_of(other, changed[0])) != 1:
        return ""
    return f"“{one.shown[changed[0]]}” in one, “{other.shown[changed[0]]}” in the other"


def _of(statement: _Statement, unit: str) -> set[str]:
    return {number for number, of in statement.figures if of == unit}


def _opposed(one: _Statement, other: _Statement) -> str:
    for pair in words.pairs_of("opposites"):
        for left, right in (pair, pair[::-1]):
            first, second = words.stem(left), words.stem(right)
            if first in one.said - other.said and second in other.said - one.said:
                return f"one says “{left}”, the other “{right}”"
    return ""


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\d){_YEAR}[-_.](?P<number>0[1-9]|1[0-2])[-_.](?P<day>[0-3]\d)(?!\d)",
        rf"(?<!\d)(?P<day>[0-3]?\d)(?:st|nd|rd|th|\.)?(?: of)? {_MONTH},? {_YEAR}(?!\d)",
        rf"\b{_MONTH} (?P<day>[0-3]?\d)(?:st|nd|rd|th)?,? {_YEAR}(?!\d)",
        rf"\b{_MONTH},? {_YEAR}(?!\d)",
        rf"(?<!\d){_YEAR}[-_](?P<number>0[1-9]|1[0-2])(?!\d)",
    )
)
_VERSION = re.compile(r"\b(?:v|version )(\d+)(?:\.(\d+))?\b", re.IGNORECASE)


def date_of(*texts: str) -> str:
    """The first date in the first of these texts that has one, as '2025-03-18' or '2025-03'; empty if none has."""
    for text in texts:
        for pattern in _DATES:
            if found := pattern.search(text):
                parts = found.groupdict()
                number = parts.get("number") or f"{_MONTHS.index(parts['month'][:3].lower()) + 1:02}"
                day = f"-{int(parts['day']):02}" if parts.get("day") else ""
                return f"{parts['year']}-{number}{day}"
    return ""


def version_of(title: str) -> tuple[str, int, int] | None:
    """What a title names, and which version of it; None if it says no version."""
    found = _VERSION.search(title)
    if found is None:
        return None
    return _VERSION.sub("", title).strip().casefold(), int(found[1]), int(found[2] or 0)
