"""What is asked for, and with which words."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import pairwise
from typing import Literal, cast

from signoff.agents.extractive import text as words
from signoff.agents.extractive.patterns import pattern, question_patterns

Kind = Literal["why", "how", "what", "which", "when", "who", "where", "span", "count", "compare", "whether", "topic"]
"""What is asked for: a reason, a way, a definition, one or some of many, a time, a name, a place, a length of time,
a number, a difference, yes or no, or everything."""

_PART = re.compile(
    r"(?<=[?？؟;])\s*|\n+|,?\s+and\s+(?=(?:why|how|what|when|who|whom|where|which|whether|does|do|did|is|are|was|were|can)\b)",
    re.IGNORECASE,
)
_BESIDE = re.compile(r",|;|\b(?:and|or|versus|vs\.?|with|to|between|than)\b|&", re.IGNORECASE)
_BACK_REFERENCE = re.compile(
    r"\b(?:it|its|they|them|their|this|that|these|those|he|she|his|her|there)\b", re.IGNORECASE
)
_QUOTED = re.compile(r"[\"“”`«»„]+([^\"“”`«»„]{2,60})[\"“”`«»„]+")
_MEASURED = re.compile(
    r"\b(how )(?:long|often|old|soon|frequently|large|big|fast|far|high|heavy|tall|expensive|well)\b", re.IGNORECASE
)
_IDENTIFIER = re.compile(r"(?<!\w)(?:\w*[A-Za-z]\w*_\w*|_\w+|[A-Za-z_]\w+(?:\.[A-Za-z_]\w+)+)(?!\w)")
_WORD = re.compile(r"[^\W\d_][\w’']+")
_OF = re.compile(r"(\w+) of (?:an? |the )?(\w+)")
_LETTERED = re.compile(r"\b([A-Za-z])-([A-Za-z]{2,})\b")
_MOST_TERMS = 24


@dataclass(frozen=True)
class Term:
    """A word of the question that carries meaning."""

    word: str
    stem: str
    """Several stems with blanks between them, if it is a name from a program."""
    root: str
    weak: bool
    """True for words that say little about the subject."""
    named: bool = False
    """True for a name, as far as its capitals tell."""


@dataclass(frozen=True)
class Question:
    """One thing that is asked."""

    text: str
    kind: Kind
    terms: tuple[Term, ...]
    """In order, each once."""
    phrases: tuple[tuple[str, ...], ...]
    """Stems of words that stand side by side, or inside quotation marks."""

    @property
    def subject(self) -> tuple[Term, ...]:
        """The terms that say what it is about; all of them if every one is weak."""
        return tuple(term for term in self.terms if not term.weak) or self.terms


@lru_cache(maxsize=64)
def understand(goal: str) -> tuple[Question, ...]:
    """The questions a goal asks, at least one; a later one that says 'it' is about what the first is about."""
    pieces = [piece for piece in (part.strip(" \t\r\n,") for part in _PART.split(goal)) if words.content(piece)]
    questions: list[Question] = []
    for piece in pieces:
        question = _analyse(piece)
        if questions and (not any(not t.weak for t in question.terms) or _BACK_REFERENCE.search(piece)):
            question = _about(question, questions[0])
        if question.terms:
            questions.append(question)
    return tuple(questions) or (_analyse(goal),)


def whole(goal: str) -> Question:
    """The goal as one question, with the terms of all its parts."""
    parts = understand(goal)
    terms = _distinct(term for part in parts for term in part.terms)
    return Question(goal, parts[0].kind, terms, tuple(dict.fromkeys(p for part in parts for p in part.phrases)))


def sides(question: Question) -> tuple[Question, ...]:
    """The things a question sets side by side, 'fares and refunds', each as a question; none if there is only one."""
    if question.kind not in ("topic", "compare"):
        return ()
    parts = [_analyse(part) for part in _BESIDE.split(pattern("request").sub("", question.text)) if words.content(part)]
    return tuple(part for part in parts if part.subject) if len(parts) > 1 else ()


def _analyse(text: str) -> Question:
    asked = pattern("audience").sub("", pattern("request").sub("", text.strip()))
    if not words.content(asked):
        asked = text
    names = [name for name in _IDENTIFIER.findall(asked) if len(words.tokens(name)) > 1]
    asked = _LETTERED.sub(r"\1\2", asked)
    terms = _distinct([*map(_identifier, names), *_plain_terms(_IDENTIFIER.sub(" ", asked) if names else asked)])
    if not terms:
        terms = _distinct(_term(word) for word in words.content(asked))
    phrases = _phrases(asked, {term.stem for term in terms})
    return Question(text, _kind(asked) or _kind(text) or "topic", _with_names(terms, asked), phrases)


def _with_names(terms: tuple[Term, ...], asked: str) -> tuple[Term, ...]:
    """The terms, names marked; none are where every noun has a capital."""
    names = {words.stem(word.lower()) for word in _WORD.findall(asked.strip()[1:]) if word[0].isupper()}
    names = names if 2 * len(names) <= len(terms) or len(names) == 1 else set()
    return tuple(replace(term, named=True) if term.stem in names else term for term in terms)


def _plain_terms(asked: str) -> list[Term]:
    return [
        _term(word)
        for word in words.content(_MEASURED.sub(r"\1", asked))
        if words.stem(word) not in words.stems_of("asking")
    ]


def _term(word: str) -> Term:
    return Term(word, words.stem(word), words.root(word), words.is_weak(word))


def _identifier(name: str) -> Term:
    """A name from a program, such as `__set_name__`: its parts count only side by side."""
    parts = " ".join(words.stem(part) for part in words.tokens(name))
    return Term(name, parts, parts, False)


def _kind(asked: str) -> Kind | None:
    lowered = asked.strip().lower()
    return next((cast(Kind, kind) for kind, asking in question_patterns() if asking.search(lowered)), None)


def _about(question: Question, first: Question) -> Question:
    """The question with the subject of the one before it."""
    own = {term.stem for term in question.terms}
    borrowed = tuple(term for term in first.subject if term.stem not in own)
    return Question(
        question.text, question.kind, (borrowed + question.terms)[:_MOST_TERMS], first.phrases + question.phrases
    )


def _distinct(terms: Iterable[Term]) -> tuple[Term, ...]:
    first: dict[str, Term] = {}
    for term in terms:
        first.setdefault(term.stem, term)
    return tuple(first.values())[:_MOST_TERMS]


def _phrases(text: str, stems: set[str]) -> tuple[tuple[str, ...], ...]:
    """Neighbouring words that both carry meaning, and whatever stands in quotation marks."""
    found: list[tuple[str, ...]] = [
        tuple(words.stem(word) for word in words.tokens(quoted)) for quoted in _QUOTED.findall(text)
    ]
    for clause in re.split(r"[,.;:!?()]\s|[\"“”«»]", text):
        run = [words.stem(word) if words.carries_meaning(word) else "" for word in words.tokens(clause)]
        found += [(a, b) for a, b in pairwise(run) if a in stems and b in stems and a != b]
    found += [
        (words.stem(a), words.stem(b)) for a, b in _OF.findall(text.lower()) if {words.stem(a), words.stem(b)} <= stems
    ]
    return tuple(dict.fromkeys(phrase for phrase in found if len(phrase) > 1))
