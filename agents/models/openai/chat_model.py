"""A chat model for OpenAI-compatible endpoints: `ChatOpenAI` without the openai client beneath it."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Self

import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from openai.types.chat import ChatCompletion
from pydantic import BaseModel, Field, PrivateAttr, SecretStr, model_validator
from yarl import URL

from signoff import concurrency
from signoff.agents.models.openai.client import complete, open_stream
from signoff.agents.models.openai.connections import Letter, patience_of
from signoff.agents.models.openai.errors import malformed
from signoff.concurrency import stream

_OFFICIAL = "https://api.openai.com/v1"
_RETRIES = 2
"""As many as the openai client tries unless told otherwise."""
_KEPT_HEADERS = ("retry-after", "ratelimit", "x-ratelimit-", "anthropic-ratelimit-", "x-request-id")
_CLIENTS = ("client", "async_client", "root_client", "root_async_client")


class _Unbuilt:
    """Stands where `ChatOpenAI` has an openai client: none is built until something needs it."""


class Endpoint(ChatOpenAI):
    """`ChatOpenAI` with a lean way to the endpoint, for many calls at once.

    Arguments, answers, streams and errors are those of `ChatOpenAI`. Chat completions go by aiohttp over a pool that
    the process shares, and their JSON becomes messages directly; what needs the openai client (the Responses API, a
    client or gateway of your own) goes by it. Response headers about rate limits, and the request's id, are in the
    message's `response_metadata["headers"]`.
    """

    total_timeout: float | None = Field(default=None, gt=0)
    """Seconds that one try may take in all; `timeout` is for a connection, and for each wait for the next byte."""

    _twin: tuple[dict[str, Any], ChatOpenAI] | None = PrivateAttr(default=None)

    @model_validator(mode="before")
    @classmethod
    def leave_clients_unbuilt(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Keep `ChatOpenAI` from building clients, unless one was given."""
        if any(values.get(name) for name in (*_CLIENTS, "http_client", "http_async_client")):
            return values
        return {**values, "client": _Unbuilt(), "async_client": _Unbuilt()}

    @model_validator(mode="after")
    def decide_without_clients(self) -> Self:
        """Decide what `ChatOpenAI` does while it builds them: that a key is needed, and whether streams tell usage."""
        if isinstance(self.client, _Unbuilt):
            official = self.openai_api_base is None and "OPENAI_BASE_URL" not in os.environ
            if official and self.stream_usage is None and self.openai_proxy is None:
                self.stream_usage = True
            if self.openai_api_key is None:
                raise openai.OpenAIError("The endpoint needs a key. Give it as api_key, or set OPENAI_API_KEY.")
        return self

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if twin := self._needed_twin(kwargs):
            return twin._generate(messages, stop, run_manager, **kwargs)
        return concurrency.run(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        if twin := self._needed_twin(kwargs):
            return await twin._agenerate(messages, stop, run_manager, **kwargs)
        payload = self._get_request_payload(messages, stop=stop, **kwargs)
        form = _take_form(payload)
        letter = await self._letter(payload)
        completion = await complete(letter, self._retries)
        content = _completed(completion.content)
        try:
            result = self._create_chat_result(content, self._told(completion.headers))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise malformed(letter.url, 200, completion.headers, "", f"It cannot be read: {error}") from error
        said = result.generations[0].message.additional_kwargs
        if form is not None:
            said["parsed"] = filled_in(form, content)
        said["refusal"] = content["choices"][0]["message"].get("refusal")
        return result

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        if twin := self._needed_twin(kwargs):
            yield from twin._stream(messages, stop, run_manager, **kwargs)
            return
        for chunk in stream(self._astream(messages, stop, **kwargs)):
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk, logprobs=_logprobs(chunk))
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        *,
        stream_usage: bool | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        if twin := self._needed_twin(kwargs):
            usage = {} if stream_usage is None else {"stream_usage": stream_usage}
            async for chunk in twin._astream(messages, stop, run_manager, **usage, **kwargs):
                yield chunk
            return
        kwargs["stream"] = True
        if self._should_stream_usage(stream_usage, **kwargs):
            kwargs["stream_options"] = {"include_usage": True}
        payload = self._get_request_payload(messages, stop=stop, **kwargs)
        async with aclosing(self._chunks(payload)) as chunks:
            async for chunk in chunks:
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk, logprobs=_logprobs(chunk))
                yield chunk

    async def _chunks(self, payload: dict[str, Any]) -> AsyncGenerator[ChatGenerationChunk, None]:
        form, dictation = _take_form(payload), Dictation()
        letter = await self._letter(payload, most_idle=self.stream_chunk_timeout)
        async with open_stream(letter, self._retries) as stream:
            information = self._told(stream.headers)
            async with aclosing(stream.chunks(self.stream_chunk_timeout)) as contents:
                async for content in contents:
                    dictation.add(content)
                    chunk = self._convert_chunk_to_generation_chunk(content, AIMessageChunk, information)
                    if chunk is not None:
                        information = {}
                        yield _with_refusal(chunk, content)
        if form is not None:
            parsed = filled_in(form, dictation.completion)
            yield ChatGenerationChunk(message=AIMessageChunk(content="", additional_kwargs={"parsed": parsed}))

    @property
    def _retries(self) -> int:
        return _RETRIES if self.max_retries is None else self.max_retries

    async def _letter(self, payload: dict[str, Any], *, most_idle: float | None = None) -> Letter:
        """The request for this payload."""
        headers = payload.pop("extra_headers", None) or {}
        query = payload.pop("extra_query", None) or {}
        extra = payload.pop("extra_body", None) or {}
        patience = patience_of(payload.pop("timeout", self.request_timeout), self.total_timeout)
        if most_idle and (patience.idle is None or most_idle < patience.idle):
            patience = replace(patience, idle=most_idle)
        body = json.dumps({**payload, **extra}, ensure_ascii=False, separators=(",", ":"))
        return Letter(
            url=_address(self.openai_api_base or os.environ.get("OPENAI_BASE_URL") or _OFFICIAL, self._query(query)),
            headers={**await self._headers(), **(self.default_headers or {}), **headers},
            body=body.encode(errors="replace"),  # half a character, as broken files hold, is no reason to fail
            patience=patience,
            proxy=self.openai_proxy or None,
        )

    async def _headers(self) -> dict[str, str]:
        headers = {
            "Authorization": f"Bearer {await self._key()}",
            "Content-Type": "application/json",
            "User-Agent": "signoff",
        }
        for name, value in (
            ("OpenAI-Organization", self.openai_organization),
            ("OpenAI-Project", os.environ.get("OPENAI_PROJECT_ID")),
        ):
            if value:
                headers[name] = value
        return headers

    async def _key(self) -> str:
        key = self.openai_api_key
        if isinstance(key, SecretStr):
            return key.get_secret_value()
        if key is None:
            return ""
        if inspect.iscoroutinefunction(key):
            return str(await key())
        return str(await asyncio.to_thread(key))

    def _query(self, extra: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
        return tuple((name, str(value)) for name, value in {**(self.default_query or {}), **extra}.items())

    def _told(self, headers: Mapping[str, str]) -> dict[str, Any]:
        """What the message's metadata says of the response: its headers, where there are any to keep."""
        if self.include_response_headers:
            return {"headers": dict(headers)}
        kept = {name.lower(): value for name, value in headers.items() if name.lower().startswith(_KEPT_HEADERS)}
        return {"headers": kept} if kept else {}

    def _needed_twin(self, kwargs: Mapping[str, Any]) -> ChatOpenAI | None:
        """A `ChatOpenAI` with the same fields, where only that can make this call."""
        if isinstance(self.client, _Unbuilt) and not self._uses_gateway:
            wanted = kwargs.get("response_format")
            is_readable = wanted is None or isinstance(wanted, dict) or _is_model(wanted)
            if is_readable and not self._use_responses_api({**self.model_kwargs, **kwargs}):
                return None
        left_out = _CLIENTS if isinstance(self.client, _Unbuilt) else ()
        fields = {
            name: getattr(self, name)
            for name in self.model_fields_set & set(ChatOpenAI.model_fields)
            if name not in left_out
        }
        if self._twin is None or self._twin[0] != fields:
            self._twin = fields, ChatOpenAI(**fields)
        return self._twin[1]


@lru_cache(maxsize=64)
def _address(base: str, query: tuple[tuple[str, str], ...]) -> URL:
    url = URL(base)
    return url.joinpath("chat", "completions").with_query([*url.query.items(), *query])


def _is_model(wanted: object) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, BaseModel)


