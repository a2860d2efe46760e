"""Jobs as they are submitted: a line of JSON each, checked by what the team declares to take, before any is kept."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from signoff.checkpoints import digest, moment_of, read_once, readable_text
from signoff.checkpoints.jobs import DEFAULT_TENANT, NewJob
from signoff.checkpoints.ledger import RUN_INPUT
from signoff.checkpoints.ledger.budgets import budget_of
from signoff.error_base import SettingsError, SignoffError
from signoff.fleet.driver import RUN_BUDGET, RUN_PLAN
from signoff.fleet.errors import BadLine
from signoff.graphs import Team, files_to_write
from signoff.graphs.nodes import read_goal
from signoff.settings import Settings

OUT: Final = "out"
_OWN: Final = ("id", "tenant", "priority", "deadline", "budget", "input")
"""What a line says of the job itself; the rest is what the run is given."""
_ID: Final = re.compile(r"[^\x00-\x20\x7f/][^\x00-\x1f\x7f/]{0,199}")
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?)([smhd])")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
_URGENCY: Final = range(1, 10)


@dataclass(frozen=True)
class Line:
    """A line that is no job, and why."""

    number: int
    problem: str

    def __str__(self) -> str:
        return f"Line {self.number}: {self.problem}"


@dataclass(frozen=True)
class Submission:
    """What a file of jobs came to."""

    jobs: tuple[NewJob, ...]
    bad: tuple[Line, ...] = ()
    repeated: int = 0
    """Lines that say again what one before them says."""


@dataclass(frozen=True, kw_only=True)
class How:
    """What holds for all jobs of a submission whose lines say nothing else."""

    tenant: str = DEFAULT_TENANT
    priority: int = 5
    deadline: str = ""
    """A span from now, such as `2h`, or a moment of ISO 8601 with its zone."""
    budget: str | None = None
    ask_plan: bool = False
    out: Path | None = None
    """Where each job's file goes, with `{id}` for its id; None: as the team, or the line, has it."""


