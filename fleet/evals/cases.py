"""Cases: what a team is given, what it is expected to do, and how whoever is asked decides; a line of JSON each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from signoff.checkpoints import digest, read_once
from signoff.fleet.errors import BadCases
from signoff.wording import place_of

Ends = Literal["done", "waiting", "stopped", "failed"]
"""Where a run can stand once nothing more happens by itself."""


def _several(given: Any) -> Any:
    """One value as a list of one."""
    return [given] if isinstance(given, str | int | float | bool) else given


Texts = Annotated[tuple[str, ...], BeforeValidator(_several)]
"""One text or several."""


class Expected(BaseModel):
    """What code looks for in a run. A place is an artifact and what is in it: `Letter.text`, `Table.rows.0.name`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: Annotated[tuple[Ends, ...], BeforeValidator(_several)] = ("done",)
    """Where it has to end; one of several."""
    actions: Texts | None = None
    """The actions that are proposed and that policy does not deny, in any order; None: any."""
    denied: Texts | None = None
    """The actions that policy denies; None: any."""
    args: Mapping[str, Mapping[str, Any]] = {}
    """By action: arguments that one of its proposals has, among others."""
    equals: Mapping[str, Any] = {}
    """By place: what has to stand there."""
    contains: Mapping[str, Texts] = {}
    """By place: texts that have to be in it, whatever their case."""
    lacks: Mapping[str, Texts] = {}
    """By place: texts that must not be in it."""
    matches: Mapping[str, str] = {}
    """By place: a regular expression that is found in it."""
    between: Mapping[str, tuple[float, float]] = {}
    """By place: the least and the greatest that the number there may be."""
    max_usd: float | None = Field(None, ge=0)
    max_seconds: float | None = Field(None, gt=0)
    max_calls: int | None = Field(None, ge=0)
    """Calls of models."""

    @field_validator("matches")
    @classmethod
    def _compiled(cls, given: Mapping[str, str]) -> Mapping[str, str]:
        for pattern in given.values():
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is no regular expression: {error}") from None
        return given


class EvalCase(BaseModel):
    """What a team is given, and what has to come of it. Nothing is called: an eval is a dry run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field("", max_length=80)
    """What it is called in every result; empty: `case-` and its number."""
    goal: str = ""
    input: Mapping[str, Any] = {}
    """The fields of the team's input."""
    expect: Expected = Expected()
    checks: Texts = ()
    """Names of functions of yours: `check(run, case)` returns True or nothing, or says what is wrong."""
    judge: str = ""
    """What a judge model is asked about the work, with yes for an answer that passes; empty: no model judges."""
    decide: str | Mapping[str, Any] = "approve"
    """What people say: `approve`, `reject` or `wait`, for all actions or by action; for a question, its answer."""
    results: Mapping[str, Mapping[str, Any]] = {}
    """By action: what it returns here, for those that need what it gives. Nothing is called all the same."""

    @field_validator("decide")
    @classmethod
    def _known(cls, given: str | Mapping[str, Any]) -> str | Mapping[str, Any]:
        if isinstance(given, str) and given not in ("approve", "reject", "wait"):
            raise ValueError(f"{given!r} is not approve, reject or wait")
        return given

    @property
    def given(self) -> Mapping[str, Any]:
        """What the run is given, by name."""
        return {**self.input, **({"goal": self.goal} if self.goal else {})}

    @property
    def digest(self) -> str:
        """By which it is known whether the same was asked before."""
        return digest(self.model_dump(mode="json", exclude={"id"}))


def read_cases(cases: Path | str | Iterable[EvalCase | Mapping[str, Any]]) -> tuple[EvalCase, ...]:
    """The cases of a file of JSON lines, or these; BadCases names what cannot be read, and what is there twice."""
    if isinstance(cases, Path | str):
        source, found = str(cases), _of_file(Path(cases).expanduser())
    else:
        source, found = "the cases", [(number, case) for number, case in enumerate(cases, 1)]
    problems, read = list[str](), dict[str, EvalCase]()
    for number, given in found:
        try:
            case = given if isinstance(given, EvalCase) else EvalCase.model_validate(_object(given))
        except ValidationError as error:
            first = error.errors()[0]
            problems.append(f"{number}: {place_of(first['loc']) or 'it'}: {first['msg']}")
            continue
        except ValueError as error:
            problems.append(f"{number}: {error}")
            continue
        named = case if case.id else case.model_copy(update={"id": f"case-{number}"})
        if read.setdefault(named.id, named) is not named:
            problems.append(f"{number}: there is a case {named.id!r} already")
    if problems or not read:
        raise BadCases(source, problems)
    return tuple(read.values())


def _of_file(file: Path) -> Sequence[tuple[int, Any]]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise BadCases(str(file), [f"it is no text in UTF-8 ({error.reason})"]) from None
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _object(given: Any) -> Any:
    """The mapping that a line is; ValueError if it is none."""
    found = read_once(given) if isinstance(given, str) else given
    if not isinstance(found, Mapping):
        raise ValueError("it is no JSON object")
    return found
