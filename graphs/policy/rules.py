"""Rules: what happens to a proposal, for all its arguments or for some, and who decides if a person is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal

from signoff.checkpoints.ledger import Authority, Requirement
from signoff.error_base import TeamError
from signoff.graphs.errors import Undecidable
from signoff.graphs.policy.patterns import Given, Pattern, as_pattern

MOST_HOURS = 100_000
_MOST_PEOPLE = 100


@dataclass(frozen=True, kw_only=True, repr=False)
class Ask:
    """A person decides: anybody, unless it says who."""

    role: str = ""
    """Role that whoever decides must have."""
    quorum: int = 1
    """How many different people must agree."""
    four_eyes: bool = False
    """Whether whoever asked for the run may not approve."""
    hours: float | None = None
    """How long the question stays open; after that it counts as refused. None: `SIGNOFF_APPROVAL_HOURS`."""
    escalate_to: str = ""
    """Role that may decide as well, once the question has waited for `escalate_hours`."""
    escalate_hours: float | None = None
    batch: bool | None = None
    """Whether it may be one question with others of its kind; None: unless the action cannot be undone."""

    def __post_init__(self) -> None:
        if problem := self._problem():
            raise TeamError(f"{self!r}: {problem}.")

    @property
    def authority(self) -> Authority:
        """Who may decide, as the ledger checks it."""
        after = (self.escalate_hours or 0) * 3600
        requirements = (Requirement(self.role, self.escalate_to, after),) if self.role else ()
        return Authority(requirements, self.quorum, self.four_eyes)

    def _problem(self) -> str:
        for role in (self.role, self.escalate_to):
            if type(role) is not str or role != role.strip() or len(role) > 200 or not role.isprintable():
                return f"{role!r:.200} is no role; use 1 to 200 printable characters"
        if type(self.quorum) is not int or not 1 <= self.quorum <= _MOST_PEOPLE:
            return f"the quorum is a whole number from 1 to {_MOST_PEOPLE}"
        if type(self.four_eyes) is not bool:
            return "four_eyes is True or False"
        if self.batch is not None and type(self.batch) is not bool:
            return "batch is True, False or None"
        for hours in (self.hours, self.escalate_hours):
            if hours is not None and not is_span(hours, MOST_HOURS):
                return f"hours are above 0 and at most {MOST_HOURS:,}"
        if bool(self.escalate_to) != (self.escalate_hours is not None):
            return "escalate_to and escalate_hours go together"
        if self.escalate_to and self.role in ("", self.escalate_to):
            return "escalation goes from one role to another; name both"
        if self.hours is not None and self.escalate_hours is not None and self.escalate_hours >= self.hours:
            return "it expires before it escalates"
        return ""

    def __repr__(self) -> str:
        return shortened(self)


Verdict = Literal["allow", "ask", "deny"] | Ask
"""What happens to a proposal; 'ask' is `Ask()`."""


@dataclass(frozen=True, init=False, repr=False)
class When:
    """A rule for some arguments only: `When("allow", to="ann", euros=Below(100))` needs both to fit.

    A field of a nested argument is named in a mapping: `When("deny", {"order.total": Above(1000)})`.
    """

    then: Verdict
    patterns: tuple[tuple[str, Pattern], ...]

    def __init__(self, then: Verdict, patterns: Mapping[str, Given] | None = None, /, **named: Given) -> None:
        if not _is_verdict(then):
            raise TeamError(f"When({then!r:.200}, …): name 'allow', 'ask', 'deny' or Ask(…) first.")
        if patterns is not None and not isinstance(patterns, Mapping):
            raise TeamError(f"When({then!r}, {patterns!r:.200}): say for which argument, as in to={patterns!r:.200}.")
        given = {**(patterns or {}), **named}
        if not given:
            raise TeamError(f"When({then!r}) names no argument. For all arguments write {then!r} alone.")
        if twice := set(patterns or ()) & set(named):
            raise TeamError(f"When({then!r}, …) names {min(twice)!r} twice.")
        for name in given:
            if type(name) is not str or not all(name.split(".")):
                raise TeamError(f"When({then!r}, …): {name!r:.200} is no argument.")
        object.__setattr__(self, "then", then)
        object.__setattr__(self, "patterns", tuple((name, as_pattern(pattern)) for name, pattern in given.items()))

    def fits(self, args: Mapping[str, Any]) -> bool:
        """Whether all patterns fit; Undecidable if none surely does not, and one cannot be told."""
        unclear: Undecidable | None = None
        for name, pattern in self.patterns:
            try:
                if not pattern.fits(_look_up(args, name)):
                    return False
            except Undecidable as error:
                unclear = unclear or Undecidable(f"{name} {error.why}")
        if unclear:
            raise unclear
        return True

    def describe(self) -> str:
        return " and ".join(pattern.describe(name) for name, pattern in self.patterns)

    def __repr__(self) -> str:
        dotted = {name: pattern for name, pattern in self.patterns if not name.isidentifier()}
        named = [f"{name}={pattern!r}" for name, pattern in self.patterns if name.isidentifier()]
        return f"When({', '.join([repr(self.then), *([repr(dotted)] if dotted else []), *named])})"


Rule = Verdict | When | Sequence[Verdict | When]
"""What happens to proposals of one action; of several rules the first that fits, and if none does it is denied."""


def listed(rule: Any) -> tuple[Verdict | When, ...]:
    """The rules for one action, in their order."""
    return tuple(rule) if isinstance(rule, list | tuple) else (rule,)


def check_rule(action: str, rule: Any) -> None:
    """Raise TeamError unless this is a rule, or a list of rules of which each can hold."""
    rules = listed(rule)
    if not rules:
        raise TeamError(f"Policy for {action!r}: there is no rule. Write 'deny' to deny it.")
    for number, one in enumerate(rules, start=1):
        if not isinstance(one, When) and not _is_verdict(one):
            raise TeamError(f"Policy for {action!r}: {one!r:.200} is not 'allow', 'ask', 'deny', Ask(…) or When(…).")
        if not isinstance(one, When) and number < len(rules):
            raise TeamError(
                f"Policy for {action!r}: rule {number + 1} can never hold, for rule {number} holds for all arguments."
            )


def _look_up(args: Any, name: str) -> Any:
    """The argument of this dotted name; Undecidable if it is missing."""
    found = args
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise Undecidable("is missing")
        found = found[part]
    return found


def _is_verdict(given: Any) -> bool:
    return isinstance(given, Ask) or (type(given) is str and given in ("allow", "ask", "deny"))


def is_span(given: Any, most: float) -> bool:
    """Whether this is a length of time, neither nothing nor for ever."""
    return type(given) in (int, float) and 0 < given <= most


def shortened(value: Any) -> str:
    """The value as it would be written: what is as usual is left out."""
    given = [
        f"{each.name}={getattr(value, each.name)!r}"
        for each in fields(value)
        if getattr(value, each.name) != each.default
    ]
    return f"{type(value).__name__}({', '.join(given)})"
