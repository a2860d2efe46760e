"""Two hundred clients of one process: no thread for any of them, and nothing lost when it is killed and comes back."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import warm
from desk_pages import OFFICE
from doors import tokens_of

from signoff.checkpoints import configured_ledger
from signoff.settings import load_settings

pytest.importorskip("starlette", reason="the extra `protocols` is not installed")

CLIENTS, RUNS = 200, 4
MOST_MEGABYTES = 0.5
"""Of memory that one more client may take."""
pytestmark = [
    pytest.mark.hunt,
    pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="counts threads as Linux tells them"),
]


def told_of(pid: int, name: str) -> int:
    """What the system says of a process: how many threads it has, or kB of memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{name}:")))


@dataclass
class Client:
    """Somebody who follows a run, and comes back with the last event that they heard."""

    http: httpx.AsyncClient
    url: str
    last: str = ""
    status: str = ""

    async def follow(self, until: Callable[[str], bool]) -> None:
        try:
            async with self.http.stream("GET", self.url, headers={"Last-Event-ID": self.last}) as stream:
                kind = ""
                async for line in stream.aiter_lines():
                    name, _, value = line.partition(": ")
                    self.last = value if name == "id" else self.last
                    kind = value if name == "event" else kind
                    if name == "data" and kind == "stands":
                        self.status = json.loads(value)["status"]
                        if until(self.status):
                            return
        except httpx.HTTPError:
            self.status = "lost"


def start(port: int) -> Any:
    """The one command that serves a team of one's own in every protocol."""
    words = ["serve", "--team", "office.py:team", "--protocols", "--port", str(port)]
    server = warm.start([sys.executable, "-P", "-m", "signoff", *words], stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    assert server.stdout.readline().startswith(f"http://127.0.0.1:{port}/sign-in?key=")
    return server


async def heard(clients: list[Client], status: str) -> list[asyncio.Task[None]]:
    """Have all of them listen until they heard this, and stay."""
    tasks = [asyncio.create_task(client.follow(lambda now: now == "done")) for client in clients]
    while any(client.status != status for client in clients):
        await asyncio.sleep(0.05)
        assert not any(task.done() and task.exception() for task in tasks)
    return tasks


def test_two_hundred_have_no_thread_each_and_lose_nothing_when_the_server_is_killed(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "office.py").write_text(OFFICE)
    with closing(configured_ledger(load_settings())) as ledger:
        tokens = tokens_of(ledger, ann=())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    servers, measured = [start(port)], list[tuple[int, int]]()

    async def work() -> None:
        base, headers = f"http://127.0.0.1:{port}/teams/post/runs", {"Authorization": f"Bearer {tokens['ann']}"}
        limits = httpx.Limits(max_connections=None)
        async with httpx.AsyncClient(headers=headers, timeout=120, limits=limits) as http:
            begun = [await http.post(base, json={"goal": f"write Ida{number}"}) for number in range(RUNS)]
            runs = [one.json()["run"] for one in begun]
            clients = [Client(http, f"{base}/{runs[number % RUNS]}/events") for number in range(CLIENTS)]
            first = await heard(clients[:RUNS], "waiting")
            pid = servers[0].pid
            measured.append((told_of(pid, "Threads"), told_of(pid, "VmRSS")))
            others = await heard(clients[RUNS:], "waiting")
            measured.append((told_of(pid, "Threads"), told_of(pid, "VmRSS")))
            os.kill(pid, signal.SIGKILL)
            servers[0].wait()
            await asyncio.gather(*first, *others)
            assert {client.status for client in clients} == {"lost"}
            servers.append(start(port))
            again = await heard(clients, "waiting")
            for run in runs:
                (asked,) = (await http.get(f"{base}/{run}")).json()["questions"]
                answer = {"type": "approve", "args_sha256": asked["args_sha256"]}
                said = await http.post(f"{base}/{run}/answers/{asked['approval']}", json=answer)
                assert said.json()["status"] == "approved"
            await asyncio.gather(*again)
            assert {client.status for client in clients} == {"done"}

    try:
        asyncio.run(work())
    finally:
        for server in servers:
            server.kill()
            server.wait()
            server.stdout.close()
    sent = (home / "sent.txt").read_text().splitlines()
    assert sorted(sent) == [f"Ida{number}: hello (1)" for number in range(RUNS)]
    (few_threads, few_kb), (threads, kb) = measured
    assert threads - few_threads < CLIENTS / 4  # pools, whose size does not follow from who listens
    each = (kb - few_kb) / (CLIENTS - RUNS) / 1024
    with capsys.disabled():
        print(f"\n{CLIENTS} clients: {threads - few_threads} more threads, {each * 1024:.0f} kB each")
    assert each < MOST_MEGABYTES
