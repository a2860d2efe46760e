"""The remediation team: known vulnerabilities in many repositories, mended by a ladder, proven, and proposed.

Nothing is believed: what is proposed was tested and scanned anew, and its text is made of that evidence by code. It is
longer than most, as the steps of one team stand together, and an input of many fields.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from langchain_core.language_models import BaseChatModel
from packaging.requirements import InvalidRequirement, Requirement
from pydantic import AfterValidator, BaseModel, Field

from signoff.agents import (
    Adapted,
    Agent,
    Artifact,
    Attempt,
    Case,
    Cases,
    Draft,
    Each,
    Fix,
    Fixes,
    Ladder,
    Limits,
    Outcome,
    Records,
    ReleaseSources,
    Rescans,
    Row,
    Scan,
    Scans,
    Task,
    Tests,
    Verified,
    adapter,
    choose_checks,
    outcomes_of,
    pull_text,
    pull_title,
    reason_of,
    refusals,
    scan,
    summary,
    verify,
    wanted_by,
)
from signoff.agents.errors import RepositoryUnusable, WorkFailed
from signoff.agents.models import Tiers, models_of
from signoff.graphs.input_types import FileToWrite, Folder, Positional
from signoff.graphs.policy.policy import Policy
from signoff.graphs.team import Team
from signoff.graphs.teams.entries import entries_of
from signoff.graphs.teams.repositories import is_repository, limits_of
from signoff.settings import Settings, load_settings
from signoff.tools import Action, Attachment, Proposal, Publication, publish_report
from signoff.tools.advisories import NONE, OSV, AdvisorySet, Wheelhouse, ask, find_judge, open_set, read_manifests
from signoff.tools.broker import open_broker
from signoff.tools.errors import AdvisoriesUnusable, JudgeMissing, SandboxMissing, ToolError
from signoff.tools.files import Project, apply_to_project, keep_changes
from signoff.tools.git import GitHub, address_of, on_github, open_any_pull_request, pull_of, uncommitted
from signoff.tools.sandbox import Bench, tree_of
from signoff.tools.storage import Blobs, Workspaces

_OSV: Final = "osv"
Forge = Callable[[str], GitHub | None]
"""Which repository on GitHub a remote's address means; None if it is none."""


def _repositories(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(is_repository(str(Path(one).expanduser().resolve())) for one in given))


def _records(given: str) -> str:
    if given == _OSV or "://" in given:
        return given
    folder = Path(given).expanduser().absolute()
    if not folder.is_dir():
        raise ValueError(f"there is no folder {given!r}. Give one of records in OSV's format, or 'osv' to ask {OSV}")
    return str(folder)


def _requirements(given: tuple[str, ...]) -> tuple[str, ...]:
    for one in given:
        try:
            Requirement(one)
        except InvalidRequirement:
            raise ValueError(f"{one!r} is not as pip takes it, such as 'pytest<8'") from None
    return given


def _judge(given: str) -> str:
    if given != NONE:
        try:
            find_judge(given)
        except JudgeMissing as error:
            raise ValueError(str(error).rstrip(".")) from error
    return given


class RemediationInput(BaseModel):
    """Find known vulnerabilities in what repositories pin, and propose what tests and a new scan bear out."""

    goal: str = "Mend the known vulnerabilities"
    repos: Annotated[tuple[str, ...], AfterValidator(_repositories), Positional("REPO...")] = Field(
        min_length=1, max_length=1000, repr=False, description="A git repository. Work begins at its last commit."
    )
    advisories: Annotated[str, AfterValidator(_records)] = Field(
        repr=False,
        description="Folder of records in OSV's format, JSON or YAML; 'osv', or the address of such a server.",
    )
    pr: Literal["patch", "github", "bare"] = Field(
        "patch", repr=False, description="Propose patches, or pull requests: on GitHub, or in a bare repository."
    )
    remote: str = Field("origin", repr=False, description="Where these go: a remote's name, or an address.")
    check: tuple[str, ...] = Field(
        (), repr=False, description="A command line that must pass as before; without, the tests that are found."
    )
    install: tuple[str, ...] = Field(
        (), repr=False, description="A manifest of the repository that its tests need; without, all of them."
    )
    tool: Annotated[tuple[str, ...], AfterValidator(_requirements)] = Field(
        (), repr=False, description="What else the tests need, such as 'pytest<8'."
    )
    wheels: tuple[Folder, ...] = Field(
        (), repr=False, description="Folder of wheels, and of source distributions whose tests are run."
    )
    offline: bool = Field(False, repr=False, description="Fetch no packages: the folders of wheels have to have all.")
    judge: Annotated[str, AfterValidator(_judge)] = Field(
        "pip-audit",
        validate_default=True,
        repr=False,
        description="Command that scans a second time; 'none' goes without.",
    )
    minutes: float = Field(10.0, repr=False, gt=0, le=24 * 60, description="How long the tests of one may take.")
    out: FileToWrite = Field("remediation.md", repr=False, description="File for the summary: .md, .html or .docx.")


