"""A run's tables at the terminal: each cell is seen, and opens on what it rests on."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from signoff import Run
from signoff.agents import Cell, Table
from signoff.agents.artifacts import Column
from signoff.desk.tables import show_tables, tables_in
from signoff.fleet.notebook import run_html
from signoff.graphs.teams.competitors import competitors_team

MARKET = Path(__file__).parents[1] / "graphs" / "teams" / "market"


@pytest.fixture
def run(home: Path) -> Run:
    shutil.copytree(MARKET, home / "market")
    given = {"goal": "databases", "companies": ["cormorant-client", "auk"], "categories": ["licence", "python version"]}
    return Run.start(competitors_team(model="offline"), {**given, "sources": "market"})


def test_a_run_is_shown_with_its_table(run: Run, signoff: Any) -> None:
    shown = signoff("show", run.id).out
    assert "BSD-3-Clause [1]" in shown
    assert "not found" in shown
    assert f"show {run.id} --cell NUMBER" in shown


def test_a_cell_opens_on_each_side_amid_its_document(run: Run, signoff: Any) -> None:
    shown = " ".join(signoff("show", run.id, "--cell", "2").out.split())
    assert "Comparison [2] cormorant-client, python version: contradiction: ≥ 3.10 / ≥ 3.9" in shown
    assert "License: BSD 3-clause Requires-Python: >=3.10 The client is tested" in shown
    assert "cormorant_client.txt" in shown
    assert "the document is as it was read" in shown


def test_a_cell_without_a_value_says_what_was_read(run: Run, signoff: Any) -> None:
    assert "no document is about it" in signoff("show", run.id, "--cell", "3").out


def test_a_document_that_changed_is_told_and_the_span_is_shown_as_it_was(run: Run, signoff: Any) -> None:
    page = Path("market/cormorant_client.txt")
    page.write_text(page.read_text().replace("BSD 3-clause", "MIT"))
    signoff("sources", "market")
    shown = " ".join(signoff("show", run.id, "--cell", "1").out.split())
    assert "License: BSD 3-clause" in shown
    assert "changed since it was read" in shown


def test_a_cell_is_given_as_json(run: Run, signoff: Any) -> None:
    cell = signoff("show", run.id, "--cell", "1", "--json").json["Comparison"]
    assert (cell["state"], cell["facts"][0]["value"]) == ("found", "BSD-3-Clause")


def test_a_cell_that_is_not_there_is_said_in_one_line(run: Run, signoff: Any) -> None:
    done = signoff("show", run.id, "--cell", "9")
    assert done.code == 1
    assert "the run has no cell 9. Its cells are 1 to 4." in done.err


def test_a_notebook_shows_the_table_with_cells_that_open(run: Run) -> None:
    page = run._repr_html_()
    assert page is not None
    assert "<details><summary>contradiction: ≥ 3.10 / ≥ 3.9</summary>" in page


def test_something_else_of_a_tables_shape_is_no_table() -> None:
    like = {"title": "t", "columns": 3, "rows": ["a"], "cells": []}
    assert tables_in({"artifacts": {"Board": {"value": like}, "Note": {"value": {"text": "t"}}}}) == {}


def test_of_a_long_table_a_terminal_shows_the_beginning_and_says_how_all_of_it_is_seen() -> None:
    price = Column(name="price")
    made = Table.of("Market", [price], {f"row{n}": [Cell.settle(f"row{n}", price, [])] for n in range(60)})
    at_terminal, piped = io.StringIO(), io.StringIO()
    show_tables(Console(file=at_terminal, force_terminal=True, width=100), "r-1", {"Table": made})
    shown = at_terminal.getvalue()
    assert ("row49" in shown, "row50" in shown, "show r-1 | less" in shown) == (True, False, True)
    show_tables(Console(file=piped, width=100), "r-1", {"Table": made})
    assert "row59" in piped.getvalue()
    notebook = run_html("", {"Table": made}, Path())
    assert notebook is not None
    assert "<details><summary>Market: 60 rows" in notebook
    assert "row59" in notebook
