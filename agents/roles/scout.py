"""The scout: names whom a table is to be about, as they were given or as documents have them. Gives Companies.

Whom nobody named are proposed, and nothing is done about them before a person has confirmed the list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Artifact, Part
from signoff.agents.errors import WorkFailed
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.prompts import prompt
from signoff.agents.roles.tables.row_pages import Libraries, Shelf, distinct, read_pages, refresh
from signoff.agents.roles.tables.table_researcher import Pages
from signoff.tools import Action, Proposal
from signoff.tools.errors import SearchFailed
from signoff.tools.search import Library
from signoff.wording import counted

CONFIRM: Final = "confirm_companies"
"""The action by which a person confirms them, for a team's policy."""
_MOST_PAGES: Final = 10
_TITLE: Final = re.compile(r"\s[-–—|·:]\s|: ")
_SHOWN: Final = 20


class Companies(Artifact):
    """Whom the work is about."""

    names: tuple[str, ...]
    again: tuple[str, ...] = Field(default=(), description="What was named twice, as 'otter is Otter'")
    proposed: bool = Field(description="Whether somebody has to confirm them")

    def told(self) -> str:
        """Their number alone: however many they are, a model that works on one is told of none of the others."""
        return counted(len(self.names), "name")

    def brief(self) -> str:
        more = "…" if len(self.names) > _SHOWN else ""
        named = f"{counted(len(self.names), 'name')}: {', '.join(self.names[:_SHOWN])}{more}"
        return f"Proposes {named}" if self.proposed else f"Was given {named}"


class Company(Part):
    """One of them, and where it is spoken of."""

    name: str
    own: tuple[str, ...] = Field(default=(), description="Sources about it alone")
    shared: tuple[str, ...] = Field(default=(), description="Sources with a row about it")
    others: tuple[str, ...] = Field(default=(), description="Which of the others its own sources name")

    def pages(self, library: Library, more: Sequence[str] = (), problems: Sequence[str] = ()) -> Pages:
        """The documents about it, as they are stored now, with `more` that were found; and what could not be had."""
        return read_pages(library, (*self.own, *more), self.shared, problems, self.others)


class Chosen(BaseModel):
    """The companies that the work is about."""

    companies: tuple[Annotated[str, Field(min_length=1, max_length=200)], ...] = Field(min_length=1)


class Proposed(BaseModel):
    """Companies, by the names under which they are known."""

    companies: list[Annotated[str, Field(max_length=200)]] = Field(max_length=50)


@dataclass(frozen=True)
class _Scout:
    documents: Libraries
    confirm: Action[Chosen]

    def work(self, task: Task) -> Companies:
        names, again = distinct(task.input.companies)
        return Companies(names=names, again=again, proposed=False) if names else _proposed(self.candidates(task))

    def candidates(self, task: Task) -> tuple[str, ...]:
        """Whom the documents that speak of the goal are about, or all of them; and whom a search of the web names."""
        library, web = self.documents.of_run(task), self.documents.web_of(task)
        shelf, near = Shelf.of(library), {one.source for one in library.search(task.goal, limit=500)}
        about = shelf.about(shelf.names())
        fitting = [name for name, (own, shared) in about.items() if near & {*own, *shared}] or [*about]
        try:
            pages = web.search(task.goal, _MOST_PAGES) if web is not None else []
        except SearchFailed as error:
            task.say(str(error))
            pages = []
        return distinct((*fitting, *(_TITLE.split(page.title)[0] for page in pages)))[0]

    def propose(self, companies: Companies, _task: Task) -> list[Proposal]:
        if not companies.proposed:
            return []
        return [self.confirm.propose(Chosen(companies=companies.names), "They are proposed, nobody named them.")]


def scout(documents: Libraries, *, model: BaseChatModel | Tiers | None = None) -> Agent[Companies]:
    """An agent that takes the `companies` of a run's input; where there are none, it proposes some.

    The team's policy has to name `confirm_companies`. What a person made of the list, `confirmed` tells.
    """
    confirm = Action(
        name=CONFIRM,
        description="Work on these companies, and no others.",
        arguments=Chosen,
        call=_confirm,
        risk="write",
        idempotent=True,
    )
    work = _Scout(documents, confirm)
    return Agent(
        role="scout",
        instructions=prompt("scout"),
        gives=Companies,
        function=work.work,
        asks_model=lambda task: not task.input.companies,
        form=Proposed,
        read=lambda found, _task: _proposed(found.companies),
        prepare=lambda task: refresh(documents.of_run(task), task),
        opening=lambda task: "\n".join(work.candidates(task)),
        model=model,
        actions=(confirm,),
        propose=work.propose,
    )


def confirmed(task: Task) -> tuple[str, ...]:
    """The companies as they were given, or as a person left them; WorkFailed if nobody confirmed them."""
    companies = task.need(Companies)
    if not companies.proposed:
        return companies.names
    said = [one for one in task.outcomes if one.action == CONFIRM]
    if not said or said[-1].status not in ("done", "skipped"):
        raise WorkFailed("scout", "nobody confirmed the companies", final=True)
    return distinct(said[-1].args["companies"])[0]


def companies_of(documents: Libraries, task: Task) -> list[Company]:
    """The confirmed companies, each with the documents about it, and whom else it has to be told from."""
    return companies_in(documents.of_run(task), confirmed(task), is_open=documents.web_of(task) is not None)


def companies_in(library: Library, names: Sequence[str] = (), *, is_open: bool = False) -> list[Company]:
    """Each of these names, or of all whom the documents are about, with the documents about it.

    With `is_open` there will be further documents, which may name anybody.
    """
    shelf = Shelf.of(library)
    about = shelf.about(names or shelf.names())
    others = {name: tuple(about) for name in about} if is_open else shelf.named(about)
    return [
        Company(name=name, own=own, shared=shared, others=tuple(one for one in others[name] if one != name))
        for name, (own, shared) in about.items()
    ]


def _proposed(names: Sequence[str]) -> Companies:
    found, again = distinct(names)
    if not found:
        raise WorkFailed("scout", "no document names a company: name some with --companies", final=True)
    return Companies(names=found, again=again, proposed=True)


def _confirm(chosen: Chosen, _key: str) -> Mapping[str, Any]:
    return {"companies": list(chosen.companies)}
