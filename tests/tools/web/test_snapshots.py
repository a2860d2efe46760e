"""What was fetched is kept: it can be searched and quoted, whatever becomes of the page."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import warm
from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config

from signoff.errors import PageRefused, SnapshotChanged, UnknownSource
from signoff.tools.search.library import SourcesAndPages
from signoff.tools.search.sources import Sources
from signoff.tools.search.tools import search_tools
from signoff.tools.storage.blobs import Blobs
from signoff.tools.web.fetch import Fetched
from signoff.tools.web.snapshots import Snapshots
from signoff.tools.web.tools import Web, web_tools

TIDES = "<title>Tides</title><h1>Tides</h1><h2>Cause</h2><p>The moon pulls the water of the ocean.</p>"
PAGE = Fetched(
    address="https://sea.example/a/tides?x=1", content_type="text/html", encoding="utf-8", raw=TIDES.encode()
)


@pytest.fixture
def library(home: Path) -> Iterator[SourcesAndPages]:
    folder = home / "documents"
    folder.mkdir()
    (folder / "harbour.md").write_text("# Harbour\n\nShips wait for the tide outside.\n\nA pilot comes on board.")
    opened = SourcesAndPages(Sources.open(folder), Snapshots())
    opened.refresh()
    yield opened
    opened.close()


@contextmanager
def thread(name: str) -> Iterator[None]:
    """As if a step of this thread did it."""
    token = var_child_runnable_config.set(RunnableConfig(configurable={"thread_id": name}))
    yield
    var_child_runnable_config.reset(token)


def test_a_snapshot_holds_bytes_text_address_and_time(home: Path) -> None:
    kept = Snapshots().visit("http://sea.example/tides", lambda _: PAGE)
    assert kept.source.startswith("web:sea.example/a/tides@")
    assert (kept.asked, kept.address) == ("http://sea.example/tides", PAGE.address)
    assert kept.origin == f"{PAGE.address}, fetched {kept.fetched[:10]}"
    assert Blobs().read(kept.raw_sha256) == TIDES.encode()
    assert Blobs().read(kept.text_sha256).decode() == Snapshots().text(kept.source)


def test_a_run_sees_a_page_once_and_other_runs_for_themselves() -> None:
    pages = iter(["First.", "Second."])
    snapshots = Snapshots()

    def fetch(address: str) -> Fetched:
        return Fetched(address=address, content_type="text/plain", encoding="", raw=next(pages).encode())

    said = []
    for run in ("one", "two", "one", "two"):
        with thread(run):
            said.append(snapshots.text(snapshots.visit("http://sea.example/", fetch).source))
    assert said == ["First.", "Second.", "First.", "Second."]


def test_where_a_redirect_led_to_is_the_same_page() -> None:
    snapshots = Snapshots()
    first = snapshots.visit("http://sea.example/tides", lambda _: PAGE)
    calls: list[str] = []
    again = snapshots.visit(f"{PAGE.address}#cause", lambda address: calls.append(address) or PAGE)  # type: ignore[func-returns-value]  # counts the calls
    assert (again, calls) == (first, [])
    assert snapshots.visited() == (first.source,)


def test_what_could_not_be_fetched_is_tried_again() -> None:
    snapshots = Snapshots()

    def refuse(_: str) -> Fetched:
        raise PageRefused("it is closed")

    with pytest.raises(PageRefused):
        snapshots.visit(PAGE.address, refuse)
    assert snapshots.visited() == ()
    assert snapshots.visit(PAGE.address, lambda _: PAGE).address == PAGE.address


def test_another_process_finds_the_snapshot_that_the_run_had_before(home: Path) -> None:
    with thread("run-1"):
        kept = Snapshots().visit(PAGE.address, lambda _: PAGE)
    code = f"""
from langchain_core.runnables.config import var_child_runnable_config
from signoff.tools.web.snapshots import Snapshots
def fetch(address):
    raise AssertionError("fetched again")
