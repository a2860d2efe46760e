"""SQL asked of tables: it is sent to a process of its own, which answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from signoff.tools.analysis import query_process as query_process
from signoff.tools.errors import QueryRefused

Value = int | float | str | None
"""What stands in a cell of a result; bytes are shown as text."""

_GRACE: Final = 5.0
"""Seconds that starting, loading and answering may take beyond the statement's own."""
_LONGEST_ERROR: Final = 500


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """What one question may take; it is refused beyond its seconds and its memory, and cut beyond rows and text."""

    rows: int = 1_000
    characters: int = 200_000
    seconds: float = 10.0
    memory_mb: int = 256


@dataclass(frozen=True)
class QueryResult:
    """What was selected."""

    columns: tuple[str, ...]
    rows: tuple[tuple[Value, ...], ...]
    more: bool = False
    """Whether there are more rows than these."""

    def markdown(self) -> str:
        head = [f"| {' | '.join(map(_cell, self.columns))} |", f"|{'---|' * len(self.columns)}"]
        return "\n".join(head + [f"| {' | '.join(map(_cell, row))} |" for row in self.rows])

    _repr_markdown_ = markdown


_SPECIAL: Final = re.compile(r"[\\|`*\[\]<>$~&]|(?<![^\W_])_|_(?![^\W_])")


def _cell(value: Value) -> str:
    if isinstance(value, float):  # 16.4391, not 16.439123456789012
        return f"{value:.4g}" if abs(value) < 1 else f"{round(value, 4)}"
    text = "" if value is None else " ".join(str(value).split())
    return text if isinstance(value, int) else _SPECIAL.sub(r"\\\g<0>", text)


def ask(database: Path, tables: Sequence[str], statements: Sequence[str], limits: QueryLimits) -> list[QueryResult]:
    """The results of the statements, which may read these tables and nothing else; QueryRefused says why not."""
    request = {
        "uri": f"{database.absolute().as_uri()}?mode=ro",
        "tables": list(tables),
        "statements": list(statements),
        **asdict(limits),
    }
    answer = _run(request, limits)
    if "error" in answer:
        raise QueryRefused(str(answer["error"])[:_LONGEST_ERROR])
    return [
        QueryResult(tuple(result["columns"]), tuple(map(tuple, result["rows"])), result["more"])
        for result in answer["results"]
    ]


def _run(request: dict[str, Any], limits: QueryLimits) -> dict[str, Any]:
    """What the query_process's process says. It has no environment, no packages, and no file that it could write."""
    kept = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}  # Windows starts nothing without
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-B", query_process.__file__],
            input=json.dumps(request).encode(),
            capture_output=True,
            env=kept,
            timeout=limits.seconds + _GRACE,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise QueryRefused(f"it took longer than {limits.seconds:g} seconds") from None
    if done.returncode != 0:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
        raise QueryRefused(f"the process that answers ended with {done.returncode} ({lines[-1]})")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer
