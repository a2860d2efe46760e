"""What an answer's headers say about limits, in the dialects of OpenAI, Anthropic and the IETF."""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from signoff.checkpoints.ledger import LONGEST_WINDOW, WINDOWS, Flow, Kind
from signoff.tools.web import clock_of, number_in, retry_after, seconds_in

_DURATION: Final = re.compile(r"[\d.]+(ms|s|m|h|d)([\d.]+(ms|s|m|h))*")
_PARAMETER: Final = re.compile(r"([a-z]+)\s*=\s*(\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Level:
    """How one limit stands."""

    limit: float
    remaining: float | None = None
    reset: float | None = None
    """Seconds until it stands better: until all, or until some, of it is there again."""
    window: float | None = None
    """Seconds the limit is for, where the answer says so."""


@dataclass(frozen=True)
class Reading:
    """What one answer says."""

    levels: Mapping[Kind, Level]
    retry_after: float | None = None

    @property
    def wait(self) -> float | None:
        """Seconds to wait after a 429, if the answer tells: as it asks, else until what is used up comes back."""
        if self.retry_after is not None:
            return self.retry_after
        resets = [level.reset for level in self.levels.values() if level.reset and not level.remaining]
        return min(max(resets), 60.0) if resets else None


def read_headers(headers: Mapping[str, str], now: float) -> Reading:
    """Read them, whatever their case; what makes no sense is left out. `now`: seconds since 1970."""
    known = {name: value.strip() for name, value in ((n.lower(), v) for n, v in headers.items()) if _matters(name)}
    if not known.keys() - {"date"}:
        return Reading({})
    at = clock_of(known, now)
    levels: dict[Kind, Level] = {}
    for kind, name in _FAMILIES:
        if kind in levels or name.format("limit") not in known:
            continue
        if (level := _level_of(name, known, at)) is not None:
            levels[kind] = level
    if "requests" not in levels and (level := _ietf(known)) is not None:
        levels["requests"] = level
    return Reading(levels, retry_after(known, now))


def _matters(name: str) -> bool:
    return "ratelimit" in name or name.startswith("retry-after") or name == "date"


_FAMILIES: Final[tuple[tuple[Kind, str], ...]] = (
    ("requests", "x-ratelimit-{}-requests"),
    ("tokens", "x-ratelimit-{}-tokens"),
    ("requests", "anthropic-ratelimit-requests-{}"),
    ("tokens", "anthropic-ratelimit-tokens-{}"),
    ("tokens", "anthropic-ratelimit-input-tokens-{}"),
    ("requests", "x-ratelimit-{}"),
    ("requests", "ratelimit-{}"),
)
"""Of three headers each: limit, remaining and reset."""


def _level_of(family: str, known: Mapping[str, str], at: float) -> Level | None:
    """A level of three headers; of several values of the limit, as the IETF once had them, the first counts."""
    limit, remaining, reset = (known.get(family.format(part), "") for part in ("limit", "remaining", "reset"))
    first, _, policy = limit.partition(",")
    seconds = seconds_in(reset, at)
    if seconds is not None and "date" in known and number_in(reset) != seconds and not _DURATION.fullmatch(reset):
        # A moment in whole seconds, and whole seconds of the clock: rounded up and down it is a second too late.
        seconds = max(0.0, seconds - 1)
    return _level(number_in(first), remaining, seconds, _parameters(policy).get("w"))


def _ietf(known: Mapping[str, str]) -> Level | None:
    """`RateLimit: limit=50, remaining=49, reset=1`, or `"default";r=49;t=1`, and the policy `50;w=1` or `q=50;w=1`.

    Of several policies it is the one that allows the least a second; the quota of an hour or a day is no pace.
    """
    said = known.get("ratelimit", "")
    by_name = {_name_of(item): _parameters(item) for item in said.split(",") if ";" in item}
    levels = list[Level]()
    for policy in known.get("ratelimit-policy", "").split(","):
        promised, level = _parameters(policy), by_name.get(_name_of(policy)) or _parameters(said)
        first = number_in(policy.partition(";")[0])
        allowed = number_in(level.get("limit") or promised.get("q"))
        remaining, reset = level.get("remaining") or level.get("r"), level.get("reset") or level.get("t")
        found = _level(first if allowed is None else allowed, remaining, number_in(reset), promised.get("w"))
        if found is not None:
            levels.append(found)
    return min(levels, key=_a_second, default=None)


def _a_second(level: Level) -> tuple[bool, float]:
    window = level.window or 1.0
    return window > LONGEST_WINDOW, level.limit / window


def _name_of(item: str) -> str:
    return item.partition(";")[0].strip().strip('"')


def _level(limit: float | None, remaining: str | None, reset: float | None, window: str | None) -> Level | None:
    if not limit or limit < 1:
        return None
    # No endpoint's window is longer than a day: what says so is not to be trusted with the clock.
    reset = None if reset is None else min(reset, 86_400.0)
    return Level(limit, number_in(remaining), reset, number_in(window) or None)


def _parameters(text: str) -> dict[str, str]:
    return dict(_PARAMETER.findall(text.lower()))


_TOO_SOON: Final = 60.0  # seconds by which a reset comes too soon that is in milliseconds
_BLOCKED: Final = 60.0  # seconds after which it is tried whether what was used up is there again, whatever was said
_KEPT: Final = 12  # levels that are compared


class _Headroom:
    """Whether an endpoint takes more than it names: hardly anything of its limit is used, at whatever pace.

    From one answer to another it gave back what was sent meanwhile, less what more is used: so many a second it takes.
    """

    def __init__(self) -> None:
        self.taken = 0.0
        self._answers, self._since = 0, (0.0, 0, 0.0)
        self._is_tried, self._needed = False, 3

    def hear(self, level: Level, sent: float, turn: int) -> float | None:
        """How many a second may be tried, if it is news; `taken`, if so many are enough."""
        used, few = level.limit - (level.remaining or 0.0), max(1.0, level.limit // 8)
        if used > few:
            is_news, self._answers = self._is_tried, 0
            if is_news:
                self._is_tried, self._needed = False, 4 * self._needed
            return self.taken if is_news else None
        self._answers += 1
        if self._answers == 1:
            self._since = sent, turn, used
        began, first, before = self._since
        if self._answers <= self._needed * few or sent - began <= 0.1:
            return None
        self.taken = max(self.taken, (turn - first - used + before) / (sent - began))
        self._answers, self._since = 1, (sent, turn, used)
        if level.limit == 1 and (level.reset or 0.0) * self.taken > 0.5:
            return self.taken  # of a single one all is used, but it may be said that it comes back at once
        self._is_tried = True
        return 2 * self.taken


class RemainingQuota:
    """What remains by the answers, and the window that they agree on: no more is sent than the last would take."""

    def __init__(self, limit: float = 0.0, unit: float = 1.0) -> None:
        self._limit, self._unit, self._first = limit, unit, (math.inf, 0.0)
        self._counted, self._sent, self._remaining, self._until = -1.0, 0.0, math.inf, -math.inf
        self._levels: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        self._longest, self._whole = 0.0, True
        self._headroom = _Headroom()

    def hear(self, level: Level, sent: float, counted: float, turn: int) -> tuple[float, float | None]:
        """Take in an answer to the call of that turn, sent then, with which so much had been sent.

        Seconds of the window, 0 if the limit proved too low; and, where that is news, how many a second may be tried.
        """
        is_finer = level.reset is not None and self._unit == 1 and self._is_in_milliseconds(sent, level.reset)
        if is_finer or level.limit != self._limit:
            self.__init__(level.limit, 0.001 if is_finer else self._unit)  # type: ignore[misc]
        level = level if level.reset is None else replace(level, reset=level.reset * self._unit)
        remaining, reset = level.remaining, level.reset
        window, aim = level.window or self._window_by(level), None
        if remaining is not None and reset is not None and counted > self._counted:
            # Of an older call the endpoint counted less: what it says is out of date.
            self._counted, self._sent, self._remaining = counted, sent, remaining
            self._until = sent + min(reset, _BLOCKED)
            aim = self._headroom.hear(level, sent, turn)
        is_too_low = aim == self._headroom.taken and aim * window > 1.5 * level.limit > 1.5
        return 0.0 if is_too_low else window, aim

    def blocked_until(self, total: float, wanted: float, now: float, flow: Flow) -> float:
        """When so much more may be sent; long ago, unless all that remained is sent and not yet there again."""
        missing = total + wanted - self._counted - self._remaining
        if now >= self._until or missing <= 0 or flow.is_too_low:
            return -math.inf
        return min(self._until, self._sent + missing / flow.aim) if flow.aim else self._until

    def _is_in_milliseconds(self, sent: float, reset: float) -> bool:
        """Whether the reset comes nearer far faster than time passes, by more than what several servers say differs."""
        seconds, fell = sent - self._first[0], self._first[1] - reset
        if not 0 <= seconds < 10 or fell < 0:
            self._first = sent, reset
        return seconds > 0 and fell > _TOO_SOON + 10 * seconds

    def _window_by(self, level: Level) -> float:
        """Seconds of the window, as far as the answers tell.

        A bucket's reset is the time until it is full: several levels agree on how long that takes. Any other reset is
        what is left of the window, which is as long as the longest of them.
        """
        if level.reset is None:
            return 60.0
        used = level.limit - (level.remaining if level.remaining is not None else level.limit)
        self._whole = self._whole and level.reset.is_integer()
        if used >= 1 and all(used != other for other, _ in self._levels):
            self._levels.append((used, level.reset))
        if (filling := self._filling()) is not None:
            return filling
        if level.reset > self._longest:
            self._longest = level.reset
        return next((window for window in WINDOWS if self._longest <= 1.03 * window), 86_400.0)

    def _filling(self) -> float | None:
        """Seconds in which a bucket would fill, if the levels are those of one."""
        if len(self._levels) < 3:
            return None
        resets = [reset for _, reset in self._levels]
        coarse = 1.0 if self._whole else 0.03 * max(resets) + 0.02
        most_used, its_reset = max(self._levels)
        each = its_reset / most_used
        if max(resets) - min(resets) < 3 * coarse or any(
            abs(reset - used * each) > coarse for used, reset in self._levels
        ):
            return None
        return each * self._limit
