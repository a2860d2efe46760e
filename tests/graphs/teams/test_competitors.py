"""The competitors team: each trap of real pages comes out as what it is, with no model and with a scripted one."""

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest

from signoff import Run, Team
from signoff.agents import Draft, Review, check_table
from signoff.agents.artifacts import csv_of
from signoff.agents.roles.scout import Proposed
from signoff.agents.roles.tables.table_report import Overview, Said
from signoff.agents.roles.tables.table_researcher import Answer, Answers
from signoff.errors import BadInput
from signoff.graphs.teams.competitors import (
    Categories,
    Category,
    Compared,
    Comparison,
    competitors_team,
)
from signoff.settings import Settings
from signoff.testing import ScriptedServer, gives
from signoff.tools.search import Sources

MARKET = Path(__file__).with_name("market")
NAMES = ["OtterWeb", "sealframe", "ternlite", "gannet", "cormorant-client", "puffindb"]
CATEGORIES = ["licence", "python version", "version"]


@pytest.fixture
def market(home: Path) -> Path:
    return Path(shutil.copytree(MARKET, home / "market"))


def given(**changes: Any) -> dict[str, Any]:
    return {"goal": "web frameworks", "companies": NAMES, "categories": CATEGORIES, "sources": "market", **changes}


def start(team: Team | None = None, **changes: Any) -> Run:
    return Run.start(team or competitors_team(model="offline"), given(**changes))


def cells(run: Run) -> dict[tuple[str, str], str]:
    return {(cell.row, cell.column): cell.shown for cell in run.artifact(Comparison).cells}


def test_every_trap_of_the_pages_comes_out_as_what_it_is(market: Path) -> None:
    run = start()
    found = cells(run)
    assert (run.status, run.asked.action) == ("waiting", "publish_report")
    assert found["cormorant-client", "python version"] == "contradiction: ≥ 3.10 / ≥ 3.9"
    assert found["sealframe", "python version"] == "≥ 3.10"  # not 3.5, which its page speaks of too
    assert found["sealframe", "version"] == "25.4.1"  # not 3.4, which is code
    assert found["ternlite", "python version"] == "not found"
    assert found["gannet", "licence"] == "Apache-2.0"
    assert len(run.artifact(Comparison).cell("gannet", "licence").spans) == 3
    assert [cell for cell in found.values() if "found" in cell or "failed" in cell] == ["not found"]


def test_every_span_stands_in_its_document_and_every_cell_is_there(market: Path) -> None:
    run = start()
    table = run.artifact(Comparison)
    assert len(table.cells) == len(NAMES) * len(CATEGORIES)
    for span in (span for cell in table.cells for span in cell.spans):
        text = (market / span.source).read_text()
        assert span.text in text
        assert span.date
    assert [check.passed for check in run.artifact(Review).checks] == [True] * 4


def test_what_is_published_is_the_report_and_the_table_as_files(market: Path, home: Path) -> None:
    run = start(out="out/market.md").approve()
    assert run.status == "done"
    files = {file.name: file for file in (home / "out").iterdir()}
    assert set(files) == {"market.md", "market.csv", "market-evidence.csv", "market.xlsx", "market.json"}
    table = run.artifact(Comparison)
    assert files["market.csv"].read_text() == csv_of(table, "company")
    assert Comparison.model_validate_json(files["market.json"].read_text()) == table
    report = files["market.md"].read_text()
    assert "| cormorant-client | BSD-3-Clause [13] | **contradiction: ≥ 3.10 / ≥ 3.9** [14] | 4.24.1 [15] |" in report
    assert "- ternlite: python version (read: ternlite.txt)" in report
    lines = list(csv.DictReader(files["market-evidence.csv"].read_text().splitlines()))
    assert len([line for line in lines if line["span"]]) == sum(len(cell.spans) for cell in table.cells)


def test_a_company_that_is_named_twice_is_one_row_and_said_to_be(market: Path) -> None:
    run = start(companies=["OtterWeb, otterweb", "Cormorant_Client", "cormorant-client", "OtterWeb Inc."])
    assert run.artifact(Comparison).rows == ("OtterWeb", "Cormorant_Client")
    content = str(run.asked.shown["content"])
    assert r"## Named twice" in content
    assert r"- otterweb is OtterWeb" in content
    assert "- OtterWeb Inc. is OtterWeb" in content