@dataclass
class _Reader:
    team: Team
    settings: Settings
    how: How
    seen: dict[str, tuple[int, NewJob]] = field(default_factory=dict)

    def read(self, number: int, text: str) -> NewJob | None:
        """The job of this line; None if it says what one before says. BadLine if it is none."""
        job = self._job(text)
        first, same = self.seen.setdefault(job.run_id, (number, job))
        if first == number:
            return job
        if same.input_sha256 != job.input_sha256:
            raise BadLine(f"its id {job.id!r} is that of line {first}, with another input")
        return None

    def _job(self, text: str) -> NewJob:
        try:
            found = read_once(text)
        except ValueError as error:
            raise BadLine(f"it is no JSON ({error})") from None
        if not isinstance(found, dict):
            raise BadLine('it is no JSON object such as {"id": "a-1", "goal": "…"}')
        said, given = self._parts(found)
        job = self._made(said, given)
        if self.how.out is not None and OUT in writes_to(self.team) and OUT not in given:
            job = self._made({**said, "id": job.id}, {**given, OUT: self._out(job.id)})
        return job

    def _made(self, said: Mapping[str, Any], given: Mapping[str, Any]) -> NewJob:
        try:
            read = self._given(given)
            told, options = self._told(said), self._options(said, read)
        except SignoffError as error:
            raise BadLine(str(error)) from None
        job = NewJob(id="", team=self.team.name, goal=read[0], given=read[1], options=options, **told)
        return self._named(job, said.get("id"))

    def _parts(self, found: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """What the line says of the job, and what it gives to the run."""
        fields = set(self.team.takes.names)
        if "input" in found and "input" not in fields:
            given = found["input"]
            others = sorted(found.keys() - set(_OWN) - {"goal"})
            if not isinstance(given, dict):
                raise BadLine("its input is no JSON object")
            if others:
                raise BadLine(f"{others[0]!r} stands beside its input: put it in, or take it away")
            goal = {"goal": found["goal"]} if "goal" in found else {}
            return {name: found[name] for name in _OWN if name in found}, {**given, **goal}
        if both := sorted(fields & set(_OWN) & found.keys()):
            raise BadLine(
                f"{both[0]!r} is a field of the team's input, and of a job: write the input as "
                f'{{"id": "…", "input": {{"{both[0]}": …}}}}',
            )
        own = {name: found[name] for name in _OWN if name in found}
        return own, {name: value for name, value in found.items() if name not in own}

    def _given(self, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        if self.team.input is None:
            others = sorted(given.keys() - {"goal"})
            if others:
                raise SettingsError(
                    "input", f"team {self.team.name!r} takes a goal, and no {others[0]!r}", "Leave it out."
                )
            goal = read_goal(given.get("goal", ""))
            if not goal:
                raise SettingsError("goal", "it is empty or missing", "Say what the team is to do.")
            return goal, {}
        read = self.team.read_input(dict(given), self.settings)
        return read.goal, dict(read.values)

    def _told(self, said: Mapping[str, Any]) -> dict[str, Any]:
        tenant, priority = said.get("tenant", self.how.tenant), said.get("priority", self.how.priority)
        if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
            raise BadLine(f"its tenant {tenant!r:.60} is no name: letters, digits, and . _ - between them")
        if type(priority) is not int or priority not in _URGENCY:
            raise BadLine(f"its priority {priority!r:.60} is no number from 1, the first, to 9")
        deadline = said.get("deadline", self.how.deadline)
        return {"tenant": tenant, "priority": priority, "deadline": _moment(deadline)}

    def _options(self, said: Mapping[str, Any], read: tuple[str, dict[str, Any]]) -> dict[str, Any]:
        options = dict(self.team.options)
        budget = said.get("budget", self.how.budget)
        if budget is not None:
            options[RUN_BUDGET] = budget_of(budget, "budget").model_dump(exclude_none=True)
        if self.how.ask_plan:
            options[RUN_PLAN] = True
        if self.team.input is not None:
            options[RUN_INPUT] = read[1]
        return options

    def _named(self, job: NewJob, name: Any) -> NewJob:
        """The job with its id: what it is given is one, if the line names none."""
        name = str(name) if type(name) is int else name
        if name is None:
            name = digest([job.team, job.goal, dict(job.given)])[:12]
        if not isinstance(name, str) or not _ID.fullmatch(name):
            raise BadLine(f"its id {name!r:.60} is none: up to 200 characters, no line breaks and no /")
        job = replace(job, id=name)
        if self.how.out is None or OUT not in self.team.options:
            return job
        return replace(job, options={**job.options, OUT: self._out(name)})

    def _out(self, name: str) -> str:
        """The file of the job of this id."""
        return str(Path(str(self.how.out).replace("{id}", name)).expanduser().absolute())


def read_jobs(team: Team, lines: Iterable[str], settings: Settings, how: How | None = None) -> Submission:
    """The jobs in these lines of JSON, for a team; what is none of them is told, with its number.

    A line is what the run is given, by the names of the team's input, or only a `goal`; and of the job itself any of
    `id`, `tenant`, `priority` (1 to 9), `deadline` and `budget`. Or all that is given is in `input`. A job without an
    id is known by what it is given. Empty lines are left out. SettingsError if several would write one file.
    """
    how = how or How()
    if how.out is not None and OUT not in team.options and OUT not in writes_to(team):
        raise SettingsError("--out", f"team {team.name!r} writes no such file", "Leave it out.")
    reader, jobs, bad, repeated = _Reader(team, settings, how), list[NewJob](), list[Line](), 0
    for number, text in _numbered(lines):
        try:
            job = reader.read(number, text)
        except BadLine as error:
            bad.append(Line(number, str(error)))
            continue
        if job is None:
            repeated += 1
        else:
            jobs.append(job)
    _check_out(team, jobs, how)
    _check_files(team, jobs)
    return Submission(tuple(jobs), tuple(bad), repeated)


def _check_out(team: Team, jobs: list[NewJob], how: How) -> None:
    if OUT in team.options and len(jobs) > 1 and (how.out is None or "{id}" not in str(how.out)):
        problem = f"{len(jobs)} jobs would all write to {jobs[0].options[OUT]}"
        raise SettingsError("--out", problem, "Have each write a file of its own: --out 'reports/{id}.md'.")


def writes_to(team: Team) -> list[str]:
    """The fields of the team's input that name files which a run of it writes."""
    return [] if team.input is None else files_to_write(team.input)


def _check_files(team: Team, jobs: list[NewJob]) -> None:
    """SettingsError if several would write one file that their input names."""
    for name in writes_to(team):
        said = Counter(str(job.given.get(name)) for job in jobs)
        for path, number in said.most_common(1):
            if number > 1:
                problem = f"{number} jobs would all write to {path}"
                remedy = "--out 'reports/{id}.md'" if name == OUT else f"say it in each line as {name!r}"
                raise SettingsError(name, problem, f"Have each write a file of its own: {remedy}.")


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, 1):
        text = line.removeprefix("\ufeff") if number == 1 else line
        if text.strip():
            yield number, text


def _moment(said: Any) -> str:
    """The moment of a deadline, as moments are written."""
    if said in ("", None):
        return ""
    try:
        if isinstance(said, str) and (span := _SPAN.fullmatch(said.strip())):
            at = datetime.now(UTC) + timedelta(seconds=float(span[1]) * _SECONDS[span[2]])
        else:
            at = datetime.fromisoformat(said)
        if at.tzinfo is None:
            raise BadLine(f"its deadline {said!r:.60} names no zone: write Z or +02:00 behind it")
        moment = moment_of(at)
    except (TypeError, ValueError, OverflowError):
        shown = readable_text(repr(said))[:60]
        raise BadLine(f"its deadline {shown} is neither a span such as 2h nor a moment") from None
    if at <= datetime.now(UTC):
        raise BadLine(f"its deadline {said!r:.60} is over")
    return moment
