"""One request for a page: to a checked number, with limits on time, size, type and encoding; nothing is followed."""

from __future__ import annotations

import asyncio
import re
import ssl
import threading
import zlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

from signoff.installation import VERSION
from signoff.tools.errors import PageRefused
from signoff.tools.web.addresses import Number, is_listed, pin

if TYPE_CHECKING:
    from httpx2 import URL, AsyncClient, Response

USER_AGENT: Final = f"signoff/{VERSION}"
"""How every request of ours names itself."""
ROBOT: Final = "signoff"
"""The name that a robots.txt may address us by."""

_TEXT = ("text/", "application/json", "application/xml", "application/xhtml+xml")
_CONNECT_SECONDS = 5.0
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+")
_PORTS = {"http": 80, "https": 443}
_LONGEST_ADDRESS = 2000


@dataclass(frozen=True, kw_only=True)
class Reach:
    """How far fetching goes."""

    hosts: tuple[str, ...] = ("*",)
    """Hosts that may be fetched from, as names or patterns such as `*.example.org`."""
    private: tuple[str, ...] = ()
    """Hosts that may lie inside a network and listen on any port, as names or patterns."""
    most_bytes: int = 2_000_000
    """Of a page once it is unpacked."""
    seconds: float = 20.0
    """For one page, with its redirects and its host's robots.txt."""
    redirects: int = 5
    pause: float = 1.0
    """Seconds between two requests to one host."""


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a server answered."""

    status: int
    reason: str
    location: str
    """Where it sends us; empty unless it is a redirect."""
    content_type: str
    encoding: str
    """Of its characters, as the server says; may be empty."""
    raw: bytes
    """Its body, unpacked; empty for redirects and errors."""


def check(address: str, reach: Reach) -> URL:
    """The address if its form, scheme, host and port are among those that are fetched; PageRefused otherwise."""
    import httpx2

    if len(address) > _LONGEST_ADDRESS:
        raise PageRefused(f"an address has at most {_LONGEST_ADDRESS} characters")
    try:
        url = httpx2.URL(address)
    except (httpx2.InvalidURL, ValueError) as error:
        raise PageRefused(f"{address!r} is no address: {error}") from error
    host = url.raw_host.decode("ascii", "replace")
    if url.scheme not in _PORTS or not _HOST.fullmatch(host):
        raise PageRefused(f"{address!r} is not an http:// or https:// address")
    if url.userinfo:
        raise PageRefused("an address with a user name in it is not fetched")
    if url.port not in (None, 80, 443) and not is_listed(host, reach.private):
        raise PageRefused(f"port {url.port} is not fetched from, only the usual 80 and 443")
    if not is_listed(host, reach.hosts):
        raise PageRefused(f"{host!r} is not among the hosts that may be fetched from ({', '.join(reach.hosts)})")
    return url.copy_with(fragment=None)


async def get(client: AsyncClient, url: URL, reach: Reach, *, any_type: bool = False, most: int = 0) -> Reply:
    """Ask once. AddressRefused and PageRefused say why not; a lost or slow connection is an httpx2.HTTPError.

    With `most` a longer body is cut there, else it is refused from `reach.most_bytes` on.
    """
    import httpx2

    numbers = await _pinned(url, reach)
    headers = {"Host": url.netloc.decode("ascii")}
    for place, number in enumerate(numbers, 1):
        pinned = url.copy_with(host=str(number))
        # The certificate is checked against the name, not the number.
        asked = client.stream(
            "GET", pinned, headers=headers, extensions={"sni_hostname": url.raw_host.decode("ascii").rstrip(".")}
        )
        try:
            async with asked as response:
                return await _read(response, reach, any_type=any_type, most=most)
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            if place == len(numbers):
                raise
    raise AssertionError("a host has at least one number")


@cache
def trusted() -> ssl.SSLContext:
    """The certificates that are trusted; reading them takes longer than many a page."""
    import httpx2

    return httpx2.create_ssl_context()


def open_client(reach: Reach) -> AsyncClient:
    """A client that follows nothing by itself, keeps no cookies of others, and takes no proxy, which looks up names."""
    import httpx2

    headers = {
        "User-Agent": USER_AGENT,
        "Accept": "text/html,text/*;q=0.9,application/json;q=0.8",
        "Accept-Encoding": "gzip, deflate",
    }
    timeout = httpx2.Timeout(reach.seconds, connect=_CONNECT_SECONDS)
    return httpx2.AsyncClient(
        follow_redirects=False, trust_env=False, timeout=timeout, headers=headers, verify=trusted()
    )


async def _pinned(url: URL, reach: Reach) -> Sequence[Number]:
    """The numbers of the host, looked up in a thread that nobody waits for once time is up."""
    found: Future[Sequence[Number]] = Future()
    port = url.port or _PORTS[url.scheme]

    def look() -> None:
        if not found.set_running_or_notify_cancel():
            return
        try:
            found.set_result(pin(url.raw_host.decode("ascii"), port, private=reach.private))
        except BaseException as error:  # it goes to whoever waits
            found.set_exception(error)

    threading.Thread(target=look, daemon=True, name="signoff lookup").start()
    return await asyncio.wrap_future(found)


async def _read(response: Response, reach: Reach, *, any_type: bool, most: int) -> Reply:
    kind = response.headers.get("content-type", "text/html").partition(";")[0].strip().lower()
    is_page = 200 <= response.status_code < 300
    if is_page and not any_type and not (kind.startswith(_TEXT) or kind.endswith(("+json", "+xml"))):
        raise PageRefused(f"it is {kind}, not text")
    return Reply(
        status=response.status_code,
        reason=response.reason_phrase,
        location=response.headers.get("location", "") if response.is_redirect else "",
        content_type=kind,
        encoding=response.charset_encoding or "",
        raw=await _body(response, most or reach.most_bytes, cut=bool(most)) if is_page else b"",
    )


async def _body(response: Response, most: int, *, cut: bool) -> bytes:
    """The body, unpacked as far as it is wanted: a small body may unpack to a very large one."""
    coding = response.headers.get("content-encoding", "").strip().lower()
    if coding not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise PageRefused(f"it is packed as {coding!r}, which was not asked for")
    packed = None if coding in ("", "identity") else zlib.decompressobj(31 if "gzip" in coding else 15)
    raw = bytearray()
    async for chunk in response.aiter_raw():
        left = most + 1 - len(raw)
        try:
            raw += packed.decompress(chunk, left) if packed else chunk[:left]
        except zlib.error as error:
            raise PageRefused(f"it is not {coding}, although it says so") from error
        if packed and packed.eof:  # nothing that follows belongs to it
            break
        if len(raw) > most:
            if cut:
                return bytes(raw[:most])
            raise PageRefused(f"it has more than {most / 1e6:g} MB")
    return bytes(raw)