def _take_form(payload: dict[str, Any]) -> Form | None:
    """The form that a payload of our own asks for, which then has it as the endpoint reads it."""
    if "response_format" not in payload:
        return None
    form = form_of(payload["response_format"])
    payload["response_format"] = form.asked
    return form


def _completed(content: dict[str, Any]) -> dict[str, Any]:
    """A completion with the fields that an endpoint may leave out, as the openai client fills them in."""
    usage = content.get("usage")
    if not isinstance(usage, dict):
        usage = None
    if usage:
        usage = {"completion_tokens_details": None, "prompt_tokens_details": None, **usage}
    choices = [{"logprobs": None, **choice} for choice in content["choices"]]
    return {"system_fingerprint": None, **content, "choices": choices, "usage": usage}


def _with_refusal(chunk: ChatGenerationChunk, content: Mapping[str, Any]) -> ChatGenerationChunk:
    """The chunk with its piece of a refusal, which `ChatOpenAI` loses."""
    delta = content["choices"][0]["delta"] if content["choices"] else {}
    if delta.get("refusal"):
        chunk.message.additional_kwargs["refusal"] = delta["refusal"]
    return chunk


def _logprobs(chunk: ChatGenerationChunk) -> Any:
    return (chunk.generation_info or {}).get("logprobs")


