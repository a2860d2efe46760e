"""The tally of a step: what its model calls used, those of its tools and sub-agents included, told as it happens."""

from __future__ import annotations

import threading
from typing import Any
from uuid import UUID

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.outputs import ChatGeneration, LLMResult

from signoff.agents.run_context import Say
from signoff.agents.usage import NO_USAGE, Usage, add_usage, call_usage


class Tally(BaseCallbackHandler):
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
