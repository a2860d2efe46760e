"""The report team: a researched, cited, reviewed report about a folder of documents, written once it is signed off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel

from signoff.agents import Agent, Analysis, Draft, Review, Task, deep_agents
from signoff.agents.models import Tiers, models_of
from signoff.agents.roles.analyst import analyst
from signoff.agents.roles.researcher import researcher
from signoff.agents.roles.reviewer import reviewer
from signoff.agents.roles.writer import writer
from signoff.graphs.nodes.supervisor import Supervisor
from signoff.graphs.policy.policy import Policy
from signoff.graphs.team import Builder, Team
from signoff.graphs.teams.entries import server_graph
from signoff.settings import Settings, load_settings
from signoff.tools import Attachment, Proposal, Publication, publish_report
from signoff.tools.analysis import Tables, has_tables
from signoff.tools.search import MiniLM, Sources, SourcesAndPages
from signoff.tools.storage import Blobs
from signoff.tools.web import Web, web_of

_DEEP = 2
"""Depth from which on the goal is worked part by part."""


def report_team(
    sources: Path | str | Sources,
    *,
    out: Path | str = "report.md",
    model: BaseChatModel | Tiers | str | None = None,
    settings: Settings | None = None,
    web: Web | None = None,
    depth: int | None = None,
) -> Team:
    """Researcher, analyst, writer and reviewer over one folder of documents, and the web if it is open to them.

    `model` is a chat model, models by tier (`load_models`), a name (`offline`, `openai:NAME`, `provider:NAME`), or None
    for what the settings choose. With tiers the researcher works on `fast` if there is one, the others on `smart`.

    From a `depth` of 2 on (None: the settings') models work the goal part by part, each in so many rounds at most, by a
    plan of a planner. Without a model it makes no difference.
    """
    settings = settings or load_settings()
    depth = settings.depth if depth is None else depth
    name, models = models_of(model, settings)
    quick, strong = ("", "") if models is None else (models.nearest("fast"), models.nearest("smart"))

    if not isinstance(sources, Sources):
        embedder = MiniLM() if settings.embeddings else None
        sources = Sources.open(sources, home=settings.home, max_file_mb=settings.max_file_mb, embedder=embedder)
    tables = Tables.open(sources.folder, home=settings.home) if has_tables(sources.folder) else None
    publish = publish_report(blobs=Blobs(settings.home))
    path = str(Path(out).expanduser().absolute())

    def propose(review: Review, task: Task) -> list[Proposal]:
        if not review.accepted:
            return []
        passed = sum(check.passed for check in review.checks)
        reason = f"The draft passed its review ({passed} of {len(review.checks)} checks)."
        attached = tuple(
            Attachment(name=picture.name, sha256=picture.sha256, bytes=picture.bytes)
            for picture in task.need(Analysis).pictures
        )
        report = Publication(path=path, content=task.need(Draft).markdown, attachments=attached)
        return [publish.propose(report, reason)]

    web = web or web_of(settings)
    library = sources if web is None else SourcesAndPages(sources, web.snapshots)
    judge = reviewer(library, model=models, tables=tables, actions=[publish], propose=propose)
    find = partial(researcher, library, web=web, may_be_empty=tables is not None)
    sort = partial(analyst, model=models, tables=tables, home=settings.home)
    agents: list[Agent[Any]] = [replace(find(model=models), tier=quick), sort(), writer(model=models), judge]
    if models is not None and depth >= _DEEP:
        agents = deep_agents(
            library, find(), sort(sorts=False), judge, model=models, rounds=depth, web=web, tier=strong
        )
    return Team(
        name="report",
        agents=[agents[0], *(replace(agent, tier=strong) for agent in agents[1:])],
        supervisor=Supervisor(model=models.model(strong) if models is not None else None),
        policy=Policy({publish.name: "ask"}),
        options={"sources": str(sources.folder), "out": path, "model": name, "depth": depth},
    )


def build(settings: Settings) -> Team:
    """The team by the settings, for a new run."""
    return report_team(settings.sources or "", out=settings.out, settings=settings)


def rebuild(options: Mapping[str, Any], settings: Settings) -> Team:
    """The team of an earlier run; a model that was given as an object is chosen anew by the settings."""
    how: dict[str, Any] = {"out": options["out"], "depth": options.get("depth", 0)}
    return report_team(options["sources"], model=str(options["model"]) or None, settings=settings, **how)


def build_graph() -> Builder:
    """The report team by the settings; without `SIGNOFF_SOURCES` it reads `docs`, or this folder."""
    settings, docs = load_settings(), Path("docs")
    sources = settings.sources or (docs if docs.is_dir() else Path())
    return report_team(sources, out=settings.out, settings=settings).graph()


graph = server_graph(build_graph)
