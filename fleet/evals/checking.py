"""Checking what a run came to: by what its case expects, and by functions of whoever wrote the cases."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, Final

from signoff.agents import Usage
from signoff.fleet.errors import BadCheck
from signoff.fleet.evals.cases import EvalCase, Expected
from signoff.fleet.run import Run
from signoff.graphs.approval import CONTROLS

Check = Callable[[Run, EvalCase], object]
"""Looks at a run: True or None if it is right, else False or a text that says what is wrong; it may also assert."""

_SHOWN: Final = 160
_ABSENT: Final = object()


@dataclass(frozen=True)
class Proposed:
    """What was proposed to be done outside."""

    action: str
    args: Mapping[str, Any]
    denied: bool


@dataclass(frozen=True)
class Took:
    """What a run took to come to its end."""

    usage: Usage
    seconds: float
    refused: str = ""
    """What it asked for that no eval gives, such as more budget, or to go on after a failure; empty: nothing."""


def check_run(case: EvalCase, run: Run, took: Took, checks: Mapping[str, Check]) -> list[str]:
    """What is wrong with a run, in words; empty if it is as its case expects."""
    values, proposed = run.values, _proposed(run)
    artifacts = {name: found["value"] for name, found in values.get("artifacts", {}).items()}
    problems = [
        *_ended(case.expect, run, took.refused),
        *_outside(case.expect, proposed),
        *_made(case.expect, artifacts),
        *_used(case.expect, took.usage, took.seconds),
    ]
    return [*problems, *(said for name in case.checks if (said := _said_by(name, checks[name], run, case)))]


def _proposed(run: Run) -> list[Proposed]:
    told = [
        Proposed(outcome["action"], outcome.get("args", {}), outcome["status"] == "denied")
        for outcome in run.values.get("outcomes", [])
    ]
    waits = [Proposed(asked.action, asked.shown, False) for asked in run.approvals]
    return [one for one in (*told, *waits) if one.action not in CONTROLS]


def _ended(expected: Expected, run: Run, refused: str) -> Iterator[str]:
    record = run.record
    if record.status not in expected.status:
        said = refused or record.note
        wanted, why = " or ".join(expected.status), f" ({said[:_SHOWN]})" if said else ""
        asks = f", as it asks {run.approvals[0].action}" if run.approvals else ""
        yield f"it is {record.status}{asks}, not {wanted}{why}"


def _outside(expected: Expected, proposed: Sequence[Proposed]) -> Iterator[str]:
    for wanted, denied, told in ((expected.actions, False, "proposed"), (expected.denied, True, "denied")):
        found = sorted(one.action for one in proposed if one.denied is denied)
        if wanted is not None and found != sorted(wanted):
            yield f"{told} is {', '.join(found) or 'nothing'}, not {', '.join(sorted(wanted)) or 'nothing'}"
    for action, args in expected.args.items():
        of_it = [one.args for one in proposed if one.action == action]
        if not any(_within(args, given) for given in of_it):
            seen = f"it has {_short(of_it[-1])}" if of_it else "it is not proposed"
            yield f"no {action} with {_short(args)}: {seen}"


def _within(wanted: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    return all(given.get(name, _ABSENT) == value for name, value in wanted.items())


def _made(expected: Expected, artifacts: Mapping[str, Any]) -> Iterator[str]:
    for place, wanted in expected.equals.items():
        found, problem = _at(place, artifacts)
        if problem or found != wanted:
            yield problem or f"{place} is {_short(found)}, not {_short(wanted)}"
    for wanted_there, by_place in ((True, expected.contains), (False, expected.lacks)):
        for place, texts in by_place.items():
            found, problem = _at(place, artifacts)
            there = _text(found).casefold()
            wrong = [text for text in texts if (text.casefold() in there) is not wanted_there]
            told = "lacks" if wanted_there else "has"
            yield from [problem] if problem else [f"{place} {told} {text!r}" for text in wrong]
    for place, pattern in expected.matches.items():
        found, problem = _at(place, artifacts)
        if problem or not re.search(pattern, _text(found)):
            yield problem or f"{place} does not match {pattern!r}"
    for place, (least, most) in expected.between.items():
        found, problem = _at(place, artifacts)
        if problem or isinstance(found, bool) or not isinstance(found, int | float) or not least <= found <= most:
            yield problem or f"{place} is {_short(found)}, not from {least:g} to {most:g}"


def _used(expected: Expected, usage: Usage, seconds: float) -> Iterator[str]:
    if expected.max_usd is not None and usage["cost_usd"] > expected.max_usd:
        yield f"it cost ${usage['cost_usd']:.4f}, more than ${expected.max_usd:g}"
    if expected.max_usd is not None and usage["unpriced"]:
        yield f"the price of {usage['unpriced']} calls is not known, and it may cost ${expected.max_usd:g} at most"
    if expected.max_calls is not None and usage["calls"] > expected.max_calls:
        yield f"it made {usage['calls']} calls of models, more than {expected.max_calls}"
    if expected.max_seconds is not None and seconds > expected.max_seconds:
        yield f"it took {seconds:.1f} s, more than {expected.max_seconds:g} s"


def _at(place: str, artifacts: Mapping[str, Any]) -> tuple[Any, str]:
    """What stands at a place, and what is wrong with the place."""
    found: Any = artifacts
    for number, part in enumerate(parts := place.split(".")):
        if isinstance(found, Mapping) and part in found:
            found = found[part]
        elif isinstance(found, list | tuple) and part.isdigit() and int(part) < len(found):
            found = found[int(part)]
        else:
            inside = ".".join(parts[:number]) or "the run"
            there = ", ".join(found) if isinstance(found, Mapping) else f"{len(found)} items" if found else ""
            return None, f"there is no {part!r} in {inside}" + (f", which has {there}" if there else "")
    return found, ""


def _text(found: Any) -> str:
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _said_by(name: str, check: Check, run: Run, case: EvalCase) -> str:
    """What a function says is wrong; empty if nothing."""
    try:
        said = check(run, case)
    except AssertionError as error:
        return f"{name}: {str(error).splitlines()[0] if str(error) else 'an assertion does not hold'}"
    except Exception as error:
        return f"{name} failed: {type(error).__name__}: {error}"
    if said is None or said is True or said == "":
        return ""
    return f"{name}: {said}" if isinstance(said, str) else f"{name} does not hold"


def read_checks(checks: Path | str | Iterable[Check], cases: Iterable[EvalCase]) -> dict[str, Check]:
    """Functions by their names: those of a Python file, or these; BadCheck if a case names another."""
    if isinstance(checks, Path | str):
        found = _of_module(Path(checks).expanduser())
    else:
        found = {getattr(check, "__name__", ""): check for check in checks}
    for case in cases:
        for name in case.checks:
            if name not in found:
                there = f"There are: {', '.join(sorted(found))}" if found else "Name their file: --checks FILE.py"
                raise BadCheck(name, f"the case {case.id!r} names it, and there is none", there)
    return found


def _of_module(file: Path) -> dict[str, Check]:
    if not file.is_file() or file.suffix != ".py":
        raise BadCheck(str(file), "there is no such Python file", "Name the file that has the functions")
    spec = spec_from_file_location(f"signoff_checks_{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise BadCheck(str(file), f"importing it fails with {type(error).__name__}: {error}", "Mend it") from error
    functions = inspect.getmembers(module, inspect.isfunction)
    return {name: found for name, found in functions if found.__module__ == module.__name__ and name[:1] != "_"}
