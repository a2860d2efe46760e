"""What private data looks like in a text: addresses and numbers that belong to people.

langchain's detectors are not used: its pattern for e-mail addresses takes quadratic time (100 kB of `a.a.a` block a
process for ten seconds), version numbers count as IP addresses, IPv6 is not known, and importing them costs 1.5 s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address
from itertools import pairwise
from typing import Final


@dataclass(frozen=True, slots=True)
class Span:
    """Private data and where it stands in a text."""

    start: int
    end: int
    kind: str


# A pattern looks behind after its first character: so a search goes straight to the characters it may begin with.
_EMAIL: Final = re.compile(
    r"(?<![\w.%+'-])(?:(?<=\\)(?:[nrtbf]|u[0-9A-Fa-f]{4}))?"  # in JSON a line break is `\n`, which is no part of a name
    r"([\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_]{2,24})(?!\w)"
)
_CARD: Final = re.compile(r"\d(?<![\w.,/+-].)[\d -]{11,}\d")
_CARD_END: Final = re.compile(r"(?![\w/]|[.,]\d)")
_DIGITS: Final = re.compile(r"[0-9]+")
_SPACE: Final = re.compile(" ")
_CARD_STARTS: Final = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|3(?:0[0-5]|[68]\d)\d{11}"
    r"|(?:6011|6[45]\d\d|35\d\d|62\d\d)\d{12,15}"
)
_CARD_GROUPS: Final = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 5), (4, 4, 4, 4, 3), (6, 13)})
_IBAN: Final = re.compile(r"[A-Z](?<![A-Za-z0-9].)[A-Z]\d\d(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_PHONE: Final = re.compile(
    r"[+(2-9](?<![\w+.,/=-].)(?:(?<=\+)[1-9]\d{0,2}[ ./-]?(?:\(\d{1,5}\)[ ./-]?)?\d{1,5}(?:[ ./-]?\d{1,5}){1,5}"
    r"|(?<=\()[2-9]\d\d\) ?[2-9]\d\d[ .-]\d{4}|(?<=\d)\d\d([.-])[2-9]\d\d\1\d{4})(?!\w| ?%|[.,-]\d)"
)
_LAST_GROUP: Final = re.compile(r"[ ./-]\d+\Z")
_SSN: Final = re.compile(r"[0-8](?<![\w.+-].)\d\d(?<!000)(?<!666)-(?!00)\d\d-(?!0000)\d{4}(?![\w-]|\.\d)")
_IPV4: Final = re.compile(r"(?:\d(?<![\w.~^-].)(?<![=<>!~]=.)\d{0,2})\.\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w-]|\.\d)")
_IPV6: Final = re.compile(r"[0-9A-Fa-f](?<![\w:.].)[0-9A-Fa-f]{2,3}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:]|\.\d)")
_MAC: Final = re.compile(r"[0-9A-Fa-f](?<![\w:-].)[0-9A-Fa-f]([:-])(?:[0-9A-Fa-f]{2}\1){4}[0-9A-Fa-f]{2}(?![\w:-])")

_DIGIT: Final = re.compile(r"\d")
_NUMBERED: Final = re.compile(
    r"(?:versions?|ver|v|releases?|build|section|sections|sect|clause|chapter|annex|appendix|figure|table|step|§|from|to)"
    r"[\s.:]{0,2}\Z",
    re.IGNORECASE,
)
"""Before four numbers with dots that are no address."""


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for found in _EMAIL.finditer(text) if "@" in text else ():
        if not found[1].startswith("git@"):
            yield found.span(1)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for found in _CARD.finditer(text):
        groups = list(_DIGITS.finditer(text, *found.span()))
        place = 0
        while place < len(groups):
            counts = (5, 4, 3, 2, 1) if len(groups[place][0]) >= 4 else ()
            count = next((count for count in counts if _is_card(text, groups[place : place + count], count)), 0)
            if count:
                yield groups[place].start(), groups[place + count - 1].end()
            place += count or 1


def _is_card(text: str, groups: list[re.Match[str]], count: int) -> bool:
    """Whether these groups of digits are a card's number; more numbers may stand before and after it."""
    number = "".join(group[0] for group in groups)
    return (
        len(groups) == count
        and (count == 1 or tuple(len(group[0]) for group in groups) in _CARD_GROUPS)
        and all(other.start() - one.end() == 1 for one, other in pairwise(groups))
        and _CARD_STARTS.fullmatch(number) is not None
        and _CARD_END.match(text, groups[-1].end()) is not None
        and _fits_luhn(number)
    )


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for found in _IBAN.finditer(text):
        ends = [found.end(), *(found.start() + space.start() for space in _SPACE.finditer(found[0]))]
        end = next((end for end in sorted(ends, reverse=True) if _fits_iban(text[found.start() : end])), None)
        if end is not None:
            yield found.start(), end


