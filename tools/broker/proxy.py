"""The proxy: reads requests of tools, asks whether they may be made, and passes on what comes back."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hmac
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import h11

from signoff.tools.broker.admission import Admission, Denied, Header, Target, read_target, read_tunnel
from signoff.tools.broker.broker import token_of
from signoff.tools.broker.scrubber import Scrubber
from signoff.tools.broker.secrets_file import Bounds
from signoff.tools.broker.upstream import Answer, TooMuch, Upstream, open_tunnel

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


@dataclass(frozen=True)
class Visit:
    """Who asks for what."""

    tool: str = ""
    method: str = ""
    target: Target | None = None


class Proxy:
    """What all connections share."""

    def __init__(
        self, *, admission: Admission, scrubber: Scrubber, journal: Journal, bounds: Bounds, key: bytes
    ) -> None:
        self.admission, self.bounds = admission, bounds
        self.upstream = Upstream(scrubber, bounds)
        self._scrubber, self._journal, self._key = scrubber, journal, key
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

    def note(self, visit: Visit, status: int, secret: str = "") -> None:
        """Write down a request."""
        host = visit.target.host if visit.target else ""
        path = self._scrubber.clean_text(visit.target.path) if visit.target else ""
        self._journal.write(tool=visit.tool, method=visit.method, host=host, path=path, status=status, secret=secret)


class _Connection:
    def __init__(self, proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tool: str) -> None:
        self._proxy, self._reader, self._writer, self._tool = proxy, reader, writer, tool
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEADERS)
        self._visit = Visit(tool)
        self._held = 0

    async def serve(self) -> None:
        """Take one request after the other, until one of us hangs up."""
        while True:
            self._visit = Visit(self._tool)
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
        method = request.method.decode("ascii")
        headers = tuple(
            (name.decode("ascii"), value.decode("utf-8", "replace")) for name, value in request.headers.raw_items()
        )
        self._visit = Visit(self._tool, method)
        self._visit = replace(self._visit, tool=self._tool or self._proxy.tool_of(headers))
        names = {name.lower() for name, _ in headers}
        if {"content-length", "transfer-encoding"} <= names:
            raise Denied("the request says its length in two ways", 400)
        address = request.target.decode("ascii")
        if method == "CONNECT":
            self._visit = replace(self._visit, target=read_tunnel(address))
            await self._connect()
        else:
            self._visit = replace(self._visit, target=read_target(address))
            await self._exchange(headers)

    async def _exchange(self, headers: Sequence[Header]) -> None:
        visit = self._visit
        assert visit.target is not None
        grant = self._proxy.admission.admit(visit.tool, visit.method, visit.target, headers)
        body = await self._body()
        async with self._proxy.upstream.send(visit.method, grant, body) as answer:
            head = _head(answer)
            self._proxy.note(visit, answer.status, grant.secret)
            await self._send(head)
            async for chunk in answer.content:
                await self._send(h11.Data(data=chunk))
            await self._send(h11.EndOfMessage())

    async def _body(self) -> bytes:
        """What is sent with the request."""
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

    async def _connect(self) -> None:
        """Pass bytes to and fro, which nobody looks at."""
        visit = self._visit
        assert visit.target is not None
        door = self._proxy.admission.open_door(visit.tool, visit.target)
        reader, writer = await open_tunnel(door)
        try:
            await self._next()  # the end of the request
            self._proxy.note(visit, 200)
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
        """The next thing that whoever asks says."""
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
        self._proxy.note(self._visit, denied.status)
        if self._wire.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self._writer.transport.abort()
            return
        reason = "".join(mark if mark.isascii() and mark.isprintable() else "?" for mark in denied.reason)
        text = f"Refused by the broker: {reason}.\n".encode()  # "secrets: …" would be redacted as one
        headers = [("Content-Type", "text/plain"), ("Content-Length", str(len(text))), (MARK, "refused")]
        if denied.status == 407:
            headers.append(("Proxy-Authenticate", 'Basic realm="signoff"'))
        said = f"Refused by the broker: {reason}".encode()
        await self._send(
            h11.Response(status_code=denied.status, headers=[*headers, ("Connection", "close")], reason=said)
        )
        await self._send(h11.Data(data=b"" if self._visit.method == "HEAD" else text))
        await self._send(h11.EndOfMessage())
        # What is still being sent must be read, or the system takes the answer back with it.
        self._writer.write_eof()
        with suppress(TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                while await self._reader.read(_CHUNK):
                    pass


def _head(answer: Answer) -> h11.Response:
    """The beginning of an answer; Denied if it cannot be passed on."""
    try:
        headers = [(name.encode("ascii"), value.encode("utf-8", "surrogateescape")) for name, value in answer.headers]
        return h11.Response(status_code=answer.status, headers=headers)
    except (h11.LocalProtocolError, UnicodeEncodeError):
        raise Denied("the answer is no HTTP", 502) from None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: float) -> None:
    size = 0
    while chunk := await reader.read(_CHUNK):
        size += len(chunk)
        if size > most:
            raise TooMuch
        writer.write(chunk)
        await writer.drain()
    writer.write_eof()


MOST_BYTES: Final = 1_000_000
"""Size at which the file becomes `broker.log.1`, in place of the one before."""
_LONGEST: Final = 500


class Journal:
    """A file of JSON lines that only its owner may read. Several brokers may write to one."""

    def __init__(self, path: Path, most_bytes: int = MOST_BYTES) -> None:
        self.path, self._most = path, most_bytes

    def write(self, **facts: str | int) -> None:
        """Add a line; long texts are cut."""
        told = {key: fact[:_LONGEST] if isinstance(fact, str) else fact for key, fact in facts.items()}
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"at": at, **told}, ensure_ascii=True) + "\n"
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        handle = os.open(self.path, flags, 0o600)
        try:
            os.write(handle, line.encode())
            size = os.fstat(handle).st_size
        finally:
            os.close(handle)
        if size > self._most:
            os.replace(self.path, self.path.with_name(f"{self.path.name}.1"))
