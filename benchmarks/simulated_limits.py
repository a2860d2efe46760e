"""Rate limits of endpoints, and a crowd of jobs before one of them, with a clock of its own: hours in seconds of CPU.

The endpoints are written from what their makers and the drafts say: counting, headers, refusals; `limits.py` serves
the same over HTTP. The crowd drives the same `Turns` and the same steps of the ledger's row as the limiter's threads
do, event by event. Both are one world, and so the file is longer than most.
"""

import heapq
import math
import random
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from email.utils import format_datetime
from itertools import count
from typing import Any, Final, Protocol

from signoff.agents.models.rate_headers import read_headers
from signoff.agents.models.rate_limiter import Call, Turns
from signoff.checkpoints.ledger import RateLimit, RateState

EPOCH: Final = 1_800_000_000.0
"""Seconds since 1970 at the moment 0 by the endpoint's clock, where its headers tell a date."""


@dataclass(frozen=True)
class Verdict:
    """How one request was counted."""

    taken: bool
    limit: float
    remaining: float
    reset: float
    """Seconds until all is there again (a bucket), or the window ends, or the oldest request leaves it."""
    wait: float
    """Seconds until a request like this would be taken, if it was not."""
    window: float
    after: float = 0.0
    """Seconds for which it is kept waiting before it is worked on."""
    tokens: "Verdict | None" = None
    """The same of tokens, where both are counted."""


class Counter(Protocol):
    """A way to count."""

    @property
    def rate(self) -> float:
        """What it takes a second in the long run."""

    def take(self, now: float, weight: float, /) -> Verdict: ...


@dataclass
class Bucket:
    """A token bucket: filled evenly, never fuller than `burst`."""

    rate: float
    burst: float
    level: float = field(init=False)
    at: float = 0.0

    def __post_init__(self) -> None:
        self.level = self.burst

    def take(self, now: float, weight: float) -> Verdict:
        self.level = min(self.burst, self.level + (now - self.at) * self.rate)
        self.at = now
        taken = self.level + 1e-9 >= weight
        wait = 0.0 if taken else (weight - self.level) / self.rate
        self.level -= weight if taken else 0.0
        full = (self.burst - self.level) / self.rate
        return Verdict(taken, self.burst, math.floor(self.level), full, wait, self.burst / self.rate)


@dataclass
class Gcra:
    """The generic cell rate algorithm: a theoretical arrival time, and how much earlier a request may come."""

    rate: float
    burst: float
    due: float = -math.inf

    def take(self, now: float, weight: float) -> Verdict:
        spent, tolerance = weight / self.rate, (self.burst - 1) / self.rate
        due = max(self.due, now)
        taken = due - now <= tolerance + 1e-9
        wait = 0.0 if taken else due - now - tolerance
        self.due = due + spent if taken else self.due
        left = max(0.0, self.burst - (max(self.due, now) - now) * self.rate)
        return Verdict(taken, self.burst, math.floor(left), max(0.0, self.due - now), wait, self.burst / self.rate)


@dataclass
class Fixed:
    """A window after the other; the first began before the first request came."""

    limit: float
    seconds: float
    phase: float = 0.37
    ends: float = -math.inf
    used: float = 0.0

    @property
    def rate(self) -> float:
        return self.limit / self.seconds

    def take(self, now: float, weight: float) -> Verdict:
        if now >= self.ends:
            self.ends = self.seconds * (math.floor(now / self.seconds + self.phase) + 1 - self.phase)
            self.used = 0.0
        taken = self.used + weight <= self.limit
        self.used += weight if taken else 0.0
        left = self.ends - now
        return Verdict(taken, self.limit, self.limit - self.used, left, 0.0 if taken else left, self.seconds)