def test_a_company_of_which_there_is_no_document_has_empty_cells_that_say_so(market: Path) -> None:
    run = start(companies=["OtterWeb", "Otter"])
    cell = run.artifact(Comparison).cell("Otter", "licence")
    assert (cell.state, cell.read) == ("not found", ())
    assert "- Otter: licence, python version, version (no document is about it)" in str(run.asked.shown["content"])


def test_companies_that_nobody_named_are_proposed_and_a_person_may_change_them(market: Path) -> None:
    run = start(companies=[])
    assert run.asked.action == "confirm_companies"
    assert set(run.asked.shown["companies"]) == {
        "OtterWeb",
        "sealframe",
        "ternlite",
        "gannet",
    }  # what speaks of the market
    run.approve(args={"companies": ["sealframe", "puffindb", "Sealframe"]})
    assert run.artifact(Comparison).rows == ("sealframe", "puffindb")
    assert run.asked.action == "publish_report"


def test_nothing_is_compared_that_a_person_did_not_confirm(market: Path) -> None:
    run = start(companies=[])
    run.reject("these are not they")
    assert "Comparison" not in run.artifacts
    assert run.status != "done"


def test_without_categories_it_compares_by_what_most_documents_have_labels_for(market: Path) -> None:
    run = start(categories=[])
    columns = [column.name for column in run.artifact(Categories).columns]
    assert columns == ["version", "summary", "licence", "python version"]


def test_the_report_says_what_changed_since_the_one_before(market: Path) -> None:
    start().approve()
    page = market / "puffindb.txt"
    page.write_text(page.read_text().replace("Version: 1.5.9", "Version: 1.6.0"))
    again = start(companies=[*NAMES[1:], "auk"])
    assert again.asked.action == "publish_report", (again.plan, again.asked.reason)
    content = str(again.asked.shown["content"])
    assert "- puffindb, version: was 1.5.9, is now 1.6.0" in content
    assert "- auk: new" in content
    assert "- OtterWeb: is gone" in content
    assert "Since the report before" not in str(start(goal="databases").asked.shown["content"])  # of another market


