"""The bursar: one thread of the process that keeps the books, for all who want an amount held or settled at once.

What has come while a transaction was under way goes into the next one, so that a crowd shares a few commits.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection

from signoff.checkpoints import clock
from signoff.checkpoints.ledger.budgets.accounts import NOTHING, UNITS, Books, Held, Units
from signoff.checkpoints.ledger.budgets.model import Amount, Budget
from signoff.checkpoints.ledger.budgets.usage_log import CallRecord
from signoff.checkpoints.process_identity import current_owner
from signoff.errors import BudgetExhausted, DatabaseUnusable

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.ledger import Ledger

_IDLE_SECONDS: Final = 2.0
"""How long the thread waits for more before it ends."""
_FIRST_POLL: Final = 0.05
_LONGEST_POLL: Final = 0.5
"""Seconds between two looks at what other processes gave back, while somebody waits for it."""
_AT_ONCE: Final = 32
"""Of how many who wait the accounts are looked up at once: mostly, the first few are all that can go on."""
MS: Final = 3
_SAID: Final = ("usd", "tokens", "steps", "seconds")
_SCALES: Final = (1e9, 1, 1, 1e3)

Limits = tuple[tuple[int, int], ...]
"""Of what is limited: its place in Units, and how much."""


class Job:
    """Something to be done to the books, and who waits for it: a thread, or a loop's future."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: BaseException | None = None
        self.is_unwanted = self.is_answered = False
        self.future: asyncio.Future[Any] | None = None
        self._done: threading.Semaphore | None = None

    def expect(self) -> None:
        """A thread is going to `wait` for it."""
        self._done = threading.Semaphore(0)

    def wait(self) -> Any:
        """The result, once it is on disk."""
        assert self._done is not None
        self._done.acquire()
        if self.error is not None:
            raise self.error
        return self.result

    def answer(self) -> None:
        """Tell who waits; on a future's own loop."""
        if self._done is not None:
            self._done.release()
        if self.future is None or self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(self.result)


class Reserve(Job):
    """Hold an amount; the result is how many of its milliseconds were granted."""

    def __init__(self, hold: str, scopes: dict[str, Limits], worst: Units, seconds: float, patience: float) -> None:
        super().__init__()
        self.hold, self.scopes, self.worst, self.seconds = hold, scopes, worst, seconds
        self.deadline, self.has_waited = time.monotonic() + patience, False

    def fit(self, books: Books) -> tuple[int, BudgetExhausted | None]:
        """The milliseconds that can be granted; or what is in the way as long as others hold what they hold.

        BudgetExhausted is raised if what is spent alone is in the way.
        """
        ms, in_the_way = self.worst[MS], None
        for name, limits in self.scopes.items():
            account, held = books.account(name), books.held(name)
            spent, raised = account.spent, account.raised
            for unit, limit in limits:
                # Any time that is left will do: the call is cut off when it is over.
                wanted = 1 if unit == MS else self.worst[unit]
                free = limit + raised[unit] - spent[unit]
                if wanted > free - held[unit]:
                    on_top = held[unit] if wanted <= free else 0
                    error = exhausted(name, unit, limit + raised[unit], spent[unit], self.worst[unit], on_top)
                    if wanted > free:
                        raise error
                    in_the_way = in_the_way or error
                elif unit == MS:
                    ms = min(ms, free - held[unit])
        return ms, in_the_way


def exhausted(name: str, unit: int, limit: int, spent: int, wanted: int, held: int = 0) -> BudgetExhausted:
    """The error, in the units that people use."""
    scale = _SCALES[unit]
    return BudgetExhausted(name, _SAID[unit], limit / scale, spent / scale, wanted / scale, held / scale)


class Settle(Job):
    """Give a hold back; charge what was spent to the accounts of its scopes, and write the call down."""

    def __init__(self, hold: str, names: tuple[str, ...], spent: Units, record: CallRecord | None) -> None:
        super().__init__()
        self.hold, self.names, self.spent, self.record = hold, names, spent, record


