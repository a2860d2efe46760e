"""When a model may be called: one rate for all who call with the same key, in this process and in others.

Nothing is known of an endpoint at first: a call goes alone, then three times as many with every round of answers, until
an answer names a limit, or one is refused, or so many went at once that there is none to speak of. From then on calls
without a limit start at once; with one they start at moments of the key's timeline (ledger.rate_limits). All of it is
decided under one lock, and so the file is longer than most.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from signoff.agents.models.rate_headers import Reading, RemainingQuota, read_headers, window_of
from signoff.checkpoints.ledger import (
    KINDS,
    LEAD,
    SPAN,
    Kind,
    News,
    PrivateRates,
    RateLimit,
    Rates,
    RateState,
    RateStore,
    find_room,
    hear,
    open_up,
    refuse,
    settle,
    take,
)
from signoff.error_base import SignoffError

if TYPE_CHECKING:
    from signoff.checkpoints.ledger import Ledger

__all__ = ["Limiter", "RateLimit", "Ticket", "limiter_for"]

_OPEN: Final = 1024  # calls in flight after which an endpoint has no limit to speak of
_AHEAD: Final = 0.1  # seconds before the last moment taken comes that more are taken
_NEWER: Final = 1.0  # seconds after which it is read again what other processes met
_LATE: Final = 2.5  # calls that may be late and go at once, whatever remains
_LONGEST_PAUSE: Final = 3600.0


T = TypeVar("T")


class FairQueue(Generic[T]):
    """Waiting items, by share: one of each share in turn, first come first served within a share."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """The items in the order they would be taken."""
        rounds = zip_longest(*self._lines.values(), fillvalue=None)
        return (item for together in rounds for item in together if item is not None)

    def peek(self) -> T | None:
        """The item that would be taken next; None if none waits."""
        return next(iter(self._lines.values()))[0] if self._lines else None

    def put(self, share: str, item: T) -> None:
        self._lines.setdefault(share, deque()).append(item)
        self._length += 1

    def take(self) -> T:
        """The next item; its share is last in line from now on. IndexError if none waits."""
        if not self._lines:
            raise IndexError("nothing waits")
        share, line = self._lines.popitem(last=False)
        item = line.popleft()
        self._length -= 1
        if line:
            self._lines[share] = line
        return item

    def remove(self, share: str, item: T) -> bool:
        """Take an item out of the line; False if it does not wait."""
        line = self._lines.get(share)
        if line is None or item not in line:
            return False
        line.remove(item)
        self._length -= 1
        if not line:
            del self._lines[share]
        return True


class Ticket:
    """Leave to send one call; tell what became of it by exactly one of its methods, from any thread."""

    def __init__(self, limiter: Limiter, weight: float, sent: float, totals: Mapping[Kind, float]) -> None:
        self._limiter, self._is_open = limiter, True
        self.weight, self.totals = weight, totals
        self.sent = sent
        """To be set again if something took time after the ticket came."""

    def answered(self, headers: Mapping[str, str], tokens_used: int) -> None:
        """It was answered; these are the headers, and the tokens it really used."""
        if self._close():
            self._limiter.note_answer(self, read_headers(headers, time.time()), tokens_used)

    def limited(self, retry_after: float | None, headers: Mapping[str, str]) -> None:
        """It got a 429: everybody waits for as long as the answer asks."""
        if self._close():
            self._limiter.note_refusal(self, retry_after, read_headers(headers, time.time()))

    def failed(self) -> None:
        """It failed otherwise, or was given up."""
        if self._close():
            self._limiter.note_failure()

    def _close(self) -> bool:
        was_open, self._is_open = self._is_open, False
        return was_open


@dataclass(frozen=True)
class _Slot:
    """A moment of the timeline that is ours, by our own clock."""

    start: float
    weight: float


@dataclass(eq=False)
class _Waiter:
    """A call that waits for its ticket, in the event loop it came from."""

    weight: float
    future: asyncio.Future[None] | None = None
    ticket: Ticket | None = None
    slot: _Slot | None = None

    def wake(self, error: SignoffError | None = None) -> bool:
        """End its wait, if it has begun to; False if its event loop is gone."""
        if self.future is None:
            return True
        try:
            self.future.get_loop().call_soon_threadsafe(_finish, self.future, error)
        except RuntimeError:  # the loop is closed
            return False
        return True


def _finish(future: asyncio.Future[None], error: SignoffError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)


class Limiter:
    """Admits the calls of one key. Threads and event loops may share it; what waits waits without polling.

    Two threads of its own live only while something waits: one looks at the time, the other at the ledger.
    """

    def __init__(self, store: RateStore, key: str, limit: RateLimit | None = None) -> None:
        self._store, self._key, self._told = store, key, limit or RateLimit()
        self._lock = threading.Condition()
        self._queue: FairQueue[_Waiter] = FairQueue()
        self._slots: deque[_Slot] = deque()
        self._know(RateState())
        self._ahead, self._seen_at = 0.0, -math.inf
        self._window, self._in_flight, self._refusals = 1.0, 0, 0
        self._totals: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
        self._quotas = {kind: RemainingQuota() for kind in KINDS}
        self._quota_until = -math.inf
        self._recent: deque[float] = deque()
        self._news: list[News] = []
        self._owed, self._idle_at = 0.0, time.monotonic()
        self._is_watched = self._is_asking = False
        self._asking_takes = 0.0

    async def admit(self, weight: float = 0, *, share: str = "") -> Ticket:
        """Wait until a call of so many tokens may be sent; calls of several shares take turns.

        A StoreError, if the ledger cannot be used.
        """
        waiter = _Waiter(max(0.0, weight))
        with self._lock:
            self._queue.put(share, waiter)
            self._pump()
            if waiter.ticket is not None:
                return waiter.ticket
            waiter.future = asyncio.get_running_loop().create_future()
        try:
            await waiter.future
        except BaseException:
            self._withdraw(share, waiter)
            raise
        if waiter.ticket is None:
            raise AssertionError("a waiter was woken without a ticket")
        return waiter.ticket

    def note_answer(self, ticket: Ticket, reading: Reading, tokens_used: int) -> None:
        """Learn from an answer; called by its ticket."""
        now = time.monotonic()
        with self._lock:
            self._in_flight -= 1
            self._refusals = 0
            self._recent.append(now)
            while self._recent[0] < now - 1:
                self._recent.popleft()
            for kind, level in reading.levels.items():
                self._quotas[kind].hear(level, ticket.sent, ticket.totals[kind])
                self._quota_until = max(self._quota_until, ticket.sent + (level.reset or 0.0))
                flow, window = self._state.flow(kind), window_of(level)
                if flow.limit != level.limit or flow.window < window:
                    self._learn(hear(kind, level.limit, window), now)
            if not self._is_paced and self._window < math.inf and 2 * self._in_flight >= self._window - 2:
                self._window += 2
                if self._window > _OPEN:
                    self._window = math.inf
                    self._learn(open_up, now)
            self._owed += tokens_used - ticket.weight
            self._pump()

    def note_refusal(self, ticket: Ticket, retry_after: float | None, reading: Reading) -> None:
        """Let everybody pause after a 429; called by its ticket."""
        now = time.monotonic()
        with self._lock:
            self._in_flight -= 1
            self._refusals += 1
            asked = reading.wait if retry_after is None else retry_after
            pause = min(0.5 * 2 ** min(self._refusals - 1, 6), 30.0) if asked is None else min(asked, _LONGEST_PAUSE)
            measured = sum(1.0 for answered in self._recent if answered > now - 1)
            began = ticket.sent + self._ahead
            self._learn(refuse(self._told, began=began, measured=measured, pause=pause), now)
            self._window = 1.0 if self._window < math.inf else math.inf
            self._pump()

    def note_failure(self) -> None:
        """Know that a call ended; called by its ticket."""
        with self._lock:
            self._in_flight -= 1
            self._pump()

    # -- all below: with the lock held

    def _know(self, state: RateState) -> None:
        self._state, self._is_paced = state, state.is_paced(self._told)

    def _learn(self, news: News, now: float) -> None:
        """Know it at once, and have it written down for the others."""
        self._know(news(self._state, now + self._ahead))
        self._news.append(news)

    def _pump(self) -> None:
        """Start all calls whose time has come, and see to it that somebody looks after the others."""
        now = time.monotonic()
        while self._queue and (at := self._next(now)) is not None and at <= now:
            self._start(self._queue.take(), now)
        if not self._queue:
            self._idle_at = now
        if self._is_watched:
            self._lock.notify_all()
        elif self._queue or self._ask_at(now) <= now:
            self._is_watched = True
            threading.Thread(target=self._watch, name="signoff-rates", daemon=True).start()

    def _next(self, now: float) -> float | None:
        """When the next call may start; None while that depends on an answer or on the ledger."""
        if self._seen_at == -math.inf:
            return None
        if (paused := self._state.paused_until - self._ahead) > now:
            return paused
        if (blocked := self._blocked_until(now)) is not None:
            return blocked
        if not self._is_paced:
            return now if self._in_flight < self._window else None
        if self._slots and self._slots[0].start < now:
            self._drop_missed(now)
        return self._slots[0].start if self._slots else None

    def _drop_missed(self, now: float) -> None:
        """Give up moments that are long gone: what is made up for must fit into the lead, or into what remains."""
        least, most = _oldest_starts(self._state, self._told, now)
        requests = self._state.requests.pace(self._told.requests_per_minute) or 0.0
        while self._slots and (start := self._slots[0].start) < least:
            if start > most and self._quotas["requests"].has_spare(self._totals["requests"], requests, now):
                return
            self._slots.popleft()

    def _blocked_until(self, now: float) -> float | None:
        if now >= self._quota_until:
            return None
        following = self._queue.peek()
        weight = following.weight if following is not None else 0.0
        wanted: dict[Kind, float] = {"requests": 1.0, "tokens": weight}
        moments = [self._quotas[kind].blocked_until(self._totals[kind], wanted[kind], now) for kind in KINDS]
        return max((moment for moment in moments if moment is not None), default=None)

    def _start(self, waiter: _Waiter, now: float) -> None:
        if self._is_paced:
            waiter.slot = self._slots.popleft()
            self._owed += waiter.weight - waiter.slot.weight
        self._in_flight += 1
        self._totals["requests"] += 1
        self._totals["tokens"] += waiter.weight
        waiter.ticket = Ticket(self, waiter.weight, now, dict(self._totals))
        if not waiter.wake():
            self._in_flight -= 1

    def _ask_at(self, now: float) -> float:
        """When the ledger must be asked next."""
        if self._news or (self._queue and self._seen_at == -math.inf):
            return now
        if not self._is_paced:
            return self._seen_at + _NEWER if self._queue or self._in_flight else math.inf
        if len(self._queue) <= len(self._slots) or self._blocked_until(now) is not None:
            return math.inf
        return self._slots[-1].start - _AHEAD - 1.5 * self._asking_takes if self._slots else now

    def _watch(self) -> None:
        """Wait for the next moment, or for news, until nothing waits."""
        with self._lock:
            while True:
                now = time.monotonic()
                start_at = self._next(now) if self._queue else None  # first: it may give up moments, and need others
                ask_at = math.inf if self._is_asking else self._ask_at(now)
                if ask_at <= now:
                    self._is_asking = True
                    threading.Thread(target=self._ask_ledger, name="signoff-ledger", daemon=True).start()
                    ask_at = math.inf
                if not self._queue and not self._is_asking:
                    self._is_watched = False
                    return
                until = min(ask_at, math.inf if start_at is None else start_at)
                self._lock.wait(None if until == math.inf else min(max(0.0, until - time.monotonic()), _LONGEST_PAUSE))
                self._pump()

    def _ask_ledger(self) -> None:
        """Ask the ledger: tell the news, take the next moments, hear what others told."""
        began = time.monotonic()
        with self._lock:
            news, weights = self._gather(began)
            span = SPAN + self._asking_takes
        try:
            if news or weights:
                state, now, starts = self._store.change(
                    self._key, lambda s, at: _apply(s, at, news, weights, self._told, span)
                )
            else:
                (state, now), starts = self._store.read(self._key), ()
        except SignoffError as error:
            with self._lock:
                self._is_asking = False
                while self._queue:
                    self._queue.take().wake(error)
                self._lock.notify_all()
            return
        with self._lock:
            self._is_asking = False
            took = min(time.monotonic() - began, 1.0)
            self._asking_takes = max(took, 0.8 * self._asking_takes + 0.2 * took)
            self._see(state, now, starts, weights)
            self._pump()

    def _gather(self, now: float) -> tuple[list[News], list[float]]:
        """What to tell, and the weights of the calls to take moments for."""
        news, self._news = self._news, []
        if not self._is_paced:
            return news, []
        if abs(self._owed) >= 1 and self._state.tokens.pace(self._told.tokens_per_minute) is not None:
            news.append(settle(self._owed, self._told))
        self._owed = 0.0
        for kind in KINDS:
            flow = self._state.flow(kind)
            pace = flow.pace(self._told.of(kind))
            if pace and flow.limit and self._quotas[kind].is_roomy(pace, flow.window, now, self._idle_at):
                news.append(find_room(kind, self._told))
        pace = self._state.requests.pace(self._told.requests_per_minute) or math.inf
        most = len(self._slots) + max(1, math.ceil(min(pace * (SPAN + self._asking_takes), 1000.0)))
        weights = [waiter.weight for waiter, _ in zip(self._queue, range(most), strict=False)]
        return news, weights[len(self._slots) :]

    def _see(self, state: RateState, now: float, starts: tuple[float, ...], weights: list[float]) -> None:
        """Take in what the ledger said."""
        here = time.monotonic()
        self._ahead, self._seen_at = now - here, here
        for news in self._news:
            state = news(state, now)
        self._know(state)
        if self._state.is_open:
            self._window = math.inf
        self._slots.extend(_Slot(start - self._ahead, weight) for start, weight in zip(starts, weights, strict=False))

    def _withdraw(self, share: str, waiter: _Waiter) -> None:
        """Forget a waiter that was cancelled; its place, or its moment, goes to the next."""
        with self._lock:
            if not self._queue.remove(share, waiter) and waiter.ticket is not None:
                self._in_flight -= 1
                if waiter.slot is not None:
                    self._slots.appendleft(waiter.slot)
                    self._owed -= waiter.weight - waiter.slot.weight
            self._pump()


def limiter_for(ledger: Ledger | None, key: str, limit: RateLimit | None = None) -> Limiter:
    """The one limiter of this process for a key, which it shares with others through the ledger.

    Without a ledger it is shared within the process only. A `limit` that changes makes a new one.
    """
    with _making:
        known = _private if ledger is None else _limiters.setdefault(ledger, {})
        name = (os.getpid(), key, limit)
        if name not in known:
            known[name] = Limiter(_private_rates if ledger is None else Rates(ledger), key, limit)
        return known[name]


def _oldest_starts(state: RateState, told: RateLimit, now: float) -> tuple[float, float]:
    """The oldest moments at which a call that missed its own may start: in any case, and where much remains."""
    paces, windows = list[float](), list[float]()
    for kind in KINDS:
        flow = state.flow(kind)
        pace = flow.pace(told.of(kind))
        if pace is not None:
            paces.append(pace)
            windows.append(flow.window if flow.limit else 60.0)
    late = _LATE / min(paces)
    return now - max(late, LEAD * min(windows)), now - max(late, min(windows) / 4)


def _apply(
    state: RateState, now: float, news: list[News], weights: list[float], told: RateLimit, span: float
) -> tuple[RateState, tuple[float, ...]]:
    for item in news:
        state = item(state, now)
    return take(state, now, weights, told, span) if weights else (state, ())


_Known = dict[tuple[int, str, RateLimit | None], Limiter]
_making = threading.Lock()
_limiters: WeakKeyDictionary[Ledger, _Known] = WeakKeyDictionary()
_private: _Known = {}
_private_rates = PrivateRates()
