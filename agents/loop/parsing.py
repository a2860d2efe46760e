"""Reads an answer of the model: its calls, in whichever way it makes them, the form, and whether it was cut."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import AIMessage, BaseMessage, ToolCall
from pydantic import BaseModel, ValidationError

from signoff.agents.loop.json_mode import parse_action, parse_object
from signoff.agents.loop.transcript import IN_TEXT, Call, as_text, noted_in

_CUT = ("length", "max_tokens", "MAX_TOKENS")
"""What providers call it when an answer reached the tokens it may have."""
_NO_OBJECT = "the arguments are no JSON object"
_KEPT = 2_000
"""Characters that are kept of an answer that is of no use."""


@dataclass(frozen=True)
class Answer:
    """One answer."""

    message: AIMessage
    """As it is kept: bounded, each of its calls with an id of its own."""
    calls: tuple[Call, ...] = ()
    is_cut: bool = False
    """It ended before it was complete, or is longer than an answer may be."""

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all."""
        return not self.calls and not as_text(self.message.content).strip()


@dataclass(frozen=True)
class Reader:
    """How the answers of a step are read."""

    form: type[BaseModel]
    is_alone: bool
    """There is nothing to call but the form."""
    native: bool
    """The model has tool calls; otherwise it answers with an action as JSON."""
    longest: int
    """Characters that an answer may have."""

    def read(self, message: AIMessage, number: int) -> Answer:
        """Read an answer, the step's first being number 1."""
        text = as_text(message.content)
        uses = (*message.tool_calls, *message.invalid_tool_calls) if self.native else ()
        if len(text) + sum(len(str(use["args"])) for use in uses) > self.longest:
            return Answer(_without_calls(text), is_cut=True)
        metadata = message.response_metadata
        is_cut = metadata.get("finish_reason") in _CUT or metadata.get("stop_reason") in _CUT
        if uses and (message.tool_calls or not is_cut):
            kept = _with_ids(message, number)
            return Answer(kept, _calls_of(kept))
        if calls := self._in_text(text):
            return Answer(AIMessage(text), calls)
        return Answer(_without_calls(text), is_cut=is_cut)

    def pending(self, said: Sequence[BaseMessage]) -> tuple[Call, ...]:
        """The calls of the last answer that nothing came of yet: there a step that was held goes on."""
        last = max((place for place, message in enumerate(said) if isinstance(message, AIMessage)), default=-1)
        since = [noted_in(message).get("call") for message in said[last + 1 :]]
        if last < 0 or None in since:
            return ()
        message = said[last]
        calls = _calls_of(message) if isinstance(message, AIMessage) else ()
        return tuple(call for call in calls or self._in_text(as_text(message.content)) if call.id not in since)

    def _in_text(self, text: str) -> tuple[Call, ...]:
        """The action that a text is; from a model with tool calls, the form, if it wrote it down and it fits."""
        if not self.native:
            action = parse_action(text, self.form.__name__, alone=self.is_alone)
            return () if action is None else (Call(IN_TEXT, *action),)
        values = parse_object(text)
        if values is None or not isinstance(fill_in(self.form, values), BaseModel):
            return ()
        return (Call(IN_TEXT, self.form.__name__, values),)


def as_sent(message: BaseMessage) -> BaseMessage:
    """The message as an endpoint takes it back: many refuse arguments that are no JSON, so those are left out."""
    if not isinstance(message, AIMessage) or not message.invalid_tool_calls:
        return message
    broken = [ToolCall(name=use["name"] or "", args={}, id=use["id"]) for use in message.invalid_tool_calls]
    return AIMessage(message.content, tool_calls=[*message.tool_calls, *broken])


def _calls_of(message: AIMessage) -> tuple[Call, ...]:
    """Its calls, those that could not be read last."""
    good = [Call(use["id"] or "", use["name"], use["args"]) for use in message.tool_calls]
    bad = [Call(use["id"] or "", use["name"] or "", {}, _NO_OBJECT) for use in message.invalid_tool_calls]
    return (*good, *bad)


def _with_ids(message: AIMessage, number: int) -> AIMessage:
    """The message with an id for each call that is not another's."""
    ids = [use["id"] for use in (*message.tool_calls, *message.invalid_tool_calls)]
    if all(ids) and len(set(ids)) == len(ids):
        return message
    return AIMessage(
        message.content,
        tool_calls=[{**use, "id": f"call_{number}_{place}"} for place, use in enumerate(message.tool_calls)],
        invalid_tool_calls=[
            {**use, "id": f"call_{number}_x{place}"} for place, use in enumerate(message.invalid_tool_calls)
        ],
    )


def _without_calls(text: str) -> AIMessage:
    """The beginning of an answer that could not be used."""
    return AIMessage(text if len(text) <= _KEPT else f"{text[:_KEPT]}… [cut: {len(text):,} characters in all]")


_MOST = 6
"""Problems that are named."""


def fill_in(form: type[BaseModel], values: Mapping[str, Any]) -> BaseModel | str:
    """The form with these values, or what is wrong with them, field by field."""
    try:
        return form.model_validate(values)
    except ValidationError as error:
        return tell_problems(error)
    except RecursionError:
        return "it is nested too deeply"


def tell_problems(error: ValidationError) -> str:
    """The fields that do not fit, and why."""
    problems = error.errors(include_url=False, include_context=False)
    told = [f"{'.'.join(map(str, problem['loc'])) or 'all of it'}: {problem['msg']}" for problem in problems[:_MOST]]
    more = f"; and {len(problems) - _MOST} more" if len(problems) > _MOST else ""
    return "; ".join(line[:300] for line in told) + more