@dataclass(frozen=True)
class _Desk:
    """What the agents do."""

    settings: Settings
    apply: Action[Any]
    open: Action[Any]
    publish: Action[Publication]
    blobs: Blobs
    github: Forge | None = None

    # What there is

    def project(self, repo: str) -> Project:
        return Project(repo, workspaces=Workspaces(self.settings.home, part=repo))

    def bench(self, repo: str, task: Task, *, before: str = "", now: str = "", checks: Sequence[str] = ()) -> Bench:
        given: RemediationInput = task.input
        return Bench(
            project=self.project(repo),
            checks=tuple(checks),
            environment=Path(now or before) if now or before else None,
            environment_before=Path(before) if before else None,
            limits=limits_of(given.minutes),
            may_fail=True,
            sandbox=self.settings.sandbox,
        )

    def wheelhouse(self, task: Task) -> Wheelhouse:
        folders = [Path(one) for one in task.input.wheels]
        return Wheelhouse(Path(self.settings.home).absolute() / "wheels", folders, fetches=not task.input.offline)

    def records(self, task: Task) -> AdvisorySet:
        return open_set(self.blobs.read(task.need(Records).sha256))

    # The steps

    def collect(self, task: Task) -> Records:
        """The records, kept whole: every later scan is compared with just these."""
        given: RemediationInput = task.input
        try:
            _ = self.bench(given.repos[0], task).backend
        except SandboxMissing as error:
            raise RepositoryUnusable(given.repos[0], str(error).rstrip(".")) from error
        try:
            if given.advisories == _OSV or "://" in given.advisories:
                names = {pin.name for repo in given.repos for pin in self._pins(repo, task)}
                found = ask(OSV if given.advisories == _OSV else given.advisories, names)
            else:
                found = AdvisorySet.read(Path(given.advisories))
        except AdvisoriesUnusable as error:
            raise WorkFailed("librarian", str(error).rstrip("."), final=True) from error
        return Records(sha256=self.blobs.keep(found.raw), count=len(found.records), source=given.advisories)

    def _pins(self, repo: str, task: Task) -> Iterable[Any]:
        try:
            files = self.bench(repo, task).files()
        except ToolError as error:
            task.say(f"{repo}: {error}")
            return ()
        return [pin for manifest in read_manifests(_raw(files)) for pin in manifest.pins]

    def scan(self, task: Task) -> Scan:
        """One repository as it is committed."""
        repo, bench, advisories = task.item, self.bench(task.item, task), self.records(task)
        try:
            files, changed = bench.base_files(), uncommitted(Path(repo))
        except ToolError as error:
            return Scan(repo=repo, tree="", advisories=advisories.digest, problem=str(error).rstrip("."))
        if changed:
            told = f"it has changes that are not committed ({', '.join(changed[:5])}). Commit or stash them"
            return Scan(repo=repo, tree=bench.base_tree, advisories=advisories.digest, problem=told)
        return scan(repo, bench.base_tree, _raw(files), advisories, task.input.judge)

    def verify(self, task: Task) -> Verified:
        found, given = _of(task.need(Scans).rows, task.item), task.input
        files = _raw(self.bench(task.item, task).base_files())
        checks = choose_checks(files, found.pins, given.check, given.tool)
        wanted = wanted_by(found.manifests, given.install, given.tool, checks)
        bench = self.bench(task.item, task, checks=checks)
        return verify(found, wanted, checks, bench, self.wheelhouse(task), task.say)

    def fix(self, task: Task) -> Fix:
        found, verified = _of(task.need(Scans).rows, task.item), _of(task.need(Tests).rows, task.item)
        return Ladder(
            scan=found,
            verified=verified,
            bench=self.bench(task.item, task, before=verified.environment, checks=verified.checks),
            advisories=self.records(task),
            wheelhouse=self.wheelhouse(task),
            sources=ReleaseSources(tuple(Path(one) for one in task.input.wheels)),
            say=task.say,
        ).climb()

    def adapting(self, task: Task, attempt: Attempt) -> Bench:
        verified = _of(task.need(Tests).rows, task.item)
        return self.bench(task.item, task, before=verified.environment, now=attempt.environment, checks=verified.checks)

    def rescan(self, task: Task) -> Scan:
        """What was made of one, from its files alone."""
        return self._scan_now(task.item, task, task.input.judge)

    def _scan_now(self, repo: str, task: Task, judge: str) -> Scan:
        files = self.bench(repo, task).files()
        return scan(repo, tree_of(files), _raw(files), self.records(task), judge)

    def conclude(self, task: Task) -> Cases:
        """All that is known of each, and what of it the evidence does not bear out."""
        scans, tests, fixes, rescans = task.need(Scans), task.need(Tests), task.need(Fixes), task.need(Rescans)
        rows, adapted, changed = list[Case](), _adapted(task), _fixes(task)
        for repo in task.input.repos:
            lost = (scans.failed, tests.failed, fixes.failed, rescans.failed)
            failed = [one[repo] for one in lost if repo in one]
            fix = _find(changed, repo)
            case = Case(
                repo=repo,
                before=_find(scans.rows, repo),
                verified=_find(tests.rows, repo),
                fix=fix,
                adapted=adapted.files(fix) if fix is not None else (),
                after=_find(rescans.rows, repo),
                problem="; ".join(failed),
            )
            rows.append(case.model_copy(update={"refused": self._refused(case, task)}))
            task.say(f"{repo}: {rows[-1].brief()}")
        return Cases(rows=tuple(sorted(rows, key=lambda one: -one.urgency)))

    def _refused(self, case: Case, task: Task) -> tuple[str, ...]:
        fix = case.fix
        if case.before is None or case.verified is None or fix is None or case.after is None or not fix.is_changed:
            return ()
        if lost := self._unreachable(case.repo, task):
            return lost
        bench = self.bench(
            case.repo, task, before=case.verified.environment, now=fix.environment, checks=case.verified.checks
        )
        return refusals(case, bench, self._scan_now(case.repo, task, NONE), task.say)

    def _repository(self, address: str) -> str:
        """`owner/name` of an address on GitHub; empty if it is elsewhere."""
        forge = self.github(address) if self.github is not None else None
        return forge.repository if forge is not None else on_github(address)

    def _unreachable(self, repo: str, task: Task) -> tuple[str, ...]:
        """Why no pull request can be opened there; empty if one can."""
        given: RemediationInput = task.input
        try:
            address = "" if given.pr == "patch" else address_of(self.project(repo), given.remote)
        except ToolError as error:
            return (str(error).rstrip("."),)
        if not address or bool(self._repository(address)) == (given.pr == "github"):
            return ()
        told = "is not on GitHub: --pr bare" if given.pr == "github" else "is on GitHub: --pr github"
        return (f"its remote {address!r} {told}",)

    def propose(self, found: Cases, task: Task) -> list[Proposal]:
        """What can be proposed, the most urgent first."""
        made, said = list[Proposal](), {str(one.args["folder"]) for one in self.said(task) if one.is_settled}
        for case in found.rows:
            if not case.is_proposed or case.repo in said:
                continue
            project, reason = self.project(case.repo), reason_of(case)
            if task.input.pr != "patch":
                where = self._repository(address_of(project, task.input.remote))
                asked = pull_of(project, case.branch, pull_title(case), pull_text(case), task.input.remote, where)
                made.append(self.open.propose(asked, reason))
            elif (kept := keep_changes(project.copy(), self.blobs)) is not None:
                made.append(self.apply.propose(kept, reason))
        return made

    def summarize(self, task: Task) -> Draft:
        return Draft(
            title="Remediation", markdown=summary(task.need(Cases).rows, self.results(task)), method="extracted"
        )

    def results(self, task: Task) -> dict[str, str]:
        """What came of what was proposed, by repository."""
        told = {"done": "applied", "skipped": "not called, in a dry run"}
        return {
            str(one.args["folder"]): str(
                one.result.get("url") or one.result.get("branch") or told.get(one.status, one.status)
            )
            for one in self.said(task)
        }

    def said(self, task: Task) -> list[Outcome]:
        """What became of every change that was proposed, in the order in which it was."""
        return [one for action in (self.apply, self.open) for one in outcomes_of(task, action)]

    def sign_off(self, draft: Draft, task: Task) -> list[Proposal]:
        """The summary, with the evidence of each beside it."""
        raw = json.dumps(task.need(Cases).model_dump(mode="json"), ensure_ascii=False, indent=1).encode()
        name = f"{Path(task.input.out).stem}-evidence.json"
        attached = Attachment(name=name, sha256=self.blobs.keep(raw), bytes=len(raw))
        report = Publication(path=task.input.out, content=draft.markdown, attachments=(attached,))
        return [self.publish.propose(report, "The summary, and the evidence that it is made of.")]


