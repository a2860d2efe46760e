"""A table: a cell for each row and column, each in the one state that its facts allow."""

import hashlib

import pytest
from pydantic import ValidationError

from signoff.agents.artifacts import Cell, Column, Fact, Span, Table

LICENCE = Column(name="licence", kind="licence")
PYTHON = Column(name="python", kind="version")


def fact(value: str, text: str = "", source: str = "a.txt") -> Fact:
    told = text or value
    digest = hashlib.sha256(told.encode()).hexdigest()
    return Fact(value=value, spans=(Span(source=source, start=0, text=told, sha256=digest, date="2026-11-30"),))


def table(python: Cell, row: str = "otter") -> Table:
    return Table.of("Boats", [LICENCE, PYTHON], {row: [Cell.settle(row, LICENCE, [fact("MIT")]), python]})


def test_facts_that_say_the_same_are_one_with_the_spans_of_all() -> None:
    cell = Cell.settle("otter", LICENCE, [fact("Apache"), fact("Apache-2.0", source="b.txt")])
    assert (cell.state, cell.value, len(cell.spans)) == ("found", "Apache-2.0", 2)


def test_facts_that_differ_are_a_contradiction_with_both_sides_and_no_value() -> None:
    cell = Cell.settle("otter", PYTHON, [fact("≥ 3.10"), fact("≥ 3.9"), fact("≥ 3.10", source="b.txt")], ["a.txt"])
    assert (cell.state, cell.value, [one.value for one in cell.facts]) == ("contradiction", "", ["≥ 3.10", "≥ 3.9"])
    assert cell.shown == "contradiction: ≥ 3.10 / ≥ 3.9"


def test_nothing_found_names_what_was_read_and_is_no_failed_look_up() -> None:
    empty, failed = Cell.settle("otter", PYTHON, [], ["a.txt"]), Cell.failed("otter", PYTHON, "it timed out")
    assert (empty.state, empty.read, empty.value) == ("not found", ("a.txt",), "")
    assert (failed.state, failed.problem, failed.value) == ("look-up failed", "it timed out", "")


def test_values_of_a_column_with_many_do_not_contradict_each_other() -> None:
    column = Column(name="needs", many=True)
    cell = Cell.settle("otter", column, [fact("click"), fact("rich-click"), fact("click", source="b.txt")])
    assert (cell.state, cell.value, len(cell.spans)) == ("found", "click; rich-click", 3)


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "found"},
        {"state": "not found", "facts": [fact("MIT")]},
        {"state": "contradiction", "facts": [fact("MIT")]},
        {"state": "contradiction", "facts": [fact("MIT"), fact("MIT", source="b.txt")]},
        {"state": "look-up failed"},
    ],
)
def test_a_cell_cannot_be_in_a_state_that_its_facts_do_not_allow(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="cannot have"):
        Cell.model_validate({"row": "otter", "column": "licence", **wrong})


def test_a_fact_stands_somewhere() -> None:
    with pytest.raises(ValidationError, match="spans"):
        Fact(value="MIT", spans=())


def test_a_table_has_a_cell_for_each_row_and_column() -> None:
    cell = Cell.settle("otter", LICENCE, [fact("MIT")])
    with pytest.raises(ValidationError, match=r"1 row × 2 columns are 2 cells, not these 1 \(missing .*python"):
        Table(title="Boats", columns=(LICENCE, PYTHON), rows=("otter",), cells=(cell,))
    with pytest.raises(ValidationError, match="the row 'otter' is there twice"):
        Table(title="Boats", columns=(LICENCE,), rows=("otter", "otter"), cells=(cell, cell))


def test_a_row_that_failed_is_a_failed_look_up_in_each_cell() -> None:
    found = Table.of("Boats", [LICENCE, PYTHON], {"otter": "no connection"})
    assert [(cell.state, cell.problem) for cell in found.cells] == [("look-up failed", "no connection")] * 2


def test_a_table_is_plain_json_and_reads_back_as_it_was() -> None:
    found = table(Cell.failed("otter", PYTHON, "it timed out"))
    assert Table.model_validate_json(found.model_dump_json()) == found


def test_a_cell_is_known_by_its_number() -> None:
    found = table(Cell.failed("otter", PYTHON, "it timed out"))
    cell = found.cell("otter", "python")
    assert (found.number(cell), found.numbered(2), found.numbered(3), found.numbered(0)) == (2, cell, None, None)


def test_what_a_model_is_shown_has_values_and_numbers_and_no_spans() -> None:
    told = table(Cell.settle("otter", PYTHON, [fact("≥ 3.9", "tested for python 3.9 and higher")])).told()
    assert "otter: licence = MIT [1]; python = ≥ 3.9 [2]" in told
    assert "tested" not in told


def test_what_changed_since_the_table_before_names_both_values() -> None:
    before = table(Cell.settle("otter", PYTHON, [fact("≥ 3.9")]))
    now = table(Cell.settle("otter", PYTHON, [fact("≥ 3.10")]))
    (change,) = now.since(before)
    assert (change.row, change.column, change.before, change.now) == ("otter", "python", "≥ 3.9", "≥ 3.10")
    assert now.since(now) == now.since(None) == ()


def test_rows_that_came_and_went_are_changes() -> None:
    before = table(Cell.settle("otter", PYTHON, []))
    now = table(Cell.settle("seal", PYTHON, []), row="seal")
    assert [(one.row, one.before, one.now) for one in now.since(before)] == [
        ("seal", "", "new"),
        ("otter", "was there", ""),
    ]
