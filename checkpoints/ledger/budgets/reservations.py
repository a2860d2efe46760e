"""Budgets that hold: the worst case of a call is held before it is made, and what it really took is settled after.

One thread of the process keeps the accounts, for all who want an amount held or settled at once. What has come while a
transaction was under way goes into the next one, so that a crowd shares a few commits. Whatever is asked of that thread
is told here, and so the file is longer than most.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import logging
import math
import os
import secrets
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Final
from weakref import WeakSet

from sqlalchemy import Connection

from signoff.checkpoints import canonical
from signoff.checkpoints.canonical import plain_text
from signoff.checkpoints.db.jobs import Job, answer
from signoff.checkpoints.errors import BudgetExhausted, DatabaseUnusable
from signoff.checkpoints.ledger.audit_log import AuditLog
from signoff.checkpoints.ledger.budgets.accounts import (
    MS,
    Accounts,
    Held,
    Standing,
    columns_of,
    exhausted,
    lost_amount,
    run_of,
    standing_of,
    write_calls,
)
from signoff.checkpoints.ledger.budgets.amounts import NOTHING, Amount, Budget, CallRecord, Limits, Scope, names_of
from signoff.checkpoints.ledger.budgets.precedence import Precedence
from signoff.checkpoints.ledger.session import Session
from signoff.checkpoints.process_identity import current_owner

_log = logging.getLogger(__name__)

_CALL: Final = "call"
"""The scope of one call alone: nothing adds up in it."""
_IDLE_SECONDS: Final = 2.0
"""How long the thread waits for more before it ends."""
_LONGEST_ALONG: Final = 0.25
"""Seconds that what nobody waits for waits for others, to be written with them."""
_FIRST_POLL: Final = 0.05
_LONGEST_POLL: Final = 0.5
"""Seconds between two looks at what other processes gave back, while somebody waits for it."""
_TELL_SECONDS: Final = 1.0
"""How long a call waits before it says what for."""
_NOBODY: Final[Mapping[str, str]] = {}
_LOOK_SECONDS: Final = 2.0
"""Between two looks at whose process is gone, while nobody waits for what it holds."""
_AT_ONCE: Final = 32
"""Of how many who wait the accounts are looked up at once: mostly, the first few are all that can go on."""


@dataclass(frozen=True)
class Hold:
    """An amount that is held for one call, until it is settled or released.

    If its process is gone before that, or its time is over, the call counts as lost: whoever finds it charges its worst
    case, once.
    """

    id: str
    scopes: tuple[str, ...]
    worst: Amount
    """As it was asked for."""
    ms: int
    """The milliseconds that were granted: no more than are left, and the call is to be cut off then."""
    day: str
    """The day whose budget it is held from; empty if it is from none."""
    _worker: _Worker = field(repr=False, compare=False)
    _run_id: str = field(default="", repr=False, compare=False)
    """Whose call would be written down as lost."""

    def settle(self, spent: Amount, call: CallRecord) -> None:
        """Give it back, charge what was spent and write the call down, all or nothing; late is better than never.

        It is charged once, however often it is settled; what was charged for it as lost no longer counts then.
        """
        self._worker.wait(self._settling(spent, call))

    async def asettle(self, spent: Amount, call: CallRecord) -> None:
        """As `settle`; it is done even if whoever awaits it is cancelled."""
        await self._worker.wait_async(self._settling(spent, call))

    def settle_later(self, spent: Amount, call: CallRecord) -> None:
        """As `settle`, on disk with whatever is next written of budgets, after a moment at the latest.

        It waits for nothing: `Budgets.settled` does. If the process dies before, the call counts as lost.
        """
        self._worker.take_along(self._settling(spent, call))

    def release(self) -> None:
        """Give it back: the call was not made. What it was charged as lost stays charged."""
        if self.scopes:
            self._worker.wait(Settle(self.id))

    async def arelease(self) -> None:
        """As `release`; it is done even if whoever awaits it is cancelled."""
        if self.scopes:
            await self._worker.wait_async(Settle(self.id))

    def _settling(self, spent: Amount, call: CallRecord) -> Settle:
        call = replace(call, id=self.id, day=self.day or call.day)
        return Settle(self.id, self.scopes, _checked(spent), call, self.worst._replace(ms=self.ms), self._run_id)


class Budgets:
    """The tables budgets and holds. Threads, event loops and processes may all come at once."""

    def __init__(self, session: Session, audit: AuditLog) -> None:
        self._session, self._worker = session, _Worker(session, audit)

    def reserve(
        self,
        scopes: Sequence[Scope],
        worst: Amount,
        *,
        seconds: float,
        wait: float = 60.0,
        call: Mapping[str, str] = _NOBODY,
    ) -> Hold:
        """Hold the worst case of a call in all its scopes at once, for this many seconds at most.

        `call` tells whose it is and of which model, should its process be lost, by the fields of a CallRecord; what it
        does not tell, the scopes do.

        BudgetExhausted if it does not fit what is not spent yet; while it only does not fit because of calls under
        way, it waits for them, and `wait` seconds at most: runs that have begun in the order in which they did, then
        first come, first served. A run that may wait leaves of a budget that runs share what those before it still
        need.
        """
        job, hold = self._asked(scopes, worst, seconds, wait, call)
        return replace(hold, ms=self._worker.wait(job)) if job.scopes else hold

    async def areserve(
        self,
        scopes: Sequence[Scope],
        worst: Amount,
        *,
        seconds: float,
        wait: float = 60.0,
        call: Mapping[str, str] = _NOBODY,
        say: Callable[[str], None] | None = None,
    ) -> Hold:
        """As `reserve`, without holding up the event loop; `say` is told why it waits, when that changes."""
        job, hold = self._asked(scopes, worst, seconds, wait, call)
        return replace(hold, ms=await self._worker.wait_async(job, say)) if job.scopes else hold

    def settled(self, run_id: str) -> None:
        """Wait until what a run had settled for later is on disk, and what a process that is gone has left of it."""
        if self._worker.is_due(run_id):
            self._worker.wait(Settle(""))

    async def asettled(self, run_id: str) -> None:
        """As `settled`, without holding up the event loop."""
        if self._worker.is_due(run_id):
            await self._worker.wait_async(Settle(""))

    def raise_limit(self, scope: str | Scope, by: Budget, *, key: str) -> bool:
        """Add to a scope's limits, once for each key; False if that was done before."""
        return bool(self._worker.wait(Raise(_name(scope), by.amount, key)))

    def standing(self, scope: str | Scope) -> Standing:
        """What is spent of a scope, held and added to its limit now."""
        with self._session.read() as connection:
            return standing_of(connection, _name(scope), self._worker.owner)

    def close(self) -> None:
        """Settle what there is to settle, and end the thread; the next use starts another."""
        self._worker.close()

    def _asked(
        self, scopes: Sequence[Scope], worst: Amount, seconds: float, wait: float, call: Mapping[str, str]
    ) -> tuple[Reserve, Hold]:
        amount, limits, day, run = _checked(worst), {}, "", ""
        for scope in scopes:
            if scope.name.startswith("run:"):
                run = plain_text(scope.name)
            limited = scope.limit.limits
            if scope.name == _CALL:
                amount = _check_call(limited, amount)
            elif limited:
                limits[plain_text(scope.name)] = limited
                day = day or _day_of(scope.name)
        job = Reserve(secrets.token_hex(16), limits, amount, seconds, wait, run if wait else "", call)
        run_id = run_of(job.held_scopes, call)
        return job, Hold(job.hold, tuple(limits), amount, amount.ms, day, self._worker, run_id)


