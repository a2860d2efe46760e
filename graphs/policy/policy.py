"""Policy: which actions are allowed, asked about or denied, by their arguments. What no rule lets through is denied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Literal

from signoff.checkpoints.ledger import Authority
from signoff.error_base import TeamError
from signoff.graphs.errors import Undecidable
from signoff.graphs.policy.rules import MOST_HOURS, Ask, Rule, Verdict, When, check_rule, is_span, listed, shortened
from signoff.tools import Action

_STRICTNESS = ("allow", "ask", "deny")


@dataclass(frozen=True, repr=False)
class Rate:
    """At most `count` actions of one run in any `seconds`; what comes on top is asked about, or denied."""

    count: int
    seconds: float | None = None
    """None: in the whole run."""
    then: Literal["ask", "deny"] = "ask"
    """What happens to an action beyond it, even to one that the rules allow."""

    def __post_init__(self) -> None:
        if type(self.count) is not int or self.count < 1:
            raise TeamError(f"{self!r}: count is a whole number of at least 1.")
        if self.seconds is not None and not is_span(self.seconds, MOST_HOURS * 3600):
            raise TeamError(f"{self!r}: seconds are above 0 and at most {MOST_HOURS * 3600:,}, or None.")
        if self.then not in ("ask", "deny"):
            raise TeamError(f"{self!r}: then is 'ask' or 'deny'.")

    def describe(self) -> str:
        """It in words: `at most 20 actions in 3600 seconds`."""
        actions = "1 action" if self.count == 1 else f"{self.count} actions"
        return f"at most {actions} in " + ("one run" if self.seconds is None else f"{self.seconds:g} seconds")

    def __repr__(self) -> str:
        return shortened(self)


@dataclass(frozen=True)
class Ruling:
    """What policy says of one proposal, and why."""

    kind: Literal["allow", "ask", "deny"]
    authority: Authority = field(default_factory=Authority)
    """Who may decide, if a person is asked."""
    hours: float | None = None
    """How long the question stays open; None: as long as the settings say."""
    why: str = ""
    """The rule that holds: `rule 2 of pay: euros is above 1000`."""
    batch: bool | None = None
    """Whether it may be one question with others of its kind; None: as the action's risk says."""


@dataclass(frozen=True, repr=False)
class Policy:
    """Rules per action: `Policy({"pay": [When("allow", euros=Below(100)), "ask"]}, rate=Rate(20, seconds=3600))`.

    The first rule of an action that fits its arguments decides. Denied is what is not named, what no rule fits, and
    what a rule cannot tell when its turn comes.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    rate: Rate | Sequence[Rate] = field(default=(), kw_only=True)
    """Limits on the actions of one run; each holds."""
    narrowings: tuple[Policy, ...] = field(default=(), kw_only=True)
    """Policies that hold as well for what they name; `narrowed` adds them."""

    def __post_init__(self) -> None:
        if not isinstance(self.rules, Mapping):
            raise TeamError(f"Policy({self.rules!r:.200}): name rules by action, as in Policy({{'pay': 'ask'}}).")
        for action, rule in self.rules.items():
            if type(action) is not str or not action:
                raise TeamError(f"Policy names {action!r:.200}, which is no action.")
            check_rule(action, rule)
        rates = self.rate if isinstance(self.rate, list | tuple) else (self.rate,)
        for rate in rates:
            if not isinstance(rate, Rate):
                raise TeamError(f"Policy(rate={rate!r:.200}): use Rate(…), or a list of them.")
        # Copied, so that nothing that happens to the caller's changes what is allowed.
        rules = {action: tuple(rule) if isinstance(rule, list) else rule for action, rule in self.rules.items()}
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "rate", tuple(rates))

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Limits on the actions of one run, those of the narrowings as well; each holds."""
        own = (self.rate,) if isinstance(self.rate, Rate) else tuple(self.rate)
        return tuple(dict.fromkeys((*own, *(rate for policy in self.narrowings for rate in policy.rates))))

    def ruling(self, action: str, args: Mapping[str, Any]) -> Ruling:
        """What happens to a proposal of this action with these arguments: the strictest of what holds."""
        if action not in self.rules:
            return Ruling("deny", why=f"policy does not name {action!r:.200}")
        found = [_first_that_fits(self.rules[action], args, action)]
        for policy in self.narrowings:
            if action in policy.rules:
                found.append(_first_that_fits(policy.rules[action], args, f"{action} (narrowed)"))
        kind = max((ruling.kind for ruling in found), key=_STRICTNESS.index)
        holding = [ruling for ruling in found if ruling.kind == kind]
        return Ruling(
            kind,
            reduce(Authority.narrowed, (ruling.authority for ruling in holding)),
            min((ruling.hours for ruling in holding if ruling.hours is not None), default=None),
            "; ".join(dict.fromkeys(ruling.why for ruling in holding)),
            min((ruling.batch for ruling in holding), key=(False, None, True).index),
        )

    def narrowed(self, other: Policy) -> Policy:
        """This policy, with what the other names held to the other's rules too. Nothing gets wider.

        What the other does not name stays as it is here; what is not named here stays denied. The rates of both hold.
        """
        return replace(self, narrowings=(*self.narrowings, replace(other, narrowings=()), *other.narrowings))

    def check(self, actions: Mapping[str, Action[Any]]) -> None:
        """Raise TeamError if an action or an argument is named that does not exist."""
        for policy in (self, *self.narrowings):
            if unknown := set(policy.rules) - set(actions):
                raise TeamError(f"Policy names {min(unknown)!r}, which no agent of the team has among its actions.")
            for action, rule in policy.rules.items():
                _check_arguments(actions[action], rule)

    def __repr__(self) -> str:
        own = replace(self, narrowings=()).rates
        rate = f", rate={own[0] if len(own) == 1 else list(own)!r}" if own else ""
        rules = {action: list(rule) if isinstance(rule, tuple) else rule for action, rule in self.rules.items()}
        return f"Policy({rules!r}{rate})" + "".join(f".narrowed({policy!r})" for policy in self.narrowings)


def _first_that_fits(rule: Rule, args: Mapping[str, Any], action: str) -> Ruling:
    for number, one in enumerate(listed(rule), start=1):
        label = f"rule {number} of {action}"
        if not isinstance(one, When):
            return _ruling(one, f"{label}: whatever its arguments")
        try:
            if one.fits(args):
                return _ruling(one.then, f"{label}: {one.describe()}")
        except Undecidable as error:
            # A rule that allows does not allow what it cannot tell; one that denies denies it.
            return Ruling("deny", why=f"{label} cannot be told: {error.why}")
    return Ruling("deny", why=f"no rule of {action} fits its arguments")


def _ruling(verdict: Verdict, why: str) -> Ruling:
    if isinstance(verdict, Ask):
        return Ruling("ask", verdict.authority, verdict.hours, why, verdict.batch)
    return Ruling(verdict, why=why)


def _check_arguments(action: Action[Any], rule: Rule) -> None:
    known = action.arguments.model_fields
    if action.arguments.model_config.get("extra") == "allow":
        return
    for one in listed(rule):
        for name, _ in one.patterns if isinstance(one, When) else ():
            if name.split(".")[0] not in known:
                raise TeamError(
                    f"Policy for {action.name!r} names the argument {name!r}, which it does not have; "
                    f"it has {', '.join(known) or 'none'}."
                )
