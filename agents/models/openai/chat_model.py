"""A chat model for OpenAI-compatible endpoints: chat completions of its own, and `ChatOpenAI` for all the rest."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import lru_cache
from typing import Any, Self, cast

import aiohttp
import openai
from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, BaseMessage, ToolMessage, convert_to_openai_messages
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from langchain_openai import ChatOpenAI
from pydantic import ConfigDict, Field, PrivateAttr, SecretStr, model_validator
from yarl import URL

from signoff import concurrency
from signoff.agents.models.openai.client import as_asked, complete, is_readable, stream_completion
from signoff.agents.models.openai.connections import Request
from signoff.agents.models.rebinding import rebound
from signoff.concurrency import stream

_OFFICIAL = "https://api.openai.com/v1"
_SENT = frozenset(
    "temperature top_p seed n presence_penalty frequency_penalty logprobs top_logprobs logit_bias reasoning_effort "
    "verbosity prompt_cache_options service_tier store".split()
)
"""Options of `ChatOpenAI` that stand in the request by their own names."""
_RESPONSES_API = frozenset("context_management include previous_response_id reasoning text truncation".split())
"""Options that only the Responses API has."""
_CONNECTING = 15.0
"""Seconds that a connection may take, unless it is said."""
_OWN = ("total_timeout", "callbacks", "cache", "rate_limiter")
"""What is seen to here whoever makes the call."""


class Endpoint(BaseChatModel):
    """`ChatOpenAI` with a lean way to the endpoint, for many calls at once.

    Arguments, answers, streams and errors are those of `ChatOpenAI`. Chat completions go by aiohttp over a pool that
    the process shares, and their JSON becomes messages directly. A `ChatOpenAI` with the same arguments makes the calls
    that need more: the Responses API, retries, a client or gateway of your own, any option not known here. Response
    headers about rate limits, and the request's id, are in the message's `response_metadata["headers"]`.
    """

    model_config = ConfigDict(populate_by_name=True, extra="allow")

    model_name: str = Field(default="gpt-3.5-turbo", alias="model")
    openai_api_base: str | None = Field(default=None, alias="base_url")
    openai_api_key: SecretStr | Callable[[], str] | Callable[[], Awaitable[str]] | None = Field(
        default=None, alias="api_key"
    )
    openai_organization: str | None = Field(default=None, alias="organization")
    openai_proxy: str | None = None
    request_timeout: Any = Field(default=None, alias="timeout")
    total_timeout: float | None = Field(default=None, gt=0)
    """Seconds that one try may take in all; `timeout` is for a connection, and for each wait for the next byte."""
    max_retries: int | None = None
    streaming: bool = False
    stream_usage: bool | None = None
    stream_chunk_timeout: float | None = 120.0
    """Seconds that a stream may bring nothing but signs of life; None or 0: for ever."""
    include_response_headers: bool = False
    default_headers: Mapping[str, str] | None = None
    default_query: Mapping[str, object] | None = None
    max_tokens: int | None = Field(default=None, alias="max_completion_tokens")
    stop: list[str] | str | None = Field(default=None, alias="stop_sequences")
    extra_body: Mapping[str, Any] | None = None
    model_kwargs: dict[str, Any] = Field(default_factory=dict)
    use_responses_api: bool | None = None

    _by_openai: tuple[dict[str, Any], ChatOpenAI] | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def take_from_environment(self) -> Self:
        """Take what is not given from the variables that `ChatOpenAI` reads; openai.OpenAIError without a key."""
        env = os.environ.get
        self.openai_api_base = self.openai_api_base or env("OPENAI_API_BASE") or env("OPENAI_BASE_URL") or None
        if self.openai_api_key is None and (key := env("OPENAI_API_KEY")):
            self.openai_api_key = SecretStr(key)
        if self.openai_api_key is None and env("LANGSMITH_GATEWAY") is None:
            raise openai.OpenAIError("The endpoint needs a key. Give it as api_key, or set OPENAI_API_KEY.")
        self.openai_organization = self.openai_organization or env("OPENAI_ORG_ID") or env("OPENAI_ORGANIZATION")
        self.openai_proxy = self.openai_proxy or env("OPENAI_PROXY")
        if self.stream_usage is None and not (self.openai_api_base or self.openai_proxy):
            self.stream_usage = True
        return self

    @property
    def _llm_type(self) -> str:
        return "openai-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, **self._options}

    @classmethod
    def is_lc_serializable(cls) -> bool:
        """As `ChatOpenAI`, without the key."""
        return True

    @property
    def lc_secrets(self) -> dict[str, str]:
        """What is not written out, and the variable to take it from."""
        return {"openai_api_key": "OPENAI_API_KEY"}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        options = {**self._options, **kwargs}
        params = LangSmithParams(ls_provider="openai", ls_model_name=options["model"], ls_model_type="chat")
        if (temperature := options.get("temperature")) is not None:
            params["ls_temperature"] = temperature
        if most := options.get("max_tokens") or options.get("max_completion_tokens"):
            params["ls_max_tokens"] = most
        if stop := stop or options.get("stop"):
            params["ls_stop"] = stop
        return params

    def bind_tools(
        self, tools: Sequence[Any], *, tool_choice: Any = None, strict: bool | None = None, **options: Any
    ) -> Runnable[Any, AIMessage]:
        """The model with these tools, described and chosen from as `ChatOpenAI` does it."""
        if "response_format" in options:
            bound: Any = self._openai.bind_tools(tools, tool_choice=tool_choice, strict=strict, **options)
            return self.bind(**bound.kwargs)
        described = [convert_to_openai_tool(tool, strict=strict) for tool in tools]
        if tool_choice in [tool.get("function", tool).get("name") for tool in described]:
            tool_choice = {"type": "function", "function": {"name": tool_choice}}
        elif tool_choice in [tool.get("type") for tool in described]:
            tool_choice = {"type": tool_choice}
        elif tool_choice is True or tool_choice == "any":
            tool_choice = "required"
        if tool_choice:
            options["tool_choice"] = tool_choice
        return self.bind(tools=described, **{name: value for name, value in options.items() if value is not None})

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **options: Any) -> Runnable[Any, Any]:
        """The model that answers in this schema, by the methods of `ChatOpenAI`."""
        made = self._openai.with_structured_output(schema, include_raw=include_raw, **options)
        return cast(Runnable[Any, Any], rebound(made, self._openai, self))

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        del run_manager
        if not self._is_plain(kwargs):
            return _only(self._openai.generate([messages], stop, callbacks=[], **kwargs))
        return concurrency.run(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        del run_manager
        if not self._is_plain(kwargs):
            return _only(await self._openai.agenerate([messages], stop, callbacks=[], **kwargs))
        payload = self._payload(messages, stop, kwargs)
        if wanted := payload.get("response_format"):
            payload["response_format"] = as_asked(wanted)
        request = await _request_for(self, payload)
        return await complete(request, self.model_name, wanted, all_headers=self.include_response_headers)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        if self._is_plain(kwargs, stream=True):
            chunks = stream(self._astream(messages, stop, **kwargs))
        else:
            parts = self._openai.stream(messages, {"callbacks": []}, stop=stop, **kwargs)
            chunks = (ChatGenerationChunk(message=part) for part in parts)
        for chunk in chunks:
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk, logprobs=_logprobs(chunk))
            yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        if self._is_plain(kwargs, stream=True):
            longest, payload = self.stream_chunk_timeout, self._payload(messages, stop, self._streamed(kwargs))
            request = await _request_for(self, payload, most_idle=longest)
            chunks = stream_completion(request, longest, all_headers=self.include_response_headers)
        else:
            chunks = _as_chunks(self._openai.astream(messages, {"callbacks": []}, stop=stop, **kwargs))
        async with aclosing(chunks):
            async for chunk in chunks:
                if run_manager:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk, logprobs=_logprobs(chunk))
                yield chunk

    def _is_plain(self, options: Mapping[str, Any], *, stream: bool = False) -> bool:
        """Whether the call is a chat completion that asks for nothing but what is known here."""
        extra, key = self.model_extra or {}, self.openai_api_key
        options = {**self.model_kwargs, **options}
        if any(value is not None for name, value in extra.items() if name not in _SENT):
            return False
        if self.max_retries or self.use_responses_api or self.output_version not in (None, "v0"):
            return False
        if isinstance(key, SecretStr) and key.get_secret_value().startswith("lsv2_"):
            return False  # of LangSmith's gateway
        if (wanted := options.get("response_format")) and (stream or not is_readable(wanted)):
            return False
        if self.use_responses_api is False:
            return True
        tools = options.get("tools") or ()
        if not _RESPONSES_API.isdisjoint(options) or any(tool.get("type", "function") != "function" for tool in tools):
            return False
        if self.openai_api_base:
            return True
        theirs = self._openai  # which knows what OpenAI's own models want
        if theirs.use_responses_api or theirs.openai_api_base or theirs.temperature != extra.get("temperature"):
            return False
        return not (tools and self.model_name.lower().startswith("gpt-6"))

    @property
    def _openai(self) -> ChatOpenAI:
        """With the same fields, made anew when one of them has changed."""
        fields = {name: getattr(self, name) for name in self.model_fields_set if name not in _OWN}
        if self._by_openai is None or self._by_openai[0] != fields:
            self._by_openai = fields, ChatOpenAI(**fields)
        return self._by_openai[1]

    @property
    def _options(self) -> dict[str, Any]:
        """What every request says, but for the messages."""
        found = {"stop": self.stop or None, "max_completion_tokens": self.max_tokens, "extra_body": self.extra_body}
        found |= {name: value for name, value in (self.model_extra or {}).items() if name in _SENT}
        named = {name: value for name, value in found.items() if value is not None}
        return {"model": self.model_name, "stream": False, **named, **self.model_kwargs}

    def _payload(
        self, messages: list[BaseMessage], stop: list[str] | None, options: Mapping[str, Any]
    ) -> dict[str, Any]:
        payload = {**self._options, **options}
        if stop is not None:
            payload["stop"] = stop
        if "max_tokens" in payload:
            payload["max_completion_tokens"] = payload.pop("max_tokens")
        payload["messages"] = [sent for message in messages for sent in _as_sent(message)]
        if re.match(r"o\d", self.model_name):
            for sent in payload["messages"]:
                sent["role"] = "developer" if sent["role"] == "system" else sent["role"]
        return payload

    def _streamed(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a call whose answer comes as a stream."""
        found = {**options, "stream": True}
        told = [found.pop("stream_usage", None)]
        told += [(where.get("stream_options") or {}).get("include_usage") for where in (options, self.model_kwargs)]
        if next((said for said in (*told, self.stream_usage) if isinstance(said, bool)), False):
            found["stream_options"] = {"include_usage": True}
        return found