class Reserve(Job):
    """Hold an amount; the result is how many of its milliseconds were granted."""

    def __init__(
        self,
        hold: str,
        scopes: dict[str, Limits],
        worst: Amount,
        seconds: float,
        patience: float,
        run: str,
        call: Mapping[str, str],
    ) -> None:
        super().__init__()
        self.call, self.hold, self.scopes, self.worst, self.seconds = call, hold, scopes, worst, seconds
        self.deadline, self.has_waited, self.waits_for = time.monotonic() + patience, False, ""
        self.shared = {name: limits for name, limits in scopes.items() if name.startswith(("day:", "team:"))}
        """Those of the scopes that are of several runs."""
        self.run = run.removeprefix("run:") if self.shared else ""
        """The run, if it shares a budget with others."""

    @property
    def held_scopes(self) -> tuple[str, ...]:
        """What it is held from, and the run it is for."""
        return tuple(dict.fromkeys((*self.scopes, *([f"run:{self.run}"] if self.run else ()))))


class Settle(Job):
    """Give a hold back; charge what was spent to the accounts of its scopes, and write the call down.

    `worst` is what it was charged if it had been given up for lost, as a call of the run `lost_run`.
    """

    def __init__(
        self,
        hold: str,
        scopes: tuple[str, ...] = (),
        spent: Amount = NOTHING,
        record: CallRecord | None = None,
        worst: Amount = NOTHING,
        lost_run: str = "",
    ) -> None:
        super().__init__()
        self.hold, self.scopes, self.spent, self.record, self.worst = hold, scopes, spent, record, worst
        self.lost_run = lost_run

    @property
    def run_id(self) -> str:
        return self.record.run_id if self.record is not None else ""


