"""Evals on the page: those that are kept, one of them case by case and version by version, and a run of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from starlette.responses import Response

from signoff.agents.errors import RecordingUnreadable
from signoff.agents.replay import Cassette
from signoff.desk.errors import NotThere
from signoff.desk.web.context import Visit, address_of, entry_number, for_all, query_of, screen
from signoff.fleet.errors import BadEvaluation
from signoff.fleet.evals import Evaluation, Kept, KeptEvaluations, failures, marks, read_evaluation

_SHOWN: Final = 20
"""Evaluations that are shown together."""
_CASES: Final = 100
"""Cases that are shown together."""
_MOST_BYTES: Final = 8_000_000
"""What is larger is not read for a page."""


@screen
@for_all
def evals(visit: Visit) -> Response:
    """The newest; each is read only if it is shown."""
    kept, after = _kept(visit), query_of(visit, "after")["after"]
    left = [one for one in kept.all() if not after or one.id < after]
    shown = [(one, _read(kept, one, beside=False)) for one in left[:_SHOWN]]
    more = address_of("/fleet/evals", after=shown[-1][0].id) if len(left) > _SHOWN else ""
    return visit.render("fleet/evals.html", shown=shown, more=more)


@screen
@for_all
def evaluation(visit: Visit) -> Response:
    """Cases by versions: what got worse first, then what failed, then where they differ."""
    where, found = _named(visit)
    first = entry_number(query_of(visit, "from")["from"]) or 0
    worse = {case for cases in found.worse.values() for case in cases}
    failed, differ = {one.case for one in failures(found)}, set(found.differences)
    cases = sorted(found.cases, key=lambda case: (case not in worse, case not in failed, case not in differ))
    more = address_of(_path(where), **{"from": str(first + _CASES)}) if len(cases) > first + _CASES else ""
    rows = [_row(found, case) for case in cases[first : first + _CASES]]
    return visit.render("fleet/evaluation.html", found=found, path=_path(where), rows=rows, worse=worse, more=more)


def _row(found: Evaluation, case: str) -> tuple[str, list[dict[str, Any]]]:
    """A case, and of each version: its mark, its first run that did not pass or else its first, and what is wrong."""
    cells = []
    for version, mark in zip(found.versions, marks(found, case), strict=True):
        attempts = sorted(found.of(version, case), key=lambda one: (one.passed, one.attempt))
        run, why = (attempts[0].run, attempts[0].why) if attempts else ("", "")
        cells.append({"version": version, "mark": mark, "run": run, "why": why})
    return case, cells


@screen
@for_all
def run(visit: Visit) -> Response:
    """What one run came to: as it was recorded, as evals keep their runs in a database of their own."""
    where, found = _named(visit)
    result = next((one for one in found.results if one.run == visit.request.path_params["run"]), None)
    if result is None:
        raise NotThere("run of this eval")
    home, file = _kept(visit).folder.resolve(), Path(result.recording).resolve()
    about: dict[str, Any] = {}
    ending: dict[str, Any] = {}
    if file.is_relative_to(home) and file.is_file() and file.stat().st_size <= _MOST_BYTES:
        try:
            recorded = Cassette.open(file, "replay")
        except RecordingUnreadable:  # it is said that there is none
            pass
        else:
            about, ending = dict(recorded.about), dict((recorded.ending or {}).get("ending", {}))
    return visit.render(
        "fleet/eval_run.html", found=found, path=_path(where), result=result, about=about, ending=ending
    )


def _kept(visit: Visit) -> KeptEvaluations:
    return KeptEvaluations(visit.context.settings.home)


def _named(visit: Visit) -> tuple[Kept, Evaluation]:
    """The evaluation that the address names; NotThere if there is none."""
    kept, named = _kept(visit), Kept(visit.request.path_params["of"], visit.request.path_params["id"])
    found = _read(kept, named, beside=True) if named in kept.all() else None
    if found is None:
        raise NotThere("eval that can be read")
    return named, found


def _read(kept: KeptEvaluations, one: Kept, *, beside: bool) -> Evaluation | None:
    """One; None if it cannot be read, or is too large for a page."""
    try:
        if kept.file(one).stat().st_size > _MOST_BYTES:
            return None
        return kept.read(one) if beside else read_evaluation(kept.file(one))
    except (BadEvaluation, OSError):
        return None


def _path(where: Kept) -> str:
    return f"/fleet/evals/{where.of}/{where.id}"
