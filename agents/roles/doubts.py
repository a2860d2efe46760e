"""Doubts: a small model approves of everything it is shown at once, so it is asked of one sentence at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import BaseMessage, HumanMessage, SystemMessage

from signoff.agents.agent import Task
from signoff.agents.artifacts import Draft, Evidence, Quote
from signoff.agents.citations import CITATION, SOURCES_LIST, flatten, unescape
from signoff.agents.extractive.sentences import split
from signoff.agents.loop.abilities import lacks_tools
from signoff.agents.loop.json_mode import parse_object
from signoff.agents.models.guarded import GuardedModel

_MOST = 24
"""Sentences that are asked about."""
_FEWEST_WORDS = 4
_INSTRUCTIONS = "You check facts. Answer yes only if the passage says what the sentence says."
_FORM: Mapping[str, Any] = {
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
_ANSWER_TOKENS = 32


def answers_in_json(model: GuardedModel) -> bool:
    """Whether it is a model without tool calls: a small one."""
    return model.json_actions or (model.json_actions is None and lacks_tools(model))


def find_doubts(task: Task, model: GuardedModel) -> tuple[str, ...]:
    """What the model finds unsupported, as notes; one call for each cited sentence of the draft."""
    cited = list(_cited_sentences(task.need(Draft), task.need(Evidence)))[:_MOST]
    doubts = []
    for number, (sentence, quotes) in enumerate(cited, 1):
        task.say("checks sentence by sentence", done=number, total=len(cited))
        answer = model.invoke(_question(sentence, quotes), response_format=_FORM, max_tokens=_ANSWER_TOKENS)
        given = parse_object(str(answer.text)) or {}
        if given.get("supported") == "no":
            marks = " ".join(f"[{quote.id}]" for quote in quotes)
            doubts.append(f"“{sentence}” may not be what {marks} says; put it in the quote's words, or take it out.")
    return tuple(doubts)


def _cited_sentences(draft: Draft, evidence: Evidence) -> Iterator[tuple[str, list[Quote]]]:
    """The sentences of the report that cite quotes, as plain text, each with those quotes."""
    quotes = {quote.id: quote for quote in evidence.quotes}
    body = SOURCES_LIST.split(draft.markdown)[0]
    for line in body.splitlines():
        if line.startswith(("#", ">")):
            continue
        for sentence in split(line):
            found = [quotes[int(id)] for id in CITATION.findall(sentence.text) if int(id) in quotes]
            text = flatten(unescape(CITATION.sub("", sentence.text))).replace(" .", ".")
            if found and len(text.split()) >= _FEWEST_WORDS:
                yield text, found


def _question(sentence: str, quotes: list[Quote]) -> list[BaseMessage]:
    passage = " ".join(flatten(quote.text) for quote in quotes)
    asked = f"Passage: {passage}\n\nSentence: {sentence}\n\nIs the sentence supported by the passage?"
    return [SystemMessage(_INSTRUCTIONS), HumanMessage(asked)]
