"""A link: one model of a chain, called until it answers, as far as that can help."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from pydantic import BaseModel

from signoff.agents import tracing
from signoff.agents.models.circuit_breaker import Breaker, Pass, breaker_of
from signoff.agents.models.failures import MAYBE_PAID, Fault, classify
from signoff.agents.models.pricing import FREE, NAMES_OF_MAX, Price, credible_usage, make_bill, price_of, worst_case
from signoff.agents.models.rate_limiter import Ticket, limiter_for
from signoff.agents.models.settings import Address, Terms, address_of
from signoff.agents.run_context import Payer
from signoff.checkpoints.ledger.budgets.model import Amount, Scope
from signoff.errors import (
    BudgetExhausted,
    ContextTooLong,
    ModelDeclined,
    ModelError,
    ModelRefused,
    ModelUnreachable,
    UnknownPrice,
)

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.budgets.budgets import Hold
    from signoff.checkpoints.ledger.budgets.model import CallRecord

_LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries, unless the endpoint asks for more."""
_GRACE: Final = 30.0
"""Seconds that a reservation outlives the time-out of its call."""
_CHARGED: Final = frozenset({"model", "n", *NAMES_OF_MAX})
"""Options that change what a call costs."""
_ABOUT_TOOLS: Final = ("tool_choice", "parallel_tool_calls", "strict")


