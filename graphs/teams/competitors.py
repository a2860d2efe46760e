"""The competitors team: companies of a market compared by what documents state of them, each cell with its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents import (
    CONFIRM,
    Agent,
    Artifact,
    Column,
    Companies,
    Company,
    Draft,
    Libraries,
    Pages,
    Review,
    Shelf,
    Table,
    TableReport,
    Task,
    browse,
    companies_of,
    confirmed,
    prompt,
    scout,
    table_attachments,
    table_before,
    table_pictures,
    table_researcher,
)
from signoff.agents.artifacts import Change, column_of, common_columns, key_of
from signoff.agents.errors import WorkFailed
from signoff.agents.models import Tiers, models_of
from signoff.graphs.input_types import FileToWrite, Folder, Names, Words
from signoff.graphs.nodes.supervisor import Supervisor
from signoff.graphs.policy.policy import Policy
from signoff.graphs.team import Team
from signoff.graphs.teams.entries import check_places, entries_of
from signoff.settings import Settings, load_settings
from signoff.tools import Action, Proposal, Publication, publish_report
from signoff.tools.storage import Blobs
from signoff.tools.web import Web, web_of
from signoff.wording import as_words

_USUAL: Final = ("what it is", "price", "licence", "headquarters", "founded", "employees")
"""Categories where the documents have no labels in common."""
_MOST_CATEGORIES: Final = 8
_UNTOLD: Final = frozenset(
    map(key_of, ("Metadata-Version", "Name", "Title", "Description-Content-Type", "License-File", "Dynamic"))
)
"""Labels that compare nothing."""


class CompetitorsInput(BaseModel):
    """Compare the companies of a market: a table whose cells carry their evidence, and a report."""

    goal: str = Field(description="The market, such as 'vector databases'")
    companies: Names = Field(
        (),
        repr=False,
        description="Names, or a FILE with one on each line; without, they are proposed and you confirm them.",
    )
    categories: Words = Field(
        (), description="What they are compared by; without, what most documents have labels for."
    )
    sources: Folder = Field("", repr=False, description="Folder of documents about them.")
    web: bool = Field(False, repr=False, description="Also search the web and fetch pages: docs/tools/web.md.")
    out: FileToWrite = Field(
        "report.md", repr=False, description="File for the report: .md, .html or .docx. The table goes beside it."
    )


class Categories(Artifact):
    """What they are compared by."""

    columns: tuple[Column, ...]

    def brief(self) -> str:
        return f"Compares by {', '.join(column.name for column in self.columns)}."


class Comparison(Table):
    """The table of companies and categories, and what is otherwise than in the report before."""

    changes: tuple[Change, ...] = ()
    before: str = Field(default="", description="What it was compared with")


class Category(BaseModel):
    """One of them."""

    name: str = Field(max_length=60, description="One to three words")
    about: str = Field(max_length=200, description="What exactly is to be found out of each company")


class Compared(BaseModel):
    """What tells the companies of this market apart."""

    categories: list[Category] = Field(max_length=_MOST_CATEGORIES)


@dataclass(frozen=True)
class _Market:
    """What the agents do, with the settings and the documents of each run."""

    documents: Libraries
    publish: Action[Publication]
    blobs: Blobs

    def analyst(self, model: Tiers | None) -> Agent[Categories]:
        return Agent(
            role="analyst",
            instructions=prompt("categories"),
            needs=(Companies,),
            gives=Categories,
            function=self.sort,
            asks_model=lambda task: not task.input.categories,
            form=Compared,
            read=lambda found, _task: _categories([column_of(one.name, one.about) for one in found.categories]),
            opening=self.told,
            model=model,
        )

    def sort(self, task: Task) -> Categories:
        """The categories that were given; else what the documents of most companies have labels for."""
        if given := task.input.categories:
            return _categories([column_of(name) for name in given], len(given))
        columns = [column for column, _ in self.common(task)]
        columns.sort(key=lambda column: not column.labels)  # what is known of can be told in several ways
        return _categories(columns or [column_of(name) for name in _USUAL])

    def common(self, task: Task) -> list[tuple[Column, int]]:
        """What the documents of at least half of the companies have labels for, and of how many."""
        shelf = Shelf.of(self.documents.of_run(task))
        about = shelf.about(confirmed(task))
        found = common_columns([shelf.texts[source] for source in own] for own, _ in about.values())
        return [
            (column, n)
            for column, n in found
            if n >= max(min(2, len(about)), len(about) / 2) and key_of(column.name) not in _UNTOLD
        ]

    def told(self, task: Task) -> str:
        names = f"Companies: {', '.join(confirmed(task)[:50])}"
        return "\n".join((names, *(f"- {column.name}: {n} of them" for column, n in self.common(task))))

    def pages(self, company: Company, task: Task) -> Pages:
        web = self.documents.web_of(task)
        found, problems = browse(company.name, task.goal, web) if web is not None else ((), ())
        return company.pages(self.documents.of_run(task), found, problems)

    def compare(self, table: Comparison, task: Task) -> Comparison:
        """The table named after its market, and what is otherwise than in the one beside the report before."""
        table = table.model_copy(update={"title": task.goal})
        before = table_before(Comparison, task.input.out)
        if before is None or key_of(before.title) != key_of(task.goal):
            return table
        read = max((span.date for cell in before.cells for span in cell.spans), default="")
        return table.model_copy(update={"changes": table.since(before), "before": read or "an earlier run"})

    def sign_off(self, review: Review, task: Task) -> list[Proposal]:
        if not review.accepted:
            return []
        draft, out = task.need(Draft), task.input.out
        table = task.need(Comparison)
        pictures = table_pictures(table, draft.markdown, self.blobs)
        attached = (*table_attachments(table, out, self.blobs, "company"), *pictures)
        report = Publication(path=out, content=draft.markdown, attachments=attached)
        passed = sum(check.passed for check in review.checks)
        return [self.publish.propose(report, f"It passed its review ({passed} of {len(review.checks)} checks).")]


def competitors_team(
    *, model: BaseChatModel | Tiers | str | None = None, settings: Settings | None = None, web: Web | None = None
) -> Team:
    """Scout, analyst, researcher, writer and reviewer of a market; what is compared is in each run's input.

    `model` is a chat model, models by tier, a name, or None for what the settings choose. `web` is used where the input
    asks for it; None: as far as the settings open it.
    """
    settings = settings or load_settings()
    name, models = models_of(model, settings)
    quick, strong = ("smart", "smart") if models is None else (models.nearest("fast"), models.nearest("smart"))
    blobs = Blobs(settings.home)
    publish = publish_report(blobs=blobs)
    documents = Libraries(settings, web or web_of(settings))
    market = _Market(documents, publish, blobs)
    report = TableReport(
        table=Comparison,
        title=lambda table: f"Competitors: {table.title}",
        corner="company",
        needs=(Companies,),
        more=_more,
    )
    research = table_researcher(
        Comparison,
        title="Competitors",
        of=Company,
        rows=lambda task: companies_of(documents, task),
        columns=lambda task: task.need(Categories).columns,
        pages=market.pages,
        needs=(Companies, Categories),
        row_needs=(Categories,),
        model=models,
    )
    return Team(
        name="competitors",
        input=CompetitorsInput,
        look=lambda given, _dry_run: check_places(given, documents),
        agents=[
            replace(scout(documents, model=models), tier=strong),
            replace(market.analyst(models), tier=strong),
            replace(research, check=market.compare, tier=quick),
            replace(report.writer(model=models), tier=strong),
            report.reviewer(documents.of_run, actions=[publish], propose=market.sign_off),
        ],
        supervisor=Supervisor(model=models.model(strong) if models is not None else None),
        policy=Policy({publish.name: "ask", CONFIRM: "ask"}),
        options={"model": name},
    )


def _categories(columns: Sequence[Column], most: int = _MOST_CATEGORIES) -> Categories:
    """Each category once, by whatever name."""
    known = {key_of(column.name): column for column in reversed(columns)}
    first = [column for column in columns if known[key_of(column.name)] is column]
    if not first:
        raise WorkFailed("analyst", "there is nothing to compare by: name --categories", final=True)
    return Categories(columns=tuple(first[:most]))


def _more(task: Task) -> dict[str, str]:
    """Further sections of the report: what was named twice, and what changed."""
    table, companies = task.need(Comparison), task.need(Companies)
    changed = [f"- {as_words(f'{one.row}, {one.column}'.rstrip(', '))}: {_told(one)}" for one in table.changes]
    same = "Nothing changed." if table.before else ""
    since = f"Since the report before ({as_words(table.before)})" if table.before else "Since the report before"
    return {
        "Named twice": "\n".join(f"- {as_words(one)}" for one in companies.again),
        since: "\n".join(changed) or same,
    }


def _told(change: Change) -> str:
    before, now = as_words(change.before), as_words(change.now)
    return f"was {before}, is now {now}" if before and now else now or "is gone"


build, rebuild, graph, build_graph = entries_of(competitors_team)
