"""Chat completions over HTTP: a request out, its answer back, whole or chunk by chunk, as LangChain's messages."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Mapping
from functools import lru_cache
from typing import Any, cast

import aiohttp
import openai
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
from langchain_core.messages.tool import tool_call_chunk
from langchain_core.output_parsers.openai_tools import make_invalid_tool_call, parse_tool_call
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from signoff.agents.models.openai.connections import Request, fetch, open_response, translated
from signoff.agents.models.openai.errors import dropped, interrupted, malformed, timed_out

_KEPT_HEADERS = ("retry-after", "ratelimit", "x-ratelimit-", "anthropic-ratelimit-", "x-request-id")
_MOST_KEPT = 64
"""Pieces of what is no stream that are kept, to see what it is."""
_LAST_BYTES_SECONDS = 0.1
"""How long to wait for the end of a stream that said it is done, so that its connection can be used again."""


Wanted = type[BaseModel] | dict[str, Any]
"""A `response_format`."""


async def complete(request: Request, model: str, wanted: Wanted | None, *, all_headers: bool) -> ChatResult:
    """This model's answer in one piece, as `ChatOpenAI` gives it; openai.APIError if there is none.

    With its headers, those about limits or all, and with what the model filled in.
    """
    status, headers, body = await fetch(request)
    try:
        content = json.loads(_text_of(body, headers))
    except (ValueError, RecursionError) as error:
        shown, problem = body.decode(errors="replace"), "it is no JSON" if body.strip() else "it is empty"
        raise malformed(request.url, status, headers, shown.strip(), problem) from error
    if problem := _problem_with(content):
        raise malformed(request.url, status, headers, content, problem)
    content = _filled(content)
    try:
        result = _result_of(content, model, _kept_headers(headers, everything=all_headers))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise malformed(request.url, status, headers, content, f"it cannot be read: {error}") from error
    if wanted:
        result.generations[0].message.additional_kwargs["parsed"] = _parsed(wanted, content)
    return result


def _text_of(body: bytes, headers: Mapping[str, str]) -> str | bytes:
    """The body as text: UTF-8, else in the letters that its head names, or that HTTP once had for all."""
    try:
        return body.decode()
    except UnicodeDecodeError:
        named = headers.get("Content-Type", "").partition("charset=")[2].partition(";")[0].strip("\"' ")
    try:
        return body.decode(named or "cp1252")
    except (LookupError, UnicodeDecodeError):
        return body  # JSON knows UTF-16 and UTF-32 by their first bytes


async def _keeping(pieces: AsyncIterator[bytes], kept: list[bytes]) -> AsyncIterator[bytes]:
    """The same pieces, which are kept as well until somebody takes them away."""
    async for piece in pieces:
        if len(kept) < _MOST_KEPT:
            kept.append(piece)
        yield piece


def _json_in(body: bytes) -> Any:
    """The JSON object that this is, or the text of one that is torn: what a model wrote; None if it is neither."""
    text = body.decode(errors="replace").lstrip()
    if not text.startswith("{"):
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


async def stream_completion(
    request: Request, longest_wait: float | None, *, all_headers: bool
) -> AsyncGenerator[ChatGenerationChunk, None]:
    """The answer chunk by chunk, as `ChatOpenAI` gives it, the first with the headers; errors as those of `complete`.

    openai.APIError also if the stream breaks off, or is only kept alive for too long.
    """
    async with open_response(request) as response:
        information = _kept_headers(response.headers, everything=all_headers)
        finished, seen, waiting_since = False, 0, time.monotonic()
        kept: list[bytes] = []
        async for event in read_events(_keeping(_read_pieces(request, response), kept)):
            if event == b"[DONE]":
                finished = True
                break
            if event:
                content = _content_of(event, request, response)
                waiting_since, seen = time.monotonic(), seen + 1
                kept.clear()
                finished = finished or any(choice.get("finish_reason") for choice in content["choices"])
                if (chunk := _chunk_of(content, information)) is not None:
                    information = {}
                    yield chunk
            elif longest_wait and time.monotonic() - waiting_since > longest_wait:
                raise timed_out(request.url)
        if not finished:
            kind = response.content_type
            if not seen and kind != "text/event-stream":
                body = _json_in(b"".join(kept)) or kind
                raise malformed(request.url, response.status, response.headers, body, "it is no stream of events")
            raise dropped(request.url, f"Connection error: the stream ended unfinished, after {seen} chunks.")
        try:
            async with asyncio.timeout(_LAST_BYTES_SECONDS):
                await response.content.read()
        except (TimeoutError, aiohttp.ClientError):
            response.close()  # the answer is complete, only its connection is not fit for another


async def _read_pieces(request: Request, response: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    with translated(request):
        async for piece in response.content.iter_any():
            yield piece


def _content_of(event: bytes, request: Request, response: aiohttp.ClientResponse) -> dict[str, Any]:
    """What an event of a stream says; openai.APIError if it is none, or says that something went wrong."""
    try:
        content = json.loads(event)
    except (ValueError, RecursionError) as error:
        shown, problem = event.decode(errors="replace"), "an event of it is no JSON"
        raise malformed(request.url, response.status, response.headers, shown, problem) from error
    if not isinstance(content, dict):
        raise malformed(request.url, response.status, response.headers, content, "an event of it is no object")
    if content.get("error"):
        raise interrupted(request.url, content["error"])
    return {**content, "choices": [{"delta": {}, **choice} for choice in content.get("choices") or ()]}


def _kept_headers(headers: Mapping[str, str], *, everything: bool) -> dict[str, Any]:
    """What a message's metadata says of its response: the headers about limits or all, where there are any to keep."""
    if everything:
        return {"headers": dict(headers)}
    kept = {name.lower(): value for name, value in headers.items() if name.lower().startswith(_KEPT_HEADERS)}
    return {"headers": kept} if kept else {}


