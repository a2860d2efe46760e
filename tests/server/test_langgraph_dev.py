"""The report team, unchanged, on LangGraph's development server, driven by its own client."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from langgraph_sdk import get_sync_client
from langgraph_sdk.client import SyncLangGraphClient

QUESTION = "Why does the tide rise and fall?"


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture
def client(home: Path) -> Iterator[SyncLangGraphClient]:
    docs = home / "docs"
    docs.mkdir()
    (docs / "tides.md").write_text(
        "# Tides\n\nThe tide rises and falls twice a day because the moon pulls the water of the ocean.\n"
        "The difference between high and low water is called the tidal range.\n"
    )
    config = {"dependencies": ["."], "graphs": {"agent": "signoff.graphs.report:graph"}}
    (home / "langgraph.json").write_text(json.dumps(config))
    port = _free_port()
    command = [sys.executable, "-m", "langgraph_cli", "dev", "--no-browser", "--no-reload", "--port", str(port)]
    log = (home / "server.log").open("w")
    server = subprocess.Popen(
        [*command, "--host", "127.0.0.1"], cwd=home, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_until_up(server, url, home / "server.log")
        client = get_sync_client(url=url)
        try:
            yield client
        finally:
            client.http.client.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
        log.close()


def _wait_until_up(server: "subprocess.Popen[bytes]", url: str, log: Path) -> None:
    for _ in range(600):
        assert server.poll() is None, log.read_text()
        try:
            if httpx.get(f"{url}/ok", timeout=1).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)  # another process has to get somewhere; there is nothing to wait on
    raise AssertionError(log.read_text())


def _run(client: SyncLangGraphClient, thread: str, **given: Any) -> dict[str, Any]:
    client.runs.wait(thread, "agent", **given)
    state = client.threads.get(thread)
    return dict(state)


def test_a_run_is_interrupted_resumed_and_done(client: SyncLangGraphClient, home: Path) -> None:
    thread = client.threads.create()["thread_id"]
    state = _run(client, thread, input={"messages": [{"role": "user", "content": QUESTION}]})
    assert state["status"] == "interrupted", (home / "server.log").read_text()
    ((question,),) = [list(found) for found in state["interrupts"].values()]
    (request,) = question["value"]["action_requests"]
    assert request["name"] == "publish_report"
    assert "the moon pulls the water of the ocean" in request["args"]["content"]
    assert not (home / "report.md").exists()

    state = _run(client, thread, command={"resume": "perhaps"})
    assert state["status"] == "interrupted"
    ((question,),) = [list(found) for found in state["interrupts"].values()]
    assert "did not count" in question["value"]["action_requests"][0]["description"]

    state = _run(client, thread, command={"resume": {"decisions": [{"type": "approve"}]}})
    assert state["status"] == "idle"
    assert state["values"]["run"]["ended"] == "done"
    assert (home / "report.md").read_text() == request["args"]["content"]
