"""The code team: a coding agent on a copy of a repository, checks that code runs, a patch or branch to sign off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

from langchain_core.language_models import BaseChatModel
from pydantic import AfterValidator, BaseModel, Field, model_validator

from signoff.agents import Baseline, Change, CodeWork, Task, coder, tester
from signoff.agents.errors import RepositoryUnusable
from signoff.agents.models import Tiers, models_of
from signoff.graphs.input_types import Folder
from signoff.graphs.policy.policy import Policy
from signoff.graphs.team import Builder, Team
from signoff.settings import Settings, load_settings
from signoff.tools import Proposal, Tool
from signoff.tools.broker import open_broker
from signoff.tools.files import Project, apply_to_project, keep_changes
from signoff.tools.git import branch_of, push_any_branch
from signoff.tools.sandbox import LIMITS, Bench, find_environment
from signoff.tools.search import Sources, search_tools
from signoff.tools.storage import Blobs, Workspaces
from signoff.tools.web import web_of, web_tools

_GIVEN: Final = "/given"
"""Where files are that commands may read, inside of the sandbox."""


def _is_repository(folder: str) -> str:
    place = Path(folder)
    if (place / ".git").exists():
        return folder
    above = next((one for one in place.parents if (one / ".git").exists()), None)
    hint = f"name the whole one, {str(above)!r}" if above else "run in it: git init && git add . && git commit -m first"
    raise ValueError(f"it is not a git repository; {hint}")


def _there(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not Path(name).expanduser().exists():
            raise ValueError(f"there is no {name!r}")
    return tuple(str(Path(name).expanduser().resolve()) for name in names)


def _said(commands: tuple[str, ...]) -> tuple[str, ...]:
    if not all(command.strip() for command in commands):
        raise ValueError("it is empty: give a command line, such as 'pytest -q'")
    return commands


class CodeInput(BaseModel):
    """Change the code of a repository, in a copy, until its checks pass; what comes of it is proposed to you."""

    goal: str = Field(description="What is to be changed, such as 'Make add() take floats'")
    repo: Annotated[Folder, AfterValidator(_is_repository)] = Field(
        repr=False, description="The git repository. Work begins at its last commit."
    )
    check: Annotated[tuple[str, ...], AfterValidator(_said)] = Field(
        min_length=1, repr=False, description="A command line that must pass, such as 'pytest -q', run in a sandbox."
    )
    codemod: str = Field("", repr=False, description="A command that makes the change, instead of a model.")
    agent: str = Field("", repr=False, description="Command of another coding agent, instead of ours: docs/coding.md.")
    agent_env: Folder = Field("", repr=False, description="Virtual environment that this agent is installed in.")
    may_edit: tuple[str, ...] = Field(
        (), description="A test, CI or lock file that may be changed: a path, a folder, or a pattern like 'tests/*'."
    )
    allow_failing: bool = Field(False, repr=False, description="Tests that fail before any edit may go on failing.")
    env: Folder = Field(
        "",
        repr=False,
        description="Virtual environment of the checks; without, .venv in the repository, or the active one.",
    )
    give: Annotated[tuple[str, ...], AfterValidator(_there)] = Field(
        (), repr=False, description="A file or folder that commands may read, as /given/NAME."
    )
    minutes: float = Field(10.0, repr=False, gt=0, le=24 * 60, description="How long one command may take.")
    branch: str = Field(
        "", repr=False, description="Propose a new branch of this name, not a patch of the working tree."
    )
    remote: str = Field(
        "", repr=False, description="Where the branch goes: a remote's name or address; without, the repository."
    )

    @model_validator(mode="after")
    def _fits(self) -> CodeInput:
        if self.codemod and self.agent:
            raise ValueError("a codemod and an agent are given. Let one of them do the work")
        if self.remote and not self.branch:
            raise ValueError("a remote is given, and no branch to push there. Name one with --branch")
        if not self.env and (found := find_environment(Path(self.repo))) is not None:
            self.env = str(found)  # kept with the run, so that it goes on with the same
        return self


def code_team(*, model: BaseChatModel | Tiers | str | None = None, settings: Settings | None = None) -> Team:
    """Tester and coder over the repository that a run is given (`CodeInput`).

    `model` is a chat model, models by tier, a name, or None for what the settings choose; a codemod needs none.
    """
    settings = settings or load_settings()
    name, models = models_of(model, settings)
    workspaces = Workspaces(settings.home)
    apply, push = apply_to_project(workspaces=workspaces), push_any_branch(workspaces, open_broker(settings))

    def work(task: Task) -> CodeWork:
        given: CodeInput = task.input
        if models is None and not given.codemod:
            raise RepositoryUnusable(given.repo, "there is nothing to do the work: name a --model, or a --codemod CMD")
        seconds = given.minutes * 60
        bench = Bench(
            project=Project(given.repo, workspaces=workspaces),
            checks=given.check,
            may_edit=given.may_edit,
            environment=Path(given.env) if given.env else None,
            given={f"{_GIVEN}/{Path(one).name}": Path(one) for one in given.give},
            limits=replace(LIMITS, seconds=seconds, cpu_seconds=int(seconds) + 1),
            may_fail=given.allow_failing,
            sandbox=settings.sandbox,
        )
        own = Path(given.agent_env) if given.agent_env else None
        return CodeWork(bench=bench, codemod=given.codemod, program=given.agent, program_environment=own)

    def propose(change: Change, task: Task) -> list[Proposal]:
        given: CodeInput = task.input
        project, before = work(task).bench.project, task.need(Baseline).proof
        reason = f"{change.summary.strip()} {change.proof}. Before any edit: {before}".strip()
        if given.branch:
            message = f"{task.goal.splitlines()[0][:72]}\n\n{reason}"
            made = branch_of(project, given.branch, message, given.remote)
            return [push.propose(made, reason)]
        kept = keep_changes(project.copy(), Blobs(settings.home))
        return [] if kept is None else [apply.propose(kept, reason)]

    lookups, refresh = _documentation(settings)
    coding = coder(
        work, model=models, tools=lookups, needs=(Baseline,), actions=(push, apply), propose=propose, refresh=refresh
    )
    strong = "" if models is None else models.nearest("smart")
    return Team(
        name="code",
        input=CodeInput,
        agents=[tester(work), replace(coding, tier=strong)],
        policy=Policy({apply.name: "ask", push.name: "ask"}),
        options={"model": name},
    )


def _documentation(settings: Settings) -> tuple[tuple[Tool, ...], Callable[[], object] | None]:
    """Tools to look things up, in the web and in the documents of the settings; and what brings these up to date."""
    web = web_of(settings)
    pages = web_tools(web) if web is not None else ()
    if settings.sources is None:
        return pages, None
    sources = Sources.open(settings.sources, home=settings.home, max_file_mb=settings.max_file_mb)
    return (*search_tools(sources), *pages), sources.refresh


def build(settings: Settings) -> Team:
    """The team by the settings, for a new run."""
    return code_team(settings=settings)


def rebuild(options: Mapping[str, Any], settings: Settings) -> Team:
    """The team of an earlier run; a model that was given as an object is chosen anew by the settings."""
    return code_team(model=str(options["model"]) or None, settings=settings)


async def graph() -> Builder:
    """The team for LangGraph Server, which must not be kept waiting while settings are read."""
    return await asyncio.to_thread(build_graph)


def build_graph() -> Builder:
    """The team's graph by the settings."""
    return build(load_settings()).graph()
