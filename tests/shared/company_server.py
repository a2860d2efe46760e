"""A server that keeps companies as HubSpot and Pipedrive do, and fails as it is told to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from signoff.tools.crm import HubSpot, SearchThenWrite
from signoff.tools.crm.pace import Pace
from signoff.tools.web import plain_client

Fault = Callable[[str, str, Any], Any]


@dataclass
class Companies:
    """What the server has, what it was asked, and what goes wrong with it."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By id: the properties of each."""
    asked: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    """The key of each row that was written, once for each time."""
    fault: Fault = lambda method, path, body: None
    """Looked at before a request is answered: (status, headers, body) instead of it, `drop` to do it and hang up,
    `hang up` to do nothing; or (`rows`, {key: error}) to refuse some rows of a batch."""
    port: int = 0
    hidden: int = 0
    """How many more searches do not find what was written."""
    changing: Any = field(default_factory=threading.Lock)

    def hubspot(self, **options: Any) -> HubSpot:
        return HubSpot(base=f"http://127.0.0.1:{self.port}", client=plain_client, pace=Pace(), settles=0.01, **options)

    def pipedrive(self, **options: Any) -> SearchThenWrite:
        base = f"http://127.0.0.1:{self.port}"
        return SearchThenWrite(base=base, client=plain_client, pace=Pace(), settles=0.01, **options)

    def with_key(self, key: str) -> list[str]:
        return [one for one, kept in self.records.items() if kept.get("signoff_key") == key]

    def keys(self) -> list[str]:
        return [kept["signoff_key"] for kept in self.records.values()]

    def writes(self) -> int:
        return sum(1 for line in self.asked if "upsert" in line or line.startswith(("PUT", "POST /v1/organizations")))

    def write(self, properties: dict[str, Any], record_id: str = "") -> str:
        record_id = record_id or str(len(self.records) + 1)
        self.records.setdefault(record_id, {}).update(properties)
        self.written.append(properties["signoff_key"])
        return record_id

    def upsert(self, inputs: list[dict[str, Any]], refused: dict[str, dict[str, Any]]) -> tuple[int, Any]:
        """As HubSpot does it: each result says whether it is new; 207 when some failed."""
        results, errors = [], []
        for one in inputs:
            if one["id"] in refused:
                errors.append(
                    {"status": "error", "context": {"objectWriteTraceId": [one["objectWriteTraceId"]]}}
                    | refused[one["id"]]
                )
                continue
            there = self.with_key(one["id"])
            record_id = self.write(one["properties"], there[0] if there else "")
            trace = {"objectWriteTraceId": one["objectWriteTraceId"]}
            results.append({"id": record_id, "new": not there, "properties": one["properties"], **trace})
        told = {"status": "COMPLETE", "results": results}
        return (207, {**told, "numErrors": len(errors), "errors": errors}) if errors else (200, told)

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any, wrong: Any) -> tuple[int, Any]:
        refused = wrong[1] if isinstance(wrong, tuple) and wrong[0] == "rows" else {}
        with self.changing:
            if path.endswith("/batch/read"):
                found = [(one, self.records[one]) for want in body["inputs"] for one in self.with_key(want["id"])]
                kept = [
                    {"id": one, "properties": {name: has.get(name) for name in body["properties"]}}
                    for one, has in found
                ]
                return (200 if len(kept) == len(body["inputs"]) else 207), {"status": "COMPLETE", "results": kept}
            if path.endswith("/batch/upsert"):
                return self.upsert(body["inputs"], refused)
            if path.endswith("/search"):
                if self.hidden > 0:
                    self.hidden -= 1
                    return 200, {"success": True, "data": {"items": []}}
                items = [{"item": {"id": int(one)}} for one in self.with_key(query["term"][0])]
                return 200, {"success": True, "data": {"items": items}}
            one = path.rpartition("/")[2]
            if method == "GET":
                known = self.records.get(one)
                return (
                    (200, {"success": True, "data": {"id": int(one), **known}}) if known else (404, {"error": "gone"})
                )
            if method == "PUT":
                return 200, {"success": True, "data": {"id": int(self.write(body, one))}}
            return 201, {"success": True, "data": {"id": int(self.write(body))}}


@contextmanager
def company_server() -> Iterator[Companies]:
    """A loopback server of companies."""
    kept = Companies()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.answer({})

        def do_POST(self) -> None:
            self.answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

        do_PUT = do_POST

        def answer(self, sent: Any) -> None:
            parts = urlsplit(self.path)
            kept.asked.append(f"{self.command} {parts.path}")
            wrong = kept.fault(self.command, parts.path, sent)
            if wrong == "hang up":
                self.close_connection = True
                return
            headers: dict[str, str] = {}
            if isinstance(wrong, tuple) and wrong[0] != "rows":
                status, headers, body = wrong
            else:
                status, body = kept.answer(self.command, parts.path, parse_qs(parts.query), sent, wrong)
            if wrong == "drop":
                self.close_connection = True
                return
            raw = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(raw))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    kept.port = server.server_port
    try:
        yield kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
