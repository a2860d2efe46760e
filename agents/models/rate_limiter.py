"""When a model may be called: one pace for all who call with the same key, in this process and in others.

Where a limit is named, told or was found (rates/pacing.py), calls start at turns of the key's timeline; where none
is known the first start at once, and a crowd at a pace that grows. `Turns` is all but the waiting, `Limiter` waits.
Who waits, who is woken and what is asked is decided under one lock, and so the file is longer than most.
"""

from __future__ import annotations

import asyncio
import math
import os
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import zip_longest
from secrets import token_hex
from typing import TYPE_CHECKING, Final, Generic, TypeAlias, TypeVar
from weakref import WeakKeyDictionary, WeakSet, finalize

from signoff.agents.models.rate_headers import Reading, RemainingQuota, read_headers
from signoff.checkpoints import begin_work, current_owner, end_work
from signoff.checkpoints.ledger import (
    KINDS,
    LEASE,
    NOWHERE,
    OPEN_PACE,
    SPAN,
    Kind,
    News,
    PrivateRates,
    RateLimit,
    Rates,
    RateState,
    RateStore,
    Refusal,
    Turn,
    count,
    hear,
    hold,
    refuse,
    report,
    take,
)
from signoff.error_base import SignoffError

if TYPE_CHECKING:
    from signoff.checkpoints.ledger import Ledger

__all__ = ["Limiter", "RateLimit", "Ticket", "limiter_for"]

_AHEAD: Final = 0.1  # seconds before the last moment taken comes that more are taken
_UNEVEN: Final = 0.25  # seconds after which one asks again that has fewer places than others, or more
_KEPT: Final = 1000  # calls of which it is known when they were in flight
_MARGIN: Final = 0.5  # seconds before the end of its places that a process counts on them no more
_NEWER: Final = 1.0  # seconds after which it is read again what other processes met
_LATE: Final = (1.5, 0.02)  # turns, or seconds, that a call may be late and still have its turn
_EVEN: Final = 100.0  # turns a second up to which one that is late moves the next
_LONGEST_PAUSE: Final = 3600.0
_REMEMBERED: Final = 10_000  # shares of which it is known that they have begun

T = TypeVar("T")
Question: TypeAlias = Callable[[RateState, float], tuple[RateState, tuple[Turn, ...]]]
"""What one process asks the ledger: the state and the moment in, the new state and the turns out."""


class FairQueue(Generic[T]):
    """Waiting items: one of each share in turn, first come first served within a share.

    Shares that had a turn go before those that had none, of which four are let in with each round of the others: few
    are half-done at any moment, a few times as many as a share has items, and nobody waits for ever.
    """

    def __init__(self) -> None:
        self._begun: OrderedDict[str, None] = OrderedDict()
        self._lines: OrderedDict[str, deque[T]] = OrderedDict()
        self._new: OrderedDict[str, deque[T]] = OrderedDict()
        self._length = self._since_new = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[T]:
        """The items, about in the order they would be taken."""
        for lines in (self._lines, self._new):
            rounds = zip_longest(*lines.values(), fillvalue=None)
            yield from (item for together in rounds for item in together if item is not None)

    def peek(self) -> T | None:
        """The item that would be taken next; None if none waits."""
        return next(iter(self._following.values()))[0] if self._length else None

    def put(self, share: str, item: T) -> None:
        lines = self._lines if share in self._begun else self._new
        lines.setdefault(share, deque()).append(item)
        self._length += 1

    def take(self) -> T:
        """The next item, of some that wait; its share is last in line from now on."""
        lines = self._following
        self._since_new = 0 if lines is self._new else self._since_new + 1
        share, line = lines.popitem(last=False)
        item = line.popleft()
        self._length -= 1
        if line:
            self._lines[share] = line
        self._begun[share] = None
        self._begun.move_to_end(share)
        if len(self._begun) > _REMEMBERED:
            self._begun.popitem(last=False)
        return item

    def remove(self, share: str, item: T) -> bool:
        """Take an item out of the line; False if it does not wait."""
        for lines in (self._lines, self._new):
            if item in (line := lines.get(share, deque())):
                line.remove(item)
                self._length -= 1
                if not line:
                    del lines[share]
                return True
        return False

    @property
    def _following(self) -> OrderedDict[str, deque[T]]:
        return self._new if self._new and 4 * self._since_new >= len(self._lines) else self._lines


