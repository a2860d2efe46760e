"""A runnable made around one chat model, such as its structured output, around another in its place."""

from __future__ import annotations

from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import RunnableBinding, RunnableParallel, RunnableSequence


def rebound(runnable: Any, model: BaseChatModel, other: BaseChatModel) -> Any:
    """The same runnable with the other model wherever it calls the first itself."""
    if runnable is model:
        return other
    if isinstance(runnable, RunnableBinding):
        return runnable.model_copy(update={"bound": rebound(runnable.bound, model, other)})
    if isinstance(runnable, RunnableSequence):
        return RunnableSequence(*(rebound(step, model, other) for step in runnable.steps))
    if isinstance(runnable, RunnableParallel):
        return RunnableParallel({name: rebound(step, model, other) for name, step in runnable.steps__.items()})
    return runnable
