"""How well a sentence, in its surroundings, answers a question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from signoff.agents.extractive.answer_cues import cue, names_subject
from signoff.agents.extractive.matching import WordIndex, word_index
from signoff.agents.extractive.question import Question, Term

BAR = 0.6
"""Share of a short question that a sentence and its surroundings must speak of to count as evidence."""
_NEXT, _SAME_PASSAGE, _LEAD = 0.85, 0.5, 0.65
"""What a word is worth beside the sentence or above it, elsewhere in its passage, and where its document begins."""
_CLOSE = 0.55
"""What holds more of a word than this is close enough to be about it."""
_TORN = 0.15
"""What coverage loses where the words of every phrase are there and the phrases are not."""
_HEAVY = 0.25
"""A term that weighs less than this share of the heaviest says little about the subject."""
_OFTEN = 3
"""Passages with a phrase that make it a document's subject."""
_COMMON = 0.15
"""The least a word weighs, in shares of the most."""
_WEAK = 0.3
"""What a weak word weighs, beside a strong one as rare."""
_TELLING = 0.4
"""Share of the most a term can weigh that makes it tell what a question is about without its weak words."""


@dataclass(frozen=True)
class Surroundings:
    """Where a sentence stands."""

    near: tuple[WordIndex, ...]
    """The sentences next to it."""
    passage: WordIndex
    heading: str
    title: str
    lead: WordIndex | None
    """How its document begins, if the document is about the question."""


@dataclass(frozen=True)
class Score:
    """What a sentence is worth to a question."""

    coverage: float
    """Share of the question that the sentence and its surroundings speak of, from 0 to 1."""
    own: float
    """Share that the sentence itself speaks of."""
    titled: float
    """How much it names the subject as its document's title does, if the document is about the question."""
    said: float
    """How much its own words look like an answer of the kind that is asked for, from 0 to 1."""
    cue: float
    """The same, its heading counted in."""
    phrase: float
    breadth: float
    """Share of the subject's words that the sentence and its surroundings hold, each counted alike."""
    about: float
    """Share of the question that the document speaks of where it begins."""
    named: bool
    """True if the sentence and its surroundings hold every heavy name of the question."""
    above: float
    """Share of the question that the heading and the title speak of."""
    early: float
    """1 if the subject stands at the front of the sentence, less if it comes later."""

    @property
    def total(self) -> float:
        """One number to rank by."""
        return (
            self.coverage
            + 0.6 * max(self.own, 0.5 * self.titled)
            + 0.4 * self.phrase
            + 0.8 * self.cue
            + 0.4 * self.about
            + 0.15 * self.early
        )


