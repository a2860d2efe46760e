"""Evidence: what came of a repository, whether it holds, and all that is said of it, which code alone writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from signoff.agents.artifacts import Artifact
from signoff.agents.roles.remedy.ladder import Attempt, Fix, urgency
from signoff.agents.roles.remedy.scanning import Scan, repositories
from signoff.agents.roles.remedy.verifying import Verified
from signoff.tools.advisories import Finding, in_words
from signoff.tools.errors import FileRefused
from signoff.tools.sandbox import Bench, Proof, find_problems
from signoff.wording import as_code, as_words, counted

Outcome = Literal[
    "no finding",
    "fixed",
    "fixed, tests changed their meaning",
    "partly fixed",
    "not fixed",
    "not scanned",
]
ORDER: Sequence[Outcome] = (
    "fixed, tests changed their meaning",
    "partly fixed",
    "not fixed",
    "not scanned",
    "fixed",
    "no finding",
)
"""What needs a person most comes first."""


class Case(Artifact):
    """All that is known of one repository, in the end."""

    repo: str
    before: Scan | None = None
    verified: Verified | None = None
    fix: Fix | None = None
    after: Scan | None = Field(default=None, description="The scan of what was made of it, done anew")
    adapted: tuple[str, ...] = Field(default=(), description="Files that the coding agent changed so that it fits")
    problem: str = Field(default="", description="Why a step failed")
    refused: tuple[str, ...] = Field(default=(), description="What its evidence does not bear out")

    @property
    def outcome(self) -> Outcome:
        if self.before is None or self.before.problem:
            return "not scanned"
        if not self.before.findings:
            return "not scanned" if self.before.gaps else "no finding"  # as something may be in what was not
        if not self.is_proposed or self.fix is None or self.after is None:
            return "not fixed"
        if self.after.findings or self.after.gaps:
            return "partly fixed"
        return "fixed, tests changed their meaning" if any(one.changed_tests for one in self.fix.taken) else "fixed"

    @property
    def is_proposed(self) -> bool:
        """Whether something was made of it that its evidence bears out."""
        return self.fix is not None and self.fix.is_changed and self.after is not None and not self.refused

    @property
    def urgency(self) -> float:
        return max((urgency(one) for one in self.before.findings), default=0.0) if self.before else 0.0

    @property
    def needs_person(self) -> bool:
        return self.outcome not in ("fixed", "no finding")

    @property
    def gone(self) -> tuple[Finding, ...]:
        """The findings that the second scan does not have any more."""
        if self.before is None or self.after is None or not self.is_proposed:
            return ()
        return tuple(one for one in self.before.findings if not any(one.is_same(left) for left in self.after.findings))

    @property
    def left(self) -> tuple[tuple[Finding, str], ...]:
        """What is not fixed, and why."""
        found = self.before.findings if self.before and not self.before.problem else ()
        return tuple((one, self._why(one)) for one in found if one not in self.gone)

    @property
    def branch(self) -> str:
        """The key of its pull request: the same change has the same one."""
        proof = self.fix.proof if self.fix else None
        name = max(self.gone, key=urgency).id if self.gone else "none"
        return f"signoff/{name}/{proof.tree[:8] if proof else 'none'}"

    def _why(self, finding: Finding) -> str:
        if self.problem:
            return self.problem
        if self.refused:
            return f"what was tried is not borne out: {'; '.join(self.refused)}"
        if self.verified is not None and self.verified.problem:
            return self.verified.problem
        tried = [one for one in self.fix.attempts if one.package == finding.package] if self.fix else []
        told = [f"{one.new}: {one.problem}" for one in tried if one.problem and finding.id in one.clears]
        if told:
            return "; ".join(dict.fromkeys(told))
        return (
            "; ".join(dict.fromkeys(map(str, tried)))
            or "the records name no fixed version, and no release is free of it"
        )

    def told(self) -> str:
        return pull_text(self) if self.is_proposed else self.outcome

    def brief(self) -> str:
        return f"{self.outcome}: {len(self.gone)} gone, {len(self.left)} left"


class Cases(Artifact):
    """What came of each, held against the evidence."""

    rows: tuple[Case, ...]

    def brief(self) -> str:
        proposed = sum(one.is_proposed for one in self.rows)
        return f"{proposed} of {repositories(len(self.rows))} can be changed."


def refusals(case: Case, bench: Bench, own: Scan, say: Callable[[str], object]) -> tuple[str, ...]:
    """What the evidence of a case does not bear out, held against the copy as it is now; empty if it holds.

    `bench` has the environments before and after, and `own` is a scan of the copy, made at this very moment.
    """
    if case.before is None or case.verified is None or case.fix is None or case.after is None:
        return ("nothing is known of it",)
    problems = [*test_problems(bench.baseline(say), bench.prove(say), case.fix)]
    named = {*case.adapted, *(path for attempt in case.fix.taken for path in attempt.manifests)}
    try:
        strays = sorted({change.path for change in bench.copy.changes()} - named)
    except FileRefused as error:
        return (str(error).rstrip("."),)
    if strays:
        problems.append(f"it changes {', '.join(strays[:5])}, which it did not name")
    if kinds := [f"{path} ({bench.protected(path)})" for path in bench.protected_changes()]:
        problems.append(f"it changes what is read-only: {', '.join(kinds[:5])}")
    return tuple(_unborne(case.before, case.verified, case.fix, case.after, own, problems))


def _unborne(before: Scan, verified: Verified, fix: Fix, after: Scan, own: Scan, tests: list[str]) -> Iterator[str]:
    if after.problem:
        yield f"it was not scanned again: {after.problem}"
    if len({before.advisories, after.advisories, own.advisories}) != 1:
        yield "the scans were compared with different advisories"
    if before.judges != after.judges:
        yield "the second scan was not done by the same judges"
    if fix.proof is None or not fix.proof.tree == after.tree == own.tree:
        yield "tests and scan are not of the tree that would be proposed"
    if (after.findings, after.manifests, after.gaps) != (own.findings, own.manifests, own.gaps):
        yield "the second scan is not what a scan of that tree gives"
    if {name for name, _ in before.audited} != {name for name, _ in after.audited} or before.gaps != after.gaps:
        yield "what was scanned before is not what was scanned after"
    new = [str(one) for one in after.findings if not any(one.is_same(other) for other in before.findings)]
    if new:
        yield f"there are new findings: {', '.join(new)}"
    steps = {one.package: (one.old, one.new) for one in fix.taken} | {
        name: step for one in fix.taken for name, step in one.moved.items()
    }
    was, now = _pinned(before), _pinned(after)
    strays = {name for name in was.keys() | now.keys() if was.get(name) != now.get(name) and name not in steps}
    if strays:
        yield f"other packages were changed than were named: {', '.join(sorted(strays))}"
    hashed = {(wheel.name, wheel.version) for one in fix.taken for wheel in one.wheels}
    if missing := [f"{name} {new}" for name, (_, new) in steps.items() if name in now and (name, new) not in hashed]:
        yield f"the file is not known of {', '.join(sorted(missing))}"
    yield from tests
    if verified.problem:
        yield verified.problem


def test_problems(before: Proof, after: Proof, fix: Fix) -> tuple[str, ...]:
    """What the tests say against a fix, beside those that the release itself ships otherwise."""
    excused = {name for one in fix.taken for name in one.changed_tests}
    if not excused:
        return find_problems(before, after, may_fail=True)
    found = []
    for old, new in zip(before.checks, after.checks, strict=True):
        lost = old.ran - new.ran
        worse = (new.failing or frozenset()) - (old.failing or frozenset()) - excused
        if lost or worse or new.ended not in ("exit", "signal"):
            found.append(f"{new.command!r} loses or fails {', '.join(sorted(lost | worse)[:10]) or 'tests'}")
    return tuple(found)


def _pinned(found: Scan) -> dict[str, frozenset[str]]:
    pins = dict[str, set[str]]()
    for pin in found.pins:
        pins.setdefault(pin.name, set()).add(pin.version)
    return {name: frozenset(versions) for name, versions in pins.items()}


def pull_title(case: Case) -> str:
    taken = case.fix.taken if case.fix else ()
    steps = ", ".join(f"{one.package} {one.old} to {one.new}" for one in taken)
    found = counted(len(case.gone), "finding")
    whole = f"Update {steps} ({found})"
    return whole if len(whole) <= 120 else f"Update {counted(len(taken), 'package')} ({found})"


def reason_of(case: Case) -> str:
    """Why it is proposed, in a few sentences."""
    if case.fix is None or case.after is None or case.verified is None:
        return case.outcome
    again = f"Scanned again by {' and '.join(case.after.judges)}: {counted(len(case.after.findings), 'finding')}"
    left = "".join(f" Not fixed: {one}, because {why}." for one, why in case.left)
    tests = f"{case.fix.proof}. Before: {case.verified.proof}"
    return f"{case.outcome.capitalize()}: {pull_title(case)}. {tests}. {again}.{left}"


def pull_text(case: Case) -> str:
    """The text of its pull request, made of the evidence alone."""
    before, fix, after = case.before, case.fix, case.after
    if before is None or fix is None or after is None:
        return ""
    proof = case.verified.proof if case.verified else None
    parts = [
        f"**{case.outcome.capitalize()}.** {counted(len(case.gone), 'finding')} gone, {len(case.left)} left.",
        "## What changes\n\n" + "\n".join(_changes(fix.taken)),
        "## What was found\n\n" + "\n".join(map(_finding, case.gone)),
    ]
    if case.left:
        parts.append(
            "## What is not fixed\n\n" + "\n".join(f"{_finding(one)}: {as_words(why)}" for one, why in case.left)
        )
    if case.adapted:
        listed = ", ".join(map(as_code, case.adapted))
        parts.append(f"## Code that was adapted\n\nA coding agent changed {listed}, so that the tests pass.")
    parts.append("## What shows it\n\n" + "\n".join(f"- {line}" for line in _shown(case, proof, after)))
    if refused := [one for one in fix.attempts if one.problem]:
        parts.append("## What was tried and not taken\n\n" + "\n".join(f"- {as_words(str(one))}" for one in refused))
    if before.gaps:
        parts.append("## What was not scanned\n\n" + "\n".join(f"- {as_words(one)}" for one in before.gaps))
    return "\n\n".join(parts)


def _changes(taken: Sequence[Attempt]) -> Iterator[str]:
    for one in taken:
        use = "" if one.exercised else " The tests do not install it: they show nothing of it."
        yield f"- {as_code(one.package)} from {as_code(one.old)} to {as_code(one.new)}.{use}"
        for name, (old, new) in sorted(one.moved.items()):
            yield f"  - with it {as_code(name)} from {as_code(old)} to {as_code(new)}, which the resolver had to move"
        for wheel in one.wheels:
            yield f"  - {as_code(wheel.file)}, sha256 {as_code(wheel.sha256)}"
        if one.changed_tests:
            names = ", ".join(map(as_code, one.changed_tests[:20]))
            yield f"  - **These tests changed their meaning:** {names}. They fail now; the release ships them otherwise"


def _finding(one: Finding) -> str:
    names = ", ".join(map(as_code, one.ids))
    about = f": {as_words(one.summary)}" if one.summary else ""
    return f"- {names} in {as_code(one.package)} {as_code(one.version)}, {in_words(one.severity)}{about}"


def _shown(case: Case, proof: Proof | None, after: Scan) -> Iterator[str]:
    assert case.fix is not None
    yield f"Tests before: {as_words(str(proof))}"
    counted_tests = proof is not None and any(run.executed for run in proof.checks)
    told = "Every test that was executed before is executed after" if counted_tests else "It counts no tests"
    yield f"Tests after: {as_words(str(case.fix.proof))}. {told}"
    judges = " and ".join(after.judges)
    packages = counted(len({name for name, _ in after.audited}), "package")
    yield f"Scanned again by {judges}: {packages}, {counted(len(after.findings), 'finding')}, none that is new"
    yield f"Both scans are of the same advisories, sha256 {as_code(after.advisories)}"
    for one in case.fix.taken:
        if one.regression is not None:
            told = str(one.regression)
            yield as_words(told[:1].upper() + told[1:])
        if one.contradicts:
            yield f"**Evidence contradicts the advisory:** {as_words(one.contradicts)}"


def summary(cases: Sequence[Case], results: dict[str, str]) -> str:
    """All repositories in one text, those first that need a person. `results`: what came of each proposal."""
    ordered = sorted(cases, key=lambda one: (ORDER.index(one.outcome), -one.urgency, one.repo))
    counts = ", ".join(
        f"{sum(one.outcome == name for one in cases)} {name}"
        for name in ORDER
        if any(one.outcome == name for one in cases)
    )
    lines = [
        "# Remediation",
        "",
        f"{repositories(len(cases))}: {counts}.",
        "",
    ]
    lines += ["| repository | outcome | findings | gone | left | proposed |", "|---|---|---|---|---|---|"]
    for one in ordered:
        found = len(one.before.findings) if one.before and not one.before.problem else 0
        shown = "–" if one.outcome == "not scanned" else str(found)
        lines.append(
            f"| {as_words(one.repo)} | {one.outcome} | {shown} | {len(one.gone)} | {len(one.left)} "
            f"| {as_words(results.get(one.repo, '–'))} |"
        )
    waiting = [one for one in ordered if one.needs_person]
    if waiting:
        lines += ["", "## For a person", ""]
    for one in waiting:
        lines += [f"### {as_words(one.repo)}: {one.outcome}", "", *_reasons(one), ""]
    return "\n".join(lines).rstrip() + "\n"


def _reasons(case: Case) -> Iterator[str]:
    why = case.problem or (case.before.problem if case.before else "a step failed")
    if case.outcome == "not scanned" and why:
        yield f"- Not scanned, because {as_words(why)}"
    for one, why in case.left:
        yield f"{_finding(one)}\n  - Not fixed, because {as_words(why)}"
    for attempt in case.fix.taken if case.fix else ():
        if attempt.changed_tests:
            yield f"- Tests that changed their meaning: {', '.join(map(as_code, attempt.changed_tests))}"
        if attempt.contradicts:
            yield f"- Evidence contradicts the advisory: {as_words(attempt.contradicts)}"
    if case.before and not case.before.problem:
        yield from (f"- Not scanned: {as_words(one)}" for one in case.before.gaps)
