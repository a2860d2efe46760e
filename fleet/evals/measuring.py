"""Evaluating: every case is given to every version of a team, several at once, and what comes of it is checked.

Every run is a dry run in a database of the evals' own: nothing is called, nobody is notified, and people decide as the
case says. What models and tools answer is recorded beside the results, to be replayed or made a test.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel

from signoff.agents import NO_USAGE, Agent, Artifact, Usage
from signoff.agents.models import Tiers
from signoff.checkpoints import digest_text
from signoff.checkpoints.ledger import Approval, Ledger, Person
from signoff.checkpoints.ledger.budgets import NO_LIMIT, budget_of
from signoff.concurrency import end_of, stream, undisturbed
from signoff.error_base import SettingsError, SignoffError
from signoff.fleet.errors import BadEvaluation
from signoff.fleet.evals.cases import EvalCase, read_cases
from signoff.fleet.evals.checking import Check, Took, check_run, read_checks
from signoff.fleet.evals.evaluation import CaseResult, Evaluation, header_of, read_evaluation
from signoff.fleet.recording import record
from signoff.fleet.run import Run
from signoff.graphs import FOLLOW_PLAN, Team
from signoff.graphs.approval import CONTROLS
from signoff.settings import Settings, load_settings
from signoff.tools import Action
from signoff.tools.storage import write_whole

EVALS: Final = "evals"
"""Folder of the settings' home in which evaluations are kept, with the database of their runs."""
RESULTS: Final = "results.jsonl"
_REASON: Final = "an eval"
_MOST_DECISIONS: Final = 100

Told = Callable[[CaseResult, int, int], object]
"""Is told each result as it comes, how many there are by then, and how many there will be."""


def _tell_nobody(_result: CaseResult, _done: int, _total: int) -> None:
    """Tell nobody."""


