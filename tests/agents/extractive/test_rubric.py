"""A rubric that people write: each rule is held against a cell, cites its line, and code adds up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from signoff.agents import Cell, Rubric, Table, fill, score
from signoff.agents.artifacts import Column, Fact, Span, column_of
from signoff.error_base import SettingsError

COLUMNS = ("Requires-Python", "Classifier", "Price", "Founded")


def fact(value: str, *lines: str) -> Fact:
    spans = [Span(source="a.txt", start=0, text=line, sha256="0" * 64, date="2026-11-30") for line in lines or (value,)]
    return Fact(value=value, spans=tuple(spans))


def table(**facts: Any) -> Table:
    """One row: facts by column, as a text, several of them, or a problem."""
    cells = []
    for name in COLUMNS:
        given, column = facts.get(name.replace("-", "_"), ()), column_of(name)
        if isinstance(given, Exception):
            cells.append(Cell.failed("otter", column, str(given)))
        else:
            many = [given] if isinstance(given, str) else list(given)
            lists = Column(name=name, many=name == "Classifier")
            cells.append(Cell.settle("otter", lists, [fact(one) for one in many], ["a.txt"]))
    return Table(title="T", columns=tuple(column_of(name) for name in COLUMNS), rows=("otter",), cells=tuple(cells))


def rubric(**rule: Any) -> Rubric:
    return Rubric.model_validate({"rules": [{"name": "r", "points": 2, **rule}]})


def points(given: Table, **rule: Any) -> list[str]:
    (found,) = score(rubric(**rule), given).scores
    assert found.total == sum(point.points for point in found.points)
    return [point.line for point in found.points] or list(found.open)


@pytest.mark.parametrize(
    ("rule", "lines"),
    [
        ({"column": "Classifier", "has": "python :: 3.12"}, ["Python :: 3.12"]),
        ({"column": "Classifier", "has": "3.13"}, []),
        ({"column": "Classifier", "lacks": "3.13"}, ["none of 2 lines in a.txt"]),
        ({"column": "Classifier", "lacks": "3.12"}, []),
        ({"column": "Classifier", "matches": r"3\.1[12]$"}, ["Python :: 3.11"]),
        ({"column": "requires python", "below": "3.10"}, [">=3.9"]),
        ({"column": "requires python", "above": "3.9"}, []),
        ({"column": "Price", "above": "9"}, ["$1,200 per month"]),
        ({"column": "Founded", "before": "2020-01-01"}, ["2019"]),
        ({"column": "Founded", "after": "2020-01-01"}, []),
        ({"column": "Founded", "equals": "2019"}, ["2019"]),
    ],
)
def test_a_rule_holds_for_the_line_that_it_cites(rule: dict[str, Any], lines: list[str]) -> None:
    rule["column"] = {"requires python": "Requires-Python"}.get(rule["column"], rule["column"])
    given = table(
        Requires_Python=">=3.9",
        Classifier=["Python :: 3.11", "Python :: 3.12"],
        Price="$1,200 per month",
        Founded="2019",
    )
    assert points(given, **rule) == lines


def test_versions_are_compared_as_versions() -> None:
    assert points(table(Requires_Python=">=3.9"), column="Requires-Python", below="3.10")
    assert not points(table(Requires_Python=">=3.10"), column="Requires-Python", below="3.9")


def test_what_is_not_found_lacks_everything_and_what_could_not_be_looked_up_gives_nothing() -> None:
    assert points(table(), column="Classifier", lacks="3.13") == ["no such line in a.txt"]
    assert points(table(), column="Classifier", has="3.13") == []
    failed = table(Classifier=TimeoutError("it did not answer"))
    assert points(failed, column="Classifier", lacks="3.13") == ["r: look-up failed"]


def test_a_contradiction_gives_nothing_and_is_told() -> None:
    given = table(Requires_Python=[">=3.9", ">=3.11"])
    assert points(given, column="Requires-Python", below="3.10") == ["r: contradiction: >=3.9 / >=3.11"]


def test_who_is_excluded_is_no_lead_whatever_its_points() -> None:
    rules = [
        {"name": "old", "points": 9, "column": "Founded", "before": "2020-01-01"},
        {"name": "out", "exclude": True, "column": "Price", "has": "$"},
    ]
    found = score(Rubric.model_validate({"rules": rules}), table(Founded="2019", Price="$5"))
    assert (found.leads, found.scores[0].total, found.scores[0].excluded) == ((), 9, "out: $5")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("rules = [", "cannot be read"),
        ("minimum = 2", "rules"),
        ("[[rules]]\nname = 'a'\npoints = 1\ncolumn = 'x'", "needs one of"),
        ("[[rules]]\nname = 'a'\npoints = 1\ncolumn = 'x'\nhas = 'y'\nlacks = 'z'", "has has, lacks"),
        ("[[rules]]\nname = 'a'\ncolumn = 'x'\nhas = 'y'", "either gives points"),
        ("[[rules]]\nname = 'a'\npoints = 1\nexclude = true\ncolumn = 'x'\nhas = 'y'", "either gives points"),
        ("[[rules]]\nname = 'a'\npoints = 1\ncolumn = 'x'\nmatches = '('", "no regular expression"),
        ("[[rules]]\nname = 'a'\npoints = 1\ncolumn = 'x'\nbelow = 'old'", "is no number"),
        ("[[rules]]\nname = 'a'\npoints = 1\ncolumn = 'x'\nhas = 'y'\nhass = 'y'", "hass"),
        ("[[rules]]\nname = 'a'\npoints = 1\ncolumn = 'x'\nhas = 'y'\n" * 2, "two rules are called 'a'"),
    ],
)
def test_what_is_wrong_with_a_rubric_is_told(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "r.toml").write_text(text)
    with pytest.raises(SettingsError, match=why):
        Rubric.read(str(tmp_path / "r.toml"))


def test_a_text_is_filled_in_from_cells_and_a_line_that_names_what_is_not_found_is_left_out() -> None:
    given = table(Price="$5", Founded=["2019", "2020"])
    text, cells = fill("Hello {Name},\nyou cost {price}.\nYou are since {Founded}.\nBye.", "otter", given)
    assert text == "Hello otter,\nyou cost $5.\nBye."
    assert cells == (3,)


def test_a_text_that_a_cell_states_is_not_filled_in_again() -> None:
    text, _ = fill("{Price}", "otter", table(Price="{Founded}", Founded="2019"))
    assert text == "{Founded}"


def test_its_table_has_a_column_for_each_rule_and_each_text() -> None:
    asked = Rubric.model_validate(
        {
            "rules": [{"name": "r", "points": 1, "column": "Classifier", "has": "x"}],
            "columns": ["licence"],
            "draft": "{Name}: {version}, {Licence}",
            "followups": [{"step": "s", "after_days": 1, "text": "{Home-page}"}],
        }
    ).asked
    assert [column.name for column in asked] == ["Classifier", "licence", "version", "Home-page"]
    assert [column.many for column in asked] == [True, False, False, False]
