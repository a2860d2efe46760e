"""Cues: what in a sentence, or in the heading above it, looks like an answer of the kind that is asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping

from signoff.agents.extractive.matching import bag
from signoff.agents.extractive.question import Kind, Question
from signoff.agents.extractive.text import is_stop_word

PLAIN_KINDS: tuple[Kind, ...] = ("when", "who", "count", "span")
"""What is plain to see in an answer: a date, a name, a figure, a length of time."""
_STRONG, _WEAK, _HEADED = 0.6, 0.25, 0.4
"""What strong words, weak words and a fitting heading add to a cue."""


def _any(*patterns: str) -> re.Pattern[str]:
    """A pattern that finds any of these, in capitals or not."""
    return re.compile("|".join(patterns), re.IGNORECASE)


def _words(listed: str) -> str:
    """Any of these words or phrases, which are separated by '|'."""
    return rf"\b(?:{listed})\b"


_SPELT = _words("two|three|four|five|six|seven|eight|nine|ten|twelve|twenty|thirty|hundred|thousand|million|once|twice")
_NUMBER = rf"\d|{_SPELT}"
_MONTH = "(?:jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*"
_STRONG_CUES: Mapping[Kind, re.Pattern[str]] = {
    "why": _any(
        _words(
            "because|reasons?|rationale|in order to|due to|so that|to avoid|the (?:goal|aim|purpose|benefit|advantage)"
        ),
        r"\bmotivat|\bthe (?:main |primary )?problem",
    ),
    "how": _any(
        r"\bby (?:\w+ly )?\w+ing\b",
        r"\bto \w+ [^.]{3,60}, (?:use|run|call|set|open|click|choose|add)\b",
        _words("steps?|following (?:way|algorithm|procedure)|works? (?:by|as|like)|how"),
        r"\bis (?:done|determined|computed|performed|implemented|handled|resolved|achieved)\b|\bfirst,",
    ),
    "when": _any(
        r"\b(?:19|20)\d\d\b", rf"\b{_MONTH} \d|\d (?:of )?{_MONTH}\b", r"\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b"
    ),
    "who": _any(
        r"(?<=[^.!?] )(?-i:[A-Z][a-z]+ (?:[A-Z]\. |van |de |von )?[A-Z][a-z]+)",
        r"\S@\S",
        r"\bis responsible\b|\b(?:owner|lead|author|contact): \S",
        r"^(?!(?-i:The|It|This|That|We|They|He|She)\b)(?-i:[A-Z][a-z]+) (?:owns|leads|takes|decides|approves)\b",
    ),
    "where": _any(
        r"\b(?:in|at|on|from|under|near|inside) (?:the )?(?-i:[A-Z])",
        _words("located|location|directory|folder|path|address"),
        r"[/\\]\w+[/\\]|\bhttps?:",
    ),
    "span": _any(
        rf"(?:{_NUMBER}|\bevery|\bper)[\w.,/-]*(?: \w+)?[ -](?:second|minute|hour|day|week|month|quarter|year)s?\b",
        _words("annual(?:ly)?|daily|weekly|monthly|yearly"),
    ),
    "count": _any(r"[$€£]\s?\d|\d\s?[%€£]|\w: \d", rf"(?:\b\d[\d.,]*|{_SPELT})[\s-][a-z]"),
    "compare": _any(_words("than|unlike|whereas|compared|in contrast|rather|instead of|similar|versus"), r"\bdiffer"),
    "whether": _any(
        _words("must|may|can|cannot|should|shall|will|not|always|never|yes"),
        r"\bis (?:allowed|required|supported|possible|permitted|forbidden)",
    ),
}
_WEAK_CUES: Mapping[Kind, re.Pattern[str]] = {
    "why": _any(
        _words("avoids?|prevents?|allows?|allowing|problems?|lack|benefits?|advantages?|since|therefore|needs?|needed"),
        _words("unfortunately|limit(?:s|ed|ations?)?|without|cannot|important|useful|obstacles?|difficult(?:y|ies)?"),
        r"\bmakes? it (?:easy|easier|possible|hard|harder|difficult|impossible)",
    ),
    "how": _any(
        _words("us(?:e|es|ed|ing)|calls?|called|when|then|through|via|each|if|must|will|after|mechanism|syntax")
    ),
    "when": _any(
        r"\bversions? \d|\b\d+\.\d+\b",
        _words("since|until|before|after|days?|weeks?|months?|years?|date|deadline|once"),
    ),
    "who": _any(
        _words("(?:team|council|committee|manager|director|author|maintainer|owner|editor|delegate|department)s?"),
        _words("(?:officer|lead|user|customer|employee|member)s?|by"),
    ),
    "where": _any(_words("in|at|on|under|inside")),
    "span": _any(_words("years?|months?|weeks?|days?|hours?|until|end of life|lifetime|always|never|forever")),
    "count": _any(_NUMBER),
    "compare": _any(_words("while|but|however|both|only|same|instead|alternatives?")),
    "whether": _any(_words("only|if|unless|except|no|requires?|required")),
}
_HEADING_CUES: Mapping[Kind, re.Pattern[str]] = {
    "why": _any(r"rationale|motivation|\bwhy\b|background|context|causes?\b|goals?\b|problem|benefit|purpose|reason"),
    "how": _any(
        r"\bhow\b|specification|usage|implementation|semantics|procedure|steps|guide|getting started|example|overview",
        r"process|algorithm|instructions|setting up|abstract",
    ),
    "what": _any(r"abstract|overview|definition|introduction|summary|glossary|terminology|\bwhat\b|about|concepts?"),
    "which": _any(r"abstract|overview|summary"),
    "topic": _any(
        r"abstract|overview|definition|introduction|summary|rationale|motivation|\bwhat\b|background|conclusion"
    ),
    "when": _any(r"timeline|schedule|release|history|date|deadline|roadmap|plan|lifespan"),
    "who": _any(r"author|contact|team|responsib|role|people|governance|who\b"),
    "where": _any(r"location|address|layout|structure|where\b|path"),
    "span": _any(r"lifespan|lifetime|schedule|period|duration|timeline|retention|frequency|cadence|policy|limit"),
    "count": _any(r"limit|price|pricing|cost|size|quota|number|performance|benchmark|results?|fees?|rates?"),
    "compare": _any(r"compar|differ|versus|\bvs\b|alternative|relation|trade-?offs?|choosing|existing"),
    "whether": _any(r"compatib|requirement|limit|polic|rules?|specification|faq|support"),
}
_SET_ASIDE = _any(
    r"reject|open (?:issues|questions)|deferred|withdrawn|alternatives|discarded|future|unresolved|objections",
    r"how to teach|\bwhy not\b|\binstead\b",
)
_SERVING = (
    r"copyright|references?|bibliography|acknowledge?ments?|footnotes?|notes|(?:table of )?contents|index|"
    r"where to (?:look|find \w+)|licen[cs](?:e|ing)|(?:version|document|revision|post)[- ]history|see also|"
    r"further reading|(?:external |useful )?links|navigation|credits"
)
_APPARATUS = re.compile(rf"(?:{_SERVING})(?:(?:,| and| &) (?:{_SERVING}))*", re.IGNORECASE)
_LOG = re.compile(r"\b(?:change ?log|changes|release notes|what[’']s new)\b", re.IGNORECASE)
_ABOUT_CHANGES = frozenset("change changelog release version new add remove fix update".split())
_STEP = re.compile(r"^\d+[.)] ", re.MULTILINE)
_COPULA = _any(
    _words(
        "is|are|was|were|means?|refers? to|denotes?|describes?|defines?|provides?|allows?|enables?|lets?|stands? for"
    ),
    _words("consists? of|represents?|specif(?:y|ies)|contains?|serves?|works?"),
)
_NAMING = _any(
    _words("known as|called|named|termed|(?:concept|notion|idea) of|we call|defined as|introduces?|proposes?"),
    r"\bthis (?:pep|document|proposal|page|guide|policy|paper) (?:\w+ )?(?:describe|define|specif|explain|cover)",
)
_CAPITALISED = re.compile(r"\b[A-Z]\w+")
_ANY_FIGURE = re.compile(rf"{_NUMBER}|\b{_MONTH}\b|\b(?:one|first|last|none|daily|no)\b", re.IGNORECASE)
_CONDITION = re.compile(
    _words("if|when|while|unless|since|because|although|though|once|until|given|for|as"), re.IGNORECASE
)


def cue(question: Question, sentence: str, heading: str) -> float:
    """How much this looks like an answer of the kind that is asked for, from 0 to 1."""
    kind = question.kind
    headed = _HEADED if is_headed(question, heading) else 0.0
    if kind == "which":
        words = bag(sentence)
        return headed + (_STRONG if all(words.holds(term) for term in question.terms) else 0.0)
    if kind not in _STRONG_CUES:
        return headed + _definition(question, sentence)
    if _STRONG_CUES[kind].search(sentence) or (kind == "how" and lists_steps(sentence)):
        return headed + _STRONG
    return headed + (_WEAK if _WEAK_CUES[kind].search(sentence) else 0.0)


def is_headed(question: Question, heading: str) -> bool:
    """True if a heading like this promises an answer of the kind that is asked for."""
    return bool(_HEADING_CUES[question.kind].search(" ".join(heading.split(" › ")[-2:])))


def lists_steps(text: str) -> bool:
    """True if this holds a numbered list."""
    return bool(_STEP.search(text))


def is_apparatus(heading: str) -> bool:
    """True for sections that serve the document, not its subject: references, licence, change log."""
    return any(_APPARATUS.fullmatch(part.strip()) for part in heading.split(" › "))


def is_log(title: str, heading: str) -> bool:
    """True for lists of changes: they use every word there is and explain none."""
    return bool(_LOG.fullmatch(title.strip()) or _LOG.fullmatch(heading.split(" › ")[0].strip()))


def asks_about_changes(question: Question) -> bool:
    """True if a list of changes may hold the answer."""
    return any(term.stem in _ABOUT_CHANGES for term in question.terms)


def is_clear(question: Question, sentence: str) -> bool:
    """True if this gives what the question asks for, such as a date; of reasons and the like, who can tell."""
    return question.kind not in PLAIN_KINDS or bool(_STRONG_CUES[question.kind].search(sentence))


def may_state(kind: Kind, text: str, heading: str) -> bool:
    """True unless this surely gives nothing of the kind that is asked for."""
    if kind == "why":
        patterns = (_STRONG_CUES[kind], _WEAK_CUES[kind])
        return bool(_HEADING_CUES[kind].search(heading)) or any(pattern.search(text) for pattern in patterns)
    if kind == "who":
        names = (word for word in _CAPITALISED.findall(text) if not is_stop_word(word.lower()))
        return any(names) or bool(_WEAK_CUES[kind].search(text) or _STRONG_CUES[kind].search(text))
    return kind not in PLAIN_KINDS or bool(_ANY_FIGURE.search(text) or _STRONG_CUES[kind].search(text))


def is_set_aside(heading: str) -> bool:
    """True for sections about what was not done: rejected ideas, open issues."""
    return bool(_SET_ASIDE.search(heading))


def names_subject(question: Question, text: str) -> bool:
    """True if this says that something is called what the question asks about."""
    return any(
        any(bag(text[named.end() : named.end() + 120]).holds(term) == 1 for term in question.subject)
        for named in _NAMING.finditer(text)
    )


def _definition(question: Question, sentence: str) -> float:
    """How much this looks as if it says what the subject is."""
    if names_subject(question, sentence):
        return 0.5
    verb = _COPULA.search(sentence, 0, 120)
    if verb is None or _CONDITION.match(sentence):
        return 0.0
    before = bag(sentence[: verb.start()])
    held = sum(before.holds(term) == 1 for term in question.subject) / max(1, len(question.subject))
    return (0.6 if len(before.order) <= 8 else 0.2) * held
