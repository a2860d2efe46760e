"""The base of all errors, and those that every room raises."""

from __future__ import annotations


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
        super().__init__(feature, problem, f"Run: pip install 'signoff[{extra}]'")


class TeamError(SignoffError):
    """A team, agent or policy is put together wrongly."""


class RunError(SignoffError):
    """Something about one run."""
