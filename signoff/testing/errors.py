"""Errors of the test doubles."""

from __future__ import annotations

from signoff.error_base import SignoffError


class ScriptError(SignoffError):
    """A test double cannot answer from its script."""


class NotScripted(ScriptError):
    """The script has no reply for this call."""

    def __init__(self, call: int, problem: str, asked: str) -> None:
        self.call, self.problem, self.asked = call, problem, asked
        super().__init__(
            f"Call {call} is not scripted: {problem}. It asked {asked!r}. "
            "Add a reply for it, or script a function, which answers any number of calls."
        )


class ReplyMisfit(ScriptError):
    """The scripted reply is not what the call asked for."""

    def __init__(self, call: int, reply: object, problem: str) -> None:
        self.call, self.reply, self.problem = call, reply, problem
        super().__init__(f"Call {call} cannot be answered with {reply!r:.200}: {problem}. Correct the script.")
