"""What a run has of the broker of secrets: where it listens, and clients whose requests go through it; no secret."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import os
import secrets as random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote
from weakref import finalize

import httpx2

from signoff.error_base import SettingsError
from signoff.tools.errors import BrokerLost
from signoff.tools.storage.child_environment import forget_variables

if TYPE_CHECKING:
    from signoff.settings import Settings
    from signoff.tools.broker.secrets_file import Listing

LOG: Final = "broker.log"
"""Name of its journal in the home folder."""
SANDBOX: Final = "sandbox"
"""The name of the tool that sandboxed programs are."""
_DYING_SECONDS: Final = 0.2


@dataclass(frozen=True)
class _Started:
    process: subprocess.Popen[str]
    port: int
    doors: Mapping[str, str]
    listing: Listing


class Broker:
    """A process beside this one that holds the secrets of a file. It starts on first use, and ends with this process.

    What it takes out of the environment is gone from `os.environ` then. It starts anew if it was killed.
    """

    def __init__(self, secrets: Path | str, *, home: Path | str = ".signoff") -> None:
        self.secrets = Path(secrets).expanduser().absolute()
        self.log = Path(home).expanduser().absolute() / LOG
        self._key = random.token_bytes(32)
        self._folder = ""
        self._now: _Started | None = None
        self._starting = threading.Lock()

    @classmethod
    def start(cls, secrets: Path | str, *, home: Path | str = ".signoff") -> Broker:
        """A broker that runs already; SettingsError if the file of secrets cannot be used."""
        broker = cls(secrets, home=home)
        broker.ensure()
        return broker

    def __enter__(self) -> Broker:
        self.ensure()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def listing(self) -> Listing:
        return self.ensure().listing

    def has_ended(self) -> bool:
        """Whether its process is gone; a process that is just being killed is waited for."""
        try:
            return self._now is not None and self._now.process.wait(_DYING_SECONDS) is not None
        except subprocess.TimeoutExpired:
            return False

    @property
    def pid(self) -> int:
        return self.ensure().process.pid

    @property
    def door(self) -> Path | None:
        """The unix socket for sandboxed programs; None if the file of secrets gives them no right."""
        return self.door_for(SANDBOX)

    def door_for(self, tool: str) -> Path | None:
        """A unix socket at which this tool needs no token, as nobody else is let to it; None if it has no right."""
        door = self.ensure().doors.get(tool)
        return Path(door) if door else None

    def address(self) -> str:
        """Where it listens: `http://127.0.0.1:PORT`."""
        return f"http://127.0.0.1:{self.ensure().port}"

    def proxy_for(self, tool: str) -> str:
        """The proxy's address with the token of this tool; whoever has it has the rights of the tool."""
        return f"http://{quote(tool, safe='')}:{token_of(self._key, tool)}@127.0.0.1:{self.ensure().port}"

    def environment_for(self, tool: str) -> dict[str, str]:
        """Variables by which a program finds the proxy; for `clean_environment`."""
        proxy = self.proxy_for(tool)
        return dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), proxy)

    def client(self, tool: str, **options: Any) -> httpx2.Client:
        """A client whose requests go through the broker with the rights of this tool; `options` of httpx2.Client."""
        return httpx2.Client(transport=_Through(self, tool), trust_env=False, **options)

    def async_client(self, tool: str, **options: Any) -> httpx2.AsyncClient:
        """The same for `await`."""
        return httpx2.AsyncClient(transport=_AsyncThrough(self, tool), trust_env=False, **options)

    def ensure(self) -> _Started:
        with self._starting:
            if self._now is None or self._now.process.poll() is not None:
                self._now = self._start(again=self._now)
            return self._now

    def close(self) -> None:
        with self._starting:
            now, self._now = self._now, None
            if now is not None:
                _end(now.process, self._folder)

    def _start(self, again: _Started | None) -> _Started:
        from signoff.tools.broker.secrets_file import Listing

        if again is None:
            self.log.parent.mkdir(parents=True, exist_ok=True)
            # Its mode is 0700, and its name short: a socket's path may have 107 bytes.
            self._folder = tempfile.mkdtemp(prefix="signoff-")
        else:
            _end(again.process, self._folder)
            os.mkdir(self._folder, 0o700)
        # It reads the file and the environment itself, so that no value passes through here.
        process = subprocess.Popen(
            [sys.executable, "-P", "-R", "-m", "signoff.tools.broker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C pauses the run, which may need it on its way
        )
        finalize(self, _end, process, self._folder)
        given = {
            "secrets": str(self.secrets),
            "log": str(self.log),
            "key": self._key.hex(),
            "folder": self._folder,
            "port": again.port if again else 0,
            "again": again is not None,
        }
        told = _converse(process, given)
        if "listing" not in told:
            _end(process, self._folder)
            if "problem" in told:
                raise SettingsError(*told["problem"])
            raise BrokerLost("its process could not be started")
        forget_variables(told["taken"])
        return _Started(process, told["port"], told["doors"], Listing.model_validate(told["listing"]))


_brokers: Final[dict[Path, Broker]] = {}
_opening: Final = threading.Lock()


def open_broker(settings: Settings) -> Broker | None:
    """The broker of the settings, one for all runs of this process; None if they name no file of secrets."""
    if settings.secrets is None:
        return None
    path = settings.secrets.expanduser().absolute()
    with _opening:
        if path not in _brokers:
            _brokers[path] = Broker.start(path, home=settings.home)
        return _brokers[path]


def _converse(process: subprocess.Popen[str], given: dict[str, Any]) -> dict[str, Any]:
    """Tell the process what it needs; what it says, or nothing if it ended."""
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(json.dumps(given) + "\n")
        process.stdin.flush()
        return dict(json.loads(process.stdout.readline()))
    except (OSError, ValueError):
        return {}


def _end(process: subprocess.Popen[str], folder: str) -> None:
    """Close its input, which ends it; and its folder, if it could not do that itself."""
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    shutil.rmtree(folder, ignore_errors=True)


class _Through(httpx2.BaseTransport):
    def __init__(self, broker: Broker, tool: str) -> None:
        self._broker, self._tool = broker, tool
        self._inner: dict[str, httpx2.HTTPTransport] = {}
        self._lock = threading.Lock()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        proxy = self._broker.proxy_for(self._tool)
        with self._lock:
            if proxy not in self._inner:
                self._inner[proxy] = httpx2.HTTPTransport(proxy=proxy, trust_env=False)
        try:
            response = self._inner[proxy].handle_request(_plain(request))
        except httpx2.TransportError as error:
            raise _explained(self._broker, request, error) from error
        response.stream = _Content(response.stream, self._broker, request)
        return response

    def close(self) -> None:
        for inner in self._inner.values():
            inner.close()


class _AsyncThrough(httpx2.AsyncBaseTransport):
    def __init__(self, broker: Broker, tool: str) -> None:
        self._broker, self._tool = broker, tool
        self._inner: dict[str, httpx2.AsyncHTTPTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        proxy = await asyncio.to_thread(self._broker.proxy_for, self._tool)
        if proxy not in self._inner:
            self._inner[proxy] = httpx2.AsyncHTTPTransport(proxy=proxy, trust_env=False)
        try:
            response = await self._inner[proxy].handle_async_request(_plain(request))
        except httpx2.TransportError as error:
            raise await asyncio.to_thread(_explained, self._broker, request, error) from error
        response.stream = _Content(response.stream, self._broker, request)
        return response

    async def aclose(self) -> None:
        for inner in self._inner.values():
            await inner.aclose()


class _Content(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """The content of an answer on its way."""

    def __init__(self, inner: Any, broker: Broker, request: httpx2.Request) -> None:
        self._inner, self._broker, self._request = inner, broker, request

    def __iter__(self) -> Iterator[bytes]:
        try:
            yield from self._inner
        except httpx2.TransportError as error:
            raise _explained(self._broker, self._request, error) from error

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._inner:
                yield chunk
        except httpx2.TransportError as error:
            raise await asyncio.to_thread(_explained, self._broker, self._request, error) from error

    def close(self) -> None:
        self._inner.close()

    async def aclose(self) -> None:
        await self._inner.aclose()


def _plain(request: httpx2.Request) -> httpx2.Request:
    """The request as the broker takes it: with https it would be a tunnel, in which nothing can be added."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(scheme="http", port=request.url.port),
        headers=request.headers,
        stream=request.stream,
        extensions=request.extensions,
    )


def _explained(broker: Broker, request: httpx2.Request, error: httpx2.TransportError) -> httpx2.TransportError:
    """What happened: if the broker ended, that it did."""
    if isinstance(error, httpx2.TimeoutException) or not broker.has_ended():
        return error
    return httpx2.ProxyError(
        f"The broker of secrets ended during {request.method} {request.url.host}; whether the server did it is not "
        "known. The next request starts the broker again.",
        request=request,
    )


def token_of(key: bytes, tool: str) -> str:
    """What a tool shows to be taken for itself, made of the key that one broker and its run share."""
    return hmac.new(key, tool.encode(), hashlib.sha256).hexdigest()