@dataclass
class Sliding:
    """The last so many seconds, at any moment."""

    limit: float
    seconds: float
    log: deque[tuple[float, float]] = field(default_factory=deque)

    @property
    def rate(self) -> float:
        return self.limit / self.seconds

    def take(self, now: float, weight: float) -> Verdict:
        while self.log and self.log[0][0] <= now - self.seconds:
            self.log.popleft()
        used = sum(each for _, each in self.log)
        taken = used + weight <= self.limit
        if taken:
            self.log.append((now, weight))
            used += weight
        oldest = self.log[0][0] + self.seconds - now if self.log else 0.0
        return Verdict(taken, self.limit, self.limit - used, oldest, 0.0 if taken else oldest, self.seconds)


@dataclass
class Leaky:
    """A queue that is let out evenly: a request waits in it, and is refused where it would be too long."""

    rate: float
    length: int
    due: float = -math.inf

    def take(self, now: float, weight: float) -> Verdict:
        waits = max(self.due - now, 0.0)
        taken = waits * self.rate <= self.length + 1e-9
        self.due = max(self.due, now) + weight / self.rate if taken else self.due
        left = max(0.0, self.length - (self.due - now) * self.rate)
        wait = 0.0 if taken else waits - self.length / self.rate
        return Verdict(
            taken, self.length, math.floor(left), waits, wait, self.length / self.rate, waits if taken else 0
        )


@dataclass
class Punishing:
    """A window of the last seconds in which what is refused counts too."""

    limit: float
    seconds: float
    log: deque[float] = field(default_factory=deque)

    @property
    def rate(self) -> float:
        return self.limit / self.seconds

    def take(self, now: float, _weight: float) -> Verdict:
        while self.log and self.log[0] <= now - self.seconds:
            self.log.popleft()
        taken = len(self.log) < self.limit
        self.log.append(now)
        oldest = self.log[-int(self.limit)] + self.seconds - now if not taken else 0.0
        left = max(0.0, self.limit - len(self.log))
        return Verdict(taken, self.limit, left, oldest, oldest, self.seconds)


@dataclass
class Queueing:
    """So many are worked on at once, for so long; all others wait, and nobody is refused."""

    workers: int
    seconds: float
    free: list[float] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return self.workers / self.seconds

    def take(self, now: float, _weight: float) -> Verdict:
        begins = heapq.heappop(self.free) if len(self.free) == self.workers else now
        heapq.heappush(self.free, max(begins, now) + self.seconds)
        return Verdict(True, 0, 0, 0.0, 0.0, 1.0, max(begins - now, 0.0))


@dataclass
class Both:
    """Requests are counted, and tokens; what is refused counts for neither."""

    requests: Bucket | Fixed
    tokens: Bucket | Fixed

    @property
    def rate(self) -> float:
        return self.requests.rate

    def take(self, now: float, weight: float) -> Verdict:
        before = copy(self.requests), copy(self.tokens)
        one, many = self.requests.take(now, 1.0), self.tokens.take(now, weight)
        if not (one.taken and many.taken):
            self.requests, self.tokens = before
        wait = max(one.wait, many.wait)
        return replace(one, taken=one.taken and many.taken, wait=wait, tokens=many)


@dataclass
class Several:
    """A request is taken if all of them take it; the one that is nearest to its end is told of."""

    counters: tuple[Fixed | Sliding | Bucket, ...]

    @property
    def rate(self) -> float:
        return min(counter.rate for counter in self.counters)

    def take(self, now: float, weight: float) -> Verdict:
        found = [counter.take(now, weight) for counter in self.counters]
        refused = [verdict for verdict in found if not verdict.taken]
        return max(refused, key=lambda verdict: verdict.wait) if refused else min(found, key=lambda v: v.remaining)


@dataclass
class Changing:
    """Another way to count from certain moments on."""

    steps: tuple[tuple[float, Counter], ...]
    """Moments from which each counts."""

    @property
    def rate(self) -> float:
        return self.steps[0][1].rate

    def take(self, now: float, weight: float) -> Verdict:
        return [counter for begins, counter in self.steps if begins <= now][-1].take(now, weight)


Headers = Mapping[str, str]
Dialect = Callable[[Verdict, float], Headers]
"""What an answer's headers say: how it was counted, and the moment by the endpoint's clock in seconds since 1970."""


