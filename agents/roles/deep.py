"""Research in depth: the goal falls into parts, and each is looked up, written and followed up by itself.

What is found for a part is shown to a model once: by the one that writes of it. The report is put together from what
was written, so that no prompt grows with the number of parts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import count
from typing import Annotated, Any, Final

from langchain_core.language_models import BaseChatModel
from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Each, Task
from signoff.agents.artifacts import Analysis, Draft, Evidence, Review, Said, SubGoal, WorkPlan, WrittenPart
from signoff.agents.citations import blockquote, flatten, without_sources
from signoff.agents.extractive.question import parts_of
from signoff.agents.models.registry import Tiers
from signoff.agents.roles.parts import SHORT_STEP, Digging, Found, Notes
from signoff.agents.roles.prompts import prompt
from signoff.agents.roles.writer import Section, Sentence, Text, cite, read_text, writer
from signoff.tools.search import Library, words_of
from signoff.tools.web import Web
from signoff.wording import counted

MOST_PARTS: Final = 12
_LONGEST_PART: Final = 500
_SHOWN: Final = 2
"""Quotes that are shown of a part of which nothing was written."""


class Parts(BaseModel):
    """The parts of the goal."""

    parts: list[Annotated[str, Field(json_schema_extra={"maxLength": 200})]] = Field(
        description="Questions, each understandable by itself", json_schema_extra={"maxItems": MOST_PARTS}
    )


class Whole(BaseModel):
    """What makes a report of the sections."""

    title: str = Field(json_schema_extra={"maxLength": 200})
    answer: list[Said] = Field(json_schema_extra={"maxItems": 6})
    leave_out: list[int] = Field(default_factory=list, json_schema_extra={"maxItems": 12})


def deep_agents(
    sources: Library,
    researcher: Agent[Evidence],
    analyst: Agent[Analysis],
    reviewer: Agent[Review],
    *,
    model: BaseChatModel | Tiers,
    rounds: int,
    web: Web | None = None,
    tier: str = "smart",
) -> list[Agent[Any]]:
    """The agents of a report in depth, the researcher first: with a planner, and a writer who puts the parts together.

    The researcher is one without a model, the analyst one that does not sort.
    """
    dig = deep_researcher(sources, researcher, model=model, rounds=rounds, web=web, tier=tier)
    return [dig, deep_planner(model=model), analyst, deep_writer(model=model), deep_reviewer(reviewer)]


def deep_planner(*, model: BaseChatModel | Tiers) -> Agent[WorkPlan]:
    """An agent that splits the goal into parts; the plan names them, so that a person may see and change them."""

    def ask(task: Task) -> str:
        parts = parts_of(task.goal)
        return "\n".join(f"- {part}" for part in parts) if len(parts) > 1 else ""

    return Agent(
        role="planner",
        instructions=prompt("parts"),
        gives=WorkPlan,
        model=model,
        form=Parts,
        read=lambda parts, task: _plan(parts.parts, task),
        opening=ask,
        limits=SHORT_STEP,
    )


def _plan(parts: Iterable[str], task: Task) -> WorkPlan:
    """Everybody in working order, and the parts with whoever finds the evidence."""
    said = [flatten(part)[:_LONGEST_PART] for part in parts]
    kept = {part.casefold(): part for part in reversed(said) if words_of(part)}
    mine = tuple(part for part in dict.fromkeys(said) if kept.get(part.casefold()) == part)[:MOST_PARTS]
    mine = mine or tuple(part[:_LONGEST_PART] for part in parts_of(task.goal)[:MOST_PARTS])
    return WorkPlan(
        steps=tuple(
            SubGoal(agent=member["role"], parts=mine if member["gives"] == Evidence.__name__ else ())
            for member in task.team
        )
    )


def deep_researcher(
    sources: Library,
    shallow: Agent[Evidence],
    *,
    model: BaseChatModel | Tiers,
    rounds: int,
    web: Web | None = None,
    tier: str = "smart",
) -> Agent[Evidence]:
    """An agent that works the parts of the goal side by side, each in so many rounds at most.

    A round is one answer of the model: it writes of the passages that it is shown, and names where to look on. Where
    that brings nothing new, the part is done. The documents are prepared as the `shallow` researcher does it.
    """
    step = Agent(role="researcher", instructions=prompt("part"), gives=Notes, model=model, tier=tier, limits=SHORT_STEP)
    dig = Digging(sources, web, rounds, step)

    def prepare(task: Task) -> None:
        if task.item is None and shallow.prepare is not None:
            shallow.prepare(task)

    return Agent(
        role="researcher",
        gives=Evidence,
        each=Each(items=_list_parts, gives=Found, function=dig.work, join=dig.join),
        prepare=prepare,
    )


def _list_parts(task: Task) -> Sequence[str]:
    parts = task.parts or parts_of(task.goal)
    task.say(f"works on {counted(len(parts), 'part')}")
    return parts


def deep_writer(*, model: BaseChatModel | Tiers) -> Agent[Draft]:
    """An agent that puts the report together from the parts as they were written; it is shown no quote again."""
    return replace(
        writer(model=model),
        instructions=prompt("whole"),
        form=Whole,
        read=_put_together,
        opening=_show_sections,
        shows=(),
        limits=SHORT_STEP,
    )


def _show_sections(task: Task) -> str:
    """Each part with its sentences, numbered from s1 through all of them."""
    shown, number = list[str](), count(1)
    for part in task.need(Evidence).parts:
        lines = [f"s{next(number)} {line}" for line in _lines(part)]
        lines += [f"(not worked to its end: {part.problem})"] if part.problem else []
        shown.append("\n".join([f"## {part.question}", *(lines or ["(nothing was found that answers it)"])]))
    return "\n\n".join(shown)


def _lines(part: WrittenPart) -> list[str]:
    return [next(cite([said], set()), said.text) for said in part.said]


def _put_together(whole: Whole, task: Task) -> Draft:
    """The answer, and below it the parts without what is to be left out; half of them at most is."""
    parts, left, number = task.need(Evidence).parts, set(whole.leave_out), count(1)
    numbered = [(part, [(next(number), said) for said in part.said]) for part in parts]
    if 2 * len(left) > sum(len(said) for _, said in numbered):
        task.say(f"keeps all sentences, as {len(left)} are too many to leave out")
        left = set()
    sections = [
        Section.model_construct(
            heading=part.question,
            sentences=_as_sentences(said for at, said in some if at not in left),
            instead=_nearest(part, task.need(Evidence)),
        )
        for part, some in numbered
    ]
    answer = _as_sentences(whole.answer)
    return read_text(Text.model_construct(title=whole.title[:200], answer=answer, sections=sections), task)


def _as_sentences(said: Iterable[Said]) -> list[Sentence]:
    return [Sentence.model_construct(text=one.text, quotes=[*one.quotes]) for one in said]


def _nearest(part: WrittenPart, evidence: Evidence) -> str:
    """What stands under the heading of a part if no sentence does: its first quotes, in their own words."""
    ids = part.quotes[: 1 if part.said else _SHOWN]
    quotes = [blockquote(one.text, one.id, kind=one.kind) for one in evidence.quotes if one.id in ids]
    head = [] if part.said or not quotes else ["Nothing was written of this. What comes nearest:"]
    return "\n\n".join((*head, *quotes))


def deep_reviewer(agent: Agent[Review]) -> Agent[Review]:
    """The same reviewer, whose model judges the report as it reads: what its quotes say is compared by code."""
    return replace(
        agent,
        instructions=prompt("reviewer", "unquoted"),
        opening=lambda task: without_sources(task.need(Draft).markdown),
        shows=(),
        limits=SHORT_STEP,
    )
