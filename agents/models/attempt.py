"""An attempt: one try of one call, and the account of it: what it used, what it cost, and what went wrong."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from pydantic import BaseModel

from signoff.agents import tracing
from signoff.agents.models.bill import credible_usage, make_bill
from signoff.agents.models.circuit_breaker import Pass
from signoff.agents.models.failures import MAYBE_PAID, Fault, classify
from signoff.agents.models.rate_limiter import Ticket
from signoff.agents.run_context import Payer
from signoff.errors import ModelDeclined

if TYPE_CHECKING:
    from signoff.agents.models.call import Link
    from signoff.checkpoints.ledger.budgets.budgets import Hold
    from signoff.checkpoints.ledger.budgets.model import Amount
    from signoff.checkpoints.ledger.budgets.usage_log import CallRecord


@dataclass(frozen=True)
class Asked:
    """One question to a model."""

    messages: list[BaseMessage]
    stop: list[str] | None
    options: Mapping[str, Any]
    """Tools and other options, as they are for any provider."""
    size: int
    """Bytes of it all: no tokenizer makes more tokens of a text than it has bytes."""


class NoAnswer(ValueError):
    """What came is no model's answer."""


class Failed(Exception):
    """One try failed."""

    def __init__(self, fault: Fault, error: BaseException) -> None:
        self.fault, self.error = fault, error
        super().__init__(fault.message)


@dataclass
class Attempt:
    """One try: its answer, and the account of it."""

    link: Link
    payer: Payer
    asked: Asked
    options: Mapping[str, Any]
    ticket: Ticket | None
    leave: Pass
    hold: Hold
    seconds: float

    async def parts(self, *, stream: bool) -> AsyncGenerator[ChatGeneration, None]:
        """The answer; Failed if there is none. Whatever happens the account is settled."""
        started, found = time.monotonic(), list[ChatGeneration]()
        link = self.link
        with tracing.call_span(
            link.address.model,
            tier=link.tier,
            endpoint=link.address.endpoint,
            payer=self.payer,
            messages=self.asked.messages,
        ) as span:
            if self.ticket is not None:
                self.ticket.sending()
            try:
                async with aclosing(self._source(stream=stream)) as source:
                    while True:
                        left = self.seconds - (time.monotonic() - started)
                        async with asyncio.timeout(min(left, link.terms.idle_timeout) if found else left):
                            part = await anext(source, None)
                        if part is None:
                            break
                        found.append(part)
                        if stream:
                            yield part
                message = _merged(found)
                declined = _declined(message)
            except Exception as error:
                fault = self._told(classify(error), begun=bool(found))
                self._tell(
                    fault
                )  # first, and waiting for nothing: whatever cancels the rest, the next call has its turn
                span.failed(fault.kind)
                used = _usage_in(error)
                await self._settle(fault.kind, started, used, assume=not used and fault.kind in MAYBE_PAID)
                raise Failed(fault, error) from error
            except BaseException:  # cancelled, or whoever reads the stream has gone
                self._tell(None)
                # Not in a task of its own: it begins with handing the bill in, which no second cancelling undoes.
                await self._settle("cancelled", started, {}, assume=True)
                raise
            headers = _take_headers(found)
            usage = credible_usage(message.usage_metadata)
            link.breaker.ended(self.leave, answered=True)
            if self.ticket is not None:
                self.ticket.answered(headers, usage.get("input_tokens", 0) + usage.get("output_tokens", 0))
            nusd = await self._settle("declined" if declined else "ok", started, usage, assume=not usage)
            span.answered(message, nusd)
            if declined:
                raise ModelDeclined(link.address.model, declined)
            if not stream:
                message.response_metadata["cost_nusd"] = nusd
                yield found[0]
            else:
                yield ChatGenerationChunk(
                    message=type(found[-1].message)(content="", response_metadata={"cost_nusd": nusd})
                )

    def _told(self, fault: Fault, *, begun: bool) -> Fault:
        """The fault, and of a time-out how long was waited."""
        if fault.kind != "timeout":
            return fault
        if begun:
            return replace(fault, message=f"silent amid its answer for {self.link.terms.idle_timeout:g} s or for good")
        return replace(fault, message=f"no answer in {self.seconds:.4g} s (SIGNOFF_MODEL_TIMEOUT)")

    async def _source(self, *, stream: bool) -> AsyncGenerator[ChatGeneration, None]:
        model, asked = self.link.model, self.asked
        if stream:
            async for chunk in model._astream(asked.messages, stop=asked.stop, **self.options):
                yield chunk
        else:
            call = model._agenerate_with_cache if _has_its_own(model) else model._agenerate
            result = await call(asked.messages, stop=asked.stop, **self.options)
            found = result.generations[0]
            found.message.response_metadata = {
                **(result.llm_output or {}),
                **(found.generation_info or {}),
                **found.message.response_metadata,
            }
            if not isinstance(found.message, AIMessage):
                raise NoAnswer(f"the answer is a {type(found.message).__name__}")
            yield found

    def _tell(self, fault: Fault | None) -> None:
        """Let the limiter and the breaker learn of a try that failed."""
        kind = fault.kind if fault is not None else None
        if self.ticket is not None and fault is not None and kind == "rate_limited":
            self.ticket.limited(fault.retry_after, fault.headers)
        elif self.ticket is not None:
            self.ticket.failed()
        troubled = kind in ("overloaded", "dropped", "timeout")
        alive = kind in ("rate_limited", "refused", "context_overflow", "content_filter", "malformed")
        self.link.breaker.ended(self.leave, answered=False if troubled else True if alive else None)

    async def _settle(self, outcome: str, started: float, usage: Mapping[str, Any], *, assume: bool) -> int:
        """Write down what the call used, or the worst case where nobody knows; returns its nano-dollars."""
        spent, record = self._bill(outcome, started, usage, assume=assume)
        await self.hold.asettle(spent, record)
        return spent.nusd

    def _bill(
        self, outcome: str, started: float, usage: Mapping[str, Any], *, assume: bool
    ) -> tuple[Amount, CallRecord]:
        link = self.link
        return make_bill(
            self.payer,
            model=link.address.model,
            endpoint=link.address.endpoint,
            tier=link.tier,
            outcome=outcome,
            usage=usage,
            price=link.price,
            dearest=link.dearest,
            assumed=self.hold.worst if assume else None,
            ms=int((time.monotonic() - started) * 1000),
        )


