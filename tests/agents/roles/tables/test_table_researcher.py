"""A table is filled row by row, by code or by a model whose quotes code looks up."""

from pathlib import Path
from typing import Any

import pytest

from signoff import Run, Team
from signoff.agents import Agent, Pages, Table, Task, row_cells, table_researcher
from signoff.agents.artifacts import StoredText, column_of
from signoff.agents.roles.tables.table_researcher import SHOWN, Answer, Answers
from signoff.testing import ScriptedModel, gives

pytestmark = pytest.mark.usefixtures("home")

COLUMNS = tuple(map(column_of, ("licence", "founded", "favourite fish")))
PAGES = {
    "Otter": "License: MIT\n\nOtter was founded in 2019. We like herring “most” of all.",
    "Seal": "License: GPL-3.0",
}


def pages(row: str, _task: Task) -> Pages:
    if row == "Tern":
        raise ValueError("the disk is gone")
    if row == "Auk":
        return Pages(problems=("auk.example: it takes longer than 20 seconds",))
    return Pages(own=(StoredText(f"{row}.txt", PAGES[row], "2026-11-30"),))


def researcher(rows: list[str], **changes: Any) -> Agent[Table]:
    return table_researcher(
        Table, title="Fishers", rows=lambda _: rows, columns=lambda _: COLUMNS, pages=pages, **changes
    )


def test_code_fills_it_and_what_could_not_be_read_is_a_failed_look_up() -> None:
    run = Run.start(Team(name="t", agents=[researcher(["Otter", "Seal", "Auk", "Tern"])]), "fish")
    table = run.artifact(Table)
    assert [cell.shown for cell in table.row("Otter")] == ["MIT", "2019", "not found"]
    assert {(cell.state, cell.problem) for cell in table.row("Auk")} == {
        ("look-up failed", "auk.example: it takes longer than 20 seconds")
    }
    assert [cell.state for cell in table.row("Tern")] == ["look-up failed"] * 3
    assert "the disk is gone" in table.cell("Tern", "licence").problem


def test_what_is_found_counts_although_another_page_could_not_be_read() -> None:
    text = StoredText("a.txt", PAGES["Otter"], "2026-11-30")
    cells = row_cells("Otter", COLUMNS, Pages(own=(text,), problems=("b.txt: gone",))).cells
    assert [cell.state for cell in cells] == ["found", "found", "look-up failed"]


def answered(*answers: Answer) -> tuple[Run, ScriptedModel]:
    model = ScriptedModel([gives(Answers(answers=list(answers)))])
    return Run.start(Team(name="t", agents=[researcher(["Otter"], model=model)]), "fish"), model


def test_a_models_value_counts_with_a_quote_that_stands_there_and_bears_it_out() -> None:
    run, _ = answered(
        Answer(column="Favourite fish", value="herring", quote='We like herring "most" of all.'),  # other marks
        Answer(column="founded", value="2019", quote="founded in 2019"),
    )
    table = run.artifact(Table)
    (span,) = table.cell("Otter", "favourite fish").spans
    assert PAGES["Otter"][span.start :].startswith(span.text)
    assert [cell.shown for cell in table.row("Otter")] == ["MIT", "2019", "herring"]


def test_what_a_model_is_shown_of_a_row_is_read_once_and_its_quotes_are_looked_up_in_that() -> None:
    read: list[str] = []

    def once(row: str, task: Task) -> Pages:
        read.append(row)
        return pages(row, task) if read.count(row) == 1 else Pages()

    model = ScriptedModel([gives(Answers(answers=[]))] * 2)
    found = table_researcher(
        Table, title="Fishers", rows=lambda _: ["Otter", "Seal"], columns=lambda _: COLUMNS, pages=once, model=model
    )
    table = Run.start(Team(name="t", agents=[found]), "fish").artifact(Table)
    assert sorted(read) == ["Otter", "Seal"]
    assert [table.cell(row, "licence").shown for row in ("Otter", "Seal")] == ["MIT", "GPL-3.0"]


@pytest.mark.parametrize(
    "answer",
    [
        Answer(column="favourite fish", value="herring", quote="Everybody here eats herring."),
        Answer(column="favourite fish", value="40 eels", quote="We like herring “most” of all."),
        Answer(column="favourite fish", value="Norwegian Salmon", quote="We like herring “most” of all."),
        Answer(column="founded", value="2021", quote="Otter was founded in 2019."),
        Answer(column="founded", value="long ago", quote="Otter was founded in 2019."),
        Answer(column="colour", value="red", quote="License: MIT"),
    ],
)
def test_a_value_that_no_quote_bears_out_is_thrown_away(answer: Answer) -> None:
    table = answered(answer)[0].artifact(Table)
    assert [cell.shown for cell in table.row("Otter")] == ["MIT", "2019", "not found"]


def test_a_models_other_value_is_the_other_side_of_a_contradiction() -> None:
    table = answered(Answer(column="licence", value="herring", quote="We like herring"))[0].artifact(Table)
    assert table.cell("Otter", "licence").value == "MIT"  # no licence at all
    PAGES["Otter"] += " It is under the ISC license."
    try:
        table = answered(Answer(column="licence", value="ISC", quote="under the ISC license"))[0].artifact(Table)
    finally:
        PAGES["Otter"] = PAGES["Otter"].removesuffix(" It is under the ISC license.")
    assert table.cell("Otter", "licence").shown == "contradiction: MIT / ISC"


def test_a_model_is_shown_each_document_once_and_of_a_long_one_what_speaks_of_the_columns(home: Path) -> None:
    long = "Of the sea.\n\n" + "The tide comes and goes. " * 2_000 + "\n\nOur favourite fish is herring."
    text = StoredText("long.txt", long, "2026-11-30")
    model = ScriptedModel([gives(Answers(answers=[]))])
    agent = table_researcher(
        Table,
        title="Fishers",
        rows=lambda _: ["Otter"],
        columns=lambda _: COLUMNS,
        pages=lambda _row, _task: Pages(own=(text,)),
        model=model,
    )
    Run.start(Team(name="t", agents=[agent]), "fish")
    (call,) = model.calls
    prompt = str(call)
    assert prompt.count("favourite fish is herring") == 1
    assert len(prompt) < SHOWN + 12_000
