"""The code team: a coding agent on a copy of a repository, checks that code runs, a patch or branch to sign off."""

from __future__ import annotations

from dataclasses import replace

from langchain_core.language_models import BaseChatModel
from pydantic import Field

from signoff.agents import Baseline, Change, CodeWork, Task, coder, tester
from signoff.agents.errors import NO_WORKER, RepositoryUnusable
from signoff.agents.models import Tiers, models_of
from signoff.graphs.policy.policy import Policy
from signoff.graphs.team import Team
from signoff.graphs.teams.entries import entries_of
from signoff.graphs.teams.repositories import Repositories, RepositoryInput
from signoff.settings import Settings, load_settings
from signoff.tools import Proposal


class CodeInput(RepositoryInput):
    """Change the code of a repository, in a copy, until its checks pass; what comes of it is proposed to you."""

    codemod: str = Field("", repr=False, description="A command that makes the change, instead of a model.")


def code_team(*, model: BaseChatModel | Tiers | str | None = None, settings: Settings | None = None) -> Team:
    """Tester and coder over the repository that a run is given (`CodeInput`).

    `model` is a chat model, models by tier, a name, or None for what the settings choose; a codemod needs none.
    """
    settings = settings or load_settings()
    name, models = models_of(model, settings)
    repositories = Repositories(settings)

    def work(task: Task) -> CodeWork:
        given: CodeInput = task.input
        if models is None and not given.codemod:
            raise RepositoryUnusable(given.repo, NO_WORKER)
        return repositories.work(given, given.codemod)

    def propose(change: Change, task: Task) -> list[Proposal]:
        before = task.need(Baseline).proof
        reason = f"{change.summary.strip()} {change.proof}. Before any edit: {before}".strip()
        return repositories.propose(work(task).bench, task.input, reason)

    lookups, refresh = repositories.documentation()
    coding = coder(
        work,
        model=models,
        tools=lookups,
        needs=(Baseline,),
        actions=repositories.actions,
        propose=propose,
        refresh=refresh,
    )
    strong = "" if models is None else models.nearest("smart")
    return Team(
        name="code",
        input=CodeInput,
        agents=[tester(work), replace(coding, tier=strong)],
        policy=Policy({action.name: "ask" for action in repositories.actions}),
        options={"model": name},
    )


build, rebuild, graph, build_graph = entries_of(code_team)
