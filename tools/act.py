"""The act: on whose word an action is called. It travels as a context variable, for actions that keep where from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Act:
    """One approved proposal that is being done, as the ledger knows it."""

    run_id: str
    team: str
    goal: str
    agent: str
    """Who proposed it."""
    approval_id: str
    approved_by: str
    """Everybody who agreed, or `policy`."""
    flags: tuple[str, ...] = ()
    """What whoever approved it was warned of: orders in the texts it was made from, and what only these name."""


_acting: ContextVar[Act | None] = ContextVar("signoff_act", default=None)


@contextmanager
def acting(act: Act) -> Iterator[None]:
    """What is called inside is done on this word, in threads that are started with this context too."""
    token = _acting.set(act)
    try:
        yield
    finally:
        _acting.reset(token)


def current_act() -> Act | None:
    """The act that an action is called in; None outside of any."""
    return _acting.get()