@dataclass
class Link:
    """One model of a chain, and all that belongs to its endpoint."""

    model: BaseChatModel
    tier: str
    terms: Terms
    dearest: Price | None = None
    """The price of the strongest tier's model."""
    _bound: dict[tuple[int, str], tuple[object, dict[str, Any]]] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        self.model = _without_own_tries(self.model)
        self.address: Address = address_of(self.model)
        self.price: Price | None = price_of(self.address.model, self.address.endpoint, self.terms.prices)
        if self.price is None and getattr(self.model, "is_double", False):
            self.price = FREE
        self.breaker: Breaker = breaker_of(self.address.key)

    async def parts(
        self, payer: Payer, asked: Asked, *, stream: bool, alone: bool
    ) -> AsyncGenerator[ChatGeneration, None]:
        """The answer, in one part or as it comes; a ModelError if there is none.

        `alone`: no other model stands in, so that an endpoint that is left alone is waited for.
        """
        deadline, failures = time.monotonic() + self.terms.patience, 0
        while True:
            attempt = await self._begin(payer, asked, deadline if alone else 0.0, deadline)
            begun = False
            try:
                async with aclosing(attempt.parts(stream=stream)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                return
            except Failed as failed:
                fault = failed.fault
                failures += fault.kind != "rate_limited"
                pause = _pause(self.terms.first_pause, failures, fault)
                if begun or not fault.is_retried or failures > self.terms.retries:
                    raise self._explained(fault, failed.error) from failed.error
                if time.monotonic() + pause >= deadline:
                    raise self._explained(fault, failed.error) from failed.error
            when = f" in {pause:.1f} s" if pause >= 0.1 else ""
            payer.say(f"{self.address.model}: {fault.message}; tries again{when}")
            await asyncio.sleep(pause)

    async def _begin(self, payer: Payer, asked: Asked, wait_until: float, deadline: float) -> Attempt:
        """Wait for a turn and reserve the worst case."""
        if self.price is None:
            raise UnknownPrice(self.address.model)
        options, most = self._options(asked)
        options = {**options, **_limited(self.model, options, most)}
        if wait_until and (seconds := self.breaker.seconds_left) >= 1:
            payer.say(f"{self.address.model} failed again and again: left alone for {seconds:.0f} s, then tried again")
        leave = await self.breaker.admit(wait_until)
        if leave is None:
            raise ModelUnreachable(self.address.model, "it failed again and again and is left alone for a while")
        try:
            ticket = await self._turn(payer, max(asked.size // 4, most), deadline)
        except BaseException as error:
            self.breaker.ended(leave, answered=None)
            if isinstance(error, TimeoutError):
                problem = f"its rate limit gave no turn within {self.terms.patience:g} s"
                raise ModelUnreachable(self.address.model, problem) from None
            raise
        try:
            hold, seconds, most = await self._reserve(payer, asked, most)
        except BaseException:
            self.breaker.ended(leave, answered=None)
            if ticket is not None:
                ticket.failed()
            raise
        return Attempt(
            self, payer, asked, {**options, **_limited(self.model, options, most)}, ticket, leave, hold, seconds
        )

    async def _turn(self, payer: Payer, weight: int, deadline: float) -> Ticket | None:
        """Wait for a turn under the rate limit; None for a model of this process that has no limit."""
        limit = self.terms.rates.get(self.address.model)
        if limit is None and not self.address.endpoint:
            return None
        async with asyncio.timeout(deadline - time.monotonic()):
            return await limiter_for(payer.ledger, self.address.key, limit).admit(weight, share=payer.run_id)

    async def _reserve(self, payer: Payer, asked: Asked, most: int) -> tuple[Hold, float, int]:
        """Hold the worst case: the hold, the seconds that the call may take, and the tokens of its answer."""
        own = payer.budgets.get("call")
        timeout = self.terms.timeout
        if own is not None and own.is_limited:
            scope = Scope(f"call:{payer.run_id}/{payer.role}", own)
            raised = (await asyncio.to_thread(payer.ledger.budgets.standing, scope.name)).raised
            most, timeout = self._within(scope, raised, asked.size, most)
        answers = asked.options.get("n")
        times = answers if isinstance(answers, int) and answers > 1 else 1
        worst = worst_case(self.price, size=asked.size, most=most * times, seconds=timeout)
        hold = await payer.ledger.budgets.areserve(payer.scopes, worst, seconds=timeout + _GRACE)
        return hold, min(timeout, hold.ms / 1000), most

    def _within(self, scope: Scope, raised: Amount, size: int, most: int) -> tuple[int, float]:
        """The longest answer and the most seconds that the budget of one call allows; BudgetExhausted if none."""
        limit, timeout = scope.limit, self.terms.timeout
        if limit.steps is not None and limit.steps + raised.steps < 1:
            raise BudgetExhausted(scope.name, "steps", limit.steps, 0, 1)
        if limit.seconds is not None and limit.seconds + raised.ms / 1000 <= 0:
            raise BudgetExhausted(scope.name, "seconds", limit.seconds, 0, timeout)
        if limit.seconds is not None:
            timeout = min(timeout, limit.seconds + (raised.ms / 1000))
        least = min(most, 16)
        while True:
            worst = worst_case(self.price, size=size, most=most, seconds=timeout)
            nusd_left = None if limit.usd is None else limit.amount.nusd + raised.nusd - worst.nusd
            tokens_left = None if limit.tokens is None else limit.tokens + raised.tokens - worst.tokens
            if (nusd_left is None or nusd_left >= 0) and (tokens_left is None or tokens_left >= 0):
                return most, timeout
            if most // 2 < least:
                break
            most //= 2
        what = "usd" if nusd_left is not None and nusd_left < 0 else "tokens"
        held = (limit.usd or 0) + raised.nusd / 1e9 if what == "usd" else (limit.tokens or 0) + raised.tokens
        wanted = worst.nusd / 1e9 if what == "usd" else worst.tokens
        raise BudgetExhausted(scope.name, what, held, 0, wanted)

    def _options(self, asked: Asked) -> tuple[dict[str, Any], int]:
        """The options as this provider's package wants them, and how many tokens the answer may have."""
        rest = dict(asked.options)
        hidden = rest.get("extra_body")
        unseen = [name for name in (hidden if isinstance(hidden, Mapping) else ()) if name in _CHARGED]
        if unseen or "model" in rest:
            problem = f"a guarded call cannot set {(*unseen, 'model')[0]!r} so, since no budget would hold"
            raise ModelRefused(self.address.model, problem)
        tools = rest.pop("tools", None)
        most = next((rest[name] for name in NAMES_OF_MAX if isinstance(rest.get(name), int)), None)
        own = next((own for name in NAMES_OF_MAX if isinstance(own := getattr(self.model, name, None), int)), None)
        most = min(most or own or self.terms.max_output_tokens, self.terms.max_output_tokens)
        if tools is None:
            return rest, most
        about = {name: rest.pop(name) for name in _ABOUT_TOOLS if name in rest}
        key = (id(tools), repr(about))
        if key not in self._bound:
            if len(self._bound) >= 256:
                self._bound.clear()
            self._bound[key] = (tools, dict(self.model.bind_tools(tools, **about).kwargs))  # type: ignore[attr-defined]  # a RunnableBinding
        return {**self._bound[key][1], **rest}, most

    def _explained(self, fault: Fault, error: BaseException) -> BaseException:
        """What to raise for the last fault."""
        name = self.address.model
        match fault.kind:
            case "unknown" | "cut":
                return error
            case "refused":
                return ModelRefused(name, fault.message)
            case "context_overflow":
                return ContextTooLong(name, fault.message)
            case "content_filter":
                return ModelDeclined(name, fault.message)
            case _:
                return ModelUnreachable(name, fault.message)


def _without_own_tries(model: BaseChatModel) -> BaseChatModel:
    """The model, with a client that tries once: tries that nobody counts are in no budget and under no limit."""
    clients = [getattr(model, name, None) for name in ("root_client", "root_async_client")]
    if any(client is None or not hasattr(client, "with_options") for client in clients):
        if getattr(model, "max_retries", 0) == 0:  # None is a number of the client's own
            return model
        once = model.model_copy(update={"max_retries": 0})
        for made in (
            "_client",
            "_async_client",
            "_client_params",
        ):  # of ChatAnthropic, made from the setting when first used
            once.__dict__.pop(made, None)
        return once
    once, once_async = (client.with_options(max_retries=0) for client in clients if client is not None)
    return model.model_copy(
        update={
            "root_client": once,
            "root_async_client": once_async,
            "client": once.chat.completions,
            "async_client": once_async.chat.completions,
        }
    )


def _limited(model: BaseChatModel, options: Mapping[str, Any], most: int) -> dict[str, int]:
    """The bound of the answer, by the name that is used for it."""
    for name in NAMES_OF_MAX:
        if isinstance(options.get(name), int):
            return {name: min(most, options[name])}
    name = "max_output_tokens" if "max_output_tokens" in type(model).model_fields else "max_tokens"
    return {name: most}


def _pause(first: float, failures: int, fault: Fault) -> float:
    """Seconds before the next try: at random, lest many come back at once, and not before the endpoint says."""
    if fault.kind == "rate_limited":
        return 0.0  # the limiter keeps everybody waiting, not only this call
    most = min(first * 2 ** max(failures - 1, 0), _LONGEST_PAUSE)
    return max(random.uniform(0, most), fault.retry_after or 0.0)


def stands_in(error: ModelError) -> bool:
    """Whether the next model of the chain should be asked instead."""
    return isinstance(error, ModelRefused | ModelUnreachable)


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
