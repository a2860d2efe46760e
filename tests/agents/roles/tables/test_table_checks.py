"""What code says of a table and of prose about it."""

import pytest

from signoff.agents import check_prose, unmapped
from signoff.agents.artifacts import Cell, StoredText, Table, column_of, stated

COLUMNS = tuple(map(column_of, ("licence", "python version", "price")))
PAGES = {
    "Otter": "License: BSD-3-Clause\nRequires-Python: >=3.9\nPrice: $20 per month",
    "Seal": "License: MIT\nRequires-Python: >=3.10\n\nIt is tested for Python 3.9 and higher.",
    "Tern": "License: MIT",
    "Auk": "",
}


def made() -> Table:
    rows: dict[str, list[Cell] | str] = {}
    for name, page in PAGES.items():
        text = StoredText(f"{name}.txt", page, "2026-11-30")
        rows[name] = [Cell.settle(name, column, stated(column, [text]), [text.source]) for column in COLUMNS]
    return Table.of("Fishers", COLUMNS, rows)


@pytest.mark.parametrize(
    "sentence",
    [
        "Otter is under BSD-3-Clause [1].",
        "Otter costs $20 per month. [3]",
        "licence, MIT: Seal [4], Tern [7].",
        "2 of 4 are under MIT: Seal [4], Tern [7].",
        "Seal says ≥ 3.10 in one place and ≥ 3.9 in another [5].",
        "Of Auk nothing is known.",
        "## Heading with 99 names",
        "| a | table | 99 |",
    ],
)
def test_what_cited_cells_say_is_mapped(sentence: str) -> None:
    assert unmapped(sentence, made()) == []


@pytest.mark.parametrize(
    ("sentence", "why"),
    [
        ("Otter is under GPL [1].", "“GPL” stands nowhere in it"),
        ("Otter costs $25 per month. [3]", "25"),
        ("Otter has 12,000 users [1].", "12,000"),
        ("Otter is under BSD-3-Clause.", "speaks of Otter and cites no cell of it"),
        ("Seal is under MIT [7].", "speaks of Seal and cites no cell of it"),
        ("Otter costs $20 [99].", "cites a cell that is not in the table"),
        ("Walrus is under MIT [4].", "“Walrus” stands nowhere in it"),
        ("It was bought by Walrus Holding [1].", "Walrus"),
        ("3 of 4 are under MIT: Seal [4], Tern [7].", "3"),
        ("Otter is not under BSD-3-Clause [1].", "denies"),
        ("- Otter is under BSD-3-Clause [1]. It has 7 offices.", "7 offices"),
    ],
)
def test_what_they_do_not_say_is_named(sentence: str, why: str) -> None:
    (fault, *_) = unmapped(sentence, made())
    assert why in fault
    assert not check_prose(sentence, made()).passed
