"""A circuit breaker: an endpoint that fails again and again is left alone for a while, then one call tries it."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from signoff.agents.models.failures import Failure

_FAILURES: Final = 5
"""In a row, after which the circuit is open."""
_SECONDS: Final = (2.0, 30.0)
"""How long it stays open the first time, and at most; twice as long after each try that fails."""
_POLL: Final = 0.2


class CircuitBreaker:
    """Of one endpoint and model, for the whole process; used from any thread and event loop."""

    def __init__(self) -> None:
        self.failures = 0
        """In a row; none: the call may be made without `admit`, and `ended` be left out if it is answered."""
        self.cause: Failure | None = None
        """The last of these."""
        self._lock = threading.Lock()
        self._seconds = _SECONDS[0]
        self._open_until = 0.0
        self._probing = False

    @property
    def seconds_left(self) -> float:
        """How much longer the endpoint is left alone; 0 if it is not."""
        with self._lock:
            return max(self._open_until - time.monotonic(), 0.0) if self.failures >= _FAILURES else 0.0

    async def admit(self, deadline: float) -> bool | None:
        """Wait until a call may be made: whether it is a probe; None if not before the deadline of the monotonic clock.

        While the circuit is open one call at a time goes through, as a probe. `ended` must follow. Nobody waits for the
        end of what waiting does not mend.
        """
        while (is_probe := self._enter()) is None:
            now = time.monotonic()
            if now >= deadline or (self.cause is not None and self.cause.is_lasting):
                return None
            await asyncio.sleep(min(max(self._open_until - now, _POLL), deadline - now))
        return is_probe

    def _enter(self) -> bool | None:
        with self._lock:
            if self.failures < _FAILURES:
                return False
            if self._probing or time.monotonic() < self._open_until:
                return None
            self._probing = True
            return True

    def ended(self, *, is_probe: bool, answered: bool | None, cause: Failure | None = None) -> None:
        """The call ended: the endpoint answered, or it failed, or nothing was learned of it (None)."""
        with self._lock:
            if is_probe:
                self._probing = False
            if answered:
                self.failures, self._seconds, self.cause = 0, _SECONDS[0], None
            elif answered is not None:
                self.failures, self.cause = self.failures + 1, cause
                if is_probe:
                    self._seconds = min(self._seconds * 2, _SECONDS[1])
                if is_probe or self.failures == _FAILURES:
                    self._open_until = time.monotonic() + self._seconds


_breakers: dict[str, CircuitBreaker] = {}


def breaker_of(key: str) -> CircuitBreaker:
    """The breaker of this endpoint and model."""
    return _breakers.setdefault(key, CircuitBreaker())
