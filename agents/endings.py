"""How a step ends when it does not end in an artifact."""

from __future__ import annotations

from collections.abc import Sequence

from langchain_core.messages import BaseMessage

from signoff.agents.usage import Usage
from signoff.errors import BudgetExhausted, WorkFailed


class StepFailed(Exception):
    """The step failed; carries why, whether another try can help, and what it used."""

    def __init__(self, failure: WorkFailed, usage: Usage, flags: Sequence[str] = ()) -> None:
        self.failure, self.usage, self.flags = failure, usage, tuple(flags)
        super().__init__(str(failure))


class StepHeld(Exception):
    """A budget ended amid the step; `Task.transcript` takes the transcript, and the step goes on just there."""

    def __init__(self, error: BudgetExhausted, transcript: Sequence[BaseMessage], usage: Usage) -> None:
        self.error, self.transcript, self.usage = error, tuple(transcript), usage
        super().__init__(str(error))
