"""What model calls used: counts of calls and tokens, and their price where it is known."""

from __future__ import annotations

import threading
from typing import Any, cast
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import ChatGeneration, LLMResult
from typing_extensions import TypedDict

from signoff.agents.run_context import Say
from signoff.checkpoints.ledger.budgets import NANO
from signoff.wording import counted


class Usage(TypedDict):
    """Sums over model calls."""

    calls: int
    input_tokens: int
    output_tokens: int
    cost_usd: float
    unpriced: int
    """Calls whose price is not known; `cost_usd` leaves them out."""


NO_USAGE = Usage(calls=0, input_tokens=0, output_tokens=0, cost_usd=0.0, unpriced=0)


def usage_text(usage: Usage) -> str:
    """Tokens and cost in words."""
    tokens = usage["input_tokens"] + usage["output_tokens"]
    if not usage["calls"]:
        return "no model calls, $0"
    cost = f"${usage['cost_usd']:.4f}" if usage["unpriced"] < usage["calls"] else "price unknown"
    return f"{counted(usage['calls'], 'model call')}, {counted(tokens, 'token')}, {cost}"


def add_usage(first: Usage, second: Usage) -> Usage:
    counts: Any = {**first}
    return cast(Usage, {name: count + second[name] for name, count in counts.items()})  # type: ignore[literal-required]


def call_usage(answer: object) -> Usage:
    """Usage of one call, from the message it was answered with; the guard wrote its price there."""
    tokens = getattr(answer, "usage_metadata", None) or {}
    nusd = (getattr(answer, "response_metadata", None) or {}).get("cost_nusd")
    return Usage(
        calls=1,
        input_tokens=tokens.get("input_tokens", 0),
        output_tokens=tokens.get("output_tokens", 0),
        cost_usd=(nusd or 0) / NANO,
        unpriced=int(nusd is None),
    )


class UsageCounter(BaseCallbackHandler):
    """Counts the loop's own calls when told, and those made inside of its tools as a callback handler."""

    raise_error = True
    run_inline = True  # a handler that is not inline costs an async caller a thread for each event

    def __init__(self, say: Say) -> None:
        self.say = say
        self.usage: Usage = NO_USAGE
        self._adding = threading.Lock()

    def add(self, answer: object) -> None:
        """Count one call of a model by the message it was answered with."""
        with self._adding:
            self.usage = add_usage(self.usage, call_usage(answer))

    def include(self, usage: Usage) -> None:
        """Count what a step within the step used."""
        with self._adding:
            self.usage = add_usage(self.usage, usage)

    def on_chat_model_start(self, serialized: dict[str, Any], messages: Any, **_: Any) -> None:  # noqa: ARG002  # the base class's names
        """Tell that a tool asks a model."""
        self.say("asks a model of its own")

    def on_tool_start(self, serialized: dict[str, Any] | None, input_str: str, *, run_id: UUID, **_: Any) -> None:  # noqa: ARG002  # the base class's names
        """Tell which tool is used."""
        self.say(f"uses {(serialized or {}).get('name', 'a tool')} {input_str[:120]}")

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        """Count a call that a tool made."""
        generation = response.generations[0][0] if response.generations and response.generations[0] else None
        self.add(generation.message if isinstance(generation, ChatGeneration) else None)
