"""The pace of the calls of one key: turns on a timeline, spaced evenly, that all who use the ledger share.

A limit on calls in flight has no pace: processes share its places, each for a while (`hold`).
What the endpoint does not tell is searched for: the pace grows until a turn is refused, falls to what was taken between
two refusals, is held there, and tried a little higher once in a while. All of it is functions of a state, an event and
a moment. A state holds nothing that could not be learned again. The rules hang together, and so the file is longer
than most.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import wraps
from typing import Any, Concatenate, Final, Literal, ParamSpec, TypeAlias

from signoff.checkpoints.process_identity import is_gone

LEAD: Final = 0.02
"""Share of a limit that is left unused: what jitter on the way moves into a window must still fit there."""
SPAN: Final = 0.12
"""Seconds of the timeline that are taken at once; who waits for others waits for about as much of each."""
_SOON: Final = 0.4  # seconds, beside a span, before a turn that it is taken at most: a pause voids few
LONGEST_WINDOW: Final = 120.0
"""Seconds; a limit over a longer window is a quota: it is spent as fast as one likes, until none remains."""
FIRST_PACE: Final = 30.0
"""Turns a second at which an endpoint is tried of which nothing is known."""
_FIRST_GROWTH: Final = 3.0  # turns a second more with each of its turns: twice as many in a quarter of a second
OPEN_PACE: Final = 1000.0
"""Turns a second that are as good as no limit."""
_HELD: Final = 150  # turns for which a pace is held before a higher one is tried
_NARROW: Final = 1.08
_BACK: Final = 30.0  # seconds at most, twice of which a limit that fell far may take to come back
_FORGOTTEN: Final = 86_400.0  # seconds after which the endpoint is another one
WINDOWS: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 10.0, 12.0, 15.0, 20.0, 30.0, 60.0, 3600.0, 86_400.0)
"""Seconds of the windows that limits are for."""
_IDLE: Final = 1.0  # seconds in which nobody called
_HEARD: Final = 0.3  # seconds after which it is heard how a pace fares, beside what a refusal takes
_TRIAL: Final = 0.1  # seconds into a pause that is told in whole seconds, or not at all, after which one turn is tried
_STRIKES: Final = 2  # trials that were refused, after which pauses are kept in full
_PATIENCE: Final = 0.05  # seconds at least until a trial that was not refused is taken as a yes
_LONGEST_WAIT: Final = 30.0
LEASE: Final = 6.0
"""Seconds for which a process may have calls in flight before it must say so again: who died is not waited for."""
_ALIKE: Final = 0.1  # share by which two numbers in flight may differ that are as good as the same
_OTHER: Final = 0.1  # and by which two paces must, and twice as much as those
_FEW: Final = 16  # calls in flight, as many of which twice may be by chance
_COUNTED: Final = 0.6  # seconds in which all say what they had in flight

Kind: TypeAlias = Literal["requests", "tokens"]
KINDS: Final[tuple[Kind, ...]] = ("requests", "tokens")
"""What limits are of."""
P = ParamSpec("P")


@dataclass(frozen=True)
class RateLimit:
    """What an endpoint allows; None is not known, and is learned from its answers."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None


@dataclass(frozen=True)
class Flow:
    """A limit that the endpoint names."""

    limit: float | None = None  # what it says it allows in one window
    window: float = 0.0  # seconds of that window, as far as its answers tell
    aim: float = 0.0  # what may be tried a second, as by its answers it takes more than it names; 0: that
    next: float = 0.0  # the first moment that is not taken

    @property
    def is_too_low(self) -> bool:
        """Whether it takes far more than it names: then that tells nothing, and its pace is searched for."""
        return self.limit is not None and not self.window

    def heard(self, limit: float, window: float, aim: float | None) -> Flow:
        """The same after an answer that names so many in so many seconds: itself, if that is no news."""
        if self.is_too_low and limit == self.limit:
            return self
        aim = (self.aim if limit == self.limit else 0.0) if aim is None else aim
        is_same = limit == self.limit and abs(self.window - window) <= 0.03 * window
        is_more = max(aim, self.aim) * window > limit and abs(self.aim - aim) > 0.1 * aim
        return self if is_same and not is_more else replace(self, limit=limit, window=window, aim=aim)

    def pace(self, told: float | None) -> float | None:
        """What is used of it, a second; None if no limit is known. `told` is a limit per minute."""
        known = [] if told is None else [told / 60]
        if self.limit and 0 < self.window <= LONGEST_WINDOW:
            known.append(max(self.limit / self.window, self.aim))
        return min(known) * (1 - LEAD) if known else None


