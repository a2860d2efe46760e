"""What in a sentence, or in the heading above it, looks like an answer of the kind that is asked for."""

from __future__ import annotations

import re

from signoff.agents.extractive.matching import word_index
from signoff.agents.extractive.patterns import pattern, pattern_tables
from signoff.agents.extractive.question import Kind, Question
from signoff.agents.extractive.text import is_stop_word

PLAIN_KINDS: tuple[Kind, ...] = ("when", "who", "count", "span")
"""What is plain to see in an answer: a date, a name, a figure, a length of time."""
_STRONG, _WEAK, _HEADED = 0.6, 0.25, 0.4
"""What strong words, weak words and a fitting heading add to a cue."""
_ABOUT_CHANGES = frozenset("change changelog release version new add remove fix update".split())
_STEP = re.compile(r"^\d+[.)] ", re.MULTILINE)
_CAPITALISED = re.compile(r"\b[A-Z]\w+")


def cue(question: Question, sentence: str, heading: str) -> float:
    """How much this looks like an answer of the kind that is asked for, from 0 to 1."""
    kind = question.kind
    headed = _HEADED if is_headed(question, heading) else 0.0
    if kind == "which":
        words = word_index(sentence)
        return headed + (_STRONG if all(words.holds(term) for term in question.terms) else 0.0)
    if kind not in pattern_tables()["strong"]:
        return headed + _definition(question, sentence)
    if pattern(kind, "strong").search(sentence) or (kind == "how" and lists_steps(sentence)):
        return headed + _STRONG
    return headed + (_WEAK if pattern(kind, "weak").search(sentence) else 0.0)


def is_headed(question: Question, heading: str) -> bool:
    """True if a heading like this promises an answer of the kind that is asked for."""
    return bool(pattern(question.kind, "heading").search(" ".join(heading.split(" › ")[-2:])))


def lists_steps(text: str) -> bool:
    return bool(_STEP.search(text))


def is_apparatus(heading: str) -> bool:
    """True for sections that serve the document, not its subject: references, licence, change log."""
    return any(pattern("apparatus").fullmatch(part.strip()) for part in heading.split(" › "))


def is_log(title: str, heading: str) -> bool:
    """True for lists of changes: they use every word there is and explain none."""
    return bool(pattern("log").fullmatch(title.strip()) or pattern("log").fullmatch(heading.split(" › ")[0].strip()))


def asks_about_changes(question: Question) -> bool:
    """True if a list of changes may hold the answer."""
    return any(term.stem in _ABOUT_CHANGES for term in question.terms)


def is_clear(question: Question, sentence: str) -> bool:
    """True if this gives what the question asks for, such as a date; of reasons and the like, who can tell."""
    return question.kind not in PLAIN_KINDS or bool(pattern(question.kind, "strong").search(sentence))


def may_state(kind: Kind, text: str, heading: str) -> bool:
    """True unless this surely gives nothing of the kind that is asked for."""
    if kind == "why":
        patterns = (pattern(kind, "strong"), pattern(kind, "weak"))
        return bool(pattern(kind, "heading").search(heading)) or any(words.search(text) for words in patterns)
    if kind == "who":
        names = (word for word in _CAPITALISED.findall(text) if not is_stop_word(word.lower()))
        return any(names) or bool(pattern(kind, "weak").search(text) or pattern(kind, "strong").search(text))
    return kind not in PLAIN_KINDS or bool(pattern("any_figure").search(text) or pattern(kind, "strong").search(text))


def is_set_aside(heading: str) -> bool:
    """True for sections about what was not done: rejected ideas, open issues."""
    return bool(pattern("set_aside").search(heading))


def names_subject(question: Question, text: str) -> bool:
    """True if this says that something is called what the question asks about."""
    return any(
        any(word_index(text[named.end() : named.end() + 120]).holds(term) == 1 for term in question.subject)
        for named in pattern("naming").finditer(text)
    )


def _definition(question: Question, sentence: str) -> float:
    """How much this looks as if it says what the subject is."""
    if names_subject(question, sentence):
        return 0.5
    verb = pattern("copula").search(sentence, 0, 120)
    if verb is None or pattern("condition").match(sentence):
        return 0.0
    before = word_index(sentence[: verb.start()])
    held = sum(before.holds(term) == 1 for term in question.subject) / max(1, len(question.subject))
    return (0.6 if len(before.order) <= 8 else 0.2) * held
