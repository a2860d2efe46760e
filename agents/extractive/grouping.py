"""Which quotes answer most directly, and which speak of one thing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import PurePosixPath

from signoff.agents.artifacts import Quote, Theme
from signoff.agents.extractive.answer_cues import PLAIN_KINDS, cue, is_clear, may_state
from signoff.agents.extractive.conflicts import date_of
from signoff.agents.extractive.matching import word_index
from signoff.agents.extractive.question import Question, understand
from signoff.agents.extractive.text import stem

_MOST_ANSWERS = 4
_LONGEST_ANSWER = 1000
"""Characters of all direct answers together."""
_NEAR_BEST = 0.8
_MOST_THEMES = 6
_DOING = frozenset(stem(word) for word in "own lead run maintain manage head approve".split())
_ELSEWHERE = "Other documents"


def fit(question: Question, quote: Quote) -> float:
    """How directly a quote answers a question, by its own words and its headings."""
    held = [word_index(part) for part in (quote.text, quote.heading, quote.title)]
    terms = question.terms
    share = sum(max(words.holds(term) for words in held) for term in terms) / len(terms) if terms else 0.0
    return share + 0.6 * cue(question, quote.text, quote.heading)


def answers(goal: str, quotes: Sequence[Quote]) -> tuple[int, ...]:
    """Ids of the quotes that answer most directly, some for each thing that is asked; none if no quote does."""
    questions = understand(goal)
    chosen: list[Quote] = []
    for question in questions:
        own = [
            quote
            for quote in quotes
            if _asked_by(questions, quote) is question and _answers(question, quote) and quote not in chosen
        ]
        if question.kind == "who":  # A name that belongs to something else is worse than none.
            most = max((_spoken(question, quote) for quote in own), default=0)
            own = [quote for quote in own if _spoken(question, quote) == most]
        chosen += _best(question, own, max(1, _MOST_ANSWERS // len(questions)), _LONGEST_ANSWER // len(questions))
    return tuple(quote.id for quote in chosen)


def _spoken(question: Question, quote: Quote) -> int:
    """How many words of the subject a quote and the place it stands at speak of; 'own' and 'run' count for nothing."""
    words = word_index(f"{quote.text} {quote.heading} {quote.title}")
    return sum(words.holds(term) > 0 for term in question.subject if term.stem not in _DOING)


def _answers(question: Question, quote: Quote) -> bool:
    """True if a quote gives what is asked for, and speaks of the subject where it does."""
    if question.kind not in PLAIN_KINDS:
        return True
    innermost = quote.heading.split(" › ")[-1]
    words = word_index(f"{quote.text} {innermost}" if date_of(quote.title, quote.source) else quote.text)
    held = sum(words.holds(term) > 0 for term in question.subject)
    return is_clear(question, quote.text) and 2 * held >= len(question.subject)


def unanswered(goal: str, quotes: Sequence[Quote]) -> tuple[Question, ...]:
    """The questions of a goal with several that share no word with any quote, nor could be answered by any."""
    questions = understand(goal)
    held = [word_index(f"{quote.text} {quote.heading} {quote.title}") for quote in quotes]
    left = (
        question
        for question in questions
        if not any(words.holds(term) for words in held for term in question.terms)
        and not (
            question.kind in (*PLAIN_KINDS, "why")
            and any(may_state(question.kind, quote.text, quote.heading) for quote in quotes)
        )
    )
    return tuple(left) if len(questions) > 1 else ()


def themes(quotes: Sequence[Quote]) -> tuple[Theme, ...]:
    """The quotes by document, or by heading if they all come from one; titles are the documents' own."""
    ranked = _in_time(sorted(quotes, key=_rank))
    sources = list(dict.fromkeys(quote.source for quote in ranked))
    if len(sources) == 1:
        return _by_heading(ranked)
    kept = sources
    if len(sources) > _MOST_THEMES:
        kept = [source for source in sources if sum(quote.source == source for quote in ranked) > 1][: _MOST_THEMES - 1]
    names = _names(ranked)
    return _gathered(ranked, lambda quote: names[quote.source] if quote.source in kept else _ELSEWHERE)