@dataclass(frozen=True)
class Turn:
    """Leave to send one call from a moment on."""

    start: float
    weight: float = 0.0
    number: int = 0
    pace: float = FIRST_PACE  # turns a second at which it was given
    epoch: int = 0  # pauses before it: those since make it void
    is_trial: bool = False


@dataclass(frozen=True)
class Refusal:
    """A turn that was refused."""

    turn: Turn
    sent: float
    took: float  # seconds from its sending to the refusal
    asked: float | None = None  # seconds to wait, if the answer tells
    beside: int = 0  # calls of its process in flight when it was sent, itself among them
    carried: int = 0  # the most with which another was answered of late


@dataclass(frozen=True)
class Crowd:
    """What was in flight as a turn was refused."""

    calls: int = 0
    carried: int = 0
    pace: float = 0.0


@dataclass(frozen=True)
class Places:
    """The part of one process in the calls that are in flight."""

    held: int = 0
    wanted: int = 0
    until: float = 0.0  # when they are free for others, whatever became of the process


NOWHERE: Final = Places()


@dataclass(frozen=True)
class RateState:
    """What the row of a key says; moments are seconds since 1970, by the clock of the database.

    Its limit is told or named (a `Flow`), searched for (`epoch`, no `window`) or on calls in flight (`window`). All
    pause until `paused_until`, but for one turn at `trial_at`.
    """

    requests: Flow = Flow()
    tokens: Flow = Flow()
    turns: int = 0  # given so far
    pace: float = FIRST_PACE  # turns a second, searched for
    good: float = 0.0  # the highest at which none was refused
    refused: float = 0.0  # the lowest at which one was, since the limit seemed to change
    stepped_at: int = 0  # the turn from which on the pace, or the window, is what it is
    fell_at: float = 0.0  # when it fell to less than a third of what was good
    base_at: float = 0.0  # when the last refused turn was sent; 0: nothing is to be counted from there
    base_turn: int = 0  # its number, and all that were refused or not used since
    epoch: int = 0  # pauses so far
    gap: float = 0.0  # seconds of the last pause
    paused_until: float = 0.0
    trial_at: float = 0.0  # when one turn may be tried before that; 0: none
    strikes: int = 0  # of those refused, amid a pause that the endpoint told
    took: float = 0.0  # seconds that a refusal takes
    full: Crowd = Crowd()  # at the last refusal, until all have counted
    like: Crowd = Crowd()  # at one before, of as many
    fulls: int = 0  # refusals one after the other with as many in flight, but at another pace
    window: int = 0  # calls that may be in flight, if that is what the endpoint limits; else 0
    proven: int = 0  # as many as were taken before the window was widened; 0: it was not
    places: Mapping[str, Places] = field(default_factory=dict)  # by process

    @classmethod
    def read(cls, text: str, later: float = 0.0) -> RateState:
        """The state as it is written, by a clock that was set later; an empty one if another version wrote it."""

        def moved(values: dict[str, Any]) -> dict[str, Any]:
            return {name: value + later if name in _MOMENTS and value else value for name, value in values.items()}

        try:
            values = json.loads(text, object_hook=moved)
            parts = {name: kind(**values[name]) for name, kind in _PARTS.items()}
            return cls(**{**values, **parts, "places": {name: Places(**at) for name, at in values["places"].items()}})
        except (ValueError, TypeError, KeyError):
            return cls()

    def flow(self, kind: Kind) -> Flow:
        return self.requests if kind == "requests" else self.tokens

    def is_paced(self, told: RateLimit) -> bool:
        """Whether calls wait for their turns: a limit is known, or one was found."""
        known = self.requests.pace(told.requests_per_minute) or self.tokens.pace(told.tokens_per_minute)
        return known is not None or (self.epoch > 0 and not self.window)

    def free_at(self, told: RateLimit) -> float:
        """The first moment that is not taken."""
        return max(self.requests.next, self.tokens.next if self.tokens.pace(told.tokens_per_minute) else 0.0)

    def pace_for(self, told: RateLimit) -> float:
        """Turns a second that are given now: what was found, but no more than is named or told."""
        named = self.requests.pace(told.requests_per_minute)
        if named is None:
            return self.pace
        return min(named, self.pace) if self.epoch else named


_MOMENTS: Final = frozenset(("next", "fell_at", "base_at", "paused_until", "trial_at", "until"))
_PARTS: Final = {"requests": Flow, "tokens": Flow, "full": Crowd, "like": Crowd}

