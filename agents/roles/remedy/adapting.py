"""Adapting: the last rung. A coding agent changes the code of a repository until it works with the fixed version.

The package is at its new version in the copy before the model begins; what it made counts only if the checks accept it
with that version, as anywhere else. If they do not, the copy is what it was before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from signoff.agents.agent import Agent, Row, Task, item_by_item
from signoff.agents.artifacts import Artifact, Part
from signoff.agents.errors import WorkFailed
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.coder import Change, CodeWork, coder
from signoff.agents.roles.remedy.ladder import Attempt, Fix, bumped
from signoff.tools.files import Version
from signoff.tools.sandbox import Bench
from signoff.tools.storage import write_whole

BenchFor = Callable[[Task, Attempt], Bench]
"""The copy of the repository that a task's item is, with the environment of an attempt."""


class Adaptation(Part):
    """What came of one repository."""

    repo: str
    attempt: Attempt
    change: Change


class Adapted(Artifact):
    """The repositories whose code was changed, or was tried to be."""

    rows: tuple[Adaptation, ...] = ()

    def brief(self) -> str:
        return f"{sum(one.change.done for one in self.rows)} of {len(self.rows)} adapted."

    def applied(self, fix: Fix) -> Fix:
        """A fix with what was adapted to it."""
        found = self._done(fix)
        return fix if found is None else fix.adapted(found.attempt, found.change.proof)

    def files(self, fix: Fix) -> tuple[str, ...]:
        """What the coding agent changed beside the manifests."""
        if (found := self._done(fix)) is None:
            return ()
        manifests = {*fix.files, *found.attempt.manifests}
        return tuple(path for path in found.change.files if path not in manifests)

    def _done(self, fix: Fix) -> Adaptation | None:
        return next((one for one in self.rows if one.repo == fix.repo and one.change.done), None)


def adapter(
    fixes: Callable[[Task], Sequence[Fix]],
    bench: BenchFor,
    *,
    model: Tiers,
    needs: tuple[type[Artifact], ...],
) -> Agent[Adapted]:
    """The coding agent over all repositories in which only the tests are against a version that mends it."""

    steps = _Adapting(fixes, bench)
    made: Agent[Any] = coder(steps.work, model=model, needs=needs)
    found: Any = item_by_item(
        made,
        items=lambda task: [one.repo for one in fixes(task) if one.to_adapt is not None],
        of=str,
        gives=Adapted,
        join=steps.join,
        needs=needs,
    )
    each = replace(found.each, needs=None, check=partial(steps.check, made))  # its work reads the fixes
    by_repository: Agent[Adapted] = replace(found, each=each, opening=partial(steps.open, made), shows=())
    return by_repository


@dataclass(frozen=True)
class _Adapting:
    """What is done around the coding agent's own steps."""

    fixes: Callable[[Task], Sequence[Fix]]
    bench: BenchFor

    def of(self, task: Task) -> tuple[Fix, Attempt]:
        fix = next((one for one in self.fixes(task) if one.repo == task.item), None)
        if fix is None or fix.to_adapt is None:
            raise WorkFailed("coder", f"there is nothing to adapt in {task.item!r}", final=True)
        return fix, fix.to_adapt

    def work(self, task: Task) -> CodeWork:
        fix, attempt = self.of(task)
        made = self.bench(task, attempt)
        _bump_once(made, fix, attempt)
        return CodeWork(bench=made)

    def open(self, made: Agent[Any], task: Task) -> str:
        """What the model is shown first: what changed under it, and the map of the repository."""
        _, attempt = self.of(task)
        told = (
            f"{attempt.package} is at {attempt.new} now, for its security; it was at {attempt.old}. Change the code so "
            f"that the checks pass with it, and leave the versions as they are. What fails now: {attempt.problem}"
        )
        return f"{told}\n\n{made.opening(task) if made.opening else ''}"

    def check(self, made: Agent[Any], change: Change, task: Task) -> Change:
        """What the checks accept, if no version was touched; else the copy is what the ladder left."""
        fix, attempt = self.of(task)
        ended = made.check(change, task) if made.check else change
        there = self.bench(task, attempt)
        if ended.done and (strays := _changed_pins(there, fix, attempt)):
            told = f"it changed {', '.join(strays)}, where only the version of {attempt.package} changes"
            ended = ended.model_copy(update={"done": False, "why": told})
        if not ended.done:
            task.say(f"is put back, as it is not done: {ended.why}")
            _put_back(there, fix)
        return ended

    def join(self, rows: Sequence[Row[Change]], task: Task) -> Adapted:
        found = list[Adaptation]()
        for row in rows:
            _, attempt = self.of(replace(task, item=row.item))
            change = row.gave or Change(done=False, why=row.problem)
            found.append(Adaptation(repo=row.item, attempt=attempt, change=change))
        return Adapted(rows=tuple(found))


def _bump_once(bench: Bench, fix: Fix, attempt: Attempt) -> None:
    """Put the package at its new version in the copy, as it was handed over, before anything else is done there."""
    mark = bench.copy.kept / f"adapting-{attempt.package}-{attempt.new}"
    with bench.project.alone:
        if mark.exists():
            return
        _put_back(bench, fix)
        base = bench.files()
        for path, raw in _manifests(bench, fix, attempt).items():
            bench.copy.write(path, Version(raw, base[path].executable))
        write_whole(mark, b"")


def _manifests(bench: Bench, fix: Fix, attempt: Attempt) -> dict[str, bytes]:
    """All manifests that are otherwise than they are committed, with the package at its new version."""
    files = {path: one.raw for path, one in bench.base_files().items()}
    changed = {path: text.encode() for path, text in fix.files.items()}
    old = next((one.new for one in fix.taken if one.package == attempt.package), attempt.old)
    steps = {**attempt.moved, attempt.package: (old, attempt.new)}
    return changed | bumped(files | changed, steps, {wheel.name: wheel for wheel in attempt.wheels})


def _changed_pins(bench: Bench, fix: Fix, attempt: Attempt) -> list[str]:
    """The manifests that are not what they were made before the model began."""
    now = {path: one.raw for path, one in bench.files().items()}
    return [path for path, raw in _manifests(bench, fix, attempt).items() if now.get(path) != raw]


def _put_back(bench: Bench, fix: Fix) -> None:
    """Make the copy what the ladder left."""
    bench.reset()
    base = bench.files()
    for path, text in fix.files.items():
        bench.copy.write(path, Version(text.encode(), base[path].executable))
