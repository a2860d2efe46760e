"""What came of an evaluation: case by case, version by version, beside the one before; as a table and as JUnit XML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from statistics import median
from typing import Any, Final
from xml.etree import ElementTree

from signoff.fleet.errors import BadEvaluation
from signoff.wording import as_words, counted, make_visible, visible_line

FORMAT: Final = 1
_MARGIN: Final = 0.1
"""By how much of it a cost or a time has to differ from the one before to be told."""


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """What came of one case with one version."""

    version: str
    case: str
    attempt: int = 1
    digest: str = ""
    """Of the case, so that only the same question is compared with the time before."""
    problems: tuple[str, ...] = ()
    """What is not as expected; empty: it passed."""
    error: str = ""
    """Why it could not be run to an end; empty if it could."""
    status: str = ""
    run: str = ""
    usd: float = 0.0
    judge_usd: float = 0.0
    """What asking the judge cost, which is none of the team's."""
    unpriced: int = 0
    """Calls whose price nobody knows, which are in no sum."""
    calls: int = 0
    tokens: int = 0
    seconds: float = 0.0
    recording: str = ""
    """File of what models and tools answered: `signoff run --replay FILE`, or `signoff export FILE --test …`."""

    @property
    def passed(self) -> bool:
        return not self.problems and not self.error

    @property
    def why(self) -> str:
        """What is wrong, in one line; empty if nothing."""
        return self.error or "; ".join(self.problems)


@dataclass(frozen=True)
class Score:
    """How a version did over its cases."""

    version: str
    passed: int
    total: int
    errors: int
    usd: float
    judge_usd: float
    unpriced: int
    calls: int
    tokens: int
    seconds: float
    """Of a case, the median."""

    @property
    def rate(self) -> float:
        return self.passed / self.total if self.total else 0.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Evaluation:
    """An evaluation; in a notebook it shows itself."""

    id: str
    at: str
    team: str
    cases: tuple[str, ...]
    versions: tuple[str, ...]
    results: tuple[CaseResult, ...]
    expected: int = 0
    """How many results it has once it is whole."""
    fleet: bool = False
    """Whether workers did its cases."""
    before: Evaluation | None = None
    """The one that it is held against: of the same team and cases, the last whole one."""

    @property
    def is_whole(self) -> bool:
        return len(self.results) >= self.expected

    @property
    def passed(self) -> bool:
        """Whether every case passed, with every version."""
        return self.is_whole and all(result.passed for result in self.results)

    def of(self, version: str, case: str) -> tuple[CaseResult, ...]:
        """The attempts at a case."""
        return tuple(one for one in self.results if (one.version, one.case) == (version, case))

    def rate(self, version: str, case: str) -> float | None:
        """How many of the attempts at a case passed, from 0 to 1; None if there are none."""
        found = self.of(version, case)
        return sum(one.passed for one in found) / len(found) if found else None

    @property
    def scores(self) -> tuple[Score, ...]:
        return tuple(self._score(version, self.results) for version in self.versions)

    @staticmethod
    def _score(version: str, results: Iterable[CaseResult]) -> Score:
        own = [one for one in results if one.version == version]
        return Score(
            version,
            sum(one.passed for one in own),
            len(own),
            sum(bool(one.error) for one in own),
            sum(one.usd for one in own),
            sum(one.judge_usd for one in own),
            sum(one.unpriced for one in own),
            sum(one.calls for one in own),
            sum(one.tokens for one in own),
            median(one.seconds for one in own) if own else 0.0,
        )

    @property
    def differences(self) -> tuple[str, ...]:
        """The cases that not every version passes as often."""
        rates = {case: {self.rate(version, case) for version in self.versions} for case in self.cases}
        return tuple(case for case, found in rates.items() if len(found) > 1)

    def changed(self, version: str, *, worse: bool) -> tuple[str, ...]:
        """The cases that pass less often than the time before, or more often; what is not the same case is left out."""
        return tuple(case for case, was, now in self._beside(version) if (now < was if worse else now > was))

    @property
    def worse(self) -> Mapping[str, tuple[str, ...]]:
        """By version: the cases that pass less often than the time before."""
        found = {version: self.changed(version, worse=True) for version in self.versions}
        return {version: cases for version, cases in found.items() if cases}

    def _beside(self, version: str) -> Iterator[tuple[str, float, float]]:
        """Each case that was asked before too, with how often it passed then and now."""
        for case in self.cases if self.before is not None else ():
            assert self.before is not None
            then, now = self.before.of(version, case), self.of(version, case)
            if then and now and then[0].digest == now[0].digest:
                yield case, sum(one.passed for one in then) / len(then), sum(one.passed for one in now) / len(now)

    @property
    def verdict(self) -> tuple[str, ...]:
        """What it comes to, in sentences: which version is worse and where, what that costs, what changed since."""
        left = f"{len(self.results)} of {self.expected} results are there: `--resume` goes on with the others."
        since = (said for version in self.versions for said in self._since(version))
        return (*([] if self.is_whole else [left]), *self._side_by_side(), *since)

    def _side_by_side(self) -> Iterator[str]:
        ranked = sorted(self.scores, key=lambda score: (-score.rate, score.usd))
        if len(ranked) < 2:
            return
        best = ranked[0]
        for other in ranked[1:]:
            lost = [case for case in self.cases if _less(self.rate(other.version, case), self.rate(best.version, case))]
            won = [case for case in self.cases if _less(self.rate(best.version, case), self.rate(other.version, case))]
            cost = f"It cost {_dollars(other.usd)}, {best.version} {_dollars(best.usd)}."
            if other.rate == best.rate:
                both = f"{best.version} and {other.version} both pass {best.passed} of {best.total}"
                yield f"{both}{f', but not the same: {_named((*lost, *won))}' if lost or won else ''}. {cost}"
                continue
            less = f"{other.passed} of {other.total} pass, not {best.passed}"
            told = f"{other.version} is worse than {best.version}: {less}."
            where = f" It fails where {best.version} passes in {_named(lost)}."
            better = f" It passes where {best.version} fails in {_named(won)}." if won else ""
            yield f"{told}{where}{better} {cost}"

    def _since(self, version: str) -> Iterator[str]:
        if self.before is None or not (shared := {case for case, _, _ in self._beside(version)}):
            return
        since = f"since {self.before.at[:16].replace('T', ' ')}"
        if worse := self.changed(version, worse=True):
            yield f"{version} got worse {since} in {_named(worse)}."
        if better := self.changed(version, worse=False):
            yield f"{version} got better {since} in {_named(better)}."
        now = self._score(version, (one for one in self.results if one.case in shared))
        then = self._score(version, (one for one in self.before.results if one.case in shared))
        if now.total == then.total and abs(now.usd - then.usd) > _MARGIN * max(then.usd, 1e-9):
            yield f"The same cases cost {version} {_dollars(now.usd)}, {_dollars(then.usd)} {since}."

    def to_json(self) -> dict[str, Any]:
        """All of it, as JSON; `read_evaluation` reads it again."""
        return {
            "signoff_evaluation": FORMAT,
            "id": self.id,
            "at": self.at,
            "team": self.team,
            "cases": list(self.cases),
            "versions": list(self.versions),
            "expected": self.expected,
            "fleet": self.fleet,
            "passed": self.passed,
            "scores": [{**asdict(score), "rate": score.rate} for score in self.scores],
            "differences": list(self.differences),
            "worse": {version: list(cases) for version, cases in self.worse.items()},
            "before": None if self.before is None else self.before.id,
            "verdict": list(self.verdict),
            "results": [{**asdict(result), "passed": result.passed} for result in self.results],
        }

    def _repr_markdown_(self) -> str:
        return markdown(self)

    def _repr_html_(self) -> str:
        from markdown_it import MarkdownIt

        return str(MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown(self)))

    def __repr__(self) -> str:
        rows = [SCORE_COLUMNS, *map(score_cells, self.scores)]
        wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, wide, strict=True)).rstrip() for row in rows)
        wrong = (f"✗ {one.version}: {one.case}: {one.why}" for one in failures(self))
        lines = [f"{self.team}: {len(self.cases)} cases", *table, *self.verdict, *wrong]
        return "\n".join(map(visible_line, lines))


