"""How long an answer of HTTP asks to be left alone: in seconds, as a duration, or as a moment of the server's clock."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_EPOCH: Final = 1e9  # a number of seconds as large as this is a moment, not a duration


def retry_after(headers: Mapping[str, str], now: float) -> float | None:
    """Seconds that an answer asks to be left alone for, by `retry-after-ms` or `retry-after`; None if it does not.

    The names are in lower case. A moment is one of the endpoint's clock, where its answer says what that shows, else of
    ours: `now`, in seconds since 1970.
    """
    milliseconds = number_in(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    said = headers.get("retry-after")
    return seconds_in(said, clock_of(headers, now)) if said else None


def clock_of(headers: Mapping[str, str], now: float) -> float:
    """The moment by the endpoint's clock."""
    sent = _moment_in(headers["date"]) if "date" in headers else None
    return now if sent is None else sent


def number_in(text: str | None) -> float | None:
    """The number, if it is one that is finite and not negative."""
    try:
        number = float(text or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def seconds_in(text: str, at: float) -> float | None:
    """Seconds from then: of `6m0s`, `120ms`, `1.5`, a moment in RFC 3339 or as a date of HTTP, or of an epoch."""
    if (number := number_in(text)) is not None:
        if number >= _EPOCH * 1000:
            number /= 1000
        return max(0.0, number - at) if number >= _EPOCH else number
    parts = _DURATION.findall(text)
    if parts and "".join(amount + unit for amount, unit in parts) == text:
        return sum(float(amount) * _UNITS[unit] for amount, unit in parts)
    moment = _moment_in(text)
    return None if moment is None else max(0.0, moment - at)


def _moment_in(text: str) -> float | None:
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            moment = read(text)
        except (ValueError, TypeError, IndexError):
            continue
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None
