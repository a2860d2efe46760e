"""schemathesis, which nobody here wrote, asks for every address of the page and of plain HTTP, and gets no 500.

What there is to ask is told from the tables of routes. `python3 make.py real` fetches schemathesis into its own
environment, as one of its packages is under the Mozilla licence.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from desk_pages import Office
from starlette.routing import Route

from signoff.checkpoints.ledger import Person
from signoff.desk.offers import read_offers
from signoff.desk.protocols import plain
from signoff.desk.protocols.asgi import Protocols
from signoff.desk.service import Service
from signoff.desk.web import guarding
from signoff.desk.web.application import build_app
from signoff.fleet import moments_of
from signoff.settings import load_settings

TOOL = Path(os.environ.get("REAL_INPUTS", "/nowhere"), "tools", "bin", "schemathesis")
pytestmark = pytest.mark.skipif(not TOOL.exists(), reason="python3 make.py real fetches schemathesis first")

FIELDS = {
    "verb": ["approve", "edit", "reject", "respond", "revoke", "cancel", "retry", "drain", "give", "take", "token"],
    "reason": ["no"],
    "hours": ["24"],
    "arg.to": ["bob"],
    "arg.text": ["dear Bob"],
    "arg.goal": ["write bob"],
    "head": ["0" * 64],
    "name": ["zoe"],
    "role": ["finance"],
    "at": [],
    "dry_run": ["yes"],
    "once": ["0"],
}
"""What forms send, each with what it may say; half of what is sent is something else."""
ASKED = ("tab", "team", "run", "after", "before", "status", "tenant", "rows", "from", "as", "at")
LEFT_OUT = {"/events", "/teams/{team}/runs/{run}/events", "/sign-out"}
"""Streams, which go on; and what ends the session of whoever asks."""


def described(routes: list[Route], known: dict[str, list[str]]) -> dict[str, Any]:
    """The addresses as OpenAPI has them: what is in a path, a query and a form, with what is there as examples."""
    paths: dict[str, Any] = {}
    for route in routes:
        if route.path in LEFT_OUT:
            continue
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        of_path = known | {"id": known[route.path.split("/")[1]]} if route.path.split("/")[1] in known else known
        named = [_parameter(name, "path", of_path.get(name, []), route.path) for name in re.findall(r"\{(\w+)\}", path)]
        for method in sorted((route.methods or set()) - {"HEAD"}):
            asked = [_parameter(name, "query", known.get(name, []), "") for name in ASKED if method == "GET"]
            told: dict[str, Any] = {"parameters": [*named, *asked], "responses": {"default": {"description": "any"}}}
            if method == "POST":
                told["requestBody"] = {"content": _body(route.path, known)}
            paths.setdefault(path, {})[method.lower()] = told
    return {"openapi": "3.1.0", "info": {"title": "the desk", "version": "1"}, "paths": paths}


def _parameter(name: str, where: str, known: list[str], path: str) -> dict[str, Any]:
    is_number = f"{{{name}:int}}" in path
    schema = {"type": "integer", "minimum": 0} if is_number else _text(known)
    examples = {one: {"value": one} for one in known}
    return {"name": name, "in": where, "required": where == "path", "schema": schema} | (
        {"examples": examples} if examples and not is_number else {}
    )


def _text(known: list[str]) -> dict[str, Any]:
    return {"anyOf": [{"enum": known}, {"type": "string"}]} if known else {"type": "string"}


def _body(path: str, known: dict[str, list[str]]) -> dict[str, Any]:
    if path.startswith("/teams"):
        return {"application/json": {"schema": {"type": "object"}}}
    fields = {name: _text([*said, *known.get(name, [])]) for name, said in FIELDS.items()}
    fields |= {
        "sha256": _text(known["sha256"]),
        **{f"item.{one}": _text(known["sha256"]) for one in known["approvals"]},
    }
    return {"application/x-www-form-urlencoded": {"schema": {"type": "object", "properties": fields}}}


@contextmanager
def served(app: Any, endpoint: socket.socket) -> Iterator[None]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    serving = threading.Thread(target=server.run, args=([endpoint],), daemon=True)
    serving.start()
    yield
    server.should_exit = True
    serving.join(20)


@pytest.mark.real
def test_schemathesis_finds_no_error_that_nobody_expected(
    desk: Office, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding.Pace, "seconds_to_wait", lambda *_: 0.0)  # as many strangers would ask in an hour
    run, (bob, _) = desk.asked("write bob cy")
    done, (dee,) = desk.asked("write dee")
    desk.ledger.approvals.reject(dee.id, by="ann", reason="no")
    for role in ("admin", "tenant:*", "finance"):
        desk.ledger.people.give("root", role, by="root")
    token = desk.ledger.people.give_key(Person("root"), "token", days=1, by="root")
    with socket.create_server(("127.0.0.1", 0)) as endpoint:
        host = f"127.0.0.1:{endpoint.getsockname()[1]}"
        page: Any = build_app(desk.context, hosts=[host], origins=[f"http://{host}"])
        service = Service(load_settings(), desk.ledger, read_offers(["office.py:team"], load_settings()))
        programs = Protocols(service, desk.context.identity, [host], f"http://{host}")
        routes = [one for one in page._app.routes if isinstance(one, Route)] + plain.routes_of(service)
        asked = [one.id for one in (bob, dee)]
        known = {"runs": [run.id, done.id], "approvals": asked, "batches": asked, "approval": asked}
        known |= {"run": [run.id, done.id], "sha256": [bob.shown_sha256, dee.shown_sha256]}
        known |= {"at": [moments_of(run.id, run.team, load_settings())[0][0].id]}
        known |= {"team": ["post", "office.py:team"], "table": ["Post"], "name": ["Post", "root"], "status": ["failed"]}
        (home / "openapi.json").write_text(json.dumps(described(routes, known)))
        often = os.environ.get("SCHEMATHESIS_EXAMPLES", "15")
        command = [str(TOOL), "run", "openapi.json", "--url", f"http://{host}", "--checks", "not_a_server_error"]
        command += ["--max-examples", often, "--seed", "20261130", "--phases", "examples,coverage,fuzzing"]
        command += ["--header", f"Authorization: Bearer {token}", "--request-timeout", "60", "--no-color"]
        with served(programs.beside(page), endpoint):
            found = subprocess.run(command, capture_output=True, text=True, check=False, cwd=home)
    assert found.returncode == 0, found.stdout[-6_000:] + found.stderr[-2_000:]
    tested = re.search(r"(\d+) generated", found.stdout)
    assert tested, found.stdout[-3_000:]
    assert int(tested[1]) > 500
