"""One model of a chain, called until it answers: reserved for, admitted, timed, tried again, and charged each time.

All that is done around one try is read in one place, and so the file is longer than most.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from langchain_core.globals import get_llm_cache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk

from signoff.agents.errors import (
    ContextTooLong,
    ModelDeclined,
    ModelRefused,
    ModelUnreachable,
    UnknownPrice,
)
from signoff.agents.models.circuit_breaker import breaker_of
from signoff.agents.models.failures import RETRIED, Failure, classify
from signoff.agents.models.pricing import FREE, NAMES_OF_MAX, Price, fit_into, make_bill, price_of, worst_case
from signoff.agents.models.rate_limiter import Ticket, limiter_for
from signoff.agents.models.settings import CallSettings, identity_of, without_own_tries
from signoff.agents.run_context import Payer
from signoff.agents.tracing import Span, call_span
from signoff.checkpoints.ledger.budgets import Scope

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.budgets import Amount, CallRecord, Hold

_LONGEST_PAUSE: Final = 30.0
"""Seconds between two tries, unless the endpoint asks for more."""
_LONG_WAIT: Final = 5.0
"""Seconds of waiting for a turn that are worth a word."""
_GRACE: Final = 30.0
"""Seconds that a reservation outlives all that its call may wait and take."""
_CHARGED: Final = frozenset({"model", "n", *NAMES_OF_MAX})
"""Options that change what a call costs."""
_ERRORS: Final[dict[str, type[ContextTooLong | ModelDeclined]]] = {
    "context_overflow": ContextTooLong,
    "content_filter": ModelDeclined,
}
_ABOUT_TOOLS: Final = ("tool_choice", "parallel_tool_calls", "strict")


@dataclass(frozen=True)
class ModelRequest:
    """One question to a model."""

    messages: list[BaseMessage]
    stop: list[str] | None
    options: Mapping[str, Any]
    """Tools and other options, as they are for any provider."""
    size: int
    """Bytes of it all."""


class NoAnswer(ValueError):
    """What came is no model's answer."""


class CallFailed(Exception):
    """One try failed."""

    def __init__(self, failure: Failure, error: BaseException) -> None:
        self.failure, self.error = failure, error
        super().__init__(failure.message)


