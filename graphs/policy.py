"""Policy: which actions are allowed, asked about, or denied. What it does not name is denied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from signoff.errors import TeamError

_MOST_HOURS = 100_000


@dataclass(frozen=True)
class Ask:
    """A person decides."""

    hours: float | None = None
    """How long the question stays open; after that it counts as refused. None: `SIGNOFF_APPROVAL_HOURS`."""

    def __post_init__(self) -> None:
        if self.hours is not None and not self.hours <= _MOST_HOURS:
            raise TeamError(f"Ask(hours={self.hours!r}): name at most {_MOST_HOURS:,} hours.")


Rule = Literal["allow", "ask", "deny"] | Ask
"""What happens to proposals of one action."""


@dataclass(frozen=True)
class Policy:
    """A rule per action name: `Policy({"publish_report": "ask"})`."""

    rules: Mapping[str, Rule] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for action, rule in self.rules.items():
            if rule not in ("allow", "ask", "deny") and not isinstance(rule, Ask):
                raise TeamError(f"Policy for {action!r}: {rule!r} is not 'allow', 'ask', 'deny' or Ask(…).")

    def rule(self, action: str) -> Ask | Literal["allow", "deny"]:
        """The rule for this action."""
        rule = self.rules.get(action, "deny")
        return Ask() if rule == "ask" else rule
