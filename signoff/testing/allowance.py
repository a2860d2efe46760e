"""A rate limit of an endpoint: requests are counted, told of in headers, and refused where there are too many."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from signoff.testing.script import Failure

Counting: TypeAlias = Literal["fixed", "sliding", "bucket"]
"""A window after the other, the last so many seconds at any moment, or a bucket that fills up again evenly."""


@dataclass(frozen=True)
class Allowance:
    """So many requests in so many seconds; those beyond get 429. `headers=False` tells nothing but Retry-After."""

    requests: int
    seconds: float = 1.0
    counting: Counting = "fixed"
    headers: bool = True


class Meter:
    """Counts requests against an allowance; threads may share it."""

    def __init__(self, allowance: Allowance, clock: Callable[[], float] = time.monotonic) -> None:
        self._allowance, self._clock = allowance, clock
        self._began, self._counting = clock(), threading.Lock()
        self._taken: deque[float] = deque()
        self._level, self._filled_at = float(allowance.requests), self._began
        self.refused = 0

    def admit(self) -> tuple[dict[str, str], Failure | None]:
        """Count a request: headers for its answer, and the answer itself if it is refused."""
        with self._counting:
            now = self._clock()
            remaining, reset, wait = self._count(now)
            headers = {
                "x-ratelimit-limit-requests": str(self._allowance.requests),
                "x-ratelimit-remaining-requests": str(max(0, remaining)),
                "x-ratelimit-reset-requests": f"{max(0, math.ceil(reset * 1000))}ms",
            }
            told = headers if self._allowance.headers else {}
            if remaining >= 0:
                return told, None
            self.refused += 1
        asked = {"Retry-After": f"{math.ceil(wait)}", "retry-after-ms": f"{max(1, math.ceil(wait * 1000))}"}
        message = f"Rate limit reached: {self._allowance.requests} requests per {self._allowance.seconds:g} s."
        return {}, Failure(429, message, "rate_limit_exceeded", {**told, **asked})

    def _count(self, now: float) -> tuple[int, float, float]:
        """What remains (-1: refused), seconds until it is better, and seconds until a request will be taken."""
        limit, seconds = self._allowance.requests, self._allowance.seconds
        if self._allowance.counting == "bucket":
            self._level = min(limit, self._level + (now - self._filled_at) * limit / seconds)
            self._filled_at = now
            missing = (1 - self._level) * seconds / limit
            taken = self._level >= 1
            self._level -= taken
            return (int(self._level) if taken else -1), (limit - self._level) * seconds / limit, missing
        ends = self._began + seconds * (1 + (now - self._began) // seconds)
        oldest = ends - seconds if self._allowance.counting == "fixed" else now - seconds
        while self._taken and self._taken[0] < oldest:
            self._taken.popleft()
        remaining = limit - len(self._taken) - 1
        if remaining >= 0:
            self._taken.append(now)
        left = ends - now if self._allowance.counting == "fixed" else self._taken[0] + seconds - now
        return remaining, left, left
