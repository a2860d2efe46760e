"""Notices: an outbox in the ledger, so that whoever is told of something is told exactly when it was committed."""

from __future__ import annotations

import logging
import os
import random
import secrets
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Final

from sqlalchemy import Connection, Row, func, insert, select, update

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import canonical_json, from_row
from signoff.checkpoints.errors import HookFailed, UnknownNotice
from signoff.checkpoints.ledger.notifications.hooks import Hook, HookEvent, Notice, NoticeStatus, configured_hooks
from signoff.checkpoints.ledger.run_path import begins
from signoff.checkpoints.ledger.schema import AUDIT_HEAD, notices, read_meta, runs
from signoff.checkpoints.ledger.session import Session
from signoff.checkpoints.process_identity import current_owner, is_gone
from signoff.checkpoints.redaction import redact, redact_text
from signoff.error_base import SignoffError
from signoff.wording import make_visible, one_line

_LONGEST_TEXT = 2_000
"""Longer texts among the arguments are cut: a notice says what waits, the ledger has all of it."""

_DEEPEST = 20
_BATCH = 50


class Notices:
    """The notices table. What is written here is sent by threads of their own, and never fails a run."""

    def __init__(self, session: Session, hooks: Sequence[Hook] | None = None) -> None:
        """`hooks`: who is told; None: whom the settings name, which are read on first use."""
        self._session, self._given = session, hooks
        self.after_try: Callable[[Notice], None] | None = None
        """Called after each try of this process, from a sender's thread, with the notice as it stands then."""

    @cached_property
    def hooks(self) -> Mapping[str, Hook]:
        """Who is told, by name."""
        found = self._given
        if found is None:
            from signoff.settings import load_settings

            found = configured_hooks(load_settings())
        return {hook.name: hook for hook in found}

    def add(self, connection: Connection, event: HookEvent, run_id: str, **body: Any) -> None:
        """Have everybody told who wants to know, if this transaction is committed. `body`: JSON values."""
        told = [hook.name for hook in self.hooks.values() if event in hook.events]
        if not told:
            return
        at, about = canonical.now(), _about(connection, run_id) | _cut(redact(body))
        for name in told:
            notice_id = f"n-{secrets.token_hex(12)}"
            text = canonical_json({"event": event, "id": notice_id, "at": at, "run": run_id, **about})
            connection.execute(
                insert(notices).values(
                    id=notice_id, hook=name, event=event, run_id=run_id, body=text, at=at, status="due", next_at=at
                )
            )
        self._session.after_commit(self._wake)

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until everything due now was tried, no longer than so many seconds; True if nothing is left to be sent.

        For commands that end soon: what they leave is sent by the next process.
        """
        ends = None if seconds is None else time.monotonic() + seconds
        if self.due():
            self._wake()
        for sender in self._senders:
            sender.wait(None if ends is None else max(0.0, ends - time.monotonic()))
        return not self.due()

    def due(self) -> int:
        """How many are not sent yet to the hooks of this ledger."""
        if not self.hooks:
            return 0
        due = (notices.c.status == "due") & notices.c.hook.in_(tuple(self.hooks))
        with self._session.read() as connection:
            return int(connection.execute(select(func.count()).where(due)).scalar_one())

    def retry(self, notice_id: str) -> Notice:
        """Send the notice with this id, or beginning of one, again, as if it were new; UnknownNotice otherwise."""
        with self._session.write() as connection:
            query = select(notices.c.id).where(begins(notices.c.id, notice_id)).limit(2)
            found = connection.execute(query).all() if notice_id else []
            if len(found) != 1:
                raise UnknownNotice(notice_id)
            due = {"status": "due", "tries": 0, "next_at": canonical.now()}
            connection.execute(update(notices).where(notices.c.id == found[0].id).values(**due))
            self._session.after_commit(self._wake)
            return _read(connection, found[0].id)

    def claim(self, hook: Hook, sender: str, *, seconds: float) -> Notice | None:
        """Take the oldest notice that this hook can be told now, so that no other process sends it meanwhile."""
        with self._session.read() as connection:
            if _next_free(connection, hook) is None:
                return None
        with self._session.write() as connection:
            row = _next_free(connection, hook)  # others may have taken some since
            if row is None:
                return None
            taken = {"tries": row.tries + 1, "sender": sender, "sender_until": canonical.later(seconds)}
            connection.execute(update(notices).where(notices.c.id == row.id).values(**taken))
            return _read(connection, row.id)

    def settle(self, notice: Notice, hook: Hook, sender: str, *, error: str = "", final: bool = False) -> None:
        """Record how a try went, if the notice is still held; `error`: why it failed, empty if it was taken."""
        values = {"status": "sent", "error": redact_text(error), "sender": "", "sender_until": ""}
        if error and (final or notice.tries > len(hook.delays)):
            values["status"] = "given_up"
        elif error:
            # Not all at once when a receiver comes back.
            delay = hook.delays[notice.tries - 1] * random.uniform(0.9, 1.1)
            values |= {"status": "due", "next_at": canonical.later(delay)}
        with self._session.write() as connection:
            mine = (notices.c.id == notice.id) & (notices.c.sender == sender)
            connection.execute(update(notices).where(mine).values(**values))
            settled = _read(connection, notice.id)
        if self.after_try is not None:
            self.after_try(settled)

    def seconds_to_next(self, hook: Hook) -> float | None:
        """Seconds until this hook can be told again of something; None if nothing is due."""
        due = (notices.c.hook == hook.name) & (notices.c.status == "due")
        with self._session.read() as connection:
            moment = connection.execute(select(func.min(notices.c.next_at)).where(due)).scalar_one()
        return None if moment is None else max(0.0, -canonical.seconds_since(moment))

    def list(self, *, status: NoticeStatus | None = None, limit: int = 50) -> list[Notice]:
        """The newest notices to any hook, newest first."""
        query = select(notices).order_by(notices.c.at.desc(), notices.c.id).limit(limit)
        if status is not None:
            query = query.where(notices.c.status == status)
        with self._session.read() as connection:
            return [from_row(Notice, row) for row in connection.execute(query)]

    def close(self) -> None:
        """Stop sending; what is due stays due, and the next use starts again."""
        for sender in self.__dict__.get("_senders", ()):
            sender.close()

    def _wake(self) -> None:
        for sender in self._senders:
            sender.wake()

    @cached_property
    def _senders(self) -> tuple[Sender, ...]:
        return tuple(Sender(self, hook) for hook in self.hooks.values())


def _read(connection: Connection, notice_id: str) -> Notice:
    return from_row(Notice, connection.execute(select(notices).where(notices.c.id == notice_id)).one())


def _next_free(connection: Connection, hook: Hook) -> Row[Any] | None:
    """The oldest that is due and that nobody is sending: nobody was, its time is over, or the process is gone."""
    now = canonical.now()
    due = (notices.c.hook == hook.name) & (notices.c.status == "due") & (notices.c.next_at <= now)
    for row in connection.execute(select(notices).where(due).order_by(notices.c.at, notices.c.id).limit(_BATCH)):
        if not row.sender or row.sender_until <= now or is_gone(row.sender.partition("/")[0]):
            return row
    return None


def _about(connection: Connection, run_id: str) -> dict[str, Any]:
    """What every notice says: whose run it is, and the newest audit entry, as a witness outside the database."""
    run = connection.execute(select(runs.c.team, runs.c.goal).where(runs.c.id == run_id)).first()
    team, goal = (run.team, one_line(redact_text(run.goal))) if run else ("", "")
    return {"team": team, "goal": goal, "audit_head": read_meta(connection, AUDIT_HEAD) or ""}


def _cut(value: Any, depth: int = 0) -> Any:
    """The value with all of its texts visible, long ones cut, and without what lies too deep."""
    if isinstance(value, str):
        cut = f"… ({len(value):,} characters)" if len(value) > _LONGEST_TEXT else ""
        return f"{make_visible(value[:_LONGEST_TEXT])}{cut}"
    if isinstance(value, Mapping | list | tuple) and depth >= _DEEPEST:
        return "…"
    if isinstance(value, Mapping):
        return {make_visible(str(name)): _cut(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_cut(inner, depth + 1) for inner in value]
    return value


_POLL_SECONDS: Final = 60.0
"""How long a sender rests at most: another process may have died while it was sending."""

_MARGIN_SECONDS: Final = 20.0
"""How long a notice is held beyond what a try may take, for a database that is slow."""

_JOIN_SECONDS: Final = 1.0
_log = logging.getLogger("signoff.notices")


class WakeUp:
    """Calls a thread to work, and tells when it has done what it was called for."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._called = self._answered = 0
        self.is_closed = False

    def call(self) -> None:
        with self._changed:
            self._called += 1
            self._changed.notify_all()

    def close(self) -> None:
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
        """Wait for a call or for so many seconds; return the number of the last call."""
        with self._changed:
            self._changed.wait_for(lambda: self.is_closed or self._called > self._answered, seconds)
            return self._called

    def answer(self, call: int) -> None:
        with self._changed:
            self._answered = call
            self._changed.notify_all()

    def wait(self, seconds: float | None) -> None:
        """Wait until all calls so far are answered, for so many seconds at most, or until it is closed."""
        with self._changed:
            last = self._called
            self._changed.wait_for(lambda: self.is_closed or self._answered >= last, seconds)


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
            if self._wake_up.is_closed:
                self._start()
        self._wake_up.call()

    def wait(self, seconds: float | None) -> None:
        self._notice_fork()
        self._wake_up.wait(seconds)

    def close(self) -> None:
        """Stop after the notice it is sending, and wait for that, but not long."""
        self._notice_fork()
        if self._thread is not None:
            self._wake_up.close()
            self._thread.join(_JOIN_SECONDS)

    def send_due(self) -> float:
        """Send what is due; return how many seconds to rest."""
        try:
            while not self._wake_up.is_closed and self._send_next():
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
        self._starting, self._thread, self._wake_up = threading.Lock(), None, WakeUp()
        self._wake_up.close()  # nobody listens yet

    def _start(self) -> None:
        wake_up = WakeUp()
        # The thread must not keep a ledger alive that nobody uses any more.
        itself = weakref.ref(self, lambda _: wake_up.abandon())
        thread = threading.Thread(target=_work, args=(itself, wake_up), name="signoff-notices", daemon=True)
        try:
            self._hook.prepare()
            thread.start()
        except Exception as error:  # what was committed is committed: whatever is wrong here is no reason to fail a run
            _log.warning("Notices to %s wait: %s: %s", self._hook.name, type(error).__name__, error)
            return
        self._wake_up, self._thread = wake_up, thread


def _work(itself: weakref.ref[Sender], wake_up: WakeUp) -> None:
    pause = 0.0
    try:
        while True:
            call = wake_up.listen(pause)
            sender = None if wake_up.is_closed else itself()
            if sender is None:
                return
            pause = sender.send_due()
            del sender
            wake_up.answer(call)
    finally:
        wake_up.close()
