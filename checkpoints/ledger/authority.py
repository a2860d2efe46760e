"""Authority: who may decide an approval, and how many must agree. The ledger keeps it with each and checks it."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Final

from signoff.checkpoints import clock
from signoff.errors import BadName

_LONGEST_NAME: Final = 200
_RESERVED: Final = ("policy",)
"""Names that stand for the machinery wherever it says who decided."""


@dataclass(frozen=True)
class Person:
    """Somebody who decides. The name is as good as whoever vouches for it: a login, or a server's authentication."""

    name: str
    """Empty: nobody knows who."""
    roles: frozenset[str] = frozenset()
    vouched: frozenset[str] = frozenset()
    """Those of the roles that a server vouches for, now; the others are in the ledger."""

    def __str__(self) -> str:
        return self.name or "whoever resumed the thread"


def clean_name(name: str) -> str:
    """The name as it is kept and compared: without blanks around it, its letters composed; BadName if it is none."""
    kept = unicodedata.normalize("NFC", name.strip())
    if not kept.isprintable() or len(kept) > _LONGEST_NAME or "," in kept or kept.casefold() in _RESERVED:
        raise BadName("name of a person", name)
    return kept


def is_same_person(one: str, other: str) -> bool:
    """Whether two names are one person's; capitals make no difference."""
    return one.casefold() == other.casefold()


@dataclass(frozen=True)
class Requirement:
    """A role that whoever decides must have, or, once it has waited long enough, another one."""

    role: str
    escalate_to: str = ""
    """Role that may decide as well after a while; empty: none."""
    escalate_after: float = 0.0
    """Seconds until then."""

    def met_by(self, roles: Collection[str], waited: float) -> bool:
        """Whether somebody with these roles may decide after so many seconds."""
        return self.role in roles or (
            bool(self.escalate_to) and waited >= self.escalate_after and self.escalate_to in roles
        )

    def describe(self) -> str:
        """It in words."""
        hours = f"{self.escalate_after / 3600:g}"
        return f"role {self.role}" + (f" (or {self.escalate_to} after {hours} h)" if self.escalate_to else "")


@dataclass(frozen=True)
class Authority:
    """Who may decide. The default is anybody, one person, named or not."""

    requirements: tuple[Requirement, ...] = ()
    """Each must be met."""
    quorum: int = 1
    """How many different people must agree on the same arguments; one of them can reject."""
    four_eyes: bool = False
    """Whether the person who asked for the run may not approve."""

    @property
    def needs_names(self) -> bool:
        """Whether an approval by nobody knows who cannot count."""
        return bool(self.requirements) or self.quorum > 1 or self.four_eyes

    def objection(self, who: Person, *, requester: str, asked_at: str, approves: bool = True) -> str:
        """Why this person may not decide now; empty if they may. `asked_at`: when the question was opened."""
        if not self.needs_names:
            return ""
        if not who.name:
            return f"{self.describe()} is asked for, and nobody knows who answered"
        waited = clock.seconds_since(asked_at)
        for requirement in self.requirements:
            if not requirement.met_by(who.roles, waited):
                has = f"has {', '.join(sorted(who.roles))}" if who.roles else "has no role"
                return f"{requirement.describe()} is asked for, and {who.name} {has}"
        if self.four_eyes and approves:
            if not requester:
                return "somebody else than the requester is asked for, and nobody knows who that is"
            if is_same_person(who.name, requester):
                return f"somebody else than the requester is asked for, and {who.name} is the requester"
        return ""

    def narrowed(self, other: Authority) -> Authority:
        """What satisfies both."""
        return Authority(
            tuple(dict.fromkeys((*self.requirements, *other.requirements))),
            max(self.quorum, other.quorum),
            self.four_eyes or other.four_eyes,
        )

    def covers(self, other: Authority) -> bool:
        """Whether a decision under this one also satisfies the other."""
        return self.narrowed(other) == self

    def escalates_at(self, asked_at: str) -> str:
        """The first moment at which another role may decide as well; empty: never."""
        moments = [clock.after(asked_at, need.escalate_after) for need in self.requirements if need.escalate_to]
        return min(moments, default="")

    def describe(self) -> str:
        """It in words: `role finance, 2 people, not the requester`."""
        parts = [requirement.describe() for requirement in self.requirements]
        if self.quorum > 1:
            parts.append(f"{self.quorum} people")
        if self.four_eyes:
            parts.append("not the requester")
        return ", ".join(parts) or "anybody"

    def as_json(self) -> dict[str, Any]:
        """As the ledger keeps it."""
        return {
            "requirements": [
                {"role": need.role, "escalate_to": need.escalate_to, "escalate_after": need.escalate_after}
                for need in self.requirements
            ],
            "quorum": self.quorum,
            "four_eyes": self.four_eyes,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Authority:
        """As it was kept."""
        return cls(
            tuple(Requirement(**need) for need in kept.get("requirements", ())),
            kept.get("quorum", 1),
            kept.get("four_eyes", False),
        )