def name(quote: Quote) -> str:
    """What to call the document a quote is from."""
    return quote.title.strip() or PurePosixPath(quote.source).name


def reading_order(goal: str, quotes: Sequence[Quote]) -> tuple[int, ...]:
    """All ids as a report brings them: direct answers, then theme by theme."""
    first = answers(goal, quotes)
    return first + tuple(id for theme in themes(quotes) for id in theme.quotes if id not in first)


def _asked_by(questions: Sequence[Question], quote: Quote) -> Question:
    """The question a quote answers best."""
    return max(questions, key=lambda question: fit(question, quote))


def _rank(quote: Quote) -> tuple[float, str, int]:
    return (-quote.score, quote.source, quote.start)


def _best(question: Question, quotes: Sequence[Quote], most: int, longest: int) -> list[Quote]:
    """The best few, from different places first; what looks like an answer of the right kind counts twice."""
    if not quotes:
        return []
    worth = {quote.id: quote.score + 0.5 * cue(question, quote.text, quote.heading) for quote in quotes}
    ranked = sorted(quotes, key=lambda quote: (-worth[quote.id], *_rank(quote)))
    near = [quote for quote in ranked if worth[quote.id] >= _NEAR_BEST * worth[ranked[0].id]]
    seen: set[tuple[str, str]] = set()
    spread: list[Quote] = []
    for quote in near:
        if (quote.source, quote.heading) not in seen:
            seen.add((quote.source, quote.heading))
            spread.append(quote)
    chosen: list[Quote] = []
    for quote in [*spread, *(quote for quote in near if quote not in spread)]:
        if not chosen or (len(chosen) < most and sum(len(c.text) for c in [*chosen, quote]) <= longest):
            chosen.append(quote)
    return sorted(chosen, key=ranked.index)


def _in_time(quotes: Sequence[Quote]) -> list[Quote]:
    """The same quotes: documents that have a date one after the other, where the first of them stood."""
    dates = {quote.source: date_of(quote.title, quote.source) for quote in quotes}
    sources = list(dict.fromkeys(quote.source for quote in quotes))
    dated = iter(sorted((source for source in sources if dates[source]), key=lambda source: (dates[source], source)))
    order = {source: place for place, source in enumerate(next(dated) if dates[s] else s for s in sources)}
    return sorted(quotes, key=lambda quote: order[quote.source])


def _by_heading(quotes: Sequence[Quote]) -> tuple[Theme, ...]:
    """Quotes of one document by the outermost headings that tell them apart."""
    trails = [quote.heading.split(" › ") for quote in quotes]
    depth = 0
    while len({tuple(trail[: depth + 1]) for trail in trails}) == 1 and depth < max(map(len, trails)):
        depth += 1
    names = {
        quote.id: trail[min(depth, len(trail) - 1)] or name(quote) for quote, trail in zip(quotes, trails, strict=True)
    }
    common = list(dict.fromkeys(names.values()))[:_MOST_THEMES]
    if len(set(names.values())) > _MOST_THEMES:
        common = common[:-1]
    return _gathered(quotes, lambda quote: names[quote.id] if names[quote.id] in common else "Other sections")


def _gathered(quotes: Sequence[Quote], title: Callable[[Quote], str]) -> tuple[Theme, ...]:
    groups: dict[str, list[int]] = {}
    for quote in quotes:
        groups.setdefault(title(quote), []).append(quote.id)
    last = [key for key in groups if key in (_ELSEWHERE, "Other sections")]
    return tuple(Theme(title=key, quotes=tuple(groups[key])) for key in [*(k for k in groups if k not in last), *last])


def _names(quotes: Sequence[Quote]) -> dict[str, str]:
    """A name for each document, different for different ones."""
    named = {quote.source: name(quote) for quote in quotes}
    twice = {title for title in named.values() if list(named.values()).count(title) > 1}
    return {source: f"{title} ({source})" if title in twice else title for source, title in named.items()}
