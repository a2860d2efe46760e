"""Evaluating: every case is given to every version of a team, several at once, and what comes of it is checked.

Every run is a dry run in a database of the evals' own: nothing is called, nobody is notified, and people decide as the
case says. What models and tools answer is recorded beside the results, to be replayed or made a test.
"""

from __future__ import annotations

import asyncio
import json
import math
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Final

from langchain_core.language_models import BaseChatModel

from signoff.agents import Usage, budgets_of
from signoff.agents.models import Tiers
from signoff.checkpoints import configured_ledger, digest_text
from signoff.checkpoints.errors import UnknownRun
from signoff.checkpoints.jobs import NewJob
from signoff.checkpoints.ledger import RUN_DRY, RUN_INPUT, Ledger
from signoff.checkpoints.ledger.budgets import NO_LIMIT, Budget, budget_of
from signoff.concurrency import end_of, stream, undisturbed
from signoff.error_base import SettingsError, SignoffError
from signoff.fleet.driver import RUN_BUDGET, RUN_RECORDING, RUN_RESULTS
from signoff.fleet.evals.answering import decide, judged
from signoff.fleet.evals.cases import EvalCase, read_cases
from signoff.fleet.evals.checking import Check, Took, check_run, read_checks
from signoff.fleet.evals.cost_limit import CostLimit
from signoff.fleet.evals.evaluation import CaseResult, Evaluation, header_of, read_evaluation
from signoff.fleet.evals.execution import AHEAD, ByWorkers, Execution, Here, Piece, evals_settings
from signoff.fleet.evals.kept_evaluations import EVALS, RESULTS, KeptEvaluations
from signoff.fleet.queue import Fleet
from signoff.fleet.run import Run
from signoff.graphs import Given, Team
from signoff.graphs.nodes import read_goal
from signoff.graphs.teams import OWN, is_ready_made
from signoff.settings import Settings, load_settings
from signoff.tools.storage import write_whole

_MOST_DECISIONS: Final = 100

Told = Callable[[CaseResult, int, int], object]
"""Is told each result as it comes, how many there are by then, and how many there will be."""


def _tell_nobody(_result: CaseResult, _done: int, _total: int) -> None:
    """Tell nobody."""


