"""Where the paces of keys are kept: a row for each in the ledger, or in memory for calls outside of any run."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import TypeAlias, TypeVar
from weakref import ref

from sqlalchemy import Connection, Float, cast, extract, func, insert, select, update

from signoff.checkpoints.errors import DatabaseUnusable
from signoff.checkpoints.ledger.rates.pacing import RateState
from signoff.checkpoints.ledger.schema import rates
from signoff.checkpoints.ledger.session import Transactions

T = TypeVar("T")


class Rates:
    """The rates table."""

    def __init__(self, ledger: Transactions) -> None:
        self._ledger = ref(ledger)  # limiters are kept for as long as their ledger is, and must not keep it

    def read(self, key: str) -> tuple[RateState, float]:
        """The state, and the moment by the clock it is written with."""
        with self._held.read() as connection:
            return _read(connection, key)

    def change(self, key: str, step: Callable[[RateState, float], tuple[RateState, T]]) -> tuple[RateState, float, T]:
        """Change the state in one transaction: the new one, the moment, and what else the step returned."""
        with self._held.write() as connection:
            found, now = _read(connection, key)
            state, result = step(found, now)
            if state != found:
                written = {"state": json.dumps(asdict(state)), "at": now}
                changed = update(rates).where(rates.c.key == key).values(version=rates.c.version + 1, **written)
                if not connection.execute(changed).rowcount:
                    connection.execute(insert(rates).values(key=key, **written))
        return state, now, result

    @property
    def _held(self) -> Transactions:
        ledger = self._ledger()
        if ledger is None:
            raise DatabaseUnusable("", "its ledger was given up")
        return ledger


class PrivateRates:
    """The same in memory, for calls outside a run."""

    def __init__(self) -> None:
        self._states: dict[str, RateState] = {}
        self._changing = threading.Lock()

    def read(self, key: str) -> tuple[RateState, float]:
        return self._states.get(key, RateState()), time.time()

    def change(self, key: str, step: Callable[[RateState, float], tuple[RateState, T]]) -> tuple[RateState, float, T]:
        with self._changing:
            found, now = self.read(key)
            self._states[key], result = step(found, now)
            return self._states[key], now, result


RateStore: TypeAlias = Rates | PrivateRates


def _read(connection: Connection, key: str) -> tuple[RateState, float]:
    """The state, and the moment; hosts that share a server go by the clock of the server."""
    now = time.time()
    if connection.dialect.name == "postgresql":
        now = float(connection.execute(select(cast(extract("epoch", func.clock_timestamp()), Float))).scalar_one())
    row = connection.execute(select(rates.c.state, rates.c.at).where(rates.c.key == key)).first()
    return (RateState() if row is None else RateState.read(row.state, min(now - row.at, 0.0))), now
