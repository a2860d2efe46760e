"""What in a sentence, or in the heading above it, looks like an answer of the kind that is asked for."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from pathlib import Path

from signoff.agents.extractive.matching import word_index
from signoff.agents.extractive.question import Kind, Question
from signoff.agents.extractive.text import is_stop_word

PLAIN_KINDS: tuple[Kind, ...] = ("when", "who", "count", "span")
"""What is plain to see in an answer: a date, a name, a figure, a length of time."""
_STRONG, _WEAK, _HEADED = 0.6, 0.25, 0.4
"""What strong words, weak words and a fitting heading add to a cue."""
_ABOUT_CHANGES = frozenset("change changelog release version new add remove fix update".split())
_STEP = re.compile(r"^\d+[.)] ", re.MULTILINE)
_CAPITALISED = re.compile(r"\b[A-Z]\w+")


@cache
def _tables() -> dict[str, dict[str, str | list[str]]]:
    return tomllib.loads(Path(__file__).with_name("answer_cues.toml").read_text(encoding="utf-8"))


@cache
def _cue(table: str, name: str) -> re.Pattern[str]:
    """A pattern of answer_cues.toml: `strong`, `weak` and `heading` by kind of question, and `other`."""
    whole = _alternatives(_tables()[table][name])
    for part, pattern in _tables()["parts"].items():
        whole = whole.replace(f"{{{part}}}", _alternatives(pattern))
    return re.compile(whole, re.IGNORECASE)


def _alternatives(patterns: str | list[str]) -> str:
    return patterns if isinstance(patterns, str) else "|".join(patterns)


def cue(question: Question, sentence: str, heading: str) -> float:
    """How much this looks like an answer of the kind that is asked for, from 0 to 1."""
    kind = question.kind
    headed = _HEADED if is_headed(question, heading) else 0.0
    if kind == "which":
        words = word_index(sentence)
        return headed + (_STRONG if all(words.holds(term) for term in question.terms) else 0.0)
    if kind not in _tables()["strong"]:
        return headed + _definition(question, sentence)
    if _cue("strong", kind).search(sentence) or (kind == "how" and lists_steps(sentence)):
        return headed + _STRONG
    return headed + (_WEAK if _cue("weak", kind).search(sentence) else 0.0)


def is_headed(question: Question, heading: str) -> bool:
    """True if a heading like this promises an answer of the kind that is asked for."""
    return bool(_cue("heading", question.kind).search(" ".join(heading.split(" › ")[-2:])))


def lists_steps(text: str) -> bool:
    return bool(_STEP.search(text))


def is_apparatus(heading: str) -> bool:
    """True for sections that serve the document, not its subject: references, licence, change log."""
    return any(_cue("other", "apparatus").fullmatch(part.strip()) for part in heading.split(" › "))


def is_log(title: str, heading: str) -> bool:
    """True for lists of changes: they use every word there is and explain none."""
    return bool(
        _cue("other", "log").fullmatch(title.strip()) or _cue("other", "log").fullmatch(heading.split(" › ")[0].strip())
    )


def asks_about_changes(question: Question) -> bool:
    """True if a list of changes may hold the answer."""
    return any(term.stem in _ABOUT_CHANGES for term in question.terms)


def is_clear(question: Question, sentence: str) -> bool:
    """True if this gives what the question asks for, such as a date; of reasons and the like, who can tell."""
    return question.kind not in PLAIN_KINDS or bool(_cue("strong", question.kind).search(sentence))


def may_state(kind: Kind, text: str, heading: str) -> bool:
    """True unless this surely gives nothing of the kind that is asked for."""
    if kind == "why":
        patterns = (_cue("strong", kind), _cue("weak", kind))
        return bool(_cue("heading", kind).search(heading)) or any(pattern.search(text) for pattern in patterns)
    if kind == "who":
        names = (word for word in _CAPITALISED.findall(text) if not is_stop_word(word.lower()))
        return any(names) or bool(_cue("weak", kind).search(text) or _cue("strong", kind).search(text))
    return kind not in PLAIN_KINDS or bool(
        _cue("other", "any_figure").search(text) or _cue("strong", kind).search(text)
    )


def is_set_aside(heading: str) -> bool:
    """True for sections about what was not done: rejected ideas, open issues."""
    return bool(_cue("other", "set_aside").search(heading))


def names_subject(question: Question, text: str) -> bool:
    """True if this says that something is called what the question asks about."""
    return any(
        any(word_index(text[named.end() : named.end() + 120]).holds(term) == 1 for term in question.subject)
        for named in _cue("other", "naming").finditer(text)
    )


def _definition(question: Question, sentence: str) -> float:
    """How much this looks as if it says what the subject is."""
    if names_subject(question, sentence):
        return 0.5
    verb = _cue("other", "copula").search(sentence, 0, 120)
    if verb is None or _cue("other", "condition").match(sentence):
        return 0.0
    before = word_index(sentence[: verb.start()])
    held = sum(before.holds(term) == 1 for term in question.subject) / max(1, len(question.subject))
    return (0.6 if len(before.order) <= 8 else 0.2) * held