def test_a_span_that_its_document_does_not_have_is_found_by_the_check(market: Path) -> None:
    table = start().artifact(Comparison)
    lie = table.model_dump_json().replace("License-Expression: BSD-3-Clause", "License-Expression: BSD-2-Clause")
    checks = check_table(Comparison.model_validate_json(lie), Sources.open("market"))
    assert [check.passed for check in checks] == [True, False]
    assert "[1] otterweb.txt has no such text" in checks[1].detail


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"sources": "nowhere"}, "sources, 'nowhere' is not usable (there is no such folder)"),
        ({"sources": "empty"}, "there is nothing to read in"),
        ({"companies": ["none.txt"]}, "it cannot be read as a list of names: No such file or directory"),
        ({"out": "market"}, "it should name a file"),
    ],
)
def test_what_cannot_be_used_is_said_before_any_work(market: Path, wrong: dict[str, Any], why: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(BadInput) as refused:
        start(**wrong)
    assert why.removeprefix("sources, ") in str(refused.value)


def test_companies_may_stand_in_a_file(market: Path, home: Path) -> None:
    (home / "names.csv").write_text("company,since\npuffindb,2020\n\ngannet,2021\n")
    assert start(companies=["names.csv"]).artifact(Comparison).rows == ("puffindb", "gannet")


def test_several_companies_may_stand_in_one_document(market: Path) -> None:
    (market / "all.csv").write_text("Vendor,Licence,Price\nOtterWeb,MIT,$5\nauk,GPL-3.0,$9\nseal,ISC,$1\n")
    found = cells(start(companies=["OtterWeb", "auk"], categories=["licence", "price"]))
    assert found["auk", "licence"] == "GPL-3.0"
    assert found["auk", "price"] == "$9"
    assert found["OtterWeb", "licence"] == "contradiction: BSD-3-Clause / MIT"


def test_a_row_of_a_table_is_about_whom_it_names_with_or_without_a_legal_form(market: Path) -> None:
    (market / "all.csv").write_text('\ufeffVendor,Price\n"Auk, ""the"" Co.",$1\nTern GmbH,$2\nkite,$3\n')
    (market / "names.csv").write_text('company\n"Auk, ""the"" Co."\nTern\nKite Inc.\n')
    found = cells(start(companies=["market/names.csv"], categories=["price"]))
    assert [*found.values()] == ["$1", "$2", "$3"]


def test_forty_companies_pass_the_review_of_their_report(market: Path) -> None:
    for number in range(40):
        licence = "MIT" if number % 3 else "ISC"
        (market / f"firm{number}.txt").write_text(f"Name: firm{number}\nLicense: {licence}\nVersion: {number}.0\n")
    run = start(companies=[f"firm{number}" for number in range(40)])
    assert run.asked.action == "publish_report"
    assert "- licence, MIT: firm1 [4], firm2 [7]" in str(run.asked.shown["content"])
    assert " and others." in str(run.asked.shown["content"])


def test_a_column_of_numbers_is_a_picture_that_is_published_with_the_report(market: Path, home: Path) -> None:
    for name, staff, price in (
        ("auk", "1,204", "$9"),
        ("tern", "35", "9 €"),
        ("coot", "12.5", "$7"),
        ("kite", "8", "-"),
    ):
        (market / f"{name}.txt").write_text(f"Name: {name}\nEmployees: {staff}\nPrice: {price}\n")
    names = ["auk", "tern", "coot", "kite", "gannet"]
    run = start(companies=names, categories=["employees", "price"], out="out/market.md")
    assert run.asked.action == "publish_report"
    run.approve()
    (picture,) = (home / "out").glob("*.png")  # prices are in different money
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert f"![web frameworks: employees]({picture.name})" in (home / "out" / "market.md").read_text()


@pytest.mark.parametrize(
    ("companies", "categories", "why"),
    [
        (["auk", "coot"], ["price"], "Nothing was found in these sources."),
        (["gannet"], ["licence"], "There is one row, so that nothing is compared."),
        (["gannet", "sealframe"], ["version"], "No two of them have the same value of anything."),
    ],
)
def test_an_overview_that_has_nothing_to_say_says_why(
    market: Path, companies: list[str], categories: list[str], why: str
) -> None:
    run = start(companies=companies, categories=categories)
    assert why in str(run.asked.shown["content"])
    assert [check.passed for check in run.artifact(Review).checks] == [True] * 4


# With a model


def with_server(server: ScriptedServer, **changes: Any) -> Run:
    known = Settings(base_url=server.url, api_key="test", model="openai:scripted", model_retries=0)
    team = competitors_team(settings=known)
    return Run.start(team, given(**changes), settings=known)


STATED = Answers(
    answers=[
        Answer(column="likeness", value="by likeness", quote="finds fish by likeness"),
        Answer(column="likeness", value="99 per cent", quote="It finds 99 per cent of all fish."),
        Answer(column="python version", value=">=3.9", quote="tested for python 3.9 and higher"),
        Answer(column="nothing", value="4", quote="Version: 4.24.1"),
    ]
)
WRITTEN = Overview(
    sentences=[
        Said(text="cormorant-client is version 4.24.1.", cells=[3]),
        Said(text="cormorant-client has 12,000 users.", cells=[3]),
        Said(text="Acme buys cormorant-client.", cells=[3]),
        Said(text="cormorant-client is good.", cells=[]),
    ]
)


def test_a_model_chooses_categories_adds_cells_with_quotes_and_writes_the_overview(
    market: Path,
) -> None:
    chosen = Compared(
        categories=[
            Category(name="likeness", about="how it finds fish"),
            Category(name="python version", about=""),
            Category(name="version", about=""),
        ]
    )
    script = {
        "scout": [gives(Proposed(companies=["cormorant-client"]))],
        "analyst": [gives(chosen)],
        "researcher": [gives(STATED)],
        "writer": [gives(WRITTEN)],
    }
    with ScriptedServer(script) as server:
        run = with_server(server, companies=[], categories=[])
        assert run.asked.shown["companies"] == ["cormorant-client"]
        run.approve()
    found = cells(run)
    assert found["cormorant-client", "likeness"] == "by likeness"
    assert found["cormorant-client", "python version"] == "contradiction: ≥ 3.10 / ≥ 3.9"
    content = str(run.asked.shown["content"])
    assert "- cormorant-client is version 4.24.1. [3]" in content
    assert [word for word in ("users", "Acme", "is good") if word in content] == []
    struck = run.artifact(Draft).struck
    assert [said for said in struck if "“Acme” stands nowhere" in said or "“12,000 users”" in said or "no cell" in said]
    assert len(struck) == 3
