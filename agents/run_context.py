"""What a model call needs to know of the step that it is made in: who pays, and who is told. A context variable."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from signoff.checkpoints.ledger.budgets import Budget
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
