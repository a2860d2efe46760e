"""Time as the ledger writes it: UTC, ISO 8601, microseconds, so that texts sort as moments do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def now() -> str:
    """This moment, such as '2026-01-31T09:30:00.000000Z'."""
    return datetime.now(UTC).strftime(_FORMAT)


def today() -> str:
    """This day, of UTC, such as '2026-01-31'."""
    return now()[:10]


def later(seconds: float) -> str:
    """The moment this many seconds from now."""
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime(_FORMAT)


def after(moment: str, seconds: float) -> str:
    """The moment this many seconds after another."""
    return (_parse(moment) + timedelta(seconds=seconds)).strftime(_FORMAT)


def seconds_since(moment: str) -> float:
    """Seconds from a moment until now."""
    return (datetime.now(UTC) - _parse(moment)).total_seconds()


def _parse(moment: str) -> datetime:
    return datetime.strptime(moment, _FORMAT).replace(tzinfo=UTC)
