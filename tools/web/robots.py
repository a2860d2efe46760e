"""robots.txt (RFC 9309): what a host lets robots fetch, and how often; and a pause between requests to one host."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from signoff.errors import AddressRefused, PageRefused
from signoff.tools.web.request import ROBOT, Reply

if TYPE_CHECKING:
    from httpx2 import URL
    from protego import Protego

MOST_BYTES: Final = 512 * 1024
"""Of a robots.txt that are read; the RFC asks for 500 KiB at least."""
MOST_REDIRECTS: Final = 5
_KEPT_SECONDS, _FAILURE_KEPT_SECONDS = 24 * 3600.0, 60.0
_MOST_ORIGINS = 500

Ask = Callable[["URL"], Awaitable[Reply]]
"""Asks for an address once, checked like any other."""
Clock = Callable[[], float]
"""Seconds that only ever grow."""


@dataclass(frozen=True)
class Rules:
    """What the robots.txt of one origin says."""

    file: Protego | None
    """None: there is none, and everything is allowed."""
    problem: str = ""
    """Why it could not be had, and nothing is allowed."""
    until: float = 0.0

    def refusal(self, url: URL) -> str:
        """Why an address is not fetched; empty if it may be."""
        if self.problem:
            return f"the robots.txt of {url.host!r} cannot be had ({self.problem}), so nothing is fetched there now"
        if self.file is not None and not self.file.can_fetch(str(url), ROBOT):
            return f"the robots.txt of {url.host!r} does not allow robots to fetch it; look for another page"
        return ""

    @property
    def delay(self) -> float:
        """Seconds between two requests that it asks for; 0 if it asks for none."""
        return float(self.file.crawl_delay(ROBOT) or 0.0) if self.file is not None else 0.0


class Robots:
    """The rules of each origin, asked for once a day. Threads may share it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._rules: OrderedDict[tuple[str, bytes, int | None], Rules] = OrderedDict()
        self._lock = threading.Lock()

    async def rules_for(self, url: URL, ask: Ask) -> Rules:
        """The rules for an address, from memory or by asking its origin."""
        origin = (url.scheme, url.raw_host, url.port)
        with self._lock:
            known = self._rules.get(origin)
        if known is not None and self._clock() < known.until:
            return known
        rules = await self._ask(url.copy_with(raw_path=b"/robots.txt", fragment=None), ask)
        with self._lock:
            self._rules[origin] = rules
            self._rules.move_to_end(origin)
            while len(self._rules) > _MOST_ORIGINS:
                self._rules.popitem(last=False)
        return rules

    async def _ask(self, url: URL, ask: Ask) -> Rules:
        """Not found is leave to fetch; an error of the server, too many requests, or no answer is none."""
        import httpx2
        from protego import Protego

        place = url
        try:
            reply = await ask(place)
            for _ in range(MOST_REDIRECTS):
                if not reply.location:
                    break
                place = place.join(reply.location)
                reply = await ask(place)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            return self._failed(" ".join(str(error).split())[:200] or type(error).__name__)
        except (AddressRefused, PageRefused) as error:
            if place == url and isinstance(error, AddressRefused):
                raise  # the page itself lies there
            return self._failed(error.problem)
        if reply.status >= 500 or reply.status == 429:
            return self._failed(f"{reply.status} {reply.reason}".strip())
        if not 200 <= reply.status < 300:
            return Rules(None, until=self._clock() + _KEPT_SECONDS)
        text = reply.raw.decode("utf-8", "replace").removeprefix("\ufeff")
        if len(reply.raw) >= MOST_BYTES:
            text = text.rpartition("\n")[0]
        return Rules(Protego.parse(text), until=self._clock() + _KEPT_SECONDS)

    def _failed(self, problem: str) -> Rules:
        return Rules(None, problem, self._clock() + _FAILURE_KEPT_SECONDS)


class Pace:
    """When each host may be asked next. Threads may share it."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._next: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def turn(self, host: bytes, pause: float) -> float:
        """Take the next turn of a host; the seconds to wait for it."""
        with self._lock:
            now = self._clock()
            at = max(now, self._next.get(host, now))
            self._next[host] = at + pause
            self._next.move_to_end(host)
            while len(self._next) > _MOST_ORIGINS:
                self._next.popitem(last=False)
            return at - now
