"""OpenAI's chat completions on the wire: a request is read, and a scripted reply becomes its answer or its pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import convert_to_messages
from pydantic import BaseModel

from signoff.error_base import MissingExtra, ReplyMisfit
from signoff.testing.script import Call, Failure, Finish, Reply, ToolUse, Value


def parsed_call(body: Mapping[str, Any]) -> Call:
    """The call that a request's body makes; ValueError, KeyError or TypeError if it makes none."""
    return Call(
        messages=tuple(convert_to_messages(body["messages"])),
        tools=tuple(body.get("tools") or ()),
        tool_choice=body.get("tool_choice"),
        response_format=body.get("response_format"),
        model=body["model"],
    )


def completion(answer: Answer, call: Call) -> dict[str, Any]:
    """The answer in one piece."""
    message: dict[str, Any] = {"role": "assistant", "content": answer.text, "refusal": answer.refusal}
    if answer.tools or answer.refusal is not None:
        message["content"] = answer.text or None
    if answer.tools:
        message["tool_calls"] = [_tool_use(use.id, use.name, use.arguments) for use in answer.tools]
    choice = {"index": 0, "message": message, "finish_reason": answer.finish, "logprobs": None}
    return {**_envelope("chat.completion", call), "choices": [choice], "usage": _usage(answer)}


def completion_chunks(answer: Answer, call: Call, *, include_usage: bool) -> Iterator[dict[str, Any]]:
    """The answer piece by piece; usage follows as a chunk of its own if the client asked for it."""
    envelope = _envelope("chat.completion.chunk", call)

    def chunk(delta: dict[str, Any], finish: str | None = None) -> dict[str, Any]:
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return {**envelope, "choices": [choice], **({"usage": None} if include_usage else {})}

    yield chunk({"role": "assistant", "content": None if answer.tools else ""})
    for piece in pieces(answer.text):
        yield chunk({"content": piece})
    for piece in pieces(answer.refusal or ""):
        yield chunk({"refusal": piece})
    for index, use in enumerate(answer.tools):
        yield chunk({"tool_calls": [{"index": index, **_tool_use(use.id, use.name, "")}]})
        for piece in pieces(use.arguments):
            yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})
    yield chunk({}, answer.finish)
    if include_usage:
        yield {**envelope, "choices": [], "usage": _usage(answer)}


def error_body(failure: Failure) -> dict[str, Any]:
    kind = "server_error" if failure.status >= 500 else "invalid_request_error"
    return {"error": {"message": failure.message, "type": kind, "param": None, "code": failure.code}}


def error_headers(failure: Failure) -> dict[str, str]:
    """The headers of an HTTP error; a rate limit says that nothing remains, and when that changes."""
    if failure.status != 429:
        return dict(failure.headers)
    reset = f"{failure.headers.get('Retry-After', '1')}s"
    limits = {
        f"x-ratelimit-{what}-{unit}": value
        for unit in ("requests", "tokens")
        for what, value in (("limit", "1"), ("remaining", "0"), ("reset", reset))
    }
    return {**limits, **failure.headers}


def model_list(models: tuple[str, ...]) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [{"id": model, "object": "model", "created": 0, "owned_by": "signoff"} for model in models],
    }


def _envelope(kind: str, call: Call) -> dict[str, Any]:
    return {"id": f"chatcmpl-{call.number}", "object": kind, "created": 0, "model": call.model}


def _tool_use(use_id: str | None, name: str, arguments: str) -> dict[str, Any]:
    return {"id": use_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def _usage(answer: Answer) -> dict[str, int]:
    return {
        "prompt_tokens": answer.input_tokens,
        "completion_tokens": answer.output_tokens,
        "total_tokens": answer.input_tokens + answer.output_tokens,
    }


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
    content = value.model_dump(mode="json", by_alias=True) if isinstance(value, BaseModel) else dict(value)
    wanted = call.response_format or {}
    kind = wanted.get("type")
    if kind == "json_schema" and (problem := _misfit(content, wanted["json_schema"]["schema"])):
        raise ReplyMisfit(call.number, value, problem)
    if kind in ("json_schema", "json_object"):
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


def _misfit(content: Mapping[str, Any], schema: Mapping[str, Any]) -> str | None:
    """Where the content departs from a JSON schema, or None."""
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import best_match
    except ImportError as missing:
        raise MissingExtra("Structured output in signoff.testing", "testing") from missing
    error = best_match(Draft202012Validator(schema).iter_errors(content))
    return f"{error.message} (at {error.json_path})" if error else None
