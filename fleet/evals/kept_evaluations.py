"""The evaluations that are kept: by what they are of, the newest first, read only as far as somebody looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from signoff.fleet.errors import BadEvaluation
from signoff.fleet.evals.evaluation import Evaluation, read_evaluation

EVALS: Final = "evals"
"""Folder of the settings' home in which evaluations are kept, and who runs them."""
RESULTS: Final = "results.jsonl"


@dataclass(frozen=True)
class Kept:
    """Where one evaluation is kept."""

    of: str
    """Name of the folder of all evaluations of the same team and cases."""
    id: str


@dataclass(frozen=True)
class KeptEvaluations:
    """Those in a settings' home."""

    home: Path

    @property
    def folder(self) -> Path:
        return self.home / EVALS

    def all(self) -> list[Kept]:
        """All there are, the newest first; none of them is read."""
        found = [Kept(file.parts[-3], file.parts[-2]) for file in self.folder.glob(f"*/*/{RESULTS}")]
        return sorted(found, key=lambda one: (one.id, one.of), reverse=True)

    def file(self, kept: Kept) -> Path:
        """Where its results are."""
        return self.folder / kept.of / kept.id / RESULTS

    def past(self, of: str, until: str = "") -> Iterator[Evaluation]:
        """Those of one folder, the newest first, or from before one; what was cut off as it began is none."""
        names = sorted((file.parts[-2] for file in self.folder.glob(f"{of}/*/{RESULTS}")), reverse=True)
        for name in names:
            if not until or name < until:
                with suppress(BadEvaluation):
                    yield read_evaluation(self.file(Kept(of, name)))

    def read(self, kept: Kept) -> Evaluation:
        """One, beside the last whole one before it; BadEvaluation if it cannot be read."""
        found = read_evaluation(self.file(kept))
        return replace(found, before=next((one for one in self.past(kept.of, kept.id) if one.is_whole), None))
