"""What a model can do with tables, and what it is told when it goes wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from signoff.tools.analysis.charts import Charts
from signoff.tools.analysis.tables import Tables
from signoff.tools.analysis.tools import table_tools
from signoff.tools.tool import Tool


def by_name(tables: Tables) -> dict[str, Tool]:
    return {tool.name: tool for tool in table_tools(tables, home="kept")}


def use(tables: Tables, name: str, **args: Any) -> str:
    return str(by_name(tables)[name].invoke(args))


def test_every_tool_says_what_it_may_touch(sales: Tables, folder: Path) -> None:
    tools = by_name(sales)
    assert {name: tool.risk for name, tool in tools.items()} == {
        "list_tables": "read", "describe_table": "read", "query_tables": "read", "make_chart": "sandboxed"
    }  # fmt: skip
    for tool in tools.values():
        assert str(tool.touches) == f"reads: {folder.resolve()}"


def test_tables_are_listed_with_their_columns_and_what_was_not_read(sales: Tables, folder: Path) -> None:
    (folder / "bad.json").write_text("{")
    listed, unread = use(sales, "list_tables").splitlines()
    assert listed == "sales (4 rows, from sales.csv): region text, month text, amount float"
    assert unread.startswith("Not read: bad.json (not valid JSON")


def test_a_table_is_described(sales: Tables) -> None:
    text = use(sales, "describe_table", table="sales")
    assert "amount | float | 3 | 1 | 3 | 5.5 | 20.0 | 11.8333 | 10.0 | 7.42181 | 7.75 | 15.0 |" in text
    assert "region | text | 4 | 0 | 2 | north | south" in text
    assert use(sales, "describe_table", table="sale") == "No table is called 'sale'. There are: sales."


def test_a_query_is_answered_in_rows(sales: Tables) -> None:
    sql = "select region, sum(amount) total from sales group by region"
    assert use(sales, "query_tables", sql=sql) == "2 rows.\nregion | total\nnorth | 30.0\nsouth | 5.5"
    cut = use(sales, "query_tables", sql="select month, amount from sales", rows=1)
    assert (
        cut == "1 rows.\nmonth | amount\n2024-01 | 10.0\nThere are more rows: add up in SQL, or use LIMIT and OFFSET."
    )
    assert use(sales, "query_tables", sql="select * from sales where amount is null").endswith("south | 2024-02 | NULL")
    assert use(sales, "query_tables", sql="select * from sales where 0") == (
        "No row was found. Columns: region, month, amount."
    )
    wide = use(
        sales,
        "query_tables",
        sql="select replace(printf('%400d', 1), ' ', 'x') from sales a, sales b, sales c",
        rows=200,
    )
    assert "[cut: 50 of 64 rows are shown" in wide


@pytest.mark.parametrize(
    ("name", "args", "told"),
    [
        ("query_tables", {"sql": "drop table sales"}, "only SELECT"),
        ("query_tables", {"sql": "select total from sales"}, r"Tables: sales\(region, month, amount\)"),
        ("query_tables", {"sql": "select readfile('a')"}, "no such function: readfile"),
        ("query_tables", {"sql": "select randomblob(1)"}, "Functions that can be used: .*median"),
        ("query_tables", {}, "sql: Field required"),
        ("make_chart", {"sql": "select 1", "kind": "pie", "title": "t"}, "'bar', 'line'"),
        ("make_chart", {"sql": "select region, month from sales", "kind": "bar", "title": "t"}, "must be numbers"),
        ("make_chart", {"sql": "delete from sales", "kind": "bar", "title": "t"}, "only SELECT"),
    ],
)
def test_what_is_wrong_comes_back_as_text(sales: Tables, name: str, args: dict[str, Any], told: str) -> None:
    assert re.search(told, use(sales, name, **args))


def test_a_chart_is_kept_and_the_text_that_shows_it_returned(sales: Tables) -> None:
    sql = "select month, sum(amount) from sales group by month"
    told = use(sales, "make_chart", sql=sql, kind="bar", title="By month")
    (name,) = set(re.findall(r"chart-[0-9a-f]{12}\.png", told))
    assert f"![By month]({name})" in told
    kept = Charts("kept").find(name)
    assert kept is not None
    assert (kept.sql, kept.rows, kept.kind) == (sql, 2, "bar")


def test_without_matplotlib_no_chart_is_offered(sales: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert list(by_name(sales)) == ["list_tables", "describe_table", "query_tables"]