def _raw(files: Mapping[str, Any]) -> dict[str, bytes]:
    return {path: version.raw for path, version in files.items()}


def _find(rows: Sequence[Any], repo: str) -> Any:
    return next((one for one in rows if one.repo == repo), None)


def _of(rows: Sequence[Any], repo: str) -> Any:
    if (found := _find(rows, repo)) is None:
        raise WorkFailed("remediation", f"nothing is known of {repo!r}", final=True)
    return found


def _joined(kind: type[Any]) -> Callable[[Sequence[Row[Any]], Task], Any]:
    def join(rows: Sequence[Row[Any]], _task: Task) -> Any:
        failed = {str(row.item): row.problem for row in rows if row.gave is None}
        return kind(rows=tuple(row.gave for row in rows if row.gave is not None), failed=failed)

    return join


def remediation_team(
    *, model: BaseChatModel | Tiers | str | None = None, settings: Settings | None = None, github: Forge | None = None
) -> Team:
    """Librarian, scanner, verifier, fixer, rescanner, clerk and reporter over the repositories that a run is given.

    `github` says which repository a remote's address means, where that is not on github.com.
    """
    settings = settings or load_settings()
    name, models = models_of(model, settings)
    workspaces = Workspaces(settings.home)
    apply = apply_to_project(workspaces=workspaces)
    pull = open_any_pull_request(lambda folder: Workspaces(settings.home, part=folder), open_broker(settings), github)
    blobs = Blobs(settings.home)
    publish = publish_report(blobs=blobs)
    desk = _Desk(settings, apply, pull, publish, blobs, github)
    return Team(
        name="remediation",
        input=RemediationInput,
        agents=_agents(desk, models),
        policy=Policy({action.name: "ask" for action in (apply, pull, publish)}),
        options={"model": name},
    )


