"""An OpenAI-compatible endpoint on loopback that answers from a script."""

from __future__ import annotations

import selectors
import socket
import threading
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

from signoff.errors import ScriptError
from signoff.testing.allowance import Allowance, Meter
from signoff.testing.call import Call
from signoff.testing.exchange import Exchange
from signoff.testing.listener import Listener
from signoff.testing.replies import Failure
from signoff.testing.request import Request
from signoff.testing.script import Pick, Played, Player, Script


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
        self._running = _Running(Listener(partial(Exchange, self), self.keep), *gate)
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
        """Count a call against the limit: headers for its answer, and the answer itself if it is refused."""
        return ({}, None) if self._meter is None else self._meter.admit()

    def record(self, call: Call) -> Call:
        """Record a call and give it its number."""
        with self._changed:
            self._changed.notify_all()
            return self._player.record(call)

    def play(self, call: Call) -> Played:
        """Answer a recorded call from the script."""
        return self._player.play(call)

    def hold(self, connection: socket.socket) -> bool:
        """Wait until the answers are released (True) or this client hangs up (False)."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._now.gate, selectors.EVENT_READ, True)
            selector.register(connection, selectors.EVENT_READ, False)
            return all(key.data for key, _ in selector.select())

    def keep(self, problem: BaseException) -> None:
        """Raise this when the `with` block ends."""
        self._problems.append(problem)

    @property
    def _now(self) -> _Running:
        if self._running is None:
            raise ScriptError("A ScriptedServer runs only inside its `with` block.")
        return self._running


@dataclass(frozen=True)
class _Running:
    """What is open while the server runs."""

    listener: Listener
    gate: socket.socket
    """Readable once the answers are released."""
    opener: socket.socket
