"""Rates: how fast the calls of one key may start, and which moments are taken, shared by all who use the ledger.

A key has one row. Whoever wants to call takes the next few moments of its timeline, so that calls are spaced evenly
whatever process or host they come from. Rows hold nothing that could not be learned again.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal, Protocol, TypeAlias, TypeVar
from weakref import ref

from sqlalchemy import Connection, Float, cast, extract, func, insert, select, update

from signoff.checkpoints.errors import DatabaseUnusable
from signoff.checkpoints.ledger.schema import rates
from signoff.checkpoints.ledger.session import Transactions

T = TypeVar("T")

LEAD: Final = 0.02
"""Share of a limit that is left unused: what jitter on the way moves into a window must still fit there."""
SPAN: Final = 0.2
"""Seconds of the timeline that are taken at once; who waits for others waits for about as much of each."""
LONGEST_WINDOW: Final = 120.0
"""Seconds; a limit over a longer window is a quota: it is spent as fast as one likes, until none remains."""
_FIRST_PACE: Final = 10.0  # calls per second, at least, after the first 429 of an endpoint that tells no limit
_OPEN_PACE: Final = 1000.0  # calls per second that are as good as no limit

Kind: TypeAlias = Literal["requests", "tokens"]
KINDS: Final[tuple[Kind, ...]] = ("requests", "tokens")
"""What limits are of."""


@dataclass(frozen=True)
class RateLimit:
    """What an endpoint allows; None is not known, and is learned from its answers."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None

    def of(self, kind: Kind) -> float | None:
        return self.requests_per_minute if kind == "requests" else self.tokens_per_minute


@dataclass(frozen=True)
class Flow:
    """How fast requests, or tokens, may flow."""

    limit: float | None = None
    """What the endpoint says it allows in one window."""
    window: float = 0.0
    """Seconds of that window, as far as its answers tell."""
    room: float = 1.0
    """How many times more than that it has shown to allow."""
    slowed: float | None = None
    """A second, since a 429; grows back."""
    refused: float = 0.0
    """The pace at which that 429 came."""
    next: float = 0.0
    """The first moment that is not taken."""

    def aim(self, told: float | None) -> float | None:
        """The pace, a second, that uses the limit; None if no limit is known. `told` is a limit per minute."""
        known = [] if told is None else [told / 60]
        if self.limit and 0 < self.window <= LONGEST_WINDOW:
            known.append(self.limit * self.room / self.window)
        return min(known) * (1 - LEAD) if known else None

    def pace(self, told: float | None) -> float | None:
        """The pace that is kept now; None if nothing limits it."""
        known = [pace for pace in (self.aim(told), self.slowed) if pace is not None]
        return min(known) if known else None

    def slow_down(self, told: float | None, measured: float) -> Flow:
        """After a 429: slower than what was refused."""
        pace, aim = self.pace(told), self.aim(told)
        if pace is None:
            return replace(self, slowed=max(_FIRST_PACE, 0.8 * measured), refused=max(_FIRST_PACE, measured))
        return replace(self, slowed=pace * (0.75 if aim is None else 0.9), refused=pace)

    def grow(self, told: float | None, seconds: float) -> Flow:
        """Slowly back to the pace that was refused; on from there to the limit, or faster where none is known."""
        if self.slowed is None:
            return self
        aim = self.aim(told)
        rate = 1.05 if aim is not None or self.slowed < 1.25 * self.refused else 1.5
        pace = self.slowed * rate**seconds
        return replace(self, slowed=None if pace > (aim or _OPEN_PACE) else pace)


@dataclass(frozen=True)
class RateState:
    """What the row of a key says; moments are seconds since 1970, by the clock of the database."""

    requests: Flow = Flow()
    tokens: Flow = Flow()
    paused_until: float = 0.0
    cut_at: float = 0.0
    """When it was slowed down last; calls that began before tell nothing new."""
    grown_at: float = 0.0
    is_open: bool = False
    """Whether it has taken many calls at once without naming a limit."""

    @classmethod
    def read(cls, text: str) -> RateState:
        """The state as it is written; an empty one if another version wrote it."""
        try:
            values = json.loads(text)
            return cls(**{**values, "requests": Flow(**values["requests"]), "tokens": Flow(**values["tokens"])})
        except (ValueError, TypeError, KeyError):
            return cls()

    def flow(self, kind: Kind) -> Flow:
        return self.requests if kind == "requests" else self.tokens

    def with_flow(self, kind: Kind, flow: Flow) -> RateState:
        return replace(self, requests=flow) if kind == "requests" else replace(self, tokens=flow)

    def moved(self, seconds: float) -> RateState:
        """The same after the clock was set."""
        return replace(
            self,
            requests=replace(self.requests, next=self.requests.next + seconds),
            tokens=replace(self.tokens, next=self.tokens.next + seconds),
            paused_until=self.paused_until + seconds,
            cut_at=self.cut_at + seconds,
            grown_at=self.grown_at + seconds,
        )

    def is_paced(self, told: RateLimit) -> bool:
        """Whether calls wait for their moments."""
        return any(self.flow(kind).pace(told.of(kind)) is not None for kind in KINDS)


News: TypeAlias = Callable[[RateState, float], RateState]
"""Something learned, to be written into the state of a key: the state and the moment in, the new state out."""


def hear(kind: Kind, limit: float, window: float) -> News:
    """An answer named a limit; of one limit the longest window seen counts."""

    def news(state: RateState, _now: float) -> RateState:
        flow = state.flow(kind)
        if flow.limit != limit:
            return state.with_flow(kind, Flow(limit, window, slowed=flow.slowed, refused=flow.refused, next=flow.next))
        return state.with_flow(kind, replace(flow, window=max(window, flow.window)))

    return news