class Raise(Job):
    """Add to a limit; the result is whether that was not done before."""

    def __init__(self, name: str, by: Units, key: str) -> None:
        super().__init__()
        self.name, self.by, self.key = name, by, key


class Bursar:
    """Takes jobs from threads and event loops. Its thread ends when there is nothing to do."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._thread: threading.Thread | None
        self._books: Books | None
        self._begin_anew()

    @property
    def owner(self) -> str:
        """This process."""
        self._notice_fork()
        return self._owner

    def submit(self, job: Job) -> None:
        """Have the job done; it is told when that is on disk."""
        self._notice_fork()
        with self._changed:
            self._jobs.append(job)
            if self._thread is None:
                self._is_closing = False
                self._thread = threading.Thread(target=self._serve, name="budgets", daemon=True)
                self._thread.start()
            else:
                self._changed.notify()

    def close(self) -> None:
        """Do what there is to do, and end; who still waits for others is told that it was closed."""
        self._notice_fork()
        with self._changed:
            thread, self._is_closing = self._thread, True
            self._changed.notify()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _notice_fork(self) -> None:
        if self._pid != os.getpid():
            self._begin_anew()

    def _begin_anew(self) -> None:
        """A forked child has no threads, and nobody who waits."""
        self._pid, self._owner = os.getpid(), current_owner()
        self._changed = threading.Condition()
        self._jobs: list[Job] = []
        self._waiting: deque[Reserve] = deque()
        self._thread = None
        self._is_closing = False
        self._books = None
        self._poll = _FIRST_POLL

    def _serve(self) -> None:
        while (jobs := self._next()) is not None:
            done: list[Job] = []
            try:
                with self._ledger.write() as connection:
                    done = self._do(connection, jobs)
            except BaseException as error:  # whatever it is, those who wait must be told
                self._books = None
                done = list(dict.fromkeys([*jobs, *done, *self._waiting]))
                self._waiting.clear()
                for job in done:
                    job.error = error
            self._answer(done)

    def _next(self) -> list[Job] | None:
        """What has come; nothing, if it is time to look what other processes gave back; None at the end."""
        with self._changed:
            if not self._jobs and not self._is_closing:
                self._changed.wait(self._rest())
            jobs, self._jobs = self._jobs, []
            if jobs or (self._waiting and not self._is_closing):
                return jobs
            self._thread = None
            left, self._waiting = list(self._waiting), deque()
        for job in left:
            job.error = DatabaseUnusable(self._ledger.database, "it was closed while a call waited for its budget")
        self._answer(list(left))
        return None

    def _rest(self) -> float:
        if not self._waiting:
            return _IDLE_SECONDS
        self._poll = min(2 * self._poll, _LONGEST_POLL)
        left = min(job.deadline for job in self._waiting) - time.monotonic()
        return max(0.0, min(self._poll, left))

    def _do(self, connection: Connection, jobs: list[Job]) -> list[Job]:
        """Do what can be done now, and return it; what must wait is in the queue."""
        books = self._books
        if books is None or not books.is_current(connection):
            books = Books(connection, self._ledger.spending)
        self._books = None  # until it is known to be right
        settled = [job for job in jobs if isinstance(job, Settle)]
        self._settle(connection, books, settled)
        reserving = [job for job in jobs if isinstance(job, Reserve)]
        raising = [job for job in jobs if isinstance(job, Raise)]
        queue = [*self._waiting, *reserving]
        books.open(connection, [job.name for job in raising] + [name for job in reserving for name in job.scopes])
        for job in raising:
            job.result = books.raise_limit(job.name, job.by, job.key)
        waiting = self._reserve(connection, books, queue, hopeful=True)
        if waiting:
            books.sweep(self._owner)
            waiting = self._reserve(connection, books, waiting, hopeful=False)
        books.write(connection)
        books.turn(connection)
        self._books = books
        stay = {id(job) for job in waiting}
        reserved = [job for job in queue if id(job) not in stay]
        if reserved or not waiting:
            self._poll = _FIRST_POLL
        self._waiting = deque(waiting)
        return [*settled, *raising, *reserved]

    def _settle(self, connection: Connection, books: Books, jobs: list[Settle]) -> None:
        ids = [job.record.id for job in jobs if job.record is not None]
        written = self._ledger.spending.known(connection, ids)
        records = []
        for job in jobs:
            books.give_back(job.hold)
            if job.record is not None:
                if job.record.id in written:
                    continue
                written.add(job.record.id)
                records.append(job.record)
                books.charge(job.names, job.spent)
        self._ledger.spending.add(connection, records)
        books.write(connection)

    def _reserve(self, connection: Connection, books: Books, queue: list[Reserve], *, hopeful: bool) -> list[Reserve]:
        """Hold what fits, first come, first served; return who must wait. `hopeful`: nobody is refused as late."""
        waiting: list[Reserve] = []
        now = time.monotonic()
        taken: set[str] = set()  # nobody overtakes those who wait for the same
        opened = 0
        for place, job in enumerate(queue):
            if job.is_unwanted or (job.future is not None and job.future.cancelled()):
                continue
            is_late = not hopeful and now >= job.deadline
            if job.has_waited and not is_late and not taken.isdisjoint(job.scopes):
                waiting.append(job)
                continue
            if place >= opened:
                opened = place + _AT_ONCE
                books.open(connection, [name for each in queue[place:opened] for name in each.scopes])
            try:
                ms, in_the_way = job.fit(books)
            except BudgetExhausted as error:
                job.error = error
                continue
            if in_the_way is None and (is_late or taken.isdisjoint(job.scopes)):
                granted = (*job.worst[:MS], ms)
                books.hold(job.hold, Held(tuple(job.scopes), granted, self._owner, clock.later(job.seconds)))
                job.result = ms
            elif is_late:
                job.error = in_the_way
            else:
                if in_the_way is not None:
                    taken.add(in_the_way.scope)
                job.has_waited = True
                waiting.append(job)
        return waiting

    def _answer(self, jobs: list[Job]) -> None:
        """Tell those who wait, each loop once; what nobody wants any more is given back."""
        loops: dict[asyncio.AbstractEventLoop, list[Job]] = {}
        for job in jobs:
            if job.future is not None:
                loops.setdefault(job.future.get_loop(), []).append(job)
            else:
                self._tell_thread(job)
        for loop, waiting in loops.items():
            try:
                loop.call_soon_threadsafe(self._tell, waiting)
            except RuntimeError:  # the loop was closed: nobody waits any more
                for job in waiting:
                    self.give_back(job)

    def _tell_thread(self, job: Job) -> None:
        with self._changed:
            job.is_answered = True
            if not job.is_unwanted:
                job.answer()
                return
        self.give_back(job)

    def _tell(self, jobs: list[Job]) -> None:
        for job in jobs:
            if job.future is not None and job.future.cancelled():
                self.give_back(job)
            else:
                job.answer()

    def abandon(self, job: Job) -> None:
        """The thread that waited for this job was interrupted."""
        with self._changed:
            job.is_unwanted = True
            if not job.is_answered:
                return
        self.give_back(job)

    def give_back(self, job: Job) -> None:
        """Nobody will settle what this job was granted."""
        if isinstance(job, Reserve) and job.result is not None:
            self.submit(Settle(job.hold, (), NOTHING, None))


def units_of(amount: Amount) -> Units:
    """The amount as a row of numbers; ValueError if one of them cannot be right."""
    found = (amount.nusd, amount.tokens, amount.steps, amount.ms)
    for name, value in zip(UNITS, found, strict=True):
        if not isinstance(value, int) or not 0 <= value < 2**53:
            raise ValueError(f"{name}={value!r} is not an amount: it must be a whole number, not negative")
    return found


def limits_of(budget: Budget) -> Limits:
    """What the budget limits."""
    limits = (budget.usd, budget.tokens, budget.steps, budget.seconds)
    amounts = units_of(budget.amount)
    return tuple((unit, amounts[unit]) for unit, limit in enumerate(limits) if limit is not None)
