"""OpenAI's chat completions, as they stand on the wire."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from langchain_core.messages import convert_to_messages

from signoff.testing.answer import Answer, pieces
from signoff.testing.call import Call
from signoff.testing.replies import Failure


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
    """The body of an HTTP error."""
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
    """The body of `/v1/models`."""
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
