"""Quotes that bear on a goal, found by code: what the search of the house finds first, whole and word for word."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain
from typing import Final

from signoff.agents.agent import Task
from signoff.agents.artifacts import Evidence, Quote
from signoff.agents.claims import is_put_otherwise
from signoff.agents.extractive.question import (
    asks_about_changes,
    asks_for_number,
    has_number,
    is_log,
    names_in,
    parts_of,
    sides_of,
)
from signoff.agents.extractive.sentences import split
from signoff.tools.search import Library, Passage, may_answer, other_words, words_in, words_of
from signoff.wording import counted

_LOOKED_AT: Final = 50
SHOWN: Final = 8
"""Quotes that are shown of what was judged to answer."""
NEAREST: Final = 3
"""Quotes that are shown where nothing was."""
_CLEAR: Final = 0.6
"""Share of the question that the best passage has where what is far behind it is left out: of less, all are guesses."""
_BEHIND, _EACH = 0.65, 0.03
"""Share of the best rank below which a passage is far behind, and what each that is shown adds to it."""
_OF_A_LOG, _OF_NO_NUMBER = 0.3, 0.3
"""Ranks that release notes lose, which have every word there is and seldom explain one; and what has no number where
one is asked for.
"""
_REPEATED: Final = 0.8
"""Share of a passage's words that stand in one shown already, from which it says nothing new."""
_NAMED: Final = 5
"""Letters by which a name is known that is written in two ways: Postgres and PostgreSQL."""
_POINTING_BACK: Final = re.compile(
    r"(?:- |\* )?(?:this|these|those|both|otherwise|however|but|instead|in (?:this|that) case|if so|if not)\b",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"[^\W_]+")


def gather(task: Task, sources: Library) -> Evidence:
    """The passages that answer the goal, best first, and what is asked that none of them speaks of.

    Where none is judged to answer, the nearest are there, and the evidence is not `sure`.
    """
    task.say(f"searching {counted(sources.documents, 'document')}")
    parts, sides = parts_of(task.goal), sides_of(task.goal)
    found = _ranked(sources.search(task.goal, limit=_LOOKED_AT), task.goal)
    several = parts if len(parts) > 1 else ()
    shown = _distinct(found if several or sides else _near_the_best(found), SHOWN)
    sure = _is_sure(task.goal, found[:NEAREST], _unknown_in(task.goal, sources))
    sure = sure or any(_answers(part, shown, sources) for part in (*several, *sides))
    unmet: list[str] = []
    for asked in chain(several, sides) if sure else ():
        if _answers(asked, shown, sources):
            continue
        unknown, near = _unknown_in(asked, sources), _ranked(sources.search(asked, limit=NEAREST), asked)
        more = [one for one in near if _is_sure(asked, [one], unknown)]
        if more:
            shown = _distinct([*shown, more[0]], len(shown) + 1)
        else:
            unmet.append(asked)
    shown = shown if sure else _distinct(found, NEAREST)
    read = _carried_on(_reading_order(shown), sources)
    quotes = tuple(quote_of(number, one, sources) for number, one in enumerate(read, 1))
    matched = len({quote.source for quote in quotes})
    told = f"kept {counted(len(quotes), 'quote')} from {counted(matched, 'document')}" if quotes else "found nothing"
    task.say(told if sure or not quotes else f"found nothing that surely answers; {told}")
    counts = sources.document_frequency(words_of(" ".join(sides) or task.goal))
    others = other_words(task.goal)
    said = [others[word] for word in words_in(["\n".join(one.text for one in quotes)], tuple(others))[0]]
    return Evidence(
        question=task.goal,
        quotes=quotes,
        searched=sources.documents,
        matched=matched,
        sure=sure,
        missing=tuple(
            word
            for word, count in counts.items()
            if not (count or any(word in named for named in said) or asks_about_changes(word)) and sources.documents
        ),
        unmet=tuple(unmet),
    )


