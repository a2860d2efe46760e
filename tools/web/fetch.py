"""A page by its address: every redirect checked like the first address, as robots.txt allows, within one time limit."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeVar

from signoff.concurrency import run
from signoff.tools.errors import AddressRefused, PageRefused
from signoff.tools.web.request import ROBOT, Reach, Reply, check, get, open_client

if TYPE_CHECKING:
    from httpx2 import URL, AsyncClient
    from protego import Protego

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """A page as a server gave it."""

    address: str
    """Where it was found in the end."""
    content_type: str
    encoding: str
    raw: bytes


class Fetcher:
    """Fetches public pages politely. Threads may share it; it remembers robots.txt and when each host was asked."""

    def __init__(self, reach: Reach | None = None) -> None:
        self.reach = reach or Reach()
        self._robots = Robots()
        self._pace = Pace()

    def fetch(self, address: str) -> Fetched:
        import httpx2

        try:
            return run(self._fetch(address.strip()))
        except TimeoutError as error:
            raise PageRefused(f"it takes longer than {self.reach.seconds:g} seconds") from error
        except AddressRefused as error:
            raise PageRefused(f"{error.host!r}: {error.problem}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise PageRefused(" ".join(str(error).split())[:300] or type(error).__name__) from error

    async def _fetch(self, address: str) -> Fetched:
        async with asyncio.timeout(self.reach.seconds), open_client(self.reach) as client:
            url = check(address, self.reach)
            for _ in range(self.reach.redirects + 1):
                got = await self._ask_politely(url, client)
                if got.location:
                    url = check(str(url.join(got.location)), self.reach)
                    continue
                if not 200 <= got.status < 300:
                    raise PageRefused(f"{str(url)!r} answers {got.status} {got.reason}".rstrip())
                return Fetched(address=str(url), content_type=got.content_type, encoding=got.encoding, raw=got.raw)
        raise PageRefused(f"there are more than {self.reach.redirects} redirects from {address!r}")

    async def _ask_politely(self, url: URL, client: AsyncClient) -> Reply:
        """Ask for a page that the host's robots.txt allows, when the host was left alone for a while."""

        async def ask(robots: URL) -> Reply:
            return await get(client, check(str(robots), self.reach), self.reach, any_type=True, most=MOST_BYTES)

        rules = await self._robots.rules_for(url, ask)
        if refusal := rules.refusal(url):
            raise PageRefused(refusal)
        pause = max(self.reach.pause, rules.delay)
        if pause > self.reach.seconds:
            raise PageRefused(f"{url.host!r} wants {pause:g} seconds between two requests, more than a page may take")
        await asyncio.sleep(self._pace.turn(url.raw_host, pause))
        return await get(client, url, self.reach)


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
            for _ in range(MOST_REDIRECTS + 1):
                reply = await ask(place)
                if not reply.location:
                    break
                place = place.join(reply.location)
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