def _has_its_own(model: BaseChatModel) -> bool:
    """Whether somebody gave the model a cache, a rate limiter or a way to stream, which take LangChain's longer way."""
    return bool(model.cache or model.rate_limiter or getattr(model, "streaming", False) or get_llm_cache())


def size_of(messages: Sequence[BaseMessage], options: Mapping[str, Any]) -> int:
    """Bytes of a question, with what surrounds each message."""
    total = 16
    for message in messages:
        content = message.content
        total += 16 + len(
            (content if isinstance(content, str) else json.dumps(content, default=str)).encode(
                "utf-8", "backslashreplace"
            )
        )
        if isinstance(message, AIMessage) and message.tool_calls:
            total += len(json.dumps(message.tool_calls, default=str).encode())
    for name in ("tools", "response_format"):
        if name in options:
            total += len(json.dumps(options[name], default=_as_sent).encode())
    return total


def _as_sent(value: object) -> object:
    """A form as the endpoint gets it: its schema."""
    return value.model_json_schema() if isinstance(value, type) and issubclass(value, BaseModel) else str(value)


def _merged(found: Sequence[ChatGeneration]) -> AIMessage:
    """The whole answer; ValueError if nothing came."""
    if not found:
        raise NoAnswer("the model ended without an answer")
    message: Any = found[0].message
    for part in found[1:]:
        message = message + part.message
    if not isinstance(message, AIMessage):
        raise NoAnswer(f"the answer is a {type(message).__name__}")
    return message


def _declined(message: AIMessage) -> str:
    """Why it would not answer, empty if it did."""
    refusal = message.additional_kwargs.get("refusal")
    if isinstance(refusal, str) and refusal:
        return refusal[:300]
    filtered = message.response_metadata.get("finish_reason") == "content_filter"
    return "its content filter stopped the answer" if filtered else ""


def _take_headers(found: Sequence[ChatGeneration]) -> dict[str, str]:
    """The response's headers, taken out of the answer."""
    headers: dict[str, str] = {}
    for part in found[:1]:
        for holder in (part.message.response_metadata, part.generation_info or {}):
            headers.update(
                {str(name).lower(): str(value) for name, value in (holder.pop("headers", None) or {}).items()}
            )
    return headers


def _usage_in(error: BaseException) -> dict[str, Any]:
    """What an error that carries an answer says of its usage."""
    usage = getattr(getattr(error, "completion", None), "usage", None)
    if usage is None:
        return {}
    return credible_usage({"input_tokens": usage.prompt_tokens, "output_tokens": usage.completion_tokens})
