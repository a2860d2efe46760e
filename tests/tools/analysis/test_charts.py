"""Charts show what a query found, and the same result gives the same picture."""

from __future__ import annotations

import struct
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from matplotlib import pyplot

from signoff.errors import ChartRefused, MissingExtra
from signoff.tools.analysis.charts import Charts, Kind, Labels, draw
from signoff.tools.analysis.query import QueryResult

PAIRS = QueryResult(("region", "amount"), (("north", 30), ("south", 5.5), (None, None)))
POINTS = QueryResult(("x", "y"), tuple((n, n * n % 17) for n in range(30)))
DATES = QueryResult(("day", "n"), (("2024-03-01", 3), ("2024-01-01", 1), ("2024-02-01", 2)))


def chart(kind: Kind, result: QueryResult, **labels: Any) -> bytes:
    return draw(kind, result, Labels(**{"title": "A title", **labels})).png


def chunks(png: bytes) -> dict[bytes, bytes]:
    found, at = {}, 8
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        found[png[at + 4 : at + 8]] = png[at + 8 : at + 8 + size]
        at += 12 + size
    return found


@pytest.mark.parametrize(
    ("kind", "result"),
    [("bar", PAIRS), ("line", DATES), ("line", POINTS), ("line", PAIRS), ("scatter", POINTS), ("histogram", POINTS),
     ("box", POINTS), ("box", PAIRS)],
)  # fmt: skip
def test_each_kind_is_drawn_and_shows_the_numbers(kind: Kind, result: QueryResult) -> None:
    png = chart(kind, result)
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", chunks(png)[b"IHDR"][:8]) == (960, 540)
    other = QueryResult(result.columns, (*result.rows[:-1], (result.rows[-1][0], 99)))
    assert chart(kind, other) != png
    assert chart(kind, result, title="Another") != png
    assert chart(kind, result, y="metres") != png


def test_the_same_result_gives_the_same_bytes_in_any_thread_and_any_style() -> None:
    kinds: list[tuple[Kind, QueryResult]] = [("bar", PAIRS), ("scatter", POINTS), ("line", DATES)] * 2
    with ThreadPoolExecutor(4) as pool:
        first, second = (list(pool.map(lambda job: chart(*job), kinds)) for _ in range(2))
    assert first == second
    assert first[:3] == first[3:]
    with matplotlib.rc_context({"axes.facecolor": "red", "font.size": 20, "text.usetex": True}):
        assert chart("bar", PAIRS) == first[0]
        assert matplotlib.rcParams["font.size"] == 20
    assert b"tEXt" not in chunks(first[0])
    assert pyplot.get_fignums() == []


def test_a_logarithmic_scale_is_drawn_where_it_can_be() -> None:
    positive = QueryResult(("x", "y"), (("a", 1), ("b", 1000)))
    for kind in ("bar", "line", "box", "histogram"):
        result = POINTS if kind == "histogram" else positive
        assert chart(kind, result, log=True) != chart(kind, result)
    with pytest.raises(ChartRefused, match="0 and below"):
        chart("bar", QueryResult(("x", "y"), (("a", 0),)), log=True)


def test_odd_labels_are_drawn_as_they_are() -> None:
    odd = QueryResult(("$x$", r"\frac{"), (("漢字 \U0001f600", 1), ("a" * 500, 2), ("$\\bad{$", 3), ("_none", 4)))
    assert chart("bar", odd, title=r"$\alpha_{$ \n " + "w" * 500)


@pytest.mark.parametrize(
    ("kind", "columns", "rows", "problem"),
    [
        ("bar", ("a", "b"), [], "no rows"),
        ("bar", ("a",), [("x",)], "at least two columns"),
        ("bar", ("a", "b"), [("x", "many")], "must be numbers, and has 'many'"),
        ("bar", ("a", "b"), [(f"x{n}", n) for n in range(61)], "61 bars are more than 60"),
        ("bar", ("a", "b"), [("x", None)], "has no numbers"),
        ("line", ("a", *"bcdefghij"), [("x", *range(9))], "9 series are more than 8"),
        ("scatter", ("a", "b"), [("x", 1)], "must be numbers"),
        ("histogram", ("a",), [("x",)], "must be numbers"),
        ("box", ("a", "b"), [(f"g{n}", n) for n in range(41)], "41 groups"),
        ("line", ("a", "b"), [(1, 1e300)], "no axis can show"),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(
    kind: Kind, columns: tuple[str, ...], rows: list[Any], problem: str
) -> None:
    with pytest.raises(ChartRefused, match=problem):
        chart(kind, QueryResult(columns, tuple(rows)))


def test_what_a_picture_leaves_out_is_said() -> None:
    gaps = QueryResult(("x", "y"), ((1, 2), (2, None), (None, 3)), more=True)
    assert draw("scatter", gaps, Labels(title="t")).note == (
        "only the first 3 rows are drawn; 2 of 3 rows have no value and are left out"
    )


def test_a_chart_is_named_by_its_content_and_found_again(tmp_path: Path) -> None:
    charts = Charts(tmp_path / "kept")
    drawn = charts.keep(draw("bar", PAIRS, Labels(title="A [b]\n*c*"), sql="select 1"))
    assert drawn.name == f"chart-{drawn.sha256[:12]}.png"
    assert drawn.markdown == rf"![A \[b\] \*c\*]({drawn.name})"
    assert drawn._repr_png_() == drawn.png
    assert zlib.crc32(charts.blobs.read(drawn.sha256)) == zlib.crc32(drawn.png)
    for name in (drawn.name, drawn.markdown):
        assert charts.find(name) == drawn
    assert charts.find("chart-000000000000.png") is None
    assert charts.find("../../etc/passwd") is None
    charts.blobs.path(drawn.sha256).unlink()
    assert charts.find(drawn.name) is None


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match="analysis"):
        chart("bar", PAIRS)
