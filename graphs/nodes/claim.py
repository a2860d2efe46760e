"""A claim that is kept while its call goes on, also where nobody waits for it any more; what comes late is recorded."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from types import TracebackType
from typing import Any

from signoff.checkpoints.canonical import check_storable, readable_text
from signoff.checkpoints.ledger.effects import CLAIM_SECONDS, Effect
from signoff.checkpoints.ledger.ledger import Ledger
from signoff.errors import ActionFailed, StoreError


class KeptClaim:
    """Renews a claim until its call has ended, so that nobody calls the action while it may still take effect."""

    def __init__(self, ledger: Ledger, effect: Effect, owner: str) -> None:
        self._effects, self._effect, self._owner = ledger.effects, effect, owner
        self._ended = threading.Event()
        self._keeper = threading.Thread(target=self._renew, name=f"claim {effect.key[:12]}", daemon=True)
        self.is_left = False
        """Whether the call goes on, and nobody waits for it."""

    def __enter__(self) -> KeptClaim:
        self._keeper.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.is_left:
            self._ended.set()
            self._keeper.join()

    def leave(self, coming: Future[Any]) -> None:
        """Nobody waits for the call any more; what will come of it is recorded when it does."""
        self.is_left = True
        coming.add_done_callback(self._record)

    def _record(self, coming: Future[Any]) -> None:
        """What came late: a person may have said something else by then, which stays."""
        self._ended.set()
        key, claim, error = self._effect.key, self._effect.claims, coming.exception()
        with suppress(StoreError):  # it stays unknown; the claim runs out
            if error is None:
                self._effects.finish_late(key, keepable(coming.result()), claim=claim)
            elif isinstance(error, ActionFailed):
                self._effects.fail(key, error.problem, claim=claim)
            else:
                problem = f"{self._effect.action} ended in {type(error).__name__}: {error}"
                self._effects.lose(key, problem, claim=claim)
            self._effects.let_go(key, claim=claim)

    def _renew(self) -> None:
        while not self._ended.wait(CLAIM_SECONDS / 4):
            with suppress(StoreError):  # the next renewal may succeed; if none does, the claim runs out
                self._effects.renew(self._effect.key, self._owner, is_left=self.is_left)


def keepable(result: Any) -> dict[str, Any]:
    """The result as the ledger keeps it: it was done, whatever its author returned."""
    try:
        kept = dict(result)
        check_storable(kept)
    except (ValueError, TypeError, RecursionError):
        return {"unreadable": readable_text(repr(result)[:500])}
    return kept
