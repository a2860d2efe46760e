"""Relevance: how well a sentence, in its surroundings, answers a question."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from signoff.agents import words
from signoff.agents.question import Kind, Question, Term

BAR = 0.6
"""Share of a short question that a sentence and its surroundings must speak of to count as evidence."""
_TORN = 0.15
"""What coverage loses where the words of every phrase are there and the phrases are not."""
_HEAVY = 0.25
"""A term that weighs less than this share of the heaviest says little about the subject."""
_RELATED = 0.7
"""What a word of the same family is worth, beside the word itself."""
_TELLING = 0.4
"""Share of the most a term can weigh that makes it tell what a question is about without its weak words."""
_PART = 0.5
"""What the last part of a program's name is worth, beside the whole name."""
_WEAK = 0.3
"""What a weak word weighs, beside a strong one as rare."""
_CLOSE = 0.55
"""What holds more of a word than this is close enough to be about it."""
_COMMON = 0.15
"""The least a word weighs, in shares of the most."""

_NUMBER = r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|fifty|hundred|thousand|million|billion|once|twice|dozens?)\b"
_MONTH = r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sep(?:t(?:ember)?)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_CUES: Mapping[Kind, tuple[str, str]] = {
    # What strongly shows an answer of the kind, and what weakly does.
    "why": (
        r"\bbecause\b|\breasons?\b|\brationale\b|\bmotivat|\bin order to\b|\bdue to\b|\bso that\b|\bto avoid\b|\bthe (?:goal|aim|purpose)\b|\bthe (?:main |primary )?(?:problem|benefit|advantage)",
        r"\bavoids?\b|\bprevents?\b|\bmakes? it (?:easy|easier|possible|hard|harder|difficult|impossible)|\ballow(?:s|ing)\b|\bproblems?\b|\bdifficult|\black\b|\bbenefits?\b|\badvantages?\b|\bobstacle|\bsince\b|\btherefore\b|\bneed(?:s|ed)?\b|\bunfortunately\b|\blimit(?:s|ed|ations?)\b|\bwithout\b|\bcannot\b|\bimportant\b|\buseful\b",
    ),
    "how": (
        r"\bby (?:\w+ly )?\w+ing\b|\bsteps?\b|\bfollowing (?:steps|way|algorithm|procedure)|\bfirst,|\bworks? (?:by|as|like)\b|\bhow\b|\bis (?:done|determined|computed|performed|implemented|handled|resolved|achieved)\b|\bto \w+ [^.]{3,60}, (?:use|run|call|set|open|click|choose|add)\b",
        r"\bus(?:e|es|ed|ing)\b|\bcalls?\b|\bcalled\b|\bwhen\b|\bthen\b|\bthrough\b|\bvia\b|\beach\b|\bif\b|\bmust\b|\bwill\b|\bafter\b|\bmechanism\b|\bsyntax\b",
    ),
    "when": (
        rf"\b(?:19|20)\d\d\b|\b{_MONTH}\b \d|\d (?:of )?{_MONTH}\b|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b",
        r"\bversions? \d|\b\d+\.\d+\b|\bsince\b|\buntil\b|\bbefore\b|\bafter\b|\bdays?\b|\bweeks?\b|\bmonths?\b|\byears?\b|\bdate\b|\bdeadline\b|\bwhen\b|\bafter\b|\bonce\b",
    ),
    "who": (
        r"(?<=[^.!?] )(?-i:[A-Z][a-z]+ (?:[A-Z]\. |van |de |von )?[A-Z][a-z]+)|\S@\S|\bis responsible\b",
        r"\b(?:team|council|committee|manager|director|author|authors|maintainers?|owner|editor|delegate|department|officer|lead|user|customer|employee|member)s?\b|\bby\b",
    ),
    "where": (
        r"\b(?:in|at|on|from|under|near|inside) (?:the )?(?-i:[A-Z])|\blocated\b|\blocation\b|\bdirectory\b|\bfolder\b|\bpath\b|\baddress\b|[/\\]\w+[/\\]|\bhttps?:",
        r"\bin\b|\bat\b|\bon\b|\bunder\b|\binside\b",
    ),
    "span": (
        rf"(?:{_NUMBER}|\bevery|\bper)[\w.,/-]*(?: \w+)?[ -](?:seconds?|minutes?|hours?|days?|weeks?|months?|quarters?|years?)\b|\bannual|\b(?:daily|weekly|monthly|yearly)\b",
        r"\b(?:years?|months?|weeks?|days?|hours?|until|end of life|lifetime|always|never|forever)\b",
    ),
    "count": (r"[$€£]\s?\d|\d\s?[%€£]|\b\d[\d.,]*\s(?:[a-z]+)", _NUMBER),
    "compare": (
        r"\bthan\b|\bunlike\b|\bwhereas\b|\bdiffer|\bcompared\b|\bin contrast\b|\brather\b|\binstead of\b|\bsimilar\b|\bversus\b",
        r"\bwhile\b|\bbut\b|\bhowever\b|\bboth\b|\bonly\b|\bsame\b|\binstead\b|\balternative",
    ),
    "whether": (
        r"\b(?:must|may|can|cannot|should|shall|will) (?:not )?\b|\bnot\b|\balways\b|\bnever\b|\bis (?:not )?(?:allowed|required|supported|possible|permitted|forbidden)|\byes\b",
        r"\bonly\b|\bif\b|\bunless\b|\bexcept\b|\bno\b|\brequire",
    ),
}
_HEADING_CUES: Mapping[Kind, str] = {
    "why": r"rationale|motivation|\bwhy\b|background|goals?\b|problem|benefit|purpose|introduction|abstract|reason|summary",
    "how": r"\bhow\b|specification|usage|implementation|semantics|procedure|steps|guide|getting started|example|overview|process|algorithm|instructions|setting up|abstract",
    "what": r"abstract|overview|definition|introduction|summary|glossary|terminology|\bwhat\b|about|concepts?",
    "topic": r"abstract|overview|definition|introduction|summary|rationale|motivation|\bwhat\b|background|conclusion",
    "when": r"timeline|schedule|release|history|date|deadline|roadmap|plan|lifespan",
    "who": r"author|contact|team|responsib|role|people|governance|who\b",
    "where": r"location|address|layout|structure|where\b|path",
    "span": r"lifespan|lifetime|schedule|period|duration|timeline|retention|frequency|cadence|policy|limit",
    "count": r"limit|price|pricing|cost|size|quota|number|performance|benchmark|results?|fees?|rates?",
    "compare": r"compar|differ|versus|\bvs\b|alternative|relation|trade-?offs?|choosing|existing",
    "whether": r"compatib|requirement|limit|polic|rules?|specification|faq|support",
}
_SET_ASIDE = re.compile(
    r"rejected|reject|open (?:issues|questions)|deferred|withdrawn|alternatives|discarded|future|unresolved|objections|how to teach|\bwhy not\b|\binstead\b",
    re.IGNORECASE,
)
_APPARATUS = re.compile(
    r"^(?:copyright|references?|bibliography|acknowledge?ments?|footnotes?|(?:table of )?contents|index|licen[cs]e|"
    r"change ?log|changes|version history|(?:document |revision )history|post[- ]history|see also|further reading|links|"
    r"navigation|external links|credits|appendix: .*|what's new|release notes)\b",
    re.IGNORECASE,
)
_HYPHENED = re.compile(r"\b([a-z]+)-([a-z]{2,})\b")
_CAMEL = re.compile(r"\b[A-Z][a-z]+(?:[A-Z][a-z]+)+\b")
_CAMEL_PART = re.compile(r"[A-Z][a-z]+")
_COPULA = re.compile(
    r"\b(?:is|are|was|were|means?|refers? to|denotes?|describes?|defines?|provides?|allows?|enables?|lets?|stands? for|"
    r"consists? of|represents?|specif(?:y|ies)|contains?|serves?|works?)\b",
    re.IGNORECASE,
)
_NAMING = re.compile(
    r"\b(?:known as|called|named|termed|concept of|notion of|idea of|we call|defined as|introduces?|proposes?|"
    r"this (?:pep|document|proposal|page|guide|policy|paper) (?:\w+ )?(?:describes?|defines?|specif\w+|explains?|covers?))\b",
    re.IGNORECASE,
)
_CONDITION = re.compile(
    r"^(?:if|when|while|unless|since|because|although|though|once|until|given|for|as)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Bag:
    """The words of a piece of text, ready to be looked up."""

    order: tuple[str, ...]
    """Stems in order, stop words included."""
    stems: frozenset[str]
    roots: frozenset[str]

    def holds(self, term: Term) -> float:
        """1 if the word is here, less if only one of its family is, else 0."""
        if " " in term.stem:
            parts = term.stem.split()
            return 1.0 if self.phrase(parts) == 1 else _PART if parts[-1] in self.stems else 0.0
        if term.stem in self.stems:
            return 1.0
        return _RELATED if term.root in self.roots else 0.0

    def phrase(self, phrase: Sequence[str]) -> float:
        """1 if the words stand side by side here, less if they are only near each other, else 0."""
        if not self.stems.issuperset(phrase):
            return 0.0
        places = [[i for i, stem in enumerate(self.order) if stem == part] for part in phrase]
        if any(all(first + n in later for n, later in enumerate(places)) for first in places[0]):
            return 1.0
        near = any(all(any(abs(i - first) <= 4 for i in later) for later in places[1:]) for first in places[0])
        return 0.6 if near else 0.25


@lru_cache(maxsize=4096)
def bag(text: str) -> Bag:
    """The words of this text."""
    found = words.tokens(text)
    carrying = {word for word in found if words.carries_meaning(word)}
    carrying.update(first + second for first, second in _HYPHENED.findall(text.lower()))
    carrying.update(part.lower() for name in _CAMEL.findall(text) for part in _CAMEL_PART.findall(name))
    return Bag(
        tuple(words.stem(word) for word in found),
        frozenset(words.stem(word) for word in carrying),
        frozenset(words.root(word) for word in carrying),
    )


@dataclass(frozen=True)
class Surroundings:
    """Where a sentence stands."""

    near: tuple[Bag, ...]
    """The sentences next to it."""
    passage: Bag
    heading: str
    title: str
    lead: Bag | None
    """How its document begins, if the document is about the question."""


@dataclass(frozen=True)
class Score:
    """What a sentence is worth to a question."""

    coverage: float
    """Share of the question that the sentence and its surroundings speak of, from 0 to 1."""
    own: float
    """Share that the sentence itself speaks of."""
    cue: float
    """How much it looks like an answer to a question of this kind, from 0 to 1."""
    phrase: float
    breadth: float
    """Share of the subject's words that the sentence and its surroundings hold, each counted alike."""
    about: float
    """Share of the question that the document speaks of where it begins."""
    early: float
    """1 if the subject stands at the front of the sentence, less if it comes later."""

    @property
    def total(self) -> float:
        """One number to rank by."""
        return (
            self.coverage + 0.6 * self.own + 0.4 * self.phrase + 0.6 * self.cue + 0.4 * self.about + 0.15 * self.early
        )


@dataclass(frozen=True)
class Scale:
    """How much each term of a question weighs in these sources."""

    question: Question
    weights: Mapping[str, float]
    """By stem."""

    @property
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

    def _torn(self, bags: Sequence[Bag]) -> float:
        """Share of the question's telling phrases that stand nowhere here as phrases."""
        lost = sum(all(found.phrase(phrase) < _CLOSE for found in bags) for phrase in self.telling)
        return lost / len(self.telling) if self.telling else 0.0

    @property
    def telling(self) -> tuple[tuple[str, ...], ...]:
        """The question's phrases that are made of strong and heavy words only."""
        heavy = {term.stem for term in self.subject if not term.weak}
        return tuple(phrase for phrase in self.question.phrases if heavy.issuperset(phrase))

    def is_about(self, lead: Bag, title: str) -> bool:
        """True if a document that begins like this is about the question, not only in touch with it."""
        if self.share(lead.holds) < BAR:
            return False
        named, heavy = bag(title), self.subject
        held = sum(named.holds(term) > _CLOSE for term in heavy)
        if self.telling:
            return held == len(heavy) or any(found.phrase(p) == 1 for p in self.telling for found in (named, lead))
        return 2 * held >= len(heavy)

    def score(self, sentence: str, where: Surroundings) -> Score:
        """Score a sentence in its surroundings."""
        own, heading, title = bag(sentence), bag(where.heading), bag(where.title)

        def around(term: Term) -> float:
            return max(
                own.holds(term),
                0.85 * max((bag.holds(term) for bag in where.near), default=0.0),
                0.5 * where.passage.holds(term),
                0.85 * heading.holds(term),
                0.85 * title.holds(term),
                0.65 * where.lead.holds(term) if where.lead else 0.0,
            )

        phrases = self.question.phrases
        bags = (own, heading, title, where.passage, *where.near, *([where.lead] if where.lead else []))
        subject = self.subject
        about = self.share(where.lead.holds) if where.lead else 0.0
        matched = [max(own.phrase(p), 0.8 * heading.phrase(p), 0.8 * title.phrase(p)) for p in phrases]
        return Score(
            self.share(around) * (1 - _TORN * self._torn(bags)),
            max(self.share(own.holds), 0.5 * about * _named(own, where.title, self.question)),
            cue(self.question, sentence, where.heading),
            sum(matched) / len(matched) if matched else 0.0,
            sum(around(term) > _CLOSE for term in subject) / len(subject),
            about,
            _earliness(own, {term.stem for term in subject}),
        )


def weigh(question: Question, frequency: Mapping[str, int], passages: int) -> Scale:
    """Weigh the terms by their rarity; a word that nothing holds weighs most."""
    most = math.log((passages + 1) / 0.5)
    rarity = {
        term.stem: max(math.log((passages + 1) / (frequency.get(term.word, 0) + 0.5)), _COMMON * most)
        for term in question.terms
    }
    telling = any(rarity[term.stem] >= _TELLING * most for term in question.terms if not term.weak)
    return Scale(question, {t.stem: rarity[t.stem] * (_WEAK if t.weak and telling else 1.0) for t in question.terms})


def is_apparatus(heading: str) -> bool:
    """True for sections that serve the document, not its subject: references, licence, change log."""
    return any(_APPARATUS.match(part.strip()) for part in heading.split(" › "))


def is_set_aside(heading: str) -> bool:
    """True for sections about what was not done: rejected ideas, open issues."""
    return bool(_SET_ASIDE.search(heading))


def _named(sentence: Bag, title: str, question: Question) -> float:
    """Share of the title's own words that the sentence holds: documents call their subject by their title."""
    asked = {term.stem for term in question.terms}
    named = {stem for stem in bag(title).stems if not stem.isdigit()} - asked
    return len(named & sentence.stems) / len(named) if named else 0.0


def _earliness(sentence: Bag, subject: set[str]) -> float:
    first = next((place for place, stem in enumerate(sentence.order) if stem in subject), None)
    return 0.0 if first is None else 1.0 if first < 5 else 0.5 if first < 10 else 0.0


def cue(question: Question, sentence: str, heading: str) -> float:
    """How much this looks like an answer of the kind that is asked for."""
    kind = question.kind
    value = 0.0
    if kind in _CUES:
        strong, weak = _CUES[kind]
        value = (
            0.6
            if re.search(strong, sentence, re.IGNORECASE)
            else 0.25
            if re.search(weak, sentence, re.IGNORECASE)
            else 0.0
        )
    else:
        value = _definition(question, sentence)
    innermost = " ".join(heading.lower().split(" › ")[-2:])
    return value + (0.4 if re.search(_HEADING_CUES[kind], innermost) else 0.0)


def _definition(question: Question, sentence: str) -> float:
    """How much this looks as if it says what the subject is."""
    if found := _NAMING.search(sentence):
        after = bag(sentence[found.end() : found.end() + 120])
        if any(after.holds(term) == 1 for term in question.subject):
            return 0.5
    found = _COPULA.search(sentence, 0, 120)
    if found is None or _CONDITION.match(sentence):
        return 0.0
    before = bag(sentence[: found.start()])
    held = sum(before.holds(term) == 1 for term in question.subject) / len(question.subject)
    return 0.6 * held if len(before.order) <= 8 else 0.2 * held