News: TypeAlias = Callable[[RateState, float], RateState]
"""Something learned, to be written into the state of a key: the state and the moment in, the new state out."""


def _news(learn: Callable[Concatenate[RateState, float, P], RateState]) -> Callable[P, News]:
    """What makes such news, of all that is learned."""

    @wraps(learn)
    def make(*args: P.args, **named: P.kwargs) -> News:
        return lambda state, now: learn(state, now, *args, **named)

    return make


@_news
def hear(state: RateState, _now: float, kind: Kind, flow: Flow) -> RateState:
    """An answer named a limit, or showed that it takes more."""
    if flow.is_too_low and not state.flow(kind).is_too_low:
        found, epoch = max(state.good, flow.aim), max(state.epoch, 1)
        state = replace(state, pace=found, good=found, refused=2 * found, epoch=epoch, stepped_at=state.turns)
    flow = replace(flow, next=state.flow(kind).next)
    return replace(state, requests=flow) if kind == "requests" else replace(state, tokens=flow)


@_news
def report(
    state: RateState, now: float, told: RateLimit, used: int = 0, unused: int = 0, tokens: float = 0.0
) -> RateState:
    """Turns that were used without being taken, those that were taken and not used, tokens beyond those counted."""
    flow, pace = state.tokens, state.tokens.pace(told.tokens_per_minute)
    if pace is not None and abs(tokens) >= 1:
        state = replace(state, tokens=replace(flow, next=max(flow.next + tokens / pace, now)))
    state = replace(state, turns=state.turns + used, base_turn=state.base_turn + unused)
    if not (state.window and used):
        return state
    state = replace(state, requests=replace(state.requests, next=now))  # still in use
    after, part = (state.window, 4) if state.proven else (max(200, 10 * state.window), 20)
    is_full = sum(places.held for places in state.places.values()) >= state.window
    if not is_full or state.turns - state.stepped_at < after:
        return state
    more = max(1, state.window // part)
    return replace(state, window=state.window + more, proven=state.window, stepped_at=state.turns)


@_news
def hold(state: RateState, now: float, name: str, busy: int, wanted: int) -> RateState:
    """A process has so many calls in flight, and wants so many: it may have what others leave, up to its even share.

    What it has in flight counts, even if its time was over. Its `places` say what it may have.
    """
    others = {
        other: places
        for other, places in state.places.items()
        if other != name and places.until > now and not is_gone(other)
    }
    if not wanted:
        return replace(state, places=others)
    want, known = min(wanted, state.window or wanted), state.places.get(name, NOWHERE)
    wants = sorted([(want, name), *((places.wanted, other) for other, places in others.items())])
    share, part = state.window, 0
    for place, (each, other) in enumerate(wants):
        part = min(each, share // (len(wants) - place))
        if other == name:
            break
        share -= part
    held = max(busy, min(part, state.window - sum(places.held for places in others.values())))
    until = known.until if known.until > now + LEASE / 2 else now + LEASE
    return replace(state, places={**others, name: Places(held, max(busy, want), until)})


@_news
def refuse(state: RateState, now: float, refusal: Refusal, told: RateLimit) -> RateState:
    """A turn was refused: all pause, then go on slower."""
    turn, asked = refusal.turn, refusal.asked
    if turn.epoch < state.epoch:  # it was sent before this pause began
        state = replace(state, base_turn=state.base_turn + 1)
        if asked is not None and now + asked > state.paused_until + 1:
            state = replace(state, paused_until=now + asked)
        is_crowded = state.base_turn - state.stepped_at > 2 + state.window // 4
        return _unfilled(state) if state.window and is_crowded else state
    if state.window and (state := _narrowed(state)).window:
        until = now + max((asked or 0.0) - 1, 0.0) + _PATIENCE
        state = replace(state, stepped_at=state.turns, base_at=refusal.sent, base_turn=state.turns)
        return replace(state, epoch=state.epoch + 1, paused_until=until, trial_at=0.0)
    if turn.is_trial:
        state = replace(state, strikes=state.strikes + (asked is not None))
    else:
        state = _filled(state)
        pace, good, refused = _fallen(state, refusal, told)
        crowd, fell_at = (
            Crowd(refusal.beside, refusal.carried, turn.pace),
            now if pace < state.good / 3 else state.fell_at,
        )
        state = replace(state, base_at=refusal.sent, base_turn=turn.number, full=crowd, window=0)
        state = replace(state, pace=pace, good=good, refused=refused, stepped_at=turn.number, fell_at=fell_at)
    took = (state.took + refusal.took) / 2 if state.took else refusal.took
    return _paused(replace(state, epoch=state.epoch + 1, took=took), asked, now)


def _paused(state: RateState, asked: float | None, now: float) -> RateState:
    """Wait as the endpoint asks. Whole seconds are rounded up: within the last one turn tries whether they are over.

    Without a word it is tried after a while, and after as long again as was waited.
    """
    first = min(max(_TRIAL, 3 / state.pace), 0.5)
    if asked is None:
        wait = min(max(first, state.gap / 4) + max(now - state.base_at, 0.0), _LONGEST_WAIT)
        return replace(state, trial_at=now + wait, paused_until=now + wait + _LONGEST_WAIT)
    is_rounded = asked >= 1 and float(asked).is_integer() and state.strikes < _STRIKES
    return replace(state, trial_at=now + asked - 1 + first if is_rounded else 0.0, paused_until=now + asked)


def _fallen(state: RateState, refusal: Refusal, told: RateLimit) -> tuple[float, float, float]:
    """The pace after a refusal, the one that is good, and the one that is too high.

    From one refusal to the next an endpoint takes what its limit lets through, and what it had in store at the first is
    nothing: so many turns in so many seconds are its pace, less what a pause wasted.
    """
    turn, most, asked = refusal.turn, refusal.turn.pace, refusal.asked or 0.0
    taken, seconds = max(turn.number - state.base_turn - 1, 0), refusal.sent - state.base_at
    good, gap = state.good if state.good < 0.95 * most else 0.0, state.gap if state.epoch else 0.0
    if taken >= 8 and 0 < seconds - gap < asked and (asked >= 3 or state.strikes >= _STRIKES):  # a window is used up
        pace = min(0.97 * taken / _window(seconds - gap, asked), 0.97 * most)
        return pace, pace, min(most, 1.1 * pace)
    if not state.epoch:
        named = state.requests.pace(told.requests_per_minute)
        is_kept = named is not None and most >= named
        return 0.8 * most if is_kept else max(min(0.5 * most, 0.9 * taken / max(seconds, 0.1)), 1.0), 0.0, most
    if not state.base_at or seconds <= 0 or (taken < 8 and good):
        return good or 0.92 * most, good, most
    if taken < 8:
        return min(max((taken + 1) / seconds, 0.2 * most), 0.7 * most), 0.0, most
    share, least = min(gap / seconds, 0.9), taken / seconds
    rate = min(most, least / (1 - share))
    pace = min(max(good, 0.97 * (least if min(share, gap) < 0.3 else 0.92 * rate)), 0.97 * most)
    return pace, pace, min(most, max(rate, 1.03 * pace) * (1 + 8 / taken))


def _window(since: float, asked: float) -> float:
    """Seconds of a window that was filled so many after its beginning, and ends in so many, rounded up."""
    return next((usual for usual in WINDOWS if since + asked - 1 < usual <= since + asked), since + asked)


@_news
def count(state: RateState, _now: float, moment: float, number: int) -> RateState:
    """Another process had so many calls in flight when that one was sent that was refused."""
    is_asked = state.full.calls > 0 and not state.window and state.base_at == moment
    return replace(state, full=replace(state.full, calls=state.full.calls + number)) if is_asked else state


def _filled(state: RateState) -> RateState:
    """The state once all have counted: whether the endpoint limits calls in flight.

    It does if it refuses at whatever pace, but always with as many in flight.
    """
    full, like, calls = state.full, state.like, state.full.calls
    if state.window or not calls:
        return state
    state = replace(state, full=Crowd())
    apart = abs(math.log(calls / like.calls)) if like.calls and calls > 3 else math.inf
    if apart > _ALIKE or calls < 0.9 * full.carried:
        return replace(state, like=full, fulls=min(state.fulls, 0))
    fulls = state.fulls + (abs(math.log(full.pace / like.pace)) > _OTHER + 2 * apart)
    return replace(state, fulls=fulls, window=min(calls, like.calls) - 1 if fulls > (calls < _FEW) else 0)


def _narrowed(state: RateState) -> RateState:
    """The state after a refusal though no more were in flight than may be: back to as many as were taken before.

    If no more than those were tried, that is forgiven once; then it is no limit on calls in flight.
    """
    fulls = 1 if state.proven else state.fulls - 1
    is_full = sum(places.held for places in state.places.values()) > 0.7 * state.window
    window = state.proven or max(state.window - 1, 1)
    return replace(state, window=window, proven=0, fulls=fulls) if fulls >= 0 and is_full else _unfilled(state)


def _unfilled(state: RateState) -> RateState:
    """It was no such limit, and is not so easily taken for one again."""
    return replace(state, window=0, proven=0, full=Crowd(), like=Crowd(), fulls=-1, base_at=0.0)


def _stepped(state: RateState, at: float) -> RateState:
    """The state before the next turn: a pace that was held for long enough is good, and a higher one is tried.

    Long enough is what it takes to use up what a pause left in store.
    """
    pace, gap, good, is_new = state.pace, max(state.gap, 0.15), state.pace, False
    if not state.epoch:
        return replace(state, pace=pace + max(_FIRST_GROWTH, state.turns / 20))
    fallen = (at - state.fell_at) / 2
    is_fallen = fallen < min(_HELD / pace, _BACK)  # what fell far may come back
    if pace >= state.refused:  # nothing is known up here
        step = max(pace / state.good - 1, 0.1) if state.good else 0.5
        more, held, is_new = min(1 + 2.5 * step, 2.0), gap / step, step > 0.15
        held = max(held, 2 * gap) if is_fallen else held
        good = (state.good * pace) ** 0.5
    elif is_fallen:
        more, held = 2.0, fallen
    elif state.refused > _NARROW * pace:
        more = (state.refused / pace) ** 0.5
        held = gap / (more - 1)
    else:
        more, held = 1.1, max(_HELD / pace, 12 * gap)
    if (state.turns - state.stepped_at) / pace < max(held, _HEARD + state.took):
        return state
    if is_new:  # the limit has changed: what was taken before tells nothing
        state = replace(state, base_at=at, base_turn=state.turns)
    return replace(state, pace=min(more * pace, 2 * OPEN_PACE), good=good, stepped_at=state.turns)


def take(
    state: RateState, now: float, weights: Sequence[float], told: RateLimit, span: float = SPAN
) -> tuple[RateState, tuple[Turn, ...]]:
    """Take the next turns for calls of these weights in tokens: one at least, no more than so many seconds hold.

    None amid a pause, but the one that tries whether it is over.
    """
    tokens_pace, free = state.tokens.pace(told.tokens_per_minute), state.free_at(told)
    if now - free > _FORGOTTEN:
        state = replace(state, pace=FIRST_PACE, epoch=0, good=0.0, base_at=0.0, strikes=0, window=0, fulls=0)
    if now < state.paused_until:
        if not state.trial_at:
            return state, ()
        start = max(now, state.trial_at)
        turn = Turn(start, weights[0], state.turns + 1, state.pace, state.epoch, is_trial=True)
        until = min(state.paused_until, start + max(3 * state.took, _PATIENCE))
        requests = replace(state.requests, next=start + 1 / state.pace)
        return replace(state, requests=requests, trial_at=0.0, paused_until=until, turns=turn.number), (turn,)
    over = state.paused_until
    if over:
        gap = min(max(now, free) - state.base_at, _LONGEST_WAIT) if state.base_at else state.gap
        state = replace(state, gap=gap, paused_until=0.0, stepped_at=state.turns)
    if state.epoch and now - max(free, over) > _IDLE:
        pace = state.good if state.good and state.pace > state.refused else state.pace
        state = replace(state, base_at=0.0, pace=pace)  # what was not used meanwhile may be used now
    if now > state.base_at + _COUNTED:
        state = _filled(state)
    turns: list[Turn] = []
    requests_next, tokens_next = state.requests.next, state.tokens.next
    for weight in weights:
        pace, start = state.pace_for(told), max(now, free)
        if start >= now + _SOON + span or (turns and start >= turns[0].start + span):
            break
        is_busy = start > now or bool(turns)
        if not state.epoch and not state.base_at:
            state = replace(state, base_at=start, base_turn=state.turns)
        state = replace(state, turns=state.turns + 1)
        turns.append(Turn(start, weight, state.turns, pace, state.epoch))
        free = requests_next = start + 1 / pace
        if tokens_pace:
            tokens_next = start + weight / tokens_pace
            free = max(free, tokens_next)
        if is_busy and pace == state.pace:
            state = _stepped(state, start)
    requests, tokens = replace(state.requests, next=requests_next), replace(state.tokens, next=tokens_next)
    return replace(state, requests=requests, tokens=tokens, trial_at=0.0), tuple(turns)
