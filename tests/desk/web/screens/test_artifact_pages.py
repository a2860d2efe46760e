"""What a run has made, however large: a part of it on the page, each part by a link, and all of it as a file."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from desk_pages import Page, text_of

from signoff import Run
from signoff.desk.web.screens.artifact_pages import excerpt
from signoff.graphs.teams import load_team
from signoff.settings import load_settings

MOST_BYTES = 150_000
WRITING = """
from pathlib import Path

from signoff import Agent, Artifact, Policy, Team
from signoff.agents import Cell, Draft, Table
from signoff.agents.artifacts import Column, Evidence, Fact, Quote, Span

TEXT = Path("tides.md").read_text() if Path("tides.md").exists() else ""


class Notes(Artifact):
    lines: list[str]


def quotes(task) -> Evidence:
    made = [Quote(id=n, text=TEXT, source="tides.md", start=0, heading="Tides") for n in range(1, 91)]
    return Evidence(question="why", quotes=tuple(made))


def draft(task) -> Draft:
    return Draft(title="Long", markdown=Path("long.md").read_text(), method="extracted")


def table(task) -> Table:
    rows, columns = map(int, Path("size.txt").read_text().split())
    named = [Column(name=f"<column {n}>") for n in range(columns)]
    value = Path("value.txt").read_text()
    span = Span(source="tides.md", start=0, text=value, sha256="0" * 64, date="2026-11-30")
    cells = [Fact(value=value, spans=(span,))]
    made = {f"row {r}": [Cell.settle(f"row {r}", one, cells) for one in named] for r in range(rows)}
    return Table.of("Large", named, made)


def notes(task) -> Notes:
    return Notes(lines=[Path("value.txt").read_text()] * 40_000)


def team_of(*agents):
    return Team(name="writing", agents=list(agents), policy=Policy({}))


