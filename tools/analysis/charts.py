"""Charts of what a query found, drawn with matplotlib without its global state, and kept with the query."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from textwrap import wrap
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal

from signoff.error_base import MissingExtra
from signoff.tools.analysis.query import QueryResult, Value
from signoff.tools.errors import BlobMissing, ChartRefused
from signoff.tools.storage.atomic import write_whole
from signoff.tools.storage.blobs import Blobs

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Kind = Literal["bar", "line", "scatter", "histogram", "box"]

_NAME: Final = re.compile(r"chart-[0-9a-f]{12}\.png")


@dataclass(frozen=True)
class Chart:
    """A picture, and the query that it was drawn from. In a notebook it shows itself."""

    title: str
    kind: Kind
    sql: str
    rows: int
    """Rows that were drawn."""
    png: bytes
    note: str = ""
    """What the picture leaves out."""

    @cached_property
    def sha256(self) -> str:
        return hashlib.sha256(self.png).hexdigest()

    @property
    def name(self) -> str:
        return f"chart-{self.sha256[:12]}.png"

    @property
    def markdown(self) -> str:
        """How a text shows it."""
        return f"![{alternative(self.title)}]({self.name})"

    def _repr_png_(self) -> bytes:
        return self.png


class Charts:
    """Charts that were drawn: the pictures among the blobs, and beside them what each was drawn from."""

    def __init__(self, home: Path | str = ".signoff") -> None:
        self.blobs = Blobs(home)
        self._folder = Path(home).expanduser().absolute() / "charts"

    def keep(self, chart: Chart) -> Chart:
        """Keep a chart, so that `find` finds it by its name."""
        about = {**asdict(replace(chart, png=b"")), "png": self.blobs.keep(chart.png)}
        write_whole(self._folder / f"{chart.name}.json", json.dumps(about).encode("utf-8"))
        return chart

    def find(self, name: str) -> Chart | None:
        """The chart of this name, such as `chart-0123456789ab.png`; None if none was kept, or its picture is gone."""
        found = _NAME.search(name)
        if found is None:
            return None
        try:
            about = json.loads((self._folder / f"{found[0]}.json").read_text(encoding="utf-8"))
            return Chart(**{**about, "png": self.blobs.read(about["png"])})
        except (FileNotFoundError, BlobMissing):
            return None


def alternative(title: str) -> str:
    """A title as the text that stands in for a picture in Markdown."""
    return re.sub(r"([\\`*_\[\]<>!&$~|])", r"\\\1", " ".join(title.split()))


MOST_ROWS: Final = 10_000
_MOST_BARS: Final = 60
_MOST_SERIES: Final = 8
_MOST_GROUPS: Final = 40
_LARGEST: Final = 1e100
_LONGEST_LABEL: Final = 40
_LONGEST_TITLE: Final = 160
_SIZE, _DOTS = (8.0, 4.5), 120
_STYLE: Final = {"text.parse_math": False, "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True}
_LOCK: Final = Lock()
"""matplotlib lays out text in one thread at a time."""

_Numbers = list[float]
"""NaN where there is no value."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is written on a chart, and whether its numbers are on a logarithmic scale."""

    title: str
    x: str = ""
    y: str = ""
    log: bool = False


def can_draw() -> bool:
    return find_spec("matplotlib") is not None


def draw(kind: Kind, result: QueryResult, labels: Labels, *, sql: str = "") -> Chart:
    """The chart of what a query found; ChartRefused says what must be selected instead.

    bar, line: the first column names the places, each other one is a series of numbers. scatter: two columns of
    numbers. histogram: columns of numbers. box: columns of numbers, or a column of groups and one of numbers.
    The same result gives the same bytes with the same version of matplotlib.
    """
    if not result.rows:
        raise ChartRefused("the query found no rows")
    if not result.columns or (kind in ("bar", "line", "scatter") and len(result.columns) < 2):
        raise ChartRefused(f"a {kind} chart needs at least two columns, and the query gives {len(result.columns)}")
    if not can_draw():
        raise MissingExtra("drawing charts", "analysis")
    notes = [f"only the first {len(result.rows):,} rows are drawn"] if result.more else []
    png = io.BytesIO()
    with _empty_figure() as figure:
        axes = figure.add_subplot()
        lost = _DRAWN[kind](axes, result, labels)
        if lost:
            notes.append(f"{lost:,} of {len(result.rows):,} rows have no value and are left out")
        _write_labels(axes, labels, result, kind)
        figure.savefig(png, format="png", metadata={"Software": None})
    return Chart(" ".join(labels.title.split()), kind, sql, len(result.rows), png.getvalue(), "; ".join(notes))


