"""HTTP to model endpoints: one bounded pool of connections for each event loop and endpoint of the process."""

from __future__ import annotations

import asyncio
import atexit
import os
import ssl
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, Final
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from signoff.agents.models.openai.errors import dropped, malformed, rejected, timed_out

MOST_BYTES: Final = 32 * 1024 * 1024
"""A longer answer is not read to its end."""
MOST_CONNECTIONS: Final = 1000
_MOST_MOVES: Final = 5
_SPARE_FILES = 256  # of those that the process may have open: databases, documents, other programs' sockets


@dataclass(frozen=True)
class Request:
    """A request that is ready to be sent."""

    url: URL
    headers: Mapping[str, str]
    body: bytes
    timeout: aiohttp.ClientTimeout
    """Its total runs from the moment that the request has its turn."""
    proxy: str | None = None
    """Address of a proxy; None is the one that the environment names for this address, if any."""


async def fetch(request: Request) -> tuple[int, Mapping[str, str], bytes]:
    """Status, headers and body of the answer; openai.APIError if there is none, or for a status of 300 and above."""
    async with open_response(request) as response:
        with translated(request):
            return response.status, response.headers, await _read_body(request, response)


@asynccontextmanager
async def open_response(request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
    """The answer once its head is there, its body still to be read; errors as those of `fetch`."""
    async with AsyncExitStack() as stack:
        with translated(request):
            response = await stack.enter_async_context(_sent(request))
            body = await _read_body(request, response) if response.status >= 300 else b""
        if response.status >= 300:
            raise rejected(request.url, response.status, response.headers, body)
        yield response


@contextmanager
def translated(request: Request) -> Iterator[None]:
    """Trouble of the transport as the exceptions of `ChatOpenAI`."""
    try:
        yield
    except TimeoutError as error:
        raise timed_out(request.url) from error
    except (aiohttp.ClientPayloadError, aiohttp.ClientResponseError) as error:
        if isinstance(error, aiohttp.ClientHttpProxyError):
            raise dropped(request.url, f"The proxy does not connect: {error.status} {error.message}.") from error
        encoded = next((each for each in (error, error.__cause__) if isinstance(each, ContentEncodingError)), None)
        if encoded is None and isinstance(error, aiohttp.ClientPayloadError):
            raise dropped(request.url, "Connection error: the answer broke off.") from error
        problem = "it is no HTTP" if encoded is None else "it is not encoded as it says"
        raise malformed(request.url, 200, {}, "", problem) from error
    except (aiohttp.ClientError, OSError) as error:
        raise dropped(request.url, f"Connection error: {error or type(error).__name__}.") from error


@asynccontextmanager
async def _sent(request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
    pool = await _pool_for(request.url)
    async with pool.places, AsyncExitStack() as stack:  # a call that waits its turn has not begun: no time-out runs
        url = request.url
        for moves in range(_MOST_MOVES + 1):
            response = await stack.enter_async_context(
                pool.session.post(
                    url,
                    data=request.body,
                    headers=request.headers,
                    timeout=request.timeout,
                    proxy=request.proxy or pool.proxy,
                    allow_redirects=False,
                )
            )
            target = moved_within(response)
            if target is None or moves == _MOST_MOVES:
                break
            response.release()
            url = target
        yield response


def moved_within(response: aiohttp.ClientResponse) -> URL | None:
    """Where the same server wants the request; None if it wants none, or another should get prompt and key."""
    said = response.headers.get("Location")
    if response.status not in (301, 302, 307, 308) or not said:
        return None
    try:
        target = response.url.join(URL(said))
    except ValueError:
        return None
    if target.user is not None or target.password is not None:  # the key would be replaced by what the answer says
        return None
    ends = [(url.host, None if url.is_default_port() else url.port) for url in (response.url, target)]
    return target if ends[0] == ends[1] and target.scheme in (response.url.scheme, "https") else None


async def _read_body(request: Request, response: aiohttp.ClientResponse) -> bytes:
    """The whole body, piece by piece as it comes, so that a long one does not hold up the event loop."""
    pieces: list[bytes] = []
    size = 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > MOST_BYTES:  # longer than any model's answer: reading it would only fill the memory
            raise malformed(request.url, 200, {}, "", f"The answer is longer than {MOST_BYTES:,} bytes.")
        pieces.append(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


@dataclass(frozen=True)
class _Pool:
    """The connections of one event loop to one endpoint."""

    session: aiohttp.ClientSession
    places: asyncio.Semaphore
    proxy: str | None


class _Pools:
    """The pools of one event loop."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.by_origin: dict[tuple[str, str | None, int | None], _Pool] = {}
        # The loop ends its asynchronous generators before it is closed: that is when the connections are closed.
        self.end: AsyncGenerator[None, None] = self._close_at_the_end()

    async def pool(self, url: URL) -> _Pool:
        """The pool for this address."""
        origin = (url.scheme, url.host, url.port)
        if origin not in self.by_origin:
            # Certificates lie in files, and files are not read in an event loop.
            named = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
            trusted = await asyncio.to_thread(_trusted, *named) if url.scheme == "https" else True
            if origin not in self.by_origin:  # another call may have been faster
                connector = aiohttp.TCPConnector(limit=0, ssl=trusted)
                # No cookies: calls with different keys share the connections.
                session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar())
                self.by_origin[origin] = _Pool(session, asyncio.Semaphore(most_connections()), _proxy_for(url))
        return self.by_origin[origin]

    async def _close_at_the_end(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            with _opening:
                _open.pop(asyncio.get_running_loop(), None)
            for pool in self.by_origin.values():
                await pool.session.close()
            await asyncio.sleep(0)  # transports are closed one turn of the loop later

    def abandon(self) -> None:
        """Close them without their loop, which is closed already, so that nothing there has to be waited for."""
        for pool in self.by_origin.values():
            with suppress(StopIteration):
                pool.session.close().send(None)


_opening = threading.Lock()
_open: dict[asyncio.AbstractEventLoop, _Pools] = {}


async def _pool_for(url: URL) -> _Pool:
    loop = asyncio.get_running_loop()
    pools = _open.get(loop)
    if pools is None or pools.pid != os.getpid():
        pools = _Pools()
        await anext(pools.end)
        with _opening:
            atexit.unregister(_close_all)
            atexit.register(_close_all)
            for ended in [each for each in _open if each.is_closed()]:
                _open.pop(ended).abandon()
            _open[loop] = pools
    return await pools.pool(url)


def _close_all() -> None:
    """The process ends: close what is still open, such as the pools of loops that run in other threads."""
    with _opening:
        left = list(_open.items())
        _open.clear()
    for loop, pools in left:
        if pools.pid != os.getpid():
            loop.set_exception_handler(_say_nothing)  # a fork's parent goes on with them: to close them would harm it
            continue
        if loop.is_closed():
            pools.abandon()
            continue
        closing = pools.end.aclose()
        with suppress(TimeoutError, RuntimeError):  # the loop may stop at this very moment
            if loop.is_running():
                asyncio.run_coroutine_threadsafe(closing, loop).result(1)
            else:
                loop.run_until_complete(closing)


def _say_nothing(_loop: asyncio.AbstractEventLoop, _context: dict[str, Any]) -> None:
    """No complaint about connections that are not this process's to close."""


def _proxy_for(url: URL) -> str | None:
    """The proxy that the environment names for an address."""
    if not url.host or proxy_bypass(url.host):
        return None
    proxies = getproxies()
    return proxies.get(url.scheme) or proxies.get("all")


@lru_cache(maxsize=4)
def _trusted(file: str | None, folder: str | None) -> ssl.SSLContext:
    """Whom to trust: the named certificates, else the system's and those that come with Python packages."""
    if file or folder:
        return ssl.create_default_context(cafile=file, capath=folder)
    context = ssl.create_default_context()
    if find_spec("certifi") is not None:
        import certifi

        context.load_verify_locations(certifi.where())
    return context


def most_connections() -> int:
    """As many as the process may have open files, and some to spare."""
    try:
        import resource
    except ImportError:  # Windows
        return MOST_CONNECTIONS // 2
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(64, min(MOST_CONNECTIONS, soft - _SPARE_FILES))
