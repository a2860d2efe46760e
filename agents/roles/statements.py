"""Statements: what a report says in its own words, and what each rests on."""

from __future__ import annotations

import re
from dataclasses import dataclass

from signoff.agents.citations import CITATION, flatten, unescape
from signoff.agents.extractive import text as words
from signoff.agents.extractive.matching import bag
from signoff.agents.extractive.sentences import is_terminated

_MARKER = re.compile(r"^\s*(?:[-*+•]|\d{1,3}[.)])\s+")
_HEADING = re.compile(r"^\s{0,3}#{1,6}\s+(.*?)\s*#*$")
_RULE = re.compile(r"^\s*(?:[-*_=]\s*){3,}$|^[\s|:-]+$")
_FIGURE = re.compile(r"(?<![\w.,])\d+(?:[.,]\d+)*(?!\w)")
_NAME = re.compile(r"(?<=[^\s.!?:“\"(] )[A-Z][\w’'-]*(?: [A-Z][\w’'-]*)*")
_OWN_WORDS = re.compile(r"[^\W\d_]{2,}")
_ADMITTING_HEADING = re.compile(
    r"\b(?:do(?:es)? not|did not|gaps?|limitations?|missing|unanswered|not (?:covered|found|said)|open questions?|"
    r"unknown)\b",
    re.IGNORECASE,
)
_ADMISSION = re.compile(
    r"\b(?:nothing|none|no (?:\w+ )?(?:documents?|passages?|sources?|quotes?|evidence|answer|information|mention)|"
    r"(?:documents?|sources?|evidence|quotes?|passages?|it) (?:do|does|did) not|not where they speak|"
    r"(?:is|are|was|were) not (?:stated|found|covered|mentioned|addressed|said|given|specified|documented))\b",
    re.IGNORECASE,
)
_ABOUT_ITSELF = re.compile(
    r"^(?:this (?:report|summary|document|answer)|extracted|generated|written|\d[\d,]* documents?)\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Statement:
    """A paragraph or list item of a report, quotations left out."""

    text: str
    """Plain, without its citations."""
    citations: tuple[int, ...]
    heading: str

    @property
    def claims(self) -> bool:
        """True if it says something that must rest on a source."""
        text = self.text.strip("*_ ")
        length = len(text.split())
        says_something = length > 4 or (length > 2 and is_terminated(text))
        return says_something and not text.endswith((":", "?")) and not _ABOUT_ITSELF.match(text)


def find_statements(markdown: str) -> list[Statement]:
    """The paragraphs and list items of a report; headings, quotations, code and rules are none."""
    found: list[Statement] = []
    lines: list[str] = []
    heading = ""
    fenced = False

    def close() -> None:
        if lines:
            raw = " ".join(lines)
            text = flatten(unescape(CITATION.sub("", raw)))
            found.append(Statement(text, tuple(int(id) for id in CITATION.findall(raw)), heading))
            lines.clear()

    for line in [*markdown.split("\n"), ""]:
        if line.lstrip().startswith(("```", "~~~")):
            fenced = not fenced
        titled = _HEADING.match(line)
        if fenced or titled or not line.strip() or line.lstrip().startswith(">") or _RULE.match(line):
            close()
            heading = titled[1] if titled and not fenced else heading
            continue
        if _MARKER.match(line):
            close()
        lines.append(_MARKER.sub("", line).strip())
    return found


def admits(statement: Statement) -> bool:
    """True if it says what is not known, not what is."""
    return bool(_ADMITTING_HEADING.search(statement.heading) or _ADMISSION.search(statement.text))


def missing_figures(text: str, held: str) -> list[str]:
    """The figures of a statement that do not stand in what it rests on."""
    known = {figure.replace(",", "") for figure in _FIGURE.findall(held)}
    return [figure for figure in dict.fromkeys(_FIGURE.findall(text)) if figure.replace(",", "") not in known]


def capitals_mean_names(text: str) -> bool:
    """False for a language, or a style, that gives every noun a capital."""
    spoken = _OWN_WORDS.findall(text)
    return sum(word[0].isupper() for word in spoken) <= 0.3 * len(spoken) or len(spoken) < 40


def unknown_names(text: str, evidence: str) -> list[str]:
    """The names in a statement that stand nowhere in the evidence."""
    known = frozenset(bag(evidence).order)
    return [
        name
        for name in dict.fromkeys(_NAME.findall(text))
        if any(words.stem(part) not in known and words.carries_meaning(part) for part in words.tokens(name))
    ]
