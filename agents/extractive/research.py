"""Research: quotes that bear on a goal, found by code or proposed by a model and looked up."""

from __future__ import annotations

from collections.abc import Iterable

from signoff.agents.agent import Task
from signoff.agents.artifacts import Evidence, Quote
from signoff.agents.citations import Plain, even_out
from signoff.agents.extractive.grouping import reading_order
from signoff.agents.extractive.matching import bag
from signoff.agents.extractive.question import Question, sides, understand, whole
from signoff.agents.extractive.retrieval import Find, frequency, is_same, retrieve
from signoff.agents.extractive.sentences import split
from signoff.agents.extractive.text import counted, is_ideographic
from signoff.errors import UnknownSource
from signoff.tools.search.library import Library

_MOST_QUOTES = 14
_FEWEST_WORDS = 4
"""A shorter sentence on its own says nothing."""


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


def verify_quotes(evidence: Evidence, sources: Library) -> tuple[Evidence, int]:
    """The evidence with each quote as its document has it, and the number that no document has, which are dropped.

    Of a quote that was put together from several places, those of its sentences are kept that stand in the document.
    """
    texts: dict[str, Plain] = {}
    kept: list[Quote] = []
    dropped = 0
    for quote in evidence.quotes:
        new = [found for found in _standing(quote, sources, texts) if not _is_among(found, kept)]
        kept += new
        dropped += not new
    numbered = tuple(quote.model_copy(update={"id": number}) for number, quote in enumerate(kept, 1))
    matched = len({quote.source for quote in numbered})
    updated = evidence.model_copy(update={"quotes": numbered, "matched": matched, "searched": sources.documents})
    return updated, dropped


def _standing(quote: Quote, sources: Library, texts: dict[str, Plain]) -> list[Quote]:
    """The quote if its document has it, else those of its sentences that the document has."""
    whole = _located(quote, sources, texts)
    if whole is not None:
        return [whole]
    parts = [quote.model_copy(update={"text": sentence.text}) for sentence in split(quote.text)]
    found = [_located(part, sources, texts) for part in parts if len(part.text.split()) >= _FEWEST_WORDS]
    return [part for part in found if part is not None]


def _is_among(quote: Quote, others: Iterable[Quote]) -> bool:
    """Whether the document's same span is quoted, alone or within a longer one."""
    return any(other.source == quote.source and quote.text in other.text for other in others)


def _located(quote: Quote, sources: Library, texts: dict[str, Plain]) -> Quote | None:
    """The quote with the exact span of its document, or None if the document has no such span."""
    try:
        text = sources.text(quote.source)
    except UnknownSource:
        return None
    at = text.find(quote.text) if quote.text.strip() else -1
    if at >= 0:
        span = (at, at + len(quote.text))
    else:
        if quote.source not in texts:
            texts[quote.source] = even_out(text)
        near = texts[quote.source].find(quote.text)
        if near is None:
            return None
        span = near
    place = next((p for p in sources.passages_of(quote.source) if p.start <= span[0] < p.start + len(p.text)), None)
    named = {"title": place.title, "heading": place.heading} if place else {}
    found = {"text": text[slice(*span)], "start": span[0], "origin": sources.origin(quote.source)}
    return quote.model_copy(update={**found, **named})


def _missing(question: Question, quotes: Iterable[Quote], sources: Library) -> tuple[str, ...]:
    """The words of the question that no passage, title or file name uses, in whichever form."""
    counts = frequency(question, sources)
    absent = [term for term in question.terms if not counts[term.word]]
    names = bag(" ".join(sources.paths()).replace("_", " ")) if absent else bag("")
    return tuple(
        term.word
        for term in absent
        if not is_ideographic(term.word)
        and not names.holds(term)
        and not any(bag(quote.text).holds(term) for quote in quotes)
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
