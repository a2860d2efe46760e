"""Calls of chat models that nobody guarded, in tools, sub-agents and functions: seen as callbacks, and charged.

Such a call can be refused, and what it used be written down. Only the guard can give one a turn, a time-out and more
tries.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.runnables.config import ensure_config, merge_configs, var_child_runnable_config

from signoff.agents.errors import UnknownPrice
from signoff.agents.models.failures import classify
from signoff.agents.models.guarded import GUARDED, size_of
from signoff.agents.models.pricing import FREE, NAMES_OF_MAX, Price, make_bill, price_of, worst_case
from signoff.agents.models.settings import CallSettings
from signoff.agents.run_context import Payer, current_payer
from signoff.settings import load_settings

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.budgets import Hold


@dataclass(frozen=True)
class _Account:
    """A call under way."""

    payer: Payer
    model: str
    price: Price
    hold: Hold
    started: float


class UnguardedCalls(BaseCallbackHandler):
    """A callback handler for a step; calls made inside inherit it, once `charging` has begun."""

    raise_error = True
    ignore_chain = ignore_agent = True
    run_inline = True
    """Guarded calls, which are nearly all, are looked at for a microsecond; a thread for that would cost more."""

    def __init__(self) -> None:
        self._accounts: dict[UUID, _Account] = {}
        self._lock = threading.Lock()
        self._settings: CallSettings | None = None

    def on_chat_model_start(
        self, serialized: dict[str, Any] | None, messages: list[list[BaseMessage]], *, run_id: UUID, **more: Any
    ) -> None:
        """Reserve the worst case of a call that nobody guards; BudgetExhausted or UnknownPrice stops it."""
        del serialized
        params = more.get("invocation_params") or {}
        payer = current_payer()
        if params.get("_type") == GUARDED or payer is None:
            return
        settings = self._settings = self._settings or CallSettings.of(load_settings())
        model = str(params.get("model") or params.get("model_name") or params.get("_type") or "unknown")
        price = FREE if params.get("_type") == "scripted" else price_of(model, "", settings.prices)
        if price is None:
            raise UnknownPrice(model)
        size = sum(size_of(batch, params) for batch in messages)
        most = next((params[name] for name in NAMES_OF_MAX if isinstance(params.get(name), int)), None)
        most = most or settings.max_output_tokens
        worst = worst_case(price, size=size, most=most, seconds=settings.timeout)
        account = payer.account
        call = {"run_id": account.run_id, "role": account.role, "team": account.team, "model": model}
        hold = payer.ledger.budgets.reserve(payer.scopes, worst, seconds=settings.patience, wait=0, call=call)
        with self._lock:
            self._accounts[run_id] = _Account(payer, model, price, hold, time.monotonic())

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **_: Any) -> None:
        """Settle what was used."""
        if (account := self._taken(run_id)) is not None:
            found = [part for batch in response.generations for part in batch if isinstance(part, ChatGeneration)]
            usage = [getattr(part.message, "usage_metadata", None) or {} for part in found]
            names = ("input_tokens", "output_tokens") if all(usage) else ()
            total = {name: sum(int(used.get(name, 0)) for used in usage) for name in names}
            _settle(account, "ok", total, is_assumed=True)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """Settle a call that failed: its worst case if nobody knows what it used."""
        if (account := self._taken(run_id)) is not None:
            failure = classify(error)
            _settle(account, failure.kind, failure.usage, is_assumed=failure.is_paid)

    def _taken(self, run_id: UUID) -> _Account | None:
        with self._lock:
            return self._accounts.pop(run_id, None)


@contextmanager
def charging(unguarded: UnguardedCalls) -> Iterator[None]:
    """Have every call of a model that is made inside seen, in threads and tasks begun with this context as well."""
    config = merge_configs(ensure_config(), {"callbacks": [unguarded]})
    token = var_child_runnable_config.set(config)
    try:
        yield
    finally:
        var_child_runnable_config.reset(token)


def _settle(account: _Account, outcome: str, usage: Mapping[str, Any], *, is_assumed: bool) -> None:
    spent, record = make_bill(
        account.payer,
        model=account.model,
        outcome=outcome,
        told=usage,
        price=account.price,
        worst=account.hold.worst,
        is_assumed=is_assumed,
        ms=int((time.monotonic() - account.started) * 1000),
    )
    account.hold.settle(spent, record)