READER = Agent(role="reader", gives=Evidence, function=quotes)
WRITER = Agent(role="writer", needs=(Evidence,), gives=Draft, function=draft)
COUNTER = Agent(role="counter", gives=Table, function=table)
NOTER = Agent(role="noter", gives=Notes, function=notes)
writing, counting, noting = team_of(READER, WRITER), team_of(COUNTER), team_of(NOTER)
all_of_it = team_of(READER, WRITER, COUNTER, NOTER)
"""


@pytest.fixture
def made(desk: Any, home: Path) -> Any:
    """Runs a team over the files that are there by then."""
    (home / "tides.md").write_text("The tide rises and falls because of the moon.")
    (home / "value.txt").write_text("12 euros")
    (home / "size.txt").write_text("30 4")
    (home / "long.md").write_text("It rises [1].")
    (home / "writing.py").write_text(WRITING)

    def run(name: str) -> Run:
        found = Run.start(load_team(f"writing.py:{name}", load_settings()).team, "write", settings=load_settings())
        assert found.status == "done", found.record.note
        return found

    return run


def small(page: Page, path: str) -> str:
    found = page.get(path)
    assert (found.status_code, len(found.content) < MOST_BYTES) == (200, True), (path, len(found.content))
    return str(found.text)


def parts(page: Page, path: str, most: int = 2_000) -> list[str]:
    """The page and those that its link to what comes after leads to."""
    found = [small(page, path)]
    while (after := re.search(r'<a href="([^"]+)">After these</a>', found[-1])) and len(found) < most:
        found.append(small(page, after[1]))
    return found


TEXTS = {
    "paragraphs": "\n\n".join(f"Paragraph {n} says *something* [{n % 9 + 1}]. " + "word " * 40 for n in range(1_000)),
    "one line": "word, " * 20_000,
    "hidden": "a\u200b" * 40_000,
    "markup": "<b hx-get='/evil'>&</b> " * 4_000,
    "citations": "[1] [2] [3] " * 8_000,
    "table": "| a | b |\n| - | - |\n" + "| cell [1] | <i> |\n" * 6_000,
    "code": "```python\n" + "print('never markup: <b>')\n" * 4_000 + "```\n\nThe end [1].",
}
VERY_LONG = TEXTS["paragraphs"] * 20


@pytest.mark.parametrize("text", [*TEXTS.values(), VERY_LONG], ids=[*TEXTS, "very long"])
def test_of_a_long_text_a_part_is_shown_and_all_of_it_is_a_file(ann: Page, made: Any, home: Path, text: str) -> None:
    (home / "long.md").write_text(text)
    run = made("writing")
    first = small(ann, f"/runs/{run.id}")
    assert f"of {len(text):,}" in text_of(first)
    assert "Before these" not in first
    second = parts(ann, f"/runs/{run.id}", most=2)[1]
    assert "Before these" in second
    assert small(ann, f"/runs/{run.id}?from={len(text) - 1}").count("After these") == 0
    file = ann.get(f"/runs/{run.id}/artifacts/Draft")
    assert file.text == text
    assert file.headers["content-disposition"] == f'attachment; filename="{run.id}-Draft.md"'
    assert file.headers["content-type"] == "text/markdown; charset=utf-8"
    if text == TEXTS["code"]:
        assert "print" in second
        assert '<pre class="block" tabindex="0"><code>print' in second


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_parts_of_a_text_are_all_of_it_in_its_order(text: str) -> None:
    begin, seen = 0, ""
    while begin < len(text):
        part = excerpt(text, begin, 24_000)
        assert (part.begin, part.end - part.begin <= 24_000) == (begin, True)
        assert part.text.endswith(text[part.begin : part.end])
        seen, begin = seen + text[part.begin : part.end], part.end
    assert seen == text


@pytest.mark.parametrize(
    ("rows", "columns", "value"),
    [pytest.param(5_000, 2, "12 euros", marks=pytest.mark.hunt), (30, 300, "<" * 500), (2, 2_000, "é")],
)
def test_of_a_large_table_some_rows_are_shown_and_all_of_it_is_a_file(
    ann: Page, made: Any, home: Path, rows: int, columns: int, value: str
) -> None:
    (home / "size.txt").write_text(f"{rows} {columns}")
    (home / "value.txt").write_text(value)
    run = made("counting")
    first, second = parts(ann, f"/runs/{run.id}", most=2)
    shown = int(re.findall(r"Rows 1 to (\d+) of", first)[0])
    assert f"Rows {shown + 1} to" in second
    assert f">row {shown}<" in second
    assert f">row {shown}<" not in first
    assert f"of {rows:,}" in first
    read = list(csv.reader(io.StringIO(ann.get(f"/runs/{run.id}/artifacts/Table").text)))
    assert (len(read), {len(line) for line in read}) == (rows + 1, {columns + 1})
    stored = json.loads(ann.get(f"/runs/{run.id}/artifacts/Table?as=json").text)
    assert len(stored["cells"]) == rows * columns


def test_a_page_with_all_of_it_is_small_and_what_is_left_out_is_told(ann: Page, made: Any, home: Path) -> None:
    (home / "long.md").write_text(TEXTS["citations"])
    (home / "size.txt").write_text("60 40")
    run = made("all_of_it")
    shown = text_of(small(ann, f"/runs/{run.id}"))
    assert re.search(r"The first \d+ of 90 quotes", shown)
    assert re.search(r"The first [\d,]+ of [\d,]+ characters", shown)
    assert json.loads(ann.get(f"/runs/{run.id}/artifacts/Notes").text) == {"lines": ["12 euros"] * 40_000}
    assert len(json.loads(ann.get(f"/runs/{run.id}/artifacts/Evidence").text)["quotes"]) == 90
    assert ann.get(f"/runs/{run.id}/artifacts/Other").status_code == 404


def test_a_citation_opens_its_quote_in_the_source_behind_what_cites_it(ann: Page, made: Any, home: Path) -> None:
    (home / "long.md").write_text(
        "# Tides [90]\n\n- It rises [1].\n- It falls [91].\n\n| a | b |\n| - | - |\n| [2] | x |\n"
    )
    run = made("writing")
    html = small(ann, f"/runs/{run.id}")
    for number in (90, 1, 2):
        assert f'<a href="#quote-{number}" hx-get="/runs/{run.id}/quotes/{number}" hx-target="next .amid"' in html
    assert "It falls [91]." in html
    draft = html[html.index('class="theirs draft"') : html.index("All of it as a file")]
    assert re.findall(r'</(?:h1|li|table)>|<div class="amid"', draft) == [
        '</h1>', '<div class="amid"', '<div class="amid"', '</li>', '</li>', '</table>', '<div class="amid"'
    ]  # fmt: skip
    opened = ann.get(f"/runs/{run.id}/quotes/90")
    assert "<mark>The tide rises and falls because of the moon.</mark>" in opened.text
    assert "[90] tides.md, Tides, from character 0" in text_of(opened.text)


def test_what_a_run_has_made_is_no_file_for_who_does_not_see_the_run(desk: Any, ann: Page, made: Any) -> None:
    run, zed = made("writing"), desk.visit("zed", "tenant:zeta")
    for path in ("artifacts/Draft", "quotes/1", "tables/Table/1"):
        assert zed.get(f"/runs/{run.id}/{path}").status_code == 404


def test_what_stands_on_the_page_of_a_step_is_opened_as_it_stood_then(ann: Page, made: Any, home: Path) -> None:
    (home / "size.txt").write_text("60 4")
    run, at, steps = made("all_of_it"), "first", list[str]()
    here = f"/runs/{run.id}"
    while at:
        steps.append(ann.get(f"{here}?at={at}").text)
        at = "".join(re.findall(r'\?at=([^"]+)">Next step', steps[-1]))
    first = next(place for place, html in enumerate(steps) if "<h2>Draft</h2>" in html)
    assert "<h2>Evidence</h2>" in steps[first - 1]
    assert ann.get(f"{here}/quotes/1?at=first").status_code == 404, "nothing was read by then"
    links = re.findall(rf'(?:hx-get|href)="({here}[/?][^"]+)"', steps[-1].partition("</nav>")[2].partition("</nav>")[2])
    kinds = {re.sub(r"[\w-]*=.*|\d+", "", link.removeprefix(here)): link for link in links}
    files, shown = {f"/artifacts/{name}?" for name in ("Draft", "Table", "Evidence", "Notes")}, {"?", "/quotes/?"}
    assert kinds.keys() == files | shown | {"/tables/Table/?"}
    assert all("at=" in link for link in links)
    for link in kinds.values():
        assert ann.get(link).status_code == 200, link
