"""An endpoint of OpenAI's shape in front of a guarded model, on a unix socket: the only way out of a program's sandbox.

Whoever calls it has no key and needs none. Each call is reserved, paced and charged like any other of the step in
which the endpoint is opened; when the budget is at its end, every further call is refused.
"""

from __future__ import annotations

import json
import shutil
import socketserver
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

from langchain_core.messages import AIMessage, convert_to_messages, convert_to_openai_messages

from signoff.agents.errors import ContextTooLong, ModelError, ModelUnreachable, UnknownPrice
from signoff.agents.models.guarded import GuardedModel
from signoff.agents.usage import NO_USAGE, Usage, add_usage, call_usage
from signoff.checkpoints.errors import BudgetExhausted

_LARGEST: Final = 20_000_000
"""Bytes of a request."""
_FINAL: Final = 401
"""Status of a refusal for good: the one that no client tries again, as some do 402, 403 and 429."""
_TAKEN: Final = ("tools", "tool_choice", "response_format", "temperature", "top_p", "max_tokens")
"""Options of a request that are passed on."""


@dataclass
class Door:
    """Where the endpoint is, and what was asked of it."""

    socket: Path
    usage: Usage = field(default_factory=lambda: NO_USAGE)
    refused: str = ""
    """Why no further call is made: the budget is at its end, or nobody knows what a call costs."""
    counting: threading.Lock = field(default_factory=threading.Lock)


@contextmanager
def open_door(model: GuardedModel) -> Iterator[Door]:
    """Serve the model until leaving, on the account of whoever pays here."""
    folder = Path(tempfile.mkdtemp(prefix="signoff-"))  # its mode is 0700, and a socket's path may have 107 bytes
    door, context = Door(folder / "door.sock"), copy_context()

    class Handler(_Handler):
        def answer(self, asked: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
            return _answer(model, door, context.copy(), asked)

        def models(self) -> dict[str, Any]:
            return {"object": "list", "data": [{"id": model.model_name, "object": "model", "owned_by": "signoff"}]}

    server = _Server(str(door.socket), Handler)
    door.socket.chmod(0o666)  # a sandbox has another user
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield door
    finally:
        server.shutdown()
        server.server_close()
        shutil.rmtree(folder, ignore_errors=True)


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False


class _Handler(BaseHTTPRequestHandler):
    """Reads a request and writes what comes of it; clients that take it for a proxy are understood as well."""

    timeout = 900

    def answer(self, asked: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
        """Status and body."""
        raise NotImplementedError

    def models(self) -> dict[str, Any]:
        """What there is."""
        raise NotImplementedError

    def do_GET(self) -> None:
        found = self.path.partition("?")[0].rstrip("/").endswith("/models")
        self._send(*((200, self.models()) if found else _error(404, "there is no such path")))

    def do_POST(self) -> None:
        asked = self._asked()
        status, body = asked if isinstance(asked, tuple) else self.answer(asked)
        if status == 200 and isinstance(asked, dict) and asked.get("stream"):
            self._stream(body)
        else:
            self._send(status, body)

    def _asked(self) -> dict[str, Any] | tuple[int, dict[str, Any]]:
        """The request; or what is wrong with it."""
        size = self.headers.get("Content-Length", "")
        if not size.isdigit() or int(size) > _LARGEST:
            return _error(413, f"a request has a length, of {_LARGEST:,} bytes at most")
        sent = self.rfile.read(int(size))  # all of it, whatever it asks: who still sends would not hear the answer
        if not self.path.partition("?")[0].endswith("/chat/completions"):
            return _error(404, "only chat/completions is served")
        try:
            asked = json.loads(sent)
        except (ValueError, RecursionError):
            asked = None
        return asked if isinstance(asked, dict) else _error(400, "the request is no JSON object")

    def _send(self, status: int, body: Mapping[str, Any]) -> None:
        self._write(status, "application/json", json.dumps(body).encode())

    def _stream(self, body: dict[str, Any]) -> None:
        """The whole answer as one piece of a stream."""
        (choice,) = body["choices"]
        delta = dict(choice["message"])
        delta["tool_calls"] = [{"index": at, **one} for at, one in enumerate(delta.get("tool_calls", []))]
        piece = {**body, "object": "chat.completion.chunk", "choices": [{**choice, "delta": delta}]}
        self._write(200, "text/event-stream", f"data: {json.dumps(piece)}\n\ndata: [DONE]\n\n".encode())

    def _write(self, status: int, kind: str, raw: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the ledger knows every call."""


def _answer(model: GuardedModel, door: Door, context: Context, asked: Mapping[str, Any]) -> tuple[int, dict[str, Any]]:
    if door.refused:
        return _error(_FINAL, door.refused, "insufficient_quota")
    options = {name: asked[name] for name in _TAKEN if asked.get(name) is not None}
    if isinstance(most := asked.get("max_completion_tokens"), int):
        options["max_tokens"] = most
    stop = asked.get("stop")
    try:
        messages = convert_to_messages(asked.get("messages") or [])
        stops = [stop] if isinstance(stop, str) else stop
        said = context.run(model.invoke, messages, stop=stops, **options)
    except (BudgetExhausted, UnknownPrice) as error:
        door.refused = str(error)
        return _error(_FINAL, door.refused, "insufficient_quota")
    except ContextTooLong as error:
        return _error(400, str(error), "context_length_exceeded")
    except ModelUnreachable as error:
        return _error(503, str(error), "model_unreachable")
    except (ModelError, ValueError, KeyError, TypeError, NotImplementedError) as error:
        return _error(400, str(error), "bad_request")
    with door.counting:
        door.usage = add_usage(door.usage, call_usage(said))
    return 200, _told(said, model.model_name)


def _told(said: AIMessage, name: str) -> dict[str, Any]:
    """An answer, as OpenAI writes it."""
    used = said.usage_metadata
    usage = {
        "prompt_tokens": used["input_tokens"] if used else 0,
        "completion_tokens": used["output_tokens"] if used else 0,
        "total_tokens": used["total_tokens"] if used else 0,
    }
    message = convert_to_openai_messages(said)
    finish = said.response_metadata.get("finish_reason") or ("tool_calls" if said.tool_calls else "stop")
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    return {
        "id": said.id or "chatcmpl-signoff",
        "object": "chat.completion",
        "created": int(time.time()),
        "model": name,
        "choices": [choice],
        "usage": usage,
    }


def _error(status: int, message: str, code: str = "") -> tuple[int, dict[str, Any]]:
    return status, {"error": {"message": message, "type": "signoff", "code": code or None}}