def _problem_with(content: Any) -> str:
    """Why this is no completion; empty if it is one."""
    if not isinstance(content, dict):
        return f"it is a {type(content).__name__}, no object"
    if content.get("error"):
        return "it is an error"
    choices = content.get("choices")
    if not isinstance(choices, list) or not choices:
        return "it has no choices"
    for choice in choices:
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            return "a choice of it has no message"
    return ""


def _filled(content: dict[str, Any]) -> dict[str, Any]:
    """A completion with the fields that an endpoint may leave out, as the openai client fills them in."""
    usage = content.get("usage")
    if not isinstance(usage, dict):
        usage = None
    if usage:
        usage = {"completion_tokens_details": None, "prompt_tokens_details": None, **usage}
    choices = [{"logprobs": None, **choice} for choice in content["choices"]]
    return {"system_fingerprint": None, **content, "choices": choices, "usage": usage}


def _result_of(content: Mapping[str, Any], model: str, information: Mapping[str, Any]) -> ChatResult:
    usage, tier = content["usage"], content.get("service_tier")
    generations = []
    for choice in content["choices"]:
        message = _message_of(choice["message"])
        if usage:
            message.usage_metadata = _usage_of(usage, tier)
        told = {**information, "finish_reason": choice.get("finish_reason"), "logprobs": choice["logprobs"]}
        generations.append(ChatGeneration(message=message, generation_info=told))
    about = {
        "token_usage": usage,
        "model_provider": "openai",
        "model_name": content.get("model", model),
        "system_fingerprint": content["system_fingerprint"],
        **{name: content[name] for name in ("id", "service_tier") if content.get(name)},
    }
    return ChatResult(generations=generations, llm_output=about)


def _message_of(said: Mapping[str, Any]) -> AIMessage:
    """The message; ValueError if it is none of a model's."""
    if said.get("role", "assistant") != "assistant":
        raise ValueError(f"its message is that of a {said['role']!r}")
    calls, broken = [], []
    for call in said.get("tool_calls") or ():
        try:
            calls.append(parse_tool_call(call, return_id=True))
        except (KeyError, TypeError, ValueError) as error:
            broken.append(make_invalid_tool_call(call, str(error)))
    more = {name: said[name] for name in ("function_call", "audio") if said.get(name)}
    return AIMessage(
        content=said.get("content") or "",
        additional_kwargs={**more, "refusal": said.get("refusal")},
        name=said.get("name"),
        tool_calls=calls,
        invalid_tool_calls=broken,
    )


