"""Dating: when a document is from, as far as its title, its heading or its name tells."""

from __future__ import annotations

import re

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH = r"(?P<month>jan|feb|mar|apr|may|june?|july?|aug|sept?|oct|nov|dec)[a-z]*\.?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?<!\d){_YEAR}[-_.](?P<number>0[1-9]|1[0-2])[-_.](?P<day>[0-3]\d)(?!\d)",
        rf"(?<!\d)(?P<day>[0-3]?\d)(?:st|nd|rd|th|\.)?(?: of)? {_MONTH},? {_YEAR}(?!\d)",
        rf"\b{_MONTH} (?P<day>[0-3]?\d)(?:st|nd|rd|th)?,? {_YEAR}(?!\d)",
        rf"\b{_MONTH},? {_YEAR}(?!\d)",
        rf"(?<!\d){_YEAR}[-_](?P<number>0[1-9]|1[0-2])(?!\d)",
    )
)
_VERSION = re.compile(r"\b(?:v|version )(\d+)(?:\.(\d+))?\b", re.IGNORECASE)


def date_of(*texts: str) -> str:
    """The first date in the first of these texts that has one, as '2025-03-18' or '2025-03'; empty if none has."""
    for text in texts:
        for pattern in _DATES:
            if found := pattern.search(text):
                parts = found.groupdict()
                number = parts.get("number") or f"{_MONTHS.index(parts['month'][:3].lower()) + 1:02}"
                day = f"-{int(parts['day']):02}" if parts.get("day") else ""
                return f"{parts['year']}-{number}{day}"
    return ""


def version_of(title: str) -> tuple[str, int, int] | None:
    """What a title names, and which version of it; None if it says no version."""
    found = _VERSION.search(title)
    if found is None:
        return None
    return _VERSION.sub("", title).strip().casefold(), int(found[1]), int(found[2] or 0)
