"""Answers and faults as LangChain has them: a message, its chunks, an exception."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from langchain_core.exceptions import (
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelError,
    ModelInvalidRequestError,
    ModelNotFoundError,
    ModelPermissionDeniedError,
    ModelRateLimitError,
    ModelTimeoutError,
)
from langchain_core.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall
from langchain_core.messages.ai import UsageMetadata
from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk

from signoff.testing.answer import Answer, pieces
from signoff.testing.replies import Drop, Failure, Fault, Hang, ToolUse

_BY_STATUS: dict[int, type[ModelError]] = {
    401: ModelAuthenticationError,
    403: ModelPermissionDeniedError,
    404: ModelNotFoundError,
    429: ModelRateLimitError,
}


def message(answer: Answer, model: str) -> AIMessage:
    """The answer in one piece; arguments that are no JSON object become an invalid tool call."""
    uses = [_parsed(use) for use in answer.tools]
    return AIMessage(
        content=answer.text,
        tool_calls=[use for use in uses if use["type"] == "tool_call"],
        invalid_tool_calls=[use for use in uses if use["type"] == "invalid_tool_call"],
        additional_kwargs=_refusal(answer),
        usage_metadata=_usage(answer),
        response_metadata=_metadata(answer, model),
    )


def chunks(answer: Answer, model: str) -> Iterator[AIMessageChunk]:
    """The answer piece by piece; usage and the reason to stop come with the last."""
    for piece in pieces(answer.text):
        yield AIMessageChunk(content=piece)
    for index, use in enumerate(answer.tools):
        opening = tool_call_chunk(name=use.name, args="", id=use.id, index=index)
        yield AIMessageChunk(content="", tool_call_chunks=[opening])
        for piece in pieces(use.arguments):
            yield AIMessageChunk(content="", tool_call_chunks=[tool_call_chunk(args=piece, index=index)])
    yield AIMessageChunk(
        content="",
        additional_kwargs=_refusal(answer),
        usage_metadata=_usage(answer),
        response_metadata=_metadata(answer, model),
        chunk_position="last",
    )


def error(fault: Fault) -> Exception:
    """What a chat model raises for this fault, in the classes every provider's errors are made of."""
    match fault:
        case Failure():
            return _by_status(fault.status)(f"Error code: {fault.status} - {fault.message}")
        case Hang():
            return ModelTimeoutError("Request timed out.")
        case Drop():
            return ModelConnectionError("Connection error.")
        case _:
            return json.JSONDecodeError("Scripted garble", fault.body, 0)


def _by_status(status: int) -> type[ModelError]:
    return _BY_STATUS.get(status) or (ModelAPIError if status >= 500 else ModelInvalidRequestError)


def _parsed(use: ToolUse) -> ToolCall | InvalidToolCall:
    problem = "the arguments are no JSON object"
    try:
        arguments = json.loads(use.arguments)
    except ValueError as broken:
        arguments, problem = None, str(broken)
    if isinstance(arguments, dict):
        return tool_call(name=use.name, args=arguments, id=use.id)
    return invalid_tool_call(name=use.name, args=use.arguments, id=use.id, error=problem)


def _refusal(answer: Answer) -> dict[str, Any]:
    return {} if answer.refusal is None else {"refusal": answer.refusal}


def _usage(answer: Answer) -> UsageMetadata:
    total = answer.input_tokens + answer.output_tokens
    return UsageMetadata(input_tokens=answer.input_tokens, output_tokens=answer.output_tokens, total_tokens=total)


def _metadata(answer: Answer, model: str) -> dict[str, Any]:
    return {"model_name": model, "model_provider": "scripted", "finish_reason": answer.finish}