def find_room(kind: Kind, told: RateLimit) -> News:
    """The answers of a while say that far more remains than the pace uses."""

    def news(state: RateState, now: float) -> RateState:
        if now - state.grown_at < 1 or state.flow(kind).slowed is not None:
            return state
        flow = state.flow(kind)
        wider = flow if flow.aim(told.of(kind)) is None else replace(flow, room=min(flow.room * 1.25, 1000.0))
        return replace(state.with_flow(kind, wider), grown_at=now)

    return news


def refuse(told: RateLimit, *, began: float, measured: float, pause: float) -> News:
    """A call that began then got a 429: all pause, then go on slower. `measured`: calls answered in that second."""

    def news(state: RateState, now: float) -> RateState:
        paused = replace(state, paused_until=max(state.paused_until, now + pause), is_open=False)
        if began < state.cut_at:
            return paused
        paced = [kind for kind in KINDS if state.flow(kind).pace(told.of(kind)) is not None]
        for kind in paced or KINDS[:1]:
            paused = paused.with_flow(kind, paused.flow(kind).slow_down(told.of(kind), measured))
        return replace(paused, cut_at=now, grown_at=now + pause)

    return news


def settle(tokens: float, told: RateLimit) -> News:
    """So many tokens more were used than were counted; fewer, if negative."""

    def news(state: RateState, now: float) -> RateState:
        pace = state.tokens.pace(told.tokens_per_minute)
        if pace is None:
            return state
        return state.with_flow("tokens", replace(state.tokens, next=max(state.tokens.next + tokens / pace, now)))

    return news


def open_up(state: RateState, _now: float) -> RateState:
    """News that the endpoint takes many calls at once without naming a limit."""
    return replace(state, is_open=True)


def take(
    state: RateState, now: float, weights: Sequence[float], told: RateLimit, span: float = SPAN
) -> tuple[RateState, tuple[float, ...]]:
    """Take the next moments for calls of these weights in tokens: one at least, no more than so many seconds hold."""
    grown = max(0.0, min(now - state.grown_at, 10.0))
    flows = [state.flow(kind).grow(told.of(kind), grown) for kind in KINDS]
    paces = [flow.pace(told.of(kind)) for flow, kind in zip(flows, KINDS, strict=True)]
    free = [flow.next if pace else 0.0 for flow, pace in zip(flows, paces, strict=True)]
    starts: list[float] = []
    for weight in weights:
        start = max(now, state.paused_until, *free)
        if starts and start >= starts[0] + span:
            break
        starts.append(start)
        free = [start + used / pace if pace else 0.0 for used, pace in zip((1.0, weight), paces, strict=True)]
    taken = [replace(flow, next=until) for flow, until in zip(flows, free, strict=True)]
    grown_at = max(now, state.grown_at) if any(flow.slowed is not None for flow in flows) else state.grown_at
    return replace(state, requests=taken[0], tokens=taken[1], grown_at=grown_at), tuple(starts)


class RateStore(Protocol):
    """Where the states of keys are."""

    def read(self, key: str) -> tuple[RateState, float]:
        """The state, and the moment by the clock it is written with."""

    def change(self, key: str, step: Callable[[RateState, float], tuple[RateState, T]]) -> tuple[RateState, float, T]:
        """Change the state in one transaction: the new one, the moment, and what else the step returned."""


class Rates:
    """The rates table."""

    def __init__(self, ledger: Transactions) -> None:
        self._ledger = ref(ledger)  # limiters are kept for as long as their ledger is, and must not keep it

    def read(self, key: str) -> tuple[RateState, float]:
        with self._held.read() as connection:
            return _read(connection, key)

    def change(self, key: str, step: Callable[[RateState, float], tuple[RateState, T]]) -> tuple[RateState, float, T]:
        with self._held.write() as connection:
            found, now = _read(connection, key)
            state, result = step(found, now)
            if state != found:
                written = {"state": json.dumps(asdict(state)), "at": now}
                changed = update(rates).where(rates.c.key == key).values(version=rates.c.version + 1, **written)
                if not connection.execute(changed).rowcount:
                    connection.execute(insert(rates).values(key=key, **written))
        return state, now, result

    @property
    def _held(self) -> Transactions:
        ledger = self._ledger()
        if ledger is None:
            raise DatabaseUnusable("", "its ledger was given up")
        return ledger


class PrivateRates:
    """The same in memory, for calls outside a run."""

    def __init__(self) -> None:
        self._states: dict[str, RateState] = {}
        self._changing = threading.Lock()

    def read(self, key: str) -> tuple[RateState, float]:
        return self._states.get(key, RateState()), time.time()

    def change(self, key: str, step: Callable[[RateState, float], tuple[RateState, T]]) -> tuple[RateState, float, T]:
        with self._changing:
            found, now = self.read(key)
            self._states[key], result = step(found, now)
            return self._states[key], now, result


def _read(connection: Connection, key: str) -> tuple[RateState, float]:
    """The state, and the moment; hosts that share a server go by the clock of the server."""
    now = time.time()
    if connection.dialect.name == "postgresql":
        now = float(connection.execute(select(cast(extract("epoch", func.clock_timestamp()), Float))).scalar_one())
    row = connection.execute(select(rates.c.state, rates.c.at).where(rates.c.key == key)).first()
    if row is None:
        return RateState(), now
    state = RateState.read(row.state)
    return state.moved(now - row.at) if row.at > now else state, now
