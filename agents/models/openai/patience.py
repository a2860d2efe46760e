"""How long to wait for a model endpoint, and how long before asking it again."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz
from typing import Any, Final

import openai

LONGEST_PAUSE: Final = 120.0
"""An endpoint that asks for a longer one, in seconds, is not asked again."""
_FIRST_PAUSE, _LONGEST_OWN_PAUSE = 0.5, 8.0


@dataclass(frozen=True)
class Patience:
    """How long to wait, in seconds; None is for ever."""

    connect: float | None = None
    """For a connection."""
    idle: float | None = None
    """For the next byte."""
    total: float | None = None
    """For the whole answer, from the moment the request has its turn."""


def patience_of(timeout: Any, total: float | None) -> Patience:
    """What a `timeout` of `ChatOpenAI` means: seconds, a pair for connecting and reading, or an object with both."""
    if timeout is None or isinstance(timeout, int | float):
        return Patience(connect=timeout, idle=timeout, total=total)
    if isinstance(timeout, tuple):
        return Patience(connect=timeout[0], idle=timeout[1], total=total)
    return Patience(connect=timeout.connect, idle=timeout.read, total=total)


def pause_before_retry(error: openai.APIError, tries: int) -> float | None:
    """Seconds to wait after so many tries; None if another cannot help, by the rules of the openai client."""
    if not isinstance(error, openai.APIStatusError):
        return _own_pause(tries) if isinstance(error, openai.APIConnectionError) else None
    headers = error.response.headers
    asked = seconds_asked(headers)
    told = headers.get("x-should-retry")
    passing = error.status_code in (408, 409, 429) or error.status_code >= 500
    if (asked or 0) > LONGEST_PAUSE or told == "false" or not (passing or told == "true"):
        return None
    return asked if asked and asked > 0 else _own_pause(tries)


def seconds_asked(headers: Mapping[str, str]) -> float | None:
    """The seconds that an answer asks to be left alone for: by `retry-after-ms`, or `retry-after` in either form."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            return float(headers[name]) / unit
        except (KeyError, ValueError):
            continue
    moment = parsedate_tz(headers.get("retry-after", ""))
    try:
        return mktime_tz(moment) - time.time() if moment else None
    except (ValueError, OverflowError):
        return None


def _own_pause(tries: int) -> float:
    return float(min(_FIRST_PAUSE * 2 ** min(tries - 1, 10), _LONGEST_OWN_PAUSE) * (1 - 0.25 * random.random()))
