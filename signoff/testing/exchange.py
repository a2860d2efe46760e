"""One HTTP connection of the scripted server: requests come in, what the script says goes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any

from signoff.errors import ReplyMisfit
from signoff.testing.answer import fit
from signoff.testing.call import Call
from signoff.testing.replies import Drop, Failure, Fault, Garble, Hang, Reply
from signoff.testing.request import Request
from signoff.testing.script import Played
from signoff.testing.wire import completion, completion_chunks, error_body, error_headers, model_list, parsed_call

if TYPE_CHECKING:
    from signoff.testing.server import ScriptedServer

_WRONG_KEY = Failure(401, "Incorrect API key provided.", "invalid_api_key")
_NO_ROUTE = Failure(
    404,
    "ScriptedServer has /v1/chat/completions and /v1/models only. ChatOpenAI chooses the Responses API by the name "
    "of the model: set use_responses_api=False, or name the model 'scripted'.",
)


class Exchange(BaseHTTPRequestHandler):
    """Serves one keep-alive connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def __init__(self, double: ScriptedServer, *connection: Any) -> None:
        self._double = double
        self._limits: dict[str, str] = {}
        super().__init__(*connection)

    def do_GET(self) -> None:
        """List the models."""
        if not self._admit(None):
            self._fail(_WRONG_KEY)
        elif self.path == "/v1/models":
            self._send(_json(model_list(self._double.models)))
        else:
            self._fail(_NO_ROUTE)

    def do_POST(self) -> None:
        """Answer a chat completion."""
        body = _parsed(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        if not self._admit(body):
            self._fail(_WRONG_KEY)
        elif self.path != "/v1/chat/completions":
            self._fail(_NO_ROUTE)
        else:
            try:
                call = parsed_call(body)
            except (ValueError, KeyError, TypeError) as problem:
                self._fail(Failure(400, f"This is no chat completion request: {problem!r}"))
            else:
                self._limits, refusal = self._double.meter()
                if refusal is None:
                    self._answer(self._double.record(call), body)
                else:
                    self._fail(refusal)
                self._limits = {}

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing; `ScriptedServer.requests` is the log."""

    def _admit(self, body: Any) -> bool:
        headers = {name.lower(): value for name, value in self.headers.items()}
        return self._double.admit(Request(self.command, self.path, headers, body))

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
                self._send(fault.body.encode(), content_type=fault.content_type)
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
        self._send(_json(error_body(failure)), status=failure.status, headers=error_headers(failure))

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
        self,
        body: bytes,
        *,
        status: int = 200,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        cut: bool = False,
    ) -> None:
        self._open(status, {"Content-Type": content_type, **(headers or {}), "Content-Length": str(len(body))})
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
