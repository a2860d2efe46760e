"""A repository in units: files that are changed together, in layers of which each builds on those below it.

A unit holds whole circles of imports, so that between units there are none; and as many of a layer as a number of lines
allows. Files that are no Python are taken by folder, all in one layer.
"""

from __future__ import annotations

import fnmatch
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from posixpath import dirname, splitext
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict

from signoff.error_base import TeamError
from signoff.tools.git.refactoring.import_graph import ImportGraph, importers, read_imports
from signoff.wording import counted

T = TypeVar("T")

_NO_CODE: Final = frozenset(
    ".md .rst .txt .json .xml .html .css .csv .svg .yml .yaml .toml .ini .cfg .lock .po .pot .tex .log .out .in".split()
)
FILES: Final = "{files}"
"""In a command: the files that it is about."""
TESTS: Final = "{tests}"
"""In a command: the test files that reach them."""
_MOST_NAMES: Final = 100_000
"""Characters of a command with names in it; a system takes some more."""
_SNIFFED: Final = 8_000
"""Bytes in which a file that is no text has a NUL."""


class Unit(BaseModel):
    """Files that are changed together."""

    model_config = ConfigDict(frozen=True)

    name: str
    files: tuple[str, ...]
    lines: int
    layer: int
    tests: tuple[str, ...] = ()
    """Test files that import any of it, directly or not."""


class RepositoryUnits(BaseModel):
    """How a repository is divided."""

    model_config = ConfigDict(frozen=True)

    units: tuple[Unit, ...]
    """Lower layers first."""
    layers: tuple[int, ...]
    """Of the files, before any are put together: how many there are in each, those that import nothing first."""
    cycles: tuple[tuple[str, ...], ...]
    """Files that import each other in a circle."""
    unread: tuple[str, ...] = ()
    """Python files that no imports can be read of."""

    def __str__(self) -> str:
        files = sum(len(unit.files) for unit in self.units)
        lines = sum(unit.lines for unit in self.units)
        told = f"{counted(files, 'file')} of {counted(lines, 'line')} in {counted(len(self.units), 'unit')}"
        if len(self.layers) > 1 or self.cycles:
            circles = ", ".join(str(len(cycle)) for cycle in self.cycles)
            told += f"; {len(self.layers)} layers of imports {[*self.layers]}"
            told += f", {counted(len(self.cycles), 'circle')} ({circles} files)" if self.cycles else ", no circle"
        return told


def find_units(
    files: Mapping[str, bytes],
    *,
    most: int,
    wanted: Sequence[str] = (),
    protected: Callable[[str], str] = lambda _path: "",
) -> RepositoryUnits:
    """The files that are to be changed, in units of at most so many lines; a circle of imports may have more.

    `wanted` are paths, folders or patterns; without, the Python files if most of the code is Python, else every text.
    `protected` says what is no part of any unit, such as tests.
    """
    texts = {path: raw for path, raw in files.items() if b"\0" not in raw[:_SNIFFED]}
    chosen = [path for path in sorted(texts) if not protected(path)]
    if wanted:
        chosen = [path for path in chosen if any(fits(path, one) for one in wanted)]
    elif _is_python({path: texts[path] for path in chosen}):
        chosen = [path for path in chosen if path.endswith(".py")]
    python = {path: raw for path, raw in texts.items() if path.endswith(".py")}
    with_imports = any(path in python for path in chosen)
    whole, unread = read_imports(python) if with_imports else ({}, ())
    units_of = frozenset(chosen)
    graph = {path: _reached(path, whole, units_of) for path in chosen}
    circles = list(components(graph))
    levels = layers_of(graph, circles)
    size = {path: texts[path].count(b"\n") + 1 for path in chosen}
    tests = importers(whole)
    units = []
    for layer, group in enumerate(_filled(levels, lambda circle: sum(size[path] for path in circle), most)):
        near = sorted(group, key=lambda circle: (dirname(circle[0]), circle))
        for unit in _filled(near, lambda path: size[path], most):
            paths = tuple(sorted(unit))
            covering = tuple(path for path in sorted(_closure(paths, tests)) if protected(path) == "a test")
            lines = sum(texts[path].count(b"\n") for path in paths)
            units.append(Unit(name=_named(paths), files=paths, lines=lines, layer=layer, tests=covering))
    return RepositoryUnits(
        units=tuple(units),
        layers=tuple(sum(map(len, level)) for level in levels),
        cycles=tuple(sorted(circle for circle in circles if len(circle) > 1)),
        unread=tuple(path for path in unread if path in graph),
    )