class Raise(Job):
    """Add to a limit; the result is whether that was not done before."""

    def __init__(self, name: str, by: Amount, key: str) -> None:
        super().__init__()
        self.name, self.by, self.key = name, by, key


class _Worker:
    """Takes jobs from threads and event loops. Its thread ends when there is nothing to do."""

    def __init__(self, session: Session, audit: AuditLog) -> None:
        self._session, self._audit, self._leave_by = session, audit, math.inf
        self._thread: threading.Thread | None
        self._begin_anew()

    @property
    def owner(self) -> str:
        self._notice_fork()
        return self._owner

    def wait(self, job: Job) -> int:
        """Have the job done, and wait until it is on disk."""
        self._submit(job)
        try:
            found: int = job.wait()
        except BaseException:
            if job.abandon():
                self._give_back(job)
            raise
        return found

    async def wait_async(self, job: Job, say: Callable[[str], None] | None = None) -> int:
        """As `wait`, without holding up the event loop; `say` is told what it waits for."""
        job.future, told = asyncio.get_running_loop().create_future(), ""
        self._submit(job)
        try:
            while say is not None and isinstance(job, Reserve):
                await asyncio.wait([job.future], timeout=_TELL_SECONDS)
                if job.future.done():
                    break
                if job.waits_for != told:
                    told = job.waits_for
                    say(told)
            found: int = await job.future
        except asyncio.CancelledError:
            if job.future.done() and not job.future.cancelled():  # it was answered, but nobody is left to hear it
                self._give_back(job)
            job.future.cancel()
            raise
        return found

    def take_along(self, job: Settle) -> None:
        """Have the job done with others that come, after a moment at the latest; nobody waits for it."""
        self._notice_fork()
        with self._changed:
            self._along.append(job)
            self._undone[job.run_id] += 1
            self._leave_by = min(self._leave_by, time.monotonic() + _LONGEST_ALONG)
            with suppress(RuntimeError):  # the thread is left asleep: mostly, the next reservation wakes it for both
                loop = asyncio.get_running_loop()
                if self._thread is not None:
                    loop.call_later(_LONGEST_ALONG, self._leave)
                    return
            self._wake()

    def _leave(self) -> None:
        """Have done what has waited long enough for others."""
        with self._changed:
            if self._along and time.monotonic() >= self._leave_by - _LONGEST_ALONG / 10:
                self._wake()

    def is_due(self, run_id: str) -> bool:
        """Whether a job of this run that nobody waits for is not on disk yet, or it is time to look for lost calls."""
        self._notice_fork()
        return self._undone[run_id] > 0 or time.monotonic() >= self._look_at

    def close(self) -> None:
        """Do what there is to do, and end; who still waits for others is told that it was closed."""
        self._notice_fork()
        with self._changed:
            thread, self._is_closing = self._thread, True
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _submit(self, job: Job) -> None:
        self._notice_fork()
        with self._changed:
            self._jobs.append(job)
            self._wake()

    def _wake(self) -> None:
        if self._thread is None:
            self._is_closing = False
            self._thread = threading.Thread(target=self._serve, name="budgets", daemon=True)
            self._thread.start()
            _closed_at_exit().add(self)
        else:
            self._changed.notify()

    def _give_back(self, job: Job) -> None:
        """Nobody will settle what this job was granted."""
        if isinstance(job, Reserve) and job.result is not None:
            self._submit(Settle(job.hold))

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self._begin_anew()

    def _begin_anew(self) -> None:
        """A forked child has no threads, and nobody who waits."""
        self._pid, self._owner = os.getpid(), current_owner()
        self._changed = threading.Condition()
        self._jobs: list[Job] = []
        self._along: list[Settle] = []
        """What is done with the next of them."""
        self._leave_by = math.inf
        self._undone: Counter[str] = Counter()
        """How many of those that nobody waits for are not on disk, by run."""
        self._waiting: list[Reserve] = []
        self._thread = None
        self._is_closing = False
        self._accounts: Accounts | None = None
        self._precedence = Precedence()
        self._poll = _FIRST_POLL
        self._look_at = -math.inf
        """When it is looked again whether calls were lost."""

    def _serve(self) -> None:
        while (found := self._next()) is not None:
            along, jobs = found
            done: list[Job] = []
            try:
                with self._session.write() as connection:
                    done = self._do(connection, [*along, *jobs])
            except BaseException as error:  # whatever it is, those who wait must be told
                self._accounts = None
                done = list(dict.fromkeys([*jobs, *done, *self._waiting]))
                self._waiting = []
                for job in done:
                    job.error = error
                self._keep(along, error)
            else:
                with self._changed:
                    self._undone -= Counter(each.run_id for each in along)
            answer([job for job in done if job not in along], self._give_back)

    def _keep(self, along: list[Settle], error: BaseException) -> None:
        """Try these again in a while: they count once, however often they are written."""
        with self._changed:
            if self._is_closing and along:
                _log.error("%d calls of models are not written down: %s", len(along), error)
                return
            self._along, self._leave_by = [*along, *self._along], time.monotonic() + _IDLE_SECONDS

    def _next(self) -> tuple[list[Settle], list[Job]] | None:
        """What goes along, and what has come; nothing, if it is time to look what others gave back; None at the end."""
        with self._changed:
            until = time.monotonic() + self._rest()
            while not self._jobs and not self._is_closing:
                rest = min(until, self._leave_by) - time.monotonic()
                if rest <= 0:
                    break
                self._changed.wait(rest)
            along, jobs = self._along, self._jobs
            self._along, self._jobs, self._leave_by = [], [], math.inf
            if along or jobs or (self._waiting and not self._is_closing):
                return along, jobs
            self._thread = None
            left, self._waiting = self._waiting, []
        for job in left:
            job.error = DatabaseUnusable(self._session.database, "it was closed while a call waited for its budget")
        answer(left)
        return None

    def _rest(self) -> float:
        if not self._waiting:
            return _IDLE_SECONDS
        self._poll = min(2 * self._poll, _LONGEST_POLL)
        left = min(job.deadline for job in self._waiting) - time.monotonic()
        return max(0.0, min(self._poll, left))

    def _do(self, connection: Connection, jobs: list[Job]) -> list[Job]:
        """Do what can be done now, and return it; what must wait is in the queue."""
        accounts = self._accounts
        if is_old := accounts is None or not accounts.is_current(connection):
            accounts = Accounts(connection)
        self._accounts = None  # until it is known to be right
        settled = [job for job in jobs if isinstance(job, Settle)]
        _settle(connection, accounts, settled, self._precedence)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + _LOOK_SECONDS
            _book_lost(connection, accounts, self._owner, self._precedence)
        reserving = [job for job in jobs if isinstance(job, Reserve)]
        raising = [job for job in jobs if isinstance(job, Raise)]
        again = is_old or bool(self._waiting)
        queue = self._precedence.order(connection, accounts, [*self._waiting, *reserving], again=again)
        accounts.open(connection, [job.name for job in raising] + [name for job in reserving for name in job.scopes])
        for job in raising:
            job.result = accounts.raise_limit(job.name, job.by, job.key)
            if job.result:
                _log_raise(self._audit, connection, job, accounts)
        waiting = self._reserve(connection, accounts, queue, hopeful=True)
        if waiting:
            _book_lost(connection, accounts, self._owner, self._precedence)
            waiting = self._precedence.order(connection, accounts, waiting, again=True)
            waiting = self._reserve(connection, accounts, waiting, hopeful=False)
        accounts.write(connection)
        accounts.end(connection)
        self._accounts = accounts
        stay = {id(job) for job in waiting}
        reserved = [job for job in queue if id(job) not in stay]
        if reserved or not waiting:
            self._poll = _FIRST_POLL
        self._waiting = waiting
        return [*settled, *raising, *reserved]

    def _reserve(
        self, connection: Connection, accounts: Accounts, queue: list[Reserve], *, hopeful: bool
    ) -> list[Reserve]:
        """Hold what fits, first come, first served; return who must wait. `hopeful`: nobody is refused as late."""
        waiting: list[Reserve] = []
        now = time.monotonic()
        taken: set[str] = set()  # nobody overtakes those who wait for the same
        opened = 0
        for place, job in enumerate(queue):
            if job.is_unwanted:
                continue
            is_late = not hopeful and now >= job.deadline
            if job.has_waited and not is_late and not taken.isdisjoint(job.scopes):
                waiting.append(job)
                continue
            if place >= opened:
                opened = place + _AT_ONCE
                accounts.open(connection, [name for each in queue[place:opened] for name in each.scopes])
            try:
                ms, in_the_way = accounts.fit(job.scopes, job.worst)
            except BudgetExhausted as error:
                job.error = error
                continue
            in_the_way = in_the_way or self._precedence.in_the_way(accounts, job)
            if in_the_way is None and (is_late or taken.isdisjoint(job.scopes)):
                granted, until = job.worst._replace(ms=ms), canonical.later(job.seconds)
                call = json.dumps({**job.call, "at": canonical.now()})
                held = Held(job.held_scopes, granted, self._owner, until, now + job.seconds, call, _new_number())
                accounts.hold(job.hold, held)
                self._precedence.begin(job.run)
                job.result = ms
            elif is_late:
                job.error = in_the_way
            else:
                if in_the_way is not None:
                    taken.add(in_the_way.scope)
                    job.waits_for = in_the_way.waiting
                job.has_waited = True
                waiting.append(job)
        return waiting


