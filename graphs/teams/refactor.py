"""The refactor team: a repository in units, each changed in a copy of its own, merged layer by layer, one patch set.

What is worked on are parts: a unit of a layer, by each codemod or by a model, and after them the merge of that layer.
The units of a layer are worked on side by side, and begin with what was merged of the layers below. What is handed on
from part to part are patches, kept by digest, so that a run goes on after any part. The file is longer than most, as
input, parts, merge and review of a run are read in one place.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any, Final

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents import (
    Agent,
    Artifact,
    Baseline,
    Change,
    CodeWork,
    Row,
    Task,
    coder,
    item_by_item,
    ready,
    run_codemod,
    tester,
)
from signoff.agents.artifacts import Check
from signoff.agents.errors import NO_WORKER, RepositoryUnusable, WorkFailed
from signoff.agents.models import Tiers, models_of
from signoff.graphs.policy.policy import Policy
from signoff.graphs.team import Team
from signoff.graphs.teams.entries import entries_of
from signoff.graphs.teams.repositories import Commands, Repositories, RepositoryInput
from signoff.settings import Settings, load_settings
from signoff.tools import Proposal
from signoff.tools.errors import FileRefused
from signoff.tools.files import Version, apply_patch, changes_between, count_lines, make_patch
from signoff.tools.git.refactoring import FILES, RepositoryUnits, UnitWork, fill_in, find_units, merge_in_order, patched
from signoff.tools.sandbox import Bench
from signoff.wording import counted

_WHOLE: Final = "the whole repository"
_TOLD: Final = 20
"""Units that a sentence names."""

Files = Mapping[str, Version]


class RefactorInput(RepositoryInput):
    """Refactor a repository unit by unit, in parallel copies; what holds together is proposed as one patch set."""

    codemod: Commands = Field(
        (), repr=False, description="A command that changes files: {files} in it are those of a unit. Without, a model."
    )
    unit_check: Commands = Field(
        (),
        repr=False,
        description="What must pass for each unit, instead of --check; {files} and {tests} are its.",
    )
    goal_check: Commands = Field(
        (),
        repr=False,
        description="What must pass of the whole in the end, such as a search for the old pattern.",
    )
    files: tuple[str, ...] = Field(
        (), description="Which files: paths, folders or patterns like 'src/*.py'; without, the language's own."
    )
    lines: int = Field(
        2_000, gt=0, repr=False, description="Lines that a unit has at most; a circle of imports may have more."
    )
    partly: bool = Field(False, repr=False, description="Propose what is done although some units are not.")


class CodeMap(Artifact):
    """The repository in units."""

    parts: RepositoryUnits

    def brief(self) -> str:
        return str(self.parts)


class Part(BaseModel, frozen=True):
    """One piece of the work: a unit, or the merge of what was made of a layer."""

    name: str
    layer: int
    after: tuple[str, ...]
    """Names of the parts that it goes on from: a unit from the merge below, a merge from its units too."""
    files: tuple[str, ...]
    tests: tuple[str, ...] = ()
    codemod: str = ""
    merges: bool = False


class Merge(BaseModel):
    """What came of a merge, kept by its digest."""

    patch: str = ""
    """Digest under which the patch of the repository is kept."""
    again: tuple[str, ...] = ()
    """Units whose work was applied again, on what was merged before it."""
    returned: Mapping[str, str] = Field(default_factory=dict)
    """Units that are not merged, and why."""


class UnitResult(BaseModel):
    """What became of one unit."""

    name: str
    layer: int
    status: str = Field(description="done, unchanged, applied again, or not done")
    why: str = ""
    files: tuple[str, ...] = ()


class Units(Artifact):
    """What became of each unit, and the tree of all that were merged."""

    results: tuple[UnitResult, ...]
    patch: str = Field(default="", description="Digest under which the patch of the repository is kept")

    @property
    def left(self) -> tuple[str, ...]:
        """The units that are not done, each with its reason."""
        return tuple(f"{one.name}: {one.why}" for one in self.results if one.status == "not done")

    @property
    def tally(self) -> str:
        """How many there are of each, and what is wrong with those that are not done."""
        count = Counter(one.status for one in self.results)
        each = ", ".join(f"{number} {status}" for status, number in sorted(count.items()))
        return " ".join((f"{counted(len(self.results), 'unit')}: {each}.", *(f"{one}." for one in self.left[:_TOLD])))

    def brief(self) -> str:
        return self.tally


class Refactoring(Change):
    """The patch set, its review by code, and why it is not proposed if it is not."""

    review: tuple[Check, ...] = ()

    def brief(self) -> str:
        lines = (f"- {'passed' if one.passed else 'FAILED'}: {one.name}. {one.detail}".rstrip() for one in self.review)
        return "\n".join((super().brief(), *lines))


@dataclass(frozen=True)
class _Work:
    """What the agents do, with the settings and the repository of each run."""

    repositories: Repositories
    has_model: bool

    # The map

    def look(self, task: Task) -> CodeWork:
        """All that must hold of the whole, to be run before any edit."""
        given: RefactorInput = task.input
        if not self.has_model and not given.codemod:
            raise RepositoryUnusable(given.repo, NO_WORKER)
        return CodeWork(bench=self._whole(task))

    def map(self, task: Task) -> CodeMap:
        """The units; one of all files where a command says by itself what it changes."""
        given, bench = task.input, ready(self.repositories.bench(task.input))
        files = {path: version.raw for path, version in bench.base_files().items()}
        alone = any(FILES not in command for command in given.codemod)
        most = sum(map(len, files.values())) + len(files) if alone else given.lines
        found = find_units(files, most=most, wanted=given.files, protected=bench.protected)
        if not found.units:
            what = f"fits {', '.join(given.files)}" if given.files else "is text, and no test, CI or lock file"
            raise RepositoryUnusable(given.repo, f"no file {what}. Say which are meant: --files 'src/*.py'")
        if alone:
            task.say(f"a codemod does not name {FILES}, so it is run once, over all of them")
            found = found.model_copy(update={"units": (found.units[0].model_copy(update={"name": _WHOLE}),)})
        task.say(str(found))
        if found.unread:
            task.say(f"no imports can be read of {', '.join(found.unread[:5])}")
        return CodeMap(parts=found)

    # The parts

    def parts(self, task: Task) -> list[Part]:
        """Each unit of a layer with each codemod, and the merge of the layer."""
        given, found, parts = task.input, task.need(CodeMap).parts, list[Part]()
        for layer, units in groupby(found.units, key=lambda unit: unit.layer):
            listed, below = [*units], tuple(one.name for one in parts[-1:])
            for number, codemod in enumerate(given.codemod or ("",), 1):
                which = f", codemod {number}" if len(given.codemod) > 1 else ""
                parts += [
                    Part(
                        name=f"{unit.name}{which}",
                        layer=layer,
                        after=below,
                        files=unit.files,
                        tests=unit.tests,
                        codemod=fill_in(codemod, unit.files, unit.tests),
                    )
                    for unit in listed
                ]
            own = tuple(part.name for part in parts if part.layer == layer)
            merge = f"merge of layer {layer + 1}"
            parts.append(Part(name=merge, layer=layer, after=(*below, *own), files=(), merges=True))
        return parts

    def unit(self, task: Task) -> CodeWork:
        """The copy of one unit, which begins with what is merged of the layers below."""
        part, given = task.item, task.input
        by_model = not part.codemod and not given.agent
        return self.repositories.work(
            given,
            part.codemod,
            part=part.name,
            checks=tuple(fill_in(one, part.files, part.tests) for one in given.unit_check or given.check),
            start=self._merged(task.rows),
            within=frozenset(part.files) if by_model else None,
            may_rest=True,
        )

    def tell(self, task: Task) -> str:
        part: Part = task.item
        tests = f" Tests that reach it: {', '.join(part.tests[:_TOLD])}." if part.tests else ""
        return f"Your unit, of a refactoring that others do beside you: {', '.join(part.files)}.{tests}\n\n"

    def keep(self, change: Change) -> Change:
        """The same with its patch where the state does not have to carry it."""
        kept = self._kept(change.patch) if change.done else change.kept
        return change.model_copy(update={"kept": kept, "patch": "", "proof": None})

    def merge(self, task: Task) -> Change:
        """The tree with what was made in the layer, held against what the checks showed before any edit."""
        given, bench = task.input, self._whole(task, goal=False)
        rows = {row.item.name: row for row in task.rows if not row.item.merges}
        base = bench.base_files()
        start = self._merged(task.rows)(base)
        works = [
            UnitWork(name, apply_patch(self._patch(row.gave.kept), start.get, exact=True))
            for name, row in rows.items()
            if row.gave is not None and row.gave.done and row.gave.kept
        ]

        def again(name: str, files: Files, conflicts: Sequence[str]) -> Files | str:
            item: Part = rows[name].item
            if not item.codemod:
                return "what a model did is not done again by itself"
            where = f"{counted(len(conflicts), 'file')} ({', '.join(conflicts[:5])})"
            task.say(f"{name} conflicts in {where}, so it is applied again on what was merged before it")
            other = self.repositories.bench(given, part=f"{name}, again", start=lambda _copied: files)
            other.reset()
            made = run_codemod(other, item.codemod, task.say)
            return other.files() if made.done else made.why

        def problems(files: Files) -> Sequence[str]:
            return bench.problems(task.say, files) if works else ()

        merged = merge_in_order(start, works, again=again, problems=problems)
        for name, why in merged.returned.items():
            task.say(f"returns {name}: {why}")
        for name in rows:
            for which in (name, f"{name}, again"):
                self.repositories.bench(given, part=which).project.workspaces.drop()
        changes = changes_between(base, merged.files)
        made = Merge(patch=self._kept(make_patch(changes)), again=merged.again, returned=merged.returned)
        told = f"{len(works) - len(merged.returned)} of {len(rows)} merged."
        return Change(done=True, kept=self._kept(made.model_dump_json()), summary=told)

    def join(self, rows: Sequence[Row[Change]], _task: Task) -> Units:
        merges = self._merges(rows)
        unmerged = {row.item.layer: row.problem for row in rows if row.item.merges}
        results = []
        for row in rows:
            if row.item.merges:
                continue
            merge = merges.get(row.item.layer, Merge())
            why = row.problem if row.gave is None else "" if row.gave.done else row.gave.why
            why = why or merge.returned.get(row.name, "") or unmerged[row.item.layer]
            changed = row.gave.files if row.gave is not None else ()
            done = "applied again" if row.name in merge.again else "done" if changed else "unchanged"
            status = "not done" if why or row.gave is None else done
            results.append(UnitResult(name=row.name, layer=row.item.layer + 1, status=status, why=why, files=changed))
        return Units(results=tuple(results), patch=_latest(merges))

    # The review

    def review(self, task: Task) -> Refactoring:
        """The merged tree as a whole: what all checks show of it, the goal's own too, and what may be in it at all."""
        given, units, bench = task.input, task.need(Units), self._whole(task)
        if not (patch := self._patch(units.patch)):
            return Refactoring(done=False, why="; ".join(units.left) or "nothing was changed", summary=units.tally)
        task.say("looks at the whole")
        base = bench.base_files()
        files = patched(patch)(base)
        missing = len(task.need(CodeMap).parts.units) * max(1, len(given.codemod)) - len(units.results)
        checks = [Check(name="All units are accounted for", passed=not missing)]
        problems = self._whole(task, goal=False).problems(task.say, files)
        held = "The checks pass, no test is lost, and tests, CI and lock files are as they were"
        checks.append(Check(name=held, passed=not problems, detail="; ".join(problems)))
        proof, at = bench.prove(task.say, files), len(given.check)
        for old, new in zip(task.need(Baseline).proof.checks[at:], proof.checks[at:], strict=True):
            told = "it passed before any edit too, so that it shows nothing" if old.passes else "it failed before"
            checks.append(Check(name=f"The goal's own check ({told}) passes: {new}", passed=new.passes))
        why = [f"not so: {one.name}: {one.detail}".rstrip(": ") for one in checks if not one.passed]
        if units.left and not given.partly:
            left = f"{len(units.left)} of {counted(len(units.results), 'unit')}"
            why.insert(0, f"{left}: {'; '.join(units.left[:_TOLD])}")
        why += [] if why else self._prepare(task, patch, proof.tree)
        come, gone = count_lines(patch)
        changed = tuple(change.path for change in changes_between(base, files))
        return Refactoring(
            done=not why,
            why="; ".join(why),
            summary=f"{units.tally} {counted(len(changed), 'file')}, {come:,} lines come, {gone:,} go.",
            files=changed,
            kept=str(bench.keep(patch)) if why else "",
            proof=proof.short(),
            review=tuple(checks),
        )

    def _prepare(self, task: Task, patch: str, tree: str) -> list[str]:
        """Make the run's copy what is proposed; why that cannot be."""
        whole = self.repositories.bench(task.input, start=patched(patch))
        whole.set_out()
        try:
            whole.copy.changes()
        except FileRefused as refused:
            return [f"it cannot be applied: {refused}"]
        return [] if whole.tree == tree else ["the copy is not what the checks ran on"]

    def propose(self, made: Refactoring, task: Task) -> list[Proposal]:
        if not made.done:
            return []
        passed = " ".join(f"{one.name}. {one.detail}".rstrip() for one in made.review)
        reason = f"{made.summary} {passed} {made.proof}. Before any edit: {task.need(Baseline).proof}"
        return self.repositories.propose(self.repositories.bench(task.input), task.input, reason)

    # Trees

    def _whole(self, task: Task, *, goal: bool = True) -> Bench:
        """A bench whose checks are about the files of all units."""
        given, found = task.input, task.artifacts.get(CodeMap.__name__)
        units = found.parts.units if isinstance(found, CodeMap) else ()
        files = [path for unit in units for path in unit.files]
        tests = sorted({path for unit in units for path in unit.tests})
        commands = (*given.check, *(given.goal_check if goal else ()))
        checks = tuple(fill_in(one, files, tests) for one in commands)
        return self.repositories.bench(given, checks=checks, may_rest=not goal)

    def _merges(self, rows: Sequence[Row[Change]]) -> dict[int, Merge]:
        """What came of the merges so far, by layer."""
        return {
            row.item.layer: Merge.model_validate_json(self._patch(row.gave.kept))
            for row in rows
            if row.item.merges and row.gave is not None
        }

    def _merged(self, rows: Sequence[Row[Change]]) -> Callable[[Files], Files]:
        """What the merge below makes of the repository."""
        if failed := [row for row in rows if row.item.merges and row.gave is None]:
            raise WorkFailed("coder", f"it goes on from the {failed[0].name}, which failed", final=True)
        return patched(self._patch(_latest(self._merges(rows))))

    def _kept(self, patch: str) -> str:
        return self.repositories.blobs.keep(patch.encode("utf-8", "surrogateescape")) if patch else ""

    def _patch(self, blob: str) -> str:
        return self.repositories.blobs.read(blob).decode("utf-8", "surrogateescape") if blob else ""


