"""An OpenAI-compatible endpoint on loopback that answers from a script."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from types import MappingProxyType, TracebackType
from typing import Any, Self

from typing_extensions import override

from signoff.error_base import ReplyMisfit, ScriptError
from signoff.testing.allowance import Allowance, Meter
from signoff.testing.script import Call, Drop, Failure, Fault, Garble, Hang, Pick, Played, Player, Reply, Script
from signoff.testing.wire import completion, completion_chunks, error_body, error_headers, fit, model_list, parsed_call

_WRONG_KEY = Failure(401, "Incorrect API key provided.", "invalid_api_key")
_NO_ROUTE = Failure(
    404,
    "ScriptedServer has /v1/chat/completions and /v1/models only. ChatOpenAI chooses the Responses API by the name "
    "of the model: set use_responses_api=False, or name the model 'scripted'.",
)


class _Connection(BaseHTTPRequestHandler):
    """One keep-alive connection: its requests are answered one after the other."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, double: ScriptedServer, *connection: Any) -> None:
        self._double = double
        self._limits: dict[str, str] = {}
        super().__init__(*connection)

    def do_POST(self) -> None:
        """Answer a request: a chat completion, or which models there are."""
        body = _parsed(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if not self._double.admit(Request(self.command, self.path, headers, body)):
            return self._fail(_WRONG_KEY)
        match self.command, self.path:
            case "GET", "/v1/models":
                return self._send(_json(model_list(self._double.models)))
            case "POST", "/v1/chat/completions":
                return self._complete(body)
            case _:
                return self._fail(_NO_ROUTE)

    do_GET = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing; `ScriptedServer.requests` is the log."""

    def _complete(self, body: Any) -> None:
        try:
            call = parsed_call(body)
        except (ValueError, KeyError, TypeError) as problem:
            return self._fail(Failure(400, f"This is no chat completion request: {problem!r}"))
        self._limits, refusal = self._double.meter()
        if refusal is None:
            self._answer(self._double.record(call), body)
        else:
            self._fail(refusal)
        self._limits = {}
        return None

    def _answer(self, call: Call, body: Mapping[str, Any]) -> None:
        stream = bool(body.get("stream"))
        try:
            fault, parts = _rendered(self._double.play(call), call, body)
        except Exception as problem:  # a scripted function may raise anything: it goes to the test, not this thread
            self._double.keep(problem)
            self._fail(Failure(400, str(problem), "not_scripted"))
            return
        match fault:
            case None:
                self._say(parts, stream)
            case Failure():
                self._fail(fault)
            case Garble() if stream and fault.content_type == "application/json":
                self._say([fault.body.encode()], stream)
            case Garble():
                self._send(fault.body.encode(), headers={"Content-Type": fault.content_type})
            case Hang():
                self._say(parts if self._double.hold(self.connection) else [], stream)
            case Drop():
                self._say(parts, stream, cut=True)

    def _say(self, parts: list[bytes], stream: bool, *, cut: bool = False) -> None:
        """Send these parts, or the first half of them; without any, close the connection."""
        if cut or not parts:
            self.close_connection = True
        if parts and stream:
            self._stream(parts, cut)
        elif parts:
            self._send(parts[0], cut=cut)

    def _fail(self, failure: Failure) -> None:
        self._send(_json(error_body(failure)), failure.status, error_headers(failure))

    def _open(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the head of a response."""
        # An asyncio client's pool outlives its event loop, and Python would report the connection as never closed.
        if self.headers.get("X-Stainless-Async", "").startswith("async"):
            self.close_connection = True
        self.send_response(status)
        for name, value in {**self._limits, **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def _send(
        self, body: bytes, status: int = 200, headers: Mapping[str, str] = MappingProxyType({}), *, cut: bool = False
    ) -> None:
        self._open(status, {"Content-Type": "application/json", **headers, "Content-Length": str(len(body))})
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def _stream(self, events: list[bytes], cut: bool) -> None:
        self._open(200, {"Content-Type": "text/event-stream", "Transfer-Encoding": "chunked"})
        for event in events[: len(events) // 2] if cut else [*events, b"[DONE]"]:
            self._write_chunk(b"data: " + event + b"\n\n")
        if not cut:
            self._write_chunk(b"")

    def _write_chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


def _rendered(played: Played, call: Call, body: Mapping[str, Any]) -> tuple[Fault | None, list[bytes]]:
    """The fault, if it is one, and the parts of the reply, if it has one: events of a stream, or the whole body."""
    if isinstance(played, BaseException):
        raise ReplyMisfit(call.number, played, "an exception cannot cross HTTP; use fails(), hangs() or drops()")
    fault = None if isinstance(played, Reply) else played
    reply = played.reply if isinstance(played, Hang | Drop) else played
    if not isinstance(reply, Reply):
        return fault, []
    answer = fit(reply, call)
    if not body.get("stream"):
        return fault, [_json(completion(answer, call))]
    include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
    return fault, [_json(chunk) for chunk in completion_chunks(answer, call, include_usage=include_usage)]


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


class _Listener(ThreadingHTTPServer):
    """Listens on an ephemeral port of 127.0.0.1; `close` ends every connection and waits for its thread."""

    request_queue_size = 512

    def __init__(self, handler: Callable[..., BaseHTTPRequestHandler], failed: Callable[[BaseException], None]) -> None:
        self._failed = failed
        self._connections: set[socket.socket] = set()
        self._threads_alive: list[threading.Thread] = []
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), handler)
        # The interval is how long `close` may have to wait for the accepting thread, in seconds.
        self._accepting = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._accepting.start()

    def close(self) -> None:
        """Stop accepting, end the open connections, and wait until their threads are gone."""
        self.shutdown()
        self._accepting.join()
        with self._lock:
            connections, threads = tuple(self._connections), tuple(self._threads_alive)
        for connection in connections:
            with contextlib.suppress(OSError):  # the client has closed it already
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
        self.server_close()

    @override
    def server_bind(self) -> None:
        """Bind without HTTPServer's look-up of the host's name, which may ask a name server."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "127.0.0.1", int(self.server_address[1])

    @override
    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, and keep account of both."""
        thread = threading.Thread(target=self.process_request_thread, args=(request, client_address), daemon=True)
        with self._lock:
            self._connections.add(request)
            self._threads_alive = [other for other in self._threads_alive if other.is_alive()]
            thread.start()
            self._threads_alive.append(thread)

    @override
    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what went wrong; a client that hangs up is nothing wrong."""
        problem = sys.exception()
        if problem is not None and not isinstance(problem, ConnectionError):
            self._failed(problem)


class ScriptedServer:
    """Serves `/v1/chat/completions` and `/v1/models` on 127.0.0.1 while its `with` block runs.

        with ScriptedServer(["Paris", fails(500), gives(evidence)]) as server:
            model = ChatOpenAI(model="scripted", base_url=server.url, api_key="test")

    Scripts are those of `ScriptedModel`, except that an exception cannot cross HTTP: script `fails`, `hangs`, `drops`
    or `garbles`. With a `key`, requests without it get 401. A call the script cannot answer gets status 400, and the
    block ends with the ScriptError, or with what a scripted function raised, unless it ends with an exception anyway.
    With a `limit`, `Allowance(50)` for 50 requests a second, calls beyond it get 429 and take nothing from the script.
    """

    def __init__(
        self,
        script: Script,
        *,
        pick: Pick | None = None,
        key: str | None = None,
        models: tuple[str, ...] = ("scripted",),
        limit: Allowance | None = None,
    ) -> None:
        self.models = models
        self._meter = None if limit is None else Meter(limit)
        self._key = key
        self._player = Player(script, pick)
        self._changed = threading.Condition()
        self._requests: list[Request] = []
        self._problems: list[BaseException] = []
        self._running: _Running | None = None

    def __enter__(self) -> Self:
        gate = socket.socketpair()
        self._running = _Running(_Listener(partial(_Connection, self), self.keep), *gate)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        running = self._now
        running.listener.close()
        running.gate.close()
        running.opener.close()
        self._running = None
        if self._problems and error is None:
            raise self._problems[0]

    @property
    def url(self) -> str:
        """The `base_url` for a client."""
        return f"http://127.0.0.1:{self._now.listener.server_port}/v1"

    @property
    def requests(self) -> tuple[Request, ...]:
        """Every request so far, refused ones too."""
        with self._changed:
            return tuple(self._requests)

    @property
    def calls(self) -> tuple[Call, ...]:
        """Every chat completion asked for so far."""
        return self._player.calls

    @property
    def refused(self) -> int:
        """Calls so far that got 429 because of the limit."""
        return 0 if self._meter is None else self._meter.refused

    def wait_for_calls(self, number: int = 1, timeout: float = 10.0) -> None:
        """Return once this many calls have come in; TimeoutError after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self._player.calls) >= number, timeout):
                raise TimeoutError(f"{len(self._player.calls)} of {number} calls came in within {timeout:g} seconds.")

    def release(self) -> None:
        """Let go every answer that hangs, and hold none from now on."""
        self._now.opener.shutdown(socket.SHUT_WR)

    def admit(self, request: Request) -> bool:
        """Record a request, and say whether it has the key."""
        with self._changed:
            self._requests.append(request)
        return self._key is None or request.headers.get("authorization") == f"Bearer {self._key}"

    def meter(self) -> tuple[dict[str, str], Failure | None]:
        return ({}, None) if self._meter is None else self._meter.admit()

    def record(self, call: Call) -> Call:
        with self._changed:
            self._changed.notify_all()
            return self._player.record(call)

    def play(self, call: Call) -> Played:
        return self._player.play(call)

    def hold(self, connection: socket.socket) -> bool:
        """Wait until the answers are released (True) or this client hangs up (False)."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._now.gate, selectors.EVENT_READ, True)
            selector.register(connection, selectors.EVENT_READ, False)
            return all(key.data for key, _ in selector.select())

    def keep(self, problem: BaseException) -> None:
        self._problems.append(problem)

    @property
    def _now(self) -> _Running:
        if self._running is None:
            raise ScriptError("A ScriptedServer runs only inside its `with` block.")
        return self._running


@dataclass(frozen=True)
class _Running:
    """What is open while the server runs."""

    listener: _Listener
    gate: socket.socket
    """Readable once the answers are released."""
    opener: socket.socket


@dataclass(frozen=True)
class Request:
    """An HTTP request as it came in."""

    method: str
    path: str
    headers: Mapping[str, str]
    """By lower-case name."""
    body: Any
    """The parsed JSON; None when there was none."""
