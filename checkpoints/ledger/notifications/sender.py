"""Sending the outbox to one hook, in a thread that ends with its ledger and that nobody waits for."""

from __future__ import annotations

import logging
import os
import secrets
import threading
import weakref
from typing import TYPE_CHECKING, Final

from signoff.checkpoints.process_identity import current_owner
from signoff.errors import HookFailed, SignoffError

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.notifications.hooks import Hook
    from signoff.checkpoints.ledger.notifications.outbox import Notices

_POLL_SECONDS: Final = 60.0
"""How long a sender rests at most: another process may have died while it was sending."""

_MARGIN_SECONDS: Final = 20.0
"""How long a notice is held beyond what a try may take, for a database that is slow."""

_JOIN_SECONDS: Final = 1.0
_log = logging.getLogger("signoff.notices")


class Bell:
    """Calls a thread to work, and tells when it has done what it was called for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._rung = self._answered = 0
        self.is_closed = False

    def ring(self) -> None:
        """There is something to do."""
        with self._changed:
            self._rung += 1
            self._changed.notify_all()

    def close(self) -> None:
        """There will be nothing more to do."""
        with self._changed:
            self.is_closed = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """As `close`, but waits for nobody, as garbage may be collected anywhere: who listens may notice later."""
        self.is_closed = True
        if self._changed.acquire(blocking=False):
            try:
                self._changed.notify_all()
            finally:
                self._changed.release()

    def listen(self, seconds: float) -> int:
        """Wait for a ring or for so many seconds; return the number of the last ring."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_closed or self._rung > self._answered, seconds)
            return self._rung

    def answer(self, ring: int) -> None:
        """What this ring was for is done."""
        with self._changed:
            self._answered = ring
            self._changed.notify_all()

    def wait(self, seconds: float | None) -> bool:
        """Wait until all rings so far are answered; False if that takes longer, or if it is closed meanwhile."""
        with self._changed:
            last = self._rung
            self._changed.wait_for(lambda: self.is_closed or self._answered >= last, seconds)
            return self._answered >= last


class Sender:
    """Sends what is due to one hook. One that fails or hangs holds up no other."""

    def __init__(self, outbox: Notices, hook: Hook) -> None:
        self._outbox, self._hook = outbox, hook
        self._thread: threading.Thread | None
        self._forget()

    def wake(self) -> None:
        """Have it look what is due; a forked child, which has no threads, starts its own."""
        self._notice_fork()
        with self._starting:
            if self._bell.is_closed:
                self._start()
        self._bell.ring()

    def wait(self, seconds: float | None) -> bool:
        """Wait until everything due when it was woken was tried; False if that takes longer."""
        self._notice_fork()
        return self._bell.wait(seconds)

    def close(self) -> None:
        """Stop after the notice it is sending, and wait for that, but not long."""
        self._notice_fork()
        if self._thread is not None:
            self._bell.close()
            self._thread.join(_JOIN_SECONDS)

    def send_due(self) -> float:
        """Send what is due; return how many seconds to rest."""
        try:
            while not self._bell.is_closed and self._send_next():
                pass
            pause = self._outbox.seconds_to_next(self._hook)
        except SignoffError as error:
            _log.warning("Notices to %s wait: %s", self._hook.name, error)
            return _POLL_SECONDS
        # What is due and was not sent is being sent by another process.
        return min(pause, _POLL_SECONDS) if pause else _POLL_SECONDS

    def _send_next(self) -> bool:
        hook = self._hook
        notice = self._outbox.claim(hook, self._name, seconds=hook.time_limit + _MARGIN_SECONDS)
        if notice is None:
            return False
        error, final = "", False
        try:
            hook.send(notice)
        except HookFailed as failed:
            error, final = str(failed), failed.final
        except Exception as failed:  # whatever a program's own hook raises is a try that failed
            error = f"{type(failed).__name__}: {failed}"
        if error:
            _log.warning("Notice %s (%s) was not taken by %s: %s", notice.id, notice.event, hook.name, error)
        self._outbox.settle(notice, hook, self._name, error=error, final=final)
        return True

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self._forget()

    def _forget(self) -> None:
        self._pid, self._name = os.getpid(), f"{current_owner()}/{secrets.token_hex(4)}"
        self._starting, self._thread, self._bell = threading.Lock(), None, Bell()
        self._bell.close()  # nobody listens yet

    def _start(self) -> None:
        bell = Bell()
        # The thread must not keep a ledger alive that nobody uses any more.
        itself = weakref.ref(self, lambda _: bell.abandon())
        thread = threading.Thread(target=_work, args=(itself, bell), name="signoff-notices", daemon=True)
        try:
            self._hook.prepare()
            thread.start()
        except Exception as error:  # what was committed is committed: whatever is wrong here is no reason to fail a run
            _log.warning("Notices to %s wait: %s: %s", self._hook.name, type(error).__name__, error)
            return
        self._bell, self._thread = bell, thread


def _work(itself: weakref.ref[Sender], bell: Bell) -> None:
    pause = 0.0
    try:
        while True:
            ring = bell.listen(pause)
            sender = None if bell.is_closed else itself()
            if sender is None:
                return
            pause = sender.send_due()
            del sender
            bell.answer(ring)
    finally:
        bell.close()
