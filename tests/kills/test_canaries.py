"""Secrets are planted everywhere they may lie; a whole team runs; nothing that it leaves behind or says holds one."""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
import warm

from signoff.checkpoints.saver.saver import SqliteCheckpointer
from signoff.testing import Call, Item, ScriptedServer, calls

PROGRAM = Path(__file__).parent / "programs" / "canaries.py"

CANARIES = {
    "variable": "canary+variable/4711",
    "kept": "canary+kept/4712",
    "written": "canary+written/4713",
    "printed": "canary+printed/4714",
    "key": "canary-model-key-4715",
    "hook": "canary-hook-4716",
    "address": "canary-address-4718",
    "dotenv": "canary-dotenv-4717",
}
"""No two alike, and none like a secret that is told by its look."""


class Echo(BaseHTTPRequestHandler):
    """Sends back what it was sent, in pieces and in other spellings, and fails on the way if asked."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        sent = self.headers.get("Authorization", "")
        self.server.seen.append(f"{self.path} {sent}")  # type: ignore[attr-defined]  # set by the fixture
        said = sent.partition(" ")[2]
        told = [
            sent,
            quote(said, safe=""),
            said.encode().hex(),
            base64.b64encode(said.encode()).decode(),
            body.decode(),
        ]
        raw = json.dumps(told).encode()
        self.send_response(500 if self.path == "/failing" else 200)
        self.send_header("X-Echo", sent)
        self.send_header("WWW-Authenticate", f'Basic realm="{said}"')
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for at in range(0, len(raw), 5):
            piece = raw[at : at + 5]
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            if self.path == "/broken" and at > 100:
                self.close_connection = True
                return
        self.wfile.write(b"0\r\n\r\n")

    do_POST = do_GET

    def handle(self) -> None:
        with suppress(ConnectionError):  # the broker may hang up
            super().handle()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def echo() -> Iterator[Any]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.seen = []  # type: ignore[attr-defined]  # what arrived
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def rules(port: int, tool: str) -> str:
    return (
        f'rules = [{{hosts = ["127.0.0.1:{port}"], tools = ["{tool}"], methods = ["GET", "POST"], scheme = "http", '
        "private = true}]\n"
    )


def plant(outside: Path, echo: Any) -> dict[str, str]:
    """Hide the canaries; the environment that the program is started with."""
    port = echo.server_address[1]
    kept, secrets = outside / "kept", outside / "secrets.toml"
    kept.write_text(CANARIES["kept"])
    secrets.write_text(
        f"[secrets.tracker]\nenv = 'TRACKER'\n{rules(port, 'tracker')}"
        f"[secrets.kept]\nfile = '{kept}'\n{rules(port, 'kept')}"
        f"[secrets.written]\nvalue = '{CANARIES['written']}'\n{rules(port, 'written')}"
        f"[secrets.printed]\ncommand = ['echo', '{CANARIES['printed']}']\n{rules(port, 'printed')}"
        f"[[open]]\nhosts = ['127.0.0.1:{port}']\ntools = ['sandbox']\nscheme = 'http'\nprivate = true\n"
    )
    for path in (kept, secrets):
        path.chmod(0o600)
    Path(".env").write_text(f"SIGNOFF_WEBHOOK_SECRET={CANARIES['dotenv']}\n")
    return {
        "TRACKER": CANARIES["variable"],
        "OPENAI_API_KEY": CANARIES["key"],
        "SIGNOFF_MODEL": "openai:scripted",
        "SIGNOFF_PRICES": '{"scripted": 0}',
        "SIGNOFF_SECRETS": str(secrets),
        "SIGNOFF_WEBHOOKS": f"http://127.0.0.1:{port}/hook/{CANARIES['hook']}",
        "SIGNOFF_SEARCH_URL": f"http://me:{CANARIES['address']}@127.0.0.1:{port}/search",
        "SIGNOFF_CONFIRM_SECONDS": "0",
        "SIGNOFF_TRACES": "console",
        "SIGNOFF_TRACES_CONTENT": "true",
    }


@dataclass(frozen=True)
class Left:
    """What a run left behind."""

    said: str
    prompts: str
    arrived: tuple[str, ...]
    shown: str
    """What the model was shown, as the team has it."""


def all_seen(call: Call) -> Item:
    return calls("Notes", text=call.text)


@pytest.fixture
def left(home: Path, tmp_path: Path, echo: Any) -> Left:
    outside = tmp_path / "outside"
    outside.mkdir()
    environment = plant(outside, echo)
    tried = [calls("ask_servers", path=path) for path in ("echo", "failing", "broken")]
    script: list[Item] = [*tried, calls("look_around"), calls("run_inside"), all_seen]
    with ScriptedServer(script, key=CANARIES["key"]) as server:
        url = f"https://127.0.0.1:{echo.server_address[1]}"
        done = warm.run(
            [sys.executable, str(PROGRAM), url],
            env=os.environ | environment | {"SIGNOFF_BASE_URL": server.url},
            capture_output=True,
            text=True,
            check=False,
        )
        prompts = "".join(json.dumps(request.body) for request in server.requests)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout.splitlines()[0])
    assert told["status"] == "done"
    return Left(done.stdout + done.stderr, prompts, tuple(echo.seen), told["notes"])


def spellings(secret: str) -> Iterator[bytes]:
    raw = secret.encode()
    yield from (raw, quote(secret, safe="").encode(), raw.hex().encode(), raw.hex().upper().encode())
    yield json.dumps(secret)[1:-1].encode()
    for before in range(3):
        # Without the characters that what stands beside it has a part in.
        yield base64.b64encode(bytes(before) + raw)[(before * 8 + 5) // 6 : (before + len(raw)) * 8 // 6]


def found_in(raw: bytes) -> list[str]:
    return [name for name, secret in CANARIES.items() if any(spelled in raw for spelled in spellings(secret))]


def test_no_canary_is_found_in_what_a_run_leaves_behind(home: Path, left: Left) -> None:
    # They were used, or there would be nothing to find.
    for name in ("variable", "kept", "written", "printed"):
        assert f"/echo Bearer {CANARIES[name]}" in left.arrived
    assert f"/comments Bearer {CANARIES['variable']}" in left.arrived
    assert left.shown.count("[redacted]") > 20
    for text in (left.said, left.prompts, left.shown):
        assert found_in(text.encode()) == []
    if "No sandbox can be used here" not in left.shown:
        assert "/inside " in left.arrived
    files = [path for path in home.rglob("*") if path.is_file() and path.name != ".env"]
    names = {path.name for path in files}
    assert {"signoff.db", "broker.log", "run.jsonl", "run.html"} <= names
    assert {path.name: found for path in files if (found := found_in(path.read_bytes()))} == {}
    with SqliteCheckpointer(home / ".signoff" / "signoff.db") as saver:
        kept = [repr(one) for one in saver.list(None)]
    assert len(kept) > 3
    assert found_in("\n".join(kept).encode()) == []


def test_a_canary_would_be_found() -> None:
    for name, secret in CANARIES.items():
        pair = base64.b64encode(f"me:{secret}".encode())
        for spelled in (secret.encode(), quote(secret, safe="").encode(), secret.encode().hex().encode(), pair):
            assert found_in(b"\x00some\xff" + spelled + b"more") == [name]
