"""The reviewer: code checks citations and coverage, a model adds its judgement and its doubts. Gives Review."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage
from pydantic import BaseModel, Field

from signoff.agents.agent import Agent, Propose, Task
from signoff.agents.artifacts import Analysis, Check, Draft, Evidence, Quote, Review
from signoff.agents.citations import flatten, without_sources
from signoff.agents.loop.json_mode import lacks_tools, parse_object
from signoff.agents.models.guarded import GuardedModel
from signoff.agents.models.registry import Tiers, tiers_of
from signoff.agents.roles.checks import find_statements, inspect, struck_section
from signoff.agents.roles.prompts import prompt
from signoff.tools import Action
from signoff.tools.analysis import Tables
from signoff.tools.search import Library

_TIER = "smart"

_MOST_DOUBTED = 10
"""Sentences that are asked about: a small model takes its time for each, and a draft may come back."""
_FEWEST_WORDS_DOUBTED = 4
_DOUBT_FORM: Mapping[str, Any] = {
    "type": "json_schema",
    "json_schema": {
        "name": "supported",
        "schema": {
            "type": "object",
            "properties": {"supported": {"enum": ["yes", "no"]}},
            "required": ["supported"],
            "additionalProperties": False,
        },
    },
}
_DOUBT_TOKENS = 32


class Judgement(BaseModel):
    """What the model thinks of the draft."""

    accepted: bool
    notes: list[Annotated[str, Field(max_length=300)]] = Field(
        default_factory=list, max_length=5, description="What must change, empty if accepted"
    )


def reviewer(
    sources: Library,
    *,
    model: BaseChatModel | Tiers | None = None,
    tables: Tables | None = None,
    actions: Sequence[Action[Any]] = (),
    propose: Propose[Review] | None = None,
) -> Agent[Review]:
    """An agent that reviews the draft; `propose` says what should happen outside once it has.

    With `tables` it computes again what the report says of them.
    """

    def read(judgement: Judgement, task: Task) -> Review:
        review = inspect(task, sources, tables)
        if not judgement.accepted and not _is_small(task, model):
            notes = tuple(judgement.notes) or ("The reviewer did not accept the draft and gave no reason.",)
            return review.model_copy(update={"accepted": False, "notes": (*review.notes, *notes)})
        return _look_closer(review, task, model) if review.accepted and model is not None else review

    return Agent(
        role="reviewer",
        instructions=prompt("reviewer"),
        needs=(Evidence, Analysis, Draft),
        gives=Review,
        function=lambda task: inspect(task, sources, tables),
        model=model,
        tier=_TIER,
        form=Judgement,
        read=read,
        actions=tuple(actions),
        propose=propose,
    )


def _look_closer(review: Review, task: Task, model: BaseChatModel | Tiers) -> Review:
    """The review with what a small model doubts when it is asked of each sentence.

    It errs too often to have the last word: doubts send the draft back once, after that they stand for a person to see.
    """
    asked = tiers_of(model).model(_TIER, task.stronger)
    if not _is_small(task, model):
        return review
    doubts = _find_doubts(task, asked)
    promise = "Every sentence is what its quotes say."
    check = Check(name="sentences", passed=not doubts, detail=" ".join(doubts) or promise)
    again = isinstance(task.previous, Review)
    rejected = {} if again or not doubts else {"accepted": False, "notes": doubts}
    return review.model_copy(update={"checks": (*review.checks, check), **rejected})


def _is_small(task: Task, model: BaseChatModel | Tiers | None) -> bool:
    """Whether it is one without tool calls: such a model's judgement of a whole draft is not worth hearing."""
    if model is None:
        return False
    asked = tiers_of(model).model(_TIER, task.stronger)
    return bool(asked.json_actions or (asked.json_actions is None and lacks_tools(asked)))


def _find_doubts(task: Task, model: GuardedModel) -> tuple[str, ...]:
    """What the model finds unsupported, as notes; one call for each cited sentence of the draft."""
    cited = list(_cited_sentences(task.need(Draft), task.need(Evidence)))[:_MOST_DOUBTED]
    doubts = []
    for number, (sentence, quotes) in enumerate(cited, 1):
        task.say("checks sentence by sentence", done=number, total=len(cited))
        answer = model.invoke(_question(sentence, quotes), response_format=_DOUBT_FORM, max_tokens=_DOUBT_TOKENS)
        given = parse_object(str(answer.text)) or {}
        if given.get("supported") == "no":
            marks = " ".join(f"[{quote.id}]" for quote in quotes)
            doubts.append(f"“{sentence}” may not be what {marks} says; put it in the quote's words, or take it out.")
    return tuple(doubts)


def _cited_sentences(draft: Draft, evidence: Evidence) -> Iterator[tuple[str, list[Quote]]]:
    """The sentences of the report that rest on quotes, as plain text, each with those quotes."""
    quotes = {quote.id: quote for quote in evidence.quotes}
    body = without_sources(draft.markdown.replace(struck_section(draft.struck), "", 1))
    for statement in find_statements(body):
        for text, ids in statement.sentences:
            found = [quotes[id] for id in ids if id in quotes]
            if found and len(text.split()) >= _FEWEST_WORDS_DOUBTED:
                yield text, found


def _question(sentence: str, quotes: list[Quote]) -> list[BaseMessage]:
    passage = " ".join(flatten(quote.text) for quote in quotes)
    asked = f"Passage: {passage}\n\nSentence: {sentence}\n\nIs the sentence supported by the passage?"
    return [SystemMessage(prompt("doubt")), HumanMessage(asked)]
