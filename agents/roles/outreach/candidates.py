"""The scout of candidates: lists whom documents are about that fit a rubric; people confirm each. Gives Candidates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Artifact
from signoff.agents.errors import WorkFailed
from signoff.agents.extractive.rubric import Rubric
from signoff.agents.roles.outreach.outward import outcomes_of
from signoff.agents.roles.scout import Company, companies_in
from signoff.agents.roles.tables.row_pages import distinct, refresh
from signoff.tools import Action, Proposal
from signoff.tools.crm import names_suppressed, suppressed
from signoff.tools.search import Library
from signoff.wording import as_code, counted


class Candidates(Artifact):
    """Who might be a lead."""

    names: tuple[str, ...]
    suppressed: tuple[str, ...] = ()
    twice: tuple[str, ...] = Field(default=(), description="Those of whom several documents are")

    def told(self) -> str:
        """Their number alone, as a model that works on one is told of none of the others."""
        return counted(len(self.names), "candidate")

    def brief(self) -> str:
        return f"{counted(len(self.names), 'candidate')}, {len(self.suppressed)} suppressed."


class Candidate(BaseModel):
    """Somebody whom a person confirms, one of many."""

    name: str = Field(min_length=1, max_length=200)


def confirm_each(name: str, description: str) -> Action[Candidate]:
    """The action that confirms one candidate; nothing is done outside. Many are one question, each with its answer."""
    return Action(
        name=name,
        description=description,
        arguments=Candidate,
        call=lambda candidate, _key: {"name": candidate.name},
        risk="write",
        idempotent=True,
        preview=lambda candidate: as_code(candidate.name),
    )


def unconfirmed(task: Task, action: Action[Candidate], names: Sequence[str], why: str) -> list[Proposal]:
    """Proposals to confirm those of these that nobody was asked about in this run."""
    said = {one.proposed.get("name") for one in task.outcomes if one.action == action.name}
    return [action.propose(Candidate(name=name), why) for name in names if name not in said]


def confirmed_each(task: Task, action: Action[Candidate]) -> tuple[str, ...]:
    """The names that were confirmed, each once, as a person left them."""
    return tuple(dict.fromkeys(str(one.args["name"]) for one in outcomes_of(task, action, "done", "skipped")))


@dataclass(frozen=True)
class CandidateScout:
    """Lists the `companies` of the input, or all, that fit the team's `Rubric` and are not in its file `suppress`."""

    library: Callable[[Task], Library]
    confirm: Action[Candidate]

    def agent(self) -> Agent[Candidates]:
        """The scout. The team's policy has to name its action; what people confirmed, `confirmed` tells."""
        return Agent(
            role="scout",
            needs=(Rubric,),
            gives=Candidates,
            function=self._list,
            actions=(self.confirm,),
            propose=self._propose,
            prepare=lambda task: refresh(self.library(task), task),
        )

    def confirmed(self, task: Task) -> list[Company]:
        """Whom people confirmed, each with the documents about it; WorkFailed if nobody confirmed any."""
        if not (names := confirmed_each(task, self.confirm)):
            raise WorkFailed("scout", "nobody confirmed a candidate", final=True)
        return companies_in(self.library(task), names)

    def _list(self, task: Task) -> Candidates:
        rubric, entries, library = task.need(Rubric), suppressed(task.input.suppress), self.library(task)
        named = distinct(task.input.companies)[0]
        found = [one for one in companies_in(library, named) if rubric.fits(map(library.text, (*one.own, *one.shared)))]
        out = tuple(one.name for one in found if names_suppressed(one.name, entries))
        names = tuple(one.name for one in found if one.name not in out)
        if not names:
            raise WorkFailed("scout", "no document is about anybody who fits: see `named` and --sources", final=True)
        twice = tuple(f"{one.name}: {', '.join(one.own)}" for one in found if len(one.own) > 1)
        return Candidates(names=names, suppressed=out, twice=twice)

    def _propose(self, found: Candidates, task: Task) -> list[Proposal]:
        named = task.need(Rubric).named
        why = "It was named." if task.input.companies else "A document is about it."
        return unconfirmed(task, self.confirm, found.names, f"A document about it holds {named!r}." if named else why)
