"""LangGraph's development server, which serves the graphs of a folder's langgraph.json on loopback."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx


@contextmanager
def serving(folder: Path, config: dict[str, Any], port: int = 0) -> Iterator[str]:
    """The address of a server of this configuration, once it is up; what it says is in `server.log`. Port 0: any."""
    (folder / "langgraph.json").write_text(json.dumps({"dependencies": ["."], **config}))
    port = port or free_port()
    words = ["langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port), "--host", "127.0.0.1"]
    with running(folder, words, port) as url:
        yield url


@contextmanager
def running(folder: Path, words: list[str], port: int) -> Iterator[str]:
    """The same of a server that this module of Python is, with these words, and listens at this port."""
    with (folder / "server.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *words], cwd=folder, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        url = f"http://127.0.0.1:{port}"
        try:
            wait_until_up(server, f"{url}/ok", folder / "server.log")
            yield url
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)


def free_port() -> int:
    """One that nobody listens at."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def wait_until_up(server: subprocess.Popen[bytes], url: str, log: Path) -> None:
    """Until this address of it answers; AssertionError with what it said if it ends before."""
    with httpx.Client(timeout=1) as client:
        for _ in range(6000):  # on a machine that is busy it takes minutes
            assert server.poll() is None, log.read_text()
            with suppress(httpx.TransportError):
                if client.get(url).status_code == 200:
                    return
            time.sleep(0.2)  # another process has to get somewhere; there is nothing to wait on
    raise AssertionError(log.read_text())