def _ranked(found: Sequence[Passage], goal: str) -> list[Passage]:
    """The passages with those of release notes further down unless they are asked for, and what lacks a number."""
    is_told, is_number = asks_about_changes(goal), asks_for_number(goal)
    ranked = [
        replace(
            one,
            rank=one.rank
            - _OF_A_LOG * (not is_told and is_log(one.source, one.title, one.heading))
            - _OF_NO_NUMBER * (is_number and not has_number(one.text)),
        )
        for one in found
    ]
    return sorted(ranked, key=lambda one: -one.rank)


def _near_the_best(found: Sequence[Passage]) -> list[Passage]:
    """The first passages, and others but what is far behind the best if that has enough of the question."""
    if not found or found[0].share < _CLEAR:
        return list(found)
    best = found[0].rank
    return [one for at, one in enumerate(found) if at < NEAREST or one.rank >= (_BEHIND + _EACH * at) * best]


def _unknown_in(asked: str, sources: Library) -> list[str]:
    """The names in a question that no document has."""
    return [name for name, count in sources.document_frequency(names_in(asked)).items() if not count]


def _is_sure(asked: str, passages: Sequence[Passage], unknown: Sequence[str]) -> bool:
    """Whether one of the passages has enough of what is asked, and they write unknown names in another way."""
    texts = "\n".join(one.text for one in passages).lower()
    if any(name[:_NAMED] not in texts for name in unknown):
        return False
    return may_answer([one for one in passages if not asks_for_number(asked) or has_number(one.text)])


def _answers(asked: str, passages: Sequence[Passage], sources: Library) -> bool:
    """Whether one of the passages has enough of the words of what is asked."""
    shares, unknown = sources.shares(asked, passages), _unknown_in(asked, sources)
    return any(_is_sure(asked, [replace(one, share=shares[one.id], likeness=None)], unknown) for one in passages)


def _distinct(found: Iterable[Passage], most: int) -> list[Passage]:
    """The first passages, without those that say what stands in one before: both sides of editions that differ stay."""
    shown: list[str] = []
    kept: list[Passage] = []
    for one in found:
        is_layout = one.kind == "table" and not any(mark in one.text for mark in ("\n", ": "))  # of links, mostly
        if len(kept) < most and not is_layout and not any(_is_said(one.text, before) for before in shown):
            kept.append(one)
            shown.append(one.text)
    return kept


def _is_said(text: str, before: str) -> bool:
    """Whether most words of a text stand in another, and no sentence puts otherwise what the nearest one there says."""
    words, known = (frozenset(_WORD.findall(each.lower())) for each in (text, before))
    if len(words - known) > (1 - _REPEATED) * len(words):
        return False
    others = {sentence.text: frozenset(_WORD.findall(sentence.text)) for sentence in split(before)}
    for said in (sentence.text for sentence in split(text)):
        near = max(others, key=lambda other: len(others[other].intersection(_WORD.findall(said))), default="")
        if is_put_otherwise(said, near):
            return False
    return True


def _reading_order(shown: Sequence[Passage]) -> list[Passage]:
    """The best three as they come; then what else is from the same documents together, each where its best stood."""
    first, rest = list(shown[:NEAREST]), shown[NEAREST:]
    order = list(dict.fromkeys(one.source for one in [*first[:0:-1], *rest]))
    return first + sorted(rest, key=lambda one: order.index(one.source))


def _carried_on(shown: Sequence[Passage], sources: Library) -> list[Passage]:
    """The passages, with what goes on with one of the best: a table that its colon announces, and of the first what
    points back to it.
    """
    read: list[Passage] = []
    for at, one in enumerate(shown):
        read.append(one)
        later = (other for other in sources.passages_of(one.source) if other.start > one.start) if at < NEAREST else ()
        after = next(iter(later), one)
        is_announced = one.text.endswith(":") and after.kind == "table"
        if after.heading == one.heading and (is_announced or (not at and _POINTING_BACK.match(after.text))):
            read.append(after)
    return list({(one.source, one.start): one for one in read}.values())


def quote_of(number: int, passage: Passage, sources: Library) -> Quote:
    """The whole passage as a quote of this number."""
    return Quote(
        id=number,
        text=passage.text,
        source=passage.source,
        start=passage.start,
        kind=passage.kind,
        title=passage.title,
        heading=passage.heading,
        origin=sources.origin(passage.source),
        score=round(passage.rank, 4),
    )
