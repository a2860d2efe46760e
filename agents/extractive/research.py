"""Quotes that bear on a goal, found by code: the passages of the documents that answer its questions."""

from __future__ import annotations

from collections.abc import Iterable

from signoff.agents.agent import Task
from signoff.agents.artifacts import Evidence, Quote
from signoff.agents.extractive.grouping import reading_order
from signoff.agents.extractive.matching import word_index
from signoff.agents.extractive.question import Question, sides, understand, whole
from signoff.agents.extractive.retrieval import Find, frequency, is_same, retrieve
from signoff.agents.extractive.text import is_ideographic
from signoff.tools.search import Library
from signoff.wording import counted

_MOST_QUOTES = 14


def gather(task: Task, sources: Library) -> Evidence:
    """Quotes that bear on the goal, best first within what they answer; none if nothing is relevant."""
    questions = understand(task.goal)
    task.say(f"searching {counted(sources.documents, 'document')}")
    finds: list[Find] = []
    for question in questions:
        most = _MOST_QUOTES // len(questions)
        finds += retrieve(question, sources, most) or [
            found for side in sides(question) for found in retrieve(side, sources, most // 2)
        ]
    found = tuple(_quote(number, find, sources) for number, find in enumerate(_distinct(finds), 1))
    by_id = {quote.id: quote for quote in found}
    quotes = tuple(
        by_id[id].model_copy(update={"id": number}) for number, id in enumerate(reading_order(task.goal, found), 1)
    )
    matched = len({quote.source for quote in quotes})
    task.say(
        f"kept {counted(len(quotes), 'quote')} from {counted(matched, 'document')}"
        if quotes
        else "found nothing relevant"
    )
    return Evidence(
        question=task.goal,
        quotes=quotes,
        searched=sources.documents,
        matched=matched,
        missing=_missing(whole(task.goal), quotes, sources),
    )


def _missing(question: Question, quotes: Iterable[Quote], sources: Library) -> tuple[str, ...]:
    """The words of the question that no passage, title or file name uses, in whichever form."""
    counts = frequency(question, sources)
    absent = [term for term in question.terms if not counts[term.word]]
    names = word_index(" ".join(sources.paths()).replace("_", " ")) if absent else word_index("")
    return tuple(
        term.word
        for term in absent
        if not is_ideographic(term.word)
        and not names.holds(term)
        and not any(word_index(quote.text).holds(term) for quote in quotes)
    )


def _quote(number: int, find: Find, sources: Library) -> Quote:
    return Quote(
        id=number,
        text=find.excerpt.text,
        source=find.passage.source,
        start=find.excerpt.start,
        title=find.passage.title,
        heading=find.passage.heading,
        origin=sources.origin(find.passage.source),
        score=round(find.worth, 4),
    )


def _distinct(finds: Iterable[Find]) -> list[Find]:
    chosen: list[Find] = []
    for find in finds:
        if not any(is_same(find, other) for other in chosen):
            chosen.append(find)
    return chosen
