"""What documents state of a column, and what only looks like it."""

from pathlib import Path

import pytest

from signoff.agents.artifacts import Cell, StoredText, column_of, key_of, labels_in, stated
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


def test_the_labels_of_a_page_are_those_that_state_one_thing() -> None:
    found = labels_in([text(PAGE)])
    assert {key_of(label) for label in ("Version", "Requires-Python", "License-Expression")} <= found.keys()
    assert "classifier" not in found and key_of("Requires-Dist") not in found