class Judged(Artifact):
    """What a judge says of some work."""

    passes: bool
    why: str


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
        for result in stream(plan.work(left)):
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
        self.team = first.team.name
        self.home = first.settings.home / EVALS
        self._root = self.home / _as_name(f"{self.team}-{how.name}")
        self.folder = self._root
        self._ledger: Ledger | None = None
        attempts = range(1, how.repeat + 1)
        self.units = [(name, case.id, attempt) for case in cases for name in versions for attempt in attempts]

    def check(self) -> None:
        """Raise before anything is run for a case that no run can be given, and for one that no judge is there for."""
        budget_of(self.how.budget or NO_LIMIT, "budget")
        for case in self.cases.values():
            for version in self.versions.values():
                _read(case, version)
                _standing_in(version.team, case)
            if case.judge and self.how.judge is None:
                remedy = "Name a model that judges, or leave `judge` out."
                raise SettingsError("--judge", f"the case {case.id!r} asks a judge, and there is none", remedy)

    def begin(self) -> tuple[Evaluation, list[Unit]]:
        """The evaluation, with what there is of it already, and what is left to do."""
        at = datetime.now(UTC).isoformat(timespec="seconds")
        new = Evaluation(
            id=f"{re.sub(r'[^0-9]', '', at)[:14]}-{os.getpid()}",
            at=at,
            team=self.team,
            cases=tuple(self.cases),
            versions=tuple(self.versions),
            results=(),
            expected=len(self.units),
        )
        past = self._past()
        if self.how.resume and past and not past[-1].is_whole and self._is_same(past[-1]):
            new = past.pop()
        new = replace(new, before=self._before(past))
        self.folder = self._root / new.id
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [header_of(new), *map(asdict, new.results)]  # without a line that was torn
        write_whole(self.folder / RESULTS, "".join(map(_line, lines)).encode())
        there = {(one.version, one.case, one.attempt) for one in new.results}
        return new, [unit for unit in self.units if unit not in there]

    def _past(self) -> list[Evaluation]:
        """The evaluations of this team and these cases, oldest first; what was cut off as it began is none."""
        found = []
        for file in sorted(self._root.glob(f"*/{RESULTS}")):
            with suppress(BadEvaluation):
                found.append(read_evaluation(file))
        return found

    def _is_same(self, other: Evaluation) -> bool:
        """Whether an evaluation is one of these versions and cases, as they are now."""
        names = (other.cases, other.versions, other.expected)
        now = {case.id: case.digest for case in self.cases.values()}
        return names == (tuple(self.cases), tuple(self.versions), len(self.units)) and all(
            now[one.case] == one.digest for one in other.results
        )

    def _before(self, past: Sequence[Evaluation]) -> Evaluation | None:
        if isinstance(self.how.before, Evaluation):
            return self.how.before
        if self.how.before is not None:
            return read_evaluation(self.how.before)
        return next((one for one in reversed(past) if one.is_whole), None)

    async def work(self, units: Sequence[Unit]) -> AsyncGenerator[CaseResult, None]:
        """Do them, so many at once; each result as it comes. Whoever closes this cancels what is under way."""
        room = asyncio.Semaphore(self.how.concurrency)

        async def one(unit: Unit) -> CaseResult:
            async with room:
                return await self._result(unit)

        self._ledger = await undisturbed(Ledger, self.home / "signoff.db", hooks=())
        tasks = [asyncio.create_task(one(unit)) for unit in units]
        try:
            for done in asyncio.as_completed(tasks):
                yield await done
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                await end_of(task)
            await undisturbed(self._ledger.close)

    async def _result(self, unit: Unit) -> CaseResult:
        """Run one case with one version, and check it; what goes wrong is told in the result."""
        name, case, version = unit[0], self.cases[unit[1]], self.versions[unit[0]]
        assert self._ledger is not None
        settings = version.settings.model_copy(update={"database": str(self.home / "signoff.db"), "user": EVALS})
        team = replace(_standing_in(version.team, case), ledger=self._ledger)
        place = self.folder / _as_name(name) / f"{_as_name(case.id)}{f'-{unit[2]}' if unit[2] > 1 else ''}.jsonl"
        told = CaseResult(version=name, case=case.id, attempt=unit[2], digest=case.digest, recording=str(place))
        began, run, error, refused = time.monotonic(), None, "", ""
        await undisturbed(place.unlink, missing_ok=True)  # of a try that was cut off
        try:
            given, dry = _read(case, version), not case.results
            run = await Run.astart(team, given, settings=settings, drive=False, dry_run=dry, budget=self.how.budget)
            with record(run, place, settings=settings):
                refused = await _drive(run, case)
        except Exception as problem:  # whatever it is, it is what came of this case, and of no other
            error = f"{type(problem).__name__}: {problem}" if not isinstance(problem, SignoffError) else str(problem)
        if run is None:
            return replace(told, error=error or "it could not be begun")
        seconds, used = time.monotonic() - began, run.usage
        told = replace(told, run=run.id, status=run.status, seconds=seconds, **_spent(used))
        if error:
            return replace(told, error=error)
        problems = await undisturbed(check_run, case, run, Took(used, seconds, refused), self.checks)
        if not case.judge or self.how.judge is None:
            return replace(told, problems=tuple(problems))
        said, usd = await _judged(case, run, self.how.judge, settings, self._ledger)
        return replace(told, problems=(*problems, *([said] if said else [])), judge_usd=usd)


def _read(case: EvalCase, version: Measured) -> Any:
    """What a run of this version is given; BadInput, with the case, if the team does not take it."""
    team = version.team
    if team.input is None:
        if case.input or not case.goal.strip():
            said = "it has an input, and the team takes only a goal" if case.input else "it has no goal"
            raise SettingsError(f"case {case.id!r}", said, 'Write it as {"goal": "…"}.')
        return case.goal
    return team.read_input(case.given, version.settings)


def _spent(used: Usage) -> dict[str, Any]:
    tokens = used["input_tokens"] + used["output_tokens"]
    return {"usd": used["cost_usd"], "unpriced": used["unpriced"], "calls": used["calls"], "tokens": tokens}


async def _drive(run: Run, case: EvalCase) -> str:
    """Drive the run to where it ends, or where the case says that nobody decides; says what it was refused."""
    await run.aresume()
    refused = ""
    for number in range(_MOST_DECISIONS):
        for asked in run.approvals:
            if decide := _decision(run, asked, case, number):
                break
        else:
            break
        if asked.action in CONTROLS and asked.action != FOLLOW_PLAN:
            refused = asked.reason
        await undisturbed(decide)
        await run.aresume()
    return refused