@dataclass(eq=False)
class Call:
    """A call that waits for its turn, or was sent."""

    share: str
    weight: float
    sent: float = 0.0
    turn: Turn | None = None
    beside: int = 0
    """In flight when it was sent, itself among them."""
    totals: Mapping[Kind, float] = field(default_factory=dict)
    waiting: Future[None] | None = None

    def wake(self, error: SignoffError | None = None) -> None:
        """End its wait, if it has begun to and was not cancelled."""
        if self.waiting is None or not self.waiting.set_running_or_notify_cancel():
            return
        if error is None:
            self.waiting.set_result(None)
        else:
            self.waiting.set_exception(error)


class Turns:
    """The turns of one key in one process: who waits for one, which were taken from the ledger, what came of them.

    Every moment is handed in, by a clock of the caller's own; nothing waits here.
    """

    def __init__(self, told: RateLimit, name: str) -> None:
        self.told, self.name = told, name
        self.queue: FairQueue[Call] = FairQueue()
        self.is_asking = False
        self.answered_at = -math.inf
        self._taken: deque[Turn] = deque()
        self._counted_at, self._ended = 0.0, deque[tuple[float, float, int]](maxlen=_KEPT)
        self._started_at = self._free_at = -math.inf
        self.state = RateState()
        self._know(self.state)
        self._ahead, self._seen_at, self._asked_took = 0.0, -math.inf, 0.0
        self._news: list[News] = []
        self._unused, self._uncounted, self._owed = 0, 0, 0.0
        self._totals: dict[Kind, float] = dict.fromkeys(KINDS, 0.0)
        self._quotas = {kind: RemainingQuota() for kind in KINDS}
        self.in_flight = WeakSet[Call]()  # a ticket that nobody closed holds nothing up

    @property
    def pace(self) -> float:
        """Turns a second that are given now."""
        return self.state.pace_for(self.told)

    def start(self, now: float) -> list[Call]:
        """The calls whose time has come, taken out of the line."""
        started = list[Call]()
        while self.queue and (at := self.next_at(now)) is not None and at <= now:
            call = self.queue.take()
            if self._taken:
                call.turn = self._taken.popleft()
                self._owed += call.weight - call.turn.weight
            else:
                state, number = self.state, self.state.turns + self._uncounted
                call.turn = Turn(now + self._ahead, call.weight, number, state.pace, state.epoch)
                if not self.state.window:
                    self._free_at = max(self._free_at, now - _LATE[1]) + 1 / self.state.pace
                self._uncounted += 1
            self._started_at = call.sent = now
            self._totals["requests"] += 1
            self._totals["tokens"] += call.weight
            call.totals = dict(self._totals)
            self.in_flight.add(call)
            call.beside = len(self.in_flight)
            started.append(call)
        return started

    def next_at(self, now: float) -> float | None:
        """When the next call may start; None while that depends on the ledger."""
        if self._seen_at == -math.inf:
            return None
        while self._taken and self._is_void(self._taken[0], now):
            self._taken.popleft()
            self._unused += 1
        if self.state.window and len(self.in_flight) >= self._places_left(now):
            return None  # until one ends, or the ledger has been asked
        if self._taken:
            turn = self._taken[0]
            start = turn.start - self._ahead
            if turn.pace <= _EVEN:
                start = max(start, self._started_at + 0.95 / turn.pace)
        elif self._is_paced or (self.is_asking and not self._is_open):
            return None
        else:
            start = max(self._free_at, self.state.paused_until - self._ahead if self.state.window else 0.0)
        return max(start, self._blocked_until(now))

    def ask_at(self, now: float) -> float:
        """When the ledger must be asked next."""
        if self.is_asking:
            return math.inf
        if self._news or (self.queue and self._seen_at == -math.inf):
            return now
        if self.state.window and not self._is_paced:
            return self._places_at(now)
        if len(self.queue) <= len(self._taken):
            return math.inf
        if self._is_open:
            return self._seen_at + _NEWER
        opens = (self.state.trial_at or self.state.paused_until) - self._ahead
        free = self._taken[-1].start if self._taken else self.state.requests.next
        last = free - self._ahead - _AHEAD - 1.5 * self._asked_took
        return max(opens, last, self._blocked_until(now) - _AHEAD)

    def _places_at(self, now: float) -> float:
        """When the ledger must be asked for places in flight, or told that they are not used."""
        if not (self.queue or self.in_flight or self._places.held):
            return math.inf
        even = self.state.window / max(len(self.state.places), 1)
        is_even = even - 1 < self._places_left(now) < even + 1
        return self._seen_at + (LEASE / 3 if not self.queue else _NEWER if is_even else _UNEVEN)

    def question(self, now: float) -> Question:
        """What to ask the ledger: to take the news in, and to give the next turns; `hear` must follow."""
        self.is_asking = True
        self.next_at(now)  # gives up what is void
        busy = len(self.in_flight)
        told_now = (
            report(self.told, self._uncounted, self._unused, self._owed),
            hold(self.name, busy, busy + len(self.queue)),
        )
        news, self._news = [*self._news, *told_now], []
        self._unused, self._uncounted, self._owed = 0, 0, 0.0
        told, span = self.told, SPAN + self._asked_took
        most = math.ceil(min(max(self.pace, 1.0) * 2 * span, 1000.0)) if self._is_paced or not self.state.window else 0
        ahead = len(self._taken)
        weights = [call.weight for call, _ in zip(self.queue, range(ahead + most), strict=False)][ahead:]

        def ask(state: RateState, moment: float) -> tuple[RateState, tuple[Turn, ...]]:
            for item in news:
                state = item(state, moment)
            return take(state, moment, weights, told, span) if weights else (state, ())

        return ask

    def hear(self, asked_at: float, now: float, state: RateState, at: float, turns: tuple[Turn, ...]) -> None:
        """Take in what the ledger said, and the moment by its clock."""
        self.is_asking = False
        took = min(now - asked_at, 1.0)
        self._asked_took = max(took, 0.8 * self._asked_took + 0.2 * took)
        self._ahead, self._seen_at = at - now, now
        for news in self._news:
            state = news(state, at)
        self._know(state)
        self._taken.extend(turns)
        if state.full.calls and state.base_at != self._counted_at:  # of a refusal to another process
            self._counted_at, moment = state.base_at, state.base_at - self._ahead
            sent = [call.sent for call in self.in_flight] + [began for began, over, _ in self._ended if over > moment]
            if number := sum(began <= moment for began in sent):
                self._news.append(count(state.base_at, number))

    def unheard(self, now: float) -> list[Call]:
        """The ledger could not be asked, and is again in a while: the calls that waited for it, out of the line."""
        self.is_asking, self._seen_at = False, now if self._seen_at > -math.inf else self._seen_at
        return [self.queue.take() for _ in range(len(self.queue))]

    def answered(self, call: Call, reading: Reading, tokens_used: int, now: float) -> None:
        """Learn from an answer."""
        self.in_flight.discard(call)
        self._ended.append((call.sent, now, call.beside))
        self.answered_at = now
        self._free_at = min(self._free_at, now)  # where nothing is known one call may follow another at once
        for kind, level in reading.levels.items():
            flow, turn = self.state.flow(kind), call.turn.number if call.turn is not None else 0
            window, aim = self._quotas[kind].hear(level, call.sent, call.totals[kind], turn)
            heard = flow.heard(level.limit, window, aim if kind == "requests" else None)
            if heard != flow:
                self._learn(hear(kind, heard), now)
        self._owed += tokens_used - call.weight

    def refused(self, call: Call, asked: float | None, now: float) -> None:
        """Learn from a refusal."""
        self.in_flight.discard(call)
        if call.turn is not None:
            sent, carried = call.sent + self._ahead, max((beside for _, _, beside in self._ended), default=0)
            refusal = Refusal(call.turn, sent, now - call.sent, asked, call.beside, carried)
            self._learn(refuse(refusal, self.told), now)
            self._counted_at = sent if self.state.base_at == sent else self._counted_at

    def withdraw(self, call: Call) -> None:
        """Forget a call that was cancelled; its place, or its turn, goes to the next."""
        self.in_flight.discard(call)
        if not self.queue.remove(call.share, call) and call.turn is not None:
            self._taken.appendleft(call.turn)
            self._owed -= call.weight - call.turn.weight

    def seconds_left(self, now: float) -> float:
        """For about how long a call that came now would wait."""
        paused = self.state.paused_until - self._ahead - now if self._seen_at > -math.inf else 0.0
        return max(paused, 0.0) + (len(self.queue) / self.pace if self.queue and self._is_paced else 0.0)

    def _places_left(self, now: float) -> int:
        """How many calls may be in flight here."""
        return self._places.held if now + self._ahead < self._places.until - _MARGIN else 0

    def _know(self, state: RateState) -> None:
        if state.epoch != self.state.epoch:
            self._started_at = -math.inf  # a pause is distance enough from what was sent before it
        self.state, self._is_paced = state, state.is_paced(self.told)
        self._places = state.places.get(self.name, NOWHERE)
        self._is_open = not self._is_paced and (state.window > 0 or state.pace >= OPEN_PACE)

    def _learn(self, news: News, now: float) -> None:
        """Know it at once, and have it written down for the others."""
        self._know(news(self.state, now + self._ahead))
        self._news.append(news)

    def _is_void(self, turn: Turn, now: float) -> bool:
        """Whether it is from before a pause, or was missed: made up for, it might come at once with the next."""
        if turn.epoch != self.state.epoch:
            return True
        return len(self._taken) > 1 and turn.start - self._ahead < now - max(_LATE[0] / turn.pace, _LATE[1])

    def _blocked_until(self, now: float) -> float:
        """When what remains by the answers allows the next call."""
        following, state, totals = self.queue.peek(), self.state, self._totals
        weight = following.weight if following is not None else 0.0
        return max(
            self._quotas["requests"].blocked_until(totals["requests"], 1.0, now, state.requests),
            self._quotas["tokens"].blocked_until(totals["tokens"], weight, now, state.tokens),
        )