def _fits_iban(text: str) -> bool:
    number = text.replace(" ", "")
    return 15 <= len(number) <= 34 and int("".join(str(int(mark, 36)) for mark in number[4:] + number[:4])) % 97 == 1


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for found in _PHONE.finditer(text):
        number = found[0]
        while len(re.sub(r"\D", "", number)) > 15 and _LAST_GROUP.search(number):
            number = _LAST_GROUP.sub("", number)
        digits = re.sub(r"\D", "", number)
        groups = re.split(r"[ ./-]", number)
        is_amount = len(digits) < 10 and all(len(group) == 3 for group in groups[1:])  # `+12 000 000` is growth
        if (8 <= len(digits) <= 15 and not is_amount) or number[0] != "+":
            yield found.start(), found.start() + len(number)


def _matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in pattern.finditer(text))


def _ips(text: str) -> Iterator[tuple[int, int]]:
    for found in _IPV4.finditer(text):
        parts = [int(part) for part in found[0].split(".")]
        looks_numbered = sum(part >= 10 for part in parts) < 2 and len(set(parts)) > 1
        before = text[max(0, found.start() - 12) : found.start()]
        if not looks_numbered and not _NUMBERED.search(before) and _is_somebodys(found[0]):
            yield found.span()
    for found in _IPV6.finditer(text) if text.count(":") > 1 else ():
        groups = found[0].replace("::", ":").strip(":").split(":")
        if len(groups) > 1 and any(mark.isdigit() for mark in found[0]) and _is_somebodys(found[0]):
            yield found.span()


FINDERS: Final[dict[str, Callable[[str], Iterable[tuple[int, int]]]]] = {
    "email": _emails,
    "iban": _ibans,
    "credit_card": _cards,
    "phone": _phones,
    "ssn": partial(_matches, _SSN),
    "mac": partial(_matches, _MAC),
    "ip": _ips,
}
"""Where data of each kind stands in a text; where two kinds fit, the first one counts."""
KINDS: Final = frozenset(FINDERS)


def find_private(text: str, kinds: frozenset[str]) -> tuple[Span, ...]:
    """Private data of these kinds, in the order of the text, without overlaps. Time is linear in the text."""
    found: list[Span] = []
    before = -1
    while len(found) > before:  # what stands beside private data may only be told once that is out of the way
        before = len(found)
        has_digits = _DIGIT.search(text) is not None
        for kind, finder in FINDERS.items():
            if kind in kinds and (kind == "email" or has_digits):
                spans = list(_in_order(finder(text), kind))
                found += spans
                text = _blanked(text, spans)
    return tuple(sorted(found, key=lambda span: span.start))


def _in_order(places: Iterable[tuple[int, int]], kind: str) -> Iterator[Span]:
    """The places from first to last; of those that overlap the first counts."""
    done = 0
    for start, end in sorted(places):
        if start >= done:
            yield Span(start, end, kind)
            done = end


def _blanked(text: str, spans: list[Span]) -> str:
    """The text with brackets around nothing where these stood: as long as before, and as it will look to others."""
    parts, done = [], 0
    for span in spans:
        parts += [text[done : span.start], f"[{' ' * (span.end - span.start - 2)}]"]
        done = span.end
    return "".join((*parts, text[done:])) if spans else text


def _fits_luhn(digits: str) -> bool:
    """Whether the last digit checks the others, as that of every payment card does."""
    doubled = [int(mark) * (1 + place % 2) for place, mark in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0 and len(set(digits)) > 1


def _is_somebodys(address: str) -> bool:
    """Whether it is a host's address: not this host, no mask, no group."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_loopback or parsed.is_unspecified or parsed.is_multicast or address.startswith("255."))