@dataclass(frozen=True)
class Scale:
    """How much each term of a question weighs in these sources."""

    question: Question
    weights: Mapping[str, float]
    """By stem."""

    @cached_property
    def subject(self) -> tuple[Term, ...]:
        """The terms that weigh enough to say what the question is about."""
        least = _HEAVY * max(self.weights.values(), default=0.0)
        return tuple(term for term in self.question.terms if self.weights[term.stem] >= least)

    @property
    def bar(self) -> float:
        """Share of the question that must be spoken of; a long question is seldom spoken of as a whole."""
        return max(0.4, BAR - 0.03 * max(0, len(self.subject) - 4))

    def share(self, held: Callable[[Term], float]) -> float:
        """Share of the question's weight that is held."""
        total = sum(self.weights[term.stem] for term in self.question.terms)
        return sum(self.weights[t.stem] * held(t) for t in self.question.terms) / total if total else 0.0

    @cached_property
    def telling(self) -> tuple[tuple[str, ...], ...]:
        """The question's phrases that are made of strong and heavy words only."""
        heavy = {term.stem for term in self.subject if not term.weak}
        return tuple(phrase for phrase in self.question.phrases if heavy.issuperset(phrase))

    def is_about(self, title: str, passages: Sequence[str], opening: str) -> bool:
        """True if a document with this title, these passages and this opening is about the question."""
        named, lead = word_index(title), word_index(opening)
        if self.share(lambda term: max(named.holds(term), lead.holds(term))) < BAR:
            return False
        held = sum(named.holds(term) > _CLOSE for term in self.subject)
        if not self.telling:
            return 2 * held >= len(self.subject)
        if held == len(self.subject) or any(named.phrase(phrase) == 1 for phrase in self.telling):
            return True
        # A phrase that is mentioned where a document begins is its subject only if it is defined there or comes again.
        return any(
            lead.phrase(phrase) == 1
            and (
                names_subject(self.question, opening)
                or sum(word_index(p).phrase(phrase) == 1 for p in passages) >= _OFTEN
            )
            for phrase in self.telling
        )

    def score(self, sentence: str, where: Surroundings) -> Score:
        """Score a sentence in its surroundings."""
        own, heading, title = word_index(sentence), word_index(where.heading), word_index(where.title)

        def around(term: Term) -> float:
            return max(
                own.holds(term),
                *(_NEXT * beside.holds(term) for beside in (*where.near, heading, title)),
                _SAME_PASSAGE * where.passage.holds(term),
                _LEAD * where.lead.holds(term) if where.lead else 0.0,
            )

        indexes = (own, heading, title, where.passage, *where.near, *([where.lead] if where.lead else []))
        about = self.share(where.lead.holds) if where.lead else 0.0
        matched = [
            max(own.phrase(phrase), 0.8 * heading.phrase(phrase), 0.8 * title.phrase(phrase))
            for phrase in self.question.phrases
        ]
        return Score(
            coverage=self.share(around) * (1 - _TORN * self._torn(indexes)),
            own=self.share(own.holds),
            titled=about * _named(own, where.title, self.question),
            said=cue(self.question, sentence, ""),
            cue=cue(self.question, sentence, where.heading),
            phrase=sum(matched) / len(matched) if matched else 0.0,
            breadth=sum(around(term) > _CLOSE for term in self.subject) / len(self.subject),
            about=about,
            named=all(around(term) > _CLOSE for term in self.subject if term.named),
            above=self.share(lambda term: max(heading.holds(term), title.holds(term))),
            early=_earliness(own, {term.stem for term in self.subject}),
        )

    def _torn(self, indexes: Sequence[WordIndex]) -> float:
        """Share of the question's telling phrases whose words are all here, but nowhere as a phrase."""
        here = frozenset().union(*(found.stems for found in indexes))
        lost = sum(
            here.issuperset(phrase) and all(index.phrase(phrase) < _CLOSE for index in indexes)
            for phrase in self.telling
        )
        return lost / len(self.telling) if self.telling else 0.0


def weigh(question: Question, frequency: Mapping[str, int], passages: int) -> Scale:
    """Weigh the terms by their rarity; a word that nothing holds weighs most."""
    most = math.log((passages + 1) / 0.5)
    rarity = {
        term.stem: max(math.log((passages + 1) / (frequency.get(term.word, 0) + 0.5)), _COMMON * most)
        for term in question.terms
    }
    strongest = max((rarity[term.stem] for term in question.terms if not term.weak), default=most)
    weight = _WEAK if strongest >= _TELLING * most else 1.0
    weak = {term.stem for term in question.terms if term.weak}
    # In a small folder a chance word may be the rarest: it must not outweigh what the question is about.
    return Scale(question, {s: weight * min(rarity[s], strongest) if s in weak else rarity[s] for s in rarity})


def _named(sentence: WordIndex, title: str, question: Question) -> float:
    """Share of the title's own words that the sentence holds: documents call their subject by their title."""
    asked = {term.stem for term in question.terms}
    named = {stem for stem in word_index(title).stems if not stem.isdigit()} - asked
    return len(named & sentence.stems) / len(named) if named else 0.0


def _earliness(sentence: WordIndex, subject: set[str]) -> float:
    first = next((place for place, stem in enumerate(sentence.order) if stem in subject), None)
    return 0.0 if first is None else 1.0 if first < 5 else 0.5 if first < 10 else 0.0