var_child_runnable_config.set({{"configurable": {{"thread_id": "run-1"}}}})
found = Snapshots().visit({PAGE.address!r}, fetch)
print(found.source, Snapshots().text(found.source).splitlines()[-1])
"""
    done = warm.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == (f"{kept.source} The moon pulls the water of the ocean.\n", "")


def test_pages_are_found_beside_documents_and_quoted_by_their_offsets(library: SourcesAndPages) -> None:
    kept = library.snapshots.visit(PAGE.address, lambda _: PAGE)
    found = {passage.source: passage for passage in library.search("tide moon ocean pilot")}
    assert set(found) == {kept.source, "harbour.md"}
    page = found[kept.source]
    assert (page.title, page.heading) == ("Tides", "Cause")
    assert library.text(kept.source)[page.start : page.start + len(page.text)] == page.text
    assert page.text.endswith("The moon pulls the water of the ocean.")
    assert library.paths() == ["harbour.md", kept.source]
    assert (library.documents, library.document_frequency(["moon", "ships"])) == (2, {"moon": 1, "ships": 1})
    assert len({passage.id for passage in found.values()}) == 2
    assert [passage.id for passage in library.passages_of(kept.source)] == [page.id]
    assert library.origin(kept.source) == kept.origin
    assert library.origin("harbour.md") == ""


def test_what_a_passage_has_of_a_question_is_known_of_pages_and_documents(library: SourcesAndPages) -> None:
    library.snapshots.visit(PAGE.address, lambda _: PAGE)
    found = library.search("moon pilot")
    shares = library.shares("moon pilot whale", found)
    assert {passage.source.partition(":")[0]: round(shares[passage.id], 1) for passage in found} == {
        "web": 0.3,
        "harbour.md": 0.3,
    }


def test_a_run_finds_its_own_pages_only_but_a_citation_can_be_checked_from_everywhere(library: SourcesAndPages) -> None:
    with thread("one"):
        kept = library.snapshots.visit(PAGE.address, lambda _: PAGE)
        assert kept.source in library.paths()
    with thread("two"):
        assert kept.source not in library.paths()
        assert [passage.source for passage in library.search("moon")] == []
        assert "The moon" in library.text(kept.source)
        assert library.passages_of(kept.source)[0].heading == "Cause"


def test_a_folder_without_documents_is_enough_when_there_is_the_web(home: Path) -> None:
    (home / "nothing").mkdir()
    library = SourcesAndPages(Sources.open(home / "nothing"), Snapshots())
    assert library.refresh().documents == 0
    library.snapshots.visit(PAGE.address, lambda _: PAGE)
    assert library.documents == 1
    library.close()


@pytest.mark.parametrize("part", ["blob", "record"])
def test_a_snapshot_that_was_changed_is_not_quoted_from(home: Path, library: SourcesAndPages, part: str) -> None:
    kept = library.snapshots.visit(PAGE.address, lambda _: PAGE)
    (record,) = (home / ".signoff" / "snapshots" / "pages").iterdir()
    place = Blobs().path(kept.text_sha256) if part == "blob" else record
    place.write_bytes(place.read_bytes().replace(b"Tides", b"Tidal"))
    with pytest.raises(SnapshotChanged, match="is not what was fetched"):
        library.text(kept.source)
    assert [passage.source for passage in library.search("moon")] == []


@pytest.mark.parametrize(
    "source", ["web:sea.example/a/tides@0123456789abcdef", "web:sea.example/a/tides", "web:../../x@zz", "web:"]
)
def test_a_snapshot_that_nobody_made_is_unknown(library: SourcesAndPages, source: str) -> None:
    library.snapshots.visit(PAGE.address, lambda _: PAGE)
    with pytest.raises(UnknownSource):
        library.text(source)


def test_the_name_of_a_snapshot_counts_as_a_whole(library: SourcesAndPages) -> None:
    kept = library.snapshots.visit(PAGE.address, lambda _: PAGE)
    with pytest.raises(UnknownSource):
        library.text(kept.source.replace("sea.example", "bank.example"))


def test_what_the_fetch_tool_printed_can_be_read_and_searched_by_the_search_tools(
    server: Any, web: Callable[..., Web], library: SourcesAndPages
) -> None:
    opened = web()
    (fetch,) = web_tools(opened)
    search, read = search_tools(SourcesAndPages(library.sources, opened.snapshots))
    source = fetch.invoke({"url": f"{server.site}/text"}).partition(" | ")[0]
    assert f"[2] {source} | text.txt | start=0\nA line.\n\nAnother." in search.invoke({"query": "another line"})
    assert read.invoke({"source": source, "start": 9}).endswith(":\n\nAnother.")
    server.pages["/text"] = ("text/plain", b"Something else.")
    assert fetch.invoke({"url": f"{server.site}/text"}).endswith("Another.")
    assert server.asked == ["/text"]
