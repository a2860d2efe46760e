"""A web server that is told things, and a ledger that tells."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import SimpleQueue
from typing import Any

import pytest

from signoff import Ledger
from signoff.checkpoints.ledger.notifications.hooks import Hook


@dataclass
class Receiver:
    """A web server that remembers the notices it took."""

    url: str
    got: list[dict[str, Any]] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    """Ids of all tries."""
    arrived: SimpleQueue[str] = field(default_factory=SimpleQueue)
    statuses: list[int] = field(default_factory=list)
    """Of the first answers; 204 after them."""
    hold: threading.Event = field(default_factory=threading.Event)
    """While it is cleared nothing is answered."""

    @property
    def told(self) -> list[str]:
        return [notice["event"] for notice in self.got]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.ids.append(self.headers["webhook-id"])
            found.arrived.put(self.headers["webhook-id"])
            found.hold.wait(30)
            status = found.statuses.pop(0) if found.statuses else 204
            if status == 204:
                found.got.append(body)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Receiver(f"http://127.0.0.1:{server.server_port}/")
    found.hold.set()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield found
    found.hold.set()
    server.shutdown()
    thread.join()
    server.server_close()


Opened = Callable[..., Ledger]


@pytest.fixture
def opened(database: str) -> Iterator[Opened]:
    """Opens the database with some hooks, and closes it after the test."""
    ledgers: list[Ledger] = []

    def open_it(*hooks: Hook) -> Ledger:
        ledgers.append(Ledger(database, hooks=hooks))
        return ledgers[-1]

    yield open_it
    for ledger in ledgers:
        ledger.close()
