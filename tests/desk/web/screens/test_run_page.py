"""One run on the page: tables whose cells open on their spans, and going on with what was cut off."""

from pathlib import Path
from typing import Any

import pytest
from desk_pages import text_of

from signoff import Run
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

MARKET = """
import hashlib
from pathlib import Path
from pydantic import BaseModel

from signoff import Agent, Policy, Team
from signoff.agents import Cell, Table
from signoff.agents.artifacts import Column, Fact, Span
from signoff.tools.search import Sources


class Where(BaseModel):
    sources: str


def fact(text, value):
    sha = hashlib.sha256(text.encode()).hexdigest()
    span = Span(source="otter.md", start=text.index(value), text=value, sha256=sha, date="2026-11-30")
    return Fact(value=value, spans=(span,))


def look(task) -> Table:
    sources = Sources.open(Path(task.input.sources))
    sources.refresh()
    text = sources.text("otter.md")
    price, seats = Column(name="price"), Column(name="<b>seats</b>")
    cells = [Cell.settle("Otter", price, [fact(text, "12 euros"), fact(text, "15 euros")]),
             Cell.settle("Otter", seats, [])]
    if Path("fail").exists():
        raise ValueError("the market is closed")
    return Table.of("Market", [price, seats], {"Otter": cells})


team = Team(name="market", agents=[Agent(role="looker", gives=Table, function=look)], policy=Policy({}), input=Where)
"""


LONG = '{f"row{n}": [Cell.settle(f"row{n}", price, []), Cell.settle(f"row{n}", seats, [])] for n in range(60)}'


@pytest.fixture
def market(home: Path) -> Any:
    (home / "docs").mkdir()
    (home / "docs" / "otter.md").write_text("# Otter\n\nOtter costs 12 euros a seat. In the shop it says 15 euros.\n")
    (home / "market.py").write_text(MARKET)
    return load_team("market.py:team", load_settings()).team


def test_a_cell_opens_on_its_spans_amid_their_document_and_says_when_that_was_changed(
    desk: Any, ann: Any, market: Any, home: Path
) -> None:
    run = Run.start(market, {"goal": "compare", "sources": str(home / "docs")}, settings=load_settings())
    assert run.status == "done", run.record.note
    html = ann.get(f"/runs/{run.id}").text
    assert "contradiction: 12 euros / 15 euros" in text_of(html)
    assert "&lt;b&gt;seats&lt;/b&gt;" in html
    assert f'hx-get="/runs/{run.id}/tables/Table/1"' in html
    opened = ann.get(f"/runs/{run.id}/tables/Table/1")
    assert "<mark>12 euros</mark>" in opened.text
    assert "Otter costs 12 euros a seat" in text_of(opened.text)
    assert "as it was read" in opened.text
    assert "No document that was read says it" in text_of(ann.get(f"/runs/{run.id}/tables/Table/2").text)
    assert ann.get(f"/runs/{run.id}/tables/Table/3").status_code == 404
    assert ann.get(f"/runs/{run.id}/tables/Other/1").status_code == 404
    (home / "docs" / "otter.md").write_text("# Otter\n\nAll of it is new.\n")
    assert "<mark>12 euros</mark>" in ann.get(f"/runs/{run.id}/tables/Table/1").text


def test_a_long_table_has_pages(ann: Any, market: Any, home: Path) -> None:
    (home / "long.py").write_text(MARKET.replace('{"Otter": cells}', LONG))
    team = load_team("long.py:team", load_settings()).team
    run = Run.start(team, {"goal": "compare", "sources": "docs"}, settings=load_settings())
    first, second = ann.get(f"/runs/{run.id}").text, ann.get(f"/runs/{run.id}?rows=50").text
    assert ("Rows 1 to 50 of 60" in first, ">row49<" in first, ">row50<" in first) == (True, True, False)
    assert f'href="/runs/{run.id}?rows=50"' in first
    assert ("Rows 51 to 60 of 60" in second, ">row49<" in second, ">row59<" in second) == (True, False, True)
    assert f'href="/runs/{run.id}?rows=0"' in second


def test_a_run_that_was_decided_while_nobody_drove_it_goes_on_from_the_page(desk: Any, ann: Any) -> None:
    run, (asked,) = desk.asked("write bob")
    path = f"/runs/{run.id}"
    assert "Go on with it" not in ann.get(path).text
    assert ann.post(path, csrf=ann.csrf).status_code == 422
    desk.ledger.approvals.approve(asked.id, by="bea", sha256=asked.shown_sha256)  # in a process that was killed then
    assert "Go on with it" in ann.get(path).text
    assert ann.post(path, csrf=ann.csrf).status_code == 303
    assert ann.settle(run) == "done"
    assert Path("sent.txt").read_text() == "bob: hello (1)\n"


def test_a_run_that_waits_draws_its_team_with_what_is_done_and_the_gate(desk: Any, ann: Any) -> None:
    run, _ = desk.asked("write bob")
    html = ann.get(f"/runs/{run.id}").text
    assert 'aria-label="clerk completed, gate waiting"' in html


def test_a_run_that_failed_says_why_and_goes_on_from_the_page(desk: Any, ann: Any, market: Any, home: Path) -> None:
    given = {"goal": "compare", "sources": str(home / "docs")}
    run = Run.start(market, given, settings=load_settings(), drive=False)
    path = f"/runs/{run.id}"
    assert "Go on with it" in ann.get(f"{path}?before={'9' * 30}").text
    assert "Go on with it" in ann.get(path).text
    assert ann.post(path, csrf="0").status_code == 403
    assert ann.post(path, csrf=ann.csrf).status_code == 303
    assert ann.settle(run) == "done"
    assert "Go on with it" not in ann.get(path).text
    assert ann.post(path, csrf=ann.csrf).status_code == 422
