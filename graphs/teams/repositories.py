"""What teams that change repositories share: what a run is given of one, and a bench, tools and proposals for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, Field, model_validator

from signoff.agents import CodeWork
from signoff.graphs.input_types import Folder
from signoff.settings import Settings
from signoff.tools import Action, Proposal, Tool
from signoff.tools.broker import open_broker
from signoff.tools.files import Project, apply_to_project, keep_changes
from signoff.tools.git import branch_of, push_any_branch
from signoff.tools.sandbox import LIMITS, Bench, SandboxLimits, find_environment
from signoff.tools.search import Sources, search_tools
from signoff.tools.storage import Blobs, Workspaces
from signoff.tools.web import web_of, web_tools

_GIVEN: Final = "/given"
"""Where files are that commands may read, inside of the sandbox."""


def is_repository(folder: str) -> str:
    """The same; ValueError if it is none, or a folder in one."""
    place = Path(folder)
    if (place / ".git").exists():
        return folder
    above = next((one for one in place.parents if (one / ".git").exists()), None)
    hint = f"name the whole one, {str(above)!r}" if above else "run in it: git init && git add . && git commit -m first"
    raise ValueError(f"{folder!r} is not a git repository; {hint}")


def _there(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not Path(name).expanduser().exists():
            raise ValueError(f"there is no {name!r}")
    return tuple(str(Path(name).expanduser().resolve()) for name in names)


def _said(commands: tuple[str, ...]) -> tuple[str, ...]:
    if not all(command.strip() for command in commands):
        raise ValueError("it is empty: give a command line, such as 'pytest -q'")
    return commands


Commands = Annotated[tuple[str, ...], AfterValidator(_said)]
"""Command lines, none of them empty."""


class RepositoryInput(BaseModel):
    """A repository, what is to be changed in it, and what must hold then."""

    goal: str = Field(description="What is to be changed, such as 'Make add() take floats'")
    repo: Annotated[Folder, AfterValidator(is_repository)] = Field(
        repr=False, description="The git repository. Work begins at its last commit."
    )
    check: Commands = Field(
        min_length=1, repr=False, description="A command line that must pass, such as 'pytest -q', run in a sandbox."
    )
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
    def _fits(self) -> RepositoryInput:
        if getattr(self, "codemod", None) and self.agent:
            raise ValueError("a codemod and an agent are given. Let one of them do the work")
        if self.remote and not self.branch:
            raise ValueError("a remote is given, and no branch to push there. Name one with --branch")
        if not self.env and (found := find_environment(Path(self.repo))) is not None:
            self.env = str(found)  # kept with the run, so that it goes on with the same
        return self


def limits_of(minutes: float) -> SandboxLimits:
    """Of commands that may take so long."""
    return replace(LIMITS, seconds=minutes * 60, cpu_seconds=int(minutes * 60) + 1)


@dataclass(frozen=True)
class Repositories:
    """What is done with the repositories of runs, by the settings."""

    settings: Settings

    @cached_property
    def blobs(self) -> Blobs:
        return Blobs(self.settings.home)

    @cached_property
    def actions(self) -> tuple[Action[Any], Action[Any]]:
        """A branch that is pushed, and a patch that is applied."""
        workspaces = Workspaces(self.settings.home)
        return push_any_branch(workspaces, open_broker(self.settings)), apply_to_project(workspaces=workspaces)

    def bench(self, given: RepositoryInput, *, part: str = "", **more: Any) -> Bench:
        """The run's copy of its repository, or another one for a part of its work; `more` as fields of a Bench."""
        own: dict[str, Any] = {"checks": given.check, **more}
        return Bench(
            project=Project(given.repo, workspaces=Workspaces(self.settings.home, part=part)),
            environment=Path(given.env) if given.env else None,
            given={f"{_GIVEN}/{Path(one).name}": Path(one) for one in given.give},
            limits=limits_of(given.minutes),
            may_edit=given.may_edit,
            may_fail=given.allow_failing,
            sandbox=self.settings.sandbox,
            **own,
        )

    def work(self, given: RepositoryInput, codemod: str, **more: Any) -> CodeWork:
        """What a coding agent is to do there: a command, another agent's program, or else a model."""
        own = Path(given.agent_env) if given.agent_env else None
        bench = self.bench(given, **more)
        return CodeWork(bench=bench, codemod=codemod, program=given.agent, program_environment=own)

    def propose(self, bench: Bench, given: RepositoryInput, reason: str) -> list[Proposal]:
        """What is in the copy, as the branch that the run was given or as a patch; nothing if nothing was changed."""
        push, apply = self.actions
        if given.branch:
            message = f"{given.goal.splitlines()[0][:72]}\n\n{reason}"
            return [push.propose(branch_of(bench.project, given.branch, message, given.remote), reason)]
        kept = keep_changes(bench.copy, self.blobs)
        return [] if kept is None else [apply.propose(kept, reason)]

    def documentation(self) -> tuple[tuple[Tool, ...], Callable[[], object] | None]:
        """Tools to look things up, in the web and in the documents of the settings; and what refreshes these."""
        settings = self.settings
        web = web_of(settings)
        pages = web_tools(web) if web is not None else ()
        if settings.sources is None:
            return pages, None
        sources = Sources.open(settings.sources, home=settings.home, max_file_mb=settings.max_file_mb)
        return (*search_tools(sources), *pages), sources.refresh
