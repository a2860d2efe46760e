"""Following runs: what the ledger's log says is new, looked at once for all who listen; and what runs tell, numbered.

Nobody who listens has a thread: each is woken in the event loop that serves them.
"""

from __future__ import annotations

import asyncio
import secrets
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Final

from signoff.checkpoints.ledger import PAGE, Ledger
from signoff.concurrency import undisturbed
from signoff.fleet import Event

_LOOKS_EVERY: Final = 1.0
"""Seconds between two looks at the ledger, one for all who listen."""
_KEPT: Final = 500
"""Events of a run that are kept for whoever comes back."""
_FEEDS: Final = 1000
"""Runs of which they are; one that nobody listens to is forgotten first."""

ALL: Final = ("",)
"""In place of runs: any may have changed."""


@dataclass
class Changes:
    """What the ledger's log says is new, looked at once for all who listen."""

    ledger: Ledger
    listeners: int = 0
    told: Callable[[tuple[str, ...]], None] = lambda _runs: None
    """Is told, too, of which runs there is something new."""
    _seq: int = -1
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _looking: asyncio.Task[None] | None = None
    _runs: tuple[str, ...] = ()

    async def next(self, seq: int) -> tuple[int, tuple[str, ...]]:
        """Once the log has an entry after this one: the newest's number, and the runs that it may be about."""
        self.look()
        while seq >= self._seq:
            await self._news.wait()
        return self._seq, self._runs

    def look(self) -> None:
        """Have the log looked at as long as somebody listens."""
        if self._looking is None or self._looking.done():
            self._news = asyncio.Event()
            self._looking = asyncio.create_task(self._look())

    async def newest(self) -> int:
        """The number of the newest entry."""
        return (await undisturbed(self.ledger.inbox.changed_since, -1))[0]

    async def _look(self) -> None:
        self._seq = max(self._seq, await self.newest())
        self._tell(ALL)
        while self.listeners:
            await asyncio.sleep(_LOOKS_EVERY)
            seq, runs = await undisturbed(self.ledger.inbox.changed_since, self._seq)
            if seq > self._seq:
                self._seq, self._runs = seq, tuple(runs)
                self._tell(ALL if len(runs) >= PAGE else self._runs)

    def _tell(self, runs: tuple[str, ...]) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()
        self.told(runs)


@dataclass(frozen=True)
class Told:
    """An event of a run, with the id by which whoever lost it asks for what came after."""

    id: str
    event: Event


class Listener:
    """Somebody who waits for news, in an event loop of theirs."""

    def __init__(self) -> None:
        self._loop, self._woken = asyncio.get_running_loop(), asyncio.Event()

    def wake(self) -> None:
        """There is news; from any thread."""
        with suppress(RuntimeError):  # their loop is closed: they are gone
            self._loop.call_soon_threadsafe(self._woken.set)

    async def wait(self, seconds: float) -> bool:
        """Whether there is news within so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()
            self._woken.clear()
            return True
        return False


class Feed:
    """What one run told while this process drove it, by numbers that no other event has."""

    def __init__(self, numbers: Iterator[int]) -> None:
        self.listeners: set[Listener] = set()
        self._lock, self._numbers = threading.Lock(), numbers
        self._events: deque[tuple[int, Event]] = deque(maxlen=_KEPT)

    def add(self, event: Event) -> None:
        """Keep an event for those who listen."""
        with self._lock:
            self._events.append((next(self._numbers), event))
        self.wake()

    def since(self, number: int) -> list[tuple[int, Event]]:
        """The events after this one, as far as they are kept."""
        with self._lock:
            return [one for one in self._events if one[0] > number]

    def wake(self) -> None:
        for listener in list(self.listeners):
            listener.wake()


class Feeds:
    """The feeds of all runs. The ids of their events are good until the process ends; after that all is told anew."""

    def __init__(self) -> None:
        self._serial, self._lock = secrets.token_hex(4), threading.Lock()
        self._feeds: OrderedDict[str, Feed] = OrderedDict()
        self._numbers = count(1)
        """Of all feeds: whoever comes back to one that was forgotten meanwhile has heard nothing of the new one."""

    def of(self, run: str) -> Feed:
        """The feed of this run."""
        with self._lock:
            feed = self._feeds.setdefault(run, Feed(self._numbers))
            self._feeds.move_to_end(run)
            if len(self._feeds) > _FEEDS:
                idle = (name for name, one in self._feeds.items() if not one.listeners and one is not feed)
                self._feeds.pop(next(idle, ""), None)
            return feed

    def id_of(self, number: int) -> str:
        return f"{self._serial}-{number}"

    def number_of(self, id_: str) -> int:
        """The number in an id; 0 if that is not one of this process."""
        serial, _, number = id_.partition("-")
        return int(number) if serial == self._serial and number.isdecimal() and len(number) < 18 else 0

    @contextmanager
    def listening(self, run: str) -> Iterator[tuple[Feed, Listener]]:
        """Its feed, and how somebody hears that there is something new in it."""
        feed, listener = self.of(run), Listener()
        feed.listeners.add(listener)
        try:
            yield feed, listener
        finally:
            feed.listeners.discard(listener)

    def wake(self, runs: tuple[str, ...]) -> None:
        """Of these runs there may be something new in the ledger."""
        with self._lock:
            names = list(self._feeds) if runs == ALL else [run.partition(".")[0] for run in runs]
            found = [self._feeds[name] for name in names if name in self._feeds]
        for feed in found:
            feed.wake()
