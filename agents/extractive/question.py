"""What a goal asks: its parts, the sides that it sets against each other, and whether it is about a number."""

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
_FOR_NUMBER: Final = re.compile(
    r"\b(?:how (?:long|many|much|often|old|far|soon|high|large|big)|costs?)\b", re.IGNORECASE
)
_NUMBER: Final = re.compile(
    r"\d|\b(?:two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|hundred|half|none"
    r"|once|twice|every|each|daily|weekly|monthly|yearly|annual(?:ly)?|never|always|immediately|unlimited)\b",
    re.IGNORECASE,
)


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


def asks_for_number(goal: str) -> bool:
    """Whether a number is all that is asked for."""
    return bool(_FOR_NUMBER.search(goal)) and len(parts_of(goal)) == 1


def has_number(text: str) -> bool:
    """Whether this has what answers a question for a number, in figures or words."""
    return bool(_NUMBER.search(text))
