"""The proxy: what tools ask for is admitted or refused, made with its secret, and answered without that secret.

An answer to a request that was given no secret passes as it is: whatever would be taken out of it, or held back, would
tell who asked that it is a secret.

It is longer than most files, as a request goes through all of it: in, out to a checked address, and back.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.util import find_spec
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import h11
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from signoff.tools.broker.admission import Admission, Denied, Grant, Header, Target, read_target, read_tunnel
from signoff.tools.broker.broker import token_of
from signoff.tools.broker.scrubber import Scrubber
from signoff.tools.broker.secrets_file import Bounds, SecretsFile, headers_listed
from signoff.tools.errors import AddressRefused
from signoff.tools.storage.atomic import explain
from signoff.tools.web.addresses import pin

MARK: Final = "X-Signoff-Broker"
"""A header of answers that come from the broker itself."""
_IDLE_SECONDS: Final = 120.0
_LEAVE_SECONDS: Final = 2.0
_CHUNK: Final = 65_536
_MOST_HEADERS: Final = 65_536
_BODIES: Final = 4
"""All requests together may have so many times the content of the largest: a sandboxed program may make many."""
_GONE: Final = (ConnectionError, TimeoutError, h11.LocalProtocolError)
"""What happens when whoever asked hangs up."""
_CODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})
"""Codings of a content that are undone here, one at most."""
_CONNECT_SECONDS: Final = 30.0

Journal = Callable[..., None]
"""Writes a request down, as facts by their names."""


class TooMuch(Exception):
    """An answer is larger than it may be; it has begun already, so it is cut off."""


class Proxy:
    """What all connections share."""

    def __init__(self, *, secrets: SecretsFile, values: dict[str, str], journal: Journal, key: bytes) -> None:
        self.admission, self.bounds = Admission(secrets, values), secrets.limits
        self.upstream = Upstream(values, self.bounds)
        self._all, self._journal, self._key = Scrubber(values.values()), journal, key
        self._held = 0

    @property
    def most_bytes(self) -> float:
        """Bytes of one content, either way."""
        return self.bounds.megabytes * 1e6

    def hold(self, size: int) -> None:
        """So many more bytes of requests are held, or less; Denied if they are too many."""
        self._held += size
        if size > 0 and self._held > _BODIES * self.most_bytes:
            raise Denied("too much is being sent at once; send it again later", 503)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tool: str = "") -> None:
        """One connection, to its end. `tool`: who is at the other end; empty where a token has to say so."""
        try:
            await _Connection(self, reader, writer, tool).serve()
        except _GONE:
            writer.transport.abort()
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def tool_of(self, headers: Sequence[Header]) -> str:
        """Whose token a request shows; Denied if it shows none that is right."""
        shown = [value for name, value in headers if name.lower() == "proxy-authorization"]
        scheme, _, coded = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
        try:
            tool, _, token = base64.b64decode(coded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            tool, token = "", ""
        if scheme.lower() != "basic" or not hmac.compare_digest(token.encode(), token_of(self._key, tool).encode()):
            raise Denied("the request shows no right token of a tool", 407)
        return tool

    def note(self, told: dict[str, str], status: int, secret: str = "") -> None:
        path = self._all.clean_text(told["path"])
        self._journal(**told | {"path": path}, status=status, secret=secret)


class _Connection:
    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tool: str) -> None:
        self._proxy, self._reader, self._writer, self._tool = proxy, reader, writer, tool
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEADERS)
        self._told: dict[str, str] = {}
        """What is known of the request so far, for the journal."""
        self._held = 0

    async def serve(self) -> None:
        """Take one request after the other, until one of us hangs up."""
        while True:
            self._told = {"tool": self._tool, "method": "", "host": "", "path": ""}
            try:
                event = await self._next()
                if not isinstance(event, h11.Request):
                    return
                await self._take(event)
            except (Denied, TooMuch, h11.RemoteProtocolError) as error:
                self._let_go()
                await self._refuse(error)
                return
            finally:
                self._let_go()
            if (self._wire.our_state, self._wire.their_state) != (h11.DONE, h11.DONE):
                return
            self._wire.start_next_cycle()

    async def _take(self, request: h11.Request) -> None:
        method = self._told["method"] = request.method.decode("ascii")
        headers = tuple(
            (name.decode("ascii"), value.decode("utf-8", "replace")) for name, value in request.headers.raw_items()
        )
        self._told["tool"] = self._tool or self._proxy.tool_of(headers)
        names = {name.lower() for name, _ in headers}
        if {"content-length", "transfer-encoding"} <= names:
            raise Denied("the request says its length in two ways", 400)
        read = read_tunnel if method == "CONNECT" else read_target
        target = read(request.target.decode("ascii"))
        self._told |= {"host": target.host, "path": target.path}
        if method == "CONNECT":
            await self._connect(target)
        else:
            await self._exchange(target, headers)

    async def _exchange(self, target: Target, headers: Sequence[Header]) -> None:
        method = self._told["method"]
        grant = self._proxy.admission.admit(self._told["tool"], method, target, headers)
        async with self._proxy.upstream.send(method, grant, await self._body()) as (head, content):
            self._proxy.note(self._told, head.status_code, grant.secret)
            await self._send(head)
            async for chunk in content:
                await self._send(h11.Data(data=chunk))
            await self._send(h11.EndOfMessage())

    async def _body(self) -> bytes:
        if self._wire.they_are_waiting_for_100_continue:
            await self._send(h11.InformationalResponse(status_code=100, headers=[]))
        parts = []
        while isinstance(event := await self._next(), h11.Data):
            parts.append(bytes(event.data))
            self._held += len(event.data)
            self._proxy.hold(len(event.data))
            if self._held > self._proxy.most_bytes:
                raise Denied(f"more than {self._proxy.bounds.megabytes:g} MB are not passed on", 413)
        return b"".join(parts)

    def _let_go(self) -> None:
        """What was sent is held no longer."""
        held, self._held = self._held, 0
        self._proxy.hold(-held)

    async def _connect(self, target: Target) -> None:
        """Pass bytes to and fro, which nobody looks at."""
        rule = self._proxy.admission.tunnel_rule(self._told["tool"], target)
        reader, writer = await open_tunnel(target.host, target.port or 0, private=rule.private)
        try:
            await self._next()  # the end of the request
            self._proxy.note(self._told, 200)
            await self._send(h11.Response(status_code=200, headers=[], reason=b"Connected"))
            writer.write(self._wire.trailing_data[0])
            most = self._proxy.most_bytes
            ways = [_pump(self._reader, writer, most), _pump(reader, self._writer, most)]
            tasks = [asyncio.create_task(way) for way in ways]
            _, waiting = await asyncio.wait(
                tasks, timeout=self._proxy.bounds.seconds, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in waiting:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            writer.close()

    async def _next(self) -> h11.Event | type[h11.PAUSED]:
        while (event := self._wire.next_event()) is h11.NEED_DATA:
            async with asyncio.timeout(_IDLE_SECONDS):
                self._wire.receive_data(await self._reader.read(_CHUNK))
        return event  # type: ignore[return-value]  # NEED_DATA is handled above

    async def _send(self, event: h11.Event) -> None:
        raw = self._wire.send(event)
        if raw:
            self._writer.write(raw)
            await self._writer.drain()

    async def _refuse(self, error: Denied | TooMuch | h11.RemoteProtocolError) -> None:
        """Say why, and hang up; an answer that has begun is cut off, so that nobody takes it for whole."""
        denied = error if isinstance(error, Denied) else Denied("the request is no HTTP", 400)
        self._proxy.note(self._told, denied.status)
        if self._wire.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self._writer.transport.abort()
            return
        reason = "".join(mark if mark.isascii() and mark.isprintable() else "?" for mark in denied.reason)
        said = f"Refused by the broker: {reason}".encode()  # "secrets: …" would be redacted as one
        text = said + b".\n"
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text))), (MARK, "refused")]
        if denied.status == 407:
            headers.append(("Proxy-Authenticate", 'Basic realm="signoff"'))
        await self._send(
            h11.Response(status_code=denied.status, headers=[*headers, ("Connection", "close")], reason=said)
        )
        await self._send(h11.Data(data=b"" if self._told["method"] == "HEAD" else text))
        await self._send(h11.EndOfMessage())
        # What is still being sent must be read, or the system takes the answer back with it.
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                while await self._reader.read(_CHUNK):
                    pass


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: float) -> None:
    size = 0
    while chunk := await reader.read(_CHUNK):
        size += len(chunk)
        if size > most:
            raise TooMuch
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


# The way out: to addresses that were looked at


class Upstream:
    """Makes requests. What a name stands for is looked up once, checked, and connected to."""

    def __init__(self, values: dict[str, str], bounds: Bounds) -> None:
        self._scrubbers = {name: Scrubber([value]) for name, value in values.items()}
        self._bounds = bounds
        self._sessions = {private: self._session(private=private) for private in (False, True)}

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()

    @asynccontextmanager
    async def send(
        self, method: str, grant: Grant, body: bytes
    ) -> AsyncIterator[tuple[h11.Response, AsyncIterator[bytes]]]:
        """The answer to a request, whose content arrives while it is read; Denied if it is not to be had."""
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
                yield self._head(response, grant), self._content(response, grant)
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

    def _head(self, response: aiohttp.ClientResponse, grant: Grant) -> h11.Response:
        """The beginning of an answer; Denied if it cannot be passed on."""
        dropped = headers_listed("of_answers", *(["of_answers_to_a_secret"] if grant.secret else []))
        if response.method == "HEAD":
            dropped -= {"content-length"}  # no content follows that could become longer or shorter
        scrubber = self._scrubbers.get(grant.secret)
        try:
            headers = [
                (name.encode("ascii"), scrubber.clean(raw) if scrubber else raw)
                for name, value in response.headers.items()
                if name.lower() not in dropped
                for raw in [value.encode("utf-8", "surrogateescape")]
            ]
            return h11.Response(status_code=response.status, headers=headers)
        except (h11.LocalProtocolError, UnicodeEncodeError):
            raise Denied("the answer is no HTTP", 502) from None

    async def _content(self, response: aiohttp.ClientResponse, grant: Grant) -> AsyncIterator[bytes]:
        stream, size = self._scrubbers[grant.secret].stream() if grant.secret else None, 0
        async for chunk in response.content.iter_any():
            size += len(chunk)
            if size > self._bounds.megabytes * 1e6:
                raise TooMuch
            if passed := stream.feed(chunk) if stream else chunk:
                yield passed
        if stream and (rest := stream.finish()):
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


async def open_tunnel(host: str, port: int, *, private: bool) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A connection to where a tunnel leads; Denied if there is none."""
    problem = ""
    try:
        for number in await find_numbers(host, port, private=private):
            try:
                return await asyncio.wait_for(asyncio.open_connection(number, port), _CONNECT_SECONDS)
            except OSError as error:  # TimeoutError, too
                problem = explain(error)
    except AddressRefused as error:
        raise Denied(error.problem) from None
    raise Denied(f"no connection to {host}: {problem}", 502)


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
