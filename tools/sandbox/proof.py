"""What a check showed: its exit code and its tests, by name where they can be had; and whether that got worse."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Literal
from xml.etree import ElementTree

from pydantic import BaseModel, ConfigDict, Field

from signoff.tools.sandbox.sandbox import Ended, Finished
from signoff.tools.sandbox.tools import cut
from signoff.wording import counted

TestOutcome = Literal["passed", "failed", "skipped"]

_NO_TESTS: Final = 5
"""With what pytest ends where there are none."""
_LARGEST: Final = 30_000_000
"""Bytes of a report that are read."""
_SHOWN: Final = 4_000
"""Characters of a check's output that are kept: the beginning and the end."""
_NAMED: Final = 10
"""Tests that a sentence names."""
_RAN: Final = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
_FAIL: Final = re.compile(r"^(?:FAIL|ERROR): (.+)$", re.MULTILINE)
_COUNTS: Final = re.compile(r"(unexpected successes|expected failures|failures|errors|skipped)=(\d+)")


class CheckRun(BaseModel):
    """One command that was run on one tree."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    command: str
    exit_code: int
    ended: Ended = "exit"
    executed: int | None = Field(default=None, description="Tests that ran to a verdict; None: it told of none")
    failed: tuple[str, ...] = Field(default=(), description="Names of tests that failed, the first of them")
    failures: int = 0
    skipped: int = 0
    output: str = Field(default="", description="What it printed, beginning and end")
    tests: Mapping[str, TestOutcome] = Field(default_factory=dict, description="By name; empty where only counted")

    @property
    def passes(self) -> bool:
        return self.exit_code == 0 and self.ended == "exit"

    @property
    def ran(self) -> frozenset[str]:
        """The names of the tests that ran to a verdict; empty where they were only counted."""
        return frozenset(name for name, outcome in self.tests.items() if outcome != "skipped")

    @property
    def failing(self) -> frozenset[str] | None:
        """The names of all tests that failed; None if they are not known."""
        if self.tests:
            return frozenset(name for name, outcome in self.tests.items() if outcome == "failed")
        return frozenset(self.failed) if self.failures and len(self.failed) == self.failures else None

    @property
    def code(self) -> str:
        """Its exit code, with what some mean by it."""
        none = self.exit_code == _NO_TESTS and "pytest" in self.command
        return f"exit code {self.exit_code}{' (pytest finds no test)' if none else ''}"

    def __str__(self) -> str:
        """One line: what came of it."""
        count = "" if self.executed is None else f", {counted(self.executed, 'test')} executed"
        fails = f", {self.failures} failed" if self.failures else ""
        fails += f", {self.skipped:,} skipped" if self.skipped else ""
        stopped = "" if self.ended in ("exit", "signal") else f", stopped at its limit ({self.ended})"
        return f"{self.command}: {self.code}{count}{fails}{stopped}"


class Proof(BaseModel):
    """What all checks showed of one tree, bound to its digest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    tree: str = Field(description="Digest of every path and content that the checks ran on")
    checks: tuple[CheckRun, ...]

    @property
    def score(self) -> tuple[int, int, int]:
        """What is more is better: checks that pass, tests that do, and fewer that fail."""
        executed = sum(run.executed or 0 for run in self.checks)
        failures = sum(run.failures for run in self.checks)
        return sum(run.passes for run in self.checks), executed - failures, -failures

    def short(self) -> Proof:
        """The same without the names of all tests, to be kept in a run's state."""
        return Proof(tree=self.tree, checks=tuple(run.model_copy(update={"tests": {}}) for run in self.checks))

    def __str__(self) -> str:
        return f"{'; '.join(map(str, self.checks))} (tree {self.tree[:12]})"


def read_run(command: str, finished: Finished, report: bytes) -> CheckRun:
    """What came of a check, from the JUnit report that it left, or else from what it printed."""
    printed = "\n".join(filter(None, (finished.stdout.strip("\n"), finished.stderr.strip("\n"), finished.note)))
    tests = dict(sorted(_cases(report)))
    executed, failures, skipped = _counted(tests) if tests else _told(printed)
    failed = [name for name, outcome in tests.items() if outcome == "failed"] or _FAIL.findall(printed)
    return CheckRun(
        command=command,
        exit_code=finished.exit_code,
        ended=finished.ended,
        executed=executed,
        failed=tuple(failed[:50]),
        failures=failures,
        skipped=skipped,
        output=cut(printed, _SHOWN),
        tests=tests,
    )


def find_problems(before: Proof, after: Proof, *, may_fail: bool = False) -> tuple[str, ...]:
    """Why a tree is not accepted: a check that fails, tests that are not executed any more; empty if it is.

    `may_fail`: tests that failed before may go on failing.
    """
    pairs = zip(before.checks, after.checks, strict=True)
    return tuple(problem for old, new in pairs for problem in _problems(old, new, may_fail=may_fail))


def _problems(old: CheckRun, new: CheckRun, *, may_fail: bool) -> Iterator[str]:
    known, failed = old.failing, new.failing
    is_same = known is not None and failed is not None and failed <= known and old.exit_code == new.exit_code
    if new.ended not in ("exit", "signal"):
        yield f"{new.command!r} was stopped at its limit ({new.ended})"
    elif not new.passes and not (may_fail and is_same):
        again = " as it did before any edit" if is_same and known == failed else ""
        told = f": {_named(failed - known if may_fail and known else failed)}" if failed else ""
        yield f"{new.command!r} fails{again}, with {new.code}{told}"
    if old.executed and (new.executed or 0) < old.executed:
        told = f"{new.executed or 0:,}, and {old.executed:,} before any edit"
        yield f"{new.command!r} executes fewer tests: {told}"
    if gone := old.ran - new.ran:
        yield f"{new.command!r} does not execute any more: {_named(gone)}"


def _named(tests: Iterable[str]) -> str:
    names = sorted(tests)
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{', '.join(names[:_NAMED])}{more}"


def _cases(report: bytes) -> Iterator[tuple[str, TestOutcome]]:
    """The tests of a JUnit report; none of one that is no report, or that defines entities."""
    if not report or len(report) > _LARGEST or b"<!DOCTYPE" in report or b"<!ENTITY" in report:
        return
    try:
        root = ElementTree.fromstring(report)
    except ElementTree.ParseError:
        return
    seen: dict[str, TestOutcome] = {}
    for case in root.iter("testcase"):
        kinds = {part.tag for part in case}
        outcome: TestOutcome = (
            "failed" if kinds & {"failure", "error"} else "skipped" if "skipped" in kinds else "passed"
        )
        name = "::".join(filter(None, (case.get("classname"), case.get("name"))))
        # The same test may be told of twice, such as where its clean-up fails: the worst of it counts.
        worse = outcome == "failed" or seen.get(name) in (None, "skipped")
        seen[name] = outcome if worse else seen[name]
    yield from seen.items()


def _counted(tests: Mapping[str, TestOutcome]) -> tuple[int, int, int]:
    outcomes = list(tests.values())
    skipped = outcomes.count("skipped")
    return len(outcomes) - skipped, outcomes.count("failed"), skipped


def _told(printed: str) -> tuple[int | None, int, int]:
    """Tests executed, failed and skipped, as unittest counts them; None if nothing is counted."""
    found = list(_RAN.finditer(printed))
    if not found:
        return None, 0, 0
    counts = {name: int(number) for name, number in _COUNTS.findall(printed[found[-1].end() :])}
    skipped = counts.pop("skipped", 0)
    counts.pop("expected failures", 0)
    return int(found[-1][1]) - skipped, sum(counts.values()), skipped