def fill_in(command: str, files: Sequence[str], tests: Sequence[str] = ()) -> str:
    """The command with the names of these files and tests; TeamError if that gets too long."""
    filled = command.replace(FILES, shlex.join(files)).replace(TESTS, shlex.join(tests))
    if filled != command and len(filled) > _MOST_NAMES:
        raise TeamError(f"The names of {len(files)} files are too many for one command. Let units have fewer --lines.")
    return filled


def fits(path: str, wanted: str) -> bool:
    """Whether a path is meant by another, a folder, or a pattern such as `src/*.py`."""
    return fnmatch.fnmatchcase(path, wanted) or path.startswith(f"{wanted.rstrip('/')}/") or wanted in (".", "*")


def components(graph: ImportGraph) -> Iterator[tuple[str, ...]]:
    """Files of which each leads to each, those that others need first; by Tarjan's algorithm, without recursion."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    on_stack: set[str] = set()
    for root in sorted(graph):
        work = [(root, iter(sorted(graph[root])))] if root not in order else []
        while work:
            path, rest = work[-1]
            if path not in order:
                order[path] = low[path] = len(order)
                stack.append(path)
                on_stack.add(path)
            for other in rest:
                if other not in order:
                    work.append((other, iter(sorted(graph[other]))))
                    break
                if other in on_stack:
                    low[path] = min(low[path], order[other])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[path])
                if low[path] == order[path]:
                    found = stack[stack.index(path) :]
                    del stack[stack.index(path) :]
                    on_stack -= set(found)
                    yield tuple(sorted(found))


def layers_of(graph: ImportGraph, circles: Iterable[tuple[str, ...]]) -> list[list[tuple[str, ...]]]:
    """The circles by how many are below them at most; `circles` as `components` gives them."""
    level: dict[str, int] = {}
    layers: list[list[tuple[str, ...]]] = []
    for circle in circles:
        below = {other for path in circle for other in graph[path]} - set(circle)
        here = 1 + max((level[other] for other in below), default=-1)
        level |= dict.fromkeys(circle, here)
        layers += [[] for _ in range(here + 1 - len(layers))]
        layers[here].append(circle)
    return [sorted(layer) for layer in layers]


def _filled(pieces: Iterable[Sequence[T]], size: Callable[[T], int], most: int) -> Iterator[list[T]]:
    """What is in pieces that follow each other, as many of them together as have at most this size."""
    found, taken = list[T](), 0
    for piece in pieces:
        more = sum(map(size, piece))
        if found and taken + more > most:
            yield found
            found, taken = [], 0
        found += piece
        taken += more
    if found:
        yield found


def _reached(path: str, graph: ImportGraph, wanted: Collection[str]) -> set[str]:
    """What of the wanted it imports, directly or by way of what is not wanted."""
    found, seen, waiting = set[str](), {path}, [*graph.get(path, ())]
    while waiting:
        other = waiting.pop()
        if other in seen:
            continue
        seen.add(other)
        if other in wanted:
            found.add(other)
        else:
            waiting += graph.get(other, ())
    return found


def _closure(paths: Iterable[str], graph: ImportGraph) -> set[str]:
    seen, waiting = set[str](), [*paths]
    while waiting:
        path = waiting.pop()
        if path not in seen:
            seen.add(path)
            waiting += graph.get(path, ())
    return seen


def _is_python(files: Mapping[str, bytes]) -> bool:
    """Whether most lines of code are Python."""
    lines: dict[str, int] = {}
    for path, raw in files.items():
        form = splitext(path)[1].lower()
        if form and form not in _NO_CODE:
            lines[form] = lines.get(form, 0) + raw.count(b"\n") + 1
    return bool(lines) and max(lines, key=lambda form: lines[form]) == ".py"


def _named(paths: Sequence[str]) -> str:
    return paths[0] if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
