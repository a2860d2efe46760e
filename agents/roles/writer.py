"""The writer: turns evidence and analysis into a report with numbered citations. Gives Draft."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Analysis, Draft, Evidence
from signoff.agents.citations import cited_ids, flatten, without_citations
from signoff.agents.extractive.report import compose, with_sources
from signoff.agents.figures import figures_section
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.prompts import prompt


class Sentence(BaseModel):
    """A sentence, and what it rests on."""

    text: str = Field(max_length=600, description="One sentence in plain words, without citations")
    quotes: list[int] = Field(max_length=6, description="Ids of the quotes that say so")


class Section(BaseModel):
    """A part of the report."""

    heading: str = Field(max_length=100)
    sentences: list[Sentence] = Field(max_length=12)


class Text(BaseModel):
    """The report as the model writes it."""

    title: str = Field(max_length=200)
    answer: list[Sentence] = Field(max_length=6)
    sections: list[Section] = Field(default_factory=list, max_length=8)


def writer(*, model: BaseChatModel | Tiers | None = None) -> Agent[Draft]:
    return Agent(
        role="writer",
        instructions=prompt("writer"),
        needs=(Evidence, Analysis),
        gives=Draft,
        function=compose,
        model=model,
        form=Text,
        read=_read,
    )


def _read(text: Text, task: Task) -> Draft:
    """The draft; each sentence is in it once, where it is said first."""
    said: set[str] = set()
    parts = [" ".join(_cited(text.answer, said))]
    for section in text.sections:
        paragraph = " ".join(_cited(section.sentences, said))
        parts += [f"## {flatten(section.heading).lstrip('# ')}", paragraph] if paragraph else []
    parts.append(figures_section(task.need(Analysis)))
    gaps = [f"- {flatten(gap)}" for gap in task.need(Analysis).gaps]
    parts += ["## What the documents do not say", "\n".join(gaps)] if gaps else []
    return with_sources(text.title, "\n\n".join(part for part in parts if part), task.need(Evidence))


def _cited(sentences: Iterable[Sentence], said: set[str]) -> Iterator[str]:
    """The sentences that were not said yet, each with its citations before its full stop's end."""
    for sentence in sentences:
        text = flatten(without_citations(sentence.text)).lstrip("#>-* ").strip()
        key = text.casefold().rstrip(".")
        if not key or key in said:
            continue
        said.add(key)
        numbers = dict.fromkeys((*sentence.quotes, *cited_ids(sentence.text)))
        marks = "".join(f"[{number}]" for number in numbers)
        yield f"{text.rstrip('.')} {marks}." if marks and text.endswith(".") else f"{text} {marks}".strip()
