"""The guard: a chat model around other chat models, and the one place where any of them is called.

Every call is redacted, played from or to a cassette, given a turn under the shared rate limit, reserved against every
budget that covers it, timed, tried again or handed to the next model of the chain, and written down with what it cost.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from functools import cached_property
from typing import Any, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field

from signoff import concurrency
from signoff.agents.models.call import Asked, Link, size_of, stands_in
from signoff.agents.models.pricing import Price, price_of
from signoff.agents.models.rebinding import rebound
from signoff.agents.models.settings import Terms, model_name, payer_here
from signoff.agents.models.unguarded import GUARDED
from signoff.agents.replay.exchange import Request
from signoff.agents.run_context import Payer
from signoff.agents.safety.prompt_redaction import Hidden
from signoff.concurrency import stream
from signoff.errors import ModelError
from signoff.settings import load_settings


class GuardedModel(BaseChatModel):
    """A chain of chat models behind one guard: the first answers, the others stand in for it, in turn.

    Use it like any chat model; `guard` makes it. It raises BudgetExhausted, UnknownPrice, ModelRefused, ModelDeclined,
    ContextTooLong, ModelUnreachable, or TapeMiss.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    chain: tuple[BaseChatModel, ...] = Field(min_length=1)
    tier: str = ""
    terms: Terms | None = None
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
        return self._terms.json_actions

    @property
    def _llm_type(self) -> str:
        return GUARDED

    @property
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
    def _terms(self) -> Terms:
        return self.terms or Terms.of(load_settings())

    @cached_property
    def _links(self) -> tuple[Link, ...]:
        dearest = self._price(self.dearest) if self.dearest is not None else None
        return tuple(Link(model, self.tier, self._terms, dearest) for model in self.chain)

    def _price(self, model: BaseChatModel) -> Price | None:
        link = Link(model, "", self._terms)
        return price_of(link.address.model, link.address.endpoint, self._terms.prices)

    def bind_tools(self, tools: Sequence[Any], *, tool_choice: Any = None, **options: Any) -> Runnable[Any, AIMessage]:
        """The model with these tools, whichever model of the chain answers."""
        if tool_choice is not None:
            options["tool_choice"] = tool_choice
        return self.bind(
            tools=[tool if isinstance(tool, dict) else convert_to_openai_tool(tool) for tool in tools], **options
        )

    def with_structured_output(self, schema: Any, *, include_raw: bool = False, **options: Any) -> Runnable[Any, Any]:
        """The model that answers in this schema: by a tool call, or as the first model does for another `method`."""
        if options.get("method", "function_calling") == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw)
        first = self.chain[0]
        made = first.with_structured_output(schema, include_raw=include_raw, **options)
        return cast(Runnable[Any, Any], rebound(made, first, self))

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        return concurrency.run(self._agenerate(messages, stop, **kwargs))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        del run_manager
        payer = payer_here()
        hidden = self._terms.shield.hide(messages)
        asked = _ask(hidden, stop, kwargs)

        async def live() -> AIMessage:
            return cast(AIMessage, [part.message async for part in self._parts(payer, asked, stream=False)][-1])

        answer = await self._played(payer, asked, live)
        return ChatResult(generations=[ChatGeneration(message=hidden.restore(answer))])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncGenerator[ChatGenerationChunk, None]:
        del run_manager
        payer = payer_here()
        hidden = self._terms.shield.hide(messages)
        if payer.cassette is not None or hidden.originals:
            # Private data is put back, and a cassette is played, in a whole answer only.
            result = await self._agenerate(messages, stop, **kwargs)
            yield _as_chunk(cast(AIMessage, result.generations[0].message))
            return
        async with aclosing(self._parts(payer, _ask(hidden, stop, kwargs), stream=True)) as parts:
            async for part in parts:
                yield cast(ChatGenerationChunk, part)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        del run_manager
        return stream(self._astream(messages, stop, **kwargs))

    async def _parts(self, payer: Payer, asked: Asked, *, stream: bool) -> AsyncGenerator[ChatGeneration, None]:
        """The answer of the first model of the chain that gives one."""
        last = len(self._links) - 1
        for place, link in enumerate(self._links):
            begun = False
            try:
                async with aclosing(link.parts(payer, asked, stream=stream, alone=place == last)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                return
            except ModelError as error:
                if begun or place == last or not stands_in(error):
                    raise
                problem = getattr(error, "problem", str(error))
                payer.say(f"{link.address.model}: {problem}; {self._links[place + 1].address.model} stands in")

    async def _played(self, payer: Payer, asked: Asked, live: Any) -> AIMessage:
        if payer.cassette is None:
            return cast(AIMessage, await live())
        request = Request.of(asked.messages, asked.options, self.model_name)
        return cast(AIMessage, await payer.cassette.play(request, live))


def guard(
    *chain: BaseChatModel, tier: str = "", terms: Terms | None = None, dearest: BaseChatModel | None = None
) -> GuardedModel:
    """One model, or a chain in which the later ones stand in for the first, behind the guard; guarded ones stay one."""
    if len(chain) == 1 and isinstance(chain[0], GuardedModel):
        return chain[0]
    return GuardedModel(
        chain=chain, tier=tier, terms=terms, dearest=dearest, profile=getattr(chain[0], "profile", None)
    )


def _ask(hidden: Hidden, stop: list[str] | None, options: dict[str, Any]) -> Asked:
    return Asked(list(hidden.messages), stop, options, size_of(hidden.messages, options))


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
