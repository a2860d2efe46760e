"""A call of a model, as both doubles record it and show it to scripted functions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from langchain_core.messages import BaseMessage, SystemMessage


@dataclass(frozen=True)
class Call:
    """What was asked of the model, the same whether it came in-process or by HTTP."""

    messages: tuple[BaseMessage, ...]
    tools: tuple[dict[str, Any], ...] = ()
    """Tools bound to the call, in OpenAI's function format."""
    tool_choice: Any = None
    response_format: dict[str, Any] | None = None
    """`{"type": "json_schema", …}` when structured output was asked for by schema."""
    model: str = ""
    number: int = 0
    """Counts from 1, over all scripts of one double."""

    @property
    def text(self) -> str:
        """Everything the prompt says, one message after the other."""
        return "\n".join(str(message.text) for message in self.messages)

    @property
    def system(self) -> str:
        """What the system messages say: usually the agent's instructions."""
        return "\n".join(str(message.text) for message in self.messages if isinstance(message, SystemMessage))

    @property
    def last(self) -> str:
        """What the last message says."""
        return str(self.messages[-1].text) if self.messages else ""

    @property
    def tool_names(self) -> tuple[str, ...]:
        """Names of the tools bound to the call."""
        return tuple(str(tool["function"]["name"]) for tool in self.tools if "function" in tool)
