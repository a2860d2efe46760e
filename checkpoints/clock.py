"""Time as the ledger writes it: UTC, ISO 8601, microseconds, so that texts sort as moments do."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now() -> str:
    """This moment, such as '2026-01-31T09:30:00.000000Z'."""
    return _text(datetime.now(UTC))


def later(seconds: float) -> str:
    """The moment this many seconds from now."""
    return _text(datetime.now(UTC) + timedelta(seconds=seconds))


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