@contextmanager
def _empty_figure() -> Iterator[Figure]:
    """A picture in matplotlib's own style, whatever the program has set."""
    with _LOCK:
        from matplotlib import rc_context, rcParamsDefault
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        own: dict[Any, Any] = {
            name: value for name, value in rcParamsDefault.items() if not name.startswith(("backend", "toolbar"))
        }
        with rc_context(own | _STYLE):
            figure = Figure(figsize=_SIZE, dpi=_DOTS, layout="constrained")
            FigureCanvasAgg(figure)
            yield figure


def _write_labels(axes: Axes, labels: Labels, result: QueryResult, kind: Kind) -> None:
    across = kind in ("bar", "line", "scatter")
    axes.set_title("\n".join(wrap(_label(labels.title, _LONGEST_TITLE), _LONGEST_TITLE // 2)))
    axes.set_xlabel(_label(labels.x or (result.columns[0] if across else "")))
    only = result.columns[1] if across and len(result.columns) == 2 else ""
    axes.set_ylabel(_label(labels.y or only or ("count" if kind == "histogram" else "")))
    if labels.log:
        from matplotlib.ticker import FuncFormatter, NullFormatter

        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))  # no formulas: see the style
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.grid(axis="both" if kind == "scatter" else "y", alpha=0.3)
    if axes.get_legend_handles_labels()[1]:
        axes.legend()


def _draw_bars(axes: Axes, result: QueryResult, labels: Labels) -> int:
    places, series = _labels_of(result.rows), _series(result, labels)
    if len(places) > _MOST_BARS:
        raise ChartRefused(f"{len(places)} bars are more than {_MOST_BARS}; group them, or add a LIMIT")
    width = 0.8 / len(series)
    for at, (name, numbers) in enumerate(series):
        offset = (at - (len(series) - 1) / 2) * width
        axes.bar([place + offset for place in range(len(places))], numbers, width, label=_of_several(name, series))
    _write_places(axes, places)
    return 0


def _draw_lines(axes: Axes, result: QueryResult, labels: Labels) -> int:
    series = _series(result, labels)
    first = [row[0] for row in result.rows]
    numbers, dates = _numbers(first), _dates(first)
    across: Sequence[Any] = numbers or dates or range(len(first))
    order = sorted(range(len(first)), key=lambda at: across[at])
    places = [across[at] for at in order]
    mark = "o" if len(first) <= 40 else ""
    for name, values in series:
        heights = [values[at] for at in order]
        axes.plot(places, heights, marker=mark, markersize=4, label=_of_several(name, series))
    if dates and not numbers:
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator()  # type: ignore[no-untyped-call]  # matplotlib has no types for it
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))  # type: ignore[no-untyped-call]  # nor for this
    elif not numbers:
        _write_places(axes, _labels_of(result.rows))
    return 0


def _draw_points(axes: Axes, result: QueryResult, labels: Labels) -> int:
    across, (_, up) = _column_of(result, 0), _series(result, labels)[0]
    pairs = [pair for pair in zip(across, up, strict=True) if not any(map(math.isnan, pair))]
    axes.scatter([x for x, _ in pairs], [y for _, y in pairs], s=14, alpha=0.6, linewidths=0)
    return len(result.rows) - len(pairs)


def _draw_histogram(axes: Axes, result: QueryResult, _labels: Labels) -> int:
    series = [(name, _known(_column_of(result, at))) for at, name in enumerate(result.columns[:_MOST_SERIES])]
    most = max(len(numbers) for _, numbers in series)
    bins = min(50, max(5, math.ceil(math.log2(most)) + 1))
    ends = min(min(numbers) for _, numbers in series), max(max(numbers) for _, numbers in series)
    clear = 0.7 if len(series) > 1 else 1
    for name, numbers in series:
        axes.hist(numbers, bins=bins, range=ends, alpha=clear, label=_of_several(name, series))
    return len(result.rows) - most


