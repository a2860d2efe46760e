"""A threading HTTP server on loopback that leaves no socket and no thread behind."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from typing_extensions import override


class Listener(ThreadingHTTPServer):
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
        """Close a connection."""
        with self._lock:
            self._connections.discard(request)
        super().shutdown_request(request)

    @override
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what went wrong; a client that hangs up is nothing wrong."""
        problem = sys.exception()
        if problem is not None and not isinstance(problem, ConnectionError):
            self._failed(problem)