def _agents(desk: _Desk, models: Tiers | None) -> list[Agent[Any]]:
    limits, coding = Limits(width=4), list[Agent[Any]]()
    if models is not None:
        needs = (Scans, Tests, Fixes)
        made = adapter(lambda task: task.need(Fixes).rows, desk.adapting, model=models, needs=needs)
        coding = [replace(made, tier=models.nearest("smart"))]
    more: tuple[type[Artifact], ...] = (Adapted,) if coding else ()

    def each(
        role: str, kind: type[Any], of: type[Any], work: Any, items: Any, needs: tuple[type[Artifact], ...]
    ) -> Agent[Any]:
        step = Each(items=items, gives=of, function=work, join=_joined(kind))
        return Agent(role=role, needs=needs, gives=kind, each=step, limits=limits)

    everything = (Records, Scans, Tests, Fixes, Rescans)
    return [
        Agent(role="librarian", gives=Records, function=desk.collect),
        each("scanner", Scans, Scan, desk.scan, lambda task: task.input.repos, (Records,)),
        each("verifier", Tests, Verified, desk.verify, _with_findings, (Scans,)),
        each("fixer", Fixes, Fix, desk.fix, _testable, (Records, Scans, Tests)),
        *coding,
        each("rescanner", Rescans, Scan, desk.rescan, _changed, (Records, Fixes, *more)),
        Agent(
            role="clerk",
            needs=(*everything, *more),
            gives=Cases,
            function=desk.conclude,
            actions=(desk.apply, desk.open),
            propose=desk.propose,
        ),
        Agent(
            role="reporter",
            needs=(Cases,),
            gives=Draft,
            function=desk.summarize,
            actions=(desk.publish,),
            propose=desk.sign_off,
        ),
    ]


def _with_findings(task: Task) -> list[str]:
    """The repositories with findings, the most urgent first."""
    rows = [one for one in task.need(Scans).rows if one.findings]
    return [one.repo for one in sorted(rows, key=lambda one: -Case(repo=one.repo, before=one).urgency)]


def _testable(task: Task) -> list[str]:
    known = {one.repo for one in task.need(Tests).rows if not one.problem}
    return [repo for repo in _with_findings(task) if repo in known]


def _changed(task: Task) -> list[str]:
    return [one.repo for one in _fixes(task) if one.is_changed]


def _fixes(task: Task) -> list[Fix]:
    """What was changed, with what the coding agent adapted."""
    adapted = _adapted(task)
    return [adapted.applied(one) for one in task.need(Fixes).rows]


def _adapted(task: Task) -> Adapted:
    """Of nothing where no coding agent is in the team, or nothing was left to it."""
    found = task.artifacts.get(Adapted.__name__)
    return found if isinstance(found, Adapted) else Adapted()


build, rebuild, graph, build_graph = entries_of(remediation_team)
