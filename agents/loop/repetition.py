"""Repetition within a step: the same calls again, to and fro, and turns that bring nothing new. Counted, no clock."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from signoff.checkpoints.canonical import canonical_json

_AGAIN = 2
"""Turns in a row that only repeat calls and get what they got before."""
_NOTHING_NEW = 6
"""Turns in a row whose results were all seen before, whatever was called."""
_ONE_CALL = 6
"""Times one call is made, whatever comes of it."""


class Repetition:
    """Looks at each turn and says when the step goes in circles."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()
        self._results: set[str] = set()
        self._again = self._nothing_new = 0

    def notice(self, turn: Sequence[tuple[str, Mapping[str, Any], str]]) -> str | None:
        """Look at a turn's calls, each a name, its arguments and its result; what is wrong, in words, or None."""
        if not turn:
            return None
        keys = [_key(name, args) for name, args, _ in turn]
        results = {hashlib.sha256(result.encode("utf-8", "backslashreplace")).hexdigest() for _, _, result in turn}
        is_old = results <= self._results
        is_again = is_old and all(self._calls[key] for key in keys)
        self._again = self._again + 1 if is_again else 0
        self._nothing_new = self._nothing_new + 1 if is_old else 0
        self._calls.update(keys)
        self._results |= results
        times, name = max((self._calls[key], call[0]) for key, call in zip(keys, turn, strict=True))
        if self._again >= _AGAIN:
            return f"it makes the same calls again, such as {name}, and gets the same results"
        if self._nothing_new >= _NOTHING_NEW:
            self._nothing_new = 0  # other words may still find something: as many turns again
            return f"its last {_NOTHING_NEW} turns brought nothing new"
        if times >= _ONE_CALL:
            return f"it called {name} with the same arguments {times} times"
        return None

    def forget(self) -> None:
        """What was seen was left out of the conversation, so that it may be looked up again."""
        self._calls.clear()
        self._results.clear()
        self._again = self._nothing_new = 0


def _key(name: str, args: Mapping[str, Any]) -> str:
    try:
        return f"{name} {canonical_json(args)}"
    except (TypeError, ValueError, RecursionError):
        return f"{name} {args!r}"
