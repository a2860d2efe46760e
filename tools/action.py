"""Actions: tools that change the world outside the run. Agents propose them; only the act node calls them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field

from signoff.errors import TeamError
from signoff.tools.contract import NOTHING, Risk, ToolLimits, Touches

P = TypeVar("P", bound=BaseModel)


class Proposal(BaseModel):
    """An action an agent wants done outside: which, with what arguments, and why."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    action: str = Field(description="Name of the action")
    args: dict[str, Any] = Field(description="Its arguments, JSON values only")
    reason: str = Field(default="", description="Why, in one sentence, for the person who decides")


@dataclass(frozen=True, kw_only=True)
class Action(Generic[P]):
    """A tool with an effect outside the run."""

    name: str
    description: str
    arguments: type[P]
    """Pydantic model of its arguments; what a person edits is validated against it."""
    call: Callable[[P, str], Mapping[str, Any]]
    """Does it, given the arguments and an idempotency key; returns JSON values that say what was done."""
    risk: Risk = "external"
    touches: Touches = NOTHING
    """What it may touch, as the person who decides is told."""
    limits: ToolLimits | None = None
    """With limits a call that takes longer is given up on: what came of it is then unknown, until it is known."""
    idempotent: bool = False
    """True if calling again with the same key and arguments changes nothing more."""
    reconcile: Callable[[P, str], Mapping[str, Any] | None] | None = None
    """Looks whether a call with these arguments and key took effect: its result, or None if it did not."""
    preview: Callable[[P], str] | None = None
    """What the person who decides should see, in Markdown."""
    fixed: frozenset[str] = frozenset()
    """Arguments that a person cannot edit."""

    def __post_init__(self) -> None:
        if self.risk not in get_args(Risk):
            raise TeamError(
                f"Action {self.name!r}: {self.risk!r} is no risk of an action. Say one of {', '.join(get_args(Risk))}."
            )
        config = self.arguments.model_config
        by_name = config.get("populate_by_name") or config.get("validate_by_name")
        renamed = [
            name for name, field in self.arguments.model_fields.items() if field.validation_alias and not by_name
        ]
        if renamed or (self.arguments.model_computed_fields and config.get("extra") == "forbid"):
            what = (
                f"the argument {renamed[0]!r} has an alias" if renamed else "computed fields are forbidden as arguments"
            )
            raise TeamError(
                f"Action {self.name!r}: {what}, so that {self.arguments.__name__} cannot read what it wrote. "
                "Let it be read by name, and leave computed values to the action."
            )
        for name, field in self.arguments.model_fields.items():
            if "Secret" in str(field.annotation):
                raise TeamError(
                    f"Action {self.name!r}: the argument {name!r} is a secret, and arguments are shown and kept. "
                    "Let the action read the secret itself when it is called."
                )

    def propose(self, arguments: P, reason: str = "") -> Proposal:
        """A proposal of this action."""
        return Proposal(action=self.name, args=arguments.model_dump(mode="json"), reason=reason)
