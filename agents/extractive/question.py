"""What a goal asks: its parts, the sides that it sets against each other, and whether it is about what changed."""

from __future__ import annotations

import re
from typing import Final

from signoff.tools.search import STOP_WORDS, words_of

_PART: Final = re.compile(
    r"(?<=[?？؟;])\s*|\n+|,?\s+(?:and|und|et|y)\s+(?=(?:why|how|what|when|who|whom|where|which|whether|does|do|did|is|are|"
    r"was|were|can|must|should)\b)|[.]\s+(?=[^\W\d_])(?!.*[?？؟])",
    re.IGNORECASE,
)
_SIDES: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\bdifferences?\s+(?:is\s+|are\s+|exists?\s+)?between\s+(?P<one>.+?)\s+(?:and|or|vs\.?|versus)\s+(?P<other>.+)",
        r"\bhow (?:do|does|did) (?P<one>.+?) (?:differ|compare)s? (?:from|to|with) (?P<other>.+)",
        r"\bhow (?:do|does|did|are) (?P<one>.+?) and (?P<other>.+?) (?:differ|compare|different)\b",
        r"\bcompar(?:e|ing|ison (?:of|between))\s+(?P<one>.+?)\s+(?:and|with|to|vs\.?|versus|against)\s+(?P<other>.+)",
        r"(?P<one>.+?)\s+(?:vs\.?|versus)\s+(?P<other>.+)",
    )
)
_CHANGES: Final = frozenset(
    "add added change changed changelog changes deprecated dropped fix fixed history introduced new news release "
    "released releases removed renamed since update updated upgrade version versions".split()
)
_OWN_DEED: Final = re.compile(r"\b(?:I|we|you|one|to)\s+\w+", re.IGNORECASE)
"""What somebody wants to do: who asks how to change a thing does not ask what was changed."""
_LOG: Final = re.compile(
    r"(?:.*\s)?(?:change ?logs?|release ?notes?|what['’]?s ?new)(?:\s.*)?"
    r"|(?:the )?(?:changes|news|history|releases?)(?: (?:in|of|for) .*)?",
    re.IGNORECASE,
)

_FOR_NUMBER: Final = re.compile(
    r"\b(?:how (?:long|many|much|often|old|far|soon|high|large|big)|costs?)\b", re.IGNORECASE
)
_NUMBER: Final = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|half|none"
    r"|once|twice|every|each|daily|weekly|monthly|yearly|annual(?:ly)?|never|always|immediately|unlimited)\b",
    re.IGNORECASE,
)
_ENGLISH: Final = re.compile(r"\b(?:are|can|do|does|how|is|what|when|where|which|who|why)\b", re.IGNORECASE)
_NAME: Final = re.compile(r"(?<![.?!:]\s)(?<=[\s(/])[A-Z]\w+|\b[^\W_]*[a-z][A-Z]\w*")
"""What is written with a capital and begins no sentence, or has one within."""


def parts_of(goal: str) -> tuple[str, ...]:
    """The questions of a goal that asks several, else the goal itself; what is told before a question belongs to it."""
    parts = (part.strip(" \t,") for part in _PART.split(goal))
    return tuple(dict.fromkeys(part for part in parts if not STOP_WORDS.issuperset(words_of(part)))) or (goal,)


def sides_of(goal: str) -> tuple[str, ...]:
    """The two things that are compared; none if the goal compares nothing."""
    for pattern in _SIDES:
        if found := pattern.search(goal.strip().rstrip(" ?.!")):
            sides = tuple(re.sub(r"^(?:the|an?)\s+", "", found[side].strip(), flags=re.I) for side in ("one", "other"))
            if all(map(words_of, sides)):
                return sides
    return ()


def asks_about_changes(goal: str) -> bool:
    return not _CHANGES.isdisjoint(words_of(_OWN_DEED.sub(" ", goal)))


def asks_for_number(goal: str) -> bool:
    """Whether a number is all that is asked for."""
    return bool(_FOR_NUMBER.search(goal)) and len(parts_of(goal)) == 1


def has_number(text: str) -> bool:
    """Whether this has what answers a question for a number, in figures or words."""
    return bool(_NUMBER.search(text))


def names_in(goal: str) -> tuple[str, ...]:
    """What an English question calls by name, in small letters; nothing if all of its words have capitals."""
    names = {word for name in _NAME.findall(goal) for word in words_of(name)}
    return tuple(sorted(names)) if _ENGLISH.search(goal) and names < {*words_of(goal)} else ()


def is_log(source: str, title: str, heading: str) -> bool:
    """Whether this is from a list of changes: such lists have every word there is and explain none."""
    name = re.sub(r"[-_.\s]+", " ", source.rpartition("/")[2].rpartition(".")[0] or source)
    return any(_LOG.fullmatch(text.strip()) for text in (name, title, heading.split(" › ")[0]))
