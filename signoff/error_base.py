"""The base of all errors, those that every room raises, and those of the test doubles."""

from __future__ import annotations

from signoff.installation import extra_command


class SignoffError(Exception):
    """Base of all errors of signoff; its text says what happened and what to do next."""


class SettingsError(SignoffError):
    """A setting is missing or makes no sense."""

    def __init__(self, setting: str, problem: str, remedy: str) -> None:
        self.setting, self.problem, self.remedy = setting, problem, remedy
        super().__init__(f"{setting}: {problem}. {remedy}")


class MissingExtra(SettingsError):
    """An optional package is not installed."""

    def __init__(self, feature: str, extra: str, problem: str = "needs a package that is not installed") -> None:
        self.feature, self.extra = feature, extra
        super().__init__(feature, problem, f"Run: {extra_command(extra)}")


class TeamError(SignoffError):
    """A team, agent or policy is put together wrongly."""


class RunError(SignoffError):
    """Something about one run."""


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
