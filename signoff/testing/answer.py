"""An answer: a reply made to fit its call, ready to be sent in one piece or in many."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from signoff.errors import MissingExtra, ReplyMisfit
from signoff.testing.call import Call
from signoff.testing.replies import Finish, Reply, ToolUse, Value

PIECES = 20
"""Pieces a text is streamed in, at most."""


@dataclass(frozen=True)
class Answer:
    """What the model says to one call."""

    text: str
    tools: tuple[ToolUse, ...]
    refusal: str | None
    finish: Finish
    input_tokens: int
    output_tokens: int


def fit(reply: Reply, call: Call) -> Answer:
    """Turn a reply into the answer to this call; ReplyMisfit if it gives what the call cannot take."""
    text, tools = reply.text, reply.tools
    if reply.value is not None:
        wanted = _as_wanted(reply.value, call)
        text, tools = (text + wanted, tools) if isinstance(wanted, str) else (text, (*tools, wanted))
    tools = tuple(
        ToolUse(use.name, use.arguments, use.id or f"call_{call.number}_{position}")
        for position, use in enumerate(tools, start=1)
    )
    asked, said = reply.tokens or (
        sum(_tokens(str(message.text)) for message in call.messages) + sum(_tokens(json.dumps(t)) for t in call.tools),
        _tokens(text) + _tokens(reply.refusal or "") + sum(_tokens(use.name + use.arguments) for use in tools),
    )
    finish = reply.finish or ("tool_calls" if tools else "stop")
    return Answer(text, tools, reply.refusal, finish, asked, said)


def pieces(text: str) -> Iterator[str]:
    """Cut a text for streaming, into pieces of eight characters or longer."""
    size = max(8, -(-len(text) // PIECES))
    return (text[start : start + size] for start in range(0, len(text), size))


def _tokens(text: str) -> int:
    """A token for every four characters begun: an invented measure that never changes."""
    return -(-len(text) // 4)


def _as_wanted(value: Value, call: Call) -> str | ToolUse:
    """The value as the content's JSON, or as arguments of the bound tool it is for."""
    content = _plain(value)
    wanted = (call.response_format or {}).get("type")
    if wanted == "json_schema":
        schema = (call.response_format or {})["json_schema"]["schema"]
        if problem := _misfit(content, schema):
            raise ReplyMisfit(call.number, value, problem)
        return json.dumps(content)
    if wanted == "json_object":
        return json.dumps(content)
    return ToolUse(_tool_for(value, content, call), json.dumps(content))


def _tool_for(value: Value, content: dict[str, Any], call: Call) -> str:
    """The tool named like the value's class, or else the only one whose schema it fits."""
    schemas: dict[str, Any] = {tool["function"]["name"]: tool["function"].get("parameters", {}) for tool in call.tools}
    if not schemas:
        raise ReplyMisfit(call.number, value, "the call asks for no structured output")
    problems = {name: _misfit(content, schema) for name, schema in schemas.items()}
    named = type(value).__name__
    if problem := problems.get(named):
        raise ReplyMisfit(call.number, value, problem)
    fitting = [name for name, problem in problems.items() if not problem]
    if named in fitting:
        return named
    if len(fitting) != 1:
        raise ReplyMisfit(call.number, value, f"it fits {fitting or 'none'} of the tools {sorted(schemas)}, not one")
    return fitting[0]


def _plain(value: Value) -> dict[str, Any]:
    if isinstance(value, BaseModel):
        dumped: dict[str, Any] = value.model_dump(mode="json", by_alias=True)
        return dumped
    return dict(value)


def _misfit(content: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """Where the content departs from a JSON schema, or None."""
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ImportError as missing:
        raise MissingExtra("Structured output in signoff.testing", "testing") from missing
    error = best_match(Draft202012Validator(schema).iter_errors(content))
    return f"{error.message} (at {error.json_path})" if error else None