@dataclass(frozen=True, kw_only=True)
class How:
    """How an evaluation is done."""

    checks: Path | str | Iterable[Check] = ()
    """Functions that cases name, or the Python file they are in."""
    judge: BaseChatModel | Tiers | None = None
    """The model that is asked where a case says so; None: there is none, and such a case is refused."""
    repeat: int = 1
    """How often each case is done: models do not always answer the same."""
    concurrency: int = 4
    """Runs at once."""
    budget: str | None = None
    """What one run may use, such as `$0.10`; one that wants more ends there, and does not pass."""
    total: str | None = None
    """What all of it may cost, such as `$5`: what one run may cost is set aside before it begins; the rest is left."""
    fleet: bool = False
    """Whether workers do the cases as jobs (`signoff fleet work --evals`), as many at once as they say."""
    name: str = EVALS
    """What the cases are called, by which the evaluation before is found."""
    before: Path | str | Evaluation | None = None
    """What it is held against; None: the last whole evaluation of the same team and cases."""
    resume: bool = False
    """Go on with the last evaluation of these cases and versions, if it was cut off."""
    told: Told = _tell_nobody

    def __post_init__(self) -> None:
        for name in ("repeat", "concurrency"):
            if getattr(self, name) < 1:
                raise SettingsError(name, f"{getattr(self, name)} runs nothing", "Give a whole number, 1 or more.")
        if self.total is not None and (limit := budget_of(self.total, "total")) != Budget(usd=limit.usd or 0):
            raise SettingsError("total", f"{self.total!r} is no sum of money", "Write it as $5.")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One version of a team, and the settings that its runs have."""

    team: Team
    settings: Settings = field(default_factory=load_settings)


def evaluate(
    teams: Team | Mapping[str, Team],
    cases: Path | str | Iterable[EvalCase | Mapping[str, Any]],
    how: How | None = None,
    *,
    settings: Settings | None = None,
) -> Evaluation:
    """Give every case to every version of a team, as dry runs, and check what comes of it.

    `teams` is one, or versions of it by name: other models, tiers, instructions. `cases` is a file of JSON lines, or
    cases as objects. BadCases, BadCheck and BadInput come before anything is run; what goes wrong in a run is in its
    result.
    """
    given = settings or load_settings()
    versions = {teams.name: teams} if isinstance(teams, Team) else dict(teams)
    how = how or How()
    if how.name == EVALS and isinstance(cases, Path | str):
        how = replace(how, name=Path(cases).stem)
    return measure({name: Measured(team=team, settings=given) for name, team in versions.items()}, cases, how)


def measure(
    versions: Mapping[str, Measured],
    cases: Path | str | Iterable[EvalCase | Mapping[str, Any]],
    how: How,
) -> Evaluation:
    """The same, of versions that each have settings of their own."""
    if not versions:
        raise SettingsError("teams", "there are none", "Name a team, or several by what they are called.")
    found = read_cases(cases)
    plan = _Plan(versions, found, read_checks(how.checks, found), how)
    plan.check()
    evaluation, left = plan.begin()
    results = list(evaluation.results)
    total = len(results) + len(left)
    with (plan.folder / RESULTS).open("a", encoding="utf-8") as kept:
        for result in stream(plan.work(left, evaluation)):
            results.append(result)
            kept.write(_line(asdict(result)))
            kept.flush()
            how.told(result, len(results), total)
    order = {one: place for place, one in enumerate(plan.units)}
    results.sort(key=lambda one: order.get((one.version, one.case, one.attempt), 0))
    return replace(evaluation, results=tuple(results))


Unit = tuple[str, str, int]
"""A version, a case, and which attempt it is."""


class _Plan:
    """What is to be run, and where it is kept."""

    def __init__(
        self, versions: Mapping[str, Measured], cases: Sequence[EvalCase], checks: Mapping[str, Check], how: How
    ) -> None:
        self.versions, self.cases, self.checks, self.how = versions, {case.id: case for case in cases}, checks, how
        first = next(iter(versions.values()))
        self.team, self.settings = first.team.name, first.settings
        self._root = self.settings.home / EVALS / _as_name(f"{self.team}-{how.name}")
        self.folder = self._root
        self._ledger: Ledger | None = None
        attempts = range(1, how.repeat + 1)
        self.units = [(name, case.id, attempt) for case in cases for name in versions for attempt in attempts]

    def check(self) -> None:
        """Raise before anything is run for a case that no run can be given, and for one that no judge is there for."""
        budget_of(self.how.budget or NO_LIMIT, "budget")
        if self._total is not None and self._each > self._total:
            one = f"${self._each:g}" if self._each < math.inf else "as much as it likes"
            problem = f"all may cost ${self._total:g}, and one run {one}"
            raise SettingsError("total", problem, "Say what one run may use: `--budget '$0.10'`.")
        for name, version in self.versions.items() if self.how.fleet else ():
            if not is_ready_made(version.team.name, version.team.options) and OWN not in version.team.options:
                remedy = "Have its cases done without workers, or name it as MODULE:NAME."
                raise SettingsError("fleet", f"no worker finds the team of {name!r} again", remedy)
        for case in self.cases.values():
            for version in self.versions.values():
                _read(case, version)
                _check_results(version.team, case)
            if case.judge and self.how.judge is None:
                remedy = "Name a model that judges, or leave `judge` out."
                raise SettingsError("--judge", f"the case {case.id!r} asks a judge, and there is none", remedy)

    def begin(self) -> tuple[Evaluation, list[Unit]]:
        """The evaluation, with what there is of it already, and what is left to do."""
        at = datetime.now(UTC)
        new = Evaluation(
            id=f"{at:%Y%m%d%H%M%S%f}-{os.getpid()}",
            at=at.isoformat(timespec="seconds"),
            team=self.team,
            cases=tuple(self.cases),
            versions=tuple(self.versions),
            results=(),
            expected=len(self.units),
            fleet=self.how.fleet,
        )
        past = KeptEvaluations(self.settings.home).past(self._root.name)
        last = next(past, None)
        if self.how.resume and last is not None and not last.is_whole and self._is_same(last):
            new, last = last, next(past, None)
        new = replace(new, before=self._before(chain(filter(None, [last]), past)))
        self.folder = self._root / new.id
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [header_of(new), *map(asdict, new.results)]  # without a line that was torn
        write_whole(self.folder / RESULTS, "".join(map(_line, lines)).encode())
        there = {(one.version, one.case, one.attempt) for one in new.results}
        return new, [unit for unit in self.units if unit not in there]

    def _is_same(self, other: Evaluation) -> bool:
        """Whether an evaluation is one of these versions and cases, as they are now."""
        names = (other.cases, other.versions, other.expected)
        now = {case.id: case.digest for case in self.cases.values()}
        return names == (tuple(self.cases), tuple(self.versions), len(self.units)) and all(
            now[one.case] == one.digest for one in other.results
        )

    def _before(self, past: Iterator[Evaluation]) -> Evaluation | None:
        if isinstance(self.how.before, Evaluation):
            return self.how.before
        if self.how.before is not None:
            return read_evaluation(self.how.before)
        return next((one for one in past if one.is_whole), None)

    async def work(self, units: Sequence[Unit], evaluation: Evaluation) -> AsyncGenerator[CaseResult, None]:
        """Do them, so many at once; each result as it comes. Whoever closes this cancels what is under way here.

        Those that would go beyond what all of it may cost are not begun.
        """
        settings = evals_settings(self.settings)
        async with AsyncExitStack() as held:
            ledger = self._ledger = await undisturbed(configured_ledger, settings)
            held.push_async_callback(undisturbed, ledger.close)
            execution: Execution = Here(ledger)
            if evaluation.fleet:
                execution = by_workers = ByWorkers(Fleet(ledger, settings))
                await held.enter_async_context(by_workers.looking())
            room = asyncio.Semaphore(AHEAD if evaluation.fleet else self.how.concurrency)
            limit = CostLimit(self._total, self._each, sum(one.usd + one.judge_usd for one in evaluation.results))

            async def one(unit: Unit) -> CaseResult | None:
                most = 2 if self.cases[unit[1]].judge else 1
                async with room:
                    if not await limit.set_aside(most):
                        return None
                    result = await self._result(unit, evaluation.id, execution)
                    await limit.settle(most, result.usd + result.judge_usd)
                    return result

            tasks = [asyncio.create_task(one(unit)) for unit in units]
            held.push_async_callback(_ended, tasks)
            for done in asyncio.as_completed(tasks):
                if (result := await done) is not None:
                    yield result

    async def _result(self, unit: Unit, evaluation: str, execution: Execution) -> CaseResult:
        """Run one case with one version, and check it; what goes wrong is told in the result."""
        case, version = self.cases[unit[1]], self.versions[unit[0]]
        assert self._ledger is not None
        settings = evals_settings(version.settings)
        place = self._place(unit)
        told = CaseResult(version=unit[0], case=case.id, attempt=unit[2], digest=case.digest, recording=str(place))
        run: Run | None = None
        job: NewJob | None = None
        seconds, error, refused = 0.0, "", ""
        try:
            job = await undisturbed(self._job, unit, evaluation)
            piece = Piece(job, version.team, settings)
            for number in range(_MOST_DECISIONS):
                run, took, error = await execution.go_on(piece)
                seconds += took
                asked = await undisturbed(decide, run, case, number) if run is not None and not error else None
                if asked is None:
                    break
                refused = asked or refused
        except Exception as problem:  # whatever it is, it is what came of this case, and of no other
            error = f"{type(problem).__name__}: {problem}" if not isinstance(problem, SignoffError) else str(problem)
        if error or run is None:
            of_run = {} if job is None else await undisturbed(_failed, self._ledger, job.run_id)
            return replace(told, error=error or "it could not be begun", seconds=seconds, **of_run)
        used = await undisturbed(getattr, run, "usage")
        told = replace(told, run=run.id, status=run.status, seconds=seconds, **_spent(used))
        problems = await undisturbed(check_run, case, run, Took(used, seconds, refused), self.checks)
        if not case.judge or self.how.judge is None:
            return replace(told, problems=tuple(problems))
        said, usd = await judged(case, run, self.how.judge, settings, self._ledger, self.how.budget)
        return replace(told, problems=(*problems, *([said] if said else [])), judge_usd=usd)

    def _place(self, unit: Unit) -> Path:
        """The file of its recording."""
        version, case, attempt = unit
        return self.folder / _as_name(version) / f"{_as_name(case)}{f'-{attempt}' if attempt > 1 else ''}.jsonl"

    def _job(self, unit: Unit, evaluation: str) -> NewJob:
        """What is to be done, as a job of the fleet: the same of the same evaluation is the same job, and the same run.

        An evaluation is a tenant, so that its jobs are known by it, and take turns with those of others.
        """
        team, case = self.versions[unit[0]].team, self.cases[unit[1]]
        given, dry = _read(case, self.versions[unit[0]]), not case.results
        team.takes.look_at(given, dry_run=dry)
        place = self._place(unit).relative_to(self.settings.home).as_posix()
        options: dict[str, Any] = {**team.options, RUN_DRY: dry, RUN_RECORDING: place}
        if self.how.budget is not None:
            options[RUN_BUDGET] = budget_of(self.how.budget, "budget").model_dump(exclude_none=True)
        if team.input is not None:
            options[RUN_INPUT] = dict(given.values)
        if case.results:
            options[RUN_RESULTS] = {name: dict(result) for name, result in case.results.items()}
        name = f"{_as_name(unit[0])}.{_as_name(case.id)}.{unit[2]}"
        return NewJob(
            id=name,
            team=team.name,
            goal=given.goal,
            given=dict(given.values),
            options=options,
            tenant=evaluation,
        )

    @property
    def _total(self) -> float | None:
        return None if self.how.total is None else budget_of(self.how.total, "total").usd

    @property
    def _each(self) -> float:
        """What one run may cost in dollars."""
        found = budgets_of(self.settings)["run"] if self.how.budget is None else budget_of(self.how.budget, "budget")
        return math.inf if found.usd is None else found.usd


def _read(case: EvalCase, version: Measured) -> Given:
    """What a run of this version is given; BadInput, with the case, if the team does not take it."""
    team = version.team
    if team.input is None:
        if case.input or not case.goal.strip():
            said = "it has an input, and the team takes only a goal" if case.input else "it has no goal"
            raise SettingsError(f"case {case.id!r}", said, 'Write it as {"goal": "…"}.')
        return Given(read_goal(case.goal))
    return team.read_input(case.given, version.settings)


def _check_results(team: Team, case: EvalCase) -> None:
    """SettingsError if it says what something returns that the team has not."""
    if strangers := set(case.results) - set(team.actions):
        problem = f"{min(strangers)!r} is no action of the team"
        raise SettingsError(f"case {case.id!r}", problem, f"It has: {', '.join(sorted(team.actions)) or 'none'}.")


def _spent(used: Usage) -> dict[str, Any]:
    tokens = used["input_tokens"] + used["output_tokens"]
    return {"usd": used["cost_usd"], "unpriced": used["unpriced"], "calls": used["calls"], "tokens": tokens}


def _failed(ledger: Ledger, run_id: str) -> dict[str, Any]:
    """How a run stands that failed, if it began, and what it cost: of its last step only the ledger knows that."""
    try:
        run = ledger.runs.get(run_id)
    except UnknownRun:
        return {}
    ids = [run_id, *(child.id for child in ledger.runs.children(run_id))]
    spent = [of_one for one in ids for of_one in ledger.spending.by("run", one)]
    return {
        "run": run_id,
        "status": run.status,
        "usd": sum(one.usd for one in spent),
        "calls": sum(one.calls for one in spent),
        "tokens": sum(one.input_tokens + one.output_tokens for one in spent),
    }


async def _ended(tasks: Sequence[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    for task in tasks:
        await end_of(task)


def _line(told: Mapping[str, Any]) -> str:
    return f"{json.dumps(told, ensure_ascii=False)}\n"


def _as_name(text: str) -> str:
    """A text as the name of a file: the same for the same, another for another."""
    plain = re.sub(r"[^\w.-]+", "_", text).strip("._")[:60]
    return plain if plain == text else f"{plain or 'x'}-{digest_text(text)[:6]}"
