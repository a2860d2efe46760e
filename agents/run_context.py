"""What a model call needs to know of the step that it is made in: who pays, and who is told. A context variable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

from signoff.checkpoints.ledger.budgets import NO_LIMIT, Budget, Scope, scopes_of
from signoff.error_base import SettingsError
from signoff.settings import Settings

if TYPE_CHECKING:
    from signoff.agents.replay.cassette import Cassette
    from signoff.checkpoints.ledger import Ledger


LEVELS: Final = ("call", "agent", "run", "team", "day")
"""What has a budget, innermost first."""


class Say(Protocol):
    """Tells whoever watches the run what is being done, in one short line, and how far it is."""

    def __call__(self, text: str, /, *, done: int = 0, total: int = 0) -> None:
        """Say it; a total of 0 means that there is nothing to count."""


def say_nothing(_text: str, /, *, done: int = 0, total: int = 0) -> None:
    """Say nothing."""


@dataclass(frozen=True)
class Hired:
    """A run that is the work of a step: a team that stands as an agent."""

    name: str
    """What it is called: the same whenever the step is done again."""
    told: Mapping[str, Any]
    """What the step hands it beside its goal, JSON values."""


@dataclass(frozen=True, kw_only=True)
class Payer:
    """On whose account models are called: one role's step in one run."""

    ledger: Ledger
    run_id: str = ""
    team: str = ""
    role: str = ""
    item: str = ""
    """Name of the item that the role works on, if it works item by item."""
    budgets: Mapping[str, Budget] = field(default_factory=dict)
    """Limits by level: call, item, agent, run, team, day."""
    say: Say = say_nothing
    cassette: Cassette | None = None
    settles_later: bool = False
    """Whether an answer need not wait until it is booked: who pays waits for that before anything follows from it."""
    hires: Hired | None = None
    """The run whose nodes work here, where that is the work of this step."""
    within: Payer | None = None
    """Who hired this run, and so pays for it; None for a run of its own."""

    @property
    def account(self) -> Payer:
        """Who pays in the end."""
        return self if self.within is None else self.within.account

    @property
    def path(self) -> tuple[tuple[str, str], ...]:
        """The runs around this one, outermost first, and itself, each with the role that works in it."""
        return (*(() if self.within is None else self.within.path), (self.run_id, self.role))

    @property
    def narrowest(self) -> Budget:
        """The innermost limit of what the role may use, be it that of its run, or of the step that hired it."""
        own = (self.budgets.get(level, NO_LIMIT) for level in ("agent", "run"))
        around = NO_LIMIT if self.within is None else self.within.narrowest
        return next((limit for limit in own if limit.is_limited), around)

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """Everything that a call is charged to, innermost first; only what has a limit.

        The limit of a role in a hired run is a scope of its own kind, as its calls are booked on who pays.
        """
        whose = {"run_id": self.run_id, "role": self.role, "team": self.team}
        own = scopes_of(**whose, item=self.item, limits=self.budgets)
        if self.within is None:
            return own
        named = {f"agent:{self.run_id}/{self.role}": f"child:{self.run_id}/{self.role}"}
        mine = (replace(scope, name=named.get(scope.name, scope.name)) for scope in own)
        return (*mine, *self.within.scopes)

    def limit_of(self, scope: str) -> Budget:
        """The limit of one of its scopes, or of a call."""
        level = scope.partition(":")[0]
        known = (each.limit for each in self.scopes if each.name == scope)
        return next(known, self.account.budgets.get(level, NO_LIMIT))


def budgets_of(settings: Settings) -> dict[str, Budget]:
    """The budgets in the settings, by level; SettingsError names the first that cannot be read."""
    found: dict[str, Budget] = {}
    for level in LEVELS:
        text = getattr(settings, f"{level}_budget").strip()
        try:
            found[level] = Budget.read(text)
        except ValueError as error:
            problem = f"{text!r} is not usable ({error})"
            raise SettingsError(f"SIGNOFF_{level.upper()}_BUDGET", problem, "Write it as `$2 tokens=100000`.") from None
    return found


_paying: ContextVar[Payer | None] = ContextVar("signoff_payer", default=None)


@contextmanager
def paying(payer: Payer) -> Iterator[None]:
    """Charge every model call made inside to this payer: in tools, sub-agents and threads started with this context."""
    token = _paying.set(payer)
    try:
        yield
    finally:
        _paying.reset(token)


current_payer: Final = _paying.get
"""Who pays here; None outside of any step."""