class Ticket:
    """Leave to send one call; tell what became of it by one of its methods, once and from any thread."""

    def __init__(self, limiter: Limiter, call: Call) -> None:
        self._limiter = limiter
        self.call = call
        """Its `sent` is to be set again if something took time after the ticket came."""

    @property
    def pace(self) -> float:
        """Calls a second that are sent now with the same key."""
        return self._limiter.pace

    def is_answered_since(self, moment: float) -> bool:
        """Whether any call with the same key was answered since that moment of the monotonic clock."""
        return self._limiter.turns.answered_at >= moment

    def answered(self, headers: Mapping[str, str], tokens_used: int) -> None:
        """It was answered; these are the headers, and the tokens it really used."""
        reading = read_headers(headers, time.time())
        self._limiter.close(self.call, lambda turns, now: turns.answered(self.call, reading, tokens_used, now))

    def limited(self, retry_after: float | None, headers: Mapping[str, str]) -> None:
        """It was refused for now: everybody waits for as long as the answer asks."""
        asked = read_headers(headers, time.time()).wait if retry_after is None else retry_after
        wait = None if asked is None else min(asked, _LONGEST_PAUSE)
        self._limiter.close(self.call, lambda turns, now: turns.refused(self.call, wait, now))

    def failed(self) -> None:
        """It failed otherwise, or was given up."""
        self._limiter.close(self.call, lambda turns, _: turns.in_flight.discard(self.call))


