"""The way out: requests with their credentials, to addresses that were looked at, and answers without secrets."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from urllib.parse import urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from signoff.errors import AddressRefused
from signoff.tools.broker.admission import Denied, Door, Grant, Header
from signoff.tools.broker.scrubber import Scrubber
from signoff.tools.broker.secrets_file import Bounds
from signoff.tools.storage.atomic import explain
from signoff.tools.web.addresses import pin

_CODINGS = frozenset({"", "identity", "gzip", "deflate"})
"""Codings of a content that are undone here, one at most."""
_OF_THE_CONNECTION = frozenset(
    "connection content-encoding content-length keep-alive proxy-authenticate proxy-connection te trailer "
    "transfer-encoding upgrade alt-svc".split()
)
_CONNECT_SECONDS = 30.0
_MOST_HEADERS = 65_536


class TooMuch(Exception):
    """An answer is larger than it may be; it has begun already, so it is cut off."""


@dataclass(frozen=True)
class Answer:
    """What a server answers: its content arrives while it is read."""

    status: int
    headers: tuple[Header, ...]
    content: AsyncIterator[bytes]


class Upstream:
    """Makes requests. What a name stands for is looked up once, checked, and connected to."""

    def __init__(self, scrubber: Scrubber, bounds: Bounds) -> None:
        self._scrubber, self._bounds = scrubber, bounds
        self._sessions = {private: self._session(private=private) for private in (False, True)}

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    @asynccontextmanager
    async def send(self, method: str, grant: Grant, body: bytes) -> AsyncIterator[Answer]:
        """The answer to a request; Denied if it is not to be had."""
        where = urlsplit(grant.url)
        try:
            await find_numbers(where.hostname or "", where.port or 0, private=grant.rule.private)
            request = self._sessions[grant.rule.private].request(
                method,
                URL(grant.url, encoded=True),
                headers=grant.headers,
                data=body or None,
                allow_redirects=False,
                skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
            )
            async with request as response:
                if not _is_readable(response):
                    raise Denied("the answer is coded in a way that secrets could not be found in", 502)
                yield Answer(response.status, self._headers(response, grant), self._content(response))
        except AddressRefused as error:
            raise Denied(error.problem) from None
        except aiohttp.ClientConnectorCertificateError:
            raise Denied(f"{where.hostname} has no certificate that can be trusted", 502) from None
        except aiohttp.ClientConnectorError as error:
            problem = error.strerror or type(error.os_error).__name__
            raise Denied(f"no connection to {where.hostname}: {problem.lower()}", 502) from None
        except TimeoutError:
            raise Denied(f"{where.hostname} took more than {self._bounds.seconds:g} s", 504) from None
        except (aiohttp.ClientError, ValueError) as error:  # its text may hold what was sent or answered
            raise Denied(f"{where.hostname} gave no usable answer ({type(error).__name__})", 502) from None

    def _headers(self, response: aiohttp.ClientResponse, grant: Grant) -> tuple[Header, ...]:
        # A session that was opened with a secret is one as well.
        dropped = _OF_THE_CONNECTION | ({"set-cookie", "set-cookie2"} if grant.secret else frozenset())
        if response.method == "HEAD":
            dropped -= {"content-length"}  # no content follows that could become longer or shorter
        return tuple(
            (name, self._scrubber.clean_text(value))
            for name, value in response.headers.items()
            if name.lower() not in dropped
        )

    async def _content(self, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        stream, size = self._scrubber.stream(), 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._bounds.megabytes * 1e6:
                raise TooMuch
            if passed := stream.feed(chunk):
                yield passed
        if rest := stream.finish():
            yield rest

    def _session(self, *, private: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(resolver=_Checked(private=private), use_dns_cache=False, ssl=_trusted()),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=self._bounds.seconds, connect=_CONNECT_SECONDS),
            max_field_size=_MOST_HEADERS,
            max_line_size=_MOST_HEADERS,
            trust_env=False,
        )


class _Checked(AbstractResolver):
    """Resolves a name to numbers that may be reached."""

    def __init__(self, *, private: bool) -> None:
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        numbers = await find_numbers(host, port, private=self._private)
        families = {number: socket.AF_INET6 if ":" in number else socket.AF_INET for number in numbers}
        return [
            ResolveResult(hostname=host, host=number, port=port, family=own, proto=0, flags=socket.AI_NUMERICHOST)
            for number, own in families.items()
            if family in (socket.AF_UNSPEC, own)
        ]

    async def close(self) -> None:
        """Nothing is kept."""


async def open_tunnel(door: Door) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to where a tunnel leads; Denied if there is none."""
    problem = ""
    try:
        for number in await find_numbers(door.host, door.port, private=door.rule.private):
            try:
                return await asyncio.wait_for(asyncio.open_connection(number, door.port), _CONNECT_SECONDS)
            except OSError as error:  # TimeoutError, too
                problem = explain(error)
    except AddressRefused as error:
        raise Denied(error.problem) from None
    raise Denied(f"no connection to {door.host}: {problem}", 502)


async def find_numbers(host: str, port: int, *, private: bool) -> list[str]:
    """The numbers of a host that may be connected to; AddressRefused if they may not."""
    look = partial(pin, host, port, private=("*",) if private else ())
    return [str(number) for number in await asyncio.to_thread(look)]


def _is_readable(response: aiohttp.ClientResponse) -> bool:
    """Whether its content is seen as it is: neither coded in a way that is not undone here, nor on its way."""
    codings = response.headers.getall("Content-Encoding", [])
    ways = response.headers.getall("Transfer-Encoding", [])
    return (
        len(codings) <= 1
        and all(coding.strip().lower() in _CODINGS for coding in codings)
        and all(way.strip().lower() == "chunked" for way in ways)
    )


def _trusted() -> ssl.SSLContext:
    """Whom to trust: the certificates that the environment names, else the system's and those of certifi."""
    file, folder = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    context = ssl.create_default_context(cafile=file, capath=folder)
    if not file and not folder and find_spec("certifi") is not None:
        import certifi

        context.load_verify_locations(certifi.where())
    return context