@cache
def _closed_at_exit() -> WeakSet[_Worker]:
    """Those who have had a thread: what is still to be written is, before the process ends."""
    workers = WeakSet[_Worker]()

    def close() -> None:
        for worker in list(workers):
            worker.close()

    atexit.register(close)
    return workers


def _new_number() -> int:
    """What a hold's row is found by: random, and small enough for every database."""
    return secrets.randbits(62)


def _settle(connection: Connection, accounts: Accounts, jobs: list[Settle], precedence: Precedence) -> None:
    calls, doubted = list[CallRecord](), defaultdict[str, set[str]](set)
    for job in jobs:
        if job.record is None:
            continue
        calls.append(job.record)
        # As long as its amount is held, nobody has settled a call, nor given it up for lost.
        if not accounts.is_held(job.record.id):
            for run_id in (job.record.run_id, job.lost_run):
                doubted[run_id].add(job.record.id)
    written = write_calls(connection, calls, doubted)
    for job in jobs:
        accounts.give_back(job.hold)
        if job.record is None or job.record.id not in written:
            continue
        lost = written.pop(job.record.id)
        charges = [(job.record, job.spent)] + ([(lost, NOTHING - lost_amount(job.worst))] if lost is not None else [])
        for call, spent in charges:
            # A scope that was not limited when it was held may be by now.
            accounts.charge(dict.fromkeys((*job.scopes, *names_of(call))), spent)
            precedence.charge(call.run_id, spent)