def _chunk_of(content: Mapping[str, Any], information: Mapping[str, Any]) -> ChatGenerationChunk | None:
    """A chunk as `ChatOpenAI` gives it, with this in its information as well; None if there is nothing in it."""
    usage = _usage_of(content["usage"], content.get("service_tier")) if content.get("usage") else None
    if not content["choices"]:
        return ChatGenerationChunk(
            message=AIMessageChunk(content="", usage_metadata=usage), generation_info=dict(information)
        )
    choice = content["choices"][0]
    if choice["delta"] is None:
        return None
    delta, told = choice["delta"], dict(information)
    if choice.get("finish_reason"):
        told["finish_reason"] = choice["finish_reason"]
        about = {"model_name": "model", "system_fingerprint": "system_fingerprint", "service_tier": "service_tier"}
        told |= {name: content[field] for name, field in about.items() if content.get(field)}
    if choice.get("logprobs"):
        told["logprobs"] = choice["logprobs"]
    message = AIMessageChunk(
        content=delta.get("content") or "",
        additional_kwargs={name: delta[name] for name in ("function_call", "refusal") if delta.get(name)},
        tool_call_chunks=[
            tool_call_chunk(
                name=called.get("name"), args=called.get("arguments"), id=call.get("id"), index=call.get("index", place)
            )
            for place, call in enumerate(delta.get("tool_calls") or ())
            if (called := call.get("function")) is not None
        ],
        response_metadata={"model_provider": "openai"},
    )
    message.usage_metadata = usage
    return ChatGenerationChunk(message=message, generation_info=told or None)


def _usage_of(used: Mapping[str, Any], tier: str | None) -> UsageMetadata:
    """LangChain's count of the tokens; those of a tier with a price of its own stand under its name."""
    read, written = used.get("prompt_tokens") or 0, used.get("completion_tokens") or 0
    prompt, answer = used.get("prompt_tokens_details") or {}, used.get("completion_tokens_details") or {}
    tier = tier if tier in ("priority", "flex") else None
    prefix = f"{tier}_" if tier else ""
    of_prompt = {
        "audio": prompt.get("audio_tokens"),
        f"{prefix}cache_read": prompt.get("cached_tokens"),
        f"{prefix}cache_creation": prompt.get("cache_write_tokens"),
    }
    of_answer = {"audio": answer.get("audio_tokens"), f"{prefix}reasoning": answer.get("reasoning_tokens")}
    if tier:
        of_prompt[tier] = read - (of_prompt[f"{prefix}cache_read"] or 0)
        of_answer[tier] = written - (of_answer[f"{prefix}reasoning"] or 0)
    total = used.get("total_tokens")
    return UsageMetadata(
        input_tokens=read,
        output_tokens=written,
        total_tokens=read + written if total is None else total,
        input_token_details=cast(InputTokenDetails, {name: n for name, n in of_prompt.items() if n is not None}),
        output_token_details=cast(OutputTokenDetails, {name: n for name, n in of_answer.items() if n is not None}),
    )


def is_readable(wanted: object) -> bool:
    """Whether this is a `response_format` that can be asked for, and its answer read, here."""
    return isinstance(wanted, dict) or (isinstance(wanted, type) and issubclass(wanted, BaseModel))


def as_asked(wanted: Wanted) -> dict[str, Any]:
    """A `response_format` as the endpoint reads it."""
    return wanted if isinstance(wanted, dict) else _schema_of(wanted)


@lru_cache(maxsize=128)
def _schema_of(wanted: type[BaseModel]) -> dict[str, Any]:
    function = openai.pydantic_function_tool(wanted)["function"]
    schema = {"schema": function["parameters"], "name": function["name"], "strict": True}
    return {"type": "json_schema", "json_schema": schema}


def _parsed(wanted: Wanted, completion: Mapping[str, Any]) -> BaseModel | None:
    """What the model filled in; None where it refused, called a tool, or the format has no type to read it into.

    openai.LengthFinishReasonError if it was cut, openai.ContentFilterFinishReasonError if it was withheld,
    pydantic.ValidationError if it does not fit.
    """
    choice = completion["choices"][0]
    finish, message = choice.get("finish_reason"), choice["message"]
    if finish == "length":
        raise openai.LengthFinishReasonError(completion=ChatCompletion.construct(**completion))
    if finish == "content_filter":
        raise openai.ContentFilterFinishReasonError(completion=ChatCompletion.construct(**completion))
    if isinstance(wanted, dict) or not message.get("content") or message.get("refusal"):
        return None
    return wanted.model_validate_json(message["content"])


async def read_events(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The data of each event, in order; comments that only keep the connection alive come as empty data.

    What stands after the last end of a line was cut off, and is left out.
    """
    data: list[bytes] = []
    async for line in _lines(pieces):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield data[0] if len(data) == 1 else b"\n".join(data)
            data = []
        elif line.startswith(b":"):
            yield b""
    if data:
        yield b"\n".join(data)


async def _lines(pieces: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The lines without their ends; a line of any length is put together once."""
    begun: list[bytes] = []
    async for piece in pieces:
        first, *others = piece.split(b"\n")
        begun.append(first)
        for line in others:
            yield b"".join(begun).removesuffix(b"\r")
            begun = [line]
