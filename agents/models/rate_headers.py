"""What an answer's headers say about limits, in the dialects of OpenAI, Anthropic and the IETF."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from signoff.agents.models.failures import clock_of, number_in, retry_after, seconds_in
from signoff.checkpoints.ledger import Kind

_PARAMETER: Final = re.compile(r"([a-z]+)\s*=\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Level:
    """How one limit stands."""

    limit: float
    remaining: float | None = None
    reset: float | None = None
    """Seconds until it stands better: until all, or until some, of it is there again."""
    window: float | None = None
    """Seconds the limit is for, where the answer says so."""


@dataclass(frozen=True)
class Reading:
    """What one answer says."""

    levels: Mapping[Kind, Level]
    retry_after: float | None = None

    @property
    def wait(self) -> float | None:
        """Seconds to wait after a 429, if the answer tells: as it asks, else until what is used up comes back."""
        if self.retry_after is not None:
            return self.retry_after
        resets = [level.reset for level in self.levels.values() if level.reset and not level.remaining]
        return min(max(resets), 60.0) if resets else None


def read_headers(headers: Mapping[str, str], now: float) -> Reading:
    """Read them, whatever their case; what makes no sense is left out. `now`: seconds since 1970."""
    known = {name: value.strip() for name, value in ((n.lower(), v) for n, v in headers.items()) if _matters(name)}
    if not known.keys() - {"date"}:
        return Reading({})
    at = clock_of(known, now)
    levels: dict[Kind, Level] = {}
    for kind, name in _FAMILIES:
        if kind in levels or name.format("limit") not in known:
            continue
        if (level := _level_of(name, known, at)) is not None:
            levels[kind] = level
    if "requests" not in levels and (level := _ietf(known)) is not None:
        levels["requests"] = level
    return Reading(levels, retry_after(known, now))


def _matters(name: str) -> bool:
    return "ratelimit" in name or name.startswith("retry-after") or name == "date"


_FAMILIES: Final[tuple[tuple[Kind, str], ...]] = (
    ("requests", "x-ratelimit-{}-requests"),
    ("tokens", "x-ratelimit-{}-tokens"),
    ("requests", "anthropic-ratelimit-requests-{}"),
    ("tokens", "anthropic-ratelimit-tokens-{}"),
    ("tokens", "anthropic-ratelimit-input-tokens-{}"),
    ("requests", "x-ratelimit-{}"),
    ("requests", "ratelimit-{}"),
)
"""Of three headers each: limit, remaining and reset."""


def _level_of(family: str, known: Mapping[str, str], at: float) -> Level | None:
    """A level of three headers; of several values of the limit, as the IETF once had them, the first counts."""
    limit, remaining, reset = (known.get(family.format(part), "") for part in ("limit", "remaining", "reset"))
    first, _, policy = limit.partition(",")
    return _level(number_in(first), remaining, seconds_in(reset, at), _parameters(policy).get("w"))


def _ietf(known: Mapping[str, str]) -> Level | None:
    """`RateLimit: limit=50, remaining=49, reset=1`, or `"default";r=49;t=1`, and the policy `50;w=1` or `q=50;w=1`."""
    said = _parameters(known.get("ratelimit", ""))
    policy = known.get("ratelimit-policy", "").partition(",")[0]
    promised = _parameters(policy)
    first = number_in(policy.partition(";")[0])
    allowed = number_in(said.get("limit") or promised.get("q"))
    remaining, reset = said.get("remaining") or said.get("r"), said.get("reset") or said.get("t")
    return _level(first if allowed is None else allowed, remaining, number_in(reset), promised.get("w"))


def _level(limit: float | None, remaining: str | None, reset: float | None, window: str | None) -> Level | None:
    if not limit or limit < 1:
        return None
    # No endpoint's window is longer than a day: what says so is not to be trusted with the clock.
    reset = None if reset is None else min(reset, 86_400.0)
    return Level(limit, number_in(remaining), reset, number_in(window) or None)


def _parameters(text: str) -> dict[str, str]:
    return dict(_PARAMETER.findall(text.lower()))


_WINDOWS: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 3600.0, 86_400.0)
"""Seconds of the windows that limits are for."""


class RemainingQuota:
    """What remains by the answers: not one alone is trusted for the pace, no more is sent than the last would take."""

    def __init__(self) -> None:
        self._counted, self._most, self._until = -1.0, math.inf, -math.inf
        self._least, self._since = math.inf, -math.inf

    def hear(self, level: Level, sent: float, counted: float) -> None:
        """Take in an answer to a call that was sent then, as the one with which so much had been sent."""
        remaining, reset = level.remaining, level.reset
        if remaining is None or reset is None:
            return
        used = level.limit - remaining
        if used > 0 and reset > 0:
            # Of a bucket the first is what flows into it; of a window the second is what one may still send. Once
            # less than half remains, some window may be filling up that the reset does not tell of.
            self._least = min(self._least, used / reset, remaining / reset if 2 * remaining >= level.limit else 0.0)
        if counted > self._counted:
            # Of an older call the endpoint counted less: what it says is out of date.
            self._counted, self._most, self._until = counted, counted + remaining, sent + reset

    def blocked_until(self, total: float, wanted: float, now: float) -> float | None:
        """When so much more may be sent, if not now: all that remained is sent and not yet there again."""
        return self._until if now < self._until and total + wanted > self._most else None

    def has_spare(self, total: float, pace: float, now: float) -> bool:
        """Whether more remains than the pace uses until it is there again, so that a missed moment may be made up."""
        return now < self._until and self._most - total >= 1 + pace * (self._until - now)

    def is_roomy(self, pace: float, window: float, now: float, idle_at: float) -> bool:
        """Whether all answers of a while, in which calls waited all the time, allow more than the pace."""
        if now - self._since < max(1.0, window):
            return False
        roomy = self._least is not math.inf and self._least >= 1.3 * pace and idle_at < self._since
        self._least, self._since = math.inf, now
        return roomy


def window_of(level: Level) -> float:
    """Seconds of the window of a limit, as far as one answer tells: never longer than it is.

    A fixed window's reset is what is left of it. A bucket's reset is the time until it is full, so that it tells the
    window as soon as something is taken out; that is trusted for the two windows that are usual. Without a reset the
    names of the headers mean a minute.
    """
    if level.window:
        return level.window
    if level.reset is None:
        return 60.0
    used = level.limit - (level.remaining if level.remaining is not None else level.limit)
    if used >= 1:
        filling = level.reset * level.limit / used
        for usual in (60.0, 1.0):
            if abs(filling / usual - 1) < 0.03:
                return usual
    return next((window for window in _WINDOWS if level.reset <= 1.03 * window), 86_400.0)
