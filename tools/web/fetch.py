"""Fetching: a page by its address, with every redirect checked like the first address, within one time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from signoff.errors import AddressRefused, PageRefused
from signoff.tools.web.request import Reach, Reply, check, get, open_client
from signoff.tools.web.robots import MOST_BYTES, Pace, Robots

if TYPE_CHECKING:
    from httpx2 import URL, AsyncClient

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
        """The page; PageRefused says why not."""
        import httpx2

        try:
            return _wait_for(self._fetch_in_time(address.strip()))
        except TimeoutError as error:
            raise PageRefused(f"it takes longer than {self.reach.seconds:g} seconds") from error
        except AddressRefused as error:
            raise PageRefused(f"{error.host!r}: {error.problem}") from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise PageRefused(" ".join(str(error).split())[:300] or type(error).__name__) from error

    async def _fetch_in_time(self, address: str) -> Fetched:
        async with asyncio.timeout(self.reach.seconds), open_client(self.reach) as client:
            return await self._fetch(address, client)

    async def _fetch(self, address: str, client: AsyncClient) -> Fetched:
        url = check(address, self.reach)
        for _ in range(self.reach.redirects + 1):
            reply = await self._ask_politely(url, client)
            if reply.location:
                url = check(str(url.join(reply.location)), self.reach)
                continue
            if not 200 <= reply.status < 300:
                raise PageRefused(f"{str(url)!r} answers {reply.status} {reply.reason}".rstrip())
            return Fetched(address=str(url), content_type=reply.content_type, encoding=reply.encoding, raw=reply.raw)
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


def _wait_for(work: Coroutine[None, None, T]) -> T:
    """What a coroutine returns, also where an event loop is running in this thread."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, asyncio.run, work).result()
