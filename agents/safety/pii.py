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

from signoff.agents.safety.text_patterns import pattern


@dataclass(frozen=True, slots=True)
class Span:
    """Private data and where it stands in a text."""

    start: int
    end: int
    kind: str


_pattern: Final = partial(pattern, "pii")
_DIGITS: Final = re.compile(r"[0-9]+")
_CARD_GROUPS: Final = frozenset({(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 5), (4, 4, 4, 4, 3), (6, 13)})


def _emails(text: str) -> Iterator[tuple[int, int]]:
    for found in _pattern("email").finditer(text) if "@" in text else ():
        if not found[1].startswith("git@"):
            yield found.span(1)


def _cards(text: str) -> Iterator[tuple[int, int]]:
    for found in _pattern("card").finditer(text):
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
        and _pattern("card_starts").fullmatch(number) is not None
        and _pattern("card_end").match(text, groups[-1].end()) is not None
        and _fits_luhn(number)
    )


def _ibans(text: str) -> Iterator[tuple[int, int]]:
    for found in _pattern("iban").finditer(text):
        ends = [found.end(), *(found.start() + space.start() for space in re.finditer(" ", found[0]))]
        end = next((end for end in sorted(ends, reverse=True) if _fits_iban(text[found.start() : end])), None)
        if end is not None:
            yield found.start(), end


def _fits_iban(text: str) -> bool:
    number = text.replace(" ", "")
    return 15 <= len(number) <= 34 and int("".join(str(int(mark, 36)) for mark in number[4:] + number[:4])) % 97 == 1


def _phones(text: str) -> Iterator[tuple[int, int]]:
    for found in _pattern("phone").finditer(text):
        number = found[0]
        while len(re.sub(r"\D", "", number)) > 15 and _pattern("last_group").search(number):
            number = _pattern("last_group").sub("", number)
        digits = re.sub(r"\D", "", number)
        groups = re.split(r"[ ./-]", number)
        is_amount = len(digits) < 10 and all(len(group) == 3 for group in groups[1:])  # `+12 000 000` is growth
        if (8 <= len(digits) <= 15 and not is_amount) or number[0] != "+":
            yield found.start(), found.start() + len(number)


def _matches(name: str, text: str) -> Iterator[tuple[int, int]]:
    return (found.span() for found in _pattern(name).finditer(text))


def _ips(text: str) -> Iterator[tuple[int, int]]:
    for found in _pattern("ipv4").finditer(text):
        parts = [int(part) for part in found[0].split(".")]
        looks_numbered = sum(part >= 10 for part in parts) < 2 and len(set(parts)) > 1
        before = text[max(0, found.start() - 12) : found.start()]
        if not looks_numbered and not _pattern("numbered").search(before) and _is_somebodys(found[0]):
            yield found.span()
    for found in _pattern("ipv6").finditer(text) if text.count(":") > 1 else ():
        groups = found[0].replace("::", ":").strip(":").split(":")
        if len(groups) > 1 and any(mark.isdigit() for mark in found[0]) and _is_somebodys(found[0]):
            yield found.span()


FINDERS: Final[dict[str, Callable[[str], Iterable[tuple[int, int]]]]] = {
    "email": _emails,
    "iban": _ibans,
    "credit_card": _cards,
    "phone": _phones,
    "ssn": partial(_matches, "ssn"),
    "mac": partial(_matches, "mac"),
    "ip": _ips,
}
"""Where data of each kind stands in a text; where two kinds fit, the first one counts."""
KINDS: Final = frozenset(FINDERS)
PLACEHOLDER: Final = re.compile(rf"\[(?:{'|'.join(sorted(kind.upper() for kind in KINDS))})_\d+\]")
"""What stands in a prompt for private data, such as `[EMAIL_1]`."""


def find_private(text: str, kinds: frozenset[str]) -> tuple[Span, ...]:
    """Private data of these kinds, in the order of the text, without overlaps. Time is linear in the text."""
    found: list[Span] = []
    before = -1
    while len(found) > before:  # what stands beside private data may only be told once that is out of the way
        before = len(found)
        has_digits = re.search(r"\d", text) is not None
        for kind, finder in FINDERS.items():
            if kind in kinds and (kind == "email" or has_digits):
                spans = list(_in_order(finder(text), kind))
                found += spans
                text = replace_spans(text, spans, _blank)
    return tuple(sorted(found, key=lambda span: span.start))


def _in_order(places: Iterable[tuple[int, int]], kind: str) -> Iterator[Span]:
    """The places from first to last; of those that overlap the first counts."""
    done = 0
    for start, end in sorted(places):
        if start >= done:
            yield Span(start, end, kind)
            done = end


def _blank(span: Span) -> str:
    """Brackets around nothing: as long as what stood there, and as it will look to others."""
    return f"[{' ' * (span.end - span.start - 2)}]"


def replace_spans(text: str, spans: Iterable[Span], replace: Callable[[Span], str]) -> str:
    """The text with something else in the place of these, which are in order."""
    parts, done = [], 0
    for span in spans:
        parts += [text[done : span.start], replace(span)]
        done = span.end
    return "".join((*parts, text[done:]))


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