async def _request_for(model: Endpoint, payload: dict[str, Any], *, most_idle: float | None = None) -> Request:
    headers = payload.pop("extra_headers", None) or {}
    query = {**(model.default_query or {}), **(payload.pop("extra_query", None) or {})}
    extra = payload.pop("extra_body", None) or {}
    wait: Any = payload.pop("timeout", model.request_timeout)  # seconds, a pair, or an object with both
    if wait is None or isinstance(wait, int | float):  # a connection comes sooner than an answer, or not at all
        wait = min(_CONNECTING, 0.8 * wait) if wait else _CONNECTING, wait
    connect, idle = wait if isinstance(wait, tuple) else (wait.connect, wait.read)
    idle = min((seconds for seconds in (idle, most_idle) if seconds), default=None)
    body = json.dumps({**payload, **extra}, ensure_ascii=False, separators=(",", ":"))
    return Request(
        url=_address(model.openai_api_base or _OFFICIAL, tuple((name, str(value)) for name, value in query.items())),
        headers={**await _headers(model), **(model.default_headers or {}), **headers},
        body=body.encode(errors="replace"),  # half a character, as broken files hold, is no reason to fail
        timeout=aiohttp.ClientTimeout(total=model.total_timeout, connect=connect, sock_read=idle),
        proxy=model.openai_proxy or None,
    )