def _draw_boxes(axes: Axes, result: QueryResult, labels: Labels) -> int:
    if len(result.columns) == 2 and not _numbers([row[0] for row in result.rows]):
        grouped: dict[str, _Numbers] = {}
        for place, number in zip(_labels_of(result.rows), _column_of(result, 1), strict=True):
            grouped.setdefault(place, []).append(number)
    else:
        grouped = {name: _column_of(result, at) for at, name in enumerate(result.columns)}
    full = {name: known for name, numbers in grouped.items() if (known := _known(numbers))}
    if len(full) > _MOST_GROUPS:
        raise ChartRefused(f"{len(full)} groups of numbers cannot be drawn; 1 to {_MOST_GROUPS} can")
    if labels.log:
        _check_positive([number for numbers in full.values() for number in numbers])
    axes.boxplot(list(full.values()), positions=list(range(len(full))))
    _write_places(axes, [_label(name) for name in full])
    return 0


_DRAWN: Final[dict[Kind, Callable[[Axes, QueryResult, Labels], int]]] = {
    "bar": _draw_bars,
    "line": _draw_lines,
    "scatter": _draw_points,
    "histogram": _draw_histogram,
    "box": _draw_boxes,
}
"""How each kind is drawn; gives the number of rows that were left out."""


def _series(result: QueryResult, labels: Labels) -> list[tuple[str, _Numbers]]:
    """Name and numbers of every column but the first."""
    if len(result.columns) - 1 > _MOST_SERIES:
        raise ChartRefused(f"{len(result.columns) - 1} series are more than {_MOST_SERIES}; select fewer columns")
    series = [(name, _column_of(result, at)) for at, name in enumerate(result.columns) if at]
    if labels.log:
        _check_positive([number for _, numbers in series for number in _known(numbers)])
    return series


def _check_positive(numbers: Sequence[float]) -> None:
    if any(number <= 0 for number in numbers):
        raise ChartRefused("numbers of 0 and below have no place on a logarithmic scale; draw it without")


def _column_of(result: QueryResult, at: int) -> _Numbers:
    """The numbers of a column, NaN for none; ChartRefused if something else stands there."""
    found: _Numbers = []
    for row in result.rows:
        value = row[at]
        if isinstance(value, str):
            raise ChartRefused(f"the column {result.columns[at]!r} must be numbers, and has {value[:60]!r}")
        if value is not None and abs(value) > _LARGEST:
            raise ChartRefused(f"the column {result.columns[at]!r} has {value:g}, which no axis can show")
        found.append(math.nan if value is None else float(value))
    if all(map(math.isnan, found)):
        raise ChartRefused(f"the column {result.columns[at]!r} has no numbers")
    return found


def _known(numbers: _Numbers) -> _Numbers:
    return [number for number in numbers if not math.isnan(number)]


def _numbers(values: Sequence[Value]) -> _Numbers | None:
    """The values, if all are numbers."""
    found = [float(value) for value in values if isinstance(value, int | float)]
    return found if len(found) == len(values) else None


def _dates(values: Sequence[Value]) -> list[datetime] | None:
    """The values as dates, if all are; those of a zone without it, as SQL shows them."""
    try:
        return [
            datetime.fromisoformat(value if isinstance(value, str) else "").replace(tzinfo=None) for value in values
        ]
    except ValueError:
        return None


def _labels_of(rows: Sequence[Sequence[Value]]) -> list[str]:
    return [_label("(none)" if row[0] is None else str(row[0])) for row in rows]


def _of_several(name: str, series: Sequence[Any]) -> str | None:
    return _label(name) if len(series) > 1 else None


def _write_places(axes: Axes, places: Sequence[str]) -> None:
    """Names below places, as many as can be read."""
    step = math.ceil(len(places) / _MOST_BARS)
    steep = sum(map(len, places)) / step > 90
    axes.set_xticks(
        range(0, len(places), step), places[::step], rotation=45 if steep else 0, ha="right" if steep else "center"
    )


def _label(text: str, longest: int = _LONGEST_LABEL) -> str:
    """The text on one line, not too long; a box for what the font cannot draw."""
    flat = " ".join(text.split())
    cut = flat if len(flat) <= longest else f"{flat[: longest - 1]}…"
    return "".join(character if ord(character) in _characters() else "□" for character in cut)


@cache
def _characters() -> frozenset[int]:
    """What the font has."""
    from matplotlib.font_manager import findfont
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(findfont("DejaVu Sans")).get_charmap())
