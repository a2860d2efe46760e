"""The ladder: the lowest fixed version, the next ones, what the resolver has to move along; each tried and proven.

A rung counts only if the tests executed before are executed after and none that passed fails, if the finding is gone
and no new one came, and if just the named pins changed. Of what no rung mends, the best part is kept, and why not all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from packaging.version import Version
from pydantic import Field

from signoff.agents.artifacts import Artifact
from signoff.agents.artifacts.artifact import Part
from signoff.agents.roles.remedy.regression import Regression, ReleaseSources, changed_meaning, compare_release
from signoff.agents.roles.remedy.scanning import Scan
from signoff.agents.roles.remedy.verifying import Verified
from signoff.tools.advisories import (
    AdvisorySet,
    Finding,
    Lock,
    Wheel,
    Wheelhouse,
    changed,
    make_environment,
    read_manifests,
)
from signoff.tools.errors import NotResolved, ToolError
from signoff.tools.files import Version as FileVersion
from signoff.tools.sandbox import Bench, Proof, find_problems
from signoff.wording import counted

RUNGS: Final = 6
"""Versions of a package that are tried at most."""


class Attempt(Part):
    """One rung: a package at another version, and what came of it."""

    package: str
    old: str
    new: str
    clears: tuple[str, ...] = Field(default=(), description="Findings that this version does not have any more")
    leaves: tuple[str, ...] = Field(default=(), description="Those that it still has")
    moved: Mapping[str, tuple[str, str]] = Field(default_factory=dict, description="What the resolver moved along")
    wheels: tuple[Wheel, ...] = ()
    exercised: bool = Field(default=True, description="Whether the tests install it")
    changed_tests: tuple[str, ...] = Field(default=(), description="Tests that the release itself ships otherwise")
    regression: Regression | None = None
    contradicts: str = Field(default="", description="What evidence says against the advisory")
    manifests: tuple[str, ...] = Field(default=(), description="The files in which it is pinned")
    environment: str = Field(default="", description="What its tests ran in; empty if they did not run")
    problem: str = Field(default="", description="Why it was not taken; empty if it was")

    def __str__(self) -> str:
        return f"{self.package} {self.new}: {self.problem or 'taken'}"


class Fix(Artifact):
    """What was changed in a repository, and all that was tried."""

    repo: str
    attempts: tuple[Attempt, ...] = ()
    files: Mapping[str, str] = Field(
        default_factory=dict, description="The manifests that were changed, as they are now"
    )
    environment: str = ""
    proof: Proof | None = Field(default=None, description="What the tests show of the tree that is handed over")

    @property
    def taken(self) -> tuple[Attempt, ...]:
        return tuple(one for one in self.attempts if not one.problem)

    @property
    def is_changed(self) -> bool:
        return bool(self.taken)

    @property
    def to_adapt(self) -> Attempt | None:
        """The lowest version that mends all of its package, and that only the tests were against."""
        taken = {one.package for one in self.taken if not one.leaves}
        return next(
            (
                one
                for one in self.attempts
                if one.problem and one.environment and not one.leaves and one.package not in taken
            ),
            None,
        )

    def adapted(self, attempt: Attempt, proof: Proof | None) -> Fix:
        """The same with a version taken after all, as the code was adapted to it."""
        instead = f"{attempt.new} was taken, to which the code was adapted"
        rows = [
            one.model_copy(update={"problem": instead}) if one.package == attempt.package and not one.problem else one
            for one in self.attempts
        ]
        rows = [one.model_copy(update={"problem": ""}) if one == attempt else one for one in rows]
        update = {"attempts": tuple(rows), "environment": attempt.environment, "proof": proof}
        return self.model_copy(update=update)

    def brief(self) -> str:
        return f"{counted(len(self.taken), 'package')} changed, {counted(len(self.attempts), 'rung')} tried."


class Fixes(Artifact):
    """What was changed in them."""

    rows: tuple[Fix, ...]
    failed: Mapping[str, str] = Field(default_factory=dict)


def urgency(finding: Finding) -> float:
    """Severity by fixability, 0 to 10: how much is gained by how small a step. Unknown severity counts as medium."""
    now, steps = Version(finding.version), [Version(one) for one in finding.fixed]
    if not steps:
        return 0.0
    first = min(steps)
    same = [a == b for a, b in zip(now.release, first.release, strict=False)][:2]
    return (5.0 if finding.severity is None else finding.severity) * (1.0 if all(same) else 0.8 if same[0] else 0.5)


@dataclass
class Ladder:
    """One repository's way up."""

    scan: Scan
    verified: Verified
    bench: Bench
    """With the environment before in place."""
    advisories: AdvisorySet
    wheelhouse: Wheelhouse
    sources: ReleaseSources
    say: Callable[[str], object]
    rungs: int = RUNGS
    attempts: list[Attempt] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.lock: Lock = {wheel.name: wheel for wheel in self.verified.wheels}
        self.environment = Path(self.verified.environment)
        self.wanted = self.verified.wanted
        self._doubts: dict[str, tuple[str, Path, str]] = {}

    def climb(self) -> Fix:
        """Try every package with findings, the most urgent first; the copy is left as what was taken makes it."""
        self.bench.reset()
        groups: dict[tuple[str, str], list[Finding]] = {}
        for finding in sorted(self.scan.findings, key=urgency, reverse=True):
            groups.setdefault((finding.package, finding.version), []).append(finding)
        for (name, version), findings in groups.items():
            for new in self._rungs(name, version, findings):
                known = next((one for one in self.attempts if (one.package, one.new) == (name, new)), None)
                if known is not None and known.problem and known.environment and known.old != version:
                    attempt = known.model_copy(update={"old": version})  # the tests are against it all the same
                else:
                    attempt = self._try(name, version, new, findings)
                self.attempts.append(attempt)
                self.say(str(attempt))
                if not attempt.problem:
                    break
        bench, base = replace(self.bench, environment=self.environment), self.bench.base_files()
        files = bench.files()
        return Fix(
            repo=self.scan.repo,
            attempts=tuple(self.attempts),
            files={
                path: one.raw.decode() for path, one in files.items() if path not in base or base[path].raw != one.raw
            },
            environment=str(self.environment),
            proof=bench.prove(self.say, files).short() if any(not one.problem for one in self.attempts) else None,
        )

    def _rungs(self, name: str, version: str, findings: Sequence[Finding]) -> Iterator[str]:
        """The versions to try: those that clear all, first as the records name them; then those that clear some."""
        named = sorted({one for finding in findings for one in finding.fixed}, key=Version)
        left = {new: len(self.advisories.find(name, new)) for new in named}
        tried = list[str]()
        for new in (one for one in named if not left[one]):
            if len(tried) < self.rungs:
                tried.append(new)
                yield new
                if new in self._doubts:
                    tried.append(later := self._doubts[new][2])
                    yield later
                    yield new  # nothing better was found: now it is taken as it is
        for new in self._others(name, version, tried):
            if len(tried) < self.rungs:
                tried.append(new)
                yield new
        partly = sorted(
            (one for one in named if 0 < left[one] < len(findings)), key=lambda one: (left[one], Version(one))
        )
        yield from partly[: max(self.rungs - len(tried), 2)]

    def _others(self, name: str, version: str, tried: Sequence[str]) -> Iterator[str]:
        """Releases that no record names: the first without a finding, the last one that begins alike, and the last."""
        now = Version(version)
        clear = [
            one
            for one in self.wheelhouse.versions(name)
            if Version(one) > now and one not in tried and not self.advisories.find(name, one)
        ]
        alike = [one for one in clear if Version(one).major == now.major]
        yield from dict.fromkeys((*clear[:1], *alike[-1:], *clear[-1:]))

    def _try(self, name: str, version: str, new: str, findings: Sequence[Finding]) -> Attempt:
        after = self.advisories.find(name, new)
        clears = tuple(one.id for one in findings if not any(one.is_same(other) for other in after))
        made = Attempt(package=name, old=version, new=new, clears=clears, leaves=tuple(one.id for one in after))
        base = self.bench.files()
        try:
            lock, moved = self._lock(name, version, new)
            steps, raws = {name: (version, new), **moved}, {path: one.raw for path, one in base.items()}
            wheels = {
                one: lock[one] if one in lock and lock[one].version == to else self.wheelhouse.find(one, to)
                for one, (_, to) in steps.items()
            }
            edits = bumped(raws, steps, wheels)
            exercised = name in self.lock and self.lock[name].version == version
            made = made.model_copy(update={"moved": moved, "wheels": tuple(wheels.values()), "exercised": exercised})
            made = made.model_copy(update={"manifests": tuple(edits)})
            if problem := self._new_findings(raws | edits):
                return made.model_copy(update={"problem": problem})
            environment = make_environment(self.bench.project.home, lock, self.wheelhouse)
            for path, raw in edits.items():
                self.bench.copy.write(path, FileVersion(raw, base[path].executable))
            judged = self._judge(made.model_copy(update={"environment": str(environment)}), environment, raws)
        except (ToolError, ValueError) as error:
            judged = made.model_copy(update={"problem": str(error).rstrip(".")})
        if judged.problem:
            for path, one in base.items():
                if self.bench.copy.read_any(path) != one:
                    self.bench.copy.write(path, one)
        else:
            self.lock, self.environment = lock, environment
            self.wanted = _rewanted(self.wanted, steps)
        return judged

    # One rung

    def _lock(self, name: str, version: str, new: str) -> tuple[Lock, dict[str, tuple[str, str]]]:
        """The wheels with the package at its new version, and what had to move along, from and to."""
        if name not in self.lock or self.lock[name].version != version:
            return self.lock, {}  # the tests do not install it
        pins = {one: wheel.version for one, wheel in self.lock.items()} | {name: new}
        wanted = _rewanted(self.wanted, {name: (version, new)})
        try:
            return self.wheelhouse.lock(wanted, pins), {}
        except NotResolved as error:
            free = {by if conflicted == name else conflicted for conflicted, by in error.between} - {"", name}
            if not free:
                raise
            self.say(f"lets {', '.join(sorted(free))} move along with {name} {new}")
            lock = self.wheelhouse.lock(wanted, pins, free)
        moved = {
            one: (pins[one], lock[one].version) for one in pins.keys() & lock.keys() if lock[one].version != pins[one]
        }
        return lock, moved

    def _new_findings(self, files: Mapping[str, bytes]) -> str:
        packages = {pin.package for manifest in read_manifests(files) for pin in manifest.pins}
        found = [one for name, version in sorted(packages) for one in self.advisories.find(name, version)]
        new = [str(one) for one in found if not any(one.is_same(other) for other in self.scan.findings)]
        return f"it brings what was not there before: {', '.join(new)}" if new else ""

    def _judge(self, made: Attempt, environment: Path, ours: Mapping[str, bytes]) -> Attempt:
        """What the tests say of the copy as it is now, with the new environment, and the release's own."""
        bench = replace(self.bench, environment=environment)
        before, after = bench.baseline(self.say), bench.prove(self.say)
        problem = "; ".join(find_problems(before, after, may_fail=True))
        failing = _failing_now(before, after) if problem else frozenset[str]()
        theirs = self.sources.files(made.package, made.new) if failing else {}
        if problem and (not failing or changed_meaning(failing, ours, theirs) != failing):
            return made.model_copy(update={"problem": problem})
        regression, outcomes = self._release(made, bench, environment)
        made = made.model_copy(update={"regression": regression})
        if problem and (not outcomes or changed_meaning(failing, ours, theirs, outcomes) != failing):
            return made.model_copy(update={"problem": problem})
        return self._doubted(made.model_copy(update={"changed_tests": tuple(sorted(failing))}), bench, environment)

    def _release(self, made: Attempt, bench: Bench, environment: Path) -> tuple[Regression | None, Mapping[str, str]]:
        """What the new release's own tests show with the version before and with it; None if the tests use neither."""
        if not made.exercised:
            return None, {}
        if Version(made.new) in self.sources.of(made.package):
            self.say(f"runs the tests of {made.package} {made.new} with {made.old} and with it")
        olds, news = (made.old, Path(self.verified.environment)), (made.new, environment)
        return compare_release(bench, self.sources, made.package, made.new, olds, news)

    def _doubted(self, made: Attempt, bench: Bench, environment: Path) -> Attempt:
        """The same, or why it is better not taken: a changelog lists the advisory under a later release."""
        if made.new in self._doubts:
            return made.model_copy(update={"contradicts": f"{self._doubts[made.new][0]}; no later one could be taken"})
        earlier = next((one for one in self._doubts.items() if one[1][2] == made.new), None)
        if earlier is not None:
            version, (told, place, _) = earlier
            olds, news = (version, place), (made.new, environment)
            shown, _ = compare_release(bench, self.sources, made.package, made.new, olds, news)
            return made.model_copy(update={"contradicts": f"{told}; {shown}"})
        ids = [one for finding in self.scan.findings if finding.id in made.clears for one in finding.ids]
        later = self.sources.named_later(made.package, ids, made.new)
        if later is None:
            return made
        release, advisory = later
        told = f"the records say that {made.new} is fixed, but the changelog lists {advisory} under {release}"
        self._doubts[made.new] = told, environment, release
        return made.model_copy(update={"problem": f"{told}, which is tried first"})