@dataclass
class ChainModel:
    """One model of a chain, and all that belongs to its endpoint."""

    model: BaseChatModel
    tier: str
    settings: CallSettings
    dearest: Price | None = None
    """The price of the strongest tier's model."""
    _bound: dict[tuple[int, str], tuple[object, dict[str, Any]]] = field(default_factory=dict, init=False)
    _limited: str = field(default="", init=False)
    """What its last 429 said."""

    def __post_init__(self) -> None:
        self.model = without_own_tries(self.model)
        identity = identity_of(self.model)
        self.name, self.endpoint, self.key = identity.model, identity.endpoint, identity.key
        self.price: Price | None = price_of(self.name, self.endpoint, self.settings.prices)
        if self.price is None and getattr(self.model, "is_double", False):
            self.price = FREE
        self.breaker = breaker_of(self.key)

    async def parts(
        self, payer: Payer, request: ModelRequest, *, stream: bool, alone: bool
    ) -> AsyncGenerator[ChatGeneration, None]:
        """The answer, in one part or as it comes; a ModelError if there is none.

        `alone`: no other model stands in, so that an endpoint that is left alone is waited for.
        """
        since = time.monotonic()
        deadline, failures, tries = since + self.settings.patience, 0, 0
        while True:
            call = await self._begin(payer, request, deadline if alone else 0.0, deadline)
            call.since = since
            begun = False
            try:
                async with aclosing(call.parts(stream=stream)) as parts:
                    async for part in parts:
                        begun = True
                        yield part
                return
            except CallFailed as failed:
                failure, tries = failed.failure, tries + 1
                self._limited = failure.message if failure.kind == "rate_limited" else self._limited
                failures += failure.kind != "rate_limited"
                pause = _pause(self.settings.first_pause, failures, failure)
                is_over = begun or failure.kind not in RETRIED or failures > self.settings.retries
                is_over = is_over or (not alone and (failure.kind == "timeout" or failure.is_lasting))
                if is_over or time.monotonic() + pause >= deadline:
                    raise self._explained(failure, failed.error, tries) from failed.error
            when, since = f" in {pause:.1f} s" if pause >= 0.1 else "", time.monotonic()
            if failure.kind == "rate_limited" and call.ticket is not None:
                when = f", at {call.ticket.pace:.3g} calls a second"
            payer.say(f"{self.name}: {failure.message}; tries again{when}")
            await asyncio.sleep(pause)

    async def _begin(self, payer: Payer, request: ModelRequest, wait_until: float, deadline: float) -> ModelCall:
        """Reserve the worst case, and wait for a turn."""
        if self.price is None:
            raise UnknownPrice(self.name)
        if not wait_until and self.breaker.seconds_left:
            raise self._left_alone()
        options, most = self._options(request)
        # First of all, since who waits for a budget must hold neither a turn nor the only try of an endpoint that those
        # need whom it waits for.
        hold, seconds, most = await self._reserve(payer, request, most, deadline)
        is_probe = False
        try:
            is_probe = await self._pass_breaker(payer, wait_until)
            ticket = await self._turn(payer, max(request.size // 4, most), deadline)
        except BaseException:
            if is_probe:
                self.breaker.ended(is_probe=True, answered=None)
            await hold.arelease()
            raise
        options |= _bounded(self.model, options, most)
        return ModelCall(self, payer, request, options, ticket, is_probe, hold, seconds)

    async def _pass_breaker(self, payer: Payer, wait_until: float) -> bool:
        """Wait until the endpoint may be called: whether as a probe; ModelUnreachable if that takes too long."""
        if not self.breaker.failures:
            return False
        cause, seconds = self.breaker.cause, self.breaker.seconds_left
        if wait_until and cause is not None and not cause.is_lasting and seconds >= 1:
            payer.say(f"{self.name}: {cause.message}; left alone for {seconds:.0f} s, then tried again")
        is_probe = await self.breaker.admit(wait_until)
        if is_probe is None:
            raise self._left_alone()
        return is_probe

    def _left_alone(self) -> ModelUnreachable:
        """The error, while it is left alone after failures in a row."""
        cause = self.breaker.cause
        why, remedy = ("it failed", "") if cause is None else (cause.message, cause.remedy)
        problem = f"{why} ({self.breaker.failures} failures in a row: it is left alone for a while)"
        return ModelUnreachable(self.name, problem, remedy)

    async def _turn(self, payer: Payer, weight: int, deadline: float) -> Ticket | None:
        """Wait for a turn under the rate limit; None for a model of this process that has no limit."""
        limit = self.settings.rates.get(self.name)
        if limit is None and not self.endpoint:
            return None
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                limiter = limiter_for(payer.ledger, self.key, limit)
                if (wait := limiter.seconds_left) >= _LONG_WAIT:
                    until = datetime.now().astimezone() + timedelta(seconds=wait)
                    payer.say(f"{self.name}: waiting for its rate limit, until {until:%H:%M:%S} or so")
                return await limiter.admit(weight, share=payer.run_id)
        except TimeoutError:
            said = f"; it last said: {self._limited}" if self._limited else ""
            problem = f"its rate limit gave no turn within {self.settings.patience:g} s{said}"
            raise ModelUnreachable(self.name, problem, "Try again later, or raise SIGNOFF_MODEL_PATIENCE") from None

    async def _reserve(
        self, payer: Payer, request: ModelRequest, most: int, deadline: float
    ) -> tuple[Hold, float, int]:
        """Hold the worst case: the hold, the seconds that the call may take, and the tokens of its answer."""
        account, scopes = payer.account, payer.scopes
        budgets, own, timeout = payer.ledger.budgets, account.budgets.get("call"), self.settings.timeout
        if own is not None and own.is_limited:
            scope = Scope(f"call:{account.run_id}/{account.role}", own)
            raised = (await asyncio.to_thread(budgets.standing, scope.name)).raised
            most, timeout = fit_into(scope, raised, self.price, size=request.size, most=most, seconds=timeout)
        answers = request.options.get("n")
        times = answers if isinstance(answers, int) and answers > 1 else 1
        worst = worst_case(self.price, size=request.size, most=most * times, seconds=timeout)
        whose = {"run_id": account.run_id, "role": account.role, "team": account.team}
        patience = max(deadline - time.monotonic(), 1.0)  # for the budget, and for a turn after that
        call = {**whose, "model": self.name, "endpoint": self.endpoint, "tier": self.tier}
        most_seconds = 2 * patience + timeout + _GRACE
        hold = await budgets.areserve(scopes, worst, seconds=most_seconds, wait=patience, call=call, say=payer.say)
        return hold, min(timeout, hold.ms / 1000), most

    def _options(self, request: ModelRequest) -> tuple[dict[str, Any], int]:
        """The options as this provider's package wants them, and how many tokens the answer may have."""
        rest = dict(request.options)
        hidden = rest.get("extra_body")
        unseen = [name for name in hidden if name in _CHARGED] if isinstance(hidden, Mapping) else []
        if unseen or "model" in rest:
            problem = f"a guarded call cannot set {(*unseen, 'model')[0]!r} so, since no budget would hold"
            raise ModelRefused(self.name, problem)
        tools = rest.pop("tools", None)
        named = [rest.get(name) for name in NAMES_OF_MAX] + [getattr(self.model, name, None) for name in NAMES_OF_MAX]
        most = next((value for value in named if value and isinstance(value, int)), self.settings.max_output_tokens)
        most = min(most, self.settings.max_output_tokens)
        if tools is None:
            return rest, most
        about = {name: rest.pop(name) for name in _ABOUT_TOOLS if name in rest}
        key = (id(tools), repr(about))
        if key not in self._bound:
            if len(self._bound) >= 256:
                self._bound.clear()
            self._bound[key] = (tools, dict(self.model.bind_tools(tools, **about).kwargs))  # type: ignore[attr-defined]  # a RunnableBinding
        return {**self._bound[key][1], **rest}, most

    def _explained(self, failure: Failure, error: BaseException, tries: int) -> BaseException:
        """What to raise for the last failure, after so many tries."""
        if failure.kind in ("unknown", "cut"):
            return error
        if failure.kind in _ERRORS:
            return _ERRORS[failure.kind](self.name, failure.message)
        kind = ModelRefused if failure.kind == "refused" else ModelUnreachable
        problem = failure.message if tries == 1 else f"{failure.message} (tried {tries} times)"
        return kind(self.name, problem, failure.remedy)


def _bounded(model: BaseChatModel, options: Mapping[str, Any], most: int) -> dict[str, int]:
    """The bound of the answer, by the name that is used for it."""
    for name in NAMES_OF_MAX:
        if isinstance(options.get(name), int):
            return {name: min(most, options[name])}
    name = "max_output_tokens" if "max_output_tokens" in type(model).model_fields else "max_tokens"
    return {name: most}


def _pause(first: float, failures: int, failure: Failure) -> float:
    """Seconds before the next try: at random, lest many come back at once, and not before the endpoint says."""
    if failure.kind == "rate_limited":
        return 0.0  # the limiter keeps everybody waiting, not only this call
    most = min(first * 2 ** max(failures - 1, 0), _LONGEST_PAUSE)
    return max(random.uniform(0, most), failure.retry_after or 0.0)


@dataclass
class ModelCall:
    """One try that may be sent: its answer, and the account of it."""

    called: ChainModel
    payer: Payer
    request: ModelRequest
    options: Mapping[str, Any]
    ticket: Ticket | None
    is_probe: bool
    hold: Hold
    seconds: float
    started: float = 0.0
    since: float = 0.0
    """When its model was asked for, or the try before this one failed."""

    async def parts(self, *, stream: bool) -> AsyncGenerator[ChatGeneration, None]:
        """The answer; CallFailed if there is none. Whatever happens the account is settled."""
        self.started, found = time.monotonic(), list[ChatGeneration]()
        model, payer = self.called, self.payer
        with call_span(
            model.name, tier=model.tier, endpoint=model.endpoint, payer=payer, messages=self.request.messages
        ) as span:
            if self.ticket is not None:
                self.ticket.call.sent = self.started
            try:
                async with aclosing(self._source(stream=stream)) as source:
                    while True:
                        left = self.seconds - (time.monotonic() - self.started)
                        idle = model.settings.idle_timeout if found else left
                        async with asyncio.timeout(min(left, idle)):
                            part = await anext(source, None)
                        if part is None:
                            break
                        found.append(part)
                        if stream:
                            yield part
                message = _merged(found)
            except Exception as error:
                failure = self._paced(self._seen(classify(error), begun=bool(found)))
                self._tell(failure)  # first, and waiting for nothing: whatever cancels the rest, the next has its turn
                span.failed(failure.kind)
                await self._settle(failure.kind, failure.usage, is_assumed=failure.is_paid)
                raise CallFailed(failure, error) from error
            except BaseException:  # cancelled, or whoever reads the stream has gone
                self._tell(None)
                # Not in a task of its own: it begins with handing the bill in, which no second cancelling undoes.
                await self._settle("cancelled", None, is_assumed=True)
                raise
            nusd = await self._answered(message, _take_headers(found), span)
            if stream:
                cost = type(found[-1].message)(content="", response_metadata={"cost_nusd": nusd})
                yield ChatGenerationChunk(message=cost)
            else:
                message.response_metadata["cost_nusd"] = nusd
                yield found[0]

    async def _source(self, *, stream: bool) -> AsyncGenerator[ChatGeneration, None]:
        model, messages, stop = self.called.model, self.request.messages, self.request.stop
        if stream:
            async for chunk in model._astream(messages, stop=stop, **self.options):
                yield chunk
            return
        # With a cache, a rate limiter or a way to stream that somebody gave the model, LangChain's longer way.
        if model.cache or model.rate_limiter or getattr(model, "streaming", False) or get_llm_cache():
            told = await model.agenerate([messages], stop, callbacks=[], **self.options)
            found, about = told.generations[0][0], told.llm_output
        else:
            result = await model._agenerate(messages, stop=stop, **self.options)
            found, about = result.generations[0], result.llm_output
        if not isinstance(found, ChatGeneration):
            raise NoAnswer(f"the answer is a {type(found).__name__}")
        said = found.message
        said.response_metadata = {**(about or {}), **(found.generation_info or {}), **said.response_metadata}
        yield found

    async def _answered(self, message: AIMessage, headers: Mapping[str, str], span: Span) -> int:
        """Settle an answer, for so many nano-dollars; ModelDeclined if the model would not give one."""
        declined = _declined(message)
        outcome = "declined" if declined else "ok"
        spent, record = self._bill(outcome, message.usage_metadata, is_assumed=True)
        if self.called.breaker.failures:
            self.called.breaker.ended(is_probe=self.is_probe, answered=True)
        if self.ticket is not None:
            self.ticket.answered(headers, record.input_tokens + record.output_tokens)
        if self.payer.settles_later:
            self.hold.settle_later(spent, record)
        else:
            await self.hold.asettle(spent, record)
        if span.is_recording:
            span.answered(message, spent.nusd)
        if declined:
            raise ModelDeclined(self.called.name, declined)
        return spent.nusd

    def _seen(self, failure: Failure, *, begun: bool) -> Failure:
        """The failure, of a time-out with how long was waited; an answer that had begun may be charged."""
        if failure.kind == "timeout" and begun:
            message = f"silent amid its answer for {self.called.settings.idle_timeout:g} s or for good"
        elif failure.kind == "timeout":
            message = f"no answer in {self.seconds:.4g} s (SIGNOFF_MODEL_TIMEOUT)"
        else:
            message = failure.message
        return replace(failure, message=message, is_paid=failure.is_paid or begun)

    def _paced(self, failure: Failure) -> Failure:
        """The failure; one that asks to be left alone for a while is a limit, if others are answered meanwhile."""
        if failure.kind != "overloaded" or failure.retry_after is None or self.ticket is None:
            return failure
        return replace(failure, kind="rate_limited") if self.ticket.is_answered_since(self.since) else failure

    def _tell(self, failure: Failure | None) -> None:
        """Let the limiter and the breaker learn of a try that failed."""
        kind = failure.kind if failure is not None else None
        is_told = failure is not None and (kind == "rate_limited" or failure.retry_after is not None)
        if self.ticket is not None and failure is not None and is_told:
            self.ticket.limited(failure.retry_after, failure.headers)
        elif self.ticket is not None:
            self.ticket.failed()
        troubled = kind in ("overloaded", "unsent", "dropped", "timeout", "malformed")
        alive = kind in ("rate_limited", "refused", "context_overflow", "content_filter")
        answered = False if troubled else True if alive else None
        self.called.breaker.ended(is_probe=self.is_probe, answered=answered, cause=failure)

    async def _settle(self, outcome: str, told: Mapping[str, Any] | None, *, is_assumed: bool) -> None:
        await self.hold.asettle(*self._bill(outcome, told, is_assumed=is_assumed))

    def _bill(self, outcome: str, told: Mapping[str, Any] | None, *, is_assumed: bool) -> tuple[Amount, CallRecord]:
        return make_bill(
            self.payer,
            model=self.called.name,
            endpoint=self.called.endpoint,
            tier=self.called.tier,
            outcome=outcome,
            told=told,
            price=self.called.price,
            dearest=self.called.dearest,
            worst=self.hold.worst,
            is_assumed=is_assumed,
            ms=int((time.monotonic() - self.started) * 1000),
        )


def _merged(found: Sequence[ChatGeneration]) -> AIMessage:
    """The whole answer; NoAnswer if nothing came."""
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
    taken: dict[str, Any] = {}
    for holder in (found[0].message.response_metadata, found[0].generation_info or {}):
        taken |= holder.pop("headers", None) or {}
    return {str(name).lower(): str(value) for name, value in taken.items()}