def _latest(merges: Mapping[int, Merge]) -> str:
    """Digest of the patch that the highest of these merges made; empty if there is none."""
    return merges[max(merges)].patch if merges else ""


def refactor_team(*, model: BaseChatModel | Tiers | str | None = None, settings: Settings | None = None) -> Team:
    """Mapper, tester, coder and reviewer of the repository that a run is given (`RefactorInput`).

    `model` is a chat model, models by tier, a name, or None for what the settings choose; a codemod needs none.
    """
    settings = settings or load_settings()
    name, models = models_of(model, settings)
    repositories = Repositories(settings)
    work = _Work(repositories, has_model=models is not None)
    lookups, refresh = repositories.documentation()
    one = coder(work.unit, model=models, tools=lookups, refresh=refresh)
    return Team(
        name="refactor",
        input=RefactorInput,
        agents=[
            Agent(role="mapper", gives=CodeMap, function=work.map),
            replace(tester(work.look), needs=(CodeMap,)),
            replace(_by_parts(one, work), tier="" if models is None else models.nearest("smart")),
            Agent(
                role="reviewer",
                needs=(Baseline, CodeMap, Units),
                gives=Refactoring,
                function=work.review,
                actions=repositories.actions,
                propose=work.propose,
            ),
        ],
        policy=Policy({action.name: "ask" for action in repositories.actions}),
        options={"model": name},
    )


def _by_parts(one: Agent[Change], work: _Work) -> Agent[Units]:
    """The coder, at each part."""
    found: Any = item_by_item(
        one,
        items=work.parts,
        of=Part,
        gives=Units,
        join=work.join,
        needs=(Baseline, CodeMap),
        after=lambda part: tuple(part.after),
    )
    each, opening, asks_model = found.each, found.opening, found.asks_model
    by_parts: Agent[Units] = replace(
        found,
        asks_model=lambda task: not task.item.merges and asks_model(task),
        opening=lambda task: f"{work.tell(task)}{opening(task)}",
        limits=replace(one.limits, width=max(2, min(6, os.cpu_count() or 2))),
        each=replace(
            each,
            function=lambda task: work.merge(task) if task.item.merges else each.function(task),
            check=lambda change, task: change if task.item.merges else work.keep(each.check(change, task)),
        ),
    )
    return by_parts


build, rebuild, graph, build_graph = entries_of(refactor_team)
