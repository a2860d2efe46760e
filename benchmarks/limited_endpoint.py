"""The endpoint of the scripted report job with a rate limit, and the headers that tell of it."""

import argparse
import asyncio
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import get_args

from scripted_endpoint import Counts, Exchange, answer

from signoff.testing.server import Allowance, Counting, Meter


@dataclass
class LimitedCounts(Counts):
    """What came in, and was refused."""

    refused: int = 0


class LimitedExchange(Exchange):
    """One connection to an endpoint that refuses what is beyond its limit."""

    def __init__(self, counts: LimitedCounts, delay: float, meter: Meter) -> None:
        super().__init__(counts, delay)
        self.refusals, self.meter = counts, meter

    def take(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"get"):
            super().take(head, body)
            return
        headers, refusal = self.meter.admit()
        self.counts.calls += refusal is None
        if refusal is None:
            reply = answer(json.loads(body), len(body))
            asyncio.get_running_loop().call_later(self.delay, self.send, "200 OK", headers, reply)
        else:
            self.refusals.refused += 1
            error = {"message": refusal.message, "type": "requests", "param": None, "code": refusal.code}
            self.send("429 Too Many Requests", refusal.headers, json.dumps({"error": error}).encode())

    def send(self, status: str, headers: Mapping[str, str], body: bytes) -> None:
        if self.transport is not None:
            told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = f"HTTP/1.1 {status}\r\n{told}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            self.transport.write(head.encode() + body)


@dataclass(frozen=True)
class LimitedEndpoint:
    """A running endpoint, as those that use it see it."""

    url: str

    def counts(self) -> LimitedCounts:
        """What came in so far."""
        with urllib.request.urlopen(f"{self.url}/counts", timeout=30) as response:
            return LimitedCounts(**json.load(response))


@contextmanager
def limited_endpoint(limit: int, counting: Counting, delay: float) -> Iterator[LimitedEndpoint]:
    """The endpoint, in a process of its own, for as long as the block runs; so many requests a second."""
    command = [sys.executable, __file__, str(limit), counting, str(delay)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        yield LimitedEndpoint(process.stdout.readline().decode().strip())
    finally:
        process.stdin.close()
        process.wait(10)
        process.stdout.close()


async def serve(limit: int, counting: Counting, delay: float) -> None:
    counts, loop, meter = LimitedCounts(), asyncio.get_running_loop(), Meter(Allowance(limit, 1.0, counting))

    server = await loop.create_server(lambda: LimitedExchange(counts, delay, meter), "127.0.0.1", 0, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1", flush=True)
    ended = asyncio.Event()

    def wait_for_the_end() -> None:
        sys.stdin.read()  # until whoever started this process is gone
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    await ended.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("limit", type=int, help="requests a second")
    parser.add_argument("counting", choices=get_args(Counting), help="how they are counted")
    parser.add_argument("delay", type=float, help="seconds before each answer")
    asked = parser.parse_args()
    asyncio.run(serve(asked.limit, asked.counting, asked.delay))
