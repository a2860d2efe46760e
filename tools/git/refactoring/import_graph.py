"""Which files of a repository import which, as grimp finds it in a process of its own: none of them runs."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import Final

from signoff.error_base import MissingExtra
from signoff.tools.git.refactoring import grimp_process
from signoff.tools.storage.child_environment import clean_environment

_SECONDS: Final = 300.0
_SYNTAX: Final = re.compile(r"Syntax error in (.+), line \d+")
_SOURCES: Final = ("src", "lib", "python")
"""Folders whose names are no part of a module's name."""

ImportGraph = dict[str, set[str]]
"""By path: the paths of what it imports, among those that were given."""


def read_imports(files: Mapping[str, bytes]) -> tuple[ImportGraph, tuple[str, ...]]:
    """What the Python files import of each other, and the ones that are no Python 3; MissingExtra without grimp.

    grimp is shown a folder in which each file has the names that it may be imported by: the one in its package, and the
    one with all folders. A module beside packages is shown as a package of one file, as it knows no others.
    """
    if find_spec("grimp") is None:
        raise MissingExtra("Mapping a Python repository", "refactor", "needs grimp, which is not installed")
    names = {name: path for path in sorted(files) for name in _names(path, files)}
    unread = set[str]()
    with tempfile.TemporaryDirectory(prefix="signoff-map-") as folder:
        view = Path(folder)
        shown = {str(place): path for name, path in names.items() if (place := _show(view, name, path, files[path]))}
        roots = sorted(place.name for place in view.iterdir())
        found = _scan(view, roots)
        while isinstance(found, str):
            odd = shown.get(match[1], "") if (match := _SYNTAX.search(found)) else ""
            if not odd or odd in unread:
                return {path: set() for path in files}, tuple(files)
            unread |= {odd} if unread else {odd, *_unparsed(files)}
            for file in (one for one, path in shown.items() if path in unread):
                Path(file).write_bytes(b"")
            found = _scan(view, roots)
    graph: ImportGraph = {path: set() for path in files}
    for name, imported in found.items():
        if name in names:
            graph[names[name]] |= {names[one] for one in imported if one in names} - {names[name]}
    return graph, tuple(sorted(unread))


def _names(path: str, files: Mapping[str, bytes]) -> Iterator[str]:
    """By which names it may be imported."""
    whole = PurePosixPath(path)
    parts = [*whole.parent.parts, *([] if whole.name == "__init__.py" else [whole.stem])]
    base = whole.parent
    while base.parts and f"{base}/__init__.py" in files:
        base = base.parent
    shorter = parts[1:] if parts[:1] and parts[0] in _SOURCES else parts
    for one in (parts[len(base.parts) :], shorter):
        if one and all(part.isidentifier() for part in one):
            yield ".".join(one)


def _show(view: Path, name: str, path: str, raw: bytes) -> Path | None:
    """Where it stands in the view; None if something else stands there."""
    place = view.joinpath(*name.split("."))
    is_package = path.endswith("__init__.py") or "." not in name
    file = place / "__init__.py" if is_package else place.with_suffix(".py")
    if file.exists() or any(above.is_file() for above in file.parents if above != view):
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(raw)
    return file


def _scan(view: Path, roots: list[str]) -> dict[str, list[str]] | str:
    """What each module imports; or what was wrong."""
    if not roots:
        return {}
    asked = json.dumps({"view": str(view), "roots": roots})
    command = [sys.executable, "-I", str(Path(grimp_process.__file__))]
    try:
        done = subprocess.run(
            command,
            input=asked,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            env=clean_environment(),
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {_SECONDS:g} seconds"
    if done.returncode:
        return done.stderr[-2_000:] or f"it ended with exit code {done.returncode}"
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def _unparsed(files: Mapping[str, bytes]) -> list[str]:
    """The files that this Python cannot parse."""
    found = []
    for path, raw in files.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about invalid escapes in the file
                ast.parse(raw)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            found.append(path)
    return found


def importers(graph: ImportGraph) -> ImportGraph:
    """The same graph the other way round."""
    found: ImportGraph = defaultdict(set)
    for path, imported in graph.items():
        for one in imported:
            found[one].add(path)
    return dict(found)
