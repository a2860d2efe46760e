"""Errors of models, of an agent's step, and of recordings."""

from __future__ import annotations

from typing import Final

from signoff.error_base import SignoffError, TeamError


class ModelError(SignoffError):
    """The model cannot be used as asked."""


class UnknownModel(ModelError):
    """No such model string, or its provider's package is not installed."""

    def __init__(self, model: str, problem: str) -> None:
        self.model, self.problem = model, problem
        super().__init__(
            f"Model {model!r}: {problem}. Use 'offline', 'openai:NAME', or 'provider:NAME' of an installed provider."
        )


class ModelRefused(ModelError):
    """The endpoint rejected the key or the request; trying again unchanged will not help."""

    def __init__(self, model: str, problem: str, remedy: str = "") -> None:
        self.model, self.problem, self.remedy = model, problem, remedy
        way_out = remedy or "Check SIGNOFF_API_KEY (or OPENAI_API_KEY), SIGNOFF_BASE_URL and the model's name"
        super().__init__(f"Model {model!r} refused the call: {problem}. {way_out}.")


class UnknownPrice(ModelError):
    """Nobody knows what a call of it costs, so no budget could hold."""

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"The price of model {model!r} is not known, so it is not called. Set it in dollars for a million tokens: "
            f'SIGNOFF_PRICES=\'{{"{model}": {{"input": 0.5, "output": 1.5}}}}\', or 0 if it costs nothing.'
        )


class ModelDeclined(ModelError):
    """It would not answer this; asking again unchanged will not help."""

    def __init__(self, model: str, problem: str) -> None:
        self.model, self.problem = model, problem
        super().__init__(f"Model {model!r} would not answer: {problem}. Put the goal otherwise or use another model.")


class ContextTooLong(ModelError):
    """The prompt does not fit the model."""

    def __init__(self, model: str, problem: str) -> None:
        self.model, self.problem = model, problem
        super().__init__(
            f"The prompt is too long for model {model!r}: {problem}. Use a model that takes more, or give it less."
        )


class ModelNotFetched(ModelError):
    """The file of a local model cannot be had."""

    def __init__(self, model: str, problem: str, remedy: str) -> None:
        self.model, self.problem, self.remedy = model, problem, remedy
        super().__init__(f"Model {model!r} was not fetched: {problem}. {remedy}.")


class ModelNotServed(ModelError):
    """A local model cannot be started."""

    def __init__(self, model: str, problem: str, remedy: str) -> None:
        self.model, self.problem, self.remedy = model, problem, remedy
        super().__init__(f"Model {model!r} cannot be served: {problem}. {remedy}.")


class ModelUnreachable(ModelError):
    """No usable answer: time-out, connection, server error or rate limit."""

    def __init__(self, model: str, problem: str, remedy: str = "") -> None:
        self.model, self.problem, self.remedy = model, problem, remedy
        super().__init__(f"Model {model!r} gave no answer: {problem}. {remedy or 'Check the endpoint'}, and try again.")


class WorkFailed(TeamError):
    """An agent could not do its step; the supervisor revises the plan. `final`: trying again as it is cannot help."""

    def __init__(self, agent: str, problem: str, *, final: bool = False) -> None:
        self.agent, self.problem, self.final = agent, problem, final
        super().__init__(f"{agent}: {problem}")


class StepStuck(WorkFailed):
    """An agent's step goes in circles, and neither a word nor a stronger model helped; a person is asked."""

    def __init__(self, agent: str, reason: str) -> None:
        self.reason = reason
        super().__init__(agent, f"the step goes in circles: {reason}", final=True)


NO_WORKER: Final = "there is nothing to do the work: name a --model, or a --codemod CMD"
"""The problem with a repository that neither a model nor a program would work on."""


class RepositoryUnusable(TeamError):
    """A repository, or this machine, is not as it has to be for code to be changed; nothing was."""

    def __init__(self, folder: object, problem: str) -> None:
        self.folder, self.problem = str(folder), problem
        super().__init__(f"The repository {self.folder!r}: {problem}.")


class RecordingError(SignoffError):
    """A recording cannot be played or written."""


class RecordingUnreadable(RecordingError):
    """The file is no recording, or one that cannot be written to."""

    def __init__(self, path: object, problem: str) -> None:
        self.path, self.problem = str(path), problem
        super().__init__(f"{self.path!r} is no recording that can be used: {problem}. Name another, or make a new one.")


class NotRecorded(RecordingError):
    """A replay asked what the recording does not have; nothing was called. `difference` is to the nearest it has."""

    def __init__(self, path: object, asked: str, difference: str) -> None:
        self.path, self.asked, self.difference = str(path), asked, difference
        super().__init__(
            f"The recording {self.path!r} has no answer to this ({asked}), and a replay never makes a live call.\n"
            f"{difference}\nRecord it anew with --record, or undo what changed since."
        )
