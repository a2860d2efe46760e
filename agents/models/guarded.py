"""The guard: a chat model around other chat models, and the one place where any of them is called.

Every call is redacted, played from or to a cassette, given a turn under the shared rate limit, reserved against every
budget that covers it, timed, tried again or handed to the next model of the chain, and written down with what it cost.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import aclosing
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final, cast

from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import BaseModel, ConfigDict, Field

from signoff import concurrency
from signoff.agents.errors import ModelError, ModelRefused, ModelUnreachable
from signoff.agents.models.call import ChainModel, ModelRequest
from signoff.agents.models.rebinding import rebound
from signoff.agents.models.settings import CallSettings, model_name
from signoff.agents.replay.exchange import Request
from signoff.agents.run_context import Payer, budgets_of, current_payer
from signoff.checkpoints import configured_ledger
from signoff.concurrency import stream
from signoff.settings import load_settings

GUARDED: Final = "guarded"
"""The type that a guarded model tells callbacks it is."""


class GuardedModel(BaseChatModel):
    """A chain of chat models behind one guard: the first answers, the others stand in for it, in turn.

    Use it like any chat model; `guard` makes it. It raises BudgetExhausted, UnknownPrice, ModelRefused, ModelDeclined,
    ContextTooLong, ModelUnreachable, or NotRecorded.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    chain: tuple[BaseChatModel, ...] = Field(min_length=1)
    tier: str = ""
    settings: CallSettings | None = None
    """How models are called; None: as the settings say when it is first called."""
    dearest: BaseChatModel | None = None
    """The strongest tier's model, to tell what this tier saved."""

    @property
    def model_name(self) -> str:
        """The first model's own name."""
        return model_name(self.chain[0])

    @property
    def json_actions(self) -> bool | None:
        """Whether tools are offered as JSON; None: that is to be found out."""
        return self._settings.json_actions

    @property
    def _window(self) -> int | None:
        """Tokens of a prompt and its answer that every model of the chain takes; None if nobody says so."""
        told = [(model.profile or {}).get("max_input_tokens") for model in self.chain]
        return self._settings.context_tokens or min(filter(None, told), default=None)

    @property
    def longest_text(self) -> int:
        """Characters of one text in a prompt, such as a result: about a quarter of what the model takes."""
        return self._window or sys.maxsize

    def most_tokens(self, wanted: int) -> int:
        """Tokens that an answer may have: as many, and a quarter of what the model takes at most."""
        return min(wanted, (self._window or sys.maxsize) // 4)

    @property
    def _llm_type(self) -> str:
        return GUARDED

    @cached_property
    def _identifying_params(self) -> dict[str, Any]:
        return {"model_name": self.model_name, "tier": self.tier}

    def _get_invocation_params(self, stop: list[str] | None = None, **kwargs: Any) -> dict[str, Any]:
        return {**self._identifying_params, "_type": GUARDED, "stop": stop, **kwargs}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        params = self._ls_params.copy()
        if stop:
            params["ls_stop"] = stop
        if isinstance(most := kwargs.get("max_tokens"), int):
            params["ls_max_tokens"] = most
        return params

    @cached_property
    def _ls_params(self) -> LangSmithParams:
        """What LangSmith is told of the first model; asked once, since it is slow to tell."""
        return self.chain[0]._get_ls_params()

    @cached_property
    def _settings(self) -> CallSettings:
        return self.settings or CallSettings.of(load_settings())

    @cached_property
    def _models(self) -> tuple[ChainModel, ...]:
        dearest = ChainModel(self.dearest, "", self._settings).price if self.dearest is not None else None
        return tuple(ChainModel(model, self.tier, self._settings, dearest) for model in self.chain)

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **options: Any) -> Runnable[Any, AIMessage]:
        """The model with these tools, whichever model of the chain answers."""
        if tool_choice is not None:
            options["tool_choice"] = tool_choice
        described = [tool if isinstance(tool, dict) else convert_to_openai_tool(tool) for tool in tools]
        return self.bind(tools=described, **options)

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **options: Any) -> Runnable[Any, Any]:
        """The model that answers in this schema: by a tool call, or as the first model does for another `method`."""
        if options.get("method", "function_calling") == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw)
        first = self.chain[0]
        made = first.with_structured_output(schema, include_raw=include_raw, **options)
        return cast(Runnable[Any, Any], rebound(made, first, self))

    def _generate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        del run_manager
        return concurrency.run(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> ChatResult:
        del run_manager
        payer = _payer()
        hidden = self._settings.redaction.hide(messages)
        request = _request(hidden.messages, stop, kwargs)

        async def live() -> AIMessage:
            return cast(AIMessage, [part.message async for part in self._parts(payer, request, stream=False)][-1])

        if payer.cassette is None:
            answer = await live()
        else:
            recorded = Request.of(request.messages, request.options, self.model_name, payer.item)
            answer = cast(AIMessage, await payer.cassette.play(recorded, live))
        if hidden.originals:
            answer = hidden.restore(answer)
        return ChatResult(generations=[ChatGeneration(message=answer)])

    # LangChain asks for it at every call, and Python would work it out each time.
    _agenerate.__signature__ = inspect.signature(_agenerate)  # type: ignore[attr-defined]  # a function may have one

    async def _astream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        del run_manager
        payer = _payer()
        hidden = self._settings.redaction.hide(messages)
        if payer.cassette is not None or hidden.originals:
            # Private data is put back, and a cassette is played, in a whole answer only.
            result = await self._agenerate(messages, stop, **kwargs)
            yield _as_chunk(cast(AIMessage, result.generations[0].message))
            return
        async with aclosing(self._parts(payer, _request(hidden.messages, stop, kwargs), stream=True)) as parts:
            async for part in parts:
                yield cast(ChatGenerationChunk, part)

    def _stream(
        self, messages: list[BaseMessage], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        del run_manager
        return stream(self._astream(messages, stop, **kwargs))

    async def _parts(
        self, payer: Payer, request: ModelRequest, *, stream: bool
    ) -> AsyncGenerator[ChatGeneration, None]:
        """The answer of the first model of the chain that gives one."""
        last = len(self._models) - 1
        for place, model in enumerate(self._models):
            begun = False
            try:
                async with aclosing(model.parts(payer, request, stream=stream, alone=place == last)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                return
            except ModelError as error:
                if begun or place == last or not isinstance(error, ModelRefused | ModelUnreachable):
                    raise
                problem = getattr(error, "problem", str(error))
                payer.say(f"{model.name}: {problem}; {self._models[place + 1].name} stands in")


def guard(
    *chain: BaseChatModel, tier: str = "", settings: CallSettings | None = None, dearest: BaseChatModel | None = None
) -> GuardedModel:
    """One model, or a chain in which the later ones stand in for the first, behind the guard; guarded ones stay one."""
    if len(chain) == 1 and isinstance(chain[0], GuardedModel):
        return chain[0]
    return GuardedModel(
        chain=chain, tier=tier, settings=settings, dearest=dearest, profile=getattr(chain[0], "profile", None)
    )


def _payer() -> Payer:
    """Who pays: the step this is called in, or outside of any whoever the database in the settings belongs to."""
    return current_payer() or _owner(load_settings().database_name, Path.cwd())


@lru_cache(maxsize=4)
def _owner(_database: str, _from: Path) -> Payer:
    settings = load_settings()
    limits = budgets_of(settings)
    return Payer(ledger=configured_ledger(settings), budgets={level: limits[level] for level in ("call", "day")})


def _as_chunk(message: AIMessage) -> ChatGenerationChunk:
    """A whole answer as the only part of a stream."""
    calls = [
        {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": place}
        for place, call in enumerate(message.tool_calls)
    ]
    return ChatGenerationChunk(
        message=AIMessageChunk(
            content=message.content,
            additional_kwargs=message.additional_kwargs,
            response_metadata=message.response_metadata,
            usage_metadata=message.usage_metadata,
            tool_call_chunks=calls,
        )
    )


def _request(messages: Sequence[BaseMessage], stop: list[str] | None, options: dict[str, Any]) -> ModelRequest:
    return ModelRequest(list(messages), stop, options, size_of(messages, options))


def size_of(messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> int:
    """Bytes of a prompt, with what surrounds each message: no tokenizer makes more tokens of a text."""
    total = 16
    for message in messages:
        content = message.content if isinstance(message.content, str) else json.dumps(message.content, default=str)
        total += 16 + len(content.encode("utf-8", "backslashreplace"))
        if isinstance(message, AIMessage) and message.tool_calls:
            total += len(json.dumps(message.tool_calls, default=str).encode())
    for name in ("tools", "response_format"):
        if name in options:
            total += len(json.dumps(options[name], default=_as_sent).encode())
    return total


def _as_sent(value: object) -> object:
    """A format as the endpoint gets it: its schema."""
    return value.model_json_schema() if isinstance(value, type) and issubclass(value, BaseModel) else str(value)