def _failing_now(before: Proof, after: Proof) -> frozenset[str]:
    """The tests that fail now and did not; none where they are not all known by name, or one is gone."""
    failing = set[str]()
    for old, new in zip(before.checks, after.checks, strict=True):
        if old.failing is None or new.failing is None or old.ran - new.tests.keys():
            return frozenset()
        failing |= new.failing - old.failing
    return frozenset(failing)


def bumped(
    files: Mapping[str, bytes], steps: Mapping[str, tuple[str, str]], wheels: Mapping[str, Wheel]
) -> dict[str, bytes]:
    """The manifests that change with these packages at other versions, from and to. ValueError where none may be."""
    found = [pin for manifest in read_manifests(files) for pin in manifest.pins]
    edits: dict[str, bytes] = {}
    for pin in sorted(found, key=lambda one: -one.line):
        if pin.name not in steps or pin.version != steps[pin.name][0]:
            continue
        new = steps[pin.name][1]
        if pin.locked:
            how = pin.locked.format(name=pin.name, version=new)
            raise ValueError(f"it is pinned in {pin.path}, which a program writes. Run there: {how}")
        raw = edits.get(pin.path, files[pin.path])
        edits[pin.path] = changed(raw, pin, new, [f"sha256:{wheels[pin.name].sha256}"])
    return edits


def _rewanted(wanted: Sequence[str], steps: Mapping[str, tuple[str, str]]) -> tuple[str, ...]:
    """Requirements with these packages at their new versions."""
    made = []
    for one in wanted:
        name, sign, version = one.partition("==")
        new = next(
            (to for package, (old, to) in steps.items() if sign and version == old and name.split("[")[0] == package),
            "",
        )
        made.append(f"{name}=={new}" if new else one)
    return tuple(made)
