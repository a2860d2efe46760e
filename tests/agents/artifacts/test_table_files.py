"""A table as files: all of it is there, and nothing in it acts."""

import csv
import io
import xml.dom.minidom
import zipfile

import pytest

from signoff.agents.artifacts import (
    Cell,
    Column,
    StoredText,
    Table,
    csv_of,
    evidence,
    evidence_csv,
    html_of,
    markdown,
    stated,
    xlsx_of,
)

COLUMNS = (Column(name="fish"), Column(name="price"))
PAGES = {
    "otter": "Fish: herring | sprat\nPrice: $20",
    "=HYPERLINK(1)": "Fish: <b>eel</b>\x00\nPrice: =1+2",
    "seal": "Fish: cod\nFish: eel",
}


def made() -> Table:
    rows: dict[str, list[Cell] | str] = {}
    for name, page in PAGES.items():
        text = StoredText(f"{name}.txt", page, "2026-11-30")
        rows[name] = [Cell.settle(name, column, stated(column, [text]), [text.source]) for column in COLUMNS]
    return Table.of("Fishers", COLUMNS, {**rows, "tern": "no connection"})


def rows_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_markdown_has_each_state_as_what_it_is_and_the_number_of_each_cell() -> None:
    lines = markdown(made(), "who").split("\n")
    assert lines[0] == "| who | fish | price |"
    assert lines[2] == r"| otter | herring \| sprat [1] | \$20 [2] |"
    assert lines[3].startswith(r"| \=HYPERLINK(1) | \<b\>eel\</b\>")
    assert lines[4] == "| seal | **contradiction: cod / eel** [5] | *not found* |"
    assert lines[5] == "| tern | *look-up failed* | *look-up failed* |"


def test_the_evidence_gives_each_side_with_its_place() -> None:
    told = evidence(made(), made().in_state("contradiction"))
    assert r"\[5\] seal, fish" in told
    assert "cod: “Fish: cod” (seal.txt, 2026-11-30, from character 0, digest " in told
    assert "eel: “Fish: eel” (seal.txt, 2026-11-30, from character 10, digest " in told


def test_csv_has_a_line_for_each_row_and_no_formula() -> None:
    found = rows_of(csv_of(made(), "who"))
    assert found[0] == ["who", "fish", "price"]
    assert found[2][0] == "'=HYPERLINK(1)"
    assert found[2][2] == "'=1+2"
    assert found[4] == ["tern", "look-up failed", "look-up failed"]


def test_the_evidence_as_csv_has_every_span_and_a_line_for_every_empty_cell() -> None:
    found = rows_of(evidence_csv(made()))
    records = [dict(zip(found[0], row, strict=True)) for row in found[1:]]
    assert len(records) == 5 + 1 + 1 + 2  # spans, the second side, not found, two failed
    assert all(len(one["sha256"]) == 64 for one in records if one["span"])
    assert [one["note"] for one in records if not one["span"]] == ["read: seal.txt", "no connection", "no connection"]


def test_a_workbook_has_the_table_and_its_evidence_as_texts() -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl comes with the extra `analysis`")
    book = openpyxl.load_workbook(io.BytesIO(xlsx_of(made(), "who")))
    assert book.sheetnames == ["Table", "Evidence"]
    grid = [[cell.value for cell in row] for row in book["Table"].rows]
    assert grid[2][0] == "=HYPERLINK(1)"
    assert grid[2][2] == "=1+2"
    assert all(cell.data_type == "s" or cell.value is None for row in book["Table"].rows for cell in row)


def test_a_workbook_is_the_same_bytes_for_the_same_table_and_well_formed() -> None:
    raw = xlsx_of(made())
    assert raw == xlsx_of(made())
    with zipfile.ZipFile(io.BytesIO(raw)) as book:
        for name in book.namelist():
            xml.dom.minidom.parseString(book.read(name))


def test_a_page_opens_a_cell_on_its_spans_and_takes_nothing_for_markup() -> None:
    page = html_of(made(), "who")
    assert "<details><summary>contradiction: cod / eel</summary>" in page
    assert "<b>" not in page
    assert "&lt;b&gt;eel" in page
    assert '<em title="read: seal.txt">not found</em>' in page
    assert '<em title="no connection">look-up failed</em>' in page