class Limiter:
    """Admits the calls of one key. Threads and event loops may share it; what waits waits without polling.

    Two threads of its own live only while something waits: one looks at the time, the other at the ledger.
    """

    def __init__(self, store: RateStore, key: str, limit: RateLimit | None = None) -> None:
        self._store, self._key = store, key
        self._lock = threading.Condition()
        name = f"{current_owner()}/{token_hex(4)}"
        begin_work(name)
        finalize(self, end_work, name)
        self.turns = Turns(limit or RateLimit(), name)
        self._is_watched = False

    @property
    def pace(self) -> float:
        """Calls a second that are sent now."""
        with self._lock:
            return self.turns.pace

    @property
    def seconds_left(self) -> float:
        """Until about when a call that came now would wait."""
        with self._lock:
            return self.turns.seconds_left(time.monotonic())

    async def admit(self, weight: float = 0, *, share: str = "") -> Ticket:
        """Wait until a call of so many tokens may be sent; calls of several shares take turns.

        A StoreError, if the ledger cannot be used.
        """
        call = Call(share, max(0.0, weight))
        with self._lock:
            self.turns.queue.put(share, call)
            self._pump()
            if call.turn is not None:
                return Ticket(self, call)
            call.waiting = Future()
        try:
            await asyncio.wrap_future(call.waiting)
        except BaseException:
            with self._lock:
                self.turns.withdraw(call)
                self._pump()
            raise
        return Ticket(self, call)

    def close(self, call: Call, learn: Callable[[Turns, float], None]) -> None:
        """Learn what became of a call, and let others follow; only once."""
        with self._lock:
            if call in self.turns.in_flight:
                learn(self.turns, time.monotonic())
                self._pump()

    # -- all below: with the lock held

    def _pump(self) -> None:
        """Start all calls whose time has come, and see to it that somebody looks after the others."""
        now = time.monotonic()
        for call in self.turns.start(now):
            call.wake()
        if self._is_watched:
            self._lock.notify_all()
        elif self.turns.queue or self.turns.ask_at(now) <= now:
            self._is_watched = True
            threading.Thread(target=self._watch, name="signoff-rates", daemon=True).start()

    def _watch(self) -> None:
        """Wait for the next moment, or for news, until nothing waits."""
        turns = self.turns
        with self._lock:
            while True:
                now = time.monotonic()
                start_at = turns.next_at(now) if turns.queue else None  # first: it may give up turns, and need others
                ask_at = turns.ask_at(now)
                if ask_at <= now:
                    threading.Thread(
                        target=self._ask_ledger, args=(turns.question(now), now), name="signoff-ledger", daemon=True
                    ).start()
                    ask_at = math.inf
                if ask_at == math.inf and not turns.queue and not turns.is_asking:
                    self._is_watched = False
                    return
                until = min(ask_at, math.inf if start_at is None else start_at)
                self._lock.wait(None if until == math.inf else min(max(0.0, until - time.monotonic()), _LONGEST_PAUSE))
                self._pump()

    def _ask_ledger(self, question: Question, began: float) -> None:
        """Ask the ledger: tell the news, take the next turns, hear what others told."""
        turns = self.turns
        try:
            state, at, taken = self._store.change(self._key, question)
        except SignoffError as error:
            with self._lock:
                for call in turns.unheard(time.monotonic()):
                    call.wake(error)
                self._lock.notify_all()
            return
        with self._lock:
            turns.hear(began, time.monotonic(), state, at, taken)
            self._pump()


def limiter_for(ledger: Ledger | None, key: str, limit: RateLimit | None = None) -> Limiter:
    """The one limiter of this process for a key, which it shares with others through the ledger.

    Without a ledger it is shared within the process only. A `limit` that changes makes a new one.
    """
    with _making:
        known, name = _limiters.setdefault(ledger or _private, {}), (os.getpid(), key, limit)
        if name not in known:
            known[name] = Limiter(Rates(ledger) if ledger else _private, key, limit)
        return known[name]


_making, _private = threading.Lock(), PrivateRates()
_limiters: WeakKeyDictionary[Ledger | PrivateRates, dict[tuple[int, str, RateLimit | None], Limiter]]
_limiters = WeakKeyDictionary()