def _less(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and one < other


def _named(cases: Sequence[str]) -> str:
    if len(cases) == 1:
        return cases[0]
    some = ", ".join(cases[:10])
    return f"{len(cases)} cases ({some}{f' and {len(cases) - 10} more' if len(cases) > 10 else ''})"


def _dollars(usd: float) -> str:
    return f"${usd:.4f}" if 0 < usd < 1 else f"${usd:.2f}"


def header_of(evaluation: Evaluation) -> dict[str, Any]:
    """The first line of the file that results are written to as they come."""
    return {name: value for name, value in evaluation.to_json().items() if name in _HEADER}


_HEADER: Final = ("signoff_evaluation", "id", "at", "team", "cases", "versions", "expected", "fleet")


def result_of(told: Mapping[str, Any]) -> CaseResult:
    """A result as it was written."""
    known = {field.name for field in fields(CaseResult)}
    found = {name: value for name, value in told.items() if name in known}
    return CaseResult(**{**found, "problems": tuple(found.get("problems", ()))})


def read_evaluation(path: Path | str) -> Evaluation:
    """An evaluation from its JSON, or from the file that its results were written to as they came.

    A last line that is torn, as its process ended while it was written, is left out. BadEvaluation if it is none.
    """
    text = Path(path).read_text(encoding="utf-8")
    try:
        told = json.loads(text)
        lines = [told, *told.get("results", [])]
    except (ValueError, AttributeError):
        lines = list(_lines(text))
    try:
        about = lines[0]
        if about["signoff_evaluation"] != FORMAT:
            raise BadEvaluation(str(path), f"its format {about['signoff_evaluation']!r} is another one")
        head = {name: about[name] for name in ("id", "at", "team", "expected")}
        head["fleet"] = about.get("fleet", False)
        shown = Evaluation(**head, cases=tuple(about["cases"]), versions=tuple(about["versions"]), results=())
        return replace(shown, results=tuple(result_of(line) for line in lines[1:]))
    except (IndexError, KeyError, TypeError) as error:
        raise BadEvaluation(str(path), f"{type(error).__name__}: {error}") from error


def _lines(text: str) -> Iterator[Any]:
    for line in text.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return


def score_cells(score: Score) -> tuple[str, ...]:
    """A version's row: name, passed, cost, time, calls, tokens."""
    dollars = f"${score.usd:.4f}" + (f" + {score.unpriced} unpriced" if score.unpriced else "")
    judge = f" + judge ${score.judge_usd:.4f}" if score.judge_usd else ""
    passed = f"{score.passed}/{score.total} ({score.rate:.0%})" + (
        f", {counted(score.errors, 'error')}" if score.errors else ""
    )
    return (
        score.version,
        passed,
        f"{dollars}{judge}",
        f"{score.seconds:.1f} s",
        f"{score.calls:,}",
        f"{score.tokens:,}",
    )


SCORE_COLUMNS = ("version", "passed", "cost", "a case takes", "calls", "tokens")


def marks(evaluation: Evaluation, case: str) -> tuple[str, ...]:
    """How each version did in a case: ✓, ✗, or how many of several attempts passed."""
    found = []
    for version in evaluation.versions:
        attempts = evaluation.of(version, case)
        passed = sum(one.passed for one in attempts)
        if len(attempts) == 1:
            found.append("✓" if passed else "✗")
        else:
            found.append(f"{passed}/{len(attempts)}" if attempts else "–")
    return tuple(found)


def failures(evaluation: Evaluation) -> list[CaseResult]:
    """What did not pass, in the order of the cases."""
    place = {case: number for number, case in enumerate(evaluation.cases)}
    failed = [result for result in evaluation.results if not result.passed]
    return sorted(failed, key=lambda one: (place.get(one.case, len(place)), one.version, one.attempt))


def markdown(evaluation: Evaluation) -> str:
    """The scores, the cases in which versions differ, and what did not pass, as Markdown."""
    lines = [
        f"**{as_words(evaluation.team)}**, {len(evaluation.cases)} cases, {evaluation.at[:16].replace('T', ' ')}",
        "",
    ]
    lines += _table(SCORE_COLUMNS, [score_cells(score) for score in evaluation.scores])
    lines += ["", *(f"{as_words(said)}  " for said in evaluation.verdict)]
    if evaluation.differences:
        rows = [(case, *marks(evaluation, case)) for case in evaluation.differences]
        lines += ["", *_table(("where they differ", *evaluation.versions), rows)]
    if failed := failures(evaluation):
        lines += ["", *_table(("failed", "version", "why"), [(one.case, one.version, one.why) for one in failed])]
    return "\n".join(lines)


def _table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    def line(cells: tuple[str, ...]) -> str:
        return f"| {' | '.join(map(as_words, cells))} |"

    return [line(columns), f"|{' --- |' * len(columns)}", *(line(row) for row in rows)]


def junit(evaluation: Evaluation) -> str:
    """The results as JUnit XML: a suite for each version, a test for each attempt at a case."""
    root = ElementTree.Element("testsuites", name=make_visible(evaluation.team))
    for score in evaluation.scores:
        own = [one for one in evaluation.results if one.version == score.version]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=make_visible(f"{evaluation.team} {score.version}"),
            tests=str(score.total),
            failures=str(score.total - score.passed - score.errors),
            errors=str(score.errors),
            time=f"{sum(one.seconds for one in own):.3f}",
            timestamp=evaluation.at[:19],
        )
        for one in own:
            _add_case(suite, evaluation, one)
    ElementTree.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def _add_case(suite: ElementTree.Element, evaluation: Evaluation, one: CaseResult) -> None:
    name = one.case if one.attempt == 1 else f"{one.case} ({one.attempt})"
    of = make_visible(f"{evaluation.team}.{one.version}")
    case = ElementTree.SubElement(suite, "testcase", classname=of, name=make_visible(name), time=f"{one.seconds:.3f}")
    if not one.passed:
        kind = "error" if one.error else "failure"
        told = ElementTree.SubElement(case, kind, message=make_visible(one.why), type=kind)
        told.text = make_visible("\n".join([one.error] if one.error else one.problems))
    # No properties: what Jenkins checks files by knows none of a test.
    about = {"usd": f"{one.usd:.6f}", "run": one.run, "recording": one.recording}
    out = ElementTree.SubElement(case, "system-out")
    out.text = "\n".join(f"{name}: {make_visible(value)}" for name, value in about.items())
