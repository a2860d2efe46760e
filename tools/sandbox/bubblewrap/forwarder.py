"""Runs in the sandbox: passes what comes to a port of its loopback on to the door, then becomes the job's command.

It is given to the sandbox's Python as a file of its own, so it imports the standard library only.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
import threading

DOOR = "/run/door"
PORT = 3128


def serve(listener: socket.socket) -> None:
    """Join every connection with the door, each in a thread."""
    while True:
        client, _ = listener.accept()
        threading.Thread(target=join, args=(client,), daemon=True).start()


def join(client: socket.socket) -> None:
    """Pass bytes to and fro until both sides have said all."""
    with client, socket.socket(socket.AF_UNIX) as door, selectors.DefaultSelector() as ready:
        try:
            door.connect(DOOR)
        except OSError:
            return
        ready.register(client, selectors.EVENT_READ, door)
        ready.register(door, selectors.EVENT_READ, client)
        while ready.get_map():
            for key, _ in ready.select():
                source, sink = key.fileobj, key.data
                if not isinstance(source, socket.socket) or not pass_on(source, sink):
                    ready.unregister(key.fileobj)


def pass_on(source: socket.socket, sink: socket.socket) -> bool:
    """Pass one piece on; False when the source has said all."""
    try:
        piece = source.recv(65_536)
        if piece:
            sink.sendall(piece)
        else:
            sink.shutdown(socket.SHUT_WR)
    except OSError:
        return False
    return bool(piece)


def main() -> None:
    """Listen before the command starts, so that it finds the port open."""
    listener = socket.create_server(("127.0.0.1", PORT))
    if os.fork() == 0:
        os.setsid()
        for standard in range(3):
            os.close(standard)
        serve(listener)
    listener.close()
    try:
        os.execvp(sys.argv[1], sys.argv[1:])
    except OSError as error:
        sys.stderr.write(f"{sys.argv[1]}: {error.strerror}\n")
        raise SystemExit(127) from None


if __name__ == "__main__":
    main()
