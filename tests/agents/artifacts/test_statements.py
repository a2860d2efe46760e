"""What documents state of a column, and what only looks like it."""

from pathlib import Path

import pytest

from signoff.agents.artifacts import Cell, StoredText, column_of, common_columns, stated
from signoff.tools.search import Sources

PAGE = """Metadata-Version: 2.4
Name: otter
Version: 2.1.0
License-Expression: MIT
Classifier: License :: OSI Approved :: MIT License
Classifier: Programming Language :: Python :: 3.9
Project-URL: Homepage, https://otter.example/
Requires-Python: >=3.10
Requires-Dist: tide>=2
Requires-Dist: wave; extra == "full"
Keywords:

Otter is a **Python 3.10+** library. It uses a syntax that was added in Python 3.5.
"""


def text(content: str, source: str = "otter.txt") -> StoredText:
    return StoredText(source, content, "2026-11-30")


def cell(column: str, *texts: StoredText, shared: tuple[StoredText, ...] = ()) -> Cell:
    found = column_of(column)
    return Cell.settle("otter", found, stated(found, texts, about="otter", shared=shared))


@pytest.mark.parametrize(
    ("column", "value", "spans"),
    [
        ("licence", "MIT", 2),
        ("Licensing", "MIT", 2),
        ("python version", "≥ 3.10", 2),
        ("latest version", "2.1.0", 1),
        ("homepage", "https://otter.example/", 1),
        ("dependencies", "tide>=2", 1),
        ("keywords", "", 0),
        ("price", "", 0),
    ],
)
def test_a_page_of_metadata_is_read_by_code(column: str, value: str, spans: int) -> None:
    found = cell(column, text(PAGE))
    assert (found.value, len(found.spans)) == (value, spans)


def test_every_span_is_what_the_text_has_at_its_place() -> None:
    page = text(PAGE)
    for name in ("licence", "python", "version", "homepage", "dependencies"):
        for span in cell(name, page).spans:
            assert PAGE[span.start : span.start + len(span.text)] == span.text
            assert span.sha256 == page.sha256


def test_a_decoy_of_history_is_not_taken_for_the_requirement() -> None:
    found = cell("python", text("The syntax was added in Python 3.5, which made it quick."))
    assert found.state == "not found"


@pytest.mark.parametrize(
    "sentence",
    [
        "Seal is licensed under the MIT license.",
        "Otter was previously released under the MIT license.",
        "Unlike others it is published under the MIT license.",
        "Soon it will be released under the MIT license.",
    ],
)
def test_a_sentence_about_another_the_past_or_plans_states_nothing_of_it(sentence: str) -> None:
    column, page = column_of("licence"), text(f"Otter is quick.\n\n{sentence} It is fun.")
    assert stated(column, [page], about="Otter", others=["Otter", "Seal"]) == []


def test_an_amount_may_be_stated_in_words_and_a_heading_may_stand_above_prose() -> None:
    assert cell("price", text("Price: on request")).value == "on request"
    assert (
        cell("price", text("Pricing\n\nPlans start at $29 per month. The Pro plan costs $99.")).value == "$29 per month"
    )


def test_the_rows_of_plans_are_one_value() -> None:
    page = text("Plan: Basic; Price: $0; Seats: 1\nPlan: Pro; Price: $10; Seats: 9\n\nPlans start at $0 per month.")
    found = cell("price", page)
    assert (found.value, len(found.spans)) == ("Basic: $0; Pro: $10", 2)


def test_a_sentence_that_says_otherwise_than_a_header_is_the_other_side_of_a_contradiction() -> None:
    page = text("Requires-Python: >=3.10\n\nThe client is tested for python 3.9 and higher.")
    assert cell("python", page).shown == "contradiction: ≥ 3.10 / ≥ 3.9"


@pytest.mark.parametrize(
    "line",
    [
        "**Founded**: 2019",
        "- Founded: 2019",
        "Fact: Founded; Value: 2019",
        "Founded; 2019",
        "Founded\n\n2019",
        "Otter was founded in 2019 by friends.",
    ],
)
def test_what_is_stated_is_found_however_it_is_laid_out(line: str) -> None:
    assert cell("founding year", text(line.replace("**", ""))).value == "2019"


def test_a_label_that_nobody_foresaw_is_found_by_its_name() -> None:
    assert cell("Favourite fish", text("favourite fish: herring and sprat")).value == "herring and sprat"


def test_what_says_that_nothing_is_known_is_no_value() -> None:
    assert cell("favourite fish", text("Favourite fish: n/a")).state == "not found"


@pytest.mark.parametrize("name", ["otter.md", "otter.txt"])
def test_a_label_in_code_states_nothing(home: Path, name: str) -> None:
    (home / "docs").mkdir()
    (home / "docs" / name).write_text('# Otter\n\nStart it:\n\n```yaml\nversion: "3.9"\nimage: otter\n```\n')
    sources = Sources.open("docs")
    sources.refresh()
    assert cell("version", StoredText.of(sources, name)).state == "not found"


def test_of_a_table_of_several_only_the_rows_and_columns_about_it_count() -> None:
    rows = text("Company: Seal; Licence: GPL-3.0; Price: $9\nCompany: Otter; Licence: MIT; Price: $20", "all.csv")
    turned = text("Feature: Price; Seal: $9; Otter: $20\nFeature: Licence; Seal: GPL-3.0; Otter: MIT", "turned.csv")
    for shared in (rows, turned):
        assert cell("licence", shared=(shared,)).value == "MIT"
        assert cell("price", shared=(shared,)).value == "$20"
    assert cell("licence", shared=(text("License: CC0\n\nA page about many."),)).state == "not found"


def test_columns_that_documents_of_several_have_are_counted_and_lists_are_none() -> None:
    others = [[text("Version: 1\nClassifier: a\nClassifier: b"), text("Version: 2")], [text("License: MIT\nPrice: $1")]]
    found = {column.name: number for column, number in common_columns([[text(PAGE)], *others])}
    assert found["version"] == found["licence"] == 2
    assert found["python version"] == found["price"] == 1
    assert "Classifier" not in found
