"""The analyst: sorts the evidence, ranks it, and finds disagreements and gaps. Gives Analysis."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Limits, Task
from signoff.agents.artifacts import Analysis, Computation, Conflict, Evidence, Theme
from signoff.agents.claims import disagreements
from signoff.agents.extractive.analysis import analyse
from signoff.agents.figures import compute, measure, picture_of
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.prompts import prompt
from signoff.tools import Tool
from signoff.tools.analysis import Charts, Tables, table_tools
from signoff.tools.errors import QueryRefused
from signoff.wording import counted

_CALLS_FOR_TABLES = 3
"""Of a model that is asked of tables only: what it asks, a chart, and what it gives."""


class Group(BaseModel):
    """Quotes that speak of one thing."""

    title: str = Field(max_length=100)
    quotes: list[int] = Field(max_length=16, description="Quote ids, best first")
    summary: str = Field("", max_length=400, description="One or two sentences")


class Clash(BaseModel):
    """Two quotes that cannot both be true."""

    first: int
    second: int
    why: str = Field(max_length=200)


class Sorting(BaseModel):
    """What the model makes of the evidence."""

    answer: list[int] = Field(max_length=5, description="Ids of the quotes that answer most directly, best first")
    themes: list[Group] = Field(max_length=6)
    conflicts: list[Clash] = Field(default_factory=list, max_length=4)
    gaps: list[str] = Field(default_factory=list, max_length=4, description="What the sources do not say, if anything")


class Figure(BaseModel):
    """A question to the tables."""

    title: str = Field(min_length=1, max_length=200, description="What it shows, in a few words, without numbers")
    sql: str = Field(min_length=1, max_length=4_000, description="The query, as query_tables takes it")


class Figures(BaseModel):
    """What the report should show of the tables."""

    figures: list[Figure] = Field(
        default_factory=list, max_length=4, description="What the report should show of the tables"
    )
    charts: list[str] = Field(
        default_factory=list, max_length=4, description="Names of charts to show, as make_chart gave them"
    )


class SortingAndFigures(Figures, Sorting):
    """What the model makes of the evidence and the tables."""


def analyst(
    *,
    model: BaseChatModel | Tiers | None = None,
    tables: Tables | None = None,
    home: Path | str = ".signoff",
    sorts: bool = True,
) -> Agent[Analysis]:
    """An agent that makes sense of Evidence, and of tables if there are any; its charts are kept in `home`.

    Its model `sorts` the evidence; where that was worked part by part, it need not, and is asked of tables only.
    """
    if not sorts and tables is None:
        model = None
    agent = Agent(
        role="analyst",
        instructions=prompt("analyst"),
        needs=(Evidence,),
        gives=Analysis,
        function=analyse,
        model=model,
        form=Sorting,
        read=_read,
        check=_complete,
    )
    if tables is None:
        return agent
    return _with_tables(agent, tables, Charts(home), table_tools(tables, home=home), sorts=sorts)


def _with_tables(
    agent: Agent[Analysis], tables: Tables, charts: Charts, tools: tuple[Tool, ...], *, sorts: bool
) -> Agent[Analysis]:
    """The same agent, which can compute and draw."""

    def prepare(task: Task) -> None:
        found = tables.refresh()
        task.say(f"{counted(len(found), 'table')} can be asked")
        for skipped in tables.skipped()[:5]:
            task.say(f"no table in {skipped.path}: {skipped.reason}")

    def work(task: Task) -> Analysis:
        computed, drawn = measure(task.goal, tables, charts)
        analysis = analyse(task)
        gaps = () if computed else analysis.gaps  # what documents lack, the tables said
        return analysis.model_copy(update={"computations": computed, "pictures": drawn, "gaps": gaps})

    def read(given: Figures, task: Task) -> Analysis:
        computed: list[Computation] = []
        for figure in given.figures:
            try:
                computed.append(compute(tables, figure.title, figure.sql))
            except QueryRefused as error:
                task.say(f"left out “{figure.title}”: {error.problem}")
        drawn = {chart.name: chart for name in given.charts if (chart := charts.find(name)) is not None}
        if len(drawn) < len(set(given.charts)):
            task.say("left out a chart that was never drawn")
        analysis = _read(given, task) if isinstance(given, Sorting) else analyse(task)
        return analysis.model_copy(
            update={"computations": tuple(computed), "pictures": tuple(map(picture_of, drawn.values()))}
        )

    return replace(
        agent,
        instructions=prompt(*(["analyst"] if sorts else []), "tables"),
        function=work,
        form=SortingAndFigures if sorts else Figures,
        opening=None if sorts else lambda _: str(tools[0].invoke({})),  # what list_tables says
        shows=None if sorts else (),
        limits=Limits() if sorts else Limits(model_calls=_CALLS_FOR_TABLES),
        read=read,
        prepare=prepare,
        tools=tools,
    )


def _read(sorting: Sorting, _task: Task) -> Analysis:
    return Analysis(
        answer=tuple(dict.fromkeys(sorting.answer)),
        themes=tuple(Theme(**group.model_dump()) for group in sorting.themes),
        conflicts=tuple(Conflict(**clash.model_dump()) for clash in sorting.conflicts if clash.first != clash.second),
        gaps=tuple(gap for gap in sorting.gaps if gap.strip()),
    )


def _complete(analysis: Analysis, task: Task) -> Analysis:
    """The analysis without quote ids that the evidence does not have, and with every disagreement that code finds."""
    quotes, parts = task.need(Evidence).quotes, task.need(Evidence).parts
    known = {quote.id for quote in quotes}
    told = {frozenset((pair.first, pair.second)) for pair in analysis.conflicts}
    more = [pair for pair in disagreements(quotes, task.goal) if frozenset((pair.first, pair.second)) not in told]
    themes = [
        theme.model_copy(update={"quotes": tuple(number for number in theme.quotes if number in known)})
        for theme in analysis.themes
    ]
    return analysis.model_copy(
        update={
            "answer": tuple(number for number in analysis.answer if number in known),
            "themes": tuple(theme for theme in themes if theme.quotes),
            "conflicts": tuple(pair for pair in (*analysis.conflicts, *more) if {pair.first, pair.second} <= known),
            "gaps": tuple(dict.fromkeys((*analysis.gaps, *(one for part in parts for one in part.open)))),
        }
    )
