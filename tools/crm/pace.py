"""The pace of requests to a CRM: all of a process that write to one host share it, and learn from its refusals."""

from __future__ import annotations

import time
from functools import cache

from signoff.checkpoints.ledger import PrivateRates, RateLimit, RateState, RateStore, Refusal, Turn, refuse, take

_UNTOLD = RateLimit()


class Pace:
    """Turns at which requests may be sent, by the ledger's pacing, in the process's memory unless a store is given."""

    def __init__(self, store: RateStore | None = None) -> None:
        self._store = store

    def take(self, host: str) -> Turn:
        """Wait for a turn."""
        while True:
            state, now, turns = self._rates.change(_key(host), lambda state, at: take(state, at, [1.0], _UNTOLD))
            if turns:
                time.sleep(max(turns[0].start - now, 0.0))
                return turns[0]
            time.sleep(min(max((state.trial_at or state.paused_until) - now, 0.01), 1.0))

    def refused(self, host: str, turn: Turn, asked: float | None) -> None:
        """The request of this turn was refused; `asked` are the seconds that the answer asks to wait, if it does."""

        def learn(state: RateState, now: float) -> tuple[RateState, None]:
            took = max(now - turn.start, 0.0)
            return refuse(Refusal(turn, sent=now - took, took=took, asked=asked), _UNTOLD)(state, now), None

        self._rates.change(_key(host), learn)

    @property
    def _rates(self) -> RateStore:
        return self._store or _of_this_process()


@cache
def _of_this_process() -> PrivateRates:
    return PrivateRates()


def _key(host: str) -> str:
    return f"crm:{host}"
