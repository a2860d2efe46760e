"""A server on this machine that answers OSV's queries from a set of records, and what asks such a server for a set.

The second judge of a scan asks it. So it decides by itself whom a record affects, by OSV's own algorithm on the raw
record, and shares nothing with `records.py` but the reading of versions.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import urlsplit

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from signoff.tools.advisories.records import ECOSYSTEM, AdvisorySet
from signoff.tools.errors import AdvisoriesUnusable
from signoff.tools.web.addresses import is_loopback

OSV: Final = "https://api.osv.dev"
_LARGEST: Final = 1_000_000
"""Bytes of a query."""
_PAGES: Final = 50


@contextmanager
def serving(advisories: AdvisorySet) -> Iterator[str]:
    """The address of a server that answers from these records, on 127.0.0.1 alone, until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                size = int(self.headers.get("Content-Length", ""))
                asked = json.loads(self.rfile.read(size)) if size <= _LARGEST else None
                status, told = answer(advisories.records, self.path, asked)
            except (ValueError, KeyError, TypeError, AttributeError):
                status, told = 400, {"code": 3, "message": "Invalid query."}
            raw = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: nobody reads it."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def answer(records: Iterable[Mapping[str, Any]], path: str, asked: Any) -> tuple[int, Any]:
    """Status and answer to one query: the records of a package, of the version alone if one is asked about."""
    if path != "/v1/query":
        return 404, {"code": 5, "message": "Not found."}
    package, version = asked["package"], asked.get("version")
    if package.get("ecosystem") != ECOSYSTEM:
        return 200, {}
    name = canonicalize_name(package["name"])
    found = [
        record
        for record in records
        for about in [[one for one in record.get("affected", ()) if _is_about(one, name)]]
        if about and (version is None or any(_is_vulnerable(one, str(version)) for one in about))
    ]
    return 200, {"vulns": [_timed(record) for record in found]} if found else {}


def _is_about(affected: Mapping[str, Any], name: str) -> bool:
    package = affected.get("package") or {}
    return package.get("ecosystem") == ECOSYSTEM and canonicalize_name(package.get("name", "")) == name


def _is_vulnerable(affected: Mapping[str, Any], version: str) -> bool:
    """OSV's own algorithm: https://ossf.github.io/osv-schema/#evaluation"""
    if version in affected.get("versions", ()) or _key(version) in map(_key, affected.get("versions", ())):
        return True
    for one in affected.get("ranges", ()):
        if one.get("type") in ("ECOSYSTEM", "SEMVER") and _walk(one.get("events", ()), _key(version)):
            return True
    return False


def _walk(events: Iterable[Mapping[str, str]], now: tuple[int, Any]) -> bool:
    listed = [(kind, (-1, 0) if text == "0" else _key(text)) for event in events for kind, text in event.items()]
    limits = [at for kind, at in listed if kind == "limit"]
    if limits and all(now >= limit for limit in limits):
        return False
    vulnerable = False
    for kind, at in sorted(listed, key=lambda one: (one[1], one[0] != "introduced")):
        if kind == "introduced" and now >= at:
            vulnerable = True
        elif (kind == "fixed" and now >= at) or (kind == "last_affected" and now > at):
            vulnerable = False
    return vulnerable


def _key(version: str) -> tuple[int, Any]:
    """In the order of PEP 440; what is no version comes last, by its letters."""
    try:
        return 0, Version(version)
    except InvalidVersion:
        return 1, version


def _timed(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record with its dates as clients insist on them."""
    dates = {name: str(record[name]) for name in ("published", "modified", "withdrawn") if record.get(name)}
    return {**record, **{name: f"{date[:19].replace(' ', 'T')}Z" for name, date in dates.items()}}


def ask(address: str, names: Iterable[str], *, seconds: float = 30.0) -> AdvisorySet:
    """All records that a server of OSV's has of these packages; AdvisoriesUnusable if it does not tell of one."""
    import httpx2

    found: dict[str, Mapping[str, Any]] = {}
    asked = sorted(set(map(canonicalize_name, names)))
    # A server on this machine is not asked through a proxy, which would not find it.
    with httpx2.Client(timeout=seconds, trust_env=not is_loopback(urlsplit(address).hostname or "")) as client:
        for name in asked:
            query: dict[str, Any] = {"package": {"name": name, "ecosystem": ECOSYSTEM}}
            for _ in range(_PAGES):
                try:
                    told = client.post(f"{address.rstrip('/')}/v1/query", json=query).raise_for_status().json()
                    found |= {record["id"]: record for record in told.get("vulns", ())}
                except (httpx2.HTTPError, ValueError, AttributeError, KeyError, TypeError) as error:
                    problem = f"it does not tell of {name!r}: {type(error).__name__}: {error}".rstrip(": ")
                    raise AdvisoriesUnusable(address, f"{problem}. Nothing was scanned; try again later") from error
                if not (token := told.get("next_page_token")):
                    break
                query["page_token"] = token
            else:
                raise AdvisoriesUnusable(address, f"it has more than {_PAGES} pages of {name!r}")
    return AdvisorySet.made_of(found.values(), asked)
