"""The table of all protocols, played through Aegra, another server for such graphs, by LangGraph's own client."""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from doors import Place, tokens_of
from langgraph_dev import free_port, wait_until_up
from langgraph_doors import Aegra
from langgraph_sdk import get_sync_client
from protocol_table import APPROVE, COUNTS, played, sent

from signoff.desk.protocols.langgraph_auth import TENANT
from signoff.desk.service import Service

PYTHON = Path(os.environ.get("REAL_INPUTS", ""), "aegra", "bin", "python")
pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(
        "REAL_INPUTS" not in os.environ or not PYTHON.exists(),
        reason="python3 make.py real installs Aegra first, which needs Python 3.12 or newer",
    ),
]
GRAPHS = """
from office import soon, team, two

post, two, soon = (one.graph() for one in (team, two, soon))
"""
CONFIG = """
{
  "graphs": {"post": "./graphs.py:post", "two": "./graphs.py:two", "soon": "./graphs.py:soon"},
  "auth": {"path": "signoff.desk.protocols.langgraph_auth:auth"}
}
"""


@pytest.fixture
def place(service: Service, home: Path, server: Any) -> Iterator[Place]:
    """Aegra with our people, over a PostgreSQL of its own."""
    (home / "graphs.py").write_text(GRAPHS)
    (home / "aegra.json").write_text(CONFIG)
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE aegra")
    port, log, database = free_port(), home / "server.log", str(server.get_uri(database="aegra"))
    env = {**os.environ, "DATABASE_URL": database, "AUTH_TYPE": "custom", "AEGRA_CONFIG": "aegra.json"}
    command = [str(PYTHON), "-m", "uvicorn", "aegra_api.main:app", "--host", "127.0.0.1", "--port", str(port)]
    tokens = tokens_of(service.ledger, ann=("finance",), bob=(), zed=("tenant:zeta",))
    with log.open("w") as file:
        process = subprocess.Popen(command, cwd=home, env=env, stdout=file, stderr=subprocess.STDOUT)
        try:
            wait_until_up(process, f"http://127.0.0.1:{port}/health", log)
            yield Place(f"http://127.0.0.1:{port}", service, tokens)
        finally:
            process.terminate()
            process.wait(60)
    assert "Traceback" not in log.read_text()


def refused(work: Any) -> int:
    with pytest.raises(httpx.HTTPStatusError) as caught:
        work()
    return caught.value.response.status_code


def test_the_same_counts_and_the_same_is_refused_on_aegra(place: Place, home: Path) -> None:
    expected = {**COUNTS, "another person's": "unknown"}  # a thread is only shown to whoever made it
    assert asyncio.run(played(Aegra(place), place.service, home)) == expected
    clients: list[Any] = [get_sync_client(url=place.address, headers=place.headers(who)) for who in ("ann", "zed")]
    ann, zed = clients
    try:
        _nobody_decides_as_somebody_else(place, ann)
        own, theirs = zed.threads.create(), ann.threads.create(metadata={TENANT: "zeta"})
        assert [own["metadata"][TENANT], theirs["metadata"][TENANT]] == ["zeta", ""]
        assert [found["thread_id"] for found in zed.threads.search()] == [own["thread_id"]]
        zed.threads.update(own["thread_id"], metadata={**own["metadata"], "note": "mine"})
        assert refused(partial(zed.threads.update, own["thread_id"], metadata={TENANT: ""})) == 403
        for client, thread in ((zed, theirs["thread_id"]), (ann, own["thread_id"])):
            assert refused(partial(client.threads.get_state, thread)) == 404
            assert refused(partial(client.runs.create, thread, "post", input={"goal": "write Ida"})) == 404
        for cut in ("interrupt", "rollback"):
            start = partial(ann.runs.create, theirs["thread_id"], "post", input={"goal": "write Ida"})
            assert refused(partial(start, multitask_strategy=cut)) == 422
        for headers, status in (
            ({}, 401),
            ({"Authorization": "Bearer x"}, 401),
            ({"X-Api-Key": place.tokens["ann"]}, 200),
        ):
            assert httpx.post(f"{place.address}/threads", json={}, headers=headers).status_code == status
    finally:
        for client in clients:
            client.http.client.close()
    assert sent(home) == COUNTS["sent"]


def _nobody_decides_as_somebody_else(place: Place, ann: Any) -> None:
    """Aegra passes on what clients say of the user; whom it knows is believed alone."""
    thread = ann.threads.create()["thread_id"]
    ann.runs.wait(thread, "two", input={"goal": "write Eve"})
    (asked,) = place.service.ledger.approvals.pending(thread)
    answer = {**APPROVE, "approval_id": asked.id, "args_sha256": asked.shown_sha256}
    claims = {"langgraph_auth_user_id": "bea", "langgraph_auth_permissions": ["finance"]}
    for config in ({}, {"configurable": claims}, {"configurable": {**claims, "langgraph_auth_user": {**claims}}}):
        ann.runs.wait(thread, "two", command={"resume": answer}, config=config)
        assert [vote.name for vote in place.service.ledger.approvals.get(asked.id).votes] == ["ann"]