def _decision(run: Run, asked: Approval, case: EvalCase, number: int) -> Callable[[], object] | None:
    """What somebody says to a question; None: nobody does.

    Whoever decides has every role that is asked for, and is another person each time: nothing is called in any case.
    """
    by = Person(f"eval {number}", frozenset(need.role for need in asked.authority.requirements))
    says = case.decide if isinstance(case.decide, str) else case.decide.get(asked.action, "approve")
    if asked.action in CONTROLS and asked.action != FOLLOW_PLAN:
        return lambda: run.reject(_REASON, approval=asked.id, by=by, drive=False)  # a budget is not raised here
    if asked.is_question and says not in ("wait", "reject"):
        return None if says == "approve" else lambda: run.respond(says, approval=asked.id, by=by, drive=False)
    match says:
        case "approve":
            return lambda: run.approve(approval=asked.id, by=by, reason=_REASON, drive=False)
        case "reject":
            return lambda: run.reject(approval=asked.id, by=by, drive=False)
        case "wait":
            return None
        case Mapping():
            changed: dict[str, Any] = {**asked.shown, **says}
            return lambda: run.approve(approval=asked.id, by=by, args=changed, drive=False)
        case _:
            return lambda: run.respond(str(says), approval=asked.id, by=by, drive=False)


def _standing_in(team: Team, case: EvalCase) -> Team:
    """The team with stand-ins for all that it could call, where some result is given; nothing else is ever called."""
    results = case.results
    if not results:
        return team
    if strangers := set(results) - set(team.actions):
        problem = f"{min(strangers)!r} is no action of the team"
        raise SettingsError(f"case {case.id!r}", problem, f"It has: {', '.join(sorted(team.actions)) or 'none'}.")
    acted: dict[int, Action[Any]] = {}

    def act(action: Action[Any]) -> Action[Any]:
        stands_in = replace(action, call=_returning(results.get(action.name, {})), reconcile=None)
        return acted.setdefault(id(action), stands_in)

    def change(agent: Agent[Any]) -> Agent[Any]:
        tools = tuple(act(given) if isinstance(given, Action) else given for given in agent.tools)
        return replace(agent, actions=tuple(map(act, agent.actions)), tools=tools)

    return team.with_agents(change)


def _returning(result: Mapping[str, Any]) -> Callable[[BaseModel, str], Mapping[str, Any]]:
    return lambda _arguments, _key: result


async def _judged(
    case: EvalCase, run: Run, judge: BaseChatModel | Tiers, settings: Settings, ledger: Ledger
) -> tuple[str, float]:
    """What a judge model says is wrong, empty if nothing, and what asking it cost."""
    values = run.values
    work = {name: found["value"] for name, found in values.get("artifacts", {}).items()}
    shown = json.dumps({"given": dict(case.given), "made": work}, ensure_ascii=False, default=str)
    asked = Agent(
        role="judge",
        gives=Judged,
        model=judge,
        instructions="Judge the work that you are shown: whether the answer to the question of the goal is yes.",
        opening=lambda _: shown,
    )
    team = Team(name="judge", agents=[asked], ledger=ledger)
    try:
        told = await Run.astart(team, case.judge, settings=settings, dry_run=True)
    except (SignoffError, OSError) as error:
        return f"the judge could not be asked: {error}", 0.0
    usage = told.usage or NO_USAGE
    if told.status != "done":
        return f"the judge came to nothing: {told.record.note}", usage["cost_usd"]
    said = told.artifact(Judged)
    return "" if said.passes else f"the judge says: {said.why}", usage["cost_usd"]


def _line(told: Mapping[str, Any]) -> str:
    return f"{json.dumps(told, ensure_ascii=False)}\n"


def _as_name(text: str) -> str:
    """A text as the name of a file: the same for the same, another for another."""
    plain = re.sub(r"[^\w.-]+", "_", text).strip("._")[:60]
    return plain if plain == text else f"{plain or 'x'}-{digest_text(text)[:6]}"
