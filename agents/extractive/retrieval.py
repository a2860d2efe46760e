"""The sentences of the documents that answer a question, cut so that they can be quoted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from signoff.agents.extractive.answer_cues import (
    PLAIN_KINDS,
    asks_about_changes,
    is_apparatus,
    is_clear,
    is_headed,
    is_log,
    is_set_aside,
)
from signoff.agents.extractive.conflicts import date_of, differ
from signoff.agents.extractive.excerpts import LONGEST, Excerpt, cut, is_about_itself, is_noise, is_pointer, rows
from signoff.agents.extractive.matching import WordIndex, word_index
from signoff.agents.extractive.question import Question
from signoff.agents.extractive.scoring import BAR, Scale, Score, Surroundings, weigh
from signoff.agents.extractive.sentences import Sentence, split
from signoff.agents.extractive.text import other_forms
from signoff.tools.search import Library, Passage

_FOCUS = 6
"""Documents read as a whole."""
_READ = 120
"""Passages read sentence by sentence."""
_OPENING, _PROMISED = 2, 3
"""Passages that show what a document is about, and passages that its headings promise an answer in."""
_LONGEST_READ = 400
"""Passages read of one document."""
_MOST_OF_ONE = 5
_OWN = 0.3
"""Share of the question that a sentence itself must speak of, wherever it stands."""
_ROW = 0.5
"""The same for a row of a table, which nothing around it explains."""
_HOPELESS = 0.35
"""A question of which the documents use fewer of the words than this, by weight, is not searched for."""
_HEADED_SO = 0.6
"""Share of the question that a heading and a title speak of to make a section the place for the answer."""
_MOST_LATER = 6
"""Dated documents that add what they say of the subject."""
_OUTLINED = ("why", "how", "what", "topic")
"""Kinds of questions that a document may answer without naming its subject again."""
_BELOW_BEST = {1: 0.85, 2: 0.75}
_FAR_BELOW_BEST = 0.73
"""Quotes that score less than this share of the best are left out; few words tell good from bad less well."""


@dataclass(frozen=True)
class Lead:
    """How a document begins that seems to be about the question."""

    words: WordIndex
    opening: frozenset[int]
    """Ids of its first passages."""
    promised: frozenset[int]
    """Ids of the first passages below headings that promise an answer of the kind that is asked for."""


@dataclass(frozen=True)
class Find:
    """A quote that could be made, and how good it is."""

    passage: Passage
    excerpt: Excerpt
    """Its offset counts from the start of the document."""
    score: Score
    worth: float


def retrieve(question: Question, sources: Library, most: int) -> list[Find]:
    """The best finds for one question, at most so many; none if nothing is relevant."""
    if not question.terms:
        return []
    counts = frequency(question, sources)
    scale = weigh(question, counts, sources.passages)
    if scale.share(lambda term: float(counts[term.word] > 0)) < _HOPELESS:
        return []
    passages = _candidates(question, sources)
    leads = _leads(scale, passages, sources)
    for source in leads:
        passages |= {p.id: p for p in sources.passages_of(source)[:_LONGEST_READ]}
    worth = {id: _promise(scale, p, leads.get(p.source)) for id, p in passages.items() if _is_readable(question, p)}
    read = [passages[id] for id in sorted(worth, key=lambda id: (-worth[id], id))[:_READ]]
    text_of = cache(sources.text)
    finds: list[Find] = []
    for passage in read:
        start, end = _region(passage, sources)
        region = Excerpt(start, text_of(passage.source)[start:end])
        finds += _finds(scale, passage, region, leads.get(passage.source))
    chosen = _choose(finds, most, _BELOW_BEST.get(len(scale.subject), _FAR_BELOW_BEST))
    added = _compared(scale, read) if question.kind == "compare" else _over_time(scale, read, chosen)
    return chosen + [find for find in added if not any(is_same(find, other) for other in chosen)]


def _compared(scale: Scale, passages: Sequence[Passage]) -> list[Find]:
    """How each document begins whose title names what is compared: 'Pumps v1' and 'Pumps v2'."""
    titled = {p.source for p in passages if scale.share(word_index(p.title).holds) >= BAR}
    if len(titled) < 2:
        return []
    first: dict[str, Find] = {}
    for passage in sorted(passages, key=lambda p: p.start):
        if passage.source in titled - first.keys() and passage.kind == "prose" and not is_noise(passage.text[:LONGEST]):
            sentences = split(passage.text)
            excerpt = next(
                (found for n in range(len(sentences[:3])) if (found := cut(passage.text, sentences, n))), None
            )
            if excerpt:
                where = Surroundings((), word_index(passage.text), passage.heading, passage.title, None)
                score = scale.score(excerpt.text, where)
                placed = replace(excerpt, start=passage.start + excerpt.start)
                first[passage.source] = Find(passage, placed, score, score.total)
    return [first[source] for source in sorted(first)]


def _over_time(scale: Scale, passages: Sequence[Passage], chosen: Sequence[Find]) -> list[Find]:
    """What other dated documents say under a heading that is about the subject, if what was found has a date as well.

    Meetings come back to a subject without naming it again: what was decided in one is changed in a later one.
    """
    question = scale.question
    dates = {p.source: date_of(p.title, p.source) for p in passages}
    told = {find.passage.source for find in chosen if is_clear(question, find.excerpt.text)}
    if not chosen or len({date for date in dates.values() if date}) < 2:
        return []
    best: dict[str, Find] = {}
    for passage in passages:
        innermost = word_index(passage.heading.split(" › ")[-1])
        is_headed_so = len(innermost.stems) <= 3 and any(
            innermost.holds(term) == 1 for term in scale.subject if not term.weak
        )
        if not dates[passage.source] or passage.source in told or not is_headed_so or passage.kind == "table":
            continue
        for excerpt in _told(question, passage):
            where = Surroundings((), word_index(passage.text), passage.heading, passage.title, None)
            score = scale.score(excerpt.text, where)
            find = Find(passage, excerpt, score, score.total)
            if passage.source not in best or best[passage.source].worth < find.worth:
                best[passage.source] = find
    return sorted(best.values(), key=lambda find: (dates[find.passage.source], find.passage.source))[-_MOST_LATER:]


def _told(question: Question, passage: Passage) -> list[Excerpt]:
    """The sentences of a passage that give what is asked for; all of it, if it is short and anything may be meant."""
    if question.kind not in PLAIN_KINDS:
        is_short = len(passage.text) <= LONGEST and not is_noise(passage.text) and not is_pointer(passage.text)
        return [Excerpt(passage.start, passage.text)] if is_short else []
    sentences = split(passage.text)
    clear = [n for n, s in enumerate(sentences) if is_clear(question, s.text) and not is_noise(s.text)]
    cuts = [
        Excerpt(s.start, s.text) if s.is_begun and s.is_whole and not s.is_dangling else cut(passage.text, sentences, n)
        for n, s in enumerate(sentences)
        if n in clear
    ]
    return [replace(found, start=passage.start + found.start) for found in cuts if found]


def _candidates(question: Question, sources: Library) -> dict[int, Passage]:
    by_stem = {term.stem: " ".join((term.word, *other_forms(term.word))) for term in question.terms}
    queries = [(" ".join(by_stem.values()), 60)]
    queries += [(" ".join(by_stem.get(stem, stem) for stem in phrase), 30) for phrase in question.phrases]
    queries += [(by_stem[term.stem], 20) for term in question.subject]
    return {p.id: p for query, limit in queries for p in sources.search(query, limit=limit)}


def _leads(scale: Scale, passages: dict[int, Passage], sources: Library) -> dict[str, Lead]:
    """How the documents begin that seem to be about the question."""
    best: dict[str, float] = {}
    for passage in passages.values():
        best[passage.source] = max(best.get(passage.source, 0.0), _promise(scale, passage, None))
    leads: dict[str, Lead] = {}
    for source in sorted(best, key=lambda source: (-best[source], source))[: 2 * _FOCUS]:
        read = [
            p
            for p in sources.passages_of(source)[:_LONGEST_READ]
            if p.kind == "prose" and _is_readable(scale.question, p)
        ]
        opening = [p for p in read[:8] if not is_noise(p.text[:300])][:_OPENING]
        text = " ".join(p.text for p in opening)
        if opening and scale.is_about(opening[0].title, [p.text for p in read], text):
            lead = word_index(f"{opening[0].title} {text}")
            fitting = [p.id for p in read if is_headed(scale.question, p.heading) and not is_set_aside(p.heading)]
            leads[source] = Lead(lead, frozenset(p.id for p in opening), frozenset(fitting[:_PROMISED]))
    return dict(list(leads.items())[:_FOCUS])


def _is_readable(question: Question, passage: Passage) -> bool:
    """True if the passage may hold an answer in words."""
    if passage.kind == "code" or is_apparatus(passage.heading):
        return False
    return asks_about_changes(question) or not is_log(passage.title, passage.heading)


def _promise(scale: Scale, passage: Passage, lead: Lead | None) -> float:
    """What a passage may be worth, before its sentences are looked at."""
    indexes = [word_index(passage.text), word_index(passage.heading), word_index(passage.title)]
    here = scale.share(lambda term: max(found.holds(term) for found in indexes))
    return here if lead is None else max(here, 0.5 * here + 0.5 * scale.share(lead.words.holds))


def _finds(scale: Scale, passage: Passage, region: Excerpt, lead: Lead | None) -> list[Find]:
    """The quotes that could be made of a passage; the region is what it runs on from and into."""
    text, offset = region.text, region.start
    sentences = rows(text) if passage.kind == "table" else split(text)
    indexes = [word_index(sentence.text) for sentence in sentences]
    found: list[Find] = []
    for place, sentence in enumerate(sentences):
        inside = passage.start <= offset + sentence.start < passage.start + len(passage.text)
        if not inside or (is_noise(sentence.text) and not sentence.introduces):
            continue
        near = tuple(indexes[i] for i in (place - 1, place + 1) if 0 <= i < len(indexes) and passage.kind != "table")
        where = Surroundings(
            near, word_index(passage.text), passage.heading, passage.title, lead.words if lead else None
        )
        score = scale.score(sentence.text, where)
        if not _bears(scale, score, lead is not None and passage.id in lead.opening | lead.promised) or (
            passage.kind == "table" and score.own < _ROW
        ):
            continue
        excerpt = Excerpt(sentence.start, sentence.text) if passage.kind == "table" else cut(text, sentences, place)
        if excerpt and not is_noise(excerpt.text):
            placed = replace(excerpt, start=offset + excerpt.start)
            worth = score.total - _doubt(scale.question, passage, sentence, score, lead)
            found.append(Find(passage, placed, score, worth))
    return found


def _bears(scale: Scale, score: Score, is_promised: bool) -> bool:
    """True if a sentence of this score bears on the question."""
    kind = scale.question.kind
    if len(scale.subject) == 1 or kind in ("what", "topic"):
        is_in_front = score.early == 1 and (kind != "topic" or len(scale.subject) > 1)
        if not (is_in_front or score.above >= 0.5 or score.about or score.said >= 0.3):
            return False  # It is mentioned by the way.
    if score.own >= _OWN:
        return score.coverage >= scale.bar and score.breadth > 0.5 and score.named
    # A document about the subject gives its reasons and its outline without naming the subject in each sentence.
    is_outline = is_promised and kind in _OUTLINED and score.about >= scale.bar
    return is_outline and (score.cue >= 0.6 or score.titled >= 2 * _OWN)


def _region(passage: Passage, sources: Library) -> tuple[int, int]:
    """Where the passage and the ones it runs on from or into begin and end in the document."""
    start, end = passage.start, passage.start + len(passage.text)
    if passage.kind != "table":
        for other in sources.neighbours(passage.id, 1, 1):
            if other.heading != passage.heading or other.kind not in ("prose", "list"):
                continue
            if 0 <= passage.start - (other.start + len(other.text)) <= 2:
                start = other.start
            elif 0 <= other.start - (passage.start + len(passage.text)) <= 2:
                end = other.start + len(other.text)
    return start, end


def _doubt(question: Question, passage: Passage, sentence: Sentence, score: Score, lead: Lead | None) -> float:
    """What speaks against quoting this; below 0 if something speaks for it."""
    doubt = {"prose": 0.0, "list": 0.05, "table": 0.1}.get(passage.kind, 0.3)
    doubt += 0.25 if is_set_aside(passage.heading) else 0.0
    doubt += 0.4 if is_pointer(sentence.text) else 0.0
    doubt += 0.0 if sentence.is_whole or passage.kind == "table" else 0.3
    doubt += 0.1 if len(sentence.text) < 50 else 0.0
    doubt += 0.1 if sentence.is_dangling or sentence.leans else 0.0
    doubt += 0.4 if is_about_itself(sentence.text) and question.kind not in ("what", "topic") else 0.0
    doubt += 0.25 if score.cue < 0.2 and question.kind not in ("what", "topic") else 0.0
    if lead and passage.id in lead.promised and question.kind == "why":
        return doubt - 0.4
    return doubt - (0.2 if lead and passage.id in lead.opening | lead.promised else 0.0)


def _choose(finds: Sequence[Find], most: int, least: float) -> list[Find]:
    """The best finds, not too many from one document, none of them twice."""
    chosen: list[Find] = []
    ranked = sorted(finds, key=lambda find: (-find.worth, find.passage.source, find.excerpt.start))
    best = sum(find.worth for find in ranked[:3]) / len(ranked[:3]) if ranked else 0.0
    several = len({find.passage.source for find in ranked if find.worth >= least * best}) > 1
    for find in ranked:
        if _is_stray(find, ranked[0]):
            continue
        if len(chosen) == most or find.worth < least * best:
            break
        alike = sum(other.passage.source == find.passage.source for other in chosen)
        if alike < (_MOST_OF_ONE if several else 2 * _MOST_OF_ONE) and not any(
            is_same(find, other) for other in chosen
        ):
            chosen.append(find)
    return chosen


def _is_stray(find: Find, best: Find) -> bool:
    """True if the best find's document has a section headed as the question is, and this stands in another of it."""
    if find.passage.source != best.passage.source or find.passage.heading == best.passage.heading:
        return False
    return (
        best.score.above >= _HEADED_SO and find.score.above < 0.5 * best.score.above and find.worth < 0.8 * best.worth
    )


def is_same(one: Find, other: Find) -> bool:
    """True if the two overlap, or say the same in nearly the same words."""
    overlaps = one.excerpt.start < other.excerpt.end and other.excerpt.start < one.excerpt.end
    if overlaps and one.passage.source == other.passage.source:
        return True
    first, second = word_index(one.excerpt.text).stems, word_index(other.excerpt.text).stems
    alike = len(first & second) >= 0.8 * max(1, min(len(first), len(second)))
    return alike and not differ(one.excerpt.text, other.excerpt.text)


def frequency(question: Question, sources: Library) -> dict[str, int]:
    """In how many passages each term occurs, in whichever form."""
    forms = {term.word: (term.word, *other_forms(term.word)) for term in question.terms}
    counts = sources.document_frequency([form for word in forms for form in forms[word]])
    return {word: max(counts.get(form, 0) for form in forms[word]) for word in forms}
