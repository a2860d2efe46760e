"""Twelve companies on a site with a search: what was moved, is slow, barred or lies comes out as what it is."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from signoff import Run
from signoff.errors import BadInput
from signoff.graphs.teams.competitors import Comparison, competitors_team
from signoff.tools.web import Snapshots, Web
from signoff.tools.web.request import Reach
from signoff.tools.web.search_providers import json_search

LICENCES = {
    "Otter": "MIT", "Seal": "BSD-3-Clause", "Tern": "Apache-2.0", "Gannet": "MIT", "Puffin": "ISC", "Auk": "MIT",
    "Heron": "MIT", "Grebe": "MIT", "Shag": "GPL-3.0", "Skua": "MIT", "Dunlin": "MIT", "Knot": "MIT",
}  # fmt: skip
MOVED, SLOW, BARRED, OF_ANOTHER, BROKEN, TWO_SIDED, GONE = "Seal", "Puffin", "Heron", "Grebe", "Skua", "Dunlin", "Knot"


def page(name: str, licence: str) -> str:
    return f"<title>{name} - the engine</title><h1>{name}</h1><p>License: {licence}</p><p>{name} is quick.</p>"


class Site(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ends = threading.Event()
        self.is_slow = False
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        self.server.asked.append(asked.path)
        name = asked.path.strip("/").removeprefix("barred/").removeprefix("new/")
        if asked.path == "/search":
            sought = parse_qs(asked.query)["q"][0].split()[0]
            place = f"/barred/{sought}" if sought == BARRED else f"/{sought}"
            found = {"results": [{"url": f"{self.server.address}{place}", "title": sought}]}
            return self.answer(json.dumps(found), "application/json")
        if asked.path == "/robots.txt":
            return self.answer("User-agent: *\nDisallow: /barred/\n", "text/plain")
        if asked.path == f"/{MOVED}":
            return self.answer("", status=301, location=f"{self.server.address}/new/{MOVED}")
        if name == SLOW and self.server.is_slow:
            self.server.ends.wait()  # whoever asked has gone by then
            return None
        if name == BROKEN:
            return self.answer("%PDF-1.7 no more", "application/pdf")
        if name not in LICENCES or name == GONE:
            return self.answer("no such page", status=404)
        told = page("Shag", "GPL-3.0") if name == OF_ANOTHER else page(name, LICENCES[name])
        return self.answer(told + ("<p>License: AGPL-3.0</p>" if name == TWO_SIDED else ""))

    def answer(self, body: str, kind: str = "text/html", *, status: int = 200, location: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        threading.Thread(target=running.serve_forever, args=[0.01], daemon=True).start()
        yield running
        running.ends.set()
        running.shutdown()


def start(site: Site, seconds: float = 60, **changes: Any) -> Run:
    reach = Reach(private=("127.0.0.1",), pause=0, seconds=seconds)
    web = Web(Snapshots(), search=json_search(f"{site.address}/search"), fetch=True, reach=reach)
    team = competitors_team(model="offline", web=web)
    given = {"goal": "engines", "companies": [*LICENCES], "categories": ["licence"], "web": True, **changes}
    return Run.start(team, given)


def test_each_of_twelve_pages_comes_out_as_what_it_is(site: Site) -> None:
    table = start(site).artifact(Comparison)
    found = {row: table.cell(row, "licence") for row in table.rows}
    strange = (MOVED, BARRED, OF_ANOTHER, BROKEN, TWO_SIDED, GONE)
    assert {row: cell.value for row, cell in found.items() if row not in strange} == {
        row: licence for row, licence in LICENCES.items() if row not in strange
    }
    assert found[MOVED].value == LICENCES[MOVED]
    assert found[MOVED].spans[0].origin.startswith(f"{site.address}/new/{MOVED}, fetched ")
    assert found[BARRED].state == "look-up failed"
    assert "robots.txt" in found[BARRED].problem
    assert f"/barred/{BARRED}" not in site.asked
    assert (found[OF_ANOTHER].state, found[OF_ANOTHER].read) == ("not found", ())
    assert found[BROKEN].state == "look-up failed"
    assert found[TWO_SIDED].shown == "contradiction: MIT / AGPL-3.0"
    assert (found[GONE].state, "404" in found[GONE].problem) == ("look-up failed", True)


def test_a_page_that_takes_too_long_is_a_failed_look_up(site: Site) -> None:
    site.is_slow = True
    cell = start(site, seconds=0.5, companies=[SLOW]).artifact(Comparison).cell(SLOW, "licence")
    assert (cell.state, cell.value) == ("look-up failed", "")
    assert "0.5 seconds" in cell.problem


def test_a_value_from_the_web_has_the_digest_and_day_of_the_page_as_it_was(site: Site) -> None:
    run = start(site, companies=["Otter"])
    (span,) = run.artifact(Comparison).cell("Otter", "licence").spans
    assert span.source.startswith(f"web:127.0.0.1:{site.server_port}/Otter@")
    text = Snapshots().text(span.source)
    assert text[span.start : span.start + len(span.text)] == span.text == "License: MIT"
    assert span.origin.endswith(span.date)
    assert run.asked.action == "publish_report"


def test_without_the_web_opened_it_says_how_to_open_it(site: Site) -> None:
    with pytest.raises(BadInput, match=r"web is asked for, and the web is closed\. Open it: docs/tools/web\.md"):
        Run.start(competitors_team(model="offline"), {"goal": "engines", "companies": ["Otter"], "web": True})
    assert site.asked == []
