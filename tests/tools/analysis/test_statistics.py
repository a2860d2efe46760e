"""Every number is what the standard library computes from the same values."""

from __future__ import annotations

import json
import math
import statistics
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from signoff.errors import QueryRefused, UnknownTable
from signoff.tools.analysis.statistics import correlation, describe, group
from signoff.tools.analysis.tables import Tables

NUMBERS = st.lists(st.integers(-(2**53), 2**53) | st.floats(-1e12, 1e12), min_size=1, max_size=20)


def of(folder: Path, **columns: list[object]) -> Tables:
    names = list(columns)
    rows = [dict(zip(names, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    (folder / "t.json").write_text(json.dumps(rows))
    tables = Tables.open(folder)
    tables.refresh()
    return tables


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NUMBERS)
def test_the_statistics_of_numbers_are_exact(folder: Path, numbers: list[float]) -> None:
    values = list(map(float, numbers)) if any(isinstance(number, float) for number in numbers) else numbers
    (found,) = describe(of(folder, n=[*numbers, None]), "t").columns
    assert (found.count, found.missing, found.distinct) == (len(values), 1, len(set(values)))
    assert (found.least, found.greatest) == (min(values), max(values))
    assert found.mean == statistics.fmean(values)
    assert found.median == statistics.median(values)
    assert found.stdev == (statistics.stdev(values) if len(values) > 1 else None)
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
        assert found.q1 == pytest.approx(low, rel=1e-12, abs=1e-3)
        assert found.q3 == pytest.approx(high, rel=1e-12, abs=1e-3)
    often = Counter(values)
    assert [times for _, times in found.top] == sorted((n for n in often.values() if n > 1), reverse=True)[:5]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(st.integers(-1000, 1000) | st.none(), st.integers(-1000, 1000) | st.none()), min_size=1, max_size=15
    )
)
def test_correlation_is_that_of_the_pairs_that_are_whole(
    folder: Path, pairs: list[tuple[int | None, int | None]]
) -> None:
    tables = of(folder, x=[x for x, _ in pairs], y=[y for _, y in pairs], z=[1] * len(pairs))
    whole = [(x, y) for x, y in pairs if x is not None and y is not None]
    try:
        expected = statistics.correlation([x for x, _ in whole], [y for _, y in whole])
    except statistics.StatisticsError:
        expected = None
    if any(x is not None for x, _ in pairs) and any(y is not None for _, y in pairs):
        assert correlation(tables, "t", "x", "Y") == expected
        assert correlation(tables, "t", "x", "z") is None


def test_the_functions_of_a_query_agree_with_the_library(folder: Path) -> None:
    values = [3, 1, 4, 1, 5, 9, 2, 6]
    tables = of(folder, n=[*values, None])
    row = tables.query(
        "select mean(n), median(n), variance(n), stdev(n), quantile(n, 0.9), quantile(n, 0) from t"
    ).rows[0]
    assert row[:4] == (
        statistics.fmean(values), statistics.median(values), statistics.variance(values), statistics.stdev(values)
    )  # fmt: skip
    assert row[4] == pytest.approx(statistics.quantiles(values, n=10, method="inclusive")[-1])
    assert row[5] == 1
    assert tables.query("select mean(n), median(n), stdev(n), quantile(n, 0.5) from t where n > 99").rows == (
        (None,) * 4,
    )


@pytest.mark.parametrize(
    ("sql", "problem"),
    [
        ("select median(word) from t", "takes numbers, and 'a' is none"),
        ("select quantile(n, 2) from t", "one share between 0 and 1"),
        ("select quantile(n, n) from t", "one share between 0 and 1"),
        ("select mean(n * 1e999) from t", "takes numbers, and 'inf' is none"),
    ],
)
def test_a_wrong_use_of_a_function_is_explained(folder: Path, sql: str, problem: str) -> None:
    with pytest.raises(QueryRefused, match=problem):
        of(folder, n=[0.25, 0.5], word=["a", "b"]).query(sql)


def test_text_is_counted_and_its_commonest_values_are_named(folder: Path) -> None:
    found = describe(of(folder, word=["b", "a", "b", None, "c" * 200, "a", "b"]), "T")
    (column,) = found.columns
    assert (column.count, column.missing, column.distinct, column.mean) == (6, 1, 3, None)
    assert column.top == (("b", 3), ("a", 2))
    assert column.greatest == "c" * 80
    assert found._repr_markdown_().startswith("**t** (t.json), 7 rows")


def test_groups_are_measured_one_by_one(sales: Tables) -> None:
    found = group(sales, "sales", ["region"], "amount")
    assert found.columns == ("region", "count", "sum", "mean", "median", "min", "max")
    assert found.rows == (("north", 2, 30.0, 15.0, 15.0, 10.0, 20.0), ("south", 1, 5.5, 5.5, 5.5, 5.5, 5.5))
    with pytest.raises(QueryRefused, match=r"sales has no column 'amuont'\. It has: region, month, amount"):
        group(sales, "sales", ["region"], "amuont")
    with pytest.raises(UnknownTable):
        describe(sales, "nothing")


def test_a_quantile_lies_between_its_neighbours(folder: Path) -> None:
    tables = of(folder, n=[1, 2, 10])
    ((low, high),) = tables.query("select quantile(n, 0.25), quantile(n, 0.75) from t").rows
    assert (low, high) == (1.5, 6.0)
    assert math.isclose(float(str(low)), 1.5)
