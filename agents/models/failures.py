"""What a failed call of a model means, by name, whatever client raised it; and how long its answer asks to wait."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from json import JSONDecodeError
from traceback import walk_tb
from typing import Final, Literal

Kind = Literal[
    "rate_limited",
    "overloaded",
    "timeout",
    "dropped",
    "malformed",
    "refused",
    "context_overflow",
    "content_filter",
    "cut",
    "unknown",
]
"""rate_limited: 429; overloaded: 5xx and other statuses that pass; dropped: no connection, or lost amid the answer;
malformed: an answer that cannot be read; refused: the key, the permission, the model's name or the request;
context_overflow: the prompt is too long; content_filter: the endpoint would not answer this; cut: the answer was longer
than it may be; unknown: not the endpoint's."""

RETRIED: Final = frozenset({"rate_limited", "overloaded", "timeout", "dropped", "malformed"})
"""What trying again may help."""
MAYBE_PAID: Final = frozenset({"timeout", "dropped", "malformed", "cut", "unknown"})
"""After which nobody knows what the endpoint charged."""

_PASSING: Final = (408, 409, 425)
"""Statuses below 500 after which trying again may help."""
_NO_MONEY: Final = ("insufficient_quota", "billing", "exceeded your current quota")
"""A 429 that waiting does not mend."""
_TOO_LONG: Final = (
    "context_length",
    "context length",
    "context window",
    "maximum context",
    "too many tokens",
    "prompt is too long",
    "exceeds the available context",
    "input is too long",
    "exceed_context_size",
)
_UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_EPOCH: Final = 1e9  # a number of seconds as large as this is a moment, not a duration
_FILTERED: Final = ("content_filter", "content_policy", "content management policy", "responsible ai")

_CLIENTS: Final = frozenset(
    {"openai", "anthropic", "httpx", "httpx2", "httpcore", "httpcore2", "aiohttp", "requests", "urllib3", "google"}
)


@dataclass(frozen=True)
class Failure:
    """What went wrong with one call."""

    kind: Kind
    message: str
    """The endpoint's own words, one line."""
    retry_after: float | None = None
    """Seconds to wait, if the endpoint said so."""
    headers: Mapping[str, str] = field(default_factory=dict)


def classify(error: BaseException) -> Failure:
    """What this error means."""
    status = getattr(error, "status_code", None)
    headers = _headers(error)
    message = _message(error)
    kind = _kind(error, status if isinstance(status, int) else None, f"{message} {_code(error)}".lower())
    return Failure(kind, message, retry_after(headers, time.time()), headers)


def _kind(error: BaseException, status: int | None, said: str) -> Kind:
    from langchain_core import exceptions as known

    if isinstance(error, known.ContextOverflowError) or (status in (400, 413, 500) and _holds(said, _TOO_LONG)):
        return "context_overflow"
    if _holds(said, _FILTERED) and (status in (400, 403, None)) and _is_clients(error):
        return "content_filter"
    if _is_named(error, "LengthFinishReasonError"):
        return "cut"
    if _is_named(error, "ContentFilterFinishReasonError"):
        return "content_filter"
    if status is not None and status >= 400:
        return _by_status(status, said)
    if isinstance(error, known.ModelRateLimitError):
        return "rate_limited"
    if isinstance(error, TimeoutError | known.ModelTimeoutError) or type(error).__name__.endswith(
        ("Timeout", "TimeoutError", "TimeoutException")
    ):
        return "timeout"
    if isinstance(error, known.ModelAPIError):
        return "overloaded"
    if isinstance(error, known.ModelError):
        return "dropped" if isinstance(error, known.ModelConnectionError) else "refused"
    if isinstance(error, JSONDecodeError | UnicodeDecodeError) or _is_named(
        error, "APIResponseValidationError", "NoAnswer"
    ):
        return "malformed"
    if isinstance(error, ConnectionError) or _is_clients(error):
        return "dropped"
    if isinstance(error, ValueError | TypeError | KeyError) and _raised_in(error) == "langchain_openai":
        return "malformed"  # it could not make a message of the answer
    return "unknown"


def _by_status(status: int, said: str) -> Kind:
    if status == 429:
        return "refused" if _holds(said, _NO_MONEY) else "rate_limited"
    return "overloaded" if status >= 500 or status in _PASSING else "refused"


def _raised_in(error: BaseException) -> str:
    """The package whose code raised it."""
    frames = [frame for frame, _ in walk_tb(error.__traceback__)]
    return str(frames[-1].f_globals.get("__name__", "")).partition(".")[0] if frames else ""


def _is_named(error: BaseException, *names: str) -> bool:
    """Whether it is of a class of one of these names: the clients' packages are not imported to look."""
    return any(kind.__name__ in names for kind in type(error).__mro__)


def _is_clients(error: BaseException) -> bool:
    """Whether an HTTP client or a provider's package raised it."""
    return any(kind.__module__.partition(".")[0] in _CLIENTS for kind in type(error).__mro__)


def _holds(said: str, words: tuple[str, ...]) -> bool:
    return any(word in said for word in words)


def _code(error: BaseException) -> str:
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, Mapping) else None
    found = [getattr(error, "code", None)]
    if isinstance(inner, Mapping):
        found += [inner.get("code"), inner.get("type")]
    return " ".join(str(code) for code in found if code)


def _headers(error: BaseException) -> dict[str, str]:
    headers = getattr(getattr(error, "response", None), "headers", None)
    return {str(name).lower(): str(value) for name, value in headers.items()} if headers is not None else {}


def _message(error: BaseException) -> str:
    """The endpoint's own words, one line."""
    status = getattr(error, "status_code", None)
    body = getattr(error, "body", None)
    said = body.get("message") if isinstance(body, dict) else None
    text = said if isinstance(said, str) else str(error)
    line = (text.replace(" ssl:default", "").splitlines() or [""])[0][:300].rstrip(". ") or type(error).__name__
    return f"{status} {line}" if isinstance(status, int) and not line.startswith("Error code") else line


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
