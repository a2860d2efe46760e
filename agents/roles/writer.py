"""The writer: turns evidence and analysis into a report with numbered citations. Gives Draft."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field
from pydantic.json_schema import SkipJsonSchema

from signoff.agents.agent import Agent, Task
from signoff.agents.artifacts import Analysis, Draft, Evidence, Said
from signoff.agents.citations import blockquote, cited_ids, escape, flatten, without_citations
from signoff.agents.claims import disagree, disagreements
from signoff.agents.extractive.report import compose, with_sources
from signoff.agents.extractive.sentences import split
from signoff.agents.figures import figures_section
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.checks import NOT_BORNE_OUT, find_unproven, struck_section
from signoff.agents.roles.prompts import prompt
from signoff.wording import counted

_FEWEST_REPEATED = 4
"""Words of a sentence amid others that does not stand there twice."""
_MOST_RETURNED = 2
"""Times a draft comes back for sentences that its quotes do not bear out, before these are struck."""


class Sentence(BaseModel):
    """A sentence, and what it rests on."""

    text: str = Field(max_length=600, description="One sentence in plain words, without citations")
    quotes: list[int] = Field(max_length=6, description="Ids of the quotes that say so")


class Section(BaseModel):
    """A part of the report."""

    heading: str = Field(max_length=100)
    sentences: list[Sentence] = Field(max_length=12)
    instead: SkipJsonSchema[str] = Field("", max_length=0, description="What stands there if all was said before")


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
        read=read_text,
    )


def read_text(text: Text, task: Task) -> Draft:
    """The draft; each sentence is in it once, where it is said first.

    What the quotes do not bear out stays in it until it came back for that often enough; then it is struck, and listed.
    """
    evidence = task.need(Evidence)
    before = task.previous.returned if isinstance(task.previous, Draft) else 0
    returned = before + any(NOT_BORNE_OUT in note for note in task.notes)
    gone = cite((one for part in evidence.parts for one in part.struck), set())
    struck = find_unproven(" ".join(gone), evidence, task.goal)
    body = _body(text, struck.keys())
    # What was written of a part was compared there, and its writer told: what is left of it cannot be put right here.
    of_parts = {_key(one.text) for part in evidence.parts for one in part.said}
    found = find_unproven(body, evidence, task.goal) if of_parts else {}
    struck |= {sentence: why for sentence, why in found.items() if _key(sentence) in of_parts}
    body = _body(text, struck.keys())
    while returned >= _MOST_RETURNED and (found := find_unproven(body, evidence, task.goal)).keys() - struck.keys():
        struck |= found
        body = _body(text, struck.keys())
    if struck:
        task.say(f"struck {counted(len(struck), 'sentence')} that the sources do not bear out")
    if struck and not cited_ids(body):
        body = "\n\n".join((body, *_quoted(struck.values(), evidence))).strip()
    parts = [body, *_added(task, body), struck_section(tuple(struck.values()))]
    draft = with_sources(text.title, "\n\n".join(part for part in parts if part), evidence)
    return draft.model_copy(update={"returned": returned, "struck": tuple(struck.values())})


def _body(text: Text, struck: Collection[str]) -> str:
    """What the model wrote, without the struck sentences."""
    said = set(map(_key, struck))
    parts = [" ".join(cite(text.answer, said))]
    for section in text.sections:
        paragraph = " ".join(cite(section.sentences, said))
        shown = paragraph or section.instead
        parts += [f"## {flatten(section.heading).lstrip('# ')}", shown] if shown else []
    return "\n\n".join(part for part in parts if part)


def _added(task: Task, body: str) -> Iterator[str]:
    """What code adds: figures, what disagrees with something that is cited, and what is not known."""
    evidence, analysis, cited = task.need(Evidence), task.need(Analysis), set(cited_ids(body))
    told = {(pair.first, pair.second): pair.why for pair in disagreements(evidence.quotes, task.goal)}
    told |= {(p.first, p.second): p.why for p in analysis.conflicts if (p.second, p.first) not in told}
    lines = [
        f"- {disagree(*pair)}: {escape(flatten(why)).rstrip('.')}." for pair, why in told.items() if cited & set(pair)
    ]
    gaps = [f"- {flatten(gap)}" for gap in analysis.gaps]
    wanting = [
        f"- {escape(flatten(part.question))}: {escape(flatten(part.problem))}"
        for part in evidence.parts
        if part.problem
    ]
    yield figures_section(analysis)
    if lines:
        yield "## Where the documents may disagree\n\n" + "\n".join(lines)
    if wanting:
        yield "## Left unanswered\n\n" + "\n".join(wanting)
    if gaps:
        yield "## What the documents do not say\n\n" + "\n".join(gaps)


def _quoted(struck: Iterable[str], evidence: Evidence) -> Iterator[str]:
    """The quotes that the struck sentences cited, in their own words."""
    ids = {id for line in struck for id in cited_ids(line)}
    return (blockquote(quote.text, quote.id, kind=quote.kind) for quote in evidence.quotes if quote.id in ids)


def _key(sentence: str) -> str:
    """The same for the same words."""
    return flatten(sentence).casefold().rstrip(". ")


def cite(sentences: Iterable[Sentence | Said], said: set[str]) -> Iterator[str]:
    """The sentences that were not said yet, each with its citations before its full stop's end."""
    for sentence in sentences:
        text = flatten(without_citations(sentence.text)).lstrip("#>-* ").strip().replace(" .", ".")
        parts = [part.text for part in split(text) if len(part.text.split()) >= _FEWEST_REPEATED]
        keys = {_key(part) for part in (text, *parts)}
        if not text.strip(". ") or keys & said:
            continue
        said |= keys
        numbers = dict.fromkeys((*sentence.quotes, *cited_ids(sentence.text)))
        marks = "".join(f"[{number}]" for number in numbers)
        yield f"{text.rstrip('. ')} {marks}." if marks and text.endswith(".") else f"{text} {marks}".strip()
