"""Plain questions to tables, read without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from signoff.tools.analysis import Tables, read_question

WEATHER = "date,city,temp_max,wind\n" + "".join(
    f"20{year}-0{month}-01,{city},{year + month + add},{month}\n"
    for year in (14, 15)
    for month in (1, 2, 3)
    for city, add in (("Seattle", 0), ("New York", 0.5))
)
STAFF = "crew,people,lead\nGardens,7,Mara Lind\nWorkshop,3,Otto Brenner\n"


@pytest.fixture
def tables(folder: Path) -> Tables:
    (folder / "weather.csv").write_text(WEATHER)
    (folder / "staff.csv").write_text(STAFF)
    return Tables.open(folder, home=folder.parent)


@pytest.mark.parametrize(
    ("goal", "title", "rows"),
    [
        ("mean of temp_max in weather.csv", "mean of temp_max", ((16.75,),)),
        ("What was the average temp max?", "mean of temp_max", ((16.75,),)),
        ("average temp_max by city", "mean of temp_max by city", (("New York", 17.0), ("Seattle", 16.5))),
        ("highest temp_max in New York in 2014", "max of temp_max in 2014 where city is New York", ((17.5,),)),
        ("In which year was the mean wind highest?", "mean of wind by year", (("2014", 2.0), ("2015", 2.0))),
        (
            "monthly total of wind in 2015",
            "sum of wind by month in 2015",
            tuple((f"2015-0{n}", 2 * n) for n in (1, 2, 3)),
        ),
        ("How many people work in Gardens?", "sum of people where crew is Gardens", ((7,),)),
        ("How many rows in weather where wind is at least 3?", "number of rows where wind >= 3", ((4,),)),
        ("number of rows by city in weather.csv", "number of rows by city", (("New York", 6), ("Seattle", 6))),
        ("Which crew has the fewest people?", "min of people by crew", (("Workshop", 3), ("Gardens", 7))),
        ("standard deviation of people in staff.csv", "standard deviation of people", ((2.8284,),)),
        (
            "How did temp_max develop over time in Seattle?",
            "mean of temp_max over time where city is Seattle",
            tuple((f"20{y}-0{m}-01", float(y + m)) for y in (14, 15) for m in (1, 2, 3)),
        ),
    ],
)
def test_what_is_asked_is_computed(
    goal: str, title: str, rows: tuple[tuple[str | float, ...], ...], tables: Tables
) -> None:
    (asked,) = read_question(goal, tables)
    assert asked.title.rpartition(" (")[0] == title
    assert tables.query(asked.sql).rows == rows


@pytest.mark.parametrize(
    ("goal", "chart"),
    [("average temp_max by city", "bar"), ("mean wind per month", "line"), ("mean of wind in weather.csv", "")],
)
def test_groups_are_drawn_as_bars_and_times_as_a_line(goal: str, chart: str, tables: Tables) -> None:
    assert [asked.chart for asked in read_question(goal, tables)] == [chart]


@pytest.mark.parametrize(
    "goal",
    [
        "What does the wind do to people?",
        "What is the most important rule about people?",
        "How many members does the board have?",
        "What is the total number of the beast?",
        "mean of nothing",
        "",
    ],
)
def test_what_is_not_plainly_asked_of_a_table_is_not_answered_by_one(goal: str, tables: Tables) -> None:
    assert read_question(goal, tables) == []


def test_a_query_holds_nothing_of_the_goal_but_names_and_values_that_are_there(folder: Path) -> None:
    (folder / "odd.csv").write_text('na"me,b;c\nO\'Neil,2\n"x\'; drop table odd; --",3\n')
    tables = Tables.open(folder, home=folder.parent)
    goal = "total of b c in odd.csv where x'; drop table odd; -- and 1=1"
    for asked in read_question(goal, tables):
        assert "1=1" not in asked.sql
        assert tables.query(asked.sql).rows
    assert len(tables.query("select * from odd").rows) == 2


def test_workbooks_are_asked_like_other_files(folder: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl comes with the extra `analysis`")
    book = openpyxl.Workbook()
    for row in (("Region", "Units Sold"), ("North", 3), ("South", 5), ("North", 4)):
        book.active.append(row)
    book.save(folder / "sales 2024.xlsx")
    tables = Tables.open(folder, home=folder.parent)
    (asked,) = read_question("total units sold by region", tables)
    assert tables.query(asked.sql).rows == (("North", 7), ("South", 5))


def test_a_year_that_is_asked_about_is_looked_for_in_the_column_of_years(folder: Path) -> None:
    (folder / "visits.csv").write_text("Branch,Year,Visits\nMill,2022,90\nMill,2023,50\nQuay,2022,60\nQuay,2023,70\n")
    tables = Tables.open(folder, home=folder.parent)
    (asked,) = read_question("Which branch had the most visits in 2023?", tables)
    assert tables.query(asked.sql).rows == (("Quay", 70), ("Mill", 50))
