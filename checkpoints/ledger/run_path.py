"""The path of a run: whose work it is in which run, where it is the work of an agent."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Text, false
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from signoff.checkpoints.canonical import plain_text, read_json
from signoff.checkpoints.errors import Tampered

RUN_CHILD: Final = "child run"
"""Where the options of a run that is the work of an agent keep its path, and where its checkpoints are."""
LONGEST_BEGINNING: Final = 1_000
"""Characters of the beginning of an id."""
RunPath = tuple[tuple[str, str], ...]
"""The runs around a child run, outermost first, each with the role whose work it is; empty for one of its own."""


class OfRun:
    """What a run asks, and so whoever is around it."""

    run_id: str
    path: RunPath

    def is_of(self, run_id: str | None) -> bool:
        """Whether this run asks it, or a child of it; None: any."""
        return run_id in (None, self.run_id) or any(run == run_id for run, _ in self.path)

    @property
    def root(self) -> str:
        """The run that goes on once it is decided: its own, or the outermost around it."""
        return self.path[0][0] if self.path else self.run_id


def root_of(run_id: str) -> str:
    """The run that is driven when this one is, by its id: itself, or the outermost around it."""
    return run_id.partition(".")[0]


class _Bytewise(FunctionElement[str]):
    """A text in the order of its bytes, which is that of every index in SQLite: what begins so is found by it."""

    name, type, inherit_cache = "bytewise", Text(), True


@compiles(_Bytewise)
def _compile(element: _Bytewise, compiler: Any, **options: Any) -> str:
    bare = str(compiler.process(element.clauses, **options))
    return bare if compiler.dialect.name == "sqlite" else f'{bare} COLLATE "C"'


def is_below(id_: ColumnElement[str], run_id: str) -> ColumnElement[bool]:
    """Whether an id is that of a run below this one, such as `r-1.a2`."""
    text, run_id = _Bytewise(id_), plain_text(run_id)
    return (text >= f"{run_id}.") & (text < f"{run_id}/")


def begins(id_: ColumnElement[str], given: str) -> ColumnElement[bool]:
    """Whether an id begins so; no id is so long that a database would refuse to look for it."""
    return id_.startswith(given, autoescape=True) if len(given) <= LONGEST_BEGINNING else false()


def is_within(id_: ColumnElement[str], run_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether an id is that of a run, whose id another column has, or of one below it."""
    text = _Bytewise(id_)
    return (text >= _Bytewise(run_id)) & (text < _Bytewise(run_id.concat("/")))


def path_in(options: Any, what: str) -> RunPath:
    """The path in the options of a run, as its row has them; Tampered if it cannot be one."""
    if not isinstance(options, str) or f'"{RUN_CHILD}"' not in options:
        return ()
    kept = read_json(options, dict, what).get(RUN_CHILD)
    if kept is None:
        return ()
    path = kept.get("path") if isinstance(kept, dict) else None
    if not isinstance(path, list) or not all(
        isinstance(step, list) and len(step) == 2 and all(isinstance(name, str) for name in step) for step in path
    ):
        raise Tampered(what, f"its run is said to be a child, {kept!r:.60}")
    return tuple((run, role) for run, role in path)


def told_of(path: RunPath) -> str:
    """Where a run with this path belongs, such as `the work of leads in run r-1`; empty for one of its own."""
    return f"the work of {path[-1][1]} in run {path[-1][0]}" if path else ""