async def _headers(model: Endpoint) -> dict[str, str]:
    key: Any = model.openai_api_key
    if isinstance(key, SecretStr):
        key = key.get_secret_value()
    elif key is not None:
        key = await key() if inspect.iscoroutinefunction(key) else await asyncio.to_thread(key)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "User-Agent": "signoff"}
    if model.openai_organization:
        headers["OpenAI-Organization"] = model.openai_organization
    if project := os.environ.get("OPENAI_PROJECT_ID"):
        headers["OpenAI-Project"] = project
    return headers


def _only(result: LLMResult) -> ChatResult:
    """The answers to the one prompt of a call."""
    return ChatResult(generations=cast(list[ChatGeneration], result.generations[0]), llm_output=result.llm_output)


async def _as_chunks(parts: Any) -> AsyncGenerator[ChatGenerationChunk, None]:
    async with aclosing(parts):
        async for part in parts:
            yield ChatGenerationChunk(message=part)


@lru_cache(maxsize=64)
def _address(base: str, query: tuple[tuple[str, str], ...]) -> URL:
    url = URL(base)
    return url.joinpath("chat", "completions").with_query([*url.query.items(), *query])


def _as_sent(message: BaseMessage) -> list[dict[str, Any]]:
    """A message as the request has it; one that holds results of tools is several."""
    shape: Any = "string" if isinstance(message.content, str) else "block"
    sent = convert_to_openai_messages([message], text_format=shape)
    if isinstance(message, ToolMessage):
        sent[0].pop("name", None)
    if isinstance(message, AIMessage):
        for call in message.invalid_tool_calls:  # the result that follows tells the model of it
            function = {"name": call["name"], "arguments": call["args"]}
            sent[0].setdefault("tool_calls", []).append({"type": "function", "id": call["id"], "function": function})
        if "tool_calls" in sent[0]:
            sent[0]["content"] = sent[0]["content"] or None
    return sent


def _logprobs(chunk: ChatGenerationChunk) -> Any:
    return (chunk.generation_info or {}).get("logprobs")
