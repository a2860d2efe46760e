"""What the answers say remains of one limit, set against what was sent since."""

from __future__ import annotations

import math
from typing import Final

from signoff.agents.models.rate_headers import Level

_WINDOWS: Final = (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 3600.0, 86_400.0)
"""Seconds of the windows that limits are for."""


class Gauge:
    """Never trusts one answer for the pace, and never sends more than the last one said would be taken."""

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