@dataclass(frozen=True)
class Form:
    """A format for the model's answer."""

    asked: dict[str, Any]
    """As it stands in the request."""
    type: type[BaseModel] | None = None
    """What the answer is read into; None leaves it as text."""


def form_of(wanted: type[BaseModel] | dict[str, Any]) -> Form:
    """The form for a `response_format`."""
    return Form(wanted) if isinstance(wanted, dict) else _typed_form(wanted)


@lru_cache(maxsize=128)
def _typed_form(wanted: type[BaseModel]) -> Form:
    function = openai.pydantic_function_tool(wanted)["function"]
    schema = {"schema": function["parameters"], "name": function["name"], "strict": True}
    return Form({"type": "json_schema", "json_schema": schema}, wanted)


def filled_in(form: Form, completion: Mapping[str, Any]) -> BaseModel | None:
    """What the model filled in; None where it refused, called a tool, or the form has no type.

    openai.LengthFinishReasonError if it was cut, openai.ContentFilterFinishReasonError if it was withheld,
    pydantic.ValidationError if it does not fit.
    """
    choice = completion["choices"][0]
    finish, message = choice.get("finish_reason"), choice["message"]
    if finish == "length":
        raise openai.LengthFinishReasonError(completion=ChatCompletion.construct(**completion))
    if finish == "content_filter":
        raise openai.ContentFilterFinishReasonError(completion=ChatCompletion.construct(**completion))
    if form.type is None or not message.get("content") or message.get("refusal"):
        return None
    return form.type.model_validate_json(message["content"])


class Dictation:
    """A streamed answer, written down as it comes."""

    def __init__(self) -> None:
        self._about: Mapping[str, Any] = {}
        self._content: list[str] = []
        self._refusal: list[str] = []
        self._finish: str | None = None

    def add(self, chunk: Mapping[str, Any]) -> None:
        """The next chunk."""
        self._about = self._about or chunk
        for choice in chunk["choices"][:1]:
            delta = choice["delta"] or {}
            self._content.append(delta.get("content") or "")
            self._refusal.append(delta.get("refusal") or "")
            self._finish = choice.get("finish_reason") or self._finish

    @property
    def completion(self) -> dict[str, Any]:
        """The answer in one piece, without its tool calls and usage."""
        message = {
            "role": "assistant",
            "content": "".join(self._content) or None,
            "refusal": "".join(self._refusal) or None,
        }
        choice = {"index": 0, "finish_reason": self._finish, "message": message}
        about = {name: self._about.get(name) for name in ("id", "created", "model")}
        return {**about, "object": "chat.completion", "choices": [choice]}