def _book_lost(connection: Connection, accounts: Accounts, owner: str, precedence: Precedence) -> None:
    """Charge the calls that nobody is left to settle; `owner` is this process."""
    lost = [Settle(call.record.id, *call) for call in accounts.lost(owner)]
    if lost:
        _log.info("Lost with their process, and charged their worst case: %d calls of models", len(lost))
        _settle(connection, accounts, lost, precedence)


def _log_raise(audit: AuditLog, connection: Connection, job: Raise, accounts: Accounts) -> None:
    column, run_id, _ = columns_of(job.name) or ("", "", None)
    told = {"scope": job.name, "key": job.key, "by": job.by._asdict()}
    raised = {key: list(by) for key, by in accounts.raises_of(job.name).items()}
    audit.append(connection, run_id if column == "run_id" else "", "raised", raised=raised, **told)


def _check_call(limits: Limits, worst: Amount) -> Amount:
    """What one call may take of its own limit: as much time as that is; of anything else all it wants or nothing."""
    for unit, limit in limits:
        if unit == MS and limit:
            worst = worst._replace(ms=min(worst.ms, limit))
        elif worst[unit] > limit:
            raise exhausted(_CALL, unit, limit, 0, worst[unit])
    return worst


def _day_of(scope: str) -> str:
    """The day that a scope is limited to, as `columns_of` tells it; empty if it is to none."""
    if scope.startswith("day:"):
        return scope.removeprefix("day:")
    return scope.rpartition("@")[2] if scope.startswith("team:") else ""


def _checked(amount: Amount) -> Amount:
    """The amount; ValueError if one of its numbers cannot be right."""
    for name, value in zip(amount._fields, amount, strict=True):
        if not isinstance(value, int) or not 0 <= value < 2**53:
            raise ValueError(f"{name}={value!r} is not an amount: it must be a whole number, not negative")
    return amount


def _name(scope: str | Scope) -> str:
    return plain_text(scope if isinstance(scope, str) else scope.name)