def _date(at: float) -> str:
    return format_datetime(datetime.fromtimestamp(math.floor(at), UTC), usegmt=True)


def _rfc3339(at: float) -> str:
    return datetime.fromtimestamp(math.ceil(at), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _duration(seconds: float) -> str:
    """As Go prints it, which is how OpenAI says it: `6m0s`, `1.2s`, `120ms`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.3g}s" if minutes else f"{rest:.5g}s"


def nothing(_: Verdict, __: float) -> Headers:
    return {}


def retry_seconds(verdict: Verdict, _: float) -> Headers:
    """Whole seconds, one at least."""
    return {} if verdict.taken else {"Retry-After": str(max(1, math.ceil(verdict.wait)))}


def retry_one(verdict: Verdict, _: float) -> Headers:
    """Always a second, as many a gateway is set up to say."""
    return {} if verdict.taken else {"Retry-After": "1"}


def retry_more(verdict: Verdict, _: float) -> Headers:
    """Whole seconds, rounded up beyond the next."""
    return {} if verdict.taken else {"Retry-After": str(math.floor(verdict.wait) + 2)}


def retry_exact(verdict: Verdict, _: float) -> Headers:
    return {} if verdict.taken else {"retry-after-ms": str(max(1, math.ceil(verdict.wait * 1000)))}


def retry_date(verdict: Verdict, at: float) -> Headers:
    """A date of HTTP, beside the one of the answer."""
    asked = {} if verdict.taken else {"Retry-After": _date(math.ceil(at + verdict.wait))}
    return {"Date": _date(at), **asked}


def openai(verdict: Verdict, at: float, kind: str = "requests") -> Headers:
    told = {
        f"x-ratelimit-limit-{kind}": f"{verdict.limit:.0f}",
        f"x-ratelimit-remaining-{kind}": f"{max(0, verdict.remaining):.0f}",
        f"x-ratelimit-reset-{kind}": _duration(max(verdict.reset, 0.0)),
    }
    return {**told, **retry_seconds(verdict, at)}


def openai_tokens(verdict: Verdict, at: float) -> Headers:
    return openai(verdict, at, "tokens")


def openai_both(verdict: Verdict, at: float) -> Headers:
    assert verdict.tokens is not None
    return {**openai(verdict.tokens, at, "tokens"), **openai(verdict, at)}


def reset_milliseconds(verdict: Verdict, at: float) -> Headers:
    """The reset in milliseconds, without a unit."""
    told = {"x-ratelimit-limit": f"{verdict.limit:.0f}", "x-ratelimit-remaining": f"{max(0, verdict.remaining):.0f}"}
    return {**told, "x-ratelimit-reset": f"{verdict.reset * 1000:.0f}", **retry_exact(verdict, at)}


def reset_epoch_milliseconds(verdict: Verdict, at: float) -> Headers:
    """A moment in milliseconds since 1970."""
    told = {"x-ratelimit-limit": f"{verdict.limit:.0f}", "x-ratelimit-remaining": f"{max(0, verdict.remaining):.0f}"}
    return {**told, "x-ratelimit-reset": f"{(at + verdict.reset) * 1000:.0f}", "Date": _date(at)}


def reset_date(verdict: Verdict, at: float) -> Headers:
    """A date of HTTP, beside one that tells whole seconds."""
    told = {"x-ratelimit-limit": f"{verdict.limit:.0f}", "x-ratelimit-remaining": f"{max(0, verdict.remaining):.0f}"}
    return {
        **told,
        "x-ratelimit-reset": _date(at + verdict.reset + 0.999),
        "Date": _date(at),
        **retry_date(verdict, at),
    }


def reset_seconds(verdict: Verdict, at: float) -> Headers:
    """Seconds with a fraction, as Discord says them."""
    told = {"x-ratelimit-limit": f"{verdict.limit:.0f}", "x-ratelimit-remaining": f"{max(0, verdict.remaining):.0f}"}
    return {**told, "x-ratelimit-reset": f"{verdict.reset:.3f}", **retry_seconds(verdict, at)}


def azure(verdict: Verdict, at: float) -> Headers:
    """No limit is named beside what remains, and both forms of Retry-After."""
    asked = {**retry_exact(verdict, at), **retry_seconds(verdict, at)}
    return {"x-ratelimit-remaining-requests": f"{max(0, verdict.remaining):.0f}", **asked}


def azure_limits(verdict: Verdict, at: float) -> Headers:
    """As of today: limit and reset in whole seconds are named too."""
    told = {
        "x-ratelimit-limit-requests": f"{verdict.limit:.0f}",
        "x-ratelimit-reset-requests": str(math.ceil(verdict.reset)),
    }
    return {**told, **azure(verdict, at)}


def anthropic(verdict: Verdict, at: float) -> Headers:
    told = {
        "anthropic-ratelimit-requests-limit": f"{verdict.limit:.0f}",
        "anthropic-ratelimit-requests-remaining": f"{max(0, verdict.remaining):.0f}",
        "anthropic-ratelimit-requests-reset": _rfc3339(at + verdict.reset),
        "Date": _date(at),
    }
    return {**told, **retry_seconds(verdict, at)}


def github(verdict: Verdict, at: float) -> Headers:
    """The reset is a moment in whole seconds since 1970."""
    told = {
        "x-ratelimit-limit": f"{verdict.limit:.0f}",
        "x-ratelimit-remaining": f"{max(0, verdict.remaining):.0f}",
        "x-ratelimit-reset": str(math.ceil(at + verdict.reset)),
        "Date": _date(at),
    }
    return {**told, **retry_seconds(verdict, at)}


def ietf_draft6(verdict: Verdict, at: float) -> Headers:
    told = {
        "RateLimit-Limit": f"{verdict.limit:.0f}, {verdict.limit:.0f};w={math.ceil(verdict.window)}",
        "RateLimit-Remaining": f"{max(0, verdict.remaining):.0f}",
        "RateLimit-Reset": str(math.ceil(verdict.reset)),
    }
    return {**told, **retry_seconds(verdict, at)}


def ietf_draft7(verdict: Verdict, at: float) -> Headers:
    said = f"limit={verdict.limit:.0f}, remaining={max(0, verdict.remaining):.0f}, reset={math.ceil(verdict.reset)}"
    return {
        "RateLimit": said,
        "RateLimit-Policy": f"{verdict.limit:.0f};w={math.ceil(verdict.window)}",
        **retry_seconds(verdict, at),
    }


def ietf(verdict: Verdict, at: float) -> Headers:
    return {
        "RateLimit": f'"default";r={max(0, verdict.remaining):.0f};t={math.ceil(verdict.reset)}',
        "RateLimit-Policy": f'"default";q={verdict.limit:.0f};w={math.ceil(verdict.window)}',
        **retry_seconds(verdict, at),
    }


def ietf_daily(verdict: Verdict, at: float) -> Headers:
    """Two policies, the quota of a day before the one that binds."""
    day = f'"day";q=1000000;w=86400, "burst";q={verdict.limit:.0f};w={math.ceil(verdict.window)}'
    level = f'"day";r=999000;t=4000, "burst";r={max(0, verdict.remaining):.0f};t={math.ceil(verdict.reset)}'
    return {"RateLimit": level, "RateLimit-Policy": day, **retry_seconds(verdict, at)}


LEDGER_EPOCH: Final = 1_700_000_000.0


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One kind of endpoint, and the crowd before it."""

    name: str
    counter: Callable[[], Counter] | None
    """Makes the endpoint's way to count; None: it has no limit."""
    dialect: Dialect = retry_seconds
    jobs: int = 300
    calls: int = 1
    """Of each job, one after the other."""
    latency: float = 0.2
    """Seconds until an answer."""
    jitter: float = 0.0
    """Share of the latency by which it varies, either way."""
    refused_in: float | None = 0.005
    """Seconds until a refusal; None: as long as an answer."""
    at_once: int = 0
    """Calls in flight that are taken; 0: any number."""
    told: float = 0.0
    """Requests a second that the settings tell; 0: none."""
    processes: int = 1
    weight: Callable[[random.Random], float] = lambda _: 1.0
    """Tokens of a call, where tokens are counted."""
    network: tuple[float, float] = (0.001, 0.0005)
    """Seconds of the way there, and what it varies by in the mean."""
    transaction: float = 0.008
    """Seconds for one question to the ledger."""
    skew: float = 0.0
    """Seconds that our clock is ahead of the endpoint's."""
    bound: float | None = None
    """Seconds in which all could be done; None: as the long-run rate says."""
    status: int = 429
    is_real: bool = False
    """Whether it is run over HTTP too."""


@dataclass
class Outcome:
    """How a crowd fared."""

    wall: float
    bound: float
    asked: int
    refused: int
    commits: int
    done: int = 0

    @property
    def ratio(self) -> float:
        return self.wall / self.bound

    @property
    def share(self) -> float:
        return self.refused / max(self.asked, 1)


@dataclass(eq=False)
class _Process:
    turns: Turns
    offset: float
    """Its own clock less the true one."""
    wakes: float = float("inf")


@dataclass
class _Later:
    """A counter whose time begins later."""

    counter: Counter
    begins: float

    @property
    def rate(self) -> float:
        return self.counter.rate

    def take(self, now: float, weight: float) -> Verdict:
        return self.counter.take(now - self.begins, weight)


@dataclass
class Simulation:
    """An endpoint, a row of the ledger, and the moment; crowds may come one after the other."""

    cell: Cell
    seed: int = 1
    now: float = 0.0
    state: RateState = field(default_factory=RateState)
    limit: float = 3600.0
    """Seconds after which a crowd is given up."""

    def __post_init__(self) -> None:
        self._random, self._order = random.Random(self.seed), count()
        self._events: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._counter: Counter | None = self.cell.counter() if self.cell.counter is not None else None
        self._in_flight = self.asked = self.refused = self.commits = self.done = 0

    def crowd(self, jobs: int | None = None) -> Outcome:
        """Do all jobs with processes that know only what the row says."""
        cell, began = self.cell, self.now
        jobs = cell.jobs if jobs is None else jobs
        self.asked = self.refused = self.commits = self.done = 0
        self._weight_done, self._alone = 0.0, defaultdict[int, float](float)
        told = RateLimit(60 * cell.told) if cell.told else RateLimit()
        names = [f"{began}-{place}" for place in range(cell.processes)]
        here = [_Process(Turns(told, name), 1000.0 * (1 + place)) for place, name in enumerate(names)]
        for job in range(jobs):
            self._put(here[job % len(here)], job, cell.calls)
        self._ended = jobs
        for process in here:
            self._step(process)
        while self._events and self._ended and self.now < began + self.limit:
            self.now, _, act, arguments = heapq.heappop(self._events)
            act(*arguments)
        last = self.now
        self._events.clear()
        self._in_flight = 0
        return Outcome(last - began, self._bound(jobs), self.asked, self.refused, self.commits, jobs - self._ended)

    def again(self, after: float = 2.0) -> Outcome:
        """The same crowd once more, some seconds later; an endpoint that changes does so from the beginning."""
        self.now += after
        self.state = replace(self.state, places={})  # on one machine it is seen that those processes have ended
        if self._counter is not None and self.cell.bound is not None and self.cell.counter is not None:
            self._counter = _Later(self.cell.counter(), self.now)
        return self.crowd()

    def _bound(self, jobs: int) -> float:
        cell = self.cell
        if cell.bound is not None:
            return cell.bound
        alone = max(self._alone.values(), default=0.0)  # of no job can the calls be answered sooner
        slow = jobs * cell.calls * cell.latency / cell.at_once if cell.at_once else 0.0
        paced = self._weight_done / self._counter.rate + cell.latency if self._counter is not None else 0.0
        return max(alone, slow, paced)

    def _at(self, moment: float, act: Callable[..., None], *arguments: Any) -> None:
        heapq.heappush(self._events, (max(moment, self.now), next(self._order), act, arguments))

    def _put(self, process: _Process, job: int, left: int, weight: float | None = None) -> None:
        call = Call(f"job-{job}", self.cell.weight(self._random) if weight is None else weight)
        call.job = (job, left)  # type: ignore[attr-defined]
        process.turns.queue.put(call.share, call)

    def _step(self, process: _Process) -> None:
        """What the limiter's threads do after each event."""
        here, turns = self.now + process.offset, process.turns
        for call in turns.start(here):
            self._at(self.now + self._way(), self._arrive, process, call)
        if (ask_at := turns.ask_at(here)) <= here:
            question = turns.question(here)
            self._at(self.now + self.cell.transaction / 2, self._commit, process, question, here)
            ask_at = float("inf")
        start_at = turns.next_at(here) if turns.queue else None
        until = min(ask_at, float("inf") if start_at is None else start_at) - process.offset
        if until < float("inf") and not (self.now < process.wakes <= until):
            process.wakes = until
            self._at(until + self._random.expovariate(1 / 0.0003), self._wake, process)

    def _wake(self, process: _Process) -> None:
        process.wakes = float("inf")
        self._step(process)

    def _commit(self, process: _Process, question: Any, asked_at: float) -> None:
        before = self.state
        at = self.now + LEDGER_EPOCH
        self.state, taken = question(before, at)
        self.commits += self.state != before
        self._at(self.now + self.cell.transaction / 2, self._hear, process, asked_at, self.state, at, taken)

    def _hear(self, process: _Process, asked_at: float, state: RateState, at: float, taken: Any) -> None:
        process.turns.hear(asked_at, self.now + process.offset, state, at + self.cell.transaction / 2, taken)
        self._step(process)

    def _way(self) -> float:
        least, more = self.cell.network
        return least + (self._random.expovariate(1 / more) if more else 0.0)

    def _arrive(self, process: _Process, call: Call) -> None:
        """A request comes in at the endpoint."""
        cell, self.asked = self.cell, self.asked + 1
        latency = cell.latency * (1 + cell.jitter * self._random.uniform(-1, 1))
        if cell.at_once and self._in_flight >= cell.at_once:
            verdict = Verdict(False, cell.at_once, 0, 0.0, latency / 2, 1.0)
        elif self._counter is None:
            verdict = Verdict(True, 0, 0, 0.0, 0.0, 1.0)
        else:
            verdict = self._counter.take(self.now, call.weight if call.weight else 1.0)
        took = verdict.after + latency if verdict.taken or cell.refused_in is None else cell.refused_in
        if verdict.taken:
            self._in_flight += 1
            self._alone[call.job[0]] += latency  # type: ignore[attr-defined]
        else:
            self.refused += 1
        headers = dict(cell.dialect(verdict, EPOCH + self.now)) if self._counter is not None or cell.at_once else {}
        self._at(self.now + took, self._leave, process, call, verdict.taken, headers)

    def _leave(self, process: _Process, call: Call, taken: bool, headers: dict[str, str]) -> None:
        self._in_flight -= taken
        self._at(self.now + self._way(), self._reply, process, call, taken, headers)

    def _reply(self, process: _Process, call: Call, taken: bool, headers: dict[str, str]) -> None:
        here = self.now + process.offset
        reading = read_headers(headers, EPOCH + self.now + self.cell.skew)
        job, left = call.job  # type: ignore[attr-defined]
        if taken:
            process.turns.answered(call, reading, int(call.weight), here)
            self._weight_done += call.weight
            if left > 1:
                self._put(process, job, left - 1)
            else:
                self._ended -= 1
        else:
            process.turns.refused(call, reading.wait, here)
            self._put(process, job, left, call.weight)
        self._step(process)
