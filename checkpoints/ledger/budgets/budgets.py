"""Budgets that hold: the worst case of a call is held before it is made, and what it really took is settled after."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlalchemy import select

from signoff.checkpoints.ledger.budgets.accounts import NOTHING, Units, account_of, read_holds, spent_so_far
from signoff.checkpoints.ledger.budgets.model import Amount, Budget, Scope
from signoff.checkpoints.ledger.budgets.usage_log import CallRecord
from signoff.checkpoints.ledger.budgets.worker import (
    MS,
    Bursar,
    Job,
    Limits,
    Raise,
    Reserve,
    Settle,
    exhausted,
    limits_of,
    units_of,
)
from signoff.checkpoints.ledger.schema import budgets, plain

if TYPE_CHECKING:
    from signoff.checkpoints.ledger.ledger import Ledger

_CALL = "call"
"""The scope of one call alone: nothing adds up in it."""


@dataclass(frozen=True)
class Standing:
    """Where one scope stands."""

    spent: Amount
    held: Amount
    """For calls under way."""
    raised: Amount
    """What people added to its limit."""


@dataclass(frozen=True)
class Hold:
    """An amount that is held for one call, until it is settled or released, expires, or its process is gone."""

    id: str
    scopes: tuple[str, ...]
    worst: Amount
    """As it was asked for."""
    ms: int
    """The milliseconds that were granted: no more than are left, and the call is to be cut off then."""
    day: str
    """The day whose budget it is held from; empty if it is from none."""
    _bursar: Bursar = field(repr=False, compare=False)

    def settle(self, spent: Amount, call: CallRecord) -> None:
        """Give it back, charge what was spent and write the call down, all or nothing; late is better than never.

        The same record is charged once, however often it is settled.
        """
        _wait(self._bursar, self._settling(spent, call))

    async def asettle(self, spent: Amount, call: CallRecord) -> None:
        """As `settle`; it is done even if whoever awaits it is cancelled."""
        await _await(self._bursar, self._settling(spent, call))

    def release(self) -> None:
        """Give it back: the call was not made."""
        if self.scopes:
            _wait(self._bursar, Settle(self.id, (), NOTHING, None))

    async def arelease(self) -> None:
        """As `release`; it is done even if whoever awaits it is cancelled."""
        if self.scopes:
            await _await(self._bursar, Settle(self.id, (), NOTHING, None))

    def _settling(self, spent: Amount, call: CallRecord) -> Settle:
        call = replace(call, day=self.day) if self.day and self.day != call.day else call
        # A scope that was not limited when it was held may be by now.
        names = dict.fromkeys((*self.scopes, *_names_of(call)))
        return Settle(self.id, tuple(names), units_of(spent), call)


class Budgets:
    """The tables budgets and holds. Threads, event loops and processes may all come at once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger, self._bursar = ledger, Bursar(ledger)

    def reserve(self, scopes: Sequence[Scope], worst: Amount, *, seconds: float, wait: float = 60.0) -> Hold:
        """Hold the worst case of a call in all its scopes at once, for this many seconds at most.

        BudgetExhausted if it does not fit what is not spent yet; while it only does not fit because of calls under
        way, it waits for them, first come, first served, and `wait` seconds at most.
        """
        job, hold = self._asked(scopes, worst, seconds, wait)
        return replace(hold, ms=_wait(self._bursar, job)) if job.scopes else hold

    async def areserve(self, scopes: Sequence[Scope], worst: Amount, *, seconds: float, wait: float = 60.0) -> Hold:
        """As `reserve`, without holding up the event loop."""
        job, hold = self._asked(scopes, worst, seconds, wait)
        return replace(hold, ms=await _await(self._bursar, job)) if job.scopes else hold

    def raise_limit(self, scope: str | Scope, by: Budget, *, key: str) -> bool:
        """Add to a scope's limits, once for each key; False if that was done before."""
        return bool(_wait(self._bursar, Raise(_name(scope), units_of(by.amount), key)))

    def standing(self, scope: str | Scope) -> Standing:
        """What is spent of a scope, held and added to its limit now."""
        name = _name(scope)
        with self._ledger.read() as connection:
            row = connection.execute(select(budgets).where(budgets.c.scope == name)).first()
            if row is not None:
                account = account_of(row)
                spent, raised = account.spent, account.raised
            else:
                spent, raised = spent_so_far(connection, self._ledger.spending, [name])[name], NOTHING
            held = read_holds(connection, name, self._bursar.owner)
        return Standing(_amount(spent), _amount(held), _amount(raised))

    def close(self) -> None:
        """Settle what there is to settle, and end the thread; the next use starts another."""
        self._bursar.close()

    def _asked(self, scopes: Sequence[Scope], worst: Amount, seconds: float, wait: float) -> tuple[Reserve, Hold]:
        amount, limits, day = units_of(worst), {}, ""
        for scope in scopes:
            limited = _limits(scope.limit)
            if scope.name == _CALL:
                amount = _check_call(limited, amount)
            elif limited:
                limits[plain(scope.name)] = limited
                day = day or _day(scope.name)
        hold = Hold(secrets.token_hex(16), tuple(limits), _amount(amount), amount[MS], day, self._bursar)
        return Reserve(hold.id, limits, amount, seconds, wait), hold


def _check_call(limits: Limits, worst: Units) -> Units:
    """What one call may take of its own limit: as much time as that is; of anything else all it wants or nothing."""
    for unit, limit in limits:
        if unit == MS and limit:
            worst = (*worst[:MS], min(worst[MS], limit))
        elif worst[unit] > limit:
            raise exhausted(_CALL, unit, limit, 0, worst[unit])
    return worst


def _wait(bursar: Bursar, job: Job) -> int:
    job.expect()
    bursar.submit(job)
    try:
        found: int = job.wait()
    except BaseException:
        bursar.abandon(job)
        raise
    return found


async def _await(bursar: Bursar, job: Job) -> int:
    job.future = asyncio.get_running_loop().create_future()
    bursar.submit(job)
    try:
        found: int = await job.future
    except asyncio.CancelledError:
        if job.future.done() and not job.future.cancelled():  # it was answered, but nobody is left to hear it
            bursar.give_back(job)
        raise
    return found


@lru_cache(maxsize=256)
def _limits(budget: Budget) -> Limits:
    return limits_of(budget)


def _name(scope: str | Scope) -> str:
    return plain(scope if isinstance(scope, str) else scope.name)


def _names_of(call: CallRecord) -> tuple[str, ...]:
    """The scopes of a call that adds up, whether they are limited or not."""
    names = [f"day:{call.day}", f"team:{call.team}@{call.day}"]
    if call.run_id:
        names += [f"agent:{call.run_id}/{call.role}", f"run:{call.run_id}"]
    return tuple(map(plain, names))


def _day(name: str) -> str:
    kind, _, rest = name.partition(":")
    return rest if kind == "day" else rest.rpartition("@")[2] if kind == "team" else ""


def _amount(units: Units) -> Amount:
    return Amount(nusd=units[0], tokens=units[1], steps=units[2], ms=units[3])
